"""A live round: every live chain once, from its delta link to the next; and what is asked before and between rounds.

    to be read                              request
    well-known names, once                  one $batch, and the first page of the folder chain with them
    the folder chain's walk                 its pages, one by one
    several resting chains                  one $batch of their delta links, up to 20
    within a round, or after a failed part  up to two chains side by side, each by itself
    walks that have not begun, of folders
    that fit into a page                    one $batch of their first pages
    other walks                             up to two chains side by side

A part of a batch that failed is asked for by itself: then back-off, refresh and breaker are those of any other call. In
a batch the folder chain counts first, so that a folder is known before the messages that are in it.

A page that can't be read holds up no other folder: its chain is put off to the next invocation, and once nothing else
is left to do, this one ends with the reason.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.graph import batch, delta, refusal
from shared.protocol.graph.chains import Answered, Mailbox, answered, reconciled
from shared.protocol.graph.cursor import BACKFILL, LIVE, LIVE_EVERY, NAMING, STARTING, Chain, Cursor
from shared.protocol.graph.document import read_json
from shared.protocol.graph.folders import SELECT
from shared.protocol.status import Kind, Status
from shared.protocol.step import Call, Compare, Note, Task, Walk
from shared.protocol.wire import Request, Response

FOLDERS = "folders"  # the folder chain's key in a batch
FIRST_PAGES_MAX = 2
SIDE_BY_SIDE = 2  # the lease holder's share of the three requests in flight (DESIGN §3)


def task(box: Mailbox, cursor: Cursor, *, confirmed: bool) -> Task | None:
    if cursor.names:
        return Call((_ask_names(box, cursor),))
    if opens(cursor):
        return Call((delta.request(box.asking, cursor.folders),))
    if not confirmed and due(cursor):
        if asked := waiting(cursor):
            return Call(_requests(box, cursor, asked))
        if cursor.settling:
            return Note()
    return _behind(box, cursor)


def opens(cursor: Cursor) -> bool:
    """The folder chain is walked, before anything else."""
    return cursor.folders.walks and not cursor.folders.read


def due(cursor: Cursor) -> bool:
    return cursor.settling or cursor.walked >= LIVE_EVERY or not left(cursor)


def left(cursor: Cursor) -> bool:
    """There is something to do that is not live."""
    return bool(_walks(cursor) or cursor.sweeps or cursor.job)


def waiting(cursor: Cursor) -> list[Chain]:
    return [chain for chain in cursor.live() if not chain.read]


def _walks(cursor: Cursor) -> list[Chain]:
    return [chain for chain in cursor.walking() if not chain.read and not chain.missing]


def _behind(box: Mailbox, cursor: Cursor) -> Task | None:
    """What waits for live changes."""
    job = cursor.job
    if job and job.phase == STARTING:
        return Note()
    if job and job.phase == NAMING:
        return Walk("known", job.page, job.offset, unknown=False)
    if first := _first_pages(box, cursor):
        return Call((_batched(box, first),))
    if walks := _walks(cursor)[:SIDE_BY_SIDE]:
        return Call(tuple(delta.request(box.asking, chain) for chain in walks))
    if cursor.sweeps:
        return Compare()
    return Note() if box.put_off or (job and not cursor.walking()) else None


def _requests(box: Mailbox, cursor: Cursor, asked: list[Chain]) -> tuple[Request, ...]:
    together = _together(asked)
    if together:
        return (_batched(box, together),)
    return tuple(delta.request(box.asking, chain) for chain in asked[:SIDE_BY_SIDE])


def _together(asked: list[Chain]) -> list[Chain]:
    fit = [chain for chain in asked if chain.resting and not chain.alone][: batch.PARTS_MAX]
    return fit if len(fit) > 1 else []


def _first_pages(box: Mailbox, cursor: Cursor) -> list[Chain]:
    """Walks of one origin that begin together, with no more rows in all than two pages have."""
    fit: list[Chain] = []
    rows = 0
    for chain in _walks(cursor):
        folder = box.folders.get(chain.folder)
        total = folder.total if folder else 0
        begins = not (chain.link or chain.listing or chain.alone) and total <= box.asking.page_size
        fits = rows + total <= FIRST_PAGES_MAX * box.asking.page_size
        if begins and fits and (not fit or chain.origin == fit[0].origin):
            fit.append(chain)
            rows += total
    fit = fit[: batch.PARTS_MAX]
    return fit if len(fit) > 1 else []


def _batched(box: Mailbox, chains: list[Chain]) -> Request:
    parts = [(_key(box, chain), delta.request(box.asking, chain)) for chain in chains]
    return batch.build(parts, box.asking.origin)


def _key(box: Mailbox, chain: Chain) -> str:
    return str(box.folders.code(chain.folder)) if chain.folder else FOLDERS


def received(box: Mailbox, cursor: Cursor, request: Request, response: Response) -> tuple[Answered, str]:
    """What the answer comes to, and its origin: what is LIVE belongs to a live round."""
    if request.path == batch.PATH:
        if cursor.names:
            return _names(box, cursor, response), BACKFILL
        first = _first_pages(box, cursor)
        if first and request == _batched(box, first):
            return _batch(box, cursor, first, response), first[0].origin
        return _batch(box, cursor, _together(waiting(cursor)), response), LIVE
    for chain in (cursor.folders, *cursor.chains):
        if delta.request(box.asking, chain) == request:
            return _answered(box, cursor, chain, response), chain.origin or LIVE
    raise ContractBroken("an answer to nothing that was asked")


def _batch(box: Mailbox, cursor: Cursor, chains: list[Chain], response: Response) -> Answered:
    parts = batch.parse(response)
    found = Answered(cursor)
    for asked in chains:
        chain = found.cursor.chain(asked.folder) if asked.folder else found.cursor.folders
        if chain is not None:
            found.add(_part(box, found.cursor, chain, parts.get(_key(box, asked))))
    return found


def _part(box: Mailbox, cursor: Cursor, chain: Chain, part: Response | None) -> Answered:
    if part is not None and refusal.read(part, None).kind in (Kind.OK, Kind.NOT_FOUND):
        with suppress(ContractBroken, ProviderDown):
            return _followed(box, chain, answered(box, cursor, chain, part))
    return Answered(cursor.put(replace(chain, alone=True)))


def _answered(box: Mailbox, cursor: Cursor, chain: Chain, response: Response) -> Answered:
    try:
        found = answered(box, cursor, chain, response)
    except (ContractBroken, ProviderDown):
        box.put_off.add(chain.folder)
        found = Answered(cursor.put(replace(chain, read=True, listing="")))
    return _followed(box, chain, found)


def _followed(box: Mailbox, chain: Chain, found: Answered) -> Answered:
    """Where the folder chain can't be walked now, those folders are followed that are known by name."""
    if not chain.folder and chain.walks and found.cursor.folders.read:
        found.cursor = reconciled(box, found.cursor)
    return found


def ended(cursor: Cursor) -> Cursor:
    """The round is over: the next one reads every chain again."""
    fresh = cursor.each(lambda chain: chain if chain.walks else replace(chain, read=False, alone=False))
    return replace(fresh, walked=0, settling=False)


# --- names


def _ask_names(box: Mailbox, cursor: Cursor) -> Request:
    asking = box.asking
    parts = [(name, asking.get(f"{delta.ROOT}/mailFolders/{name}", ("$select", SELECT))) for name in cursor.names]
    if _opens_too(cursor):
        parts.append((FOLDERS, delta.request(asking, cursor.folders)))
    return batch.build(parts, asking.origin)


def _opens_too(cursor: Cursor) -> bool:
    return opens(cursor) and not cursor.folders.alone


def _names(box: Mailbox, cursor: Cursor, response: Response) -> Answered:
    """A mailbox need not have all of them. Parts that failed are asked for again, while others come through."""
    parts = batch.parse(response)
    failed: dict[str, Status] = {}
    for name in cursor.names:
        part = parts.get(name)
        status = refusal.read(part, None, of_batch=True) if part else Status(Kind.DOWN, 0, "missing")
        if part and status.kind is Kind.OK:
            box.folders.named(name, _folder(part))
        elif status.kind is not Kind.NOT_FOUND:
            failed[name] = status
    if len(failed) == len(cursor.names):
        next(iter(failed.values())).raise_unless_ok()
    after = replace(cursor, names=tuple(failed))
    return _part(box, after, cursor.folders, parts.get(FOLDERS)) if _opens_too(cursor) else Answered(after)


def _folder(part: Response) -> Mapping[str, Any]:
    row = read_json(part.body)
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise ContractBroken("a folder can't be read")
    return row
