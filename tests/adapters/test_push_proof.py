"""Certificates of push tokens: how long they serve, when they are fetched again, and who can make that happen."""

import orjson
import pytest

from infra.emulators.clock import Clock
from infra.emulators.google_keys import GoogleKeys
from infra.emulators.pubsub import PubSub, Subscription
from shared.adapters.push_proof import REFETCHES, RETRY_S, STALE_S, PushProof
from shared.core.errors import BadRequest, ProviderDown
from shared.protocol.wire import Response
from tests.world import settings

TOPIC = "projects/tidemark-local/topics/gmail"
AUDIENCE = "https://tidemark.example/push"
ACCOUNT = Subscription("", "", "").service_account


class Stand:
    """Google's keys, and how often they were asked for; `age_s` moves the age of certificates."""

    def __init__(self, **changes: str) -> None:
        self.keys = GoogleKeys()
        self.pubsub = PubSub(Clock(), self.keys)
        self.fetched = 0
        self.age_s = 0.0
        self.down = False
        self.body: bytes | None = None
        self.max_age = "public, max-age=21600, must-revalidate"
        given = {"GMAIL_PUBSUB_TOPIC": TOPIC, "PUBSUB_AUDIENCE": AUDIENCE, "PUBSUB_SERVICE_ACCOUNT": ACCOUNT} | changes
        self.proof = PushProof(settings(**given), self._fetch, self.pubsub.clock.now_s, lambda: self.age_s)

    async def _fetch(self) -> Response:
        self.fetched += 1
        if self.down:
            raise ProviderDown("no answer")
        body = orjson.dumps(self.keys.certs_v1()) if self.body is None else self.body
        return Response(200, {"cache-control": self.max_age}, body)

    def token(self, forge: str | None = None) -> str:
        return self.pubsub._token(Subscription("", TOPIC, "", audience=AUDIENCE, forge=forge))

    async def proven(self, forge: str | None = None) -> bool:
        refused = None
        try:
            await self.proof.check(f"Bearer {self.token(forge)}")
        except BadRequest as error:
            refused = error
        assert refused is None or refused.status == 401
        return refused is None


async def test_certificates_serve_as_long_as_their_answer_says() -> None:
    stand = Stand()
    assert await stand.proven()
    stand.age_s = 21_599
    assert await stand.proven()
    assert stand.fetched == 1
    stand.age_s = 21_600
    assert await stand.proven()
    assert stand.fetched == 2


async def test_without_an_age_they_serve_an_hour() -> None:
    stand = Stand()
    stand.max_age = ""
    assert await stand.proven()
    stand.age_s = 3_599
    assert await stand.proven()
    stand.age_s = 3_600
    assert await stand.proven()
    assert stand.fetched == 2


async def test_a_new_key_is_fetched_once_and_a_stranger_cannot_ask_for_more() -> None:
    stand = Stand()
    assert await stand.proven()
    stand.keys.rotate()
    assert await stand.proven()
    assert stand.fetched == 2
    for _ in range(10):
        assert not await stand.proven("unknown_kid")
    assert stand.fetched == 3
    for _ in range(10):
        stand.keys._foreign = None
        assert not await stand.proven("unknown_kid")
    assert stand.fetched == 1 + REFETCHES


@pytest.mark.parametrize("forge", ["wrong_aud", "wrong_email", "wrong_iss", "email_unverified", "expired", "future"])
async def test_what_needs_no_key_is_refused_without_one(forge: str) -> None:
    stand = Stand()
    assert not await stand.proven(forge)
    assert stand.fetched == 0


async def test_without_configuration_nothing_is_proven() -> None:
    for name in ("PUBSUB_AUDIENCE", "PUBSUB_SERVICE_ACCOUNT"):
        stand = Stand(**{name: ""})
        assert not await stand.proven()
        assert stand.fetched == 0


async def test_an_outage_of_the_certificates_lets_nobody_in_and_forgets_nobody_at_once() -> None:
    stand = Stand()
    stand.down = True
    assert not await stand.proven()
    assert not await stand.proven()
    assert stand.fetched == 1
    stand.down = False
    stand.age_s = RETRY_S
    assert await stand.proven()
    stand.down = True
    stand.age_s += 21_600
    assert await stand.proven()
    stand.age_s += STALE_S
    assert not await stand.proven()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"kid":"no certificate"}', b'{"kid":5}', b"<html>"])
async def test_an_answer_without_certificates_is_an_outage(body: bytes) -> None:
    stand = Stand()
    stand.body = body
    assert not await stand.proven()
