"""The bytes of a batch: a strict reader of multipart requests, a writer of answers as Google's front end makes them.

    in                                               out
    LF or CRLF, boundary quoted or not, preamble     CRLF everywhere, boundary batch_<random>
    no closing delimiter, no part, another type      400 for the whole batch
    more than 100 parts                              400 for the whole batch, without an errors[] array
    Content-ID: <x> | x | none                       Content-ID: <response-x> | response-x | none
    request line without " HTTP/1.1"                 the same as with it
    absolute URL, no path, an unreadable line        a 400 part; the others go on

Source: https://developers.google.com/workspace/gmail/api/guides/batch; facts/gmail.md 2 and (b) 2-5
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from infra.emulators.gmail import errors
from infra.emulators.mime_text import parse_params

PARTS_MAX = 100
_REQUEST_LINE = re.compile(r"([A-Za-z]+) (\S+)(?: HTTP/\d\.\d)?")
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_VARY = b"Vary: Origin\r\nVary: X-Origin\r\nVary: Referer\r\n"


@dataclass(frozen=True, slots=True)
class InnerRequest:
    content_id: str | None
    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)  # lower-case names
    body: bytes = b""
    problem: str | None = None  # it cannot be run: what its 400 says


@dataclass(frozen=True, slots=True)
class InnerAnswer:
    content_id: str | None
    status: int
    body: bytes  # empty for 204


def read(content_type: str, body: bytes) -> list[InnerRequest]:
    kind, params = parse_params(content_type)
    boundary = params.get("boundary", "")
    if kind != "multipart/mixed" or not boundary:
        raise _unreadable(body)
    parts = _parts(boundary, body)
    if not parts:
        raise _unreadable(body)
    if len(parts) > PARTS_MAX:
        raise errors.ApiError(
            400, f"Inner request count exceeds the limit. Received: {len(parts)}, Limit: {PARTS_MAX}", None
        )
    return [_inner_request(part, body) for part in parts]


def _unreadable(body: bytes) -> errors.ApiError:
    return errors.ApiError(
        400,
        f"Failed to parse batch request, error: 0 items. Received batch body: ({len(body)}) bytes redacted",
        "badRequest",
    )


def _parts(boundary: str, body: bytes) -> list[bytes]:
    delimiter = rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r?\n|\Z)"
    parts: list[bytes] = []
    start: int | None = None
    for match in re.finditer(delimiter, body):
        if start is not None:
            parts.append(body[start : match.start()])
        start = match.end()
        if match[1]:
            return parts
    raise _unreadable(body)


def _inner_request(part: bytes, whole: bytes) -> InnerRequest:
    # The line end after the delimiter stays in front, so that a part without headers has its empty line too.
    head, inner = _split(part)
    headers = _headers(head.decode("utf-8", "replace").splitlines()[1:])
    if parse_params(headers.get("content-type", ""))[0] != "application/http":
        raise _unreadable(whole)
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "7bit", "8bit"):
        raise _unreadable(whole)
    content_id = headers.get("content-id") or None
    request_head, body = _split(inner)
    lines = request_head.decode("utf-8", "replace").splitlines()
    match = _REQUEST_LINE.fullmatch(lines[0].strip()) if lines else None
    if match is None:
        return InnerRequest(content_id, problem="Failed to parse inner request line.")
    if not match[2].startswith("/") or match[2].startswith("//"):
        return InnerRequest(content_id, problem="Inner request URL must be a path, without scheme and host.")
    return InnerRequest(content_id, match[1].upper(), match[2], _headers(lines[1:]), body.rstrip(b"\r\n"))


def _split(raw: bytes) -> tuple[bytes, bytes]:
    found = _EMPTY_LINE.search(raw)
    return (raw[: found.start()], raw[found.end() :]) if found else (raw, b"")


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def response_id(content_id: str | None) -> str | None:
    if content_id is None:
        return None
    return f"<response-{content_id[1:]}" if content_id.startswith("<") else f"response-{content_id}"


def render_part(answer: InnerAnswer) -> bytes:
    echoed = response_id(answer.content_id)
    named = b"" if echoed is None else b"Content-ID: " + echoed.encode("utf-8", "replace") + b"\r\n"
    line = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n".encode()
    typed = b"Content-Type: application/json; charset=UTF-8\r\n" if answer.body else b""
    return b"Content-Type: application/http\r\n" + named + b"\r\n" + line + typed + _VARY + b"\r\n" + answer.body


def render(boundary: str, parts: Iterable[bytes], leading_empty_line: bool) -> bytes:
    opening = b"--" + boundary.encode() + b"\r\n"
    body = b"".join(opening + part + b"\r\n" for part in parts)
    return (b"\r\n" if leading_empty_line else b"") + body + b"--" + boundary.encode() + b"--\r\n"
