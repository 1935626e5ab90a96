"""Pushes of the providers, who prove themselves: stored as hints, answered, then followed by a sync (CONTRACT §3).

    POST /push-webhook/gmail               401 unproven; 204 stored, stale, unknown or unreadable; 503 not stored
    POST /push-webhook/outlook[/lifecycle] validationToken: echoed; else 202, proven or not; 503 not stored

functions-framework --source functions/push_webhook.py --target push_webhook --asgi
"""

import asyncio
from collections.abc import Awaitable

import functions_framework.aio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from shared.core.errors import BadRequest, StoreDown
from shared.edge import guarded, read_body, require_method, segments
from shared.push_wiring import PushWiring, settings_or_exit
from shared.sync import intake

SETTINGS = settings_or_exit()
VALIDATION_BYTES_MAX = 4096
ANSWER_WITHIN_S = 2.5  # storing and calling for a sync: Graph counts an answer after three seconds as none


@functions_framework.aio.http
@guarded
async def push_webhook(request: Request) -> Response:
    path = segments(request, "push-webhook")
    if path not in (("gmail",), ("outlook",), ("outlook", "lifecycle")):
        raise BadRequest(404, "not_found", "there is nothing at this path")
    require_method(request, "POST")
    wiring = PushWiring.current()
    if path == ("gmail",):
        return await _gmail(request, wiring)
    token = request.query_params.get("validationToken")
    return _validated(token) if token is not None else await _outlook(request, wiring)


async def _gmail(request: Request, wiring: PushWiring) -> Response:
    await wiring.prove_gmail(request.headers.get("authorization", ""))
    body = await read_body(request)
    woken = await _stored("gmail", intake.gmail(body, wiring.sealer.lookup, wiring.hints), wiring)
    return Response(status_code=204, background=BackgroundTask(wiring.dispatch.after_the_answer, "gmail", woken))


async def _outlook(request: Request, wiring: PushWiring) -> Response:
    body = await read_body(request)
    woken = await _stored("outlook", intake.outlook(body, wiring.state_keys, wiring.hints), wiring)
    return Response(status_code=202, background=BackgroundTask(wiring.dispatch.after_the_answer, "outlook", woken))


async def _stored(provider: str, storing: Awaitable[list[str]], wiring: PushWiring) -> list[str]:
    """The accounts that are woken; who has to be called before the answer has been, as far as there was time for it."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + ANSWER_WITHIN_S
    try:
        async with asyncio.timeout_at(ends_s):
            woken = await storing
    except TimeoutError as error:
        raise StoreDown("the hint could not be stored in time") from error
    await wiring.dispatch.before_the_answer(provider, woken, ends_s - loop.time())
    return woken


def _validated(token: str) -> Response:
    """Graph's handshake: the token, decoded once, as text that no browser takes for a page."""
    answer = token.encode("utf-8", "surrogateescape")
    if len(answer) > VALIDATION_BYTES_MAX:
        raise BadRequest(400, "malformed", f"validationToken is limited to {VALIDATION_BYTES_MAX} bytes")
    headers = {"content-security-policy": "default-src 'none'; sandbox"}
    return Response(answer, status_code=200, media_type="text/plain", headers=headers)
