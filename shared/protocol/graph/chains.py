"""What a chain's answer does to the cursor: its link moves on, its rows are shown, folders come and go.

    answer                    message chain                             folder chain
    nextLink                  the link                                  the link
    deltaLink                 resting; a first walk leaves its floor    resting; what a whole walk did not show is gone
    410                       walked again, then swept                  walked again
    404                       missing, until the folder chain is read   ContractBroken
    403 over quota            its list is read instead                  put off to the next invocation
    a row without an id       passed over; walked again, then swept     ContractBroken: it may be any folder's

A folder that appears gets a chain, one that goes or is not tracked any more loses it; of one that is gone the index
entries are swept: each of its messages is read before anything is said of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.core.errors import ContractBroken
from shared.protocol.graph import delta, message, refusal
from shared.protocol.graph.cursor import BACKFILL, FIRST, LIVE, RESYNC, Chain, Cursor, Job
from shared.protocol.graph.debts import Debts
from shared.protocol.graph.delta import Asking, Page
from shared.protocol.graph.folders import FolderTable
from shared.protocol.graph.known import Prefixes
from shared.protocol.wire import Response

DELTA_EXPIRED, DELTA_UNREADABLE = "delta_expired", "delta_unreadable"
OVER_QUOTA = "mailbox_over_quota"
PIN_S = 300.0  # how far the provider's clock may be behind ours when the mailbox is connected
LATE_S = 900.0  # how late a change may show (facts A1-19), with room: a notification may take 3 minutes (A3-13)
LIGHT_FACTOR = 2  # a chain has no bodies where more than this times N messages are in the folder
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What does not change with the cursor: how the mailbox is asked, its tables, and what this invocation has met.

    denied      messages whose read was denied
    put_off     folders of which a page or row can't be read ("" for the folder chain): the next invocation tries again
    begun_anew  folders walked again for a live row without an id: who always has one must not walk for ever
    """

    asking: Asking
    folders: FolderTable
    ids: Prefixes
    debts: Debts
    denied: set[str] = field(default_factory=set)
    put_off: set[str] = field(default_factory=set)
    begun_anew: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Answered:
    """`shown`: (folder, row, emit); `pages`: ids to store; `said`: an alert raised (True) or cleared (False)."""

    cursor: Cursor
    shown: list[tuple[str, Row, bool]] = field(default_factory=list)
    pages: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    said: bool | None = None

    def add(self, other: "Answered") -> None:
        """What comes of the next chain, read from this one's cursor."""
        self.cursor, self.reason = other.cursor, other.reason or self.reason
        self.shown += other.shown
        self.pages |= other.pages
        self.said = other.said if self.said is None else self.said


def answered(box: Mailbox, cursor: Cursor, chain: Chain, response: Response) -> Answered:
    """`response`: 2xx, or one of those that refusal.py leaves to the protocol."""
    if refusal.is_over_quota(response):
        return _over_quota(cursor, chain)
    if refusal.is_dead_link(response):
        return Answered(_dead(cursor, chain))
    if response.status == 404:
        return Answered(_missing(cursor, chain))
    page = delta.read_page(box.asking, response, chain.listing or chain.link, of_list=bool(chain.listing))
    if page.unreadable and not chain.folder:
        raise ContractBroken("a row has no id")
    found = _messages(box, cursor, chain, page) if chain.folder else Answered(_folders(box, cursor, chain, page))
    if cursor.over_quota and not chain.listing:
        found.cursor, found.said = replace(found.cursor, over_quota=False), False
    return found


def _over_quota(cursor: Cursor, chain: Chain) -> Answered:
    """The folder chain has no list that could be read instead, and a list that is refused as well is put off too."""
    lists = chain.folder and not chain.listing
    put = replace(chain, listing=FIRST, alone=True) if lists else replace(chain, read=True, listing="")
    after = replace(cursor.put(put), over_quota=True)
    return Answered(after, reason=OVER_QUOTA, said=None if cursor.over_quota else True)


def alert(*, raised: bool) -> tuple[str, dict[str, Any]]:
    detail = "mail is listed by the time it came, until the provider tells changes again" if raised else ""
    return f"tidemark.alert.{'raised' if raised else 'cleared'}", {"alert": OVER_QUOTA, "detail": detail}


def _dead(cursor: Cursor, chain: Chain) -> Cursor:
    """A first request has no state that could be dead."""
    if not chain.link and chain.listing in ("", FIRST):
        raise ContractBroken("the provider says that a first request has expired")
    after = cursor.put(chain.again())
    if not chain.folder:
        return replace(after, shown=())
    return replace(after, job=after.job or Job(DELTA_EXPIRED)) if chain.origin != BACKFILL else after


def _missing(cursor: Cursor, chain: Chain) -> Cursor:
    """The folder chain is read (again) in this round, and says whether the folder is gone or has to be walked again."""
    if not chain.folder:
        raise ContractBroken("the provider does not find the folder chain")
    after = cursor.put(replace(chain, missing=True, read=True, listing=""))
    return after.put(replace(after.folders, read=False)) if chain.link and not chain.walks else after


# --- messages


def _messages(box: Mailbox, cursor: Cursor, chain: Chain, page: Page) -> Answered:
    shown: list[tuple[str, Row, bool]] = []
    rows, oldest_s, seen_s, received_s = chain.rows, chain.oldest_s, chain.seen_s, chain.received_s
    begins = _begins(chain, page)
    for row in page.rows:
        if delta.left(row):
            shown.append((chain.folder, row, False))
            continue
        came_s = message.received_s(row)
        emit = _emits(cursor, chain, row, rows, came_s)
        if emit and came_s is not None:
            oldest_s = came_s if oldest_s is None else min(oldest_s, came_s)
        rows += 1
        received_s = max(received_s, came_s or 0.0)
        if begins:
            seen_s = max(seen_s, message.modified_ms(row) / 1000)
        shown.append((chain.folder, row, emit))
    moved = replace(chain, rows=rows, oldest_s=oldest_s, seen_s=seen_s, received_s=received_s)
    pages = {}
    if chain.walks and chain.pass_:
        ids = [box.ids.pack(row["id"]) for row in page.rows if not delta.left(row)]
        pages[f"{table(box, chain)}/{chain.pages}"] = ids
        moved = replace(moved, pages=chain.pages + 1)
    if page.unreadable and not chain.listing:  # behind a list, the delta link will tell
        if not chain.walks and chain.folder not in box.begun_anew:
            box.begun_anew.add(chain.folder)
            return Answered(_made_good(cursor, moved), shown)
        box.put_off.add(chain.folder)
        moved = replace(moved, odd=True)
    return Answered(_moved(cursor, chain, moved, page), shown, pages)


def _begins(chain: Chain, page: Page) -> bool:
    """Whether nothing that is older than this page's newest change is still to be told.

    The first page of a first walk: what changes while the others are read, they need not show. A live round of one
    page: else the link may die before the others tell what is older. A list tells no change, a resync is for changes.
    """
    if chain.walks:
        return chain.origin == BACKFILL and not chain.rows
    return chain.resting and page.ended and not chain.listing and not page.unreadable


def table(box: Mailbox, chain: Chain) -> str:
    """The stored ids of the folder's present walk."""
    return f"{box.folders.code(chain.folder)}.{chain.pass_}"


def _emits(cursor: Cursor, chain: Chain, row: Row, rows: int, came_s: float | None) -> bool:
    """Whether a message that nobody has named before is named because of this row; `rows` are before it in the walk."""
    if not chain.walks or cursor.wanted is None:
        return True
    if chain.origin == RESYNC and chain.floor_s is not None:
        if came_s is None or came_s >= chain.floor_s:
            return True
        return message.modified_ms(row) / 1000 > max(chain.seen_s - LATE_S, cursor.since_s - PIN_S)
    if cursor.wanted == 0:
        return came_s is not None and came_s >= cursor.since_s - PIN_S and row["id"] not in cursor.pins
    return rows < cursor.wanted


def _moved(cursor: Cursor, chain: Chain, moved: Chain, page: Page) -> Cursor:
    after = replace(cursor, walked=cursor.walked + 1) if chain.walks else cursor
    if chain.listing:
        return after.put(_listed(cursor, moved, page))
    moved = replace(moved, link=page.link, resting=page.ended, alone=False)
    if not page.ended:
        return after.put(moved)
    if not chain.walks:
        return after.put(replace(moved, origin="", read=True))
    after = after.put(replace(moved, origin="", floor_s=_floor_s(cursor, moved)))
    after = after if after.walking() else replace(after, pins=())
    return after.sweep(chain.folder) if chain.pass_ else after


def _made_good(cursor: Cursor, chain: Chain) -> Cursor:
    """A row without an id may have been anything of this folder: what it said is found by a walk and a sweep."""
    after = cursor.put(chain.again())
    return replace(after, job=after.job or Job(DELTA_UNREADABLE))


def _floor_s(cursor: Cursor, chain: Chain) -> float:
    """What the first walk leaves behind: the oldest message that it named, else the time of connection."""
    if chain.floor_s is not None:
        return chain.floor_s
    return 0.0 if cursor.wanted is None else cursor.since_s if chain.oldest_s is None else chain.oldest_s


def _listed(cursor: Cursor, chain: Chain, page: Page) -> Chain:
    """A list has no deltaLink: once it is read, the chain waits for another try. A first walk has its floor now."""
    if not page.ended and not (chain.walks and cursor.wanted is not None and chain.rows >= cursor.wanted):
        return replace(chain, listing=page.link, alone=True)
    if chain.walks:
        chain = replace(chain.again(), origin=RESYNC, floor_s=_floor_s(cursor, chain))
    return replace(chain, listing="", read=True, alone=False)


# --- folders


def _folders(box: Mailbox, cursor: Cursor, chain: Chain, page: Page) -> Cursor:
    had = {folder.id for folder in box.folders.all_tracked()}
    for row in page.rows:
        box.folders.shown(row)
    shown = cursor.shown
    if chain.walks:
        shown += tuple(box.folders.code(row["id"]) for row in page.rows if not delta.left(row))
    whole = page.ended and chain.walks and chain.pass_ > 0
    if whole:
        for folder in list(box.folders.present()):
            if not folder.well_known and box.folders.code(folder.id) not in shown:
                box.folders.lost(folder.id)
    first = chain.origin == BACKFILL
    moved = replace(chain, link=page.link, resting=page.ended)
    after = replace(cursor, shown=() if page.ended else shown)
    if whole:  # where the cursor was lost, so was the chain of what is gone, or its sweep: the index may still have it
        after = replace(after, sweeps=tuple(dict.fromkeys((*after.sweeps, *box.folders.gone()))))
    if not page.ended:
        return after.put(moved)
    after = after.put(replace(moved, origin="", read=not chain.walks))
    if first:
        return replace(reconciled(box, after), walked=0)
    return _resolved(reconciled(box, after, had))


def reconciled(box: Mailbox, cursor: Cursor, had: set[str] | None = None) -> Cursor:
    """A chain for each tracked folder, and no other. `had`: those tracked before; what is new then came while live."""
    for chain in cursor.chains:
        if box.folders.tracked(chain.folder):
            continue
        cursor = cursor.without(chain.folder)
        folder = box.folders.get(chain.folder)
        if folder is not None and folder.gone:
            cursor = cursor.sweep(chain.folder)
    for folder in box.folders.all_tracked():
        if cursor.chain(folder.id) is not None:
            continue
        if had is not None and folder.id not in had:
            cursor = cursor.put(Chain(folder.id, origin=LIVE, floor_s=0.0))  # whatever is in it is named
            continue
        light = cursor.wanted is not None and folder.total > LIGHT_FACTOR * cursor.wanted
        if cursor.job is not None and cursor.job.reason:
            cursor = cursor.put(Chain(folder.id, origin=RESYNC, light=light, pass_=1))
        else:
            cursor = cursor.put(Chain(folder.id, origin=BACKFILL, light=light))
    return cursor


def _resolved(cursor: Cursor) -> Cursor:
    """What was missing is still there, as the folder chain says: its chain has to begin anew."""
    for chain in cursor.chains:
        if chain.missing:
            cursor = cursor.put(chain.again())
            cursor = replace(cursor, job=cursor.job or Job(DELTA_EXPIRED))
    return cursor
