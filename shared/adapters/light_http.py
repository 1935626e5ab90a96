"""A small HTTP/1.1 client for push-webhook, whose first answer must not wait for httpx.

httpx and one AsyncClient take about as long to load as half of an empty function (facts/platform.md §2); h11 is there
already, because uvicorn speaks with it. What push-webhook sends is two kinds of requests to configured URLs: a script
to Redis, and Google's certificates. So: no redirects, no cookies, no proxies, no compression, bodies counted.

    no answer in time, none at all, one cut short, one too long      ProviderDown
    a kept connection that turns out to be closed                    once more on a new one: both may be sent twice

One per event loop. Rejected: http.client in threads (50 notifications at once would wait for each other).
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import h11

from shared.core.errors import ProviderDown
from shared.protocol.wire import Response

IDLE_MAX = 16
IDLE_S = 60.0
CHUNK_BYTES = 65_536
FAILURES = (OSError, EOFError, h11.ProtocolError, asyncio.IncompleteReadError)


@lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.CLIENT)
        self.used_at_s = time.monotonic()
        self.begun = False  # something of the answer has come

    async def exchange(self, head: h11.Request, body: bytes, body_bytes_max: int) -> Response:
        self.begun = False
        self.writer.write(b"".join(map(self._sent, (head, h11.Data(body), h11.EndOfMessage()))))
        await self.writer.drain()
        answer = await self._event()
        while isinstance(answer, h11.InformationalResponse):
            answer = await self._event()
        assert isinstance(answer, h11.Response)
        chunks: list[bytes] = []
        size = 0
        while isinstance(event := await self._event(), h11.Data):
            chunks.append(bytes(event.data))
            size += len(event.data)
            if size > body_bytes_max:
                raise ProviderDown(f"the body is larger than {body_bytes_max} bytes")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        return Response(answer.status_code, headers, b"".join(chunks))

    def _sent(self, event: Any) -> bytes:
        return self.http.send(event) or b""

    async def _event(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            data = await self.reader.read(CHUNK_BYTES)
            self.begun = self.begun or bool(data)
            self.http.receive_data(data)
        if isinstance(event, h11.ConnectionClosed):
            raise EOFError("the connection ended")
        return event

    def is_reusable(self) -> bool:
        """Ready for another request, as far as can be told here."""
        if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        self.used_at_s = time.monotonic()
        return True


class LightHttp:
    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = {}
        self._life: AsyncGenerator[None, None] | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, body_bytes_max: int
    ) -> Response:
        """The answer, whatever its status. Raises ProviderDown."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = {"host": parts.netloc, "content-length": str(len(body)), "accept": "application/json", **headers}
        head = h11.Request(method=method, target=target, headers=list(given.items()))
        if self._life is None:
            self._life = self._lives()
            await anext(self._life)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(parts.scheme, parts.netloc, head, body, body_bytes_max)
        except TimeoutError as error:
            raise ProviderDown(f"no answer within {timeout_s:g} s") from error
        except FAILURES as error:
            raise ProviderDown(f"no answer ({type(error).__name__})") from error

    async def _exchange(
        self, scheme: str, netloc: str, head: h11.Request, body: bytes, body_bytes_max: int
    ) -> Response:
        origin = f"{scheme}://{netloc}"
        kept = self._kept(origin)
        if kept is not None:
            try:
                return await self._on(kept, origin, head, body, body_bytes_max)
            except FAILURES:
                if kept.begun:
                    raise
        return await self._on(await _connected(origin), origin, head, body, body_bytes_max)

    async def _on(
        self, connection: _Connection, origin: str, head: h11.Request, body: bytes, body_bytes_max: int
    ) -> Response:
        keep = False
        try:
            answer = await connection.exchange(head, body, body_bytes_max)
            keep = len(self._idle.setdefault(origin, [])) < IDLE_MAX and connection.is_reusable()
            if keep:
                self._idle[origin].append(connection)
            return answer
        finally:
            if not keep:
                connection.writer.close()

    def _kept(self, origin: str) -> _Connection | None:
        """The one used last; those that were idle for long are closed."""
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if time.monotonic() - connection.used_at_s < IDLE_S and not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return None

    async def _lives(self) -> AsyncGenerator[None, None]:
        """Until its loop ends: loops close the generators begun on them, so connections end without any hook."""
        try:
            yield
        finally:
            idle = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
            for connection in idle:
                connection.writer.close()
            await asyncio.gather(*(connection.writer.wait_closed() for connection in idle), return_exceptions=True)


async def _connected(origin: str) -> _Connection:
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if parts.scheme == "https":
        secured = ssl_context()
        return _Connection(*await asyncio.open_connection(host, parts.port or 443, ssl=secured, server_hostname=host))
    return _Connection(*await asyncio.open_connection(host, parts.port or 80))
