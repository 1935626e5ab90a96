"""The normalised message: its fields, instants, and texts cut to size."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.message import FIELDS, cut_utf8, instant, instant_s, lean, whole


def test_the_fields_are_the_contracts() -> None:
    assert (
        *("id", "thread_id", "internet_message_id", "subject", "from", "to", "cc", "bcc", "reply_to", "sent_at"),
        *("received_at", "snippet", "labels", "folder_id", "categories", "unread", "flagged", "draft"),
        *("has_attachments", "size_bytes", "headers", "body"),
    ) == FIELDS


def test_what_is_empty_is_an_empty_list_a_no_or_null() -> None:
    lists, flags = ("to", "cc", "bcc", "reply_to", "labels", "categories", "headers"), ("unread", "flagged", "draft")
    assert whole({}) == dict.fromkeys(FIELDS) | dict.fromkeys(flags, False) | {name: [] for name in lists}


def test_only_what_is_empty_is_left_out_and_put_back() -> None:
    message: Any = whole({"id": "m1", "to": [{"name": None, "address": "a@b.c"}], "draft": True, "size_bytes": 0})
    assert lean(message) == {"id": "m1", "to": [{"name": None, "address": "a@b.c"}], "draft": True, "size_bytes": 0}
    assert whole(lean(message)) == message


def test_an_instant_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert instant(0) == "1970-01-01T00:00:00.000Z"
    assert instant(1_764_028_800.5) == "2025-11-25T00:00:00.500Z"


@pytest.mark.parametrize("seconds", [None, 1e12, -1e12, math.inf, math.nan])
def test_what_no_calendar_holds_is_null(seconds: float | None) -> None:
    assert instant(seconds) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:01+01:00", 1.0),
        ("1970-01-01T00:00:01", 1.0),
        ("0001-01-01T00:00:00", -62_135_596_800.0),  # raises where it is taken for local time
        ("", None),
        (None, None),
        ("yesterday", None),
    ],
)
def test_an_instant_is_read_as_utc_where_it_names_no_zone(text: str | None, seconds: float | None) -> None:
    assert instant_s(text) == seconds


@given(st.integers(-62_000_000_000_000, 253_000_000_000_000))
def test_an_instant_read_again_is_the_same(milliseconds: int) -> None:
    found = instant(milliseconds / 1000)
    assert found is not None
    seconds = instant_s(found)
    assert seconds is not None
    assert abs(seconds - milliseconds / 1000) < 0.0011  # and what a float makes of it


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_a_beginning_in_whole_characters(text: str, bytes_max: int) -> None:
    cut, was_cut = cut_utf8(text, bytes_max)
    assert len(cut.encode()) <= bytes_max
    assert text.startswith(cut)
    assert was_cut == (cut != text)
    assert not was_cut or len(text[: len(cut) + 1].encode()) > bytes_max


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert cut_utf8("a\ud800", 10) == ("a?", False)
