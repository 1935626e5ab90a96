"""A Graph message as the `message` of the change log: whole, or as far as a sparse row tells it.

    select(with_body)   what every row and read is asked for
    complete            the row has all of it (a sparse row has not)
    fields              the message fields that a row tells, and no others
    parse               the whole message; what is missing or null is null or empty

`body.contentType` is believed, not the preference that was sent: it has been seen ignored. `internetMessageHeaders` are
not read: they come on single reads only, and none are configured for Outlook. Graph does not tell a message's size.

Source: https://learn.microsoft.com/en-us/graph/api/resources/message#properties
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.core.markup import text_of
from shared.core.message import (
    ATTACHMENTS_MAX,
    FIELDS,
    Address,
    Attachment,
    Bodies,
    Body,
    Message,
    WholeMessage,
    cut_utf8,
    instant,
    instant_s,
)
from shared.protocol.graph.document import whole_text
from shared.protocol.step import Fetched

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """`body`: "text", "html" or "none"; longer bodies than `body_bytes_max` are cut.

    `for_readers`: the body as HTML, whatever is asked otherwise, and what is attached (WholeMessage).
    """

    body: str
    body_bytes_max: int
    for_readers: bool = False

    @property
    def with_body(self) -> bool:
        return self.body != "none" or self.for_readers

    @property
    def asked(self) -> str:
        """The body's form, as `Prefer` names it: one request gives one form, and text can be made from HTML."""
        return "html" if self.for_readers else self.body


def _text(value: object) -> str | None:
    return whole_text(value) if isinstance(value, str) else None


def _instant(value: object) -> str | None:
    return instant(instant_s(value)) if isinstance(value, str) else None


def _person(value: object) -> Address | None:
    said = value.get("emailAddress") if isinstance(value, dict) else None
    if not isinstance(said, dict):
        return None
    found = Address(name=_text(said.get("name")) or None, address=_text(said.get("address")) or None)
    return found if found["name"] or found["address"] else None


def _people(value: object) -> list[Address]:
    return [found for each in value if (found := _person(each))] if isinstance(value, list) else []


def _names(value: object) -> list[str]:
    return sorted({whole_text(each) for each in value if isinstance(each, str)}) if isinstance(value, list) else []


def _flagged(value: object) -> bool:
    return isinstance(value, dict) and value.get("flagStatus") == "flagged"


_CONVERT: dict[str, tuple[str, Callable[[object], Any]]] = {
    "thread_id": ("conversationId", _text),
    "internet_message_id": ("internetMessageId", _text),
    "subject": ("subject", _text),
    "from": ("from", _person),
    "to": ("toRecipients", _people),
    "cc": ("ccRecipients", _people),
    "bcc": ("bccRecipients", _people),
    "reply_to": ("replyTo", _people),
    "sent_at": ("sentDateTime", _instant),
    "received_at": ("receivedDateTime", _instant),
    "snippet": ("bodyPreview", _text),
    "folder_id": ("parentFolderId", _text),
    "categories": ("categories", _names),
    "unread": ("isRead", lambda value: value is False),
    "flagged": ("flag", _flagged),
    "draft": ("isDraft", lambda value: value is True),
    "has_attachments": ("hasAttachments", lambda value: value is True),
}
_UNTOLD: dict[str, Any] = {"labels": [], "size_bytes": None, "headers": [], "body": None}
_LIGHT = ("id", *(name for name, _ in _CONVERT.values()), "lastModifiedDateTime")
# Without their content, which may have many megabytes; `contentBytes` is not a property of all kinds of attachment.
ATTACHED = ("$expand", "attachments($select=id,name,contentType,size,isInline)")
NAME_BYTES_MAX = 255
TYPE_BYTES_MAX = 255
ID_CHARACTERS_MAX = 2048
assert set(_CONVERT) | set(_UNTOLD) | {"id"} == set(FIELDS)


def select(with_body: bool) -> str:
    return ",".join((*_LIGHT, "body") if with_body else _LIGHT)


def complete(row: Row, with_body: bool) -> bool:
    return all(name in row for name in _LIGHT) and (not with_body or "body" in row)


def modified_ms(row: Row) -> int:
    """The row's version; 0 where it does not say (a sparse row)."""
    value = row.get("lastModifiedDateTime")
    return round((instant_s(value) or 0.0) * 1000) if isinstance(value, str) else 0


def received_s(row: Row) -> float | None:
    value = row.get("receivedDateTime")
    return instant_s(value) if isinstance(value, str) else None


def fields(row: Row, reading: Reading) -> dict[str, Any]:
    said = {name: convert(row[key]) for name, (key, convert) in _CONVERT.items() if key in row}
    if "body" in row or not reading.with_body:
        said["body"] = _body(row.get("body"), reading)
    return said


def parse(row: Row, reading: Reading) -> Fetched:
    """Only for a row with an id; `version` is its lastModifiedDateTime in milliseconds."""
    said = {name: convert(row.get(key)) for name, (key, convert) in _CONVERT.items()}
    whole = {"id": row["id"], **said, **_UNTOLD, "body": _body(row.get("body"), reading)}
    message: Message = {name: whole[name] for name in FIELDS}  # type: ignore[assignment]
    if reading.for_readers:
        bodies = _bodies(row.get("body"), reading)
        message["body"] = bodies["html"] if reading.body == "html" and bodies["html"] else bodies["text"]
        attached = _attachments(row.get("attachments"))
        message = WholeMessage(**message, bodies=bodies, attachments=attached)
    return Fetched(message, str(modified_ms(row)))


def _body(value: object, reading: Reading) -> Body | None:
    if not reading.with_body or not isinstance(value, dict) or not isinstance(value.get("content"), str):
        return None
    content, truncated = cut_utf8(value["content"], reading.body_bytes_max)
    kind = "text/html" if value.get("contentType") == "html" else "text/plain"
    return Body(content_type=kind, content=content, truncated=truncated)


def _bodies(value: object, reading: Reading) -> Bodies:
    body = _body(value, reading)
    if body is None or body["content_type"] != "text/html":
        return Bodies(text=body, html=None)
    assert isinstance(value, dict)
    content, truncated = cut_utf8(whole_text(text_of(value["content"])), reading.body_bytes_max)
    return Bodies(text=Body(content_type="text/plain", content=content, truncated=truncated), html=body)


def _attachments(value: object) -> list[Attachment]:
    rows = value if isinstance(value, list) else []
    return [_attachment(row) for row in rows[:ATTACHMENTS_MAX] if isinstance(row, dict)]


def _attachment(row: Row) -> Attachment:
    size, identity = row.get("size"), _text(row.get("id")) or ""
    return Attachment(
        id=identity if 0 < len(identity) <= ID_CHARACTERS_MAX else None,
        name=_short(row.get("name"), NAME_BYTES_MAX),
        content_type=_short(row.get("contentType"), TYPE_BYTES_MAX),
        size_bytes=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        inline=row.get("isInline") is True,
    )


def _short(value: object, bytes_max: int) -> str | None:
    return cut_utf8(_text(value) or "", bytes_max)[0] or None
