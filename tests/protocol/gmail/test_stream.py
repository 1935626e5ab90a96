"""A Gmail mailbox as the sync loop sees it: what is next, what an answer means, what differs."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.errors import ProviderDown
from shared.core.quota import PRICES
from shared.protocol.gmail import history, listing
from shared.protocol.gmail.cursor import (
    CANDIDATES,
    IDS,
    Backfill,
    Cursor,
    Job,
    Judged,
    Listing,
    Live,
    Naming,
    Pinning,
    Reading,
    Starting,
    Sweeping,
    Walking,
)
from shared.protocol.gmail.history import LATE_S
from shared.protocol.gmail.known import Known, LabelTable, pack_id
from shared.protocol.gmail.message import Reading as MessageReading
from shared.protocol.gmail.stream import GmailStream
from shared.protocol.status import Kind, Status
from shared.protocol.step import Call, Compare, Fact, Fetched, Note, Patch, Step, Walk, Walked, Want
from shared.protocol.wire import Request
from tests.protocol.gmail import answers
from tests.protocol.gmail.answers import answer, google_error, listed, record

READING = MessageReading("id,labelIds", "metadata", 65536)
FIRST = Job("backfill", 100, oldest_s=5000.0)
RESYNC = Job("resync", None, sweep=True, reason="asked_for", pin=50)
ASKED = Request("GET", "/")
NOW_S = 1_764_028_800.0


def stream(*labels: str, prices: str = "2026") -> GmailStream:
    return GmailStream(PRICES[prices], READING, LabelTable(labels), 20)


def cursor(backfill: Backfill | None = None, live: Live | None = None) -> Cursor:
    return Cursor(live or Reading(77), backfill, 100, None)


def asked_path(backfill: Backfill | None, live: Live, *, confirmed: bool) -> str:
    task = stream().next_task(cursor(backfill, live), confirmed=confirmed)
    assert isinstance(task, Call)
    return task.requests[0].path.rpartition("/")[2]


def fetched(message_id: str, version: int, *labels: str) -> Fetched:
    message: Any = {"id": message_id, "labels": sorted(labels), "subject": "Hello"}
    return Fetched(message, str(version))


def test_the_history_id_is_read_before_anything_else() -> None:
    assert asked_path(Listing(FIRST, IDS), Pinning(), confirmed=True) == "profile"


def test_a_task_s_requests_are_those_of_its_cursor() -> None:
    prices, live = PRICES["2026"], Reading(77, "token", 90)
    at = replace(cursor(Listing(RESYNC, CANDIDATES), live), floor_s=200_000.0)
    assert stream().next_task(cursor(None, Pinning()), confirmed=False) == Call((history.profile_request(prices),))
    assert stream().next_task(at, confirmed=False) == Call((history.request(live, prices),))
    listed_after = listing.request(Listing(RESYNC, CANDIDATES), 200_000.0, prices)
    assert stream().next_task(at, confirmed=True) == Call((listed_after,))


def test_live_changes_come_before_every_backfill_step() -> None:
    assert asked_path(Listing(FIRST, IDS, 1), Reading(77), confirmed=False) == "history"
    assert asked_path(Listing(FIRST, IDS, 1), Reading(77), confirmed=True) == "messages"


def test_a_first_sync_begins_with_its_listing() -> None:
    untouched = Reading(77, untouched=True)
    assert asked_path(Listing(FIRST, IDS), untouched, confirmed=False) == "messages"
    for later in (
        Listing(FIRST, IDS, 1),
        Listing(FIRST, IDS, passes=1),
        Listing(FIRST, "INBOX"),
        Starting(FIRST),
        None,
    ):
        assert asked_path(later, untouched, confirmed=False) == "history"
    assert asked_path(Listing(FIRST, IDS), Reading(77), confirmed=False) == "history"


@pytest.mark.parametrize(
    ("backfill", "task"),
    [
        (None, None),
        (Starting(FIRST), Note()),
        (Judged(Listing(FIRST, IDS)), Note(LATE_S)),
        (Judged(Listing(FIRST, IDS), waited=True), Note()),
        (Sweeping(RESYNC, clean=True), Note(LATE_S)),
        (Sweeping(RESYNC, clean=True, waited=True), Compare()),
        (Naming(FIRST, 1, 2), Walk("known", 1, 2, unknown=False)),
        (Walking(FIRST, IDS, 1, 2), Walk("ids", 1, 2, unknown=True)),
        (Walking(FIRST, "INBOX"), Walk("=INBOX", 0, 0, unknown=True)),
    ],
)
def test_then_the_backfill_has_its_task(backfill: Backfill | None, task: Any) -> None:
    assert stream().next_task(cursor(backfill), confirmed=True) == task


def test_a_record_that_cannot_be_read_is_made_good_by_a_comparison_once_an_invocation() -> None:
    gmail = stream()
    page = answers.history({}, record(80, added=["m"]), history_id=90, token="next")
    step = gmail.receive(cursor(), ASKED, page, confirmed=False)
    job = Job("resync", None, sweep=True, reason="history_unreadable", pin=77)
    assert step.cursor == cursor(Listing(job, IDS), Reading(77, "next", 90))
    assert [fact.message_id for fact in step.facts] == ["m"]
    with pytest.raises(ProviderDown, match=r"^history can't be read again$"):
        gmail.receive(step.cursor, ASKED, answers.history({}, history_id=91), confirmed=False)
    last = stream().receive(cursor(), ASKED, answers.history({}, history_id=90), confirmed=False)
    assert (last.cursor.live, last.round_ended) == (Reading(90), True)


def test_the_profile_pins_the_stream() -> None:
    profile = answer({"emailAddress": "robin@example.com", "historyId": "88"})
    step = stream().receive(cursor(Listing(FIRST, IDS), Pinning()), ASKED, profile, confirmed=False)
    assert step == Step(cursor(Listing(replace(FIRST, pin=88), IDS), Reading(88)))


def test_a_history_page_is_a_live_step() -> None:
    page = answers.history(record(80, added=["m"]), history_id=90)
    step = stream().receive(cursor(Walking(FIRST, IDS)), ASKED, page, confirmed=False)
    facts = (Fact("m", "t-m", "80", content=True, labels={}),)
    assert step == Step(cursor(Walking(FIRST, IDS), Reading(90)), facts, round_ended=True)


def test_a_round_with_removals_taints_the_listing_and_forgets_them_at_its_end() -> None:
    at = cursor(Listing(RESYNC, IDS, 1))
    page = answers.history(record(80, deleted=["m"]), token="a")
    paging = stream().receive(at, ASKED, page, confirmed=False)
    live = Reading(77, "a", 1000, removals=True)
    facts = (Fact("m", "t-m", "80", gone=True, labels={}),)
    assert paging == Step(cursor(Listing(RESYNC, IDS, 1, clean=False), live), facts)
    ended = stream().receive(paging.cursor, ASKED, answers.history(history_id=1000), confirmed=False)
    assert ended.cursor == cursor(Listing(RESYNC, IDS, 1, clean=False), Reading(1000))


def test_expired_history_pins_again_and_lists_everything() -> None:
    step = stream().receive(cursor(), ASKED, answer({}, 404), confirmed=False)
    job = Job("resync", None, sweep=True, reason="history_expired")
    assert step == Step(cursor(Listing(job, IDS), Pinning()))


def test_a_listing_page_is_a_backfill_step() -> None:
    step = stream().receive(cursor(Listing(FIRST, IDS)), ASKED, listed("m"), confirmed=True)
    assert (step.origin, [fact.message_id for fact in step.facts]) == ("backfill", ["m"])
    untouched = cursor(Listing(FIRST, IDS), Reading(77, untouched=True))
    assert stream().receive(untouched, ASKED, listed("m"), confirmed=False).origin == "backfill"


def test_a_note_says_that_a_snapshot_began_or_judges_a_listing() -> None:
    assert stream().noted(cursor(Starting(FIRST))) == listing.started(cursor(Starting(FIRST)), FIRST)
    waited = Judged(Listing(FIRST, IDS), waited=True)
    assert stream().noted(cursor(waited)) == Step(cursor(Walking(FIRST, IDS)), origin="backfill")


def test_a_listing_is_judged_and_compared_only_when_history_shows_what_happened_meanwhile() -> None:
    judged, sweeping = Judged(Listing(FIRST, IDS)), Sweeping(RESYNC, clean=True)
    assert stream().noted(cursor(judged)) == Step(cursor(replace(judged, waited=True)), origin="backfill")
    assert stream().noted(cursor(sweeping)) == Step(cursor(replace(sweeping, waited=True)), origin="resync")


def test_a_walk_is_a_step_of_its_ids() -> None:
    step = stream().walked(cursor(Walking(FIRST, IDS)), Walked(("m",), 0, 1, ended=False))
    assert step.facts == (Fact("m", content=True),)


def test_differences_are_of_ids_and_of_the_labels_that_list_them() -> None:
    here = stream("INBOX", "A/B")
    same, gone, starred = (f"{n:016x}" for n in range(3))
    entry = here.labels.pack(Known(40, frozenset({"INBOX"})))
    pages = {
        "ids/0": [pack_id(same), pack_id(starred)],
        "=INBOX/0": [pack_id(same), pack_id(starred)],
        "=A/B/0": [pack_id(starred)],
    }
    at = cursor(Sweeping(RESYNC, clean=True))
    facts = here.differences(at, pages, {pack_id(each): entry for each in (same, gone, starred)})
    assert facts == (Fact(gone, gone=True), Fact(starred, version="50", labels={"A/B": (True, 50)}))
    after = cursor(Sweeping(RESYNC, clean=True, after=pack_id(gone)))
    assert here.compared(at, facts[:1]) == Step(after, facts[:1], origin="resync")


def test_an_unknown_message_is_read_and_one_that_is_gone_was_never_named() -> None:
    assert stream().judge(Fact("m", "t", "7", content=True), None) == Want("m", "t", content=True, version="7")
    assert stream().judge(Fact("m", gone=True), None) is None


def entry(here: GmailStream, version: int, *labels: str) -> str:
    return here.labels.pack(Known(version, frozenset(labels)))


def test_labels_of_a_known_message_are_taken_from_its_records() -> None:
    here = stream("INBOX", "UNREAD", "STARRED")
    fact = Fact("m", version="50", labels={"STARRED": (True, 50), "UNREAD": (False, 45), "INBOX": (False, 30)})
    patch = here.judge(fact, entry(here, 40, "INBOX", "UNREAD"))
    assert patch == Patch(
        {"labels": ["INBOX", "STARRED"], "unread": False, "flagged": True}, entry(here, 50, "INBOX", "STARRED")
    )


def test_a_record_that_changes_nothing_is_no_event() -> None:
    here = stream("INBOX")
    assert here.judge(Fact("m", version="50", labels={"INBOX": (True, 50)}), entry(here, 40, "INBOX")) is None


def test_what_the_index_has_seen_already_is_no_event() -> None:
    here = stream("INBOX")
    value = entry(here, 50, "INBOX")
    assert here.judge(Fact("m", version="50", labels={"INBOX": (False, 50)}), value) is None
    assert here.judge(Fact("m", content=True), value) is None
    assert here.judge(Fact("m", version="50", content=True), value) is None
    assert here.judge(Fact("m", content=True), entry(here, 0, "INBOX")) is None
    older = Fact("m", version="51", labels={"INBOX": (False, 50)})
    assert here.judge(older, value) is None


@pytest.mark.parametrize(
    "fact",
    [
        Fact("m", "t", "50", gone=True),
        Fact("m", "t", "50", content=True, labels={"A": (True, 50)}),
        Fact("m", "t", "50", labels={}),
    ],
)
def test_what_records_cannot_tell_is_confirmed_by_a_read(fact: Fact) -> None:
    here = stream("INBOX")
    assert here.judge(fact, entry(here, 40, "INBOX")) == Want("m", "t", content=False, version="50")


def test_a_cached_message_serves_if_it_is_not_older_than_the_record_that_named_it() -> None:
    here = stream()
    assert here.serves(fetched("m", 50), Want("m", version="50"))
    assert not here.serves(fetched("m", 49), Want("m", version="50"))
    assert here.serves(fetched("m", 51), Want("m", version="50"))
    assert here.serves(fetched("m", 50), Want("m")) is False
    assert not here.serves(fetched("m", 50), Want("m", version=here.newest))


def test_a_read_message_is_compared_with_what_was_emitted_of_it() -> None:
    here = stream("INBOX", "STARRED")
    value = entry(here, 40, "INBOX")
    assert here.created(fetched("m", 40, "INBOX")) == value
    assert here.compare(value, fetched("m", 50, "INBOX")) is None
    assert here.compare(value, fetched("m", 39)) is None
    patch = here.compare(value, fetched("m", 40, "INBOX", "STARRED"))
    assert patch == Patch({"labels": ["INBOX", "STARRED"], "flagged": True}, entry(here, 40, "INBOX", "STARRED"))


def test_a_message_that_is_named_again_has_the_newest_labels_that_are_known() -> None:
    here = stream("INBOX", "STARRED", "UNREAD")
    value = entry(here, 50, "INBOX", "UNREAD")
    held = fetched("m", 40, "STARRED")
    flags: Any = {"labels": ["INBOX", "UNREAD"], "unread": True, "flagged": False, "draft": False}
    now = Fetched({**held.message, **flags}, "50")
    assert here.current(value, held) == here.newer(value, held) == now
    for version in (50, 60):
        assert here.newer(value, fetched("m", version)) == fetched("m", version)


def test_the_label_table_is_stored_when_it_has_grown() -> None:
    here = stream("INBOX")
    assert here.tables() == {}
    here.created(fetched("m", 40, "INBOX", "STARRED"))
    assert here.tables() == {"labels": '["INBOX","STARRED"]'}


def test_every_message_is_tracked_whatever_its_labels() -> None:
    assert stream().tracks(fetched("m", 40)) is True


def test_a_status_is_read_from_the_whole_answer() -> None:
    refused = replace(google_error(429, "rateLimitExceeded"), headers={"retry-after": "Tue, 25 Nov 2025 00:00:07 GMT"})
    assert stream().status(refused, NOW_S) == Status(Kind.THROTTLED, 429, "rateLimitExceeded", 7.0)


def test_what_is_stored_is_read_again() -> None:
    here = stream()
    assert here.decode(here.encode(cursor())) == cursor()
    assert here.unpack_id(here.pack_id("m")) == "m"
    assert here.reached(cursor()) == 77
