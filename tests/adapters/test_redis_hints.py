"""Storing a push: who is woken, and that a lost reply wakes nobody less. What is counted: tests/functions."""

from collections.abc import AsyncIterator

import pytest

from infra.emulators.upstash_faults import Kind
from shared.adapters import redis_keys as keys
from shared.adapters.light_http import LightHttp
from shared.adapters.redis_hints import RedisHints
from tests.conftest import RedisRest

LOST: tuple[Kind, ...] = ("drop_request", "drop_reply", "truncate")


@pytest.fixture
async def hints(redis: RedisRest) -> AsyncIterator[RedisHints]:
    redis.valkey.call("HSET", keys.ADDRESSES, "gmail|hmac", "a1")
    for account_id in ("a1", "a2"):
        redis.valkey.call("HSET", keys.of(account_id, "account"), "state", "active", "hints", "0")
    http = LightHttp()
    yield RedisHints(http, redis.url, redis.token)
    if http._life is not None:
        await http._life.aclose()


@pytest.mark.parametrize("kind", [None, *LOST])
async def test_a_push_wakes_its_mailbox_though_the_reply_was_lost(
    hints: RedisHints, redis: RedisRest, kind: Kind | None
) -> None:
    if kind:
        redis.bridge.inject(kind)
    assert await hints.gmail(["other", "hmac"], 5) == ["a1"]
    assert await hints.gmail(["hmac"], 6) == []


@pytest.mark.parametrize("kind", [None, *LOST])
async def test_notifications_wake_their_mailboxes_though_the_reply_was_lost(
    hints: RedisHints, redis: RedisRest, kind: Kind | None
) -> None:
    redis.valkey.call("SET", keys.of("a2", "called"), "another push")
    if kind:
        redis.bridge.inject(kind)
    items = [("a1", "", "s"), ("a2", "", "s")]
    assert await hints.outlook(items) == ["a1"]
    assert await hints.outlook(items) == []


async def test_a_mailbox_that_is_worked_on_is_not_woken(hints: RedisHints, redis: RedisRest) -> None:
    redis.valkey.call("SET", keys.of("a1", "lease"), "somebody")
    assert await hints.gmail(["hmac"], 5) == []
    assert redis.valkey.call("EXISTS", keys.of("a1", "called")) == 0
