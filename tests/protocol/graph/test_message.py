"""A Graph message as the log's message: whole rows, sparse rows, and values that are not what they should be."""

from typing import Any

from shared.core.message import FIELDS
from shared.protocol.graph import message
from shared.protocol.graph.document import read_json, whole_text, write_json
from shared.protocol.graph.message import Reading

TEXT = Reading("text", 20)
ROW: dict[str, Any] = {
    "@odata.type": "#microsoft.graph.eventMessageRequest",
    "id": "AAk=",
    "conversationId": "c1",
    "internetMessageId": "<1@example.org>",
    "subject": "Hello",
    "from": {"emailAddress": {"name": "Ada", "address": "ada@example.org"}},
    "toRecipients": [{"emailAddress": {"name": "", "address": "kim@example.org"}}, {}, "x", {"emailAddress": {}}],
    "ccRecipients": None,
    "bccRecipients": [],
    "replyTo": [],
    "sentDateTime": "2026-11-24T10:00:00Z",
    "receivedDateTime": "2026-11-24T10:00:01.1234567Z",
    "bodyPreview": "Hello",
    "parentFolderId": "F",
    "categories": ["red", "blue", "red"],
    "isRead": False,
    "flag": {"flagStatus": "flagged"},
    "isDraft": False,
    "hasAttachments": True,
    "lastModifiedDateTime": "2026-11-24T10:00:02Z",
    "body": {"contentType": "text", "content": "a long body that is cut off"},
}


def test_a_whole_row_is_a_whole_message() -> None:
    found = message.parse(ROW, TEXT)
    assert tuple(found.message) == FIELDS
    assert found.message == {
        "id": "AAk=",
        "thread_id": "c1",
        "internet_message_id": "<1@example.org>",
        "subject": "Hello",
        "from": {"name": "Ada", "address": "ada@example.org"},
        "to": [{"name": None, "address": "kim@example.org"}],
        "cc": [],
        "bcc": [],
        "reply_to": [],
        "sent_at": "2026-11-24T10:00:00.000Z",
        "received_at": "2026-11-24T10:00:01.123Z",
        "snippet": "Hello",
        "labels": [],
        "folder_id": "F",
        "categories": ["blue", "red"],
        "unread": True,
        "flagged": True,
        "draft": False,
        "has_attachments": True,
        "size_bytes": None,
        "headers": [],
        "body": {"content_type": "text/plain", "content": "a long body that is ", "truncated": True},
    }
    assert found.version == "1795514402000"


def test_what_graph_does_not_say_is_null_or_empty() -> None:
    found = message.parse({"id": "x", "from": None, "subject": None, "sentDateTime": "never", "body": {}}, TEXT).message
    assert (found["from"], found["subject"], found["sent_at"], found["received_at"]) == (None, None, None, None)
    assert (found["to"], found["categories"], found["body"]) == ([], [], None)
    assert (found["unread"], found["flagged"], found["draft"], found["has_attachments"]) == (False,) * 4
    assert message.parse({"id": "x"}, TEXT).version == "0"


def test_the_body_s_own_type_is_believed() -> None:
    row = {**ROW, "body": {"contentType": "html", "content": "<p>"}}
    assert message.parse(row, TEXT).message["body"] == {
        "content_type": "text/html",
        "content": "<p>",
        "truncated": False,
    }
    assert message.parse(row, Reading("none", 20)).message["body"] is None


def test_a_sparse_row_tells_only_what_it_has() -> None:
    row = {"id": "x", "isRead": True, "parentFolderId": "F"}
    assert message.fields(row, TEXT) == {"unread": False, "folder_id": "F"}
    assert message.fields({"id": "x"}, Reading("none", 20)) == {"body": None}
    assert not message.complete(row, with_body=False)
    assert message.complete(ROW, with_body=True)
    light = {name: value for name, value in ROW.items() if name != "body"}
    assert message.complete(light, with_body=False)
    assert not message.complete(light, with_body=True)
    assert (message.modified_ms(row), message.received_s(row)) == (0, None)
    assert message.received_s(ROW) == 1795514401.123456


def test_half_an_emoji_costs_one_character() -> None:
    document = read_json(b'{"bodyPreview": "cut \\ud83d", "subject": "\\ud83d\\ude00"}')
    found = message.parse({"id": "x", **document}, TEXT).message
    assert (found["snippet"], found["subject"]) == ("cut \ufffd", "\U0001f600")
    assert read_json(write_json(document)) == document
    assert write_json({"a": 1}) == b'{"a":1}'
    assert whole_text("grün") == "grün"


def test_readers_get_both_bodies_and_what_is_attached() -> None:
    rows: Any = [
        {"id": "a1", "name": "plan.pdf", "contentType": "application/pdf", "size": 7, "isInline": False},
        {"id": "x" * 3000, "name": "n" * 999, "contentType": None, "size": True, "isInline": 1},
        "no row",
    ]
    row = {**ROW, "body": {"contentType": "html", "content": "<p>Hello</p>Kim"}, "attachments": rows}
    found: Any = message.parse(row, Reading("text", 20, for_readers=True)).message
    assert found["bodies"]["text"] == {"content_type": "text/plain", "content": "Hello\nKim", "truncated": False}
    assert found["bodies"]["html"]["content"] == "<p>Hello</p>Kim"
    assert found["body"] == found["bodies"]["text"]
    assert found["attachments"] == [
        {"id": "a1", "name": "plan.pdf", "content_type": "application/pdf", "size_bytes": 7, "inline": False},
        {"id": None, "name": "n" * 255, "content_type": None, "size_bytes": None, "inline": False},
    ]


def test_a_body_that_comes_as_text_has_no_html() -> None:
    for kind in ("text", "html", "none"):
        found: Any = message.parse({**ROW, "attachments": None}, Reading(kind, 20, for_readers=True)).message
        assert (found["body"], found["bodies"]["html"], found["attachments"]) == (found["bodies"]["text"], None, [])
        assert found["body"]["content"] == "a long body that is "
