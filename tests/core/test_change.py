"""Entries of the change log, and the CloudEvents that a reader gets of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import change
from shared.core.message import FIELDS, whole

READER = ("a1", "u1", "gmail", "e5")


def read(stored: str, stream_id: str = "17-1764028800500") -> dict[str, Any]:
    return change.cloud_event(*READER, stream_id, stored)


def test_an_entry_is_read_as_a_cloud_event() -> None:
    assert read(change.deleted("m1")) == {
        "specversion": "1.0",
        "id": "a1.e5.17",
        "source": "/tidemark/accounts/a1",
        "type": "tidemark.message.deleted",
        "time": "2025-11-25T00:00:00.500Z",
        "datacontenttype": "application/json",
        "data": {"account_id": "a1", "user_id": "u1", "provider": "gmail", "message_id": "m1"},
        "subject": "m1",
    }


def test_the_same_entry_is_the_same_event_however_often_it_is_read() -> None:
    assert read(change.deleted("m1")) == read(change.deleted("m1"))


def test_every_message_event_names_its_message() -> None:
    message: Any = whole({"id": "m1"})
    for stored, kind, data in (
        (change.created("live", message), "message.created", {"origin": "live", "message": message}),
        (
            change.updated("m1", {"unread": False}),
            "message.updated",
            {"message_id": "m1", "patch": {"unread": False}},
        ),
        (change.deleted("m1"), "message.deleted", {"message_id": "m1"}),
        (
            change.quarantined("m1", "backendError", 9),
            "message.quarantined",
            {"message_id": "m1", "reason": "backendError", "attempts": 9},
        ),
    ):
        event = read(stored)
        assert (event["type"], event["subject"]) == (f"tidemark.{kind}", "m1")
        assert event["data"] == {"account_id": "a1", "user_id": "u1", "provider": "gmail", **data}
        assert change.parts(stored) == (kind, data)


def test_what_is_empty_in_a_message_is_not_stored_and_read_all_the_same() -> None:
    message: Any = whole({"id": "m1", "size_bytes": 0, "has_attachments": False, "unread": True, "labels": ["INBOX"]})
    stored = change.created("live", message)
    assert len(stored) < 150
    found = read(stored)["data"]["message"]
    assert found == message
    assert tuple(found) == FIELDS


def test_an_event_of_the_account_has_no_subject() -> None:
    event = read(change.entry("tidemark.account.resynced", {"reason": "asked_for"}))
    assert event["type"] == "tidemark.account.resynced"
    assert "subject" not in event
    assert event["data"] == {"account_id": "a1", "user_id": "u1", "provider": "gmail", "reason": "asked_for"}


def test_the_prefix_is_not_stored_with_every_entry() -> None:
    assert change.entry("tidemark.account.connected", {"by": "u1"}) == '["account.connected",{"by":"u1"}]'
    assert change.entry("account.connected", {}) == '["account.connected",{}]'


@given(st.from_regex(r"[0-9a-f]{1,13}", fullmatch=True), st.integers(0, 10**15 - 1))
def test_a_cursor_names_an_epoch_and_a_place(epoch: str, seq: int) -> None:
    assert change.cursor(epoch, seq) == f"{epoch}.{seq}"
    assert change.cursor_parts(change.cursor(epoch, seq)) == (epoch, seq)
    assert change.cursor_parts("e5." + "9" * 15) == ("e5", 10**15 - 1)


@pytest.mark.parametrize("text", ["", "e5", ".7", "e5.", "e5.-1", "e5.x", "e5.1.2", "e5.٣", "e5." + "9" * 16, "e5. 7"])
def test_what_is_no_cursor_of_ours_is_none(text: str) -> None:
    assert change.cursor_parts(text) is None
