"""Everything a test or `make run` does to the stand-in, over HTTP: POST /_admin/{operation} with a JSON object.

    operation          fields (those in [] may be left out)
    add_mailbox        address
    remove_mailbox     address
    load               address, [path]: mail from disk as `mail.load` reads it; none: the built-in sample
    deliver            address, raw | raw_base64, [labels], [internal_date_s], [thread_id]     -> {"id"}
    delete, trash, untrash   address, ids
    relabel            address, ids, [add], [remove]
    save_draft         address, raw | raw_base64, [draft_id]                                   -> {"draft_id", "id"}
    send_draft         address, draft_id                                                       -> {"id"}
    add_label          address, name                                                           -> {"id"}
    remove_label       address, label_id
    expire_history     address
    forget_page_tokens address
    refresh_token, access_token   address, [scopes]                                            -> {"token"}
    revoke             address
    expire_access      address
    fail_token         [times], [kind]: html_503, invalid_grant, …
    fault              kind, and what `faults` lists                                           -> {"id"}
    clear_faults       [id]
    settings           knobs by name
    advance            seconds: the clock jumps
    clock              rate: how fast it runs from now on
    refill_quota, reset_counters
    subscribe          topic, endpoint, and the knobs of `pubsub.Subscription`
    rotate_keys        [keep_old]                                                              -> {"kid"}

    GET /_admin/health, settings, faults, pubsub, mailboxes
    GET /_admin/counters[?address=], log[?address=&kind=], mailbox?address=

200 with {} or the fields said; 400 {"error"} in one line for whatever is wrong.
"""

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.emulators import mail
from infra.emulators.gmail.errors import ApiError

if TYPE_CHECKING:
    from infra.emulators.gmail.emulator import GmailEmulator

Fields = dict[str, Any]
Operation = Callable[["GmailEmulator", Fields], Any]


def _raw(given: Fields) -> bytes:
    if "raw_base64" in given:
        return base64.b64decode(given.pop("raw_base64"))
    return str(given.pop("raw")).encode()


def _load(gmail: "GmailEmulator", given: Fields) -> Fields:
    return {"ids": gmail.load(given["address"], mail.load(given.get("path")))}


def _save_draft(gmail: "GmailEmulator", given: Fields) -> Fields:
    draft_id, message_id = gmail.save_draft(given["address"], _raw(given), given.get("draft_id"))
    return {"draft_id": draft_id, "id": message_id}


def _clear_faults(gmail: "GmailEmulator", given: Fields) -> None:
    gmail.clear_faults(given.get("id"))


def _relabel(gmail: "GmailEmulator", given: Fields) -> None:
    gmail.relabel(given["address"], *given["ids"], add=given.get("add", ()), remove=given.get("remove", ()))


def _fail_token(gmail: "GmailEmulator", given: Fields) -> None:
    gmail.identity.fail_next(int(given.pop("times", 1)), given.pop("kind", "html_503"), **given)


def _subscribe(gmail: "GmailEmulator", given: Fields) -> Fields:
    return {"name": gmail.subscribe(given.pop("topic"), given.pop("endpoint"), **given).name}


OPERATIONS: dict[str, Operation] = {
    "add_mailbox": lambda gmail, given: gmail.add_mailbox(given["address"]),
    "remove_mailbox": lambda gmail, given: gmail.remove_mailbox(given["address"]),
    "load": _load,
    "deliver": lambda gmail, given: {"id": gmail.deliver(given.pop("address"), _raw(given), **given)},
    "delete": lambda gmail, given: gmail.delete(given["address"], *given["ids"]),
    "trash": lambda gmail, given: gmail.trash(given["address"], *given["ids"]),
    "untrash": lambda gmail, given: gmail.untrash(given["address"], *given["ids"]),
    "relabel": _relabel,
    "save_draft": _save_draft,
    "send_draft": lambda gmail, given: {"id": gmail.send_draft(given["address"], given["draft_id"])},
    "add_label": lambda gmail, given: {"id": gmail.add_label(given["address"], given["name"])},
    "remove_label": lambda gmail, given: gmail.remove_label(given["address"], given["label_id"]),
    "forget_page_tokens": lambda gmail, given: gmail.forget_page_tokens(given["address"]),
    "expire_history": lambda gmail, given: gmail.expire_history(given["address"]),
    "refresh_token": lambda gmail, given: {"token": gmail.refresh_token(given["address"], given.get("scopes"))},
    "access_token": lambda gmail, given: {"token": gmail.access_token(given["address"], given.get("scopes"))},
    "revoke": lambda gmail, given: {"revoked": gmail.revoke(given["address"])},
    "expire_access": lambda gmail, given: gmail.identity.expire_access(given["address"]),
    "fail_token": _fail_token,
    "fault": lambda gmail, given: {"id": gmail.set_fault(given.pop("kind"), **given)},
    "clear_faults": _clear_faults,
    "settings": lambda gmail, given: gmail.settings.update(given),
    "advance": lambda gmail, given: gmail.clock.advance(float(given["seconds"])),
    "clock": lambda gmail, given: gmail.clock.run_at(float(given["rate"])),
    "refill_quota": lambda gmail, given: gmail.refill_quota(),
    "reset_counters": lambda gmail, given: gmail.reset_counters(),
    "subscribe": _subscribe,
    "rotate_keys": lambda gmail, given: {"kid": gmail.rotate_keys(bool(given.get("keep_old", True)))},
}


def _mailboxes(gmail: "GmailEmulator", given: Fields) -> Fields:
    return {
        address: {"messages": len(mailbox.messages), "history_id": mailbox.history.current}
        for address, mailbox in list(gmail.engine.mailboxes.items())
    }


def _pubsub(gmail: "GmailEmulator", given: Fields) -> Fields:
    return {
        "counts": gmail.pubsub.counts,
        "pending": gmail.pubsub.pending(),
        "events_dropped": gmail.watches.dropped,
        "subscriptions": [asdict(each) for each in gmail.pubsub.subscriptions.values()],
        "watches": {
            address: {"topic": each.topic, "expires_at_s": each.expires_at_s}
            for address, each in gmail.watches.of.items()
        },
    }


READINGS: dict[str, Operation] = {
    "health": lambda gmail, given: {"status": "ok", "now_s": gmail.clock.now_s(), "rate": gmail.clock.rate},
    "settings": lambda gmail, given: asdict(gmail.settings),
    "faults": lambda gmail, given: [
        {"id": each.id, "kind": each.kind, "times": each.times, "hits": each.hits, "params": each.params}
        for each in gmail.engine.faults.active()
    ],
    "counters": lambda gmail, given: gmail.counters(given.get("address")),
    "log": lambda gmail, given: [asdict(each) for each in gmail.log(given.get("address"), given.get("kind"))],
    "mailboxes": _mailboxes,
    "mailbox": lambda gmail, given: gmail.truth(given["address"]),
    "pubsub": _pubsub,
}


def routes(gmail: "GmailEmulator") -> list[Route]:
    async def operate(request: Request) -> Response:
        body = await request.body()
        try:
            given = orjson.loads(body) if body.strip() else {}
        except orjson.JSONDecodeError:
            return _json({"error": "the body is not JSON"}, 400)
        return _run(OPERATIONS, request.path_params["name"], given)

    async def read(request: Request) -> Response:
        return _run(READINGS, request.path_params["name"], dict(request.query_params))

    def _run(known: dict[str, Operation], name: str, given: Any) -> Response:
        if name not in known:
            return _json({"error": f"no such operation: {name}"}, 404)
        if not isinstance(given, dict):
            return _json({"error": "the body is not a JSON object"}, 400)
        try:
            answer = known[name](gmail, given)
        except (ValueError, TypeError, KeyError, ApiError) as refused:
            missing = isinstance(refused, KeyError)
            return _json({"error": f"missing or unknown: {refused}" if missing else str(refused)}, 400)
        return _json({} if answer is None else answer)

    return [
        Route("/_admin/{name}", operate, methods=["POST"]),
        Route("/_admin/{name}", read, methods=["GET"]),
    ]


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
