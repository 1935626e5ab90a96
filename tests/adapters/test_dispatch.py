"""How a hint becomes a sync, three ways; and that none of them holds up or fails an answer."""

import asyncio
import base64
from typing import Any

import orjson
import pytest

from shared.adapters import dispatch
from shared.adapters.dispatch import Dispatch
from shared.core.errors import ProviderDown
from shared.protocol.wire import Response
from tests.world import settings

PLENTY_S = 60.0
TOPIC = "projects/p/topics/hints"


class Http:
    """Answers after `slow_s`, and keeps what it was sent."""

    def __init__(self, status: int = 200, slow_s: float = 0.0) -> None:
        self.sent: list[tuple[str, dict[str, str], Any]] = []
        self._status, self._slow_s = status, slow_s
        self.answered = 0

    async def send(
        self, method: str, url: str, headers: dict[str, str], body: bytes, *, timeout_s: float, body_bytes_max: int
    ) -> Response:
        self.sent.append((url, headers, orjson.loads(body)))
        await asyncio.sleep(self._slow_s)
        self.answered += 1
        if not self._status:
            raise ProviderDown("no answer")
        return Response(self._status, {}, b"{}")


def made(
    http: Http, woken: list[tuple[str, str]] | None = None, wake: dispatch.Wake | None = None, **environment: str
) -> Dispatch:
    async def noted(provider: str, account_id: str) -> None:
        if woken is None:
            raise RuntimeError("broken")
        woken.append((provider, account_id))

    async def token() -> str:
        return "ya29.token"

    return Dispatch(settings(**environment), http, wake or noted, token)


async def idle(of: Dispatch) -> None:
    for _ in range(500):
        if not of.under_way:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("something is still under way")


async def test_inline_begins_after_the_answer() -> None:
    woken: list[tuple[str, str]] = []
    http = Http()
    of = made(http, woken)
    await of.before_the_answer("gmail", ["a1"], PLENTY_S)
    await asyncio.sleep(0.02)
    assert woken == []
    await of.after_the_answer("gmail", ["a1", "a2"])
    await idle(of)
    assert (woken, http.sent) == ([("gmail", "a1"), ("gmail", "a2")], [])


async def test_mailboxes_that_take_long_do_not_keep_another_waiting() -> None:
    begun: list[str] = []
    last = asyncio.Event()

    async def wake(provider: str, account_id: str) -> None:
        begun.append(account_id)
        await last.wait()

    of = made(Http(), wake=wake)
    names = [f"a{n}" for n in range(dispatch.AT_ONCE + 5)]
    await of.after_the_answer("gmail", names)
    await asyncio.sleep(0.02)
    assert begun == names[: dispatch.AT_ONCE]
    last.set()
    await idle(of)
    assert begun == names


async def test_http_calls_the_providers_function_with_the_key() -> None:
    http = Http()
    of = made(http, DISPATCH="http", GMAIL_SYNC_URL="https://g.example/sync", OUTLOOK_SYNC_URL="https://o.example")
    await of.before_the_answer("gmail", ["a1"], PLENTY_S)
    await of.before_the_answer("outlook", ["a2"], PLENTY_S)
    await of.after_the_answer("gmail", ["a1"])
    assert [(url, body) for url, _, body in http.sent] == [
        ("https://g.example/sync", {"account_id": "a1"}),
        ("https://o.example", {"account_id": "a2"}),
    ]
    assert http.sent[0][1]["authorization"] == "Bearer api-key"


async def test_a_provider_without_a_url_waits_for_the_next_ping() -> None:
    http = Http()
    of = made(http, DISPATCH="http", GMAIL_SYNC_URL="https://g.example/sync")
    await of.before_the_answer("outlook", ["a2"], PLENTY_S)
    assert http.sent == []


@pytest.mark.parametrize(("most_s", "within_s"), [(0.05, PLENTY_S), (PLENTY_S, 0.05), (PLENTY_S, -1.0)])
async def test_a_sync_that_takes_its_time_holds_up_no_answer(
    monkeypatch: pytest.MonkeyPatch, most_s: float, within_s: float
) -> None:
    monkeypatch.setattr(dispatch, "WAIT_MAX_S", most_s)
    http = Http(slow_s=0.3)
    of = made(http, DISPATCH="http", GMAIL_SYNC_URL="https://g.example/sync")
    await of.before_the_answer("gmail", ["a1"], within_s)
    assert (len(http.sent), http.answered) == (1, 0)
    await idle(of)
    assert http.answered == 1


async def test_pubsub_publishes_the_account() -> None:
    http = Http()
    of = made(http, DISPATCH="pubsub", DISPATCH_PUBSUB_TOPIC=TOPIC)
    await of.before_the_answer("gmail", ["a1"], PLENTY_S)
    ((url, headers, body),) = http.sent
    assert url == f"https://pubsub.googleapis.com/v1/{TOPIC}:publish"
    assert headers["authorization"] == "Bearer ya29.token"
    (message,) = body["messages"]
    assert orjson.loads(base64.b64decode(message["data"])) == {"account_id": "a1"}
    assert message["attributes"] == {"provider": "gmail", "account_id": "a1"}


@pytest.mark.parametrize("status", [0, 401, 503])
async def test_what_fails_is_logged_and_fails_nothing(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    of = made(Http(status), DISPATCH="http", GMAIL_SYNC_URL="https://g.example/sync")
    await of.before_the_answer("gmail", ["a1"], PLENTY_S)
    broken = made(Http())
    await broken.after_the_answer("gmail", ["a1"])
    await idle(broken)
    assert capsys.readouterr().err.count("dispatch_failed") == 2
