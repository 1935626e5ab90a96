"""Months of a mailbox in seconds: virtual time, hourly pings, pushes that are lost, doubled and late, restarts.

What the stand-ins push is stored as hints by the real intake; who is to be woken is synced by the real wiring, in the
order of virtual time. Only push-webhook's HTTP is left out (tests/functions has it).
"""

import base64
import random
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from infra.emulators.server import Server
from shared.adapters.client_state import client_state_keys
from shared.adapters.light_http import LightHttp
from shared.adapters.redis_hints import RedisHints
from shared.sync import intake
from shared.wiring import Wiring
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, SkippingClock

TOPIC = "projects/tidemark-local/topics/gmail"
PUSH: dict[str, Any] = {
    "GMAIL_PUBSUB_TOPIC": TOPIC,
    "PUBSUB_AUDIENCE": "https://tidemark.example",
    "PUBSUB_SERVICE_ACCOUNT": "push@example.iam.gserviceaccount.com",
    "LOG_RETENTION_DAYS": "3660",
}
HOUR_S = 3600.0


class Pushes:
    """What a provider sends: kept until `arrive`, some of it lost, doubled, or late by up to an hour."""

    def __init__(self, redis: RedisRest, clock: SkippingClock, seed: int, *, loss: float, double: float) -> None:
        self.hints = RedisHints(LightHttp(), redis.url, redis.token)
        self._clock, self._rng, self._loss, self._double = clock, random.Random(f"pushes-{seed}"), loss, double
        self._waiting: list[tuple[float, bytes]] = []

    def send(self, body: bytes) -> None:
        for _ in range(2 if self._rng.random() < self._double else 1):
            if self._rng.random() >= self._loss:
                late_s = self._rng.choice([0.1, 0.5, 30.0, HOUR_S])
                self._waiting.append((self._clock.now_s() + late_s, body))

    async def arrive(self, take: Callable[[bytes], Awaitable[list[str]]]) -> list[str]:
        """Stores what is due; the accounts to be woken."""
        now_s = self._clock.now_s()
        due = [body for due_s, body in self._waiting if due_s <= now_s]
        self._waiting = [(due_s, body) for due_s, body in self._waiting if due_s > now_s]
        return [account_id for body in due for account_id in await take(body)]


def gmail_pushes(world: GmailWorld, seed: int = 1, *, loss: float = 0.0, double: float = 0.0) -> Pushes:
    """In the place of the stand-in's own Pub/Sub."""
    pushes = Pushes(world.redis, world.clock, seed, loss=loss, double=double)

    def publish(topic: str, said: dict[str, Any]) -> None:
        assert topic == TOPIC
        pushes.send(orjson.dumps({"message": {"data": base64.b64encode(orjson.dumps(said)).decode()}}))

    world.gmail.watches._publish = publish
    return pushes


async def take_gmail(wiring: Wiring, pushes: Pushes) -> list[str]:
    return await pushes.arrive(lambda body: intake.gmail(body, wiring.sealer.lookup, pushes.hints))


async def take_outlook(wiring: Wiring, pushes: Pushes) -> list[str]:
    keys = client_state_keys(wiring.settings.token_encryption_keys)
    return await pushes.arrive(lambda body: intake.outlook(body, keys, pushes.hints))


def endpoint(pushes: Callable[[], Pushes]) -> Server:
    """The notification URLs: they echo the handshake and keep the rest."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        token = request.query_params.get("validationToken")
        response: Response = Response(status_code=202)
        if token is not None:
            response = PlainTextResponse(token)
        else:
            pushes().send(await request.body())
        await response(scope, receive, send)

    return Server(answer)


def stored(redis: RedisRest, account_id: str, name: str) -> str:
    value = redis.valkey.call("HGET", f"td:{account_id}:account", name)
    return value.decode() if isinstance(value, bytes) else ""


async def ping(wiring: Wiring, provider: str) -> dict[str, Any]:
    answer = await wiring.answer_sync(provider, (), {})
    found: dict[str, Any] = orjson.loads(bytes(answer.body))
    return found


__all__ = ["ADDRESS", "HOUR_S", "PUSH", "TOPIC", "Pushes", "endpoint", "gmail_pushes", "ping", "stored"]
