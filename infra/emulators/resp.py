"""RESP2, the wire protocol of Redis and Valkey: encode commands, decode replies, for asyncio and for plain threads.

    on the wire     +OK      -ERR …        :1     $3 foo   $-1 or *-1   *2 …
    in Python       str      ReplyError    int    bytes    None         list

Errors are values here: one failed command of a pipeline must not hide the replies of the others.
One connection carries the commands of all requests, in order: Valkey runs one command at a time anyway, and
MULTI … EXEC written in one piece cannot be split. Whoever blocks or subscribes opens a connection of its own.
Rejected: redis-py, which is no dependency of Tidemark and costs several times as much CPU a command.

Source: https://valkey.io/topics/protocol/
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

Reply: TypeAlias = "str | bytes | int | ReplyError | list[Reply] | None"

BULK, ARRAY, STATUS, ERROR, INTEGER = b"$*+-:"


class ReplyError(Exception):
    """An error reply; its text is the server's own, `ERR …`."""


class ConnectionLost(ConnectionError):
    """The server closed the connection, or was never there; whether the commands ran is not known."""


def encode(command: Sequence[bytes]) -> bytes:
    return b"*%d\r\n%b" % (len(command), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in command]))


class Decoder:
    """Replies out of a stream cut anywhere. An unfinished array is kept open, so that nothing is parsed twice."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._open: list[tuple[list[Reply], int]] = []

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes, oldest first."""
        buffer, complete, at = self._buffer, list[Reply](), 0
        buffer += data
        while (end := buffer.find(b"\r\n", at)) >= 0:
            kind, head, after = buffer[at], bytes(buffer[at + 1 : end]), end + 2
            value: Reply
            if kind == BULK:
                size = int(head)
                value = None
                if size >= 0:
                    if len(buffer) < after + size + 2:
                        break
                    value = bytes(buffer[after : after + size])
                    after += size + 2
            elif kind == ARRAY:
                size = int(head)
                if size > 0:
                    self._open.append(([], size))
                    at = after
                    continue
                value = None if size < 0 else []
            else:
                value = _scalar(kind, head)
            at = after
            complete += self._close(value)
        del buffer[:at]
        return complete

    def _close(self, value: Reply) -> list[Reply]:
        """Puts a value into the innermost open array; the outermost reply when that ends it, else nothing."""
        while self._open:
            items, size = self._open[-1]
            items.append(value)
            if len(items) < size:
                return []
            self._open.pop()
            value = items
        return [value]


def _scalar(kind: int, head: bytes) -> Reply:
    if kind == INTEGER:
        return int(head)
    text = head.decode("utf-8", "replace")
    if kind == STATUS:
        return text
    if kind == ERROR:
        return ReplyError(text)
    raise ValueError(f"not RESP2: a reply that starts with {chr(kind)!r}")


class Connection(asyncio.Protocol):
    """One connection for every task of one event loop; replies come back in the order of the calls."""

    def __init__(self, on_reply: Callable[[Reply], None] | None = None) -> None:
        self._on_reply = on_reply
        self._decoder = Decoder()
        self._waiting: deque[tuple[asyncio.Future[list[Reply]], int]] = deque()
        self._replies: list[Reply] = []
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int, on_reply: Callable[[Reply], None] | None = None) -> Self:
        """`on_reply` gets every reply of a connection that subscribes or monitors, and None when it is closed."""
        try:
            _, connection = await asyncio.get_running_loop().create_connection(lambda: cls(on_reply), "127.0.0.1", port)
        except OSError as error:
            raise ConnectionLost(f"no Redis on port {port}") from error
        return connection

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, commands: Sequence[Sequence[bytes]]) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLost("the connection to Redis is closed")
        self._transport.write(b"".join([encode(command) for command in commands]))

    async def call(self, commands: Sequence[Sequence[bytes]]) -> list[Reply]:
        """One reply a command, in order. Raises `ConnectionLost`; an error reply is a value."""
        if not commands:
            return []
        self.write(commands)
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, len(commands)))
        return await future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        replies = self._decoder.feed(data)
        if self._on_reply is not None:
            for reply in replies:
                self._on_reply(reply)
            return
        self._replies += replies
        while self._waiting and len(self._replies) >= self._waiting[0][1]:
            future, size = self._waiting.popleft()
            mine, self._replies = self._replies[:size], self._replies[size:]
            if not future.done():  # the caller may have been cancelled: its replies are still its own
                future.set_result(mine)

    def connection_lost(self, exc: Exception | None) -> None:
        lost = ConnectionLost("Redis closed the connection")
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(lost)
        if self._on_reply is not None:
            self._on_reply(None)


def call(port: int, *command: str | bytes | int, timeout_s: float = 10.0) -> Reply:
    """One command on a connection of its own, from any thread. Raises the error reply."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout_s)) as connection:
        connection.sendall(encode(parts))
        decoder = Decoder()
        while data := connection.recv(65536):
            for reply in decoder.feed(data):
                if isinstance(reply, ReplyError):
                    raise reply
                return reply
    raise ConnectionLost(f"Redis on port {port} closed the connection")
