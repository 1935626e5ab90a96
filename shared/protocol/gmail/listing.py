"""Listings: which ids exist, which carry a label, which are newer than the floor; and what follows each of them.

    job             listings, in order                           then
    first sync      ids (newest N outside SPAM and TRASH, or all)  Walking
    resync          ids, labels, one per label                     Sweeping, then as below
    both, floor     candidates: ids newer than the floor, less a day (Gmail's search uses its index date)  Walking

A listing proves presence only. Where it runs over several pages, a removal meanwhile may have moved an id onto a page
that was read already: ids and candidates are then listed again, and differences of labels are confirmed by a read.
A page token that is refused is dropped, and the listing made again; a label that is refused is gone, and lists nothing.

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
"""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, Field

from shared.core.quota import Prices
from shared.protocol.gmail.cursor import (
    CANDIDATES,
    IDS,
    LABELS,
    LISTING_PASSES_MAX,
    Backfill,
    Cursor,
    Job,
    Judged,
    Listing,
    Naming,
    Reading,
    Starting,
    Sweeping,
    Walking,
)
from shared.protocol.gmail.history import Id, another, parsed
from shared.protocol.gmail.known import Known, pack_id, unpack_id
from shared.protocol.step import Fact, Step, Walked
from shared.protocol.wire import Request, Response

PAGE_SIZE_MAX = 500  # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list
STEP_MESSAGES_MAX = 100
INDEX_DATE_SLACK_S = 86_400


class _Listed(BaseModel):
    id: Id
    threadId: Id | None = None


class _ListPage(BaseModel):
    messages: list[_Listed] | None = None
    nextPageToken: Annotated[str, Field(max_length=4096)] | None = None


class _Label(BaseModel):
    id: Id


class _LabelList(BaseModel):
    labels: list[_Label] | None = None


def request(listing: Listing, floor_s: float | None, prices: Prices) -> Request:
    if listing.query == LABELS:
        return Request("GET", "/gmail/v1/users/me/labels", units=prices.label_list)
    job = listing.job
    left = PAGE_SIZE_MAX if listing.query != IDS or job.wanted is None else job.wanted - listing.listed
    query = [("maxResults", str(min(PAGE_SIZE_MAX, left)))]
    if listing.query == CANDIDATES:
        query.append(("q", f"after:{max(0, int((floor_s or 0) - INDEX_DATE_SLACK_S))}"))
    elif listing.query != IDS:
        query.append(("labelIds", listing.query))
    if listing.query != IDS or job.wanted is None:
        query.append(("includeSpamTrash", "true"))
    if listing.page_token:
        query.append(("pageToken", listing.page_token))
    perishable = listing.page_token is not None or listing.query not in (IDS, CANDIDATES)
    return Request("GET", "/gmail/v1/users/me/messages", tuple(query), units=prices.message_list, perishable=perishable)


def receive(cursor: Cursor, listing: Listing, response: Response) -> Step[Cursor]:
    """One page stored, or, where a first sync's page is all there is and fits into one step, acted on at once.

    Candidates are always walked: what is older than the floor is read and leaves no trace, so only a walk, which
    remembers what it has settled, gets past more of them than an invocation can read.
    """
    if listing.query == LABELS:
        labels = tuple(label.id for label in parsed(_LabelList, response).labels or ())
        return moved(cursor, _next_label(replace(listing, labels=labels)))
    if response.status >= 400:
        return moved(cursor, _refused(listing))
    page = parsed(_ListPage, response)
    wanted = listing.job.wanted if listing.query == IDS else None
    items = list({item.id: item for item in page.messages or ()}.values())
    items = items if wanted is None else items[: wanted - listing.listed]
    listed = listing.listed + len(items)
    ended = not page.nextPageToken or (wanted is not None and listed >= wanted)
    if not ended:
        another(page.nextPageToken or "", listing.page_token)
    whole = ended and listing.page == 0 and listing.page_token is None
    if whole and len(items) <= STEP_MESSAGES_MAX and listing.query == IDS and not listing.job.sweep:
        facts = tuple(Fact(item.id, item.threadId, content=True) for item in items)
        return replace(finished(cursor, listing.job), facts=facts)
    stored = {f"{table(listing.query)}/{listing.page}": [pack_id(item.id) for item in items]}
    after = replace(listing, page=listing.page + 1, page_token=page.nextPageToken, listed=listed)
    step = moved(cursor, _listed(after, whole) if ended else after, pages=stored)
    return replace(step, clear=listing.query == IDS and listing.page == 0)  # of a listing that was given up


def _refused(listing: Listing) -> Backfill:
    if listing.page_token is None:
        return _next_label(listing)
    return replace(listing, job=replace(listing.job, again=True), page_token=None, listed=0)


def _listed(listing: Listing, whole: bool) -> Backfill:
    """What follows the last page: a judgement, unless one page was all (then nothing can have moved)."""
    if listing.query not in (IDS, CANDIDATES):
        return _next_label(listing)
    return follow(listing) if whole else Judged(listing)


def waited(cursor: Cursor, backfill: Judged | Sweeping) -> Step[Cursor]:
    """History shows late: only now does it tell of every removal while the listing ran, to the round that follows."""
    return moved(cursor, replace(backfill, waited=True))


def judged(listing: Listing) -> Backfill:
    """A listing with removals meanwhile is read again; the pages of all passes add up, so the bound loses little."""
    if listing.clean or listing.passes + 1 >= LISTING_PASSES_MAX:
        return follow(listing)
    return replace(listing, page_token=None, listed=0, clean=True, passes=listing.passes + 1)


def follow(listing: Listing) -> Backfill:
    job = listing.job
    if listing.query == IDS and job.sweep:
        return Listing(job, LABELS, clean=listing.clean)
    return Walking(job, listing.query)


def _next_label(listing: Listing) -> Backfill:
    if not listing.labels:
        return Sweeping(listing.job, listing.clean)
    label, *rest = listing.labels
    return Listing(listing.job, label, clean=listing.clean, labels=tuple(rest))


def swept(cursor: Cursor, job: Job) -> Backfill:
    """After the comparison: what the mailbox has and the index does not."""
    if cursor.floor_s == 0:
        return Walking(job, IDS)
    return candidates(cursor, job)


def candidates(cursor: Cursor, job: Job) -> Listing:
    """Before the first sync has ended there is no floor: the newest N are listed as at first."""
    if cursor.floor_s:
        return Listing(replace(job, sweep=False), CANDIDATES)
    return Listing(replace(job, sweep=False, wanted=cursor.wanted), IDS)


def walked(cursor: Cursor, walking: Walking | Naming, found: Walked) -> Step[Cursor]:
    """Ids of a stored page, with what follows: all are read, for none of them is told by a listing."""
    job = walking.job
    if found.lost:  # and with it how far it has been read: made again
        if isinstance(walking, Naming):
            return moved(cursor, Starting(job))
        return moved(cursor, Listing(replace(job, again=True), walking.query))
    facts = tuple(Fact(message_id, content=True) for message_id in found.ids)
    if not found.ended:
        step = moved(cursor, replace(walking, page=found.page, offset=found.offset))
    elif isinstance(walking, Naming):
        step = replace(moved(cursor, Listing(job, IDS) if job.sweep else candidates(cursor, job)), clear=True)
    else:
        step = finished(cursor, job)
    return replace(step, facts=facts, origin=job.origin, name_again=isinstance(walking, Naming))


def started(cursor: Cursor, job: Job) -> Step[Cursor]:
    began = ("tidemark.snapshot.began", {"snapshot_id": job.snapshot_id})
    return replace(moved(cursor, Naming(job)), note_known=True, events=(began,), clear=True)


def finished(cursor: Cursor, job: Job) -> Step[Cursor]:
    """A first sync that was begun again has read what is the newest N by now: between these and what it had named
    before, or what history would have told since the connection, there may be others, which are listed after it."""
    if cursor.floor_s is None and (job.origin == "resync" or job.again) and job.oldest_s:
        since = replace(cursor, floor_s=job.oldest_s)
        return replace(moved(since, Listing(replace(job, wanted=None), CANDIDATES)), floor_s=None, clear=True)
    events: list[tuple[str, dict[str, Any]]] = []
    if job.content:
        events.append(("tidemark.snapshot.ended", {"snapshot_id": job.snapshot_id}))
    if job.origin == "resync":
        events.append(("tidemark.account.resynced", {"reason": job.reason}))
    floor_s = job.oldest_s if cursor.floor_s is None else cursor.floor_s
    after = replace(cursor, backfill=None, floor_s=floor_s)
    return Step(after, origin=job.origin, floor_s=cursor.floor_s, clear=True, events=tuple(events))


def moved(cursor: Cursor, backfill: Backfill, pages: dict[str, list[str]] | None = None) -> Step[Cursor]:
    """A backfill step that only moves on."""
    job = backfill.listing.job if isinstance(backfill, Judged) else backfill.job
    return Step(replace(cursor, backfill=backfill), origin=job.origin, floor_s=cursor.floor_s, pages=pages or {})


def compare(
    sweeping: Sweeping, listed: dict[str, set[str]], known: dict[str, Known], listings: frozenset[str]
) -> tuple[Fact, ...]:
    """Facts for what differs, in the order of the packed ids: absent ids (a read confirms), and labels.

    `listed` maps every listed id to the labels that list it; both are keyed by packed ids. `listings` are the labels
    that were listed. A difference of these is taken from the listings where no removal was seen meanwhile and history
    has not touched the message since the pin; else the message is read (`gone` asks for that).
    """
    facts = []
    for packed in sorted(known):
        entry = known[packed]
        labels = listed.get(packed)
        if packed <= sweeping.after or (labels is not None and entry.labels == labels):
            continue
        differing = (labels or set()) ^ entry.labels
        untouched = sweeping.clean and entry.version < sweeping.job.pin
        if labels is not None and untouched and listings.issuperset(differing):
            said = {label: (label in labels, sweeping.job.pin) for label in differing}
            facts.append(Fact(unpack_id(packed), version=str(sweeping.job.pin), labels=said))
        else:
            facts.append(Fact(unpack_id(packed), gone=True))
    return tuple(facts)


def compared(cursor: Cursor, sweeping: Sweeping, facts: tuple[Fact, ...]) -> Step[Cursor]:
    """One step of a comparison: its first facts, up to which the index is settled; without facts, what follows."""
    if facts:
        after = pack_id(facts[-1].message_id)
        return replace(moved(cursor, replace(sweeping, after=after)), facts=facts)
    follows = swept(cursor, sweeping.job)
    return replace(moved(cursor, follows), clear=isinstance(follows, Listing))


def table(query: str) -> str:
    """The stored listing's name; a label id can't be taken for one of ours."""
    return query if query in (IDS, CANDIDATES) else f"={query}"


def noticed_removals(cursor: Cursor, live: Reading) -> Backfill | None:
    """A live round with removals taints the listing that it ran beside."""
    backfill = cursor.backfill
    if not live.removals:
        return backfill
    match backfill:
        case Listing() | Sweeping():
            return replace(backfill, clean=False)
        case Judged(listing):
            return replace(backfill, listing=replace(listing, clean=False))
    return backfill


def start(job: Job) -> Backfill:
    return Starting(job) if job.content else Listing(job, IDS)
