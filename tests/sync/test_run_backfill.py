"""What one sync does besides live changes: walks, comparisons, notes; what it leaves behind when it has to stop."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.quota import Governor
from shared.protocol.gmail.cursor import (
    IDS,
    Cursor,
    Job,
    Judged,
    Listing,
    Naming,
    Reading,
    Sweeping,
    Walking,
)
from shared.protocol.gmail.known import pack_id
from shared.protocol.graph.stream import GraphStream
from shared.sync.outcome import Outcome
from tests.protocol.gmail.answers import listed
from tests.protocol.graph import answers as graph
from tests.sync.desk import START_S, refusal
from tests.sync.mailbox import QUIET, Mailbox, news, readable

JOB = Job("backfill", None)
FIRST = Job("backfill", None, oldest_s=START_S)
SWEEP = Job("resync", None, sweep=True, pin=75, reason="asked")
WALKING = Walking(JOB, IDS)
JUDGED = Judged(Listing(JOB, IDS, page=1))
GONE = refusal(404, "notFound")
REFUSED = refusal(429, "rateLimitExceeded")
ALMOST_NOTHING = 0.001  # units a second


def at(backfill: Any, since: int = 77, floor_s: float | None = 0.0) -> Cursor:
    return Cursor(Reading(since), backfill, None, floor_s)


# --- a walk


async def test_a_walk_reads_what_the_index_does_not_have_and_looks_at_live_changes_before_each_step() -> None:
    box = Mailbox(QUIET, readable(), QUIET, readable(), cursor=at(WALKING))
    box.know("b")
    box.store("ids/0", "a", "b", "a")
    box.store("ids/1", "c")
    assert await box.sync() == Outcome("synced", created=2)
    assert box.said == [["created a"], ["created c"]]
    assert box.cursors == [at(replace(WALKING, page=1), 90), at(None, 90)]
    assert [(step.step_id, step.release, step.pausable, step.clear) for step in box.appended] == [
        ("1.1", False, True, False),
        ("1.2", True, True, True),
    ]
    assert (box.desk.provider.requests, box.limits) == (4, [100, 100])
    assert [step.fields["settled"] for step in box.appended] == ["[]", "[]"]


async def test_a_walk_of_a_listing_that_was_lost_makes_it_again() -> None:
    box = Mailbox(QUIET, QUIET, listed("a"), readable(), cursor=at(WALKING))
    assert await box.sync() == Outcome("synced", created=1)
    assert box.cursors == [at(Listing(replace(JOB, again=True), IDS), 90), at(None, 90)]


async def test_a_step_that_is_too_large_is_appended_in_parts_that_are_settled_until_the_place_moves() -> None:
    box = Mailbox(QUIET, readable(), cursor=at(WALKING), settled='["a"]')
    box.store("ids/0", "a", "b", "c", "d")
    box.run.append_bytes_max = 1
    assert await box.sync() == Outcome("synced", created=3)
    assert box.said == [["created b"], ["created c"], ["created d"]]
    assert [step.fields.get("settled") for step in box.appended] == ['["a","b"]', '["a","b","c"]', "[]"]
    assert [(step.fields.get("cursor") is None, step.pausable, step.release) for step in box.appended] == [
        (True, True, False),
        (True, True, False),
        (False, True, True),
    ]
    assert [step.step_id for step in box.appended] == ["1.1", "1.2", "1.3"]


async def test_what_the_parts_of_a_walk_have_settled_is_forgotten_once_its_place_has_moved() -> None:
    box = Mailbox(QUIET, readable(), QUIET, cursor=at(WALKING))
    box.store("ids/0", "a", "b")
    box.store("ids/1", "a")
    box.run.append_bytes_max = 1
    await box.sync()
    assert [step.fields.get("settled") for step in box.appended] == ['["a"]', "[]", "[]"]


async def test_what_was_settled_beyond_a_walks_place_stays_so() -> None:
    box = Mailbox(QUIET, readable(), QUIET, REFUSED, cursor=at(WALKING), settled='["a","z"]')
    box.store("ids/0", "a", "b")
    box.store("ids/1", "z")
    await box.sync()
    assert [step.fields.get("settled") for step in box.appended] == ['["z"]', "[]"]


async def test_live_changes_beside_a_walk_are_not_settled_by_it() -> None:
    box = Mailbox(QUIET, readable(), news("l", "m"), readable(), cursor=at(WALKING))
    box.store("ids/0", "a")
    box.store("ids/1", "a")
    box.run.append_bytes_max = 1
    await box.sync()
    assert box.said == [["created a"], ["created l"], ["created m"], []]
    assert [step.fields.get("settled") for step in box.appended] == ["[]", None, None, "[]"]
    assert [step.pausable for step in box.appended] == [True, False, False, True]


@pytest.mark.parametrize(("floor_s", "oldest_s"), [(None, START_S - 7), (0.0, START_S)])
async def test_a_walk_that_is_stopped_keeps_its_place_and_what_it_has_settled(
    floor_s: float | None, oldest_s: float
) -> None:
    walking = Walking(FIRST, IDS)
    box = Mailbox(QUIET, readable({"a": 7}, b=REFUSED, d=GONE), cursor=at(walking, floor_s=floor_s))
    box.store("ids/0", "a", "b", "d")
    outcome = await box.sync()
    assert outcome == Outcome("cooling_down", created=1, more=True, retry_after_s=16.0, reason="throttled")
    part, release = box.appended
    assert (box.said, part.fields["settled"], part.pausable) == ([["created a"], []], '["a","d"]', True)
    assert box.cursors == [at(replace(walking, job=replace(FIRST, oldest_s=oldest_s)), 90, floor_s), None]
    assert (release.let_go, release.hold_s, release.perf and release.perf["message_count"]) == (True, 16.0, "1")


async def test_what_a_walk_had_settled_before_is_forgotten_with_its_listing() -> None:
    box = Mailbox(QUIET, readable(), cursor=at(WALKING), settled='["z"]')
    box.store("ids/0", "a")
    await box.sync()
    assert [step.fields["settled"] for step in box.appended] == ["[]"]


async def test_the_floor_sinks_to_the_oldest_message_that_a_first_sync_has_named_but_live_ones() -> None:
    received = {"a": 10.0, "b": 5.0, "l": 20.0}
    box = Mailbox(QUIET, readable(received), news("l"), readable(received), readable(received))
    box.run.cursor = at(Walking(FIRST, IDS), floor_s=None)
    box.store("ids/0", "a")
    box.store("ids/1", "b")
    await box.sync()
    assert box.said == [["created a"], ["created l"], ["created b"]]
    sunk = replace(FIRST, oldest_s=START_S - 10)
    walking = Walking(sunk, IDS, page=1)
    assert box.cursors == [at(walking, 90, None), at(walking, 90, None), at(None, 90, START_S - 10)]


# --- a comparison, a note, what is asked side by side


async def test_a_comparison_confirms_what_is_not_listed_a_step_at_a_time() -> None:
    absent = readable(a=GONE, c=GONE, d=GONE)
    box = Mailbox(QUIET, absent, QUIET, cursor=at(Sweeping(SWEEP, True, waited=True)))
    box.desk.calls.governor = Governor(ALMOST_NOTHING, 102.0)
    box.know("a", "b", "c", "d")
    box.store("ids/0", "b")
    box.store("=INBOX/0", "b")
    assert (await box.sync()).deleted == 2
    assert (box.said, set(box.index)) == ([["deleted a", "deleted c"], []], {pack_id("b"), pack_id("d")})
    assert box.cursors[0] == at(Sweeping(SWEEP, True, after="~c", waited=True), 90)
    assert box.appended[0].pausable


async def test_a_resync_ends_with_its_event_and_the_lease() -> None:
    box = Mailbox(QUIET, cursor=at(Sweeping(SWEEP, True, waited=True)))
    box.store("ids/0")
    assert await box.sync() == Outcome("no_new_messages")
    assert (box.said, box.desk.provider.requests) == ([[], ["account.resynced"]], 2)
    assert [(step.release, step.served) for step in box.appended] == [(False, False), (True, True)]


async def test_a_snapshot_begins_with_its_event_and_the_ids_of_all_that_is_known() -> None:
    box = Mailbox(QUIET, QUIET, readable(), QUIET, REFUSED, cursor=at(None))
    box.run.cursor = box.desk.stream.restarted(at(None), "asked", content=True, snapshot_id="s1")
    box.know("a")
    await box.sync()
    began = box.appended[0]
    assert (began.clear, began.note_known, box.said[:2]) == (True, True, [["snapshot.began"], ["created a"]])
    assert isinstance(box.cursors[0].backfill, Naming)
    assert (box.appended[1].clear, box.appended[1].note_known) == (True, False)


async def test_the_pages_of_a_listing_are_stored_with_its_place() -> None:
    box = Mailbox(QUIET, listed("a", "b", token="p"), QUIET, REFUSED, cursor=at(Listing(JOB, IDS)))
    await box.sync()
    assert [step.pages for step in box.appended] == [{"ids/0": ["~a", "~b"]}, {}]
    assert box.cursors[0] == at(Listing(JOB, IDS, page=1, page_token="p", listed=2), 90)


async def test_a_note_waits_before_it_says_something() -> None:
    box = Mailbox(QUIET, QUIET, QUIET, readable(), cursor=at(JUDGED))
    box.store("ids/0", "a")
    assert await box.sync() == Outcome("synced", created=1)
    assert (box.desk.clock.slept, box.desk.calls.waited_s) == ([3.0], 3.0)
    assert box.cursors == [at(replace(JUDGED, waited=True), 90), at(WALKING, 90), at(None, 90)]


async def test_of_requests_side_by_side_the_answers_before_the_first_failure_are_kept() -> None:
    def answered(request: Any) -> Any:
        return graph.page() if "of=F" in str(request) else refusal(503, "backendError")

    resting = (graph.resting("F", alone=True), graph.resting("G", alone=True))
    cursor = graph.cursor(*resting)
    cursor = replace(cursor, folders=replace(cursor.folders, read=True))
    box = Mailbox(answered, cursor=cursor, stream=GraphStream(graph.box("F", "G")))
    assert (await box.sync()).reason == "provider_down"
    assert [(chain.folder, chain.read) for chain in box.cursors[0].chains] == [("F", True), ("G", False)]
    assert [step.let_go for step in box.appended] == [True]


async def test_how_a_mailbox_had_to_be_read_is_told_in_the_end() -> None:
    cursor = graph.cursor(graph.resting("F"))
    cursor = replace(cursor, folders=replace(cursor.folders, read=True))
    over = graph.refused(403, "ErrorQuotaExceeded")
    box = Mailbox(over, graph.listed(), cursor=cursor, stream=GraphStream(graph.box("F")))
    assert await box.sync() == Outcome("no_new_messages", reason="mailbox_over_quota")
    assert (box.said, [step.release for step in box.appended]) == ([["alert.raised"], []], [False, True])


# --- what was read by an app


async def test_what_an_app_has_read_is_named_first_and_then_no_more_asked_for() -> None:
    box = Mailbox(readable(), QUIET, cursor=at(None), unnamed="u ")
    assert await box.sync() == Outcome("synced", created=1)
    assert (box.said, box.cursors) == ([["created u"], []], [None, at(None, 90)])
    assert [step.taken for step in box.appended] == [{}, {"unnamed": "u "}]
    assert [(step.pausable, step.release) for step in box.appended] == [(False, False), (False, True)]
