"""Lists and their page tokens: messages, threads, drafts, history.

    token        holds                            a deletion while paging
    positional   offset into the filtered list    shifts the rest: one message is never seen
    anchored     order key of the last one seen   does no harm

A token is bound to the parameters of its list, all but maxResults; used with others it is a 400.
`resultSizeEstimate` is an estimate: exact for what fits on a page, 201 beyond, as Gmail says it.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from infra.emulators.gmail import errors, payload
from infra.emulators.gmail.mailbox import Mailbox
from infra.emulators.gmail.message import Message
from infra.emulators.gmail.query import Query

PAGE_SIZE, PAGE_SIZE_MAX = 100, 500
_ESTIMATE_MAX = 201
_HIDDEN = {"SPAM", "TRASH"}


def page_size(params: dict[str, list[str]]) -> int:
    """100 unless asked; more than 500 is 500."""
    given = params.get("maxResults", [""])[-1]
    if not given:
        return PAGE_SIZE
    if not given.isascii() or not given.isdigit():
        raise errors.invalid_value("max_results", "TYPE_UINT32", given)
    return min(int(given[:9]), PAGE_SIZE_MAX) or PAGE_SIZE


def make_token(bound_to: object, *values: int) -> str:
    text = ":".join([_fingerprint(bound_to), *map(str, values)])
    return payload.base64url(text.encode()).rstrip("=")


def read_token(text: str, bound_to: object, count: int) -> list[int]:
    try:
        fingerprint, *values = payload.unbase64url(text).decode("ascii").split(":")
        numbers = [int(value) for value in values]
    except ValueError:
        raise errors.invalid_argument("Invalid pageToken") from None
    if fingerprint != _fingerprint(bound_to) or len(numbers) != count:
        raise errors.invalid_argument("Invalid pageToken")
    return numbers


def _fingerprint(bound_to: object) -> str:
    return hashlib.sha256(repr(bound_to).encode()).hexdigest()[:12]


def message_page(mailbox: Mailbox, params: dict[str, list[str]]) -> dict[str, Any]:
    found = _filtered(mailbox, params)
    shown, token = _page(mailbox, found, params, "messages", lambda each: mailbox.messages[each].order)
    answer: dict[str, Any] = {}
    if shown:
        answer["messages"] = [{"id": each, "threadId": mailbox.messages[each].thread_id} for each in shown]
    return answer | token | _estimate(found)


def thread_page(mailbox: Mailbox, params: dict[str, list[str]]) -> dict[str, Any]:
    """A thread is found if one of its messages is, and stands where its newest found message stands."""
    messages = [mailbox.messages[each] for each in _filtered(mailbox, params)]
    newest: dict[str, Message] = {}
    for each in messages:
        newest.setdefault(each.thread_id, each)
    found = list(newest)
    shown, token = _page(mailbox, found, params, "threads", lambda each: newest[each].order)
    answer: dict[str, Any] = {}
    if shown:
        answer["threads"] = [thread_stub(mailbox, each) for each in shown]
    return answer | token | _estimate(found)


def thread_stub(mailbox: Mailbox, thread_id: str) -> dict[str, Any]:
    members = mailbox.thread(thread_id)
    return {
        "id": thread_id,
        "snippet": members[-1].snippet,
        "historyId": str(max(each.history_id for each in members)),
    }


def draft_page(mailbox: Mailbox, params: dict[str, list[str]]) -> dict[str, Any]:
    matches = set(_filtered(mailbox, params)) if params.get("q") else None
    of_message = {message_id: draft_id for draft_id, message_id in mailbox.drafts.items()}
    found = sorted(
        (each for each in of_message if matches is None or each in matches),
        key=lambda each: mailbox.messages[each].order,
        reverse=True,
    )
    shown, token = _page(mailbox, found, params, "drafts", lambda each: mailbox.messages[each].order)
    answer: dict[str, Any] = {}
    if shown:
        answer["drafts"] = [
            {"id": of_message[each], "message": {"id": each, "threadId": mailbox.messages[each].thread_id}}
            for each in shown
        ]
    return answer | token | _estimate(found)


def _estimate(found: list[str]) -> dict[str, Any]:
    return {"resultSizeEstimate": len(found) if len(found) <= PAGE_SIZE else _ESTIMATE_MAX}


def _filtered(mailbox: Mailbox, params: dict[str, list[str]]) -> list[str]:
    """Ids, newest first; kept until the mailbox changes."""
    text = params.get("q", [""])[-1].strip()
    labels = tuple(sorted(params.get("labelIds", [])))
    shows_all = params.get("includeSpamTrash", ["false"])[-1] == "true"
    key = (text, labels, shows_all)
    known = mailbox.listings.get(key)
    if known is not None:
        return known
    for label in labels:
        if label not in mailbox.labels:
            raise errors.invalid_argument(f"Invalid label: {label}")
    query = None
    if text:
        names = {name.lower(): label_id for label_id, name in mailbox.labels.items()}
        query = Query(text, mailbox.clock.now_s(), names)
        shows_all = shows_all or query.lifts_hiding
    wanted = set(labels)
    hidden = set() if shows_all else _HIDDEN - wanted
    found = []
    for _, _, message_id in reversed(mailbox.order):
        stored = mailbox.messages[message_id]
        if wanted <= stored.labels and not hidden & stored.labels and (query is None or query.matches(stored)):
            found.append(message_id)
    if query is None or not any(name in text for name in ("newer_than", "older_than")):
        mailbox.listings[key] = found
    return found


def _page(
    mailbox: Mailbox,
    found: list[str],
    params: dict[str, list[str]],
    kind: str,
    order_of: Callable[[str], tuple[int, int, str]],
) -> tuple[list[str], dict[str, str]]:
    size = page_size(params)
    bound_to = (kind, mailbox.address, mailbox.tokens, _bound(params, ("q", "labelIds", "includeSpamTrash")))
    text = params.get("pageToken", [""])[-1]
    if mailbox.settings.page_tokens == "anchored":
        if text:
            edge = tuple(read_token(text, bound_to, 2))
            found = [each for each in found if order_of(each)[:2] < edge]
        shown = found[:size]
        if len(found) > size:
            return shown, {"nextPageToken": make_token(bound_to, *order_of(shown[-1])[:2])}
        return shown, {}
    offset = read_token(text, bound_to, 1)[0] if text else 0
    shown = found[offset : offset + size]
    return shown, {"nextPageToken": make_token(bound_to, offset + size)} if offset + size < len(found) else {}


def _bound(params: dict[str, list[str]], names: Iterable[str]) -> list[tuple[str, list[str]]]:
    return [(name, sorted(params.get(name, []))) for name in names]
