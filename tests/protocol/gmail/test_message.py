"""What becomes of the messages that Gmail answers with (shared/protocol/gmail/message.py)."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.message import FIELDS, Message
from shared.protocol.gmail import message
from shared.protocol.gmail.message import Reading

DEFAULT_FIELDS = "id,threadId,labelIds,snippet,payload/headers,internalDate"
METADATA = Reading(DEFAULT_FIELDS, "metadata", 65536)
FULL = Reading(DEFAULT_FIELDS, "full", 65536)


def resource(*headers: tuple[str, str], **members: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": "18c0ffee12345678",
        "threadId": "18c0ffee00000000",
        "labelIds": ["UNREAD", "INBOX"],
        "snippet": "It&#39;s 1 &lt; 2",
        "historyId": "9876543210",
        "internalDate": "1700000000123",
        "sizeEstimate": 2048,
        "payload": {"headers": [{"name": name, "value": value} for name, value in headers]},
    }
    return {name: value for name, value in (document | members).items() if value is not ...}


def read(*headers: tuple[str, str], reading: Reading = METADATA, **members: Any) -> Message:
    fetched = message.parse(json.dumps(resource(*headers, **members)).encode(), reading)
    assert fetched is not None
    assert tuple(fetched.message) == FIELDS
    orjson.dumps(fetched.message)
    return fetched.message


def unreadable(**members: Any) -> bool:
    return message.parse(json.dumps(resource(**members)).encode(), METADATA) is None


def test_an_ordinary_message_is_normalised() -> None:
    found = read(
        ("From", '"Doe, Jane" <jane@x.org>'),
        ("To", "a@x.org, B <b@x.org>"),
        ("Cc", "c@x.org"),
        ("Bcc", "undisclosed-recipients:;"),
        ("Reply-To", "=?utf-8?q?J=C3=B6rg?= <j@x.org>"),
        ("Subject", "=?utf-8?q?Gr=C3=BC=C3=9Fe?="),
        ("Date", "Tue, 5 Nov 2024 22:44:29 -0500"),
        ("Message-ID", " <m1@x.org> "),
        ("List-Id", "Sales <sales.x.org>"),
        ("Received", "from x by y"),
    )
    assert found == {
        "id": "18c0ffee12345678",
        "thread_id": "18c0ffee00000000",
        "internet_message_id": "<m1@x.org>",
        "subject": "Grüße",
        "from": {"name": "Doe, Jane", "address": "jane@x.org"},
        "to": [{"name": None, "address": "a@x.org"}, {"name": "B", "address": "b@x.org"}],
        "cc": [{"name": None, "address": "c@x.org"}],
        "bcc": [],
        "reply_to": [{"name": "Jörg", "address": "j@x.org"}],
        "sent_at": "2024-11-06T03:44:29.000Z",
        "received_at": "2023-11-14T22:13:20.123Z",
        "snippet": "It's 1 < 2",
        "labels": ["INBOX", "UNREAD"],
        "folder_id": None,
        "categories": [],
        "unread": True,
        "flagged": False,
        "draft": False,
        "has_attachments": None,
        "size_bytes": 2048,
        "headers": [["List-Id", "Sales <sales.x.org>"]],
        "body": None,
    }


def test_what_gmail_does_not_say_is_null_or_empty() -> None:
    found = read(
        threadId=..., labelIds=..., snippet=..., internalDate=..., sizeEstimate=..., payload=..., something="else"
    )
    empty = {name: value for name, value in found.items() if name != "id"}
    assert all(value in (None, [], False) for value in empty.values())
    nulls: dict[str, Any] = dict.fromkeys(
        ("threadId", "labelIds", "snippet", "internalDate", "sizeEstimate", "payload")
    )
    assert read(**nulls) == found


def test_the_version_is_the_history_id_as_text_or_number() -> None:
    for history_id in ("9876543210", 9876543210, "0009876543210", 0):
        fetched = message.parse(json.dumps(resource(historyId=history_id)).encode(), METADATA)
        assert fetched is not None
        assert fetched.version == ("9876543210" if history_id else "0")


@pytest.mark.parametrize(
    "members",
    [
        {"id": ...},
        {"id": ""},
        {"id": 5},
        {"id": "two words"},
        {"id": "x" * 300},
        {"threadId": []},
        {"threadId": "a\nb"},
        {"historyId": ...},
        {"historyId": "abc"},
        {"historyId": "-1"},
        {"historyId": "9" * 5000},
        {"historyId": 1.5},
        {"historyId": True},
        {"labelIds": "INBOX"},
        {"labelIds": [None]},
        {"snippet": 5},
        {"internalDate": "yesterday"},
        {"internalDate": 2**64},
        {"sizeEstimate": {}},
        {"payload": []},
        {"payload": {"headers": {}}},
        {"payload": {"headers": ["To"]}},
        {"payload": {"headers": [{"name": 5}]}},
        {"payload": {"headers": [{"name": "To", "value": []}]}},
    ],
)
def test_an_answer_outside_gmails_schema_is_unreadable(members: dict[str, Any]) -> None:
    assert unreadable(**members)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"<html>", b"{", b"\xff", b"[" * 200_000, b'{"a":"\\ud800"' + b"[" * 200_000]
)
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    assert message.parse(body, METADATA) is None
    assert message.parse_thread(body, METADATA) is None
    assert message.parse_confirmation(body) is None


def test_half_an_emoji_loses_no_message() -> None:
    body = json.dumps(resource(("Subject", "cut \ud83d"), snippet="cut \ud83d")).encode()
    for spelled in (body, body.replace(b"\\ud83d", b"\\uD83D")):
        fetched = message.parse(spelled, METADATA)
        assert fetched is not None
        assert (fetched.message["subject"], fetched.message["snippet"]) == ("cut \ufffd", "cut \ufffd")


@pytest.mark.parametrize(
    ("internal_date", "instant"),
    [
        ("0", "1970-01-01T00:00:00.000Z"),
        (1700000000123, "2023-11-14T22:13:20.123Z"),
        ("-1000", "1969-12-31T23:59:59.000Z"),
        ("9" * 18, None),
    ],
)
def test_received_at_is_gmails_own_date(internal_date: object, instant: str | None) -> None:
    assert read(internalDate=internal_date)["received_at"] == instant


def test_a_size_below_zero_is_no_size() -> None:
    assert read(sizeEstimate=-1)["size_bytes"] is None
    assert read(sizeEstimate="12")["size_bytes"] == 12
    assert read(sizeEstimate=0)["size_bytes"] == 0


def test_labels_are_a_sorted_set_and_tell_the_flags() -> None:
    found = read(labelIds=["STARRED", "DRAFT", "Label_9", "STARRED"])
    assert found["labels"] == ["DRAFT", "Label_9", "STARRED"]
    assert (found["unread"], found["flagged"], found["draft"]) == (False, True, True)
    assert message.flags(frozenset({"UNREAD"})) == {
        "labels": ["UNREAD"],
        "unread": True,
        "flagged": False,
        "draft": False,
    }


def test_headers_given_twice_keep_the_first_subject_and_every_recipient() -> None:
    dates = (("Date", "Tue, 5 Nov 2024 22:44:29 +0000"), ("Date", "Wed, 6 Nov 2024 22:44:29 +0000"))
    found = read(("subject", "first"), ("SUBJECT", "second"), ("To", "a@x.org"), ("to", "b@x.org"), *dates)
    assert (found["subject"], found["sent_at"]) == ("first", "2024-11-05T22:44:29.000Z")
    assert [entry["address"] for entry in found["to"]] == ["a@x.org", "b@x.org"]


def test_an_empty_subject_is_not_a_missing_one() -> None:
    assert read(("Subject", ""))["subject"] == ""
    assert read()["subject"] is None


def test_control_characters_do_not_leave() -> None:
    found = read(("Subject", "NUL \x00 =?utf-8?q?=00=0D=0Ax?="), ("Message-ID", "<a\x00b>"), snippet="a\x00&#0;b")
    assert found["subject"] == "NUL      x"
    assert found["internet_message_id"] == "<a b>"
    assert "\x00" not in (found["snippet"] or "")


def test_kept_headers_stand_in_their_order_as_they_were_sent() -> None:
    found = read(("references", "<a>\r\n <b>"), ("Precedence", "=?utf-8?q?bulk?="), ("References", "<c>"))
    assert found["headers"] == [["references", "<a> <b>"], ["Precedence", "=?utf-8?q?bulk?="], ["References", "<c>"]]


def test_huge_headers_never_blow_an_event_up() -> None:
    huge = "=?utf-8?q?" + "=C3=BC" * 60_000 + "?= "
    names = (*message.METADATA_HEADERS, *message.KEPT_HEADERS)
    found = read(*((name, huge + "a@x.org, " * 20_000) for name in names for _ in range(3)), snippet="ü&amp;" * 50_000)
    assert len((found["subject"] or "").encode()) <= message.SUBJECT_BYTES_MAX
    assert found["internet_message_id"] is None
    assert len(found["headers"]) <= message.HEADERS_MAX
    assert sum(len(value.encode()) for _, value in found["headers"]) <= message.HEADERS_BYTES_MAX
    assert len(orjson.dumps(found)) < 200_000


# --- threads and confirmations


def test_a_thread_gives_its_messages_by_id_without_the_unreadable() -> None:
    entries = [resource(id=...), resource(id="a"), resource(id="b", historyId="7")]
    found = message.parse_thread(json.dumps({"id": "t", "messages": entries}).encode(), METADATA)
    assert found is not None
    assert {key: fetched.version for key, fetched in found.items()} == {"a": "9876543210", "b": "7"}
    assert message.parse_thread(b'{"id":"t"}', METADATA) == {}
    assert message.parse_thread(b'{"messages":{}}', METADATA) is None
    assert message.parse_thread(b'{"messages":[5]}', METADATA) is None


def test_a_confirmation_gives_labels_and_version() -> None:
    body = b'{"id":"a","threadId":"t","labelIds":["TRASH","UNREAD","TRASH"],"historyId":"42"}'
    assert message.parse_confirmation(body) == ("a", frozenset({"TRASH", "UNREAD"}), "42")
    assert message.parse_confirmation(b'{"id":"a","historyId":"42"}') == ("a", frozenset(), "42")
    assert message.parse_confirmation(b'{"id":"a"}') is None
    assert message.parse_confirmation(b'{"historyId":"42"}') is None


# --- anything at all

KEYS = ["id", "threadId", "labelIds", "snippet", "historyId", "internalDate", "sizeEstimate", "payload", "headers"]
KEYS += ["name", "value", "parts", "body", "data", "attachmentId", "filename", "mimeType", "messages"]
TEXTS = st.sampled_from(
    ["a1", "12", "From", "Date", "Content-Type", "text/plain", "text/html; charset=utf-7", "image/x"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
)
HEADERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from([*message.METADATA_HEADERS, *message.KEPT_HEADERS]), "value": st.text()}
    )
)


@settings(deadline=None)
@given(JSON | st.fixed_dictionaries({"id": TEXTS, "historyId": st.integers(0), "payload": JSON}), HEADERS)
def test_any_json_is_a_whole_message_or_nothing(document: Any, headers: list[dict[str, str]]) -> None:
    for candidate in (document, {"id": "a", "historyId": 1, "payload": {"headers": headers, "parts": [document]}}):
        body = json.dumps(candidate).encode()
        for reading in (METADATA, FULL):
            fetched = message.parse(body, reading)
            assert fetched == message.parse(body, reading)
            if fetched is not None:
                assert tuple(fetched.message) == FIELDS
                assert orjson.loads(orjson.dumps(fetched.message)) == fetched.message
        message.parse_thread(body, FULL)
        message.parse_confirmation(body)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(body: bytes) -> None:
    assert message.parse(body, FULL) is None
    message.parse_thread(body, FULL)
    message.parse_confirmation(body)
