"""Gmail's messages and threads: how they are asked for, and how they become `Message` values.

    message field             from
    id, thread_id, labels     id, threadId, labelIds; unread, flagged, draft are UNREAD, STARRED, DRAFT among them
    received_at, sent_at      internalDate; the Date header
    from, to, cc, bcc,        the headers (gmail/address.py); a field given twice is read as one, of From the first
    reply_to
    subject                   the first Subject, encoded words decoded
    internet_message_id       the Message-ID header as the sender wrote it, angle brackets too
    headers                   KEPT_HEADERS as they were sent, unfolded, in their order
    body, has_attachments     gmail/content.py with format full; null with metadata, which does not tell
    folder_id, categories     null and empty: Gmail has labels

    version (of Fetched)      historyId

An answer of a shape outside Gmail's schema, or without id or historyId, is None: the caller counts it as a failed
read of that message. What a sender wrote never makes a message unreadable; it is cut where it could blow an event up,
by limits that leave ordinary mail untouched.

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages
"""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from shared.core.message import Message, WholeMessage, cut_utf8, instant
from shared.protocol.gmail import content
from shared.protocol.gmail.address import addresses, first_address
from shared.protocol.gmail.resource import (
    Unreadable,
    header_pairs,
    identifier,
    labels,
    member,
    objects,
    read_object,
    text_of,
    whole,
)
from shared.protocol.gmail.text import decode_words, line, sent_instant
from shared.protocol.step import Fetched
from shared.protocol.wire import Request

FULL = "full"
METADATA = "metadata"
METADATA_HEADERS = ("From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID")
KEPT_HEADERS = (
    "In-Reply-To",
    "References",
    "Sender",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "Precedence",
    "Importance",
    "X-Priority",
)
NEEDED_FIELDS = (
    "id",
    "threadId",
    "labelIds",
    "snippet",
    "historyId",
    "internalDate",
    "sizeEstimate",
)

SUBJECT_BYTES_MAX = 4096  # an ordinary one has below 200
SUBJECT_CHARACTERS_MAX = 4 * SUBJECT_BYTES_MAX  # of the undecoded one that are read
SNIPPET_BYTES_MAX = 2048  # Gmail cuts at about 200 characters
HEADER_BYTES_MAX = 2048  # of a kept header's value: References of 30 messages
HEADERS_BYTES_MAX = 16384  # of all kept headers together; later ones are left out
HEADERS_MAX = 40
MESSAGE_ID_BYTES_MAX = 998  # a line, RFC 5322 §2.1.1; a longer one is no id, and half an id is another id

_WANTED = frozenset(name.lower() for name in METADATA_HEADERS)
_KEPT = frozenset(name.lower() for name in KEPT_HEADERS)
assert not _WANTED & _KEPT
assert HEADER_BYTES_MAX <= HEADERS_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Reading:
    """What the settings ask of a message: GMAIL_FIELDS, GMAIL_FORMAT (`metadata` or `full`), BODY_BYTES_MAX.

    `for_readers`: with format full, everything that the read side answers (WholeMessage).
    """

    fields: str
    format: str
    body_bytes_max: int
    for_readers: bool = False


def request(message_id: str, reading: Reading, units: int) -> Request:
    return Request("GET", f"/gmail/v1/users/me/messages/{_segment(message_id)}", _query(reading), units=units)


def thread_request(thread_id: str, reading: Reading, units: int) -> Request:
    return Request("GET", f"/gmail/v1/users/me/threads/{_segment(thread_id)}", _thread_query(reading), units=units)


def confirm_request(message_id: str, units: int) -> Request:
    """Is it still there, and with which labels? Answered by 404 or for `parse_confirmation`."""
    query = (("format", "minimal"), ("fields", "id,threadId,labelIds,historyId"))
    return Request("GET", f"/gmail/v1/users/me/messages/{_segment(message_id)}", query, units=units)


def _segment(identity: str) -> str:
    """One path segment whatever the id holds: `..` would be another resource."""
    return quote(identity, safe="", errors="replace").replace(".", "%2E")


@lru_cache(maxsize=16)
def _query(reading: Reading) -> tuple[tuple[str, str], ...]:
    return (("format", reading.format), ("fields", _mask(reading)), *_header_names(reading))


@lru_cache(maxsize=16)
def _thread_query(reading: Reading) -> tuple[tuple[str, str], ...]:
    return (("format", reading.format), ("fields", f"id,messages({_mask(reading)})"), *_header_names(reading))


def _header_names(reading: Reading) -> list[tuple[str, str]]:
    """Without them `payload/headers` brings every Received and ARC header; Gmail ignores them in other formats."""
    if reading.format != METADATA:
        return []
    return [("metadataHeaders", name) for name in (*METADATA_HEADERS, *KEPT_HEADERS)]


def _mask(reading: Reading) -> str:
    """The configured fields and those that are needed, each once; the whole payload where bodies are read."""
    wanted = _selectors(reading.fields)
    payload = "payload" if reading.format == FULL else "payload/headers"
    if payload == "payload":
        wanted = [field for field in wanted if not field.startswith(("payload/", "payload("))]
    for field in (*NEEDED_FIELDS, payload):
        if field not in wanted and field.partition("/")[0] not in wanted and "*" not in wanted:
            wanted.append(field)
    return ",".join(dict.fromkeys(wanted))


def _selectors(mask: str) -> list[str]:
    """The parts of a field mask between its outermost commas."""
    found = [""]
    depth = 0
    for sign in mask:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            found.append("")
        elif not sign.isspace():
            found[-1] += sign
    return [selector for selector in found if selector]


def parse(body: bytes, reading: Reading) -> Fetched | None:
    """The message of a `request`'s answer; None if it can't be read."""
    try:
        return _fetched(read_object(body), reading)
    except Unreadable:
        return None


def parse_thread(body: bytes, reading: Reading) -> dict[str, Fetched] | None:
    """A thread's messages by id, but those that can't be read: ask for them alone. None if there is no list."""
    try:
        resources = objects(read_object(body), "messages")
    except Unreadable:
        return None
    found: dict[str, Fetched] = {}
    for resource in resources:
        try:
            fetched = _fetched(resource, reading)
        except Unreadable:
            continue
        found[fetched.message["id"]] = fetched
    return found


def thread_ids(body: bytes) -> list[str] | None:
    """Of the messages of a thread that have one; None if there is no list."""
    try:
        return [found for each in objects(read_object(body), "messages") if (found := identifier(each, "id"))]
    except Unreadable:
        return None


def parse_confirmation(body: bytes) -> tuple[str, frozenset[str], str] | None:
    """(id, labels, version) of a message that is still there."""
    try:
        resource = read_object(body)
        return _identity(resource), labels(resource), _version(resource)
    except Unreadable:
        return None


def flags(names: Iterable[str]) -> dict[str, Any]:
    """The message fields that Gmail's labels are, as a patch names them."""
    found = frozenset(names)
    return {
        "labels": sorted(found),
        "unread": "UNREAD" in found,
        "flagged": "STARRED" in found,
        "draft": "DRAFT" in found,
    }


def _identity(resource: Mapping[str, Any]) -> str:
    identity = identifier(resource, "id")
    if identity is None:
        raise Unreadable
    return identity


def _version(resource: Mapping[str, Any]) -> str:
    version = whole(resource, "historyId")
    if version is None or version < 0:
        raise Unreadable
    return str(version)


def _fetched(resource: Mapping[str, Any], reading: Reading) -> Fetched:
    payload = member(resource, "payload")
    given: dict[str, list[str]] = {name: [] for name in _WANTED}
    kept: list[tuple[str, str]] = []
    for name, value in header_pairs(payload):
        lower = name.lower()
        if lower in given:
            given[lower].append(value)
        elif lower in _KEPT:
            kept.append((name, value))
    read = content.read(payload, reading.body_bytes_max) if reading.format == FULL else None
    received_ms = whole(resource, "internalDate")
    size_bytes = whole(resource, "sizeEstimate")
    marks = flags(labels(resource))
    message: Message = {
        "id": _identity(resource),
        "thread_id": identifier(resource, "threadId"),
        "internet_message_id": _message_id(given["message-id"]),
        "subject": _subject(given["subject"]),
        "from": first_address(given["from"]),
        "to": addresses(given["to"]),
        "cc": addresses(given["cc"]),
        "bcc": addresses(given["bcc"]),
        "reply_to": addresses(given["reply-to"]),
        "sent_at": sent_instant(given["date"][0]) if given["date"] else None,
        "received_at": None if received_ms is None else instant(received_ms / 1000),
        "snippet": _snippet(text_of(resource, "snippet")),
        "labels": marks["labels"],
        "folder_id": None,
        "categories": [],
        "unread": marks["unread"],
        "flagged": marks["flagged"],
        "draft": marks["draft"],
        "has_attachments": None if read is None else read.has_attachments,
        "size_bytes": size_bytes if size_bytes is not None and size_bytes >= 0 else None,
        "headers": _kept_headers(kept),
        "body": None if read is None else read.body,
    }
    if reading.for_readers:
        bodies, attachments = content.for_readers(payload, reading.body_bytes_max)
        message = WholeMessage(**message, bodies=bodies, attachments=attachments)
    return Fetched(message, _version(resource))


def _subject(values: list[str]) -> str | None:
    if not values:
        return None
    return cut_utf8(line(decode_words(line(values[0][:SUBJECT_CHARACTERS_MAX]))), SUBJECT_BYTES_MAX)[0]


def _message_id(values: list[str]) -> str | None:
    identity = line(values[0]) if values else ""
    return identity if 0 < len(identity.encode()) <= MESSAGE_ID_BYTES_MAX else None


def _snippet(value: str | None) -> str | None:
    """Gmail sends it HTML-escaped."""
    return None if value is None else cut_utf8(line(html.unescape(value[:SNIPPET_BYTES_MAX])), SNIPPET_BYTES_MAX)[0]


def _kept_headers(pairs: list[tuple[str, str]]) -> list[list[str]]:
    found: list[list[str]] = []
    left = HEADERS_BYTES_MAX
    for name, value in pairs[:HEADERS_MAX]:
        text = cut_utf8(line(value[:HEADER_BYTES_MAX]), HEADER_BYTES_MAX)[0]
        left -= len(text.encode())
        if left < 0:
            break
        found.append([name, text])
    return found
