"""What an answer, a note, a walk over known ids or a comparison comes to: the whole step."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph import delta, known, rounds
from shared.protocol.graph.chains import Row, reconciled
from shared.protocol.graph.cursor import BACKFILL, LIVE_EVERY, NAMING, READING, RESYNC, STARTING, Chain, Cursor, Job
from shared.protocol.graph.known import Known
from shared.protocol.graph.stream import GraphStream
from shared.protocol.step import Fact, Note, Step, Walked
from shared.protocol.wire import Response
from tests.protocol.graph.answers import FOLDERS, OLD, REMOVED, box, came, cursor, page, refused, resting

READ = replace(FOLDERS, read=True)
FULL = refused(403, "ErrorQuotaExceeded")
RAISED = (
    "tidemark.alert.raised",
    {
        "alert": "mailbox_over_quota",
        "detail": "mail is listed by the time it came, until the provider tells changes again",
    },
)
CLEARED = ("tidemark.alert.cleared", {"alert": "mailbox_over_quota", "detail": ""})


def stream(*names: str) -> GraphStream:
    """With something left in `named`, which is of the facts before."""
    return GraphStream(box(*names), {"before": "F"})


def received(at: GraphStream, of: Cursor, response: Response, number: int = 0) -> tuple[Step[Cursor], Cursor]:
    """The step, and the cursor that the chains make of the answer."""
    request = delta.request(at.box.asking, of.chains[number])
    step = at.receive(of, request, response, confirmed=False)
    assert at.named == {}
    return step, rounds.received(box("F", "G"), of, request, response)[0].cursor


def facts(*rows: Row, emit: bool = True) -> tuple[Fact, ...]:
    return delta.facts([("F", row, emit) for row in rows])


# --- answers


def test_the_last_answer_of_a_round_ends_it() -> None:
    of = cursor(resting("F")).put(READ)
    step, after = received(stream("F"), of, page(came("a", 5)))
    assert step == Step(rounds.ended(after), facts(came("a", 5)), round_ended=True)


def test_a_round_in_which_something_left_or_is_owed_settles_first() -> None:
    of = cursor(resting("F")).put(READ)
    step, after = received(stream("F"), of, page(REMOVED, came("a", 5)))
    assert step == Step(replace(after, settling=True), delta.facts([("F", REMOVED, False), ("F", came("a", 5), True)]))
    at = stream("F")
    at.box.debts.owe("a")
    step, after = received(at, of, page())
    assert step == Step(replace(after, settling=True))


def test_a_round_that_has_begun_stays_due() -> None:
    of = cursor(resting("F"), resting("G")).put(READ)
    step, after = received(stream("F", "G"), of, page(REMOVED))
    assert step == Step(replace(after, walked=LIVE_EVERY), delta.facts([("F", REMOVED, False)]))


def test_over_quota_is_said_as_an_alert_and_as_the_reason() -> None:
    of = cursor(resting("F")).put(READ)
    step, after = received(stream("F"), of, FULL)
    assert step == Step(replace(after, walked=LIVE_EVERY), events=(RAISED,), reason="mailbox_over_quota")
    step, after = received(stream("F"), replace(of, over_quota=True), page())
    assert step == Step(rounds.ended(after), round_ended=True, events=(CLEARED,))


def test_a_walk_s_page_is_a_step_of_its_origin_with_the_ids_to_store() -> None:
    of = cursor(Chain("F", f"{OLD}&of=F", origin=RESYNC, pass_=1))
    step, after = received(stream("F"), of, page(came("a", 5), REMOVED, ended=False))
    said = delta.facts([("F", came("a", 5), True), ("F", REMOVED, False)])
    assert step == Step(after, said, origin=RESYNC, pages={"0.1/0": ["~a"]})
    first = cursor(Chain("F", origin=BACKFILL))
    step, after = received(stream("F"), first, FULL)
    assert step == Step(after, origin=BACKFILL, events=(RAISED,), reason="mailbox_over_quota")
    step, after = received(stream("F"), replace(first, over_quota=True), page())
    assert step == Step(after, origin=BACKFILL, events=(CLEARED,))


# --- notes


def test_a_round_settles_by_reading_what_is_owed() -> None:
    at = stream("F")
    at.box.debts.owe("~a")
    at.box.debts.owe("~b")
    of = cursor(resting("F", read=True), settling=True, job=Job("x")).put(READ)
    owed = (Fact("a", gone=True), Fact("b", gone=True))
    assert at.noted(of) == Step(rounds.ended(of), owed, round_ended=True)
    assert (at.named, at.box.debts.rounds("~a")) == ({}, 1)


def test_a_snapshot_begins_by_noting_what_is_known_and_walks_all_again() -> None:
    at = stream("F")
    of = cursor(resting("F", rows=3), Chain("G", OLD, origin=BACKFILL), shown=(1,), job=Job("x", True, "s1", STARTING))
    after = Cursor(
        Chain("", origin=RESYNC, pass_=1),
        (Chain("F", origin=RESYNC, floor_s=0.0, pass_=1), Chain("G", origin=BACKFILL, pass_=1)),
        job=Job("x", True, "s1", NAMING),
        walked=3,
    )
    began = ("tidemark.snapshot.began", {"snapshot_id": "s1"})
    assert at.noted(of) == Step(after, origin=RESYNC, clear=True, note_known=True, events=(began,))
    assert at.named == {}


ENDED = ("tidemark.snapshot.ended", {"snapshot_id": "s1"})
RESYNCED = ("tidemark.account.resynced", {"reason": "asked_for"})


@pytest.mark.parametrize(
    ("job", "events"),
    [
        (Job("asked_for", True, "s1"), (ENDED, RESYNCED)),
        (Job("", True, "s1"), (ENDED,)),
        (Job("asked_for"), (RESYNCED,)),
    ],
)
def test_a_job_says_at_its_end_what_it_was(job: Job, events: tuple[Any, ...]) -> None:
    of = cursor(resting("F"), job=job)
    assert stream("F").noted(of) == Step(cursor(resting("F")), origin=RESYNC, clear=True, events=events)


@pytest.mark.parametrize(("ended", "phase"), [(False, NAMING), (True, READING)])
def test_known_messages_are_named_again_page_by_page(ended: bool, phase: str) -> None:
    at = stream("F")
    of = cursor(resting("F"), job=Job("x", True, "s1", NAMING, 1, 2))
    after = replace(of, job=Job("x", True, "s1", phase, 3, 4))
    said = (Fact("a", content=True), Fact("b", content=True))
    step = at.walked(of, Walked(("a", "b"), 3, 4, ended=ended))
    assert step == Step(after, said, origin=RESYNC, name_again=True, clear=ended)
    assert at.named == {}


def test_known_ids_that_are_lost_are_noted_and_named_from_the_beginning() -> None:
    at = stream("F")
    of = cursor(resting("F"), job=Job("x", True, "s1", NAMING, 1, 2))
    step = at.walked(of, Walked((), 3, 4, ended=True, lost=True))
    assert step == Step(replace(of, job=Job("x", True, "s1", STARTING)), origin=RESYNC)
    assert at.named == {}


# --- sweeping


def held(folder: int) -> str:
    return known.pack(Known(folder, unread=True, flagged=False, draft=False, has_attachments=False, modified_ms=1000))


def test_what_the_last_walk_of_a_swept_folder_has_not_shown_differs() -> None:
    at = stream("E", "F", "G")
    of = cursor(resting("E"), resting("F", pass_=2), sweeps=("F", "G"), swept="~a")  # G is gone, and its chain with it
    pages = {"1.2/0": ["~c"], "1.2/1": ["~d"], "1.1/0": ["~e"], "1.21/0": ["~e"], "2.0/0": ["~b"], "0.0/0": ["~g"]}
    index = {"~g": 1, "~e": 1, "~d": 1, "~c": 1, "~b": 2, "~a": 1, "~_": 1, "~f": 0}
    found = at.differences(of, pages, {packed: held(folder) for packed, folder in index.items()})
    assert found == tuple(Fact(each, gone=True) for each in "beg")


def test_a_sweep_goes_on_behind_what_is_done_and_then_ends() -> None:
    at = stream("F")
    of = cursor(resting("F"), sweeps=("F",), swept="~a")
    differing = tuple(Fact(each, gone=True) for each in "bcd")
    assert at.compared(of, differing) == Step(replace(of, swept="~d"), differing, origin=RESYNC)
    assert at.named == {}
    at.named = {"before": "F"}
    assert at.compared(of, ()) == Step(cursor(resting("F")), origin=RESYNC, clear=True)
    assert at.named == {}


# --- asked for


def test_a_resync_walks_everything_again_and_a_snapshot_after_one_more_round() -> None:
    at = stream("F")
    of = cursor(resting("F"), shown=(1,), job=Job("before", page=5, offset=6))
    again = Cursor(Chain("", origin=RESYNC, pass_=1), (Chain("F", origin=RESYNC, floor_s=0.0, pass_=1),), walked=3)
    assert at.restarted(of, "asked_for") == replace(again, job=Job("asked_for"))
    snapshot = replace(of, job=Job("asked_for", True, "s1", STARTING))
    assert at.restarted(of, "asked_for", content=True, snapshot_id="s1") == snapshot


def test_a_running_snapshot_stays_one_and_begins_again() -> None:
    at = stream("F")
    of = cursor(resting("F"), job=Job("before", True, "s1", NAMING, 5, 6))
    assert at.restarted(of, "asked_for") == replace(of, job=Job("asked_for", True, "s1", STARTING))
    other = at.restarted(of, "asked_for", content=True, snapshot_id="s2")
    assert other == replace(of, job=Job("asked_for", True, "s2", STARTING))


def test_chains_are_reconciled_once_the_folders_are_known() -> None:
    at = stream("F", "G")
    of = cursor(resting("F"), resting("gone"))
    assert at.reconciled(of) == reconciled(box("F", "G"), of) != of
    for unknown in (replace(of, names=("inbox",)), of.put(Chain("", origin=BACKFILL))):
        assert at.reconciled(unknown) == unknown


def test_a_task_is_due_only_where_the_stream_is_not_confirmed() -> None:
    at, of = stream("F"), cursor(resting("F"), Chain("G", OLD, origin=RESYNC), walked=LIVE_EVERY)
    tasks = [at.next_task(of, confirmed=confirmed) for confirmed in (False, True)]
    assert tasks == [rounds.task(at.box, of, confirmed=confirmed) for confirmed in (False, True)]
    assert tasks[0] != tasks[1]


@pytest.mark.parametrize(
    "of",
    [cursor(resting("F")), cursor(Chain("F", origin=RESYNC, read=True), job=Job("x"))],
)
def test_what_was_put_off_is_the_last_that_is_said(of: Cursor) -> None:
    at = stream("F")
    at.box.put_off.add("F")
    assert at.next_task(of, confirmed=True) == Note()
    with pytest.raises(ContractBroken, match=r"^a page of a folder can't be read$"):
        at.noted(of)
