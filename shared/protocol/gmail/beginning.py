"""How the reading of a mailbox begins, and begins again.

    why                                      live             backfill
    connected                                since the pin    the newest N, or all; none where N is 0
    connected again after Redis was lost     since the pin    the same, as a snapshot
    the cursor was lost, or can't be read    pinned again     ids and labels compared with the index, then new ids
    history expired                          pinned again     the same
    a record of history can't be read        goes on          the same
    a resync asked for                       goes on          the same; with `content` a snapshot

What history no longer tells is made good by a comparison; that debt stays until it is paid, whatever is asked then.
"""

from dataclasses import replace

from shared.protocol.gmail import listing
from shared.protocol.gmail.cursor import Cursor, Job, Judged, Listing, Pinning, Reading, Starting

HISTORY_EXPIRED = "history_expired"
HISTORY_UNREADABLE = "history_unreadable"
CURSOR_LOST = "cursor_lost"


def first(history_id: int, wanted: int | None, connected_s: float, snapshot_id: str = "") -> Cursor:
    """The cursor of a new account: the history id was read before anything is listed. 0: only what arrives from now."""
    floor_s = 0.0 if wanted is None else connected_s if wanted == 0 else None
    live = Reading(history_id, untouched=True)
    if wanted == 0 and not snapshot_id:
        return Cursor(live, None, wanted, floor_s)
    job = Job("backfill", wanted, content=bool(snapshot_id), snapshot_id=snapshot_id, oldest_s=connected_s)
    return Cursor(live, listing.start(job), wanted, floor_s)


def distrusted(cursor: Cursor) -> Cursor:
    """An old cursor of a mailbox that was never synced: the provider has to answer 200 to it before it is listed."""
    live = cursor.live
    return replace(cursor, live=replace(live, untouched=False)) if isinstance(live, Reading) else cursor


def lost(wanted: int | None, connected_s: float) -> Cursor:
    """After the cursor was lost: pin again, list again, compare with the index. The floor was in it: the time of
    connection is one too, since whatever is older and was said is in the index."""
    job = Job("resync", None, sweep=True, reason=CURSOR_LOST)
    return Cursor(Pinning(), listing.start(job), wanted, 0.0 if wanted is None else connected_s)


def restarted(cursor: Cursor, reason: str, *, content: bool = False, snapshot_id: str = "") -> Cursor:
    """List again and compare (`content`: name everything again). A running content job stays one, and so does a
    comparison that is still due. A round of history under way is begun anew."""
    running = cursor.backfill.listing if isinstance(cursor.backfill, Judged) else cursor.backfill
    sweep = not content or reason in (HISTORY_EXPIRED, HISTORY_UNREADABLE)
    oldest_s = 0.0
    if running is not None:
        sweep = sweep or running.job.sweep
        oldest_s = running.job.oldest_s if cursor.floor_s is None else 0.0
        if running.job.content and not content:
            content, snapshot_id = True, running.job.snapshot_id
    pin = cursor.live.since if isinstance(cursor.live, Reading) else 0
    job = Job("resync", None, sweep, content, snapshot_id, reason, oldest_s, pin)
    live = cursor.live
    if isinstance(live, Reading) and reason != HISTORY_UNREADABLE:
        live = replace(live, page_token=None, upto=None)
    return replace(cursor, live=live, backfill=listing.start(job))


def pinned(cursor: Cursor, history_id: int) -> Cursor:
    """The history id is known: what is listed after it is compared as of it."""
    backfill = cursor.backfill
    if isinstance(backfill, Listing | Starting):
        backfill = replace(backfill, job=replace(backfill.job, pin=history_id))
    return replace(cursor, live=Reading(history_id), backfill=backfill)


def aged(before: Cursor, after: Cursor, oldest_s: float) -> Cursor:
    """The floor of a first sync sinks to the oldest message that it emitted."""
    if before.floor_s is not None:
        return after
    if after.floor_s is not None:
        after = replace(after, floor_s=min(after.floor_s, oldest_s))
    match after.backfill:
        case None:
            return replace(after, floor_s=oldest_s if after.floor_s is None else after.floor_s)
        case Judged(at):
            job = replace(at.job, oldest_s=min(at.job.oldest_s, oldest_s))
            return replace(after, backfill=replace(after.backfill, listing=replace(at, job=job)))
        case running:
            again = running.job.again or isinstance(running, Listing)
            job = replace(running.job, oldest_s=min(running.job.oldest_s, oldest_s), again=again)
            return replace(after, backfill=replace(running, job=job))
