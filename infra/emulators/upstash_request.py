"""What a client of Upstash's REST API asks for: a request read into Redis commands, or refused with the right text.

    POST /                         the body is a JSON array: one command
    POST /pipeline, /multi-exec    the body is an array of such arrays
    any  /set/key?EX=9             the path's segments, then the raw body, then the query's words without `_token`

JSON numbers reach Redis with the digits the client wrote, `true` as the word; null and nested values are refused.

Source: https://upstash.com/docs/redis/features/restapi for shapes and status codes; the texts are those users report
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import orjson

from infra.emulators.resp import ReplyError

JSON_TYPE = b"application/json"
NOT_AVAILABLE = (  # they block, or change the connection that all requests share, or are the operator's
    "AUTH BGREWRITEAOF BGSAVE BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLIENT CLUSTER CONFIG "
    "DEBUG DISCARD EXEC FAILOVER HELLO LATENCY MIGRATE MODULE MONITOR MOVE MULTI PSUBSCRIBE PSYNC PUNSUBSCRIBE QUIT "
    "READONLY READWRITE REPLICAOF RESET SAVE SELECT SHUTDOWN SLAVEOF SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE SWAPDB SYNC "
    "UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH"
)
_NOT_AVAILABLE = frozenset(NOT_AVAILABLE.encode().split())


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: bytes = JSON_TYPE


class Refused(Exception):
    """Ends a request before its commands run."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def refuse(status: int, text: str) -> NoReturn:
    raise Refused(Answer(status, orjson.dumps({"error": text})))


class Request:
    """One HTTP request, read to its end."""

    def __init__(self, scope: dict[str, Any], body: bytes) -> None:
        self.method: str = scope["method"]
        self.segments = [unquote_to_bytes(part) for part in scope["raw_path"].split(b"/") if part]
        self.pairs = [pair.replace(b"+", b" ") for pair in scope["query_string"].split(b"&") if pair]
        self.body = body
        headers = dict(scope["headers"])
        self.base64 = headers.get(b"upstash-encoding", b"").lower() == b"base64"
        self.token = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        for pair in self.pairs:
            if pair.startswith(b"_token="):
                self.token = unquote_to_bytes(pair[len(b"_token=") :])

    @property
    def endpoint(self) -> bytes:
        return self.segments[0].lower() if self.segments else b""

    @property
    def is_batch(self) -> bool:
        return len(self.segments) == 1 and self.endpoint in (b"pipeline", b"multi-exec")

    def commands(self) -> list[list[bytes]]:
        """Raises the 400 that a request without a readable command gets."""
        if self.is_batch:
            return _batch(self.body)
        if not self.segments:
            return [_command(_parse(self.body, "ERR failed to parse command"))]
        options = [pair.split(b"=", 1) for pair in self.pairs if not pair.startswith(b"_token=")]
        query = [unquote_to_bytes(word) for option in options for word in option]
        return [[*self.segments, *([self.body] if self.body else []), *query]]


def _parse(body: bytes, complaint: str) -> list[Any]:
    """A JSON array whose numbers are still the text the client wrote."""
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        refuse(400, complaint)
    if not isinstance(value, list):
        refuse(400, complaint)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _batch(body: bytes) -> list[list[bytes]]:
    complaint = "ERR failed to parse pipeline request"
    rows = _parse(body, complaint)
    if not rows:
        refuse(400, "ERR empty pipeline request")
    if not all(isinstance(row, list) for row in rows):
        refuse(400, complaint)
    return [_command(row) for row in rows]


def _command(values: list[Any]) -> list[bytes]:
    if not values:
        refuse(400, "ERR empty command")
    return [_argument(value) for value in values]


def _argument(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:  # a lone surrogate, which JSON can spell and UTF-8 cannot
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if value is None:
        refuse(400, "ERR null args are not supported")
    refuse(400, f'ERR unsupported arg type: "{"[" if isinstance(value, list) else "{"}": json.Delim')


async def read_body(receive: Any) -> bytes | None:
    """None if the client went away before the end."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def refusal(command: Sequence[bytes]) -> ReplyError | None:
    """What Upstash says to a command that its REST API does not offer; None for the others."""
    name = command[0].upper()
    blocking = name in (b"XREAD", b"XREADGROUP") and any(word.upper() == b"BLOCK" for word in command[1:5])
    if name not in _NOT_AVAILABLE and not blocking:
        return None
    see = "See https://upstash.com/docs/redis/overall/rediscompatibility for details"
    return ReplyError(f"ERR Command is not available: '{name.decode('latin-1')}'. {see}")
