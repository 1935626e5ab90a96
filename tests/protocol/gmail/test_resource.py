"""Gmail's JSON objects read by their types (shared/protocol/gmail/resource.py)."""

from typing import Any

import pytest

from shared.protocol.gmail import resource
from shared.protocol.gmail.resource import Unreadable


@pytest.mark.parametrize("value", [0, -(2**63), 2**64 - 1, None])
def test_an_integer_is_one_of_64_bits_signed_or_not(value: int | None) -> None:
    assert resource.whole({"n": value}, "n") == value
    assert resource.whole({"n": None if value is None else str(value)}, "n") == value


@pytest.mark.parametrize("value", [-(2**63) - 1, 2**64, True, 1.0, "", "+1", "1" * 21, [], {}])
def test_anything_else_is_no_integer(value: Any) -> None:
    with pytest.raises(Unreadable):
        resource.whole({"n": value}, "n")


def test_what_is_missing_is_empty() -> None:
    for owner in ({}, {"n": None}):
        assert (resource.member(owner, "n"), resource.objects(owner, "n")) == ({}, [])
        assert (resource.text_of(owner, "n"), resource.identifier(owner, "n"), resource.whole(owner, "n")) == (
            None,
        ) * 3
    assert resource.labels({}) == resource.labels({"labelIds": None}) == frozenset()
    assert resource.header_pairs({"headers": [{}, {"name": "a"}, {"value": "b"}]}) == [("", ""), ("a", ""), ("", "b")]


def test_labels_are_fit_to_be_stored() -> None:
    assert resource.labels({"labelIds": ["A", "B\x00\ud800", "A"]}) == {"A", "B\ufffd\ufffd"}
