"""Gmail's multipart/mixed batch as bytes: many GETs in one POST, answered part by part inside one 200.

    seen in the answer                                   what becomes of it
    part with a status line and a Content-ID we know     a Response under its key; order is never looked at
    empty line or preamble first, LF for CRLF            read
    boundary quoted or not, inner Content-Length or none read
    no closing delimiter (cut off)                       the last part is dropped, `truncated`
    part shorter than its Content-Length                 dropped, `unreadable_part`
    no status line, no Content-ID                        dropped, `unreadable_part`
    one key, two different answers                       both dropped, `conflicting_parts`
    not multipart, not 2xx, absurdly many delimiters     what is left is dropped

A dropped part is simply not in `parts`: the caller compares with what it asked for and retries those ids alone, so
nothing here raises on any bytes. A Content-Length that is too short for what the delimiter shows is not believed (it
counts characters, or line ends were rewritten): the part is JSON, which says itself whether it is whole.

Written by hand, as no kept library reads multipart/mixed without Content-Disposition but the stdlib's `email`, which
is fifty times slower (facts/platform.md §3). Linear in the body's length whatever it holds: delimiters looked at are
bounded, and no search starts twice from the same place.

Source: https://developers.google.com/workspace/gmail/api/guides/batch; RFC 2046 §5.1.1
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote, urlencode

from shared.protocol.wire import Request, Response

PATH = "/batch/gmail/v1"
# "You're limited to 100 calls in a single batch request"; more is an outer 400 "Inner request count exceeds the
# limit". https://developers.google.com/workspace/gmail/api/guides/batch
PARTS_MAX = 100
DELIMITERS_MAX = 4 * PARTS_MAX  # lines that begin like a delimiter, true or not; an answer to 100 parts has 101
HEADS_BYTES_MAX = 16384  # of a part's two header blocks; Gmail's have about 200
BLANK_BYTES_MAX = 8  # empty lines between what Content-Length counts and the delimiter
CONTENT_TYPE_CHARACTERS_MAX = 1024
assert DELIMITERS_MAX > PARTS_MAX + 1

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")  # RFC 2046's bchars without the space
_PATH = re.compile(r"/(?!/)[!-~]*")
_METHOD = re.compile(r"[A-Z]+")
_MULTIPART = re.compile(r"\s*multipart/mixed\s*;", re.IGNORECASE)
_BOUNDARY_PARAMETER = re.compile(r';\s*boundary\s*=\s*(?:"([^"\r\n]+)"|([^\s;"]+))', re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r?\n")
_CONTENT_ID = re.compile(rb"\n(?i:content-id)[ \t]*:(?:[ \t]*\r?\n[ \t])?([^\r\n]*)")
_STATUS_LINE = re.compile(rb"[ \t\r\n]*HTTP/\d(?:\.\d)? +([1-5]\d\d)(?=[ \r\n])[^\r\n]*")
_LENGTH = re.compile(r"[0-9]{1,12}")
_REPLY_PREFIX = "response-"


@dataclass(frozen=True, slots=True)
class Batch:
    """`parts` by the key they were asked under; `problems` are slugs, empty for an answer that is whole."""

    parts: dict[str, Response] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.problems


def build(parts: Sequence[tuple[str, Request]], boundary: str) -> Request:
    """One POST of 1 to PARTS_MAX requests without body or headers; the outer Authorization serves them all.

    ValueError for what only a mistake of the caller can bring: keys twice, an absolute path, a body, a bad boundary.
    """
    if not 1 <= len(parts) <= PARTS_MAX:
        raise ValueError(f"a batch has 1 to {PARTS_MAX} parts, not {len(parts)}")
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError("the boundary is not one of RFC 2046")
    if len({key for key, _ in parts}) != len(parts):
        raise ValueError("a key is used twice")
    lines = []
    for key, request in parts:
        if request.body is not None or request.headers:
            raise ValueError("a part has neither body nor headers")
        lines.append(
            f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{_escaped(key)}>\r\n\r\n"
            f"{_request_line(request)} HTTP/1.1\r\n\r\n\r\n"
        )
    lines.append(f"--{boundary}--\r\n")
    return Request(
        method="POST",
        path=PATH,
        headers={"Content-Type": f'multipart/mixed; boundary="{boundary}"'},
        body="".join(lines).encode("ascii"),
        units=sum(request.units for _, request in parts),
    )


def _request_line(request: Request) -> str:
    if not _PATH.fullmatch(request.path) or not _METHOD.fullmatch(request.method):
        raise ValueError("a part's request line is a method and a percent-encoded path on the same host")
    query = _encoded(request.query)
    return f"{request.method} {request.path}?{query}" if query else f"{request.method} {request.path}"


@lru_cache(maxsize=64)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    """The messages of a batch share their query, so it is encoded once."""
    return urlencode(query, quote_via=quote)


def _escaped(key: str) -> str:
    """Ids are hex and stay as they are; what a hostile one could hold can't leave its line."""
    return key if key.isascii() and key.isalnum() else quote(key, safe="", errors="replace")


def parse(response: Response) -> Batch:
    """The parts that can be trusted. Look at the outer status first (`refusal.read`): only a 2xx has parts."""
    if not 200 <= response.status < 300:
        return Batch(problems=("status",))
    content_type = response.headers.get("content-type", "")[:CONTENT_TYPE_CHARACTERS_MAX]
    found = _BOUNDARY_PARAMETER.search(content_type)
    if found is None or not _MULTIPART.match(content_type):
        return Batch(problems=("content_type",))
    delimiter = b"--" + (found[1] or found[2]).encode("utf-8", "replace")
    parts: dict[str, Response] = {}
    problems: set[str] = set()
    conflicting: set[str] = set()
    for key, part in _read_parts(response.body, delimiter, problems):
        known = parts.setdefault(key, part)
        if known is not part and (known.status, known.body) != (part.status, part.body):
            conflicting.add(key)
    if conflicting:
        problems.add("conflicting_parts")
        parts = {key: part for key, part in parts.items() if key not in conflicting}
    return Batch(parts, tuple(sorted(problems)))


def _read_parts(body: bytes, delimiter: bytes, problems: set[str]) -> list[tuple[str, Response]]:
    delimiters = _delimiters(body, delimiter, problems)
    ends = [content_end for content_end, _, _ in delimiters]
    parts = []
    current = 0
    while current < len(delimiters) - 1:
        part, following = _read_part(body, delimiters[current][1], ends, current + 1)
        if part is None:
            problems.add("unreadable_part")
        else:
            parts.append(part)
        current = following
    return parts


def _delimiters(body: bytes, delimiter: bytes, problems: set[str]) -> list[tuple[int, int, bool]]:
    """Up to the closing one: where the content before it ends, where the line after it begins, is it the closing one.

    A delimiter that is not the closing one needs its line end: without, it may be the beginning of another line.
    """
    found: list[tuple[int, int, bool]] = []
    for looked_at, at in enumerate(_lines_beginning_with(body, delimiter)):
        if looked_at == DELIMITERS_MAX:
            problems.add("too_many_delimiters")
            break
        after = at + len(delimiter)
        line_end = body.find(b"\n", after)
        rest = body[after : line_end if line_end >= 0 else len(body)]
        closing = rest[:2] == b"--"
        if (rest if not closing else rest[2:]).strip(b" \t\r") or (line_end < 0 and not closing):
            continue
        found.append((at - 2 if body[at - 2 : at - 1] == b"\r" else at - 1, line_end + 1, closing))
        if closing:
            return found
    problems.add("truncated")
    return found


def _lines_beginning_with(body: bytes, start: bytes) -> Iterator[int]:
    if body.startswith(start):
        yield 0
    needle = b"\n" + start
    at = body.find(needle)
    while at >= 0:
        yield at + 1
        at = body.find(needle, at + len(needle))


def _read_part(body: bytes, start: int, ends: list[int], following: int) -> tuple[tuple[str, Response] | None, int]:
    """The part whose content begins at `start`, and the number of the delimiter that ends it."""
    end = ends[following]
    limit = min(end, start + HEADS_BYTES_MAX)
    outer = _HEAD_END.search(body, start, limit)
    if outer is None:
        return None, following
    content = outer.end()
    name = _CONTENT_ID.search(body, start - 1, content)
    status = _STATUS_LINE.match(body, content, limit)
    if name is None or status is None:
        return None, following
    head = status.end()
    inner = _HEAD_END.search(body, head, limit)
    if inner is None and limit < end:
        return None, following
    headers = _headers(body[head : inner.start() if inner else end])
    content = inner.end() if inner else end
    length = headers.get("content-length", "")
    if _LENGTH.fullmatch(length):
        end, following = _claimed_end(body, content + int(length), ends, following)
        if end < 0:
            return None, following
    return (_key(name[1]), Response(int(status[1]), headers, body[content:end])), following


def _claimed_end(body: bytes, claimed: int, ends: list[int], following: int) -> tuple[int, int]:
    """Where a part's content ends by its Content-Length, and by which delimiter; -1 where the part is cut short."""
    end = ends[following]
    if claimed <= end:
        return (end if body[claimed:end].strip() else claimed), following
    later = bisect_left(ends, claimed)
    if later < len(ends) and ends[later] - claimed <= BLANK_BYTES_MAX and not body[claimed : ends[later]].strip():
        return claimed, later
    return -1, following


@lru_cache(maxsize=64)
def _headers(block: bytes) -> Mapping[str, str]:
    """Lower-case names; the first of a name counts, folded lines are joined. The parts of a batch share their block."""
    headers: dict[str, str] = {}
    name = ""
    for line in block.decode("latin-1").split("\n"):
        if line[:1] in (" ", "\t") and name:
            headers[name] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower() if colon else ""
        if name in headers:
            name = ""
        elif name:
            headers[name] = value.strip()
    return headers


def _key(raw: bytes) -> str:
    content_id = raw.decode("latin-1").strip()
    if content_id.startswith("<") and content_id.endswith(">"):
        content_id = content_id[1:-1]
    key = content_id.removeprefix(_REPLY_PREFIX)
    return unquote(key)
