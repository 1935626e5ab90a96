"""How many looks pushes cost, and how far they are apart, in virtual time over a real store."""

from collections.abc import AsyncIterator

import pytest

from infra.emulators.gmail.settings import Settings as GmailSettings
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.renewal_world import ADDRESS, stored
from tests.world import GmailWorld, raw


@pytest.fixture
async def world(redis: RedisRest) -> AsyncIterator[GmailWorld]:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as made:
        yield made


def histories(world: GmailWorld) -> int:
    return int(world.gmail.counters()["calls"].get("history.list", 0))


async def synced(world: GmailWorld) -> str:
    account_id = await world.connect()
    await world.dry(account_id)
    world.clock.skip(60)
    world.gmail.reset_counters()
    return account_id


def pushed(
    world: GmailWorld | OutlookWorld, account_id: str, history_id: int | None = None, *, call: bool = True
) -> None:
    """As the store is after a push; `call`: somebody is on the way."""
    redis, key = world.redis.valkey, f"td:{account_id}:account"
    redis.call("HINCRBY", key, "pushes", "1")
    if history_id is None or history_id > int(stored(world.redis, account_id, "reached") or "0"):
        redis.call("HINCRBY", key, "hints", "1")
        if history_id is not None:
            redis.call("HSET", key, "hint_history", str(history_id))
    if call:
        redis.call("SET", f"td:{account_id}:called", "1", "PX", "10000")


async def test_a_push_with_news_costs_one_look_now_and_one_a_second_later(world: GmailWorld) -> None:
    account_id = await synced(world)
    world.gmail.deliver(ADDRESS, raw(1))
    pushed(world, account_id, world.gmail.history_id(ADDRESS))
    began_s = world.clock.now_s()
    result = await world.sync(account_id)
    assert (result["count"], histories(world)) == (1, 2)
    assert 1.0 <= world.clock.now_s() - began_s < 1.5
    assert stored(world.redis, account_id, "pushes_served") == "1"
    assert (await world.sync(account_id))["duration_s"] < 1.0


async def test_a_stale_push_costs_one_look_a_second_later(world: GmailWorld) -> None:
    account_id = await synced(world)
    pushed(world, account_id, 1)
    result = await world.sync(account_id)
    assert (result["status"], histories(world)) == ("no_new_messages", 1)
    assert result["duration_s"] >= 0.9


async def test_a_history_id_that_is_never_shown_is_given_up(world: GmailWorld) -> None:
    account_id = await synced(world)
    pushed(world, account_id, 10**12)
    await world.sync(account_id)
    assert histories(world) == 4
    assert stored(world.redis, account_id, "hint_given_up") == str(10**12)
    assert stored(world.redis, account_id, "hint_history") == ""
    await world.sync(account_id)
    assert histories(world) == 5


async def test_history_that_shows_late_is_read_when_it_shows(redis: RedisRest) -> None:
    async with GmailWorld(
        redis, emulator=GmailSettings(history_visible_after_s=1.5), INITIAL_SYNC_MESSAGES="all"
    ) as world:
        account_id = await synced(world)
        message_id = world.gmail.deliver(ADDRESS, raw(1))
        pushed(world, account_id, world.gmail.history_id(ADDRESS))
        assert (await world.sync(account_id))["count"] == 1
        assert message_id in await world.folded(account_id)


async def test_pushes_during_a_sync_are_served_by_one_more_look(world: GmailWorld) -> None:
    account_id = await synced(world)
    world.gmail.deliver(ADDRESS, raw(1))
    pushed(world, account_id, world.gmail.history_id(ADDRESS))
    skip, left = world.clock.skip, [200]

    def busy(seconds: float) -> None:
        """Two hundred pushes while the sync waits for its late look."""
        skip(seconds)
        while left[0]:
            left[0] -= 1
            pushed(world, account_id, call=False)

    world.clock.skip = busy  # type: ignore[method-assign]
    await world.sync(account_id)
    assert histories(world) <= 3
    assert stored(world.redis, account_id, "served") == stored(world.redis, account_id, "hints")


async def test_pushes_that_keep_coming_put_the_late_look_off_but_not_for_ever(world: GmailWorld) -> None:
    account_id = await synced(world)
    pushed(world, account_id, 1)
    skip, left = world.clock.skip, [30]

    def busy(seconds: float) -> None:
        skip(seconds)
        if left[0]:
            left[0] -= 1
            pushed(world, account_id, 1, call=False)

    world.clock.skip = busy  # type: ignore[method-assign]
    began_s = world.clock.now_s()
    await world.sync(account_id)
    assert world.clock.now_s() - began_s > 25
    assert histories(world) <= 5


async def test_no_look_is_owed_where_the_time_is_over(world: GmailWorld) -> None:
    account_id = await synced(world)
    world.gmail.deliver(ADDRESS, raw(1))
    pushed(world, account_id, world.gmail.history_id(ADDRESS))
    wiring = world.instance(MAX_SYNC_DURATION="0.5")
    assert (await world.sync(account_id, wiring))["count"] == 1
    assert histories(world) == 1
    assert stored(world.redis, account_id, "pushes_served") == "0"


async def test_outlook_is_looked_at_once_a_second_at_most(redis: RedisRest) -> None:
    async with OutlookWorld(redis) as world:
        account_id = await world.connect()
        await world.dry(account_id)
        pushed(world, account_id)
        assert (await world.sync(account_id))["duration_s"] >= 1.0  # with its late look
        pushed(world, account_id)
        began_s = world.clock.now_s()
        await world.sync(account_id)
        assert 0.8 <= world.clock.now_s() - began_s < 2.0
