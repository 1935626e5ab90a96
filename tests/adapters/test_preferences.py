"""Preferences between Redis and a process: cached for their time, and found again when the keys rotate."""

from collections.abc import AsyncIterator

import pytest

from infra.emulators.clock import Clock
from shared.adapters import redis_keys as keys
from shared.adapters.preferences import Preferences, UserPreferences
from shared.adapters.redis_client import RedisClient
from shared.adapters.sealing import Sealer
from tests.conftest import RedisRest
from tests.world import SkippingClock

OLD, NEW = b"o" * 32, b"n" * 32
OFF = Preferences(warm="off")


class Processes:
    """Instances that share a clock, and each a Redis client that is closed in the end."""

    def __init__(self, redis: RedisRest) -> None:
        self.clock = SkippingClock(Clock())
        self.client = RedisClient(redis.url, redis.token, self.clock)

    def __call__(self, *sealing: bytes) -> UserPreferences:
        return UserPreferences(self.client, Sealer(sealing or (OLD,)), self.clock, 1800.0)


@pytest.fixture
async def process(redis: RedisRest) -> AsyncIterator[Processes]:
    made = Processes(redis)
    yield made
    await made.client.close()


async def test_they_are_asked_for_once_in_their_time(redis: RedisRest, process: Processes) -> None:
    one, other = process(), process()
    assert await one.cached("u") == Preferences()
    await other.write("u", OFF)
    redis.bridge.reset()
    assert await one.cached("u") == Preferences()
    assert await other.cached("u") == OFF
    assert redis.bridge.stats.requests == 0
    process.clock.skip(1801)
    assert await one.cached("u") == OFF
    assert redis.bridge.stats.requests == 1


async def test_a_rotation_of_the_keys_loses_none_and_a_write_moves_them(redis: RedisRest, process: Processes) -> None:
    await process().write("u", OFF)
    rotated = process(NEW, OLD)
    assert await rotated.read("u") == OFF
    await rotated.write("u", Preferences(messages_max=3))
    assert redis.valkey.call("HLEN", keys.PREFERENCES) == 1
    assert await process(NEW).read("u") == Preferences(messages_max=3)


async def test_what_another_version_has_written_is_the_defaults(redis: RedisRest, process: Processes) -> None:
    name = Sealer([OLD]).names("user", "u")[0]
    redis.valkey.call("HSET", keys.PREFERENCES, name, '{"warm":"by moonlight"}')
    assert await process().read("u") == Preferences()


async def test_a_process_remembers_no_more_than_a_thousand(redis: RedisRest, process: Processes) -> None:
    of_users = process()
    for n in range(1001):
        of_users._remember(str(n), OFF)
    assert len(of_users._cached) == 1000
    assert "0" not in of_users._cached


async def test_a_lost_reply_writes_them_all_the_same(redis: RedisRest, process: Processes) -> None:
    redis.bridge.inject("drop_reply", match="EVAL", times=1)
    of_users = process()
    await of_users.write("u", OFF)
    assert await of_users.read("u") == OFF
