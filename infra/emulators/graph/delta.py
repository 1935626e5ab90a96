"""`messages/delta` and `mailFolders/delta`: rounds made from logs, pages cut from rounds, links given out last.

    fixed by the first call         $select $filter $orderby $top changeType
    asked anew by every request     Prefer: page size, id format, body type
    decided when the round begins   which messages, in which order (none, unless $orderby)
    decided when the page is cut    what each row says; what has left by then is skipped

A page is made whole before its generation exists, so a 504 costs the client no link.
Source: https://learn.microsoft.com/en-us/graph/delta-query-messages
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.emulators.graph.chains import Chain, Chains, LinkKind, Point, Round, Terms
from infra.emulators.graph.changes import READ_ONLY, Entry, EntryKind, net_changes, net_folder_changes
from infra.emulators.graph.context import Context
from infra.emulators.graph.errors import GraphError, bad_request, sync_folder_not_found
from infra.emulators.graph.mailbox import Folder
from infra.emulators.graph.odata import Options, instant_s
from infra.emulators.graph.view import (
    FOLDER_SELECTABLE,
    FOLDER_TYPE,
    MESSAGE_TYPE,
    SELECTABLE,
    folder_row,
    message_row,
    removed_row,
    shown_id,
)

_SINCE = re.compile(r"^\s*receivedDateTime\s+(ge|gt)\s+(\S+)\s*$", re.IGNORECASE)
_NEWEST_FIRST = re.compile(r"^\s*receivedDateTime\s+desc\s*$", re.IGNORECASE)
_KINDS: dict[str, EntryKind] = {"created": "created", "updated": "updated", "deleted": "deleted"}


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[dict[str, Any]]
    next: Point
    kind: LinkKind


def messages_delta(context: Context, folder_reference: str) -> dict[str, Any]:
    try:
        folder = context.mailbox.folder(folder_reference)
    except KeyError:
        raise sync_folder_not_found() from None
    return _answer(context, folder)


def folders_delta(context: Context) -> dict[str, Any]:
    return _answer(context, None)


def _answer(context: Context, folder: Folder | None) -> dict[str, Any]:
    chains = context.chains
    options = context.options
    url = _delta_url(context, folder)
    skip, delta = options.get("$skiptoken"), options.get("$deltatoken")
    try:
        if skip is not None:
            chain, point = chains.find(skip, "skip", folder.id if folder else None)
        elif delta and delta.lower() != "latest":
            chain, point = chains.find(delta, "delta", folder.id if folder else None)
        else:
            chain, point = _open(context, chains, folder)
    except GraphError as error:
        if error.status == 410 and context.knobs.gone_location:
            error.headers["Location"] = f"{url}?$deltatoken="
        raise
    page = _cut(context, chain, point, folder)
    context.check_page(page.rows)
    link = chains.link(chain, page.next, page.kind)
    name = "@odata.nextLink" if page.kind == "skip" else "@odata.deltaLink"
    kind = "message" if folder else "mailFolder"
    return {
        "@odata.context": f"{context.request.origin}/v1.0/$metadata#Collection({kind})",
        name: f"{url}?${page.kind}token={link}",
        "value": page.rows,
    }


def _delta_url(context: Context, folder: Folder | None) -> str:
    middle = f"mailfolders('{folder.id}')/messages" if folder else "mailfolders"
    return f"{context.request.origin}/v1.0/{context.principal}/{middle}/delta"


def _open(context: Context, chains: Chains, folder: Folder | None) -> tuple[Chain, Point]:
    options = context.options
    selectable, kind = (SELECTABLE, MESSAGE_TYPE) if folder else (FOLDER_SELECTABLE, FOLDER_TYPE)
    since_s, excluded = _since(options, folder)
    top = options.integer("$top", 1, 1_000_000)
    if top is not None and context.knobs.top_on_delta == "reject400":
        raise bad_request("The query parameter '$top' is not supported with change tracking.", "ErrorInvalidUrlQuery")
    for name in ("$search", "$skip", "$count"):
        if options.get(name) is not None:
            raise bad_request(f"The query parameter '{name}' is not supported with change tracking over the resource.")
    terms = Terms(
        principal=context.principal,
        folder_id=folder.id if folder else None,
        select=options.select(selectable, kind),
        since_s=since_s,
        since_excluded=excluded,
        newest_first=_newest_first(options),
        kinds=_kinds(options),
        top=top if context.knobs.top_on_delta == "cap" else None,
    )
    chain = chains.open(terms)
    return chain, Point(0, _first_round(context, chain, folder))


def _since(options: Options, folder: Folder | None) -> tuple[float | None, bool]:
    text = options.get("$filter")
    if text is None:
        return None, False
    match = _SINCE.match(text)
    if match is None or folder is None:
        raise bad_request(
            "The '$filter' parameter value is not supported for 'Messages' resource; "
            "only a value of 'receivedDateTime ge value' is supported.",
            "ErrorInvalidUrlQuery",
        )
    return instant_s(match[2]), match[1].lower() == "gt"


def _newest_first(options: Options) -> bool:
    text = options.get("$orderby")
    if text is not None and not _NEWEST_FIRST.match(text):
        raise bad_request(
            "The '$orderby' parameter value is not supported for 'Messages' resource; "
            "only a value of 'receivedDateTime desc' is supported.",
            "ErrorInvalidUrlQuery",
        )
    return text is not None


def _kinds(options: Options) -> frozenset[EntryKind] | None:
    text = options.get("changetype")
    if text is None:
        return None
    kind = _KINDS.get(text.lower())
    if kind is None:
        raise bad_request(f"The changeType '{text}' is not supported.", "ErrorInvalidUrlQuery")
    return frozenset({kind})


# --- rounds


def _first_round(context: Context, chain: Chain, folder: Folder | None) -> Round:
    if folder is None:
        end = _visible_end(context, context.mailbox.folder_log)
        entries = [Entry("created", item.id) for item in context.mailbox.folders.values() if _tracked(context, item)]
    else:
        end = _visible_end(context, folder.log)
        unseen = {event.immutable_id for event in folder.log[end:] if event.kind == "arrived"}
        entries = [Entry("created", id_) for id_ in folder.members if id_ not in unseen]
    return Round(_arranged(context, chain, entries), end)


def _next_round(context: Context, chain: Chain, folder: Folder | None, position: int) -> Round:
    if folder is None:
        end = max(position, _visible_end(context, context.mailbox.folder_log))
        entries = net_folder_changes(context.mailbox.folder_log[position:end])
    else:
        end = max(position, _visible_end(context, folder.log))
        entries = net_changes(folder.log[position:end], context.knobs)
    return Round(_arranged(context, chain, entries), end)


def _visible_end(context: Context, log: list[Any]) -> int:
    end, until_s = len(log), context.now_s - context.knobs.visibility_delay_s
    while context.knobs.visibility_delay_s > 0 and end > 0 and log[end - 1].at_s > until_s:
        end -= 1
    return end


def _arranged(context: Context, chain: Chain, entries: list[Entry]) -> list[Entry]:
    terms, messages = chain.terms, context.mailbox.messages
    entries = [entry for entry in entries if _wanted(context, terms, entry)]
    if terms.newest_first:

        def age(entry: Entry) -> float:
            message = messages.get(entry.immutable_id)
            return -message.received_s if message else 0.0

        entries.sort(key=age)
    elif terms.folder_id is not None:
        chain.rng.shuffle(entries)
    if terms.since_s is not None:
        del entries[context.knobs.filtered_delta_max :]
    return entries


def _wanted(context: Context, terms: Terms, entry: Entry) -> bool:
    if terms.kinds is not None and entry.kind not in terms.kinds:
        return False
    if entry.kind == "updated" and entry.properties and entry.properties <= READ_ONLY:
        return terms.select is None or "isRead" in terms.select  # a filter does not hold these back
    if terms.since_s is None or entry.kind == "deleted":
        return True
    message = context.mailbox.messages.get(entry.immutable_id)
    if message is None:
        return True
    return message.received_s > terms.since_s if terms.since_excluded else message.received_s >= terms.since_s


def _tracked(context: Context, folder: Folder) -> bool:
    return folder.parent_id is not None and (not folder.hidden or context.knobs.hidden_in_folder_delta)


# --- pages


def _cut(context: Context, chain: Chain, point: Point, folder: Folder | None) -> Page:
    knobs, rng, terms = context.knobs, chain.rng, chain.terms
    round_ = point.round or _next_round(context, chain, folder, point.position)
    at, shown = (point.offset, point.shown) if point.round else (0, 0)
    end = Point(round_.end)
    if not point.idle and knobs.empty_page_probability and rng.random() < knobs.empty_page_probability:
        return Page([], Point(round_.end, round_, at, shown, idle=True), "skip")
    size = min(context.prefer.page_size or knobs.page_size_default, knobs.page_size_max)
    if knobs.short_page_probability and rng.random() < knobs.short_page_probability:
        size = rng.randint(1, size)
    if terms.top is not None:
        size = min(size, terms.top - shown)
        if size <= 0:
            return Page([], end, "delta")
    rows: list[dict[str, Any]] = []
    if folder and size > 1 and knobs.replay_probability and rng.random() < knobs.replay_probability:
        rows += _replay(context, chain, folder, round_.end)
    while at < len(round_.entries) and len(rows) < size:
        row = _row(context, terms, round_.entries[at], folder)
        at += 1
        if row is None:
            continue
        rows.append(row)
        shown += 1
        if knobs.duplicate_probability and len(rows) < size and rng.random() < knobs.duplicate_probability:
            rows.append(row)
    if at < len(round_.entries) or (knobs.trailing_empty_page and rows):
        return Page(rows, Point(round_.end, round_, at, shown, idle=not rows), "skip")
    return Page(rows, end, "delta")


def _replay(context: Context, chain: Chain, folder: Folder, end: int) -> Iterator[dict[str, Any]]:
    """One earlier change again, as the message is now."""
    if end == 0:
        return
    event = folder.log[chain.rng.randrange(end)]
    gone = event.immutable_id not in folder.members
    entry = Entry("deleted" if gone else "created", event.immutable_id, event.mutable_id)
    if chain.terms.kinds is None or entry.kind in chain.terms.kinds:
        row = _row(context, chain.terms, entry, folder)
        if row is not None:
            yield row


def _row(context: Context, terms: Terms, entry: Entry, folder: Folder | None) -> dict[str, Any] | None:
    if folder is None:
        return _folder_row(context, terms, entry)
    immutable = context.prefer.immutable_ids
    if immutable and entry.mutable_only:
        return None
    if entry.kind == "deleted":
        return removed_row(MESSAGE_TYPE, entry.immutable_id if immutable else entry.mutable_id)
    message = context.mailbox.messages.get(entry.immutable_id)
    if message is None or message.folder_id != folder.id:
        return None  # left since the round began: the next round says so
    seen = context.seen(message)
    sparse = context.knobs.sparse
    read_only = bool(entry.properties) and entry.properties <= READ_ONLY
    if entry.kind == "updated" and ((read_only and sparse == "read") or sparse == "all"):
        chosen = terms.select or (*entry.properties,)
        changed = tuple(name for name in chosen if name in entry.properties)
        row = message_row(seen, (*changed, "parentFolderId"), immutable, always_typed=True)
        return row | {"id": shown_id(message, immutable)}
    return message_row(seen, terms.select, immutable, always_typed=True)


def _folder_row(context: Context, terms: Terms, entry: Entry) -> dict[str, Any] | None:
    if entry.kind == "deleted":
        return removed_row(FOLDER_TYPE, entry.immutable_id)
    folder = context.mailbox.folders.get(entry.immutable_id)
    if folder is None or not _tracked(context, folder):
        return None
    return folder_row(context.mailbox, folder, terms.select, typed=True)
