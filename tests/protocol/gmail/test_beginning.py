"""How the reading of a mailbox begins, and begins again."""

from dataclasses import replace

import pytest

from shared.protocol.gmail import beginning
from shared.protocol.gmail.cursor import (
    CANDIDATES,
    IDS,
    Backfill,
    Cursor,
    Job,
    Judged,
    Listing,
    Naming,
    Pinning,
    Reading,
    Starting,
    Sweeping,
    Walking,
)

FIRST = Job("backfill", 100, oldest_s=5000.0)


def test_a_first_sync_lists_the_newest_and_has_no_floor_yet() -> None:
    assert beginning.first(77, 100, 5000.0) == Cursor(Reading(77, untouched=True), Listing(FIRST, IDS), 100, None)


def test_where_all_is_wanted_there_is_no_floor() -> None:
    assert beginning.first(77, None, 5000.0).floor_s == 0.0


def test_where_nothing_old_is_wanted_the_floor_is_the_connection() -> None:
    assert beginning.first(77, 0, 5000.0) == Cursor(Reading(77, untouched=True), None, 0, 5000.0)


def test_a_mailbox_that_is_connected_again_is_told_as_a_snapshot() -> None:
    for wanted in (None, 0, 100):
        job = Job("backfill", wanted, content=True, snapshot_id="s1", oldest_s=5000.0)
        assert beginning.first(77, wanted, 5000.0, "s1").backfill == Starting(job)


def test_an_old_cursor_is_tried_before_it_is_trusted() -> None:
    cursor = beginning.first(77, 100, 5000.0)
    assert beginning.distrusted(cursor).live == Reading(77)
    assert beginning.distrusted(beginning.lost(100, 5000.0)) == beginning.lost(100, 5000.0)


@pytest.mark.parametrize(("wanted", "floor_s"), [(None, 0.0), (100, 5000.0), (0, 5000.0)])
def test_after_a_lost_cursor_everything_is_compared_and_the_floor_is_the_connection(
    wanted: int | None, floor_s: float
) -> None:
    cursor = beginning.lost(wanted, 5000.0)
    job = Job("resync", None, sweep=True, reason="cursor_lost")
    assert cursor == Cursor(Pinning(), Listing(job, IDS), wanted, floor_s)


def test_a_plain_resync_compares_and_one_with_content_names_again() -> None:
    quiet = Cursor(Reading(77), None, 100, 9.0)
    plain = beginning.restarted(quiet, "asked_for")
    assert plain.backfill == Listing(Job("resync", None, sweep=True, reason="asked_for", pin=77), IDS)
    named = beginning.restarted(quiet, "asked_for", content=True, snapshot_id="s1")
    job = Job("resync", None, content=True, snapshot_id="s1", reason="asked_for", pin=77)
    assert named.backfill == Starting(job)


def test_a_running_snapshot_stays_one_and_a_new_one_takes_its_place() -> None:
    running = Cursor(Reading(77), Naming(Job("resync", None, content=True, snapshot_id="s1")), 100, 9.0)
    for asked, snapshot_id in ((False, "s1"), (True, "s2")):
        after = beginning.restarted(running, "asked_for", content=asked, snapshot_id="s2").backfill
        job = Job("resync", None, not asked, True, snapshot_id, "asked_for", pin=77)
        assert after == Starting(job)


@pytest.mark.parametrize(
    "due",
    [
        Listing(Job("resync", None, sweep=True), IDS),
        Judged(Listing(Job("resync", None, sweep=True), IDS)),
        Sweeping(Job("resync", None, sweep=True), clean=True),
    ],
)
def test_a_comparison_that_is_due_stays_due_whatever_is_asked_meanwhile(due: Backfill) -> None:
    after = beginning.restarted(
        Cursor(Reading(77), due, 100, 9.0), "asked_for", content=True, snapshot_id="s1"
    ).backfill
    assert after == Starting(Job("resync", None, True, True, "s1", "asked_for", pin=77))


def test_a_round_of_history_that_is_under_way_is_begun_anew_unless_it_was_read() -> None:
    paging = Cursor(Reading(77, "token", 99, removals=True), None, 100, 9.0)
    assert beginning.restarted(paging, "asked_for").live == Reading(77, removals=True)
    unreadable = beginning.restarted(paging, beginning.HISTORY_UNREADABLE, content=True, snapshot_id="s1")
    assert unreadable.live == paging.live
    assert unreadable.backfill == Starting(Job("resync", None, True, True, "s1", "history_unreadable", pin=77))


def test_expired_history_owes_a_comparison_also_during_a_snapshot() -> None:
    running = Cursor(Pinning(), Naming(Job("resync", None, content=True, snapshot_id="s1", pin=5)), 100, 9.0)
    after = beginning.restarted(running, beginning.HISTORY_EXPIRED).backfill
    assert after == Starting(Job("resync", None, True, True, "s1", "history_expired"))


def test_a_first_sync_that_is_begun_again_keeps_its_oldest_message() -> None:
    running = Cursor(Reading(77), Walking(replace(FIRST, oldest_s=1234.0), IDS), 100, None)
    after = beginning.restarted(running, beginning.HISTORY_EXPIRED).backfill
    assert after == Listing(Job("resync", None, True, reason="history_expired", oldest_s=1234.0, pin=77), IDS)


@pytest.mark.parametrize("waiting", [Listing(FIRST, IDS), Starting(FIRST)])
def test_the_pin_goes_to_the_job_that_waits_for_it(waiting: Listing | Starting) -> None:
    assert beginning.pinned(Cursor(Pinning(), waiting), 88) == Cursor(
        Reading(88), replace(waiting, job=replace(FIRST, pin=88))
    )
    assert beginning.pinned(Cursor(Pinning(), None), 88) == Cursor(Reading(88), None)


def test_the_floor_of_a_first_sync_sinks_with_what_it_emits() -> None:
    walking, judged = Walking(FIRST, IDS), Judged(Listing(FIRST, IDS))
    older = replace(FIRST, oldest_s=7.0)
    before = Cursor(Reading(77), walking, 100, None)
    assert beginning.aged(before, before, 7.0).backfill == Walking(older, IDS)
    assert beginning.aged(before, before, 9000.0) == before
    assert beginning.aged(before, replace(before, backfill=judged), 7.0).backfill == Judged(Listing(older, IDS))
    for floor_s, sunk_s in ((5000.0, 7.0), (None, 7.0), (0.0, 0.0)):
        after = beginning.aged(before, Cursor(Reading(77), None, 100, floor_s), 7.0)
        assert after == Cursor(Reading(77), None, 100, sunk_s)
    begun_again = Listing(replace(FIRST, oldest_s=9.0), CANDIDATES)
    after = beginning.aged(before, Cursor(Reading(77), begun_again, 100, 9.0), 7.0)
    assert (after.floor_s, after.backfill) == (7.0, Listing(replace(older, again=True), CANDIDATES))


def test_a_first_listing_that_is_acted_on_in_part_will_be_made_again() -> None:
    listing = Cursor(Reading(77), Listing(FIRST, IDS), 100, None)
    after = beginning.aged(listing, listing, 7.0).backfill
    assert after == Listing(replace(FIRST, oldest_s=7.0, again=True), IDS)


def test_the_floor_stays_once_the_first_sync_has_ended() -> None:
    before = Cursor(Reading(77), Walking(FIRST, IDS), 100, 50.0)
    assert beginning.aged(before, before, 7.0) == before
