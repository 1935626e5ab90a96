"""The read side: the change log, messages, threads and folders of an account; preferences of warming (CONTRACT §3).

    what can't be read now         messages                                     a thread, folders
    cool-down, quota, other        200 with what there is, `unavailable`        429 + Retry-After
    readers                        and `problem`; 429 where nothing else is
    breaker, provider              likewise, 502                                502 + Retry-After
    grant                          409 `reauth_required`, cached or not         409

functions-framework --source functions/mailbox.py --target mailbox --asgi
"""

import re
from typing import Any

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared.adapters.preferences import Preferences
from shared.bodies import parsed
from shared.core import change
from shared.core.errors import (
    BadRequest,
    BudgetSpent,
    ContractBroken,
    RetryLater,
    StoreDown,
    Throttled,
    TidemarkError,
)
from shared.edge import (
    guarded,
    json_answer,
    json_object,
    problem,
    read_body,
    require_key,
    require_method,
    segments,
    whole_seconds,
)
from shared.wiring import Wiring, settings_or_exit

SETTINGS = settings_or_exit()
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
WAIT_MAX_S = 30.0
LOOK_EVERY_S = 3.0
IDS_MAX = 100
ID = re.compile(r"[A-Za-z0-9_=-]{1,512}")  # base64url, as both providers' are
ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}")
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
        case ("messages",):
            require_method(request, "GET")
            return await _messages(request)
        case ("threads", thread_id):
            require_method(request, "GET")
            return await _thread(request, thread_id)
        case ("folders",):
            require_method(request, "GET")
            return await _folders(request)
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
        if found.entries or left_s <= 0 or await request.is_disconnected():
            break
        await wiring.clock.sleep(min(LOOK_EVERY_S, left_s))
    changes = [
        change.cloud_event(account_id, found.user_id, found.provider, found.epoch, stream_id, stored)
        for stream_id, stored in found.entries
    ]
    cursor = change.cursor(found.epoch, found.position)
    return json_answer(
        {"changes": changes, "cursor": cursor, "more": bool(found.entries) and found.position < found.end}
    )


async def _messages(request: Request) -> Response:
    account_id = _account(request)
    ids = [each for each in dict.fromkeys(request.query_params.get("ids", "").split(",")) if each]
    if not 0 < len(ids) <= IDS_MAX:
        raise BadRequest(400, "malformed", f"ids: 1 to {IDS_MAX} message ids, with commas between them")
    found = await Wiring.current().reading.messages(account_id, [each for each in ids if ID.fullmatch(each)])
    found.missing += [each for each in ids if not ID.fullmatch(each)]  # no provider has it, so none is asked
    if found.error is not None and found.empty:
        return _refused(found.error)
    answer: dict[str, Any] = {
        "messages": [found.found[each] for each in ids if each in found.found],
        "missing": found.missing,
    }
    if found.error is None:
        return json_answer(answer)
    after_s = whole_seconds(getattr(found.error, "after_s", None))
    answer["unavailable"] = found.unavailable
    answer["problem"] = {"slug": found.error.slug, "retry_after_s": None if after_s is None else int(after_s)}
    return json_answer(answer)


async def _thread(request: Request, thread_id: str) -> Response:
    account_id = _account(request)
    if not ID.fullmatch(thread_id):
        raise BadRequest(400, "malformed", "the thread's id has characters that no id has")
    try:
        found = await Wiring.current().reading.thread(account_id, thread_id)
    except (RetryLater, ContractBroken) as error:
        return _refused(error)
    return json_answer({"thread_id": thread_id, "messages": list(found.found.values()), "more": not found.whole})


async def _folders(request: Request) -> Response:
    try:
        return json_answer({"folders": await Wiring.current().reading.folders(_account(request))})
    except (RetryLater, ContractBroken) as error:
        return _refused(error)


def _account(request: Request) -> str:
    account_id = request.query_params.get("account_id", "")
    if not account_id:
        raise BadRequest(400, "malformed", "account_id: the account that is read")
    if not ACCOUNT.fullmatch(account_id):
        raise BadRequest(404, "unknown_account", "There is no such account.")
    return account_id


def _refused(error: TidemarkError) -> Response:
    """A refusal for rate is the mailbox's own: 429. StoreDown is the edge's."""
    if isinstance(error, StoreDown):
        raise error
    busy = isinstance(error, Throttled | BudgetSpent)
    detail = "the mailbox has to rest" if busy else "the provider does not answer now"
    response = problem(429 if busy else 502, error.slug, detail)
    if after := whole_seconds(getattr(error, "after_s", None)):
        response.headers["retry-after"] = after
    return response


async def _preferences(request: Request) -> Response:
    user_id = request.query_params.get("user_id", "")
    if not 0 < len(user_id) <= USER_ID_MAX:
        raise BadRequest(400, "malformed", "user_id: the user whose preferences they are")
    of_users = Wiring.current().warming.preferences
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
