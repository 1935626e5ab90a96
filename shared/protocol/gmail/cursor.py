"""Where a Gmail mailbox's reading stands: a pair of a live cursor and, while there is one, a backfill.

    live       next request                    answer     next live
    Pinning    GET profile                     200        Reading(since=its historyId)
    Reading    GET history(since, page token)  200        Reading(same since, next token) | Reading(since=upto)
                                                          (stored only where there is no nextPageToken)
    Reading    GET history                     404        Pinning, and the backfill becomes a resync

    backfill   what it does                                                    then
    Starting   says that a snapshot began, notes every known id                Naming
    Naming     names every known message once (the snapshot)                   Listing
    Listing    GET messages, page by page, stored as pages of ids              Listing(next) | Judged
    Judged     waits until history shows all that happened up to the last      Listing(again | labels) | Walking
               page; a live round has been read since: was the listing clean?
    Sweeping   waits likewise; compares listing and index: absent ids, labels  Listing(candidates) | Walking
    Walking    reads listed ids that the index does not have                   None

Page tokens are positional: a removal while paging moves another id onto a page already read. So a listing of several
pages counts only if no removal was seen from before its first page to after its last (`clean`); else it is read again.

There is no offset inside a page: an event is the difference between index and provider, so a page read again after a
stop costs what it has not said yet, and nothing is said twice.

Source: https://developers.google.com/workspace/gmail/api/guides/sync; rejected: the guide's "historyId of the newest
message" as first cursor, which in a quiet mailbox has expired already (gauteh/lieer#301).
"""

from dataclasses import dataclass
from typing import Any

import orjson

from shared.core.errors import ContractBroken

LISTING_PASSES_MAX = 5


@dataclass(frozen=True, slots=True)
class Pinning:
    """The next history id is not known: read it before anything is listed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`since` is exclusive and stays while paging; `upto` is the first page's history id, the next `since`.

    `untouched` until the first history answer; `removals`: this round showed a removal; `unreadable`: a record of this
    page can't be read.
    """

    since: int
    page_token: str | None = None
    upto: int | None = None
    untouched: bool = False
    removals: bool = False
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Why we list, and what has come of it.

    wanted     newest N to read; None = all that is listed
    sweep      compare the listing with the index (after history or the cursor was lost)
    content    name every known message again, between snapshot events
    oldest_s   oldest `received_at` emitted so far, at most the time of connection: the floor, once a first sync ends
    pin        history id at the time of the pin: index entries above it have seen history since
    again      a first listing was acted on in part, and is made again: what is the newest N has changed since
    """

    origin: str
    wanted: int | None
    sweep: bool = False
    content: bool = False
    snapshot_id: str = ""
    reason: str = ""
    oldest_s: float = 0.0
    pin: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True)
class Starting:
    job: Job


@dataclass(frozen=True, slots=True)
class Naming:
    job: Job
    page: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of one listing. `page` numbers the stored pages over all passes, which add up.

    query    IDS, CANDIDATES (newer than the floor), LABELS (their list), or a label's id
    labels   label ids that are still to be listed after this one
    """

    job: Job
    query: str
    page: int = 0
    page_token: str | None = None
    listed: int = 0
    clean: bool = True
    passes: int = 0
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """`waited`: whatever happened while it was listed is shown by history now."""

    listing: Listing
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Sweeping:
    """`after`: index entries up to this one (in order) are compared already. `waited`: as of Judged."""

    job: Job
    clean: bool
    after: str = ""
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Walking:
    job: Job
    query: str
    page: int = 0
    offset: int = 0


IDS, CANDIDATES, LABELS = "ids", "candidates", "labels"

Live = Pinning | Reading
Backfill = Starting | Naming | Listing | Judged | Sweeping | Walking


@dataclass(frozen=True, slots=True)
class Cursor:
    """`wanted` is what the first sync was asked for; what is older than `floor_s` and unknown is not emitted.

    `floor_s` is None until the first sync has ended, and 0 where everything is wanted.
    """

    live: Live
    backfill: Backfill | None = None
    wanted: int | None = None
    floor_s: float | None = None


_LIVE: dict[str, type[Live]] = {"pinning": Pinning, "reading": Reading}
_BACKFILL: dict[str, type[Any]] = {
    "starting": Starting,
    "naming": Naming,
    "listing": Listing,
    "judged": Judged,
    "sweeping": Sweeping,
    "walking": Walking,
}
_NAMES = {kind: name for name, kind in (*_LIVE.items(), *_BACKFILL.items())}


def encode(cursor: Cursor) -> str:
    def tagged(part: Live | Backfill) -> list[Any]:
        return [_NAMES[type(part)], part]

    backfill = tagged(cursor.backfill) if cursor.backfill else None
    return orjson.dumps([tagged(cursor.live), backfill, cursor.wanted, cursor.floor_s]).decode()


def decode(text: str) -> Cursor:
    """Raises ContractBroken for what `encode` did not write: it is lost state, never a guess."""
    try:
        live, backfill, wanted, floor_s = orjson.loads(text)
        return Cursor(
            _LIVE[live[0]](**live[1]), _backfill(*backfill) if backfill else None, wanted=wanted, floor_s=floor_s
        )
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ContractBroken("the stored cursor can't be read") from error


def reached(cursor: Cursor) -> int:
    """The history id up to which everything has been read; 0 while a round is under way, or none is known."""
    live = cursor.live
    return live.since if isinstance(live, Reading) and live.page_token is None else 0


def _backfill(name: str, fields: dict[str, Any]) -> Backfill:
    if name == "judged":
        return Judged(**{**fields, "listing": _listing(fields["listing"])})
    if name == "listing":
        return _listing(fields)
    fields["job"] = Job(**fields["job"])
    found: Backfill = _BACKFILL[name](**fields)
    return found


def _listing(fields: dict[str, Any]) -> Listing:
    return Listing(**{**fields, "job": Job(**fields["job"]), "labels": tuple(fields["labels"])})
