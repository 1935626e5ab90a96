"""HTTP as values: one request read whole, one response written whole, or broken on purpose.

    Response.breakage   what the client sees
    None                the answer, gzipped when asked for
    "reset"             TCP reset before the first byte
    "truncated"         half of the body, then the end of the connection

The breakages reach for uvicorn's transport, since ASGI has no word for either; under another server they raise.
Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Breakage = Literal["reset", "truncated"]

BODY_BYTES_MAX = 32 * 1024 * 1024
GZIP_FROM_BYTES = 500
JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


@dataclass(slots=True)
class Request:
    method: str
    path: str  # as sent: percent-encoding kept
    query: list[tuple[str, str]]
    headers: dict[str, str]  # names in lower case, repeated ones joined by ", "
    body: bytes
    origin: str  # scheme://host the client called
    in_batch: bool = False

    def json(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        return orjson.loads(self.body)


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    breakage: Breakage | None = None


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, orjson.dumps(value), {"Content-Type": JSON, **(headers or {})})


def html_response(page: str, status: int = 200) -> Response:
    return Response(status, page.encode(), {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"})


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Raises ConnectionError when the client is gone before its body is whole."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= BODY_BYTES_MAX:
            chunks.append(chunk)
        if not message.get("more_body"):
            break
    host = headers.get("host") or ":".join(str(part) for part in scope.get("server") or ("127.0.0.1",))
    return Request(
        method=scope["method"],
        path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        query=parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True),
        headers=headers,
        body=b"".join(chunks),
        origin=f"{scope.get('scheme', 'http')}://{host}",
    )


async def send_response(response: Response, request: Request, send: Send) -> None:
    _send_at_once(send)
    if response.breakage == "reset":
        _reset(send)
        return
    body, headers = response.body, dict(response.headers)
    if len(body) >= GZIP_FROM_BYTES and _accepts_gzip(request.headers.get("accept-encoding", "")):
        body = await asyncio.to_thread(gzip.compress, body, 1) if len(body) > 1_000_000 else gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
        headers["Vary"] = "Accept-Encoding"
    if response.status != 204:
        headers["Content-Length"] = str(len(body))
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    if response.breakage == "truncated":
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await asyncio.sleep(0)
        _transport(send).close()
        return
    await send({"type": "http.response.body", "body": body if request.method != "HEAD" else b""})


def _accepts_gzip(accepted: str) -> bool:
    for choice in accepted.lower().split(","):
        name, _, params = choice.partition(";")
        if name.strip() == "gzip":
            return params.replace(" ", "") not in ("q=0", "q=0.0")
    return False


def _send_at_once(send: Send) -> None:
    """Head and body are two writes: without TCP_NODELAY the second waits 40 ms for the first one's ACK.

    asyncio sets it only on sockets whose protocol number is known, which an accepted one inherits from its listener.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    raw = transport.get_extra_info("socket") if transport is not None else None
    if raw is not None:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _transport(send: Send) -> Any:
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("this fault needs uvicorn's transport")
    return transport


def _reset(send: Send) -> None:
    """RST instead of FIN: with a linger time of zero the kernel throws the connection away."""
    transport = _transport(send)
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
