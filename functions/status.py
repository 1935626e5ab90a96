"""How things stand: a page, the same as data and as Prometheus metrics, and what the functions answer to (CONTRACT §3).

functions-framework --source functions/status.py --target status --asgi
"""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared.core.errors import BadRequest
from shared.edge import guarded, json_answer, require_method, segments
from shared.status import login, metrics, openapi, page
from shared.status.standing import standing
from shared.wiring import Wiring, settings_or_exit

SETTINGS = settings_or_exit()


@functions_framework.aio.http
@guarded
async def status(request: Request) -> Response:
    path, wiring = segments(request, "status"), Wiring.current()
    match path:
        case ("health",):
            require_method(request, "GET")
            return json_answer({"status": "ok"})
        case ("login",):
            require_method(request, "GET", "POST")
            if request.method == "POST":
                return await login.log_in(request, SETTINGS, wiring.sessions)
            return page.login_page()
        case ("logout",):
            require_method(request, "POST")
            return await login.log_out(request, SETTINGS, wiring.sessions)
    try:
        by_session = await login.admitted(request, SETTINGS, wiring.sessions)
    except login.NoSession:
        if path == () and "text/html" in request.headers.get("accept", ""):
            return page.login_page(status=401)
        raise
    match path:
        case ():
            require_method(request, "GET")
            return page.status_page(await standing(wiring), session=by_session)
        case ("status.json",):
            require_method(request, "GET")
            return json_answer(await standing(wiring))
        case ("metrics",):
            require_method(request, "GET")
            return Response(metrics.exposition(await standing(wiring)), media_type=metrics.MEDIA_TYPE)
        case ("openapi.json",):
            require_method(request, "GET")
            return json_answer(openapi.description(SETTINGS.public_url))
    raise BadRequest(404, "not_found", "there is nothing at this path")
