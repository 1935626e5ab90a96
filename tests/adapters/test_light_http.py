"""push-webhook's small HTTP client: connections that are kept, and everything that can go wrong on one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from shared.adapters.light_http import LightHttp
from shared.core.errors import ProviderDown
from shared.protocol.wire import Response

FINE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handled, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/path?q=1"
    finally:
        server.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(length))


def answering(*answers: bytes, times: int = 1000) -> tuple[Handler, list[list[bytes]]]:
    """A server that gives these answers in turn; what it was asked, by connection. `times` requests a connection."""
    asked: list[list[bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[bytes] = []
        asked.append(mine)
        while len(mine) < times:
            try:
                mine.append(await request(reader))
            except asyncio.IncompleteReadError:
                return
            writer.write(answers[(sum(map(len, asked)) - 1) % len(answers)])
            await writer.drain()

    return handler, asked


async def send(http: LightHttp, url: str, timeout_s: float = 2.0, most: int = 1000) -> Response:
    return await http.send("POST", url, {"x-a": "b"}, b"body", timeout_s=timeout_s, body_bytes_max=most)


async def test_a_connection_is_kept() -> None:
    handler, asked = answering(FINE)
    http = LightHttp()
    async with serving(handler) as url:
        for _ in range(3):
            answer = await send(http, url)
            assert (answer.status, answer.headers["content-length"], answer.body) == (200, "2", b"ok")
    (requests,) = asked
    assert len(requests) == 3
    assert requests[0].startswith(b"POST /path?q=1 HTTP/1.1\r\n")
    assert b"x-a: b\r\n" in requests[0].lower()


async def test_a_kept_connection_that_was_closed_is_made_anew() -> None:
    handler, asked = answering(FINE, times=1)
    http = LightHttp()
    async with serving(handler) as url:
        for _ in range(3):
            assert (await send(http, url)).body == b"ok"
    assert len(asked) == 3


async def test_many_at_once_get_their_own_answers() -> None:
    handler, asked = answering(FINE)
    http = LightHttp()
    async with serving(handler) as url:
        assert {(await each).body for each in [send(http, url) for _ in range(40)]} == {b"ok"}
        await asyncio.gather(*(send(http, url) for _ in range(40)))
    assert sum(map(len, asked)) == 80


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + FINE, b"ok"),
        (b"HTTP/1.1 503 Down\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno", b"no"),
    ],
)
async def test_answers_come_in_many_forms(raw: bytes, body: bytes) -> None:
    handler, _ = answering(raw)
    async with serving(handler) as url:
        assert (await send(LightHttp(), url)).body == body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_broken_answer_is_an_outage(raw: bytes) -> None:
    handler, _ = answering(raw, times=1)
    async with serving(handler) as url:
        with pytest.raises(ProviderDown):
            await send(LightHttp(), url)


async def test_an_answer_that_does_not_come_in_time_is_an_outage() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as url:
        with pytest.raises(ProviderDown, match="within"):
            await send(LightHttp(), url, timeout_s=0.05)


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(ProviderDown, match="no answer"):
        await send(LightHttp(), "http://127.0.0.1:1")
    with pytest.raises(ProviderDown):
        await send(LightHttp(), "https://127.0.0.1:1")
