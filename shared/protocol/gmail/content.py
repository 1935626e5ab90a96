"""A full message's parts: the one text that is shown, and whether anything is attached.

    body         the first text/plain part that is no attachment; the first text/html where that is missing or blank
    attachment   a part with a file name or `Content-Disposition: attachment`, an attached message, or a part that is
                 no text and lies outside the message (attachmentId)
    not one      an image with a Content-ID that is not marked as attachment: the HTML shows it; signatures' logos
                 would make nearly every business mail one with attachments

What is inside an attached message belongs to that message: it is never the body. A text that Gmail keeps outside the
message (attachmentId, no data) is not fetched: the body is then the other text, or null.

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages#MessagePart
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.core.message import Body, cut_utf8
from shared.protocol.gmail.resource import header_pairs, member, objects, text_of
from shared.protocol.gmail.text import block, decode_body, unbase64

PARTS_MAX = 1000  # later ones are not looked at
PARAMETERS_CHARACTERS_MAX = 1024
_CHARSET = re.compile(r"""charset\s{0,8}=\s{0,8}["']?([^\s"';]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Content:
    body: Body | None
    has_attachments: bool


@dataclass(frozen=True, slots=True)
class _Leaf:
    mime_type: str
    attached: bool
    data: str | None
    charset: str | None


def read(payload: Mapping[str, object], body_bytes_max: int) -> Content:
    """Raises Unreadable for parts of a shape that Gmail doesn't have."""
    texts: dict[str, list[_Leaf]] = {"text/plain": [], "text/html": []}
    has_attachments = False
    for leaf in _leaves(payload):
        has_attachments = has_attachments or leaf.attached
        if not leaf.attached and leaf.data is not None and leaf.mime_type in texts:
            texts[leaf.mime_type].append(leaf)
    return Content(_body(texts, body_bytes_max), has_attachments)


def _body(texts: Mapping[str, list[_Leaf]], body_bytes_max: int) -> Body | None:
    chosen: tuple[str, str] | None = None
    for mime_type, leaves in texts.items():
        if leaves:
            text = block(decode_body(unbase64(leaves[0].data or ""), leaves[0].charset))
            if chosen is None or text.strip():
                chosen = (mime_type, text)
            if text.strip():
                break
    if chosen is None:
        return None
    content, truncated = cut_utf8(chosen[1], body_bytes_max)
    return Body(content_type=chosen[0], content=content, truncated=truncated)


def _leaves(payload: Mapping[str, object]) -> Iterator[_Leaf]:
    waiting = [payload]
    for _ in range(PARTS_MAX):
        if not waiting:
            return
        part = waiting.pop()
        mime_type = (text_of(part, "mimeType") or "").lower()
        inside = objects(part, "parts")
        if inside and mime_type != "message/rfc822":
            waiting.extend(reversed(inside))
        else:
            yield _leaf(part, mime_type)


def _leaf(part: Mapping[str, object], mime_type: str) -> _Leaf:
    fields = {name.lower(): value for name, value in reversed(header_pairs(part))}
    body = member(part, "body")
    named = bool(text_of(part, "filename"))
    marked = fields.get("content-disposition", "").strip().lower().startswith("attachment")
    outside = bool(text_of(body, "attachmentId")) and not mime_type.startswith("text/")
    shown = mime_type.startswith("image/") and "content-id" in fields and not marked
    charset = _CHARSET.search(fields.get("content-type", "")[:PARAMETERS_CHARACTERS_MAX])
    return _Leaf(
        mime_type=mime_type,
        attached=(named or marked or outside or mime_type == "message/rfc822") and not shown,
        data=text_of(body, "data"),
        charset=charset[1] if charset else None,
    )
