"""The HTTP edge: what is read within which limits, and what a caller is told when something fails."""

import asyncio
import base64
import http.client
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from itertools import repeat
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from infra.emulators.server import Server
from shared import edge
from shared.config import Settings, load
from shared.core.errors import (
    AuthorizationLost,
    BadRequest,
    ContractBroken,
    NotFound,
    ProviderDown,
    StoreDown,
    Throttled,
)

SECRET = "ya29.secret-of-ada@example.org"
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def settings() -> Settings:
    key = base64.b64encode(bytes(32)).decode()
    redis = {"UPSTASH_REDIS_REST_URL": "http://localhost:1", "UPSTASH_REDIS_REST_TOKEN": "t"}
    return load({**redis, "TIDEMARK_API_KEY": "the-key", "TOKEN_ENCRYPTION_KEYS": key})


def ask(
    handler: edge.Handler, method: str = "GET", path: str = "/", timeout_s: float = 5.0, **request: Any
) -> httpx.Response:
    """One request to the guarded handler, over ASGI."""

    async def run() -> httpx.Response:
        methods = ["GET", "POST", "PUT", "DELETE"]
        app = Starlette(routes=[Route("/{path:path}", edge.guarded(handler, timeout_s=timeout_s), methods=methods)])
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tidemark.example") as client:
            return await client.request(method, path, **request)

    return asyncio.run(run())


def raising(error: BaseException) -> edge.Handler:
    async def handler(request: Request) -> Response:
        raise error

    return handler


def answering(text: Callable[[Request], Awaitable[object]]) -> edge.Handler:
    async def handler(request: Request) -> Response:
        return PlainTextResponse(json.dumps(await text(request)))

    return handler


@pytest.mark.parametrize(
    ("error", "status", "slug", "retry_after"),
    [
        (BadRequest(404, "unknown_account", "there is no such account"), 404, "unknown_account", None),
        (StoreDown("timed out"), 503, "store_down", "5"),
        (StoreDown("timed out", 12.2), 503, "store_down", "13"),
        (Throttled("slow down", 0.1), 502, "throttled", "1"),
        (ProviderDown("no answer", float("inf")), 502, "provider_down", None),
        (AuthorizationLost("invalid_grant"), 409, "reauth_required", None),
        (ContractBroken("it said no"), 502, "contract_broken", None),
        (NotFound("leaked from a sync"), 500, "internal", None),
        (ClientDisconnect(), 400, "disconnected", None),
        (TimeoutError("not ours"), 500, "internal", None),
        (KeyError(SECRET), 500, "internal", None),
        (RecursionError(), 500, "internal", None),
    ],
)
def test_an_error_is_a_problem_with_a_stable_slug(
    error: Exception, status: int, slug: str, retry_after: str | None
) -> None:
    answer = ask(raising(error))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == retry_after
    body = answer.json()
    assert (body["status"], body["slug"], body["type"]) == (status, slug, f"urn:tidemark:problem:{slug}")
    assert set(body) == {"type", "title", "status", "detail", "slug"}


def test_an_unforeseen_error_is_logged_and_nothing_of_it_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(raising(ValueError(SECRET)))
    logged = capsys.readouterr().err
    assert SECRET not in answer.text
    assert SECRET not in logged
    line = json.loads(logged)
    assert line["event"] == "request_failed"
    assert line["error"][0]["class"] == "builtins.ValueError"


def test_a_cancelled_request_is_not_answered_as_an_error() -> None:
    with pytest.raises(asyncio.CancelledError):
        ask(raising(asyncio.CancelledError()))


def test_a_request_that_takes_too_long_is_ended() -> None:
    answer = ask(answering(lambda request: asyncio.sleep(5)), timeout_s=0.02)
    assert (answer.status_code, answer.json()["slug"]) == (504, "timed_out")


def test_extra_members_stand_beside_the_standard_ones_and_cannot_replace_them() -> None:
    body = json.loads(bytes(edge.problem(410, "cursor_expired", "gone", oldest="e1:5", title="x", type="y").body))
    assert (body["oldest"], body["status"], body["slug"], body["title"]) == ("e1:5", 410, "cursor_expired", "Gone")


def test_every_answer_is_nosniff_and_no_store_unless_said_otherwise() -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("hello", headers={"cache-control": "max-age=60"})

    assert ask(page).headers["cache-control"] == "max-age=60"
    for answer in (ask(page), ask(raising(KeyError()))):
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask(raising(KeyError())).headers["cache-control"] == "no-store"


async def _ok(request: Request) -> Response:
    return PlainTextResponse("ok")


def test_a_head_that_is_too_large_is_refused() -> None:
    assert ask(_ok, headers={"x": "a" * 30_000}).status_code == 200
    assert ask(_ok, headers={"x": "a" * 40_000}).json()["slug"] == "headers_too_large"
    assert ask(_ok, headers=[(f"x-{n}", "a") for n in range(120)]).status_code == 431
    assert ask(_ok, path="/?validationToken=" + "%41" * 4096).status_code == 200
    assert ask(_ok, path="/" + "a" * 17_000).json()["slug"] == "uri_too_long"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/accounts", []),
        ("/accounts/", []),
        ("/", []),
        ("/accounts/connect", ["connect"]),
        ("/connect/", ["connect"]),
        ("/accounts/a%2Fb/resync", ["a/b", "resync"]),
        ("/accounts/caf%C3%A9?x=/y", ["café"]),
        ("/accounts//resync", ["", "resync"]),
        ("/accounts/accounts", ["accounts"]),
        ("/accountsx", ["accountsx"]),
    ],
)
def test_a_function_answers_with_or_without_its_name(path: str, expected: list[str]) -> None:
    async def read(request: Request) -> object:
        return edge.segments(request, "accounts")

    assert ask(answering(read), path=path).json() == expected


def test_a_path_that_is_not_utf8_is_malformed() -> None:
    async def read(request: Request) -> object:
        return edge.segments(request, "accounts")

    assert ask(answering(read), path="/accounts/%ff").json()["slug"] == "malformed"


@pytest.mark.parametrize("host", [b"\xff", b"[", b"[::1", b"a b", b"a/b", b"user@host", b"a:b", b"a:123456"])
def test_a_host_that_is_none_is_malformed(host: bytes) -> None:
    assert ask(_ok, headers={b"host": host}).json()["slug"] == "malformed"


@pytest.mark.parametrize("host", ["", "localhost:8080", "[::1]:80", "example.com.", "xn--bcher-kva.example"])
def test_a_host_may_be_written_in_many_ways(host: str) -> None:
    assert ask(_ok, headers={"host": host}).status_code == 200


def test_another_method_gets_405_with_those_allowed() -> None:
    async def read(request: Request) -> object:
        edge.require_method(request, "GET", "PUT")
        return None

    answer = ask(answering(read), method="DELETE")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT, HEAD")
    assert answer.json()["slug"] == "method_not_allowed"
    for method in ("GET", "HEAD", "PUT"):
        assert ask(answering(read), method=method).status_code == 200


@pytest.mark.parametrize("given_header", ["Bearer the-key", "bearer the-key", "BEARER  the-key"])
def test_the_key_opens(given_header: str, settings: Settings) -> None:
    async def read(request: Request) -> object:
        edge.require_key(request, settings)
        return None

    assert ask(answering(read), headers={"authorization": given_header}).status_code == 200


@pytest.mark.parametrize(
    "given_header",
    [None, "", "Bearer", "Bearer ", "Bearer the-key2", "Bearer the-ke", "Basic the-key", "the-key", b"Bearer \xff"],
)
def test_a_wrong_or_missing_key_gets_401(given_header: str | bytes | None, settings: Settings) -> None:
    async def read(request: Request) -> object:
        edge.require_key(request, settings)
        return None

    answer = ask(answering(read), headers={} if given_header is None else {b"authorization": given_header})
    assert (answer.status_code, answer.json()["slug"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def _size(request: Request) -> object:
    return len(await edge.read_body(request, 1000))


def test_a_body_within_the_limit_is_read_whole() -> None:
    assert ask(answering(_size), "POST", content=b"x" * 1000).json() == 1000
    assert ask(answering(_size), "POST").json() == 0


def exchange(chunks: Iterable[bytes | None], **headers: str) -> tuple[dict[str, Any], list[str]]:
    """A POST whose body comes so (None: nothing comes any more): the problem it is answered with, and what happened."""
    coming = iter(chunks)
    happened: list[str] = []
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        chunk = next(coming, b"")
        happened.append("nothing" if chunk is None else "chunk" if chunk else "body ended")
        if chunk is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def send(message: Any) -> None:
        ends = message["type"] == "http.response.body" and not message.get("more_body")
        happened.append("answer ended" if ends else message["type"])
        sent.append(message)

    async def run() -> None:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": raw}
        request = Request(scope, receive)
        await (await edge.guarded(answering(_size))(request))(scope, receive, send)

    asyncio.run(run())
    start, body, _ = sent
    told = dict(start["headers"])
    assert (told[b"connection"], told[b"content-length"]) == (b"close", b"%d" % len(body["body"]))
    return json.loads(body["body"]), happened


ANSWERED = ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("length", ["1001", "9" * 30])
def test_a_body_that_says_it_is_too_large_is_refused_unread_then_thrown_away(length: str) -> None:
    told, happened = exchange([b"x" * 100] * 3, content_length=length)
    assert (told["status"], told["slug"]) == (413, "body_too_large")
    assert happened == [*ANSWERED, *["chunk"] * 3, "body ended", "answer ended"]


def test_a_body_that_does_not_say_its_size_is_refused_at_the_limit_then_thrown_away() -> None:
    told, happened = exchange([b"x" * 100] * 15)
    assert (told["status"], told["slug"]) == (413, "body_too_large")
    assert happened == [*["chunk"] * 11, *ANSWERED, *["chunk"] * 4, "body ended", "answer ended"]


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "BODY_TIMEOUT_S", 0.02)
    monkeypatch.setattr(edge, "DISCARD_SILENCE_S", 0.02)
    told, happened = exchange([b"x", None, b"x", None])
    assert (told["status"], told["slug"]) == (408, "body_too_slow")
    assert happened == ["chunk", "nothing", *ANSWERED, "chunk", "nothing", "answer ended"]


def test_no_more_is_thrown_away_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "DISCARD_BYTES_MAX", 500)
    _, happened = exchange(repeat(b"x" * 100), content_length="1001")
    assert happened == [*ANSWERED, *["chunk"] * 5, "answer ended"]


def test_a_body_without_end_is_not_thrown_away_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "DISCARD_TIMEOUT_S", 0.02)
    _, happened = exchange(repeat(b"x"), content_length="1001")
    assert (happened[:3], happened[-1]) == ([*ANSWERED, "chunk"], "answer ended")


@pytest.fixture(scope="module")
def reading() -> Iterator[Server]:
    """A server whose one function reads the body."""
    route = Route("/{path:path}", edge.guarded(answering(lambda r: edge.read_body(r))), methods=["POST"])
    with Server(Starlette(routes=[route])) as server:
        yield server


@pytest.mark.parametrize("size", [edge.BODY_BYTES_MAX + 1, 2 * edge.BODY_BYTES_MAX, 5 * edge.BODY_BYTES_MAX])
@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_first_and_reads_then_is_told_over_real_http(reading: Server, size: int, chunked: bool) -> None:
    body = b"x" * size

    def content() -> Any:
        return (body[at : at + 65_536] for at in range(0, size, 65_536)) if chunked else body

    for _ in range(4):
        with httpx.Client(trust_env=False) as client:
            answer = client.post(reading.url, content=content())
        assert (answer.status_code, answer.json()["slug"]) == (413, "body_too_large")
        with closing(http.client.HTTPConnection("127.0.0.1", reading.port, timeout=30)) as connection:
            connection.request("POST", "/", content(), encode_chunked=chunked)
            assert connection.getresponse().status == 413


def test_who_is_answered_before_the_body_was_looked_at_is_told_too(reading: Server) -> None:
    with httpx.Client(trust_env=False, headers={"x": "a" * 40_000}) as client:
        for _ in range(4):
            assert client.post(reading.url, content=b"x" * 5 * edge.BODY_BYTES_MAX).status_code == 431


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
def test_no_body_is_an_empty_object(body: bytes) -> None:
    assert edge.json_object(body) == {}


def test_of_a_repeated_name_the_last_value_counts() -> None:
    assert edge.json_object(b'{"account_id": "a", "account_id": "b"}') == {"account_id": "b"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": 1} x',
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' + b"[" * 400_000,
    ],
)
def test_what_is_not_a_json_object_of_some_depth_is_malformed(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        edge.json_object(body)
    assert (refused.value.status, refused.value.slug) == (400, "malformed")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_malformed(body: bytes) -> None:
    try:
        assert isinstance(edge.json_object(body), dict)
    except BadRequest as refused:
        slug = refused.slug
    else:
        return
    assert slug == "malformed"


def test_nesting_up_to_the_limit_is_read() -> None:
    deep = b'{"a":' * edge.DEPTH_MAX + b"1" + b"}" * edge.DEPTH_MAX
    assert isinstance(edge.json_object(deep), dict)
