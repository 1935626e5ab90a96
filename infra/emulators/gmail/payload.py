"""A raw message as Gmail's `Message` resource: snippet, payload, sizes, attachment ids.

    format    has
    minimal   id threadId labelIds snippet historyId internalDate sizeEstimate
    metadata  + payload {mimeType, headers}, no parts, no body
    full      + payload with parts; text inline as base64url of UTF-8 whatever its charset, the rest by attachmentId
    raw       minimal + raw, padded base64url of the bytes that came in

Header values are unfolded and otherwise as they were sent: RFC 2047 words are the reader's to decode.
Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages#Message;
openclaw/gogcli#446 (body.data is UTF-8 while the headers still name the old charset)
"""

import base64
from typing import Any

from infra.emulators.mime import Mime, Part

SNIPPET_MAX = 200
Payload = dict[str, Any]
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii")


def unbase64url(text: str) -> bytes:
    """Both alphabets, padded or not; ValueError for anything else."""
    clean = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(clean + "=" * (-len(clean) % 4), validate=True)


def snippet(parsed: Mime) -> str:
    """Escaped as in HTML, as Gmail does: `&#39;` for an apostrophe."""
    return parsed.snippet[:SNIPPET_MAX].strip().translate(_ESCAPES)


def metadata_payload(parsed: Mime) -> Payload:
    return {
        "mimeType": parsed.root.content_type,
        "headers": [{"name": name, "value": value} for name, value in parsed.root.headers],
    }


def full_payload(message_id: str, part: Part) -> Payload:
    payload: Payload = {
        "partId": part.part_id,
        "mimeType": part.content_type,
        "filename": part.filename,
        "headers": [{"name": name, "value": value} for name, value in part.headers],
        "body": _body(message_id, part),
    }
    if part.children:
        payload["parts"] = [full_payload(message_id, child) for child in part.children]
    return payload


def _body(message_id: str, part: Part) -> dict[str, Any]:
    if part.content_type.startswith("multipart/"):
        return {"size": 0}
    if part.filename or not part.content_type.startswith("text/"):
        if not part.filename and not part.body:
            return {"size": 0}
        return {"attachmentId": attachment_id(message_id, part.part_id), "size": len(part.body)}
    data = part.text().encode()
    return {"size": len(data), "data": base64url(data)} if data else {"size": 0}


def attachment_id(message_id: str, part_id: str) -> str:
    """Long and opaque like Gmail's; it names the part, so no table is kept."""
    return "ANGjdJ" + base64url(f"{message_id}:{part_id}:attachment-of-a-stand-in".encode()).rstrip("=")


def part_of_attachment(message_id: str, text: str) -> str | None:
    """The part id inside an attachment id, None if it is not one of this message's."""
    try:
        named, part_id, _ = unbase64url(text.removeprefix("ANGjdJ")).decode().split(":")
    except ValueError:
        return None
    return part_id if named == message_id else None


def with_headers(payload: Payload, wanted: frozenset[str]) -> Payload:
    """Only the headers asked for by `metadataHeaders` (lower case)."""
    return {**payload, "headers": [each for each in payload["headers"] if each["name"].lower() in wanted]}
