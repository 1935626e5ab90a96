"""The process killed after a step of its I/O, and Redis' replies lost: nothing is lost, nothing comes twice."""

from collections.abc import Awaitable, Callable

import pytest

from infra.emulators.upstash_faults import Kind
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, Killed, raw

pytestmark = pytest.mark.whole

STRIDE = 3  # make crash kills real processes at every step
Scenario = Callable[[GmailWorld], Awaitable[str]]
LABELS = ("INBOX", "UNREAD")  # a resync lists each: fewer make fewer steps of the same kind


async def first_sync(world: GmailWorld) -> str:
    world.fill(6)
    return await world.connect()


async def changes(world: GmailWorld) -> str:
    ids = world.fill(4)
    account_id = await world.connect()
    await world.dry(account_id)
    world.gmail.relabel(ADDRESS, *ids[:2], remove=["UNREAD"])
    world.gmail.delete(ADDRESS, ids[2])
    world.gmail.deliver(ADDRESS, raw(100))
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
    ids = world.fill(3)
    account_id = await world.connect()
    world.gmail.set_fault("backend_error", message_id=ids[1], times=4)
    return account_id


async def expired_token(world: GmailWorld) -> str:
    account_id = await changes(world)
    world.gmail.identity.expire_access(ADDRESS)
    world.clock.skip(4000)
    return account_id


SCENARIOS: list[Scenario] = [first_sync, changes, expired_history, asked_for_a_snapshot, poison, expired_token]


def new_world(redis: RedisRest) -> GmailWorld:
    world = GmailWorld(redis, INITIAL_SYNC_MESSAGES="all")
    world.gmail.mailbox(ADDRESS).labels = {label: label for label in LABELS}
    return world


async def io_steps(redis: RedisRest, scenario: Scenario) -> list[int]:
    """The I/O steps after which a process may end. Just before the next one nothing has changed, but for the first."""
    async with new_world(redis) as world:
        account_id = await scenario(world)
        world.steps.clear()
        await world.sync(account_id)
        return [1, *(number for number, name in enumerate(world.steps, 1) if name.startswith("after"))]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_kill_at_any_io_step_loses_nothing(redis: RedisRest, scenario: Scenario) -> None:
    steps = await io_steps(redis, scenario)
    assert len(steps) >= 4
    for step in steps[SCENARIOS.index(scenario) % STRIDE :: STRIDE]:
        redis.valkey.call("FLUSHALL")
        async with new_world(redis) as world:
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
async def test_a_lost_reply_of_redis_changes_nothing(world: GmailWorld, kind: Kind, nth: int) -> None:
    account_id = await changes(world)
    world.redis.bridge.inject(kind, nth=nth)
    result = await world.sync(account_id)
    assert result["status"] == "synced"
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
