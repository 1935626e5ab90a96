"""A cached message as text."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol import cached
from shared.protocol.step import Fetched

MESSAGE: Any = {"id": "m1", "subject": "Grüße", "labels": ["INBOX"]}


@given(st.integers(0, 2**64), st.text(), st.sampled_from(["p", "", "p:1", "a:b:c"]))
def test_a_cached_message_is_read_as_it_was_kept(version: int, subject: str, packed: str) -> None:
    try:
        subject.encode()
    except UnicodeEncodeError:
        return
    message: Any = {**MESSAGE, "subject": subject}
    fetched = Fetched(message, str(version))
    assert cached.unpack(cached.pack(fetched, "m65536", packed), "m65536") == fetched


def test_a_script_finds_the_index_entry_by_the_third_part() -> None:
    assert cached.pack(Fetched(MESSAGE, "7"), "m65536", "p").split(":")[:3] == ["m65536", "7", "p"]


def test_a_message_read_in_another_way_does_not_serve() -> None:
    assert cached.unpack(cached.pack(Fetched(MESSAGE, "7"), "m65536", "p"), "f65536") is None


@pytest.mark.parametrize(
    "text",
    [None, "", "m65536", "m65536:7", "m65536:7:", "m65536:7:not base64", "m65536:7:AAAA", "m65536:7:eJwDAAAAAAE="],
)
def test_what_cannot_be_read_is_a_miss(text: str | None) -> None:
    assert cached.unpack(text, "m65536") is None
