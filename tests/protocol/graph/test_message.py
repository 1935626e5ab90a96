"""A Graph message as the log's message: whole rows, sparse rows, and values that are not what they should be."""

from typing import Any

import pytest

from shared.core.message import ATTACHMENTS_MAX, FIELDS
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


@pytest.mark.parametrize(
    ("key", "name", "values", "said"),
    [
        ("subject", "subject", (7, [], None), None),
        ("sentDateTime", "sent_at", (7, "never", ""), None),
        ("from", "from", (7, {}, {"emailAddress": "x"}, {"emailAddress": {"name": 7, "address": ""}}), None),
        ("toRecipients", "to", (7, {"emailAddress": {}}, [None]), []),
        ("categories", "categories", ("red", [7, None], {"red": 1}), []),
        ("flag", "flagged", ("flagged", {}, {"flagStatus": "complete"}), False),
        ("isRead", "unread", (True, None, "false", 0), False),
        ("isDraft", "draft", (False, None, "true", 1), False),
        ("hasAttachments", "has_attachments", (False, None, "true", 1), False),
        ("body", "body", ("x", [], {"content": 7}, {"contentType": "html"}), None),
    ],
)
def test_what_is_of_another_kind_is_not_believed(key: str, name: str, values: tuple[Any, ...], said: Any) -> None:
    for value in values:
        assert {**message.parse({**ROW, key: value}, TEXT).message}[name] == said
        assert message.fields({"id": "x", key: value}, TEXT) == {name: said}


def test_a_person_has_a_name_or_an_address_or_both() -> None:
    people = [{"emailAddress": each} for each in ({"name": "Ada"}, {"address": "a@b"}, {"name": "", "address": None})]
    found = message.parse({**ROW, "toRecipients": people, "from": people[0]}, TEXT).message
    assert found["to"] == [{"name": "Ada", "address": None}, {"name": None, "address": "a@b"}]
    assert found["from"] == {"name": "Ada", "address": None}


def test_times_that_are_none_are_no_version() -> None:
    for value in (7, "never", "", None):
        row = {**ROW, "lastModifiedDateTime": value, "receivedDateTime": value}
        assert (message.modified_ms(row), message.received_s(row)) == (0, None)
    assert message.modified_ms({"lastModifiedDateTime": "1970-01-01T00:00:01.2346Z"}) == 1235


def test_what_is_asked_for_is_what_a_whole_row_has() -> None:
    light = (
        "id,conversationId,internetMessageId,subject,from,toRecipients,ccRecipients,bccRecipients,replyTo,sentDateTime,"
        "receivedDateTime,bodyPreview,parentFolderId,categories,isRead,flag,isDraft,hasAttachments,lastModifiedDateTime"
    )
    assert (message.select(with_body=False), message.select(with_body=True)) == (light, f"{light},body")
    for name in light.split(","):
        assert not message.complete({key: value for key, value in ROW.items() if key != name}, with_body=True)
    readings = (Reading("none", 1), Reading("text", 1), Reading("html", 1), Reading("none", 1, for_readers=True))
    assert [(each.with_body, each.asked) for each in readings] == [
        (False, "none"),
        (True, "text"),
        (True, "html"),
        (True, "html"),
    ]


def test_a_body_that_just_fits_is_whole() -> None:
    for content, kept, truncated in (("x" * 20, "x" * 20, False), ("x" * 21, "x" * 20, True)):
        row = {**ROW, "body": {"contentType": "html", "content": content}}
        body = {"content_type": "text/html", "content": kept, "truncated": truncated}
        assert message.parse(row, TEXT).message["body"] == body
        assert message.fields(row, TEXT)["body"] == body


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
    assert write_json({"a": "\ud83d"}) == b'{"a": "\\ud83d"}'
    assert whole_text("grün \ud83d\ude00 \ude00.") == "grün \U0001f600 \ufffd."
    row = {**ROW, "body": {"contentType": "html", "content": "<p>\ud83d</p>"}}
    bodies: Any = message.parse(row, Reading("text", 20, for_readers=True)).message
    assert bodies["bodies"]["text"]["content"] == "\ufffd"


def test_readers_get_both_bodies_and_what_is_attached() -> None:
    rows: Any = [
        {"id": "a1", "name": "plan.pdf", "contentType": "application/pdf", "size": 7, "isInline": True},
        {"id": "x" * 2049, "name": "n" * 256, "contentType": "t" * 256, "size": True, "isInline": 1},
        {"id": "x" * 2048, "name": "", "contentType": 7, "size": 0},
        {"id": "", "size": -1},
        {"id": 7, "size": "7"},
        "no row",
    ]
    row = {**ROW, "body": {"contentType": "html", "content": "<p>Hello</p>Kim, and the rest"}, "attachments": rows}
    found: Any = message.parse(row, Reading("text", 20, for_readers=True)).message
    text = {"content_type": "text/plain", "content": "Hello\nKim, and the r", "truncated": True}
    html = {"content_type": "text/html", "content": "<p>Hello</p>Kim, and", "truncated": True}
    nothing = {"id": None, "name": None, "content_type": None, "size_bytes": None, "inline": False}
    rest = {
        "body": text,
        "bodies": {"text": text, "html": html},
        "attachments": [
            {"id": "a1", "name": "plan.pdf", "content_type": "application/pdf", "size_bytes": 7, "inline": True},
            {**nothing, "name": "n" * 255, "content_type": "t" * 255},
            {**nothing, "id": "x" * 2048, "size_bytes": 0},
            nothing,
            nothing,
        ],
    }
    assert found == {**message.parse(row, TEXT).message, **rest}
    as_html: Any = message.parse(row, Reading("html", 20, for_readers=True)).message
    assert (as_html["body"], as_html["bodies"]) == (html, found["bodies"])


def test_no_more_attachments_are_listed_than_a_reader_needs() -> None:
    rows = [{"id": str(number)} for number in range(ATTACHMENTS_MAX + 1)]
    found: Any = message.parse({**ROW, "attachments": rows}, Reading("text", 20, for_readers=True)).message
    assert [each["id"] for each in found["attachments"]] == [str(number) for number in range(ATTACHMENTS_MAX)]


def test_a_reader_of_a_message_without_a_body_gets_none() -> None:
    found: Any = message.parse({**ROW, "body": None}, Reading("html", 20, for_readers=True)).message
    assert (found["body"], found["bodies"]) == (None, {"text": None, "html": None})


def test_a_body_that_comes_as_text_has_no_html() -> None:
    text = {"content_type": "text/plain", "content": "a long body that is ", "truncated": True}
    for kind in ("text", "html", "none"):
        found: Any = message.parse({**ROW, "attachments": None}, Reading(kind, 20, for_readers=True)).message
        assert (found["body"], found["bodies"], found["attachments"]) == (text, {"text": text, "html": None}, [])
