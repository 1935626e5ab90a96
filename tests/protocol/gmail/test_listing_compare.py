"""A listing compared with the index: what differs, what is read to be sure, and what follows."""

from dataclasses import replace

import pytest

from shared.protocol.gmail import listing
from shared.protocol.gmail.cursor import CANDIDATES, IDS, Backfill, Listing, Sweeping, Walking
from shared.protocol.gmail.known import Known, pack_id
from shared.protocol.step import Fact, Step
from tests.protocol.gmail.test_listing import IDS_16, RESYNC, at

KNOWN = Known(40, frozenset({"INBOX", "UNREAD"}))
A, B = pack_id(IDS_16[1]), pack_id(IDS_16[2])
ALL_LISTED = frozenset({"INBOX", "UNREAD", "STARRED"})


def compare(sweeping: Sweeping, labels: dict[str, set[str]], known: dict[str, Known]) -> tuple[Fact, ...]:
    return listing.compare(sweeping, labels, known, ALL_LISTED)


def test_what_the_listing_and_the_index_agree_on_is_no_fact() -> None:
    assert compare(Sweeping(RESYNC, clean=True), {A: {"INBOX", "UNREAD"}}, {A: KNOWN}) == ()


def test_an_absent_id_is_read_before_anything_is_said() -> None:
    assert compare(Sweeping(RESYNC, clean=True), {}, {A: KNOWN}) == (Fact(IDS_16[1], gone=True),)


def test_labels_are_taken_from_clean_listings_as_of_the_pin() -> None:
    (fact,) = compare(Sweeping(RESYNC, clean=True), {A: {"INBOX", "STARRED"}}, {A: KNOWN})
    assert fact == Fact(IDS_16[1], version="50", labels={"STARRED": (True, 50), "UNREAD": (False, 50)})


@pytest.mark.parametrize(
    ("clean", "known", "labels"),
    [
        (False, KNOWN, {"INBOX"}),
        (True, replace(KNOWN, version=50), {"INBOX"}),
        (True, replace(KNOWN, labels=KNOWN.labels | {"Unlisted"}), {"INBOX", "UNREAD"}),
    ],
)
def test_labels_that_may_be_moved_or_newer_or_were_not_listed_are_read(
    clean: bool, known: Known, labels: set[str]
) -> None:
    assert compare(Sweeping(RESYNC, clean=clean), {A: labels}, {A: known}) == (Fact(IDS_16[1], gone=True),)


def test_a_comparison_goes_on_behind_what_it_has_settled() -> None:
    both = {A: KNOWN, B: KNOWN}
    first, second = compare(Sweeping(RESYNC, clean=True), {}, both)
    step = listing.compared(at(Sweeping(RESYNC, clean=True)), Sweeping(RESYNC, clean=True), (first,))
    assert step.cursor.backfill == Sweeping(RESYNC, clean=True, after=A)
    assert compare(Sweeping(RESYNC, clean=True, after=A), {}, both) == (second,)


@pytest.mark.parametrize(
    ("floor_s", "wanted", "follows", "clear"),
    [
        (0.0, None, Walking(RESYNC, IDS), False),
        (9000.0, 100, Listing(replace(RESYNC, sweep=False), CANDIDATES), True),
        (None, 100, Listing(replace(RESYNC, sweep=False, wanted=100), IDS), True),
    ],
)
def test_after_a_comparison_comes_what_the_index_lacks(
    floor_s: float | None, wanted: int | None, follows: Backfill, clear: bool
) -> None:
    sweeping = Sweeping(RESYNC, clean=True)
    step = listing.compared(at(sweeping, floor_s, wanted), sweeping, ())
    assert step == Step(at(follows, floor_s, wanted), origin="resync", floor_s=floor_s, clear=clear)
