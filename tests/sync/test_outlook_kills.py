"""The process killed at any single I/O step, and Redis' replies lost: the log equals the mailbox, nothing comes twice.

Every sixth step is tried here; `make crash` kills real processes at each.
A kill may hit a page that is fetched ahead: then the sync itself goes on, and finds out when it asks for that page.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, Killed, raw

pytestmark = pytest.mark.whole

Scenario = Callable[[OutlookWorld], Awaitable[str]]
STRIDE = 6
ENVIRONMENT: dict[str, Any] = {"INITIAL_SYNC_MESSAGES": "all", "OUTLOOK_PAGE_SIZE": "10"}


async def first_sync(world: OutlookWorld) -> str:
    world.fill(25)
    world.fill(5, "archive", 100)
    return await world.connect()


async def changes(world: OutlookWorld) -> str:
    ids = world.fill(14)
    account_id = await world.connect()
    await world.dry(account_id)
    for message in ids[:4]:
        world.graph.update(ADDRESS, message, is_read=True, flag="flagged")
    world.graph.update(ADDRESS, ids[4], is_read=True)
    world.graph.hard_delete(ADDRESS, ids[5])
    world.graph.move(ADDRESS, ids[6], "deleteditems")
    world.graph.move(ADDRESS, ids[7], "archive")
    world.graph.move(ADDRESS, ids[7], "inbox")
    world.graph.move(ADDRESS, ids[8], world.graph.add_folder(ADDRESS, "Projects"))
    for number in range(12):
        world.graph.deliver(ADDRESS, raw(100 + number))
    return account_id


async def dead_links(world: OutlookWorld) -> str:
    account_id = await changes(world)
    world.graph.expire_delta("inbox", ADDRESS)
    return account_id


async def asked_for_a_snapshot(world: OutlookWorld) -> str:
    account_id = await changes(world)
    await world.wiring.ask_resync(account_id, content=True)
    return account_id


async def poison(world: OutlookWorld) -> str:
    ids = world.fill(8)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.hard_delete(ADDRESS, ids[2])
    world.graph.set_fault("server_error", endpoint="messages.get", message=ids[2], times=4)
    return account_id


async def expired_token(world: OutlookWorld) -> str:
    account_id = await changes(world)
    world.clock.skip(4000)
    return account_id


SCENARIOS: list[Scenario] = [first_sync, changes, dead_links, asked_for_a_snapshot, poison, expired_token]


async def io_steps(redis: RedisRest, scenario: Scenario) -> int:
    """How many I/O steps the scenario takes when nothing goes wrong."""
    async with OutlookWorld(redis, **ENVIRONMENT) as world:
        account_id = await scenario(world)
        world.steps.clear()
        await world.sync(account_id)
        return len(world.steps)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_kill_at_any_io_step_loses_nothing(redis: RedisRest, scenario: Scenario) -> None:
    steps = await io_steps(redis, scenario)
    assert steps >= 6
    for step in range(1 + SCENARIOS.index(scenario) % STRIDE, steps + 1, STRIDE):
        redis.valkey.call("FLUSHALL")
        async with OutlookWorld(redis, **ENVIRONMENT) as world:
            account_id = await scenario(world)
            world.steps.clear()
            world.kill_at = step
            with suppress(Killed):
                await world.sync(account_id)
            world.kill_at = None
            world.expire_lease(account_id)
            await world.dry(account_id)
            await world.assert_log_equals_mailbox(account_id)
            await world.assert_nothing_that_exists_was_called_deleted(account_id)


@pytest.mark.parametrize("kind", ["drop_reply", "drop_request", "truncate", "garbage", "refuse"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_lost_reply_of_redis_changes_nothing(redis: RedisRest, kind: Any, nth: int) -> None:
    async with OutlookWorld(redis, **ENVIRONMENT) as world:
        account_id = await changes(world)
        redis.bridge.inject(kind, nth=nth)
        result = await world.sync(account_id)
        assert result["status"] == "synced"
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)
