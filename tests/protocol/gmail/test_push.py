"""What a Pub/Sub push says about a mailbox: every form of it, and nothing that raises."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.gmail.push import HISTORY_ID_MAX, Push, read

ADDRESS = "ada@example.com"


def said(history_id: Any = 1710, address: Any = ADDRESS) -> bytes:
    return json.dumps({"emailAddress": address, "historyId": history_id}).encode()


def wrapped(data: Any) -> bytes:
    return json.dumps({"message": {"data": data, "message_id": "1"}, "subscription": "s"}).encode()


def standard(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_a_push_is_read_wrapped_and_unwrapped() -> None:
    assert read(said()) == read(wrapped(standard(said()))) == Push(ADDRESS, 1710)


def test_both_alphabets_are_read_with_and_without_padding() -> None:
    for address in ("ÿ?>~@example.com", "ÿ?>~+@example.com", "ÿ?>~++@example.com"):
        raw = said(address=address)
        for text in (standard(raw), base64.urlsafe_b64encode(raw).decode()):
            for form in (text, text.rstrip("="), text.rstrip("=") + "==="):
                assert read(wrapped(form)) == Push(address, 1710)


@pytest.mark.parametrize(
    ("history_id", "number"),
    [
        (1710, 1710),
        ("1710", 1710),
        ("0001710", 1710),
        (1, 1),
        (HISTORY_ID_MAX, 2**64 - 1),
        (str(HISTORY_ID_MAX), 2**64 - 1),
    ],
)
def test_a_history_id_is_a_number_or_a_string(history_id: Any, number: int) -> None:
    assert read(said(history_id)) == Push(ADDRESS, number)


@pytest.mark.parametrize("history_id", [0, -5, HISTORY_ID_MAX + 1, 1.0, True, None, "", "x", "१२", "1" * 21, [], {}])
def test_a_history_id_that_makes_no_sense_is_none(history_id: Any) -> None:
    assert read(said(history_id)) == Push(ADDRESS, None)


@pytest.mark.parametrize("address", ["a@b", "a" * 318 + "@b"])
def test_an_address_may_be_as_short_and_as_long_as_one_can_be(address: str) -> None:
    assert read(said(address=address)) == Push(address, 1710)


@pytest.mark.parametrize("address", ["", "x@", "no address", 5, None, ["a@b"], "a" * 319 + "@b"])
def test_a_push_without_an_address_is_none(address: Any) -> None:
    assert read(said(address=address)) is None


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"null", b"\xff", wrapped(None), wrapped("!!!"), wrapped("ä"), wrapped(standard(b"x"))),
        *(wrapped("A"), wrapped("!!!!" + standard(said()))),
    ],
)
def test_what_is_no_push_is_none(body: bytes) -> None:
    assert read(body) is None


@given(st.binary() | st.text().map(lambda text: wrapped(text)) | st.binary().map(lambda raw: wrapped(standard(raw))))
def test_nothing_raises(body: bytes) -> None:
    read(body)
