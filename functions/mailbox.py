"""The read side: GET /mailbox/changes follows an account's change log; preferences of warming (CONTRACT §3).

functions-framework --source functions/mailbox.py --target mailbox --asgi
"""

import re

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared.adapters.preferences import Preferences
from shared.bodies import parsed
from shared.core import change
from shared.core.errors import BadRequest
from shared.edge import guarded, json_answer, json_object, read_body, require_key, require_method, segments
from shared.wiring import Wiring, settings_or_exit

SETTINGS = settings_or_exit()
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
WAIT_MAX_S = 30.0
LOOK_EVERY_S = 3.0
USER_ID_MAX = 256  # as POST /accounts takes it
READER = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@functions_framework.aio.http
@guarded
async def mailbox(request: Request) -> Response:
    require_key(request, SETTINGS)
    match segments(request, "mailbox"):
        case ("changes",):
            require_method(request, "GET")
            return await _changes(request)
        case ("preferences",):
            require_method(request, "GET", "PUT")
            return await _preferences(request)
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


async def _preferences(request: Request) -> Response:
    user_id = request.query_params.get("user_id", "")
    if not 0 < len(user_id) <= USER_ID_MAX:
        raise BadRequest(400, "malformed", "user_id: the user whose preferences they are")
    of_users = Wiring.current().preferences
    if request.method != "PUT":
        return json_answer((await of_users.read(user_id)).model_dump())
    wanted = parsed(Preferences, json_object(await read_body(request)))
    await of_users.write(user_id, wanted)
    return json_answer(wanted.model_dump())


def _number(text: str | None, name: str, default: int, least: int, most: int) -> int:
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= least):
        raise BadRequest(400, "malformed", f"{name}: a whole number from {least} to {most}")
    return min(int(text), most)
