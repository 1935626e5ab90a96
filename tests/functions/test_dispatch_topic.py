"""DISPATCH=pubsub from a message's arrival to the log: Gmail's push, our topic, its push at the sync function."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.emulators.gmail import GmailEmulator
from infra.emulators.pubsub import Subscription
from infra.emulators.pubsub_token import FORGERIES
from shared import push_wiring
from shared.adapters import dispatch
from tests.functions.stand import Stand, assert_problem
from tests.world import raw

TOPIC, HINTS = "projects/tidemark-local/topics/gmail", "projects/tidemark-local/topics/hints"
AUDIENCE = "https://tidemark.example/push-webhook/gmail"
ACCOUNT = Subscription("", "", "").service_account
WAIT_MAX_S = 30.0


Made = Callable[..., Stand]


@pytest.fixture
def made(
    stand_with: Callable[..., Stand], gmail_session: tuple[GmailEmulator, str], monkeypatch: pytest.MonkeyPatch
) -> Made:
    """Functions that publish, if they do, to the stand-in's Pub/Sub under the environment's identity."""
    _, url = gmail_session

    async def token() -> str:
        return "ya29.environment"

    monkeypatch.setattr(push_wiring, "_google_token", token)
    monkeypatch.setattr(dispatch, "PUBSUB_URL", f"{url}/v1")

    def make(how: str, topic: str = TOPIC) -> Stand:
        return stand_with(
            DISPATCH=how,
            DISPATCH_PUBSUB_TOPIC=HINTS,
            GMAIL_PUBSUB_TOPIC=topic,
            PUBSUB_AUDIENCE=AUDIENCE,
            PUBSUB_SERVICE_ACCOUNT=ACCOUNT,
            GOOGLE_CERTS_URL=f"{url}/oauth2/v1/certs",
            INITIAL_SYNC_MESSAGES="all",
        )

    return make


@pytest.fixture
def subscribe(gmail: GmailEmulator) -> Iterator[Callable[..., Subscription]]:
    def to(topic: str, endpoint: str, **knobs: Any) -> Subscription:
        name = f"projects/tidemark-local/subscriptions/{endpoint.rpartition('/')[2]}"
        return gmail.subscribe(topic, endpoint, name=name, audience=AUDIENCE, **knobs)

    yield to
    gmail.pubsub.subscriptions.clear()


def bearer(gmail: GmailEmulator, forge: str | None = None) -> dict[str, str]:
    subscription = Subscription("", HINTS, "", audience=AUDIENCE, forge=forge)
    return {} if forge == "no_token" else {"authorization": f"Bearer {gmail.pubsub._token(subscription)}"}


def test_a_push_becomes_a_sync_through_the_topic(made: Made, subscribe: Callable[..., Subscription]) -> None:
    stand = made("pubsub")
    url = stand.server.url
    subscribe(TOPIC, f"{url}/push-webhook/gmail")
    for provider in ("gmail", "outlook"):
        wanted = f'attributes.provider = "{provider}"'
        subscribe(HINTS, f"{url}/{provider}-sync", wrapped=False, filter=wanted)
    address = stand.mailbox()
    account_id = stand.connect(address)
    stand.gmail.clock.advance(1.1)  # Gmail tells of no two things within a second, and the watch was one
    message_id = stand.gmail.deliver(address, raw(1))
    ends_s = time.monotonic() + WAIT_MAX_S
    while message_id not in stand.folded(account_id):
        assert time.monotonic() < ends_s, stand.gmail.pubsub.answers
        time.sleep(0.02)
    assert {status for _, status in stand.gmail.pubsub.answers} <= {200, 204}
    assert "Bearer" not in str(stand.stored())


@pytest.mark.parametrize("forge", [each for each in FORGERIES if each != "skew"])
def test_a_forged_push_of_the_topic_calls_nothing(made: Made, gmail: GmailEmulator, forge: str) -> None:
    stand = made("pubsub")
    before = stand.redis.bridge.stats.requests
    for function in ("gmail-sync", "outlook-sync"):
        answer = stand.anonymous.post(f"/{function}", json={"account_id": "a1"}, headers=bearer(gmail, forge))
        assert_problem(answer, 401, "unauthorized")
        assert "www-authenticate" in answer.headers
    assert stand.redis.bridge.stats.requests == before


def test_what_the_topic_says_is_held_to_the_same_rules(made: Made, gmail: GmailEmulator) -> None:
    stand = made("pubsub")
    genuine = bearer(gmail)
    for body, status in ((b'{"account_id": "nobody"}', 404), (b'{"message": {}}', 400), (b"{}", 200)):
        assert stand.anonymous.post("/gmail-sync", content=body, headers=genuine).status_code == status
    assert stand.anonymous.get("/accounts", headers=genuine).status_code == 401
    assert stand.ping()["status"] == "swept"  # the key is one all the same


def test_without_the_topic_only_the_key_opens_a_sync_function(made: Made, gmail: GmailEmulator) -> None:
    answer = made("inline").anonymous.post("/gmail-sync", json={"account_id": "a1"}, headers=bearer(gmail))
    assert_problem(answer, 401, "unauthorized")


def test_without_gmails_topic_the_dispatch_topic_works_and_gmails_pushes_prove_nothing(
    made: Made, gmail: GmailEmulator
) -> None:
    stand = made("pubsub", topic="")
    assert stand.anonymous.post("/outlook-sync", headers=bearer(gmail)).status_code == 200
    assert_problem(stand.anonymous.post("/push-webhook/gmail", headers=bearer(gmail)), 401, "unauthorized")
