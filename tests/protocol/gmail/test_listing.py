"""Listings: what is asked, what is stored, when a listing counts, and what follows it."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.errors import ProviderDown
from shared.core.quota import PRICES
from shared.protocol.gmail import listing
from shared.protocol.gmail.cursor import (
    CANDIDATES,
    IDS,
    LABELS,
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
from shared.protocol.gmail.known import pack_id
from shared.protocol.step import Fact, Step, Walked
from shared.protocol.wire import Request
from tests.protocol.gmail.answers import answer, google_error, listed

PRICE = PRICES["2026"]
FIRST = Job("backfill", 100, oldest_s=5000.0)
RESYNC = Job("resync", None, sweep=True, reason="asked_for", pin=50)
SNAPSHOT = Job("resync", None, content=True, snapshot_id="s1", reason="asked_for", pin=50)
IDS_16 = [f"{n:016x}" for n in range(600)]


def at(backfill: Backfill | None, floor_s: float | None = None, wanted: int | None = 100) -> Cursor:
    return Cursor(Reading(77), backfill, wanted, floor_s)


def received(
    at_listing: Listing, *message_ids: str, token: str | None = None, floor_s: float | None = None
) -> Step[Cursor]:
    return listing.receive(at(at_listing, floor_s), at_listing, listed(*message_ids, token=token))


def query(at_listing: Listing, floor_s: float | None = None) -> dict[str, str]:
    return dict(listing.request(at_listing, floor_s, PRICE).query)


def test_the_newest_are_asked_for_as_far_as_they_are_wanted() -> None:
    assert query(Listing(FIRST, IDS)) == {"maxResults": "100"}
    job = replace(FIRST, wanted=700)
    assert query(Listing(job, IDS)) == {"maxResults": "500"}
    assert query(Listing(job, IDS, 1, "token", 500)) == {"maxResults": "200", "pageToken": "token"}


def test_where_all_is_wanted_spam_and_trash_are_too() -> None:
    asked = (("maxResults", "500"), ("includeSpamTrash", "true"))
    request = Request("GET", "/gmail/v1/users/me/messages", asked, units=5)
    assert listing.request(Listing(RESYNC, IDS), None, PRICE) == request


def test_candidates_are_asked_from_a_day_before_the_floor() -> None:
    found = query(Listing(RESYNC, CANDIDATES), 200_000.7)
    assert found == {"maxResults": "500", "q": "after:113600", "includeSpamTrash": "true"}
    assert query(Listing(RESYNC, CANDIDATES), 10.0)["q"] == "after:0"
    assert query(Listing(FIRST, CANDIDATES, listed=7), 200_000.7) == found


def test_labels_are_listed_one_by_one_after_their_list() -> None:
    request = Request("GET", "/gmail/v1/users/me/labels", units=1)
    assert listing.request(Listing(RESYNC, LABELS), None, PRICE) == request
    assert query(Listing(RESYNC, "STARRED")) == {"maxResults": "500", "labelIds": "STARRED", "includeSpamTrash": "true"}


def test_one_page_that_fits_into_a_step_is_acted_on_at_once() -> None:
    for count in (3, 100):
        facts = tuple(Fact(each, f"t-{each}", content=True) for each in IDS_16[:count])
        expected = Step(at(None, 5000.0), facts, origin="backfill", clear=True)
        assert received(Listing(FIRST, IDS), *IDS_16[:count]) == expected


def test_an_id_that_a_page_names_twice_counts_once() -> None:
    step = received(Listing(replace(FIRST, wanted=3), IDS), *IDS_16[:2], IDS_16[0], *IDS_16[2:5])
    assert [fact.message_id for fact in step.facts] == IDS_16[:3]


def test_a_page_token_that_is_refused_is_dropped_and_the_listing_made_again() -> None:
    paging = Listing(FIRST, IDS, 2, "token", 600, clean=False)
    step = listing.receive(at(paging), paging, google_error(400, "invalidArgument"))
    again = Listing(replace(FIRST, again=True), IDS, 2, None, 0, clean=False)
    assert step == Step(at(again), origin="backfill")


def test_a_label_that_is_gone_lists_nothing() -> None:
    gone = Listing(RESYNC, "Label_1", labels=("STARRED",))
    step = listing.receive(at(gone), gone, google_error(400, "invalidArgument"))
    assert step == Step(at(Listing(RESYNC, "STARRED")), origin="resync")


def test_a_page_that_is_its_own_next_page_is_no_answer() -> None:
    with pytest.raises(ProviderDown, match=r"^the page is its own next page$"):
        received(Listing(RESYNC, IDS, 1, "token", 500), IDS_16[0], token="token")


@pytest.mark.parametrize("empty", ["", None])
def test_a_page_without_a_next_one_is_the_last(empty: str | None) -> None:
    page = answer({"messages": None, "nextPageToken": empty})
    first = Listing(FIRST, IDS)
    assert listing.receive(at(first), first, page).cursor == at(None, 5000.0)
    labels = Listing(RESYNC, LABELS)
    assert listing.receive(at(labels), labels, answer({"labels": None})).cursor == at(Sweeping(RESYNC, True))


def test_what_the_provider_may_have_forgotten_is_asked_for_as_such() -> None:
    asked = [Listing(RESYNC, query, page_token=token) for query in (IDS, CANDIDATES) for token in (None, "token")]
    assert [listing.request(each, 5.0, PRICE).perishable for each in asked] == [False, True, False, True]
    assert listing.request(Listing(RESYNC, "Label_1"), None, PRICE).perishable


def test_more_than_wanted_is_left_out() -> None:
    step = received(Listing(replace(FIRST, wanted=2), IDS), *IDS_16[:3], token="more")
    assert [fact.message_id for fact in step.facts] == IDS_16[:2]
    assert step.cursor.backfill is None
    second = received(Listing(replace(FIRST, wanted=5), IDS, 1, "a", 3), *IDS_16[:3], token="more")
    assert second.pages == {"ids/1": [pack_id(each) for each in IDS_16[:2]]}
    assert second.cursor.backfill == Judged(Listing(replace(FIRST, wanted=5), IDS, 2, "more", 5))


def test_one_page_of_more_than_a_step_is_stored_and_walked() -> None:
    step = received(Listing(replace(FIRST, wanted=None), IDS), *IDS_16[:101])
    assert step.facts == ()
    assert step.pages == {"ids/0": [pack_id(each) for each in IDS_16[:101]]}
    assert step.cursor.backfill == Walking(replace(FIRST, wanted=None), IDS)


def test_a_new_listing_takes_the_place_of_one_that_was_given_up() -> None:
    job = replace(FIRST, wanted=None)
    first = received(Listing(job, IDS), *IDS_16[:500], token="a")
    assert first.clear
    assert first.cursor.backfill == Listing(job, IDS, 1, "a", 500)
    second = received(Listing(job, IDS, 1, "a", 500), *IDS_16[500:])
    assert not second.clear
    assert second.pages == {"ids/1": [pack_id(each) for each in IDS_16[500:]]}
    assert second.cursor.backfill == Judged(Listing(job, IDS, 2, None, 600))


def test_a_listing_of_several_pages_counts_if_no_removal_was_seen() -> None:
    clean = Listing(FIRST, IDS, 2, None, 600)
    assert listing.judged(clean) == Walking(FIRST, IDS)
    tainted = replace(clean, clean=False, page_token="beyond the newest N")
    assert listing.judged(tainted) == Listing(FIRST, IDS, 2, None, 0, True, 1)
    assert listing.judged(replace(tainted, passes=3)) == Listing(FIRST, IDS, 2, None, 0, True, 4)


def test_a_listing_that_was_read_again_is_judged_again_however_short_it_is_now() -> None:
    step = received(Listing(FIRST, IDS, 2, passes=1), IDS_16[0])
    assert step.cursor.backfill == Judged(Listing(FIRST, IDS, 3, listed=1, passes=1))
    assert step.facts == ()


def test_a_listing_is_not_repeated_for_ever() -> None:
    tired = Listing(FIRST, IDS, 9, None, 600, clean=False, passes=4)
    assert listing.judged(tired) == Walking(FIRST, IDS)


@pytest.mark.parametrize("backfill", [Listing(RESYNC, IDS, 1), Sweeping(RESYNC, clean=True)])
def test_a_removal_taints_the_listing_that_it_ran_beside(backfill: Listing | Sweeping) -> None:
    assert listing.noticed_removals(at(backfill), Reading(77)) == backfill
    assert listing.noticed_removals(at(backfill), Reading(77, removals=True)) == replace(backfill, clean=False)


def test_a_removal_after_the_last_page_taints_too() -> None:
    judged = Judged(Listing(RESYNC, IDS, 2))
    assert listing.noticed_removals(at(judged), Reading(77, removals=True)) == Judged(
        Listing(RESYNC, IDS, 2, clean=False)
    )


@pytest.mark.parametrize("backfill", [None, Walking(RESYNC, IDS), Naming(SNAPSHOT), Starting(SNAPSHOT)])
def test_what_lists_nothing_is_not_tainted(backfill: Backfill | None) -> None:
    assert listing.noticed_removals(at(backfill), Reading(77, removals=True)) == backfill


def test_a_resync_lists_ids_then_the_labels_then_compares() -> None:
    assert listing.follow(Listing(RESYNC, IDS, 1, clean=False)) == Listing(RESYNC, LABELS, clean=False)
    labels = Listing(RESYNC, LABELS)
    step = listing.receive(at(labels), labels, answer({"labels": [{"id": "A"}, {"id": "B"}]}))
    assert step.cursor.backfill == Listing(RESYNC, "A", labels=("B",))
    step = received(Listing(RESYNC, "A", labels=("B",)), IDS_16[0])
    assert step.pages == {"=A/0": [pack_id(IDS_16[0])]}
    assert step.cursor.backfill == Listing(RESYNC, "B")
    assert received(Listing(RESYNC, "B")).cursor.backfill == Sweeping(RESYNC, clean=True)


def test_a_mailbox_without_labels_is_compared_at_once() -> None:
    labels = Listing(RESYNC, LABELS, clean=False)
    assert listing.receive(at(labels), labels, answer({})).cursor.backfill == Sweeping(RESYNC, clean=False)


def test_a_page_that_cannot_be_read_is_no_empty_page() -> None:
    with pytest.raises(ProviderDown):
        listing.receive(at(Listing(FIRST, IDS)), Listing(FIRST, IDS), answer({"messages": [{}]}))


def test_a_walk_goes_on_where_it_stopped() -> None:
    walking = Walking(FIRST, IDS)
    step = listing.walked(at(walking), walking, Walked(("m1", "m2"), 0, 2, ended=False))
    facts = (Fact("m1", content=True), Fact("m2", content=True))
    assert step == Step(at(Walking(FIRST, IDS, 0, 2)), facts, origin="backfill")


def test_a_walk_that_ends_is_the_end_of_the_job() -> None:
    walking = Walking(RESYNC, IDS, 1, 40)
    step = listing.walked(at(walking, 0.0), walking, Walked((), 2, 0, ended=True))
    events = (("tidemark.account.resynced", {"reason": "asked_for"}),)
    assert step == Step(at(None, 0.0), origin="resync", floor_s=0.0, clear=True, events=events)


def test_a_snapshot_notes_what_is_known_names_it_and_reads_what_is_not() -> None:
    began = listing.started(at(Starting(SNAPSHOT), 9000.0), SNAPSHOT)
    naming = Naming(SNAPSHOT)
    job: Any = {"origin": "resync", "floor_s": 9000.0}
    events: Any = (("tidemark.snapshot.began", {"snapshot_id": "s1"}),)
    assert began == Step(at(naming, 9000.0), note_known=True, clear=True, events=events, **job)
    step = listing.walked(at(naming, 9000.0), naming, Walked(("m1",), 0, 1, ended=False))
    assert step == Step(at(Naming(SNAPSHOT, 0, 1), 9000.0), (Fact("m1", content=True),), name_again=True, **job)
    step = listing.walked(at(naming, 9000.0), naming, Walked(("m2",), 1, 0, ended=True))
    after = at(Listing(SNAPSHOT, CANDIDATES), 9000.0)
    assert step == Step(after, (Fact("m2", content=True),), name_again=True, clear=True, **job)
    ended = listing.finished(at(Walking(SNAPSHOT, CANDIDATES), 9000.0), SNAPSHOT)
    events = (
        ("tidemark.snapshot.ended", {"snapshot_id": "s1"}),
        ("tidemark.account.resynced", {"reason": "asked_for"}),
    )
    assert ended == Step(at(None, 9000.0), clear=True, events=events, **job)


def test_a_snapshot_after_lost_history_compares_before_it_ends() -> None:
    job = replace(SNAPSHOT, sweep=True)
    step = listing.walked(at(Naming(job), 0.0), Naming(job), Walked((), 1, 0, ended=True))
    assert step.cursor.backfill == Listing(job, IDS)


@pytest.mark.parametrize(
    ("walking", "again"),
    [
        (Walking(FIRST, IDS, 1, 7), Listing(replace(FIRST, again=True), IDS)),
        (Naming(SNAPSHOT, 1, 7), Starting(SNAPSHOT)),
    ],
)
def test_a_stored_listing_that_is_lost_is_made_again(walking: Walking | Naming, again: Backfill) -> None:
    step = listing.walked(at(walking), walking, Walked((), 1, 7, ended=False, lost=True))
    assert step == Step(at(again), origin=walking.job.origin)


def test_the_floor_of_a_first_sync_is_the_oldest_message_that_it_emitted() -> None:
    for floor_s, floor_after_s in ((None, 5000.0), (7.0, 7.0)):
        step = listing.finished(at(Walking(FIRST, IDS), floor_s), FIRST)
        assert step == Step(at(None, floor_after_s), origin="backfill", floor_s=floor_s, clear=True)


@pytest.mark.parametrize(
    ("text", "name"), [(IDS, "ids"), (CANDIDATES, "candidates"), ("INBOX", "=INBOX"), ("=ids", "==ids")]
)
def test_a_label_cannot_be_taken_for_a_listing_of_ours(text: str, name: str) -> None:
    assert listing.table(text) == name


def test_a_job_with_content_starts_by_saying_so() -> None:
    assert listing.start(SNAPSHOT) == Starting(SNAPSHOT)
    assert listing.start(RESYNC) == Listing(RESYNC, IDS)


def test_every_backfill_step_says_where_it_comes_from() -> None:
    for backfill in (Listing(RESYNC, IDS), Judged(Listing(RESYNC, IDS)), Sweeping(RESYNC, clean=True)):
        assert listing.moved(at(None, 9.0), backfill).origin == "resync"
        assert listing.moved(at(None, 9.0), backfill).floor_s == 9.0


def test_a_first_sync_that_was_begun_again_also_lists_what_came_since_the_connection() -> None:
    job = replace(SNAPSHOT, wanted=3, oldest_s=5000.0)
    step = listing.finished(at(Walking(job, IDS)), job)
    after = at(Listing(replace(job, wanted=None), CANDIDATES), 5000.0)
    assert step == Step(after, origin="resync", clear=True)
    assert listing.finished(step.cursor, job).cursor.backfill is None
    assert listing.finished(at(Walking(RESYNC, IDS)), RESYNC).cursor == at(None, 0.0)


def test_candidates_are_walked_however_few_they_are() -> None:
    step = received(Listing(SNAPSHOT, CANDIDATES), "m", floor_s=9000.0)
    after = at(Walking(SNAPSHOT, CANDIDATES), 9000.0)
    assert step == Step(after, origin="resync", floor_s=9000.0, pages={"candidates/0": ["~m"]})
    bounded = replace(SNAPSHOT, wanted=1)
    assert received(Listing(bounded, CANDIDATES), "m", "n").pages == {"candidates/0": ["~m", "~n"]}


def test_a_first_listing_that_is_made_again_also_lists_what_lies_between() -> None:
    job = replace(FIRST, wanted=3, again=True)
    step = listing.finished(at(Walking(job, IDS)), job)
    assert step.cursor == at(Listing(replace(job, wanted=None), CANDIDATES), 5000.0)
    assert listing.finished(step.cursor, job).cursor.backfill is None
