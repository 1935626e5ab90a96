"""The HTTP client: what is sent where, what comes back, and that nothing of httpx escapes unmapped."""

import asyncio
import gzip
import json
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request as Received
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from infra.emulators.server import Server
from shared.adapters import http_client
from shared.adapters.http_client import FAILURES, Blocking, HttpClient, target
from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.wire import Request
from shared.protocol.wire import Response as Answer

connections: set[Any] = set()


async def echo(request: Received) -> Response:
    connections.add(request.client)
    body = {
        "method": request.method,
        "target": request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode()] for name, value in request.headers.raw],
        "body": (await request.body()).decode(),
    }
    return JSONResponse(body, headers={"X-Mixed": "Case", "set-cookie": "session=of-ada; Path=/"})


async def packed(request: Received) -> Response:
    """A body of `size` zeros, gzipped as `how` says."""
    plain, how = bytes(int(request.query_params["size"])), request.query_params.get("how", "gzip")
    made: dict[str, Callable[[], bytes]] = {
        "gzip": lambda: gzip.compress(plain),
        "members": lambda: gzip.compress(plain[: len(plain) // 2]) + gzip.compress(plain[len(plain) // 2 :]),
        "cut": lambda: gzip.compress(plain)[:-5],
        "garbage": lambda: b"not gzip at all",
        "trailing": lambda: gzip.compress(plain) + b"garbage",
        "empty": lambda: b"",
        "deflate": lambda: zlib.compress(plain),
    }
    coding = "deflate" if how == "deflate" else "gzip"
    return Response(made[how](), headers={"content-encoding": coding})


async def drip(request: Received) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.05)

    return StreamingResponse(pieces())


async def away(request: Received) -> Response:
    return RedirectResponse("/echo")


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    methods = ["GET", "POST", "PUT", "DELETE"]
    routes = [
        Route(f"/{name}", call, methods=methods)
        for name, call in {"echo": echo, "packed": packed, "drip": drip, "away": away}.items()
    ]
    with Server(Starlette(routes=[*routes, Route("/{path:path}", echo, methods=methods)])) as server:
        yield server.url


async def send(
    origin: str, request: Request, timeout_s: float = 5.0, body_bytes_max: int = 100_000, **more: Any
) -> Answer:
    return await HttpClient().send(origin, request, timeout_s=timeout_s, body_bytes_max=body_bytes_max, **more)


async def told(origin: str, request: Request, **more: Any) -> dict[str, Any]:
    answer = await send(origin, request, **more)
    found: dict[str, Any] = json.loads(answer.body)
    found["headers"] = dict(found["headers"])
    return found


async def test_a_request_arrives_as_it_was_meant(origin: str) -> None:
    request = Request(
        "POST", "/echo", (("$select", "id,subject"), ("q", "a b&c")), {"Prefer": "x", "X-Own": "1"}, b'{"a":1}'
    )
    seen = await told(origin, request, headers={"Authorization": "Bearer t", "x-own": "2"})
    assert seen["method"] == "POST"
    assert seen["target"] == "/echo?$select=id,subject&q=a%20b%26c"
    assert seen["body"] == '{"a":1}'
    assert seen["headers"]["authorization"] == "Bearer t"
    assert seen["headers"]["prefer"] == "x"
    assert seen["headers"]["x-own"] == "2"


async def test_gmail_compresses_only_for_a_user_agent_that_says_gzip(origin: str) -> None:
    seen = await told(origin, Request("GET", "/echo", headers={"Accept-Encoding": "br"}))
    assert "gzip" in seen["headers"]["user-agent"]
    assert seen["headers"]["accept-encoding"] == "gzip"


async def test_header_names_are_lower_case(origin: str) -> None:
    answer = await send(origin, Request("GET", "/echo"))
    assert answer.status == 200
    assert answer.headers["x-mixed"] == "Case"
    assert all(name == name.lower() for name in answer.headers)


async def test_any_status_is_an_answer_and_redirects_are_not_followed(origin: str) -> None:
    answer = await send(origin, Request("GET", "/away"))
    assert (answer.status, answer.headers["location"]) == (307, "/echo")


async def test_cookies_are_not_kept(origin: str) -> None:
    http = HttpClient()
    for _ in range(2):
        answer = await http.send(origin, Request("GET", "/echo"), timeout_s=5, body_bytes_max=10_000)
    assert b"of-ada" not in answer.body


async def test_a_connection_is_kept_for_the_next_request_of_any_view(origin: str) -> None:
    connections.clear()
    for http in (HttpClient(), HttpClient().counted()):
        await http.send(origin, Request("GET", "/echo"), timeout_s=5, body_bytes_max=10_000)
    assert len(connections) == 1


def test_every_event_loop_has_its_own_client_that_ends_with_it(origin: str) -> None:
    before = set(http_client._clients)  # of other tests' loops

    async def once() -> int:
        await HttpClient().send(origin, Request("GET", "/echo"), timeout_s=5, body_bytes_max=10_000)
        return len(http_client._clients.keys() - before)

    assert [asyncio.run(once()) for _ in range(3)] == [1, 1, 1]
    assert not http_client._clients.keys() - before
    assert not http_client._lives.keys() - before


async def test_after_closing_the_next_request_opens_anew(origin: str) -> None:
    connections.clear()
    for _ in range(2):
        await HttpClient().send(origin, Request("GET", "/echo"), timeout_s=5, body_bytes_max=10_000)
        await http_client.aclose()
        await http_client.aclose()
    assert len(connections) == 2


async def test_many_first_requests_at_once_share_one_client(origin: str) -> None:
    connections.clear()
    before = set(http_client._clients)
    http = HttpClient()
    request = Request("GET", "/echo")
    await asyncio.gather(*(http.send(origin, request, timeout_s=5, body_bytes_max=10_000) for _ in range(5)))
    assert (len(http_client._clients.keys() - before), http.requests) == (1, 5)


async def test_environment_proxies_are_not_used(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await send(origin, Request("GET", "/echo"))).status == 200


async def test_requests_are_counted_also_in_vain(origin: str) -> None:
    http = HttpClient()
    view = http.counted()
    await view.send(origin, Request("GET", "/echo"), timeout_s=5, body_bytes_max=10_000)
    with pytest.raises(ProviderDown):
        await view.send("http://127.0.0.1:9", Request("GET", "/echo"), timeout_s=5, body_bytes_max=10_000)
    with pytest.raises(ContractBroken):
        await view.send(origin, Request("GET", "http://elsewhere/"), timeout_s=5, body_bytes_max=10_000)
    assert (http.requests, view.requests) == (0, 2)


async def test_io_steps_are_told_before_and_after_without_the_query(origin: str) -> None:
    steps: list[str] = []
    http = HttpClient(steps.append)
    await http.send(origin, Request("GET", "/echo", (("token", "secret"),)), timeout_s=5, body_bytes_max=10_000)
    with pytest.raises(ProviderDown):
        await http.send("http://127.0.0.1:9", Request("GET", "/x"), timeout_s=5, body_bytes_max=10_000)
    assert steps == ["before GET 127.0.0.1/echo", "after GET 127.0.0.1/echo", "before GET 127.0.0.1/x"]


# -- where a request may go

OPAQUE = "https://graph.microsoft.com/v1.0/me/mailFolders('a')/messages/delta?$skiptoken=Ab%2B%2f%3D-_.~!*'()&x=a+b;,"


def test_a_link_of_the_provider_is_sent_as_it_came() -> None:
    assert str(target("https://graph.microsoft.com", Request("GET", OPAQUE))) == OPAQUE
    assert str(target("https://graph.microsoft.com/", Request("GET", OPAQUE, (("y", "1"),)))) == OPAQUE + "&y=1"


@pytest.mark.parametrize("path", ["https://graph.microsoft.com:443/v1.0", "HTTPS://GRAPH.Microsoft.com/v1.0", "/v1.0"])
def test_the_same_origin_may_be_written_differently(path: str) -> None:
    assert target("https://graph.microsoft.com", Request("GET", path)).host == "graph.microsoft.com"


@pytest.mark.parametrize(
    "path",
    [
        "http://graph.microsoft.com/v1.0",
        "https://graph.microsoft.com:8443/v1.0",
        "https://graph.microsoft.com.evil.example/v1.0",
        "https://graph.microsoft.com@evil.example/v1.0",
        "https://ada@graph.microsoft.com/v1.0",
        "https://evil.example/v1.0",
        "//evil.example/v1.0",
        "@evil.example/v1.0",
        ".evil.example/v1.0",
        "v1.0/me",
        "",
        "https://graph.microsoft.com/v1.0#fragment",
        "https://graph.microsoft.com\\@evil.example/",
        "ftp://graph.microsoft.com/",
        "https://[::1/",
        "/\x00",
    ],
)
def test_no_request_leaves_the_configured_origin(path: str) -> None:
    try:
        url = target("https://graph.microsoft.com", Request("GET", path))
    except ContractBroken:
        return
    assert (url.scheme, url.host, url.port, url.userinfo) == ("https", "graph.microsoft.com", None, b"")


@given(st.text(max_size=40))
def test_no_path_at_all_leaves_the_configured_origin(path: str) -> None:
    for text in (path, "/" + path, "https://graph.microsoft.com" + path):
        test_no_request_leaves_the_configured_origin(text)


@pytest.mark.parametrize("value", ["a\r\nb: c", "naïve", "a\0"])
async def test_a_header_that_cannot_be_sent_is_our_fault_not_the_providers(origin: str, value: str) -> None:
    with pytest.raises(ContractBroken):
        await send(origin, Request("GET", "/echo"), headers={"authorization": value})


# -- bodies


@pytest.mark.parametrize("how", ["gzip", "members"])
async def test_a_gzipped_body_is_unpacked(origin: str, how: str) -> None:
    answer = await send(origin, Request("GET", "/packed", (("size", "50000"), ("how", how))))
    assert answer.body == bytes(50_000)


async def test_an_empty_body_may_claim_to_be_gzipped(origin: str) -> None:
    assert (await send(origin, Request("GET", "/packed", (("size", "0"), ("how", "empty"))))).body == b""


@pytest.mark.parametrize("how", ["cut", "garbage", "trailing", "deflate"])
async def test_a_body_that_cannot_be_unpacked_whole_is_an_outage(origin: str, how: str) -> None:
    with pytest.raises(ProviderDown):
        await send(origin, Request("GET", "/packed", (("size", "50000"), ("how", how))))


@pytest.mark.parametrize("how", ["gzip", "members"])
async def test_a_gzip_bomb_stops_at_the_limit(origin: str, how: str) -> None:
    with pytest.raises(ProviderDown, match="larger than 1000 bytes"):
        await send(origin, Request("GET", "/packed", (("size", "50000000"), ("how", how))), body_bytes_max=1000)


async def test_a_body_of_exactly_the_limit_is_read(origin: str) -> None:
    answer = await send(origin, Request("GET", "/packed", (("size", "1000"),)), body_bytes_max=1000)
    assert len(answer.body) == 1000
    with pytest.raises(ProviderDown):
        await send(origin, Request("GET", "/packed", (("size", "1001"),)), body_bytes_max=1000)


# -- failures


async def test_the_whole_exchange_has_to_end_in_time(origin: str) -> None:
    with pytest.raises(ProviderDown, match=r"no answer within 0\.2 s"):
        await send(origin, Request("GET", "/drip"), timeout_s=0.2)


async def test_being_cancelled_is_not_an_outage(origin: str) -> None:
    task = asyncio.create_task(send(origin, Request("GET", "/drip")))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def speaking(raw: bytes) -> tuple[str, threading.Thread]:
    """A server that answers one connection with these bytes and closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(raw)
        connection.close()
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", thread


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_an_answer_that_is_none_is_an_outage(raw: bytes) -> None:
    url, thread = speaking(raw)
    with pytest.raises(ProviderDown):
        await send(url, Request("GET", "/"))
    thread.join()


async def test_a_refused_connection_and_failed_tls_are_outages(origin: str) -> None:
    for url in ("http://127.0.0.1:9", origin.replace("http", "https"), "https://name.invalid"):
        with pytest.raises(ProviderDown):
            await send(url, Request("GET", "/"))


def test_every_exception_of_httpx_is_mapped() -> None:
    public = [getattr(httpx, name) for name in httpx.__all__]
    errors = [each for each in public if isinstance(each, type) and issubclass(each, Exception)]
    assert len(errors) > 25
    assert [error for error in errors if not issubclass(error, FAILURES)] == []


# -- from a thread


async def test_a_blocking_library_sends_over_the_loops_client(origin: str) -> None:
    http = HttpClient()
    blocking = Blocking(http, blocked_max_s=5, timeout_s=5, body_bytes_max=10_000)
    answer = await asyncio.to_thread(blocking.send, origin, Request("GET", "/echo"))
    assert (answer.status, http.requests) == (200, 1)


async def test_a_blocking_library_has_a_time_for_everything_together(origin: str) -> None:
    blocking = Blocking(HttpClient(), blocked_max_s=0.2, timeout_s=5, body_bytes_max=10_000)
    for said in ("no answer within", "no time is left"):
        with pytest.raises(ProviderDown, match=said):
            await asyncio.to_thread(blocking.send, origin, Request("GET", "/drip"))
