"""How things stand: /status/health without a key, /status/status.json with it (CONTRACT §3).

functions-framework --source functions/status.py --target status --asgi
"""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared.core.errors import BadRequest
from shared.edge import guarded, json_answer, require_key, require_method, segments
from shared.wiring import Wiring, settings_or_exit

SETTINGS = settings_or_exit()


@functions_framework.aio.http
@guarded
async def status(request: Request) -> Response:
    require_method(request, "GET")
    path = segments(request, "status")
    if path == ("health",):
        return json_answer({"status": "ok"})
    require_key(request, SETTINGS)
    match path:
        case () | ("status.json",):
            return json_answer(await Wiring.current().status())
    raise BadRequest(404, "not_found", "there is nothing at this path")
