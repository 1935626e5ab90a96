"""The read side: GET /mailbox/changes follows an account's change log (CONTRACT §3).

functions-framework --source functions/mailbox.py --target mailbox --asgi
"""

import re

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared.core import change
from shared.core.errors import BadRequest
from shared.edge import guarded, json_answer, require_key, require_method, segments
from shared.wiring import Wiring, settings_or_exit

SETTINGS = settings_or_exit()
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
WAIT_MAX_S = 30.0
LOOK_EVERY_S = 3.0
READER = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@functions_framework.aio.http
@guarded
async def mailbox(request: Request) -> Response:
    require_method(request, "GET")
    require_key(request, SETTINGS)
    match segments(request, "mailbox"):
        case ("changes",):
            return await _changes(request)
    raise BadRequest(404, "not_found", "there is nothing at this path")


async def _changes(request: Request) -> Response:
    query = request.query_params
    account_id = query.get("account_id", "")
    if not account_id:
        raise BadRequest(400, "malformed", "account_id: the account whose changes are asked for")
    reader = query.get("reader") or "default"
    if not READER.fullmatch(reader):
        raise BadRequest(400, "malformed", "reader: up to 64 letters, digits, _ . : -")
    limit = _number(query.get("limit"), "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    wait_s = _number(query.get("wait"), "wait", 0, 0, int(WAIT_MAX_S))
    wiring = Wiring.current()
    ends_s = wiring.clock.now_s() + wait_s
    while True:
        found = await wiring.accounts.changes(account_id, reader, query.get("after") or None, limit)
        left_s = ends_s - wiring.clock.now_s()
        if found.entries or left_s <= 0:
            break
        await wiring.clock.sleep(min(LOOK_EVERY_S, left_s))
    changes = [
        change.cloud_event(account_id, found.user_id, found.provider, found.epoch, stream_id, stored)
        for stream_id, stored in found.entries
    ]
    cursor = change.cursor(found.epoch, found.position)
    return json_answer({"changes": changes, "cursor": cursor, "more": found.position < found.end})


def _number(text: str | None, name: str, default: int, least: int, most: int) -> int:
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= least):
        raise BadRequest(400, "malformed", f"{name}: a whole number from {least} to {most}")
    return min(int(text), most)
