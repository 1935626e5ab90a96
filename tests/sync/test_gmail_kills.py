"""The process killed after any single I/O step, and Redis' replies lost: nothing is lost, nothing comes twice."""

from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, Killed, raw

Scenario = Callable[[GmailWorld], Awaitable[str]]


async def first_sync(world: GmailWorld) -> str:
    world.fill(30)
    return await world.connect()


async def changes(world: GmailWorld) -> str:
    ids = world.fill(12)
    account_id = await world.connect()
    await world.dry(account_id)
    world.gmail.relabel(ADDRESS, *ids[:4], add=["STARRED"], remove=["UNREAD"])
    world.gmail.delete(ADDRESS, ids[5])
    world.gmail.trash(ADDRESS, ids[6])
    for n in range(3):
        world.gmail.deliver(ADDRESS, raw(100 + n))
    return account_id


async def expired_history(world: GmailWorld) -> str:
    account_id = await changes(world)
    world.gmail.expire_history(ADDRESS)
    return account_id


async def asked_for_a_snapshot(world: GmailWorld) -> str:
    account_id = await changes(world)
    await world.wiring.ask_resync(account_id, content=True)
    return account_id


async def poison(world: GmailWorld) -> str:
    ids = world.fill(8)
    account_id = await world.connect()
    world.gmail.set_fault("backend_error", message_id=ids[3], times=4)
    return account_id


async def expired_token(world: GmailWorld) -> str:
    account_id = await changes(world)
    world.gmail.identity.expire_access(ADDRESS)
    world.clock.skip(4000)
    return account_id


SCENARIOS = [first_sync, changes, expired_history, asked_for_a_snapshot, poison, expired_token]


async def io_steps(redis: RedisRest, scenario: Scenario) -> int:
    """How many I/O steps the scenario takes when nothing goes wrong."""
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id = await scenario(world)
        world.steps.clear()
        await world.sync(account_id)
        return len(world.steps)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_kill_at_any_io_step_loses_nothing(redis: RedisRest, scenario: Scenario) -> None:
    steps = await io_steps(redis, scenario)
    assert steps >= 6
    for step in range(1, steps + 1):
        redis.valkey.call("FLUSHALL")
        async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
            account_id = await scenario(world)
            world.steps.clear()
            world.kill_at = step
            with pytest.raises(Killed):
                await world.sync(account_id)
            world.expire_lease(account_id)
            await world.dry(account_id)
            await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize("kind", ["drop_reply", "drop_request", "truncate", "garbage", "refuse"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_lost_reply_of_redis_changes_nothing(world: GmailWorld, kind: str, nth: int) -> None:
    account_id = await changes(world)
    world.redis.bridge.inject(kind, nth=nth)
    result = await world.sync(account_id)
    assert result["status"] == "synced"
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
