"""A full message with all that it holds, and where what a sender wrote is cut (shared/protocol/gmail/message.py)."""

import base64
import json
from typing import Any

import pytest

from shared.core.message import Message
from shared.protocol.gmail import message
from shared.protocol.gmail.message import Reading
from tests.protocol.gmail.answers import resource

METADATA = Reading("id", "metadata", 65536)


def read(*headers: tuple[str, str], reading: Reading = METADATA, **members: Any) -> Message:
    payload = {"headers": [{"name": name, "value": value} for name, value in headers], **members.pop("payload", {})}
    fetched = message.parse(json.dumps({**resource("m", [], 7, **members), "payload": payload}).encode(), reading)
    assert fetched is not None
    return fetched.message


def data(text: str) -> dict[str, Any]:
    return {"size": len(text), "data": base64.urlsafe_b64encode(text.encode()).decode()}


PARTS = [
    {"mimeType": "text/html", "body": data("<p>more</p>")},
    {"mimeType": "application/pdf", "filename": "a.pdf", "body": {"size": 9, "attachmentId": "A1"}},
]
MIXED = {"mimeType": "multipart/mixed", "parts": PARTS}
PDF = {"id": "A1", "name": "a.pdf", "content_type": "application/pdf", "size_bytes": 9, "inline": False}


def test_a_full_message_has_its_body_cut_where_the_settings_say() -> None:
    found = read(reading=Reading("id", "full", 4), payload=MIXED)
    body = {"content_type": "text/html", "content": "<p>m", "truncated": True}
    assert (found["has_attachments"], found["body"]) == (True, body)
    assert "bodies" not in found
    assert (read(payload=MIXED)["has_attachments"], read(payload=MIXED)["body"]) == (None, None)


def test_readers_get_the_same_and_all_bodies_and_attachments() -> None:
    plain = read(reading=Reading("id", "full", 3), payload=MIXED)
    text = {"content_type": "text/plain", "content": "mor", "truncated": True}
    markup = {"content_type": "text/html", "content": "<p>", "truncated": True}
    whole: Any = read(reading=Reading("id", "full", 3, for_readers=True), payload=MIXED)
    assert whole == {**plain, "bodies": {"text": text, "html": markup}, "attachments": [PDF]}


@pytest.mark.parametrize(
    ("value", "identity"),
    [
        ("", None),
        ("x", "x"),
        ("x" * 998, "x" * 998),
        ("x" * 999, None),
        ("\xfc" * 499, "\xfc" * 499),
        ("\xfc" * 500, None),
    ],
)
def test_a_message_id_is_kept_whole_or_not_at_all(value: str, identity: str | None) -> None:
    assert read(("Message-ID", value))["internet_message_id"] == identity


def test_a_subject_is_cut_after_it_was_decoded() -> None:
    assert read(("Subject", "x" * 4097))["subject"] == "x" * 4096
    assert read(("Subject", "=?utf-8?q?" + "=C3=BC" * 2049 + "?="))["subject"] == "\xfc" * 2048


def test_a_snippet_is_cut() -> None:
    assert read(snippet="x" * 2049)["snippet"] == "x" * 2048
    assert read(snippet="&amp;" * 410)["snippet"] == "&" * 409 + "&am"


def test_kept_headers_are_cut_each_and_left_out_where_they_are_too_many() -> None:
    assert read(("References", "x" * 3000))["headers"] == [["References", "x" * 2048]]
    assert read(*[("List-Id", "x")] * 41)["headers"] == [["List-Id", "x"]] * 40
    full = [("References", "x" * 2048)] * 8
    assert read(*full, ("List-Id", ""))["headers"] == [*(list(each) for each in full), ["List-Id", ""]]
    assert read(*full, ("List-Id", "y"), ("List-Id", ""))["headers"] == [list(each) for each in full]


def test_ids_of_a_thread_are_of_its_messages_that_have_one() -> None:
    body = json.dumps({"id": "t", "messages": [{"id": "a"}, {}, {"id": "b"}]}).encode()
    assert message.thread_ids(body) == ["a", "b"]
    assert message.thread_ids(b'{"id":"t"}') == []
    assert message.thread_ids(b'{"messages":5}') is None
