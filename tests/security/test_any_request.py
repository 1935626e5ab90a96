"""Whatever bytes are sent to whatever function, with the key or without it: no 500, and no secret in the answer.

Straight into the ASGI app, where a path, a query and headers are bytes that no client would send.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.emulators.gmail import GmailEmulator
from shared.status.routes import ROUTES
from shared.wiring import Wiring
from tests import world
from tests.conftest import RedisRest
from tests.functions.stand import API_KEY, environment, loaded

EXAMPLES = 25  # of each function
FUNCTIONS = sorted({route.function for route in ROUTES})
PATHS = sorted({route.path.replace("{account_id}", "a1").replace("{thread_id}", "t1").encode() for route in ROUTES})
HEADERS = [b"content-type", b"content-length", b"cookie", b"accept", b"origin", b"host", b"authorization", b"x"]
VALUES = [
    b"",
    b"-1",
    b"99999999999999999999",
    b"text/html",
    b"null",
    b"a=b; tidemark-status=x.y",
    b"Bearer a.b.c",
    b"[",
    b"localhost",
]

bytes_of_a_body = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"", b"{}", b"[]", b"null", b"[" * 5000, b"\xff", b'{"account_id": "\\ud800"}', b"a=1&a=2"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
        max_leaves=6,
    ).map(lambda value: repr(value).replace("'", '"').encode("utf-8", "replace")),
)
headers = st.lists(st.tuples(st.sampled_from(HEADERS), st.sampled_from(VALUES) | st.binary(max_size=40)), max_size=4)


@pytest.fixture(scope="module")
def app(redis_rest: RedisRest, gmail_session: tuple[GmailEmulator, str]) -> Iterator[tuple[Any, asyncio.Runner]]:
    redis_rest.bridge.reset()
    variables = environment(redis_rest, *gmail_session)
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        made = loaded(variables)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield made, runner
        runner.run(_closed())


async def _closed() -> None:
    await Wiring.current().close()


async def asked(app: Any, scope: dict[str, Any], chunks: list[bytes]) -> tuple[int, bytes]:
    """Status, and head and body as one."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await app(scope, receive, send)
    head = b"".join(name + value for name, value in told[0]["headers"])
    return told[0]["status"], head + b"".join(each.get("body", b"") for each in told[1:])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_bytes_make_a_500_or_a_secret(app: tuple[Any, asyncio.Runner], function: str) -> None:
    asgi, runner = app
    known = [path for path in PATHS if path.split(b"/")[1] == function.encode()]
    anything = st.binary(max_size=60).map(lambda rest: f"/{function}/".encode() + rest.replace(b"?", b""))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "\x7f"]),
        st.sampled_from(known) | anything,
        st.binary(max_size=80) | st.sampled_from([b"account_id=a1&wait=0", b"validationToken=%ff", b"link=v1.a.b"]),
        headers,
        st.booleans(),
        st.lists(bytes_of_a_body, max_size=2),
    )
    def run(method: str, path: bytes, query: bytes, given_headers: Any, key: bool, chunks: list[bytes]) -> None:
        if key:
            given_headers = [*given_headers, (b"authorization", f"Bearer {API_KEY}".encode())]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path.decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "headers": given_headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
        }
        status, told = runner.run(asked(asgi, scope, chunks))
        assert status != 500
        assert status < 600
        assert not any(secret.encode() in told for secret in (API_KEY, world.KEY, "local-secret", "redis-token"))

    run()
