"""POST /gmail-sync: one account, or without a body a cron ping over all of them (CONTRACT §3).

With DISPATCH=pubsub the dispatch topic's push may call it too, proven by its token (push_wiring.py).

functions-framework --source functions/gmail_sync.py --target gmail_sync --asgi
"""

from functools import partial

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared.edge import guarded, json_object, read_body, require_method, segments
from shared.push_wiring import require_caller
from shared.wiring import Wiring, invocation_timeout_s, settings_or_exit

SETTINGS = settings_or_exit()


@functions_framework.aio.http
@partial(guarded, timeout_s=invocation_timeout_s(SETTINGS))
async def gmail_sync(request: Request) -> Response:
    require_method(request, "POST")
    await require_caller(request, SETTINGS)
    return await Wiring.current().answer_sync(
        "gmail", segments(request, "gmail-sync"), json_object(await read_body(request))
    )
