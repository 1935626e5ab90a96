"""How Gmail's messages and threads are asked for (shared/protocol/gmail/message.py)."""

from urllib.parse import quote

import pytest

from shared.protocol.gmail import message
from shared.protocol.gmail.message import Reading

DEFAULT_FIELDS = "id,threadId,labelIds,snippet,payload/headers,internalDate"
METADATA = Reading(DEFAULT_FIELDS, "metadata", 65536)
FULL = Reading(DEFAULT_FIELDS, "full", 65536)


def test_a_message_is_asked_for_with_the_configured_fields_and_those_needed() -> None:
    request = message.request("18c0ffee12345678", METADATA, units=20)
    assert (request.method, request.path, request.units) == ("GET", "/gmail/v1/users/me/messages/18c0ffee12345678", 20)
    query = list(request.query)
    assert query[:2] == [
        ("format", "metadata"),
        ("fields", f"{DEFAULT_FIELDS},historyId,sizeEstimate"),
    ]
    assert query[2:] == [("metadataHeaders", name) for name in (*message.METADATA_HEADERS, *message.KEPT_HEADERS)]


@pytest.mark.parametrize(
    ("fields", "form", "mask"),
    [
        ("", "metadata", "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload/headers"),
        ("*", "metadata", "*"),
        ("payload, id", "metadata", "payload,id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate"),
        (
            "payload(headers(name,value),mimeType),raw,raw",
            "metadata",
            "payload(headers(name,value),mimeType),raw,id,threadId,labelIds,snippet,historyId,internalDate,"
            "sizeEstimate,payload/headers",
        ),
        (
            "payload(headers,mimeType),payload/headers",
            "full",
            "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload",
        ),
    ],
)
def test_a_field_mask_names_each_field_once(fields: str, form: str, mask: str) -> None:
    assert dict(message.request("a", Reading(fields, form, 1), 5).query)["fields"] == mask


def test_bodies_are_asked_for_without_header_names() -> None:
    assert [name for name, _ in message.request("a", FULL, 20).query] == ["format", "fields"]
    assert dict(message.request("a", FULL, 20).query)["fields"].endswith(",payload")


def test_a_thread_is_asked_for_with_the_same_mask_inside() -> None:
    request = message.thread_request("t1", METADATA, units=40)
    assert (request.path, request.units) == ("/gmail/v1/users/me/threads/t1", 40)
    assert dict(request.query)["fields"] == f"id,messages({DEFAULT_FIELDS},historyId,sizeEstimate)"


def test_a_confirmation_reads_labels_and_version_only() -> None:
    request = message.confirm_request("m1", units=20)
    assert request.path == "/gmail/v1/users/me/messages/m1"
    assert request.query == (("format", "minimal"), ("fields", "id,threadId,labelIds,historyId"))
    assert request.units == 20


@pytest.mark.parametrize("hostile", ["..", ".", "a/../b", "a?b#c", "\r\nGET /", "ü", "\ud800", ""])
def test_a_hostile_id_stays_one_path_segment(hostile: str) -> None:
    path = message.request(hostile, METADATA, 20).path
    segment = path.removeprefix("/gmail/v1/users/me/messages/")
    assert segment == quote(hostile, safe="", errors="replace").replace(".", "%2E")
    assert not set(segment) & set("/?#. \r\n")
