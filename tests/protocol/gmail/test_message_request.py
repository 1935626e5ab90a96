"""How Gmail's messages and threads are asked for (shared/protocol/gmail/message.py)."""

from urllib.parse import quote

import pytest

from shared.protocol.gmail import message
from shared.protocol.gmail.message import Reading
from shared.protocol.wire import Request

DEFAULT_FIELDS = "id,threadId,labelIds,snippet,payload/headers,internalDate"
METADATA = Reading(DEFAULT_FIELDS, "metadata", 65536)
FULL = Reading(DEFAULT_FIELDS, "full", 65536)
HEADER_NAMES = [("metadataHeaders", name) for name in (*message.METADATA_HEADERS, *message.KEPT_HEADERS)]


@pytest.fixture(autouse=True)
def nothing_asked_before() -> None:
    message._query.cache_clear()
    message._thread_query.cache_clear()


def test_a_message_is_asked_for_with_the_configured_fields_and_those_needed() -> None:
    query = (("format", "metadata"), ("fields", f"{DEFAULT_FIELDS},historyId,sizeEstimate"), *HEADER_NAMES)
    request = Request("GET", "/gmail/v1/users/me/messages/18c0ffee12345678", query, units=20)
    assert message.request("18c0ffee12345678", METADATA, units=20) == request


@pytest.mark.parametrize(
    ("fields", "form", "mask"),
    [
        ("", "metadata", "id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload/headers"),
        ("*", "metadata", "*"),
        (
            "a(b(c,d),e),id",
            "full",
            "a(b(c,d),e),id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload",
        ),
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
    fields = "id,threadId,labelIds,snippet,internalDate,historyId,sizeEstimate,payload"
    assert message.request("a", FULL, 20).query == (("format", "full"), ("fields", fields))


def test_a_thread_is_asked_for_with_the_same_mask_inside() -> None:
    fields = f"id,messages({DEFAULT_FIELDS},historyId,sizeEstimate)"
    query = (("format", "metadata"), ("fields", fields), *HEADER_NAMES)
    request = Request("GET", "/gmail/v1/users/me/threads/t%2E1", query, units=40)
    assert message.thread_request("t.1", METADATA, units=40) == request


def test_a_confirmation_reads_labels_and_version_only() -> None:
    query = (("format", "minimal"), ("fields", "id,threadId,labelIds,historyId"))
    request = Request("GET", "/gmail/v1/users/me/messages/m%2F1", query, units=20)
    assert message.confirm_request("m/1", units=20) == request


@pytest.mark.parametrize("hostile", ["..", ".", "a/../b", "a?b#c", "\r\nGET /", "ü", "\ud800", ""])
def test_a_hostile_id_stays_one_path_segment(hostile: str) -> None:
    path = message.request(hostile, METADATA, 20).path
    segment = path.removeprefix("/gmail/v1/users/me/messages/")
    assert segment == quote(hostile, safe="", errors="replace").replace(".", "%2E")
    assert not set(segment) & set("/?#. \r\n")
