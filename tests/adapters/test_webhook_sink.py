"""A batch on its way to the app: signed, sent to a checked address and nowhere else, and answered somehow."""

import ssl
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import orjson
import pytest
import respx
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from shared.adapters import webhook_sink
from shared.adapters.clock import SystemClock
from shared.adapters.http_client import HttpClient, ssl_context
from shared.adapters.webhook_sink import WebhookSink
from shared.core.delivery import Answer
from tests.receiver import OLD_SECRET, SECRET, Receiver
from tests.world import settings

EVENTS = [{"specversion": "1.0", "id": "a1.e1.1", "data": {"subject": "Grüße"}}]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def sink(url: str, addresses: Sequence[str] | None = None, **environment: str) -> WebhookSink:
    given = {"WEBHOOK_URL": url, "WEBHOOK_SECRETS": SECRET, **environment}

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses or ()

    clock = SystemClock()
    if addresses is None:
        return WebhookSink(settings(**given), HttpClient(), clock)
    return WebhookSink(settings(**given), HttpClient(), clock, resolve)


async def sent(receiver: Receiver, **environment: str) -> Answer:
    return await sink(receiver.url, **{"WEBHOOK_ALLOW_PRIVATE": "true", **environment}).send("a1_e1_1-1", EVENTS, 0)


async def test_the_library_verifies_a_batch(receiver: Receiver) -> None:
    assert await sent(receiver) == Answer(200)
    (came,) = receiver.requests
    assert Webhook(SECRET).verify(came.body, came.headers) == EVENTS
    assert came.headers["content-type"] == "application/cloudevents-batch+json"
    assert (came.path, came.id) == ("/hook", "a1_e1_1-1")
    assert came.headers["host"] == receiver.url.split("/")[2]


async def test_a_query_of_the_url_is_kept(receiver: Receiver) -> None:
    """Many endpoints tell their callers apart by it."""
    url = f"{receiver.url}?tenant=a%20b&x=/"
    assert await sink(url, WEBHOOK_ALLOW_PRIVATE="true").send("a1_e1_1-1", EVENTS, 0) == Answer(200)
    (came,) = receiver.requests
    assert came.path == "/hook?tenant=a%20b&x=/"


async def test_a_tampered_body_id_or_time_fails(receiver: Receiver) -> None:
    await sent(receiver)
    (came,) = receiver.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(came.body.replace(b"a1", b"a2"), came.headers)
    for name, value in {
        "webhook-id": "a1_e1_2-2",
        "webhook-timestamp": str(int(came.headers["webhook-timestamp"]) + 1),
    }.items():
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(came.body, {**came.headers, name: value})
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD_SECRET).verify(came.body, came.headers)


async def test_while_a_secret_is_replaced_both_verify(receiver: Receiver) -> None:
    await sent(receiver, WEBHOOK_SECRETS=f"{SECRET},{OLD_SECRET}")
    (came,) = receiver.requests
    for secret in (SECRET, OLD_SECRET):
        Webhook(secret).verify(came.body, came.headers)
    newest, oldest = came.headers["webhook-signature"].split(" ")
    assert newest != oldest
    Webhook(SECRET).verify(came.body, {**came.headers, "webhook-signature": newest})


@pytest.mark.parametrize("status", [204, 301, 307, 404, 410, 500])
async def test_the_status_is_the_answer_and_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers, receiver.headers = [status], {"location": receiver.url + "/elsewhere"}
    assert await sent(receiver) == Answer(status)
    assert [came.path for came in receiver.requests] == ["/hook"]


async def test_retry_after_is_told(receiver: Receiver) -> None:
    receiver.answers, receiver.headers = [429], {"retry-after": "120"}
    assert await sent(receiver) == Answer(429, retry_after_s=120.0)


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}])
async def test_the_answers_body_is_no_matter_however_long_or_broken(
    receiver: Receiver, headers: dict[str, str]
) -> None:
    receiver.body, receiver.headers = b"x" * (webhook_sink.ANSWER_BYTES_MAX * 40), headers
    assert await sent(receiver) == Answer(200)


async def test_nobody_at_home_is_an_answer(receiver: Receiver) -> None:
    url = receiver.url
    receiver._server.stop()
    answer = await sink(url, WEBHOOK_ALLOW_PRIVATE="true").send("b", EVENTS, 0)
    assert answer == Answer(0, "no_answer")


async def test_a_private_address_is_not_connected_to(receiver: Receiver) -> None:
    assert await sink(receiver.url).send("b", EVENTS, 0) == Answer(0, "address_forbidden")
    assert receiver.requests == []


@pytest.mark.parametrize("private", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"])
async def test_one_private_address_among_public_ones_is_enough(private: str) -> None:
    answer = await sink("https://app.example/hook", ["1.1.1.1", private]).send("b", EVENTS, 0)
    assert answer == Answer(0, "address_forbidden")


@pytest.mark.parametrize("fault", [OSError(), UnicodeError(), None])
async def test_a_name_that_does_not_resolve_is_an_answer(fault: Exception | None) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if fault:
            raise fault
        return ()

    given = settings(WEBHOOK_URL="https://app.example", WEBHOOK_SECRETS=SECRET)
    answer = await WebhookSink(given, HttpClient(), SystemClock(), resolve).send("b", EVENTS, 0)
    assert answer == Answer(0, "name_not_resolved")


@respx.mock
async def test_the_address_that_was_checked_is_connected_to_under_the_name_that_was_asked_for() -> None:
    """A name that resolves to another address a moment later (DNS rebinding) is not asked again."""
    route = respx.post("https://1.1.1.1:8443/in").respond(200)
    other = respx.post("https://[2606:4700::1111]:8443/in").respond(503)
    of = sink("https://app.example:8443/in", ["1.1.1.1", "2606:4700::1111"])
    assert await of.send("b", EVENTS, 0) == Answer(200)
    request = route.calls.last.request
    assert request.headers["host"] == "app.example:8443"
    assert request.extensions["sni_hostname"] == "app.example"
    assert orjson.loads(request.content) == EVENTS
    assert await of.send("b", EVENTS, 1) == Answer(503), "another attempt takes another address"
    assert other.called


async def test_the_certificate_is_checked_against_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The TLS handshake itself, up to where the name goes in: what is sent to 127.0.0.1 asks for app.example."""
    asked: list[Any] = []

    def wrap(self: ssl.SSLContext, *args: Any, server_hostname: str | None = None, **more: Any) -> Any:
        asked.append(server_hostname)
        raise ssl.SSLError("seen")

    monkeypatch.setattr(ssl.SSLContext, "wrap_bio", wrap)
    with Receiver() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        of = sink(f"https://app.example:{port}/hook", ["127.0.0.1"], WEBHOOK_ALLOW_PRIVATE="true")
        assert await of.send("b", EVENTS, 0) == Answer(0, "no_answer")
    assert asked == [b"app.example"]
    assert ssl_context().check_hostname


async def test_an_address_that_no_url_can_hold_is_an_answer() -> None:
    of = sink("https://app.example", ["fe80::1%eth 0"], WEBHOOK_ALLOW_PRIVATE="true")
    assert (await of.send("b", EVENTS, 0)).status == 0


async def test_localhost_is_resolved_for_real() -> None:
    assert set(await webhook_sink.resolved("localhost", 80)) <= {"127.0.0.1", "::1"}
    assert httpx.URL("https://[::1]:443").host == "::1"
