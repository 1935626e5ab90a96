"""POST /gmail-sync: one account, or without a body a cron ping over all of them (CONTRACT §3).

functions-framework --source functions/gmail_sync.py --target gmail_sync --asgi
"""

from functools import partial

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared.edge import guarded, json_object, read_body, require_key, require_method, segments
from shared.wiring import Wiring, invocation_timeout_s, settings_or_exit

SETTINGS = settings_or_exit()


@functions_framework.aio.http
@partial(guarded, timeout_s=invocation_timeout_s(SETTINGS))
async def gmail_sync(request: Request) -> Response:
    require_method(request, "POST")
    require_key(request, SETTINGS)
    return await Wiring.current().answer_sync(
        "gmail", segments(request, "gmail-sync"), json_object(await read_body(request))
    )
