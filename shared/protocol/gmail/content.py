"""A full message's parts: the one text that is shown, and whether anything is attached; for readers all of it.

    body         the first text/plain part that is no attachment; the first text/html where that is missing or blank
    attachment   a part with a file name or `Content-Disposition: attachment`, an attached message, or a part that is
                 no text and lies outside the message (attachmentId)
    not one      an image with a Content-ID that is not marked as attachment: the HTML shows it; signatures' logos
                 would make nearly every business mail one with attachments

    for readers  text and HTML side by side, the text made from the HTML where the sender wrote none; every attachment
                 by name, type and size, the images that the HTML shows too (`inline`)

What is inside an attached message belongs to that message: it is never the body. A text that Gmail keeps outside the
message (attachmentId, no data) is not fetched: the body is then the other text, or null.

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages#MessagePart
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.core.markup import text_of as plain
from shared.core.message import ATTACHMENTS_MAX, Attachment, Bodies, Body, cut_utf8
from shared.protocol.gmail.resource import header_pairs, member, objects, text_of, whole
from shared.protocol.gmail.text import block, decode_body, decode_words, line, unbase64

PARTS_MAX = 1000  # later ones are not looked at
PARAMETERS_CHARACTERS_MAX = 1024
NAME_BYTES_MAX = 255  # of a file
TYPE_BYTES_MAX = 127  # RFC 6838 §4.2, of each half
ATTACHMENT_ID_CHARACTERS_MAX = 2048  # some hundreds
_CHARSET = re.compile(r"""charset\s{0,8}=\s{0,8}["']?([^\s"';]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Content:
    body: Body | None
    has_attachments: bool


@dataclass(frozen=True, slots=True)
class _Leaf:
    """`shown`: an image that the HTML shows."""

    mime_type: str
    attached: bool
    shown: bool
    data: str | None
    charset: str | None
    part: Mapping[str, object]

    @property
    def text(self) -> str:
        return block(decode_body(unbase64(self.data or ""), self.charset))


def read(payload: Mapping[str, object], body_bytes_max: int) -> Content:
    """Raises Unreadable for parts of a shape that Gmail doesn't have."""
    leaves = list(_leaves(payload))
    return Content(_body(_texts(leaves), body_bytes_max), any(leaf.attached for leaf in leaves))


def for_readers(payload: Mapping[str, object], body_bytes_max: int) -> tuple[Bodies, list[Attachment]]:
    """Raises Unreadable like `read`."""
    leaves = list(_leaves(payload))
    found = {mime_type: leaf.text for mime_type, leaf in _texts(leaves).items()}
    text, markup = found.get("text/plain"), found.get("text/html")
    if markup is not None and not (text or "").strip():
        text = plain(markup)
    bodies = Bodies(
        text=None if text is None else _cut("text/plain", text, body_bytes_max),
        html=None if markup is None else _cut("text/html", markup, body_bytes_max),
    )
    return bodies, [_attachment(leaf) for leaf in leaves if leaf.attached or leaf.shown][:ATTACHMENTS_MAX]


def _texts(leaves: list[_Leaf]) -> dict[str, _Leaf]:
    """The first of each type, plain text before HTML."""
    texts: dict[str, _Leaf] = {}
    for mime_type in ("text/plain", "text/html"):
        for leaf in leaves:
            if leaf.mime_type == mime_type and not leaf.attached and leaf.data is not None:
                texts[mime_type] = leaf
                break
    return texts


def _body(texts: Mapping[str, _Leaf], body_bytes_max: int) -> Body | None:
    chosen: Body | None = None
    for mime_type, leaf in texts.items():
        text = leaf.text
        if chosen is None or text.strip():
            chosen = _cut(mime_type, text, body_bytes_max)
        if text.strip():
            break
    return chosen


def _cut(mime_type: str, text: str, body_bytes_max: int) -> Body:
    content, truncated = cut_utf8(text, body_bytes_max)
    return Body(content_type=mime_type, content=content, truncated=truncated)


def _attachment(leaf: _Leaf) -> Attachment:
    body = member(leaf.part, "body")
    identity = text_of(body, "attachmentId") or ""
    usable = identity.isascii() and identity.isprintable() and len(identity) <= ATTACHMENT_ID_CHARACTERS_MAX
    size_bytes = whole(body, "size")
    name = line(decode_words((text_of(leaf.part, "filename") or "")[: 4 * NAME_BYTES_MAX]))
    return Attachment(
        id=identity if identity and usable else None,
        name=cut_utf8(name, NAME_BYTES_MAX)[0] or None,
        content_type=cut_utf8(line(leaf.mime_type), 2 * TYPE_BYTES_MAX)[0] or None,
        size_bytes=size_bytes if size_bytes is not None and size_bytes >= 0 else None,
        inline=leaf.shown,
    )


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
        shown=shown,
        data=text_of(body, "data"),
        charset=charset[1] if charset else None,
        part=part,
    )
