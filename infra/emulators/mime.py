"""One raw message as headers, bodies and a part tree: tolerant, so that no byte string makes it raise.

    what is wrong                     what comes out
    8-bit header                      UTF-8 if it is, else Latin-1
    unknown or lying charset          UTF-8 if it is, else Latin-1, U+FFFD for the rest
    line without a colon              the header ends there, the body begins
    multipart without its boundary    one text/plain leaf
    base64 with junk or cut short     what decodes of it
    no Date, or one nobody can read   `date_s` is None

Not the stdlib's `email`: that raises on some of these and is five times slower, which 20,000 messages feel.
Source: RFC 5322, 2045, 2047, 2231; https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages
"""

import binascii
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

from infra.emulators.mime_text import decode_charset, decode_words, parse_params

DEPTH_MAX = 30  # deeper nesting is read as one leaf
PARTS_MAX = 2000  # what comes after is ignored
SNIPPET_MAX = 255
_HTML_SCAN_MAX = 65536  # characters of HTML looked at for a snippet
_BODY_START = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_INVISIBLE = re.compile(r"(?is)<(script|style|title)\b[^<>]*>.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Part:
    part_id: str  # "" at the root, then "0", "0.1", … as Gmail counts
    headers: tuple[tuple[str, str], ...]
    content_type: str  # type/subtype, lower case, "text/plain" if it says nothing readable
    charset: str | None
    filename: str  # "" if none
    inline: bool  # no Content-Disposition: attachment
    body: bytes  # transfer encoding undone; b"" for a multipart
    children: tuple["Part", ...]

    def text(self) -> str:
        return decode_charset(self.body, self.charset)

    def walk(self) -> Iterator["Part"]:
        """This part and all below it, depth first, the insides of an attached message too."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Mime:
    headers: list[tuple[str, str]]  # original order and case, duplicates kept, unfolded, RFC 2047 not decoded
    root: Part
    date_s: float | None  # the Date header, seconds since the epoch
    text: str | None  # first text/plain that is not an attachment
    html: str | None
    attachments: list[tuple[str, str, int]]  # filename, content type, bytes
    snippet: str  # start of the visible text, white space collapsed, at most SNIPPET_MAX characters

    def header(self, name: str) -> str | None:
        """The first header of that name (any case), RFC 2047 words decoded."""
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        wanted = name.lower()
        return [decode_words(value) for key, value in self.headers if key.lower() == wanted]


def parse(raw: bytes) -> Mime:
    if raw.startswith((b"From ", b">From ")):
        raw = raw.partition(b"\n")[2]
    if b"\n" not in raw and b"\r" in raw:
        raw = raw.replace(b"\r", b"\n")
    budget = [PARTS_MAX]
    root = _parse_part(raw, "", 0, budget)
    leaves = list(_own_leaves(root))
    texts = [leaf for leaf in leaves if not _is_attachment(leaf)]
    text = next((leaf.text() for leaf in texts if leaf.content_type == "text/plain"), None)
    markup = next((leaf.text() for leaf in texts if leaf.content_type == "text/html"), None)
    visible = text if text and text.strip() else visible_text(markup or "")
    return Mime(
        headers=list(root.headers),
        root=root,
        date_s=_date_s(root.headers),
        text=text,
        html=markup,
        attachments=[(leaf.filename, leaf.content_type, len(leaf.body)) for leaf in leaves if _is_attachment(leaf)],
        snippet=" ".join(visible[: SNIPPET_MAX * 16].split())[:SNIPPET_MAX],
    )


def visible_text(markup: str) -> str:
    return html.unescape(_INVISIBLE.sub(" ", markup[:_HTML_SCAN_MAX]))


def _own_leaves(part: Part) -> Iterator[Part]:
    if part.children and part.content_type.startswith("multipart/"):
        for child in part.children:
            yield from _own_leaves(child)
    else:
        yield part


def _is_attachment(leaf: Part) -> bool:
    return bool(leaf.filename) or not leaf.inline or not leaf.content_type.startswith("text/")


def _parse_part(raw: bytes, part_id: str, depth: int, budget: list[int]) -> Part:
    budget[0] -= 1
    headers, body = split_headers(raw)
    fields = {name.lower(): value for name, value in reversed(headers)}
    content_type, params = parse_params(fields.get("content-type", ""))
    if not re.fullmatch(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", content_type):
        content_type = "text/plain"
    disposition, disposition_params = parse_params(fields.get("content-disposition", ""))
    children: tuple[Part, ...] = ()
    if content_type.startswith("multipart/"):
        segments = _segments(body, params.get("boundary", "")) if depth < DEPTH_MAX else None
        if segments is None:
            content_type = "text/plain"
        else:
            children = _children(segments, part_id, depth, budget)
            body = b""
    if not children:
        body = _undo_transfer(body, fields.get("content-transfer-encoding", ""))
    if content_type == "message/rfc822" and depth < DEPTH_MAX:
        children = _children([body], part_id, depth, budget)
    return Part(
        part_id=part_id,
        headers=tuple(headers),
        content_type=content_type,
        charset=params.get("charset"),
        filename=decode_words(disposition_params.get("filename") or params.get("name") or ""),
        inline=disposition != "attachment",
        body=body,
        children=children,
    )


def _children(segments: list[bytes], part_id: str, depth: int, budget: list[int]) -> tuple[Part, ...]:
    prefix = f"{part_id}." if part_id else ""
    children = []
    for number, segment in enumerate(segments):
        if budget[0] <= 0:
            break
        children.append(_parse_part(segment, f"{prefix}{number}", depth + 1, budget))
    return tuple(children)


def split_headers(raw: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Unfolded headers and the body after the empty line (or after the first line that is no header)."""
    if raw.startswith((b"\n", b"\r\n")):
        return [], raw[2 if raw.startswith(b"\r") else 1 :]
    found = _BODY_START.search(raw)
    head, body = (raw[: found.start()], raw[found.end() :]) if found else (raw, b"")
    fields: list[list[bytes]] = []
    lines = _LINE_END.split(head)
    for number, line in enumerate(lines):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1].append(line)
        elif _HEADER.match(line):
            fields.append([line])
        elif line.strip():
            rest = b"\n".join(lines[number:])
            body = rest + (found.group() + body if found else b"")
            break
    return [_header(b"".join(field)) for field in fields], body


def _header(line: bytes) -> tuple[str, str]:
    match = _HEADER.match(line)
    assert match is not None
    value = match[2].strip(b" \t")
    try:
        return match[1].decode("ascii"), value.decode("utf-8")
    except UnicodeDecodeError:
        return match[1].decode("ascii"), value.decode("latin-1")


def _segments(body: bytes, boundary: str) -> list[bytes] | None:
    """What lies between the boundary lines; None if there is no such line."""
    if not boundary:
        return None
    delimiter = rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r?\n|\Z)"
    segments: list[bytes] = []
    start: int | None = None
    for match in re.finditer(delimiter, body):
        if start is not None:
            segments.append(_after_line_end(body[start : match.start()]))
        start = match.end()
        if match[1]:
            return segments
    if start is None:
        return None
    return [*segments, _after_line_end(body[start:])]


def _after_line_end(segment: bytes) -> bytes:
    if segment.startswith(b"\r\n"):
        return segment[2:]
    return segment[1:] if segment.startswith(b"\n") else segment


def _undo_transfer(body: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding == "base64":
        clean = _NOT_BASE64.sub(b"", body.partition(b"=")[0])
        clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        return _undo_uuencode(body)
    return body


def _undo_uuencode(body: bytes) -> bytes:
    decoded = b""
    for line in body.partition(b"begin ")[2].splitlines()[1:]:
        if line == b"end":
            break
        try:
            decoded += binascii.a2b_uu(line)
        except binascii.Error:
            continue
    return decoded or body


def _date_s(headers: tuple[tuple[str, str], ...]) -> float | None:
    value = next((value for name, value in headers if name.lower() == "date"), None)
    if value is None:
        return None
    try:
        parsed = parsedate_tz(value)
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError, TypeError, IndexError, ArithmeticError):
        return None
