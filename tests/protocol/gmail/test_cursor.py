"""Where a Gmail mailbox's reading stands, as text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ContractBroken
from shared.protocol.gmail import cursor as cursors
from shared.protocol.gmail.cursor import (
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
    decode,
    encode,
    reached,
)

IDS = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SECONDS = st.floats(0, 4e9)
COUNTS = st.integers(0, 10**6)

jobs = st.builds(Job, TEXT, st.none() | COUNTS, st.booleans(), st.booleans(), TEXT, TEXT, oldest_s=SECONDS, pin=IDS)
listings = st.builds(
    Listing,
    jobs,
    TEXT,
    COUNTS,
    st.none() | TEXT,
    COUNTS,
    st.booleans(),
    COUNTS,
    st.lists(TEXT, max_size=4).map(tuple),
)
lives = st.builds(Pinning) | st.builds(Reading, IDS, st.none() | TEXT, st.none() | IDS, st.booleans(), st.booleans())
backfills = (
    st.none()
    | st.builds(Starting, jobs)
    | st.builds(Naming, jobs, COUNTS, COUNTS)
    | listings
    | st.builds(Judged, listings)
    | st.builds(Sweeping, jobs, st.booleans(), TEXT)
    | st.builds(Walking, jobs, TEXT, COUNTS, COUNTS)
)


@given(st.builds(Cursor, lives, backfills, st.none() | COUNTS, st.none() | SECONDS))
def test_every_cursor_comes_back(cursor: Cursor) -> None:
    assert decode(encode(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '["reading"]',
        '[["reading",{"since":1}],null,null]',
        '[["unheard",{}],null,null,null]',
        '[["reading",{"sinse":1}],null,null,null]',
        '[["pinning",{}],["walking",{}],null,null]',
        '[["pinning",{}],["judged",{}],null,null]',
        '[["pinning",{}],["listing",{"job":{}}],null,null]',
        '[["pinning",{}],["unheard",{"job":{"origin":"live","wanted":1}}],null,null]',
    ],
)
def test_what_encode_did_not_write_is_lost_state_and_no_guess(text: str) -> None:
    with pytest.raises(ContractBroken, match=r"^the stored cursor can't be read$"):
        decode(text)


def test_a_first_sync_of_a_small_mailbox_has_a_small_cursor() -> None:
    assert len(encode(Cursor(Reading(123456789), None, 100, 1_764_028_800.0))) < 150


def test_a_history_id_is_reached_only_where_no_round_is_under_way() -> None:
    assert reached(Cursor(Reading(77))) == 77
    assert reached(Cursor(Reading(77, page_token="t"))) == 0
    assert reached(Cursor(Pinning())) == 0


def test_a_listing_is_repeated_a_bounded_number_of_times() -> None:
    assert cursors.LISTING_PASSES_MAX == 5
