"""A Redis restarted empty: it says so, and mailboxes imported again under their old ids go on in a new epoch."""

from collections.abc import AsyncIterator

import pytest

from shared.adapters.redis_accounts import Changes, RedisAccounts
from shared.core import change
from shared.core.errors import BadRequest
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, GmailWorld, raw

pytestmark = pytest.mark.whole

World = GmailWorld | OutlookWorld


@pytest.fixture(params=[GmailWorld, OutlookWorld])
async def world(redis: RedisRest, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with request.param(redis, INITIAL_SYNC_MESSAGES="all") as made:
        yield made


async def read(world: World, account_id: str, after: str | None) -> Changes:
    return await RedisAccounts(world.wiring.redis, world.clock).changes(account_id, "app", after, 100)


def deliver_and_delete(world: World, gone: str) -> None:
    if isinstance(world, GmailWorld):
        world.gmail.deliver(ADDRESS, raw(100))
        world.gmail.delete(ADDRESS, gone)
    else:
        world.graph.deliver(ADDRESS, raw(100))
        world.graph.hard_delete(ADDRESS, gone)


async def test_it_says_so_and_the_old_ids_go_on_in_a_new_epoch(world: World) -> None:
    ids = world.fill(3)
    account_id = await world.connect("the-old-name")
    await world.dry(account_id)
    page = await read(world, account_id, None)
    old = change.cursor(page.epoch, page.position)
    before = {event["id"] for event in await world.events(account_id)}

    world.redis.valkey.call("FLUSHALL")
    assert (await world.sync(account_id))["status"] == "unknown"  # which the function answers with 404
    with pytest.raises(BadRequest) as refused:
        await read(world, account_id, old)
    assert refused.value.slug == "unknown_account"
    deliver_and_delete(world, ids[0])

    assert await world.connect("the-old-name") == account_id
    with pytest.raises(BadRequest) as refused:
        await read(world, account_id, old)
    assert refused.value.slug == "cursor_expired"
    await world.dry(account_id)
    events = await world.events(account_id)
    kinds = [event["type"].removeprefix("tidemark.") for event in events]
    began, ended = kinds.index("snapshot.began"), kinds.index("snapshot.ended")
    assert kinds[0] == "account.connected"
    assert kinds[began:ended].count("message.created") == 3
    assert not before & {event["id"] for event in events}
    await world.assert_log_equals_mailbox(account_id)


async def test_a_sync_that_is_under_way_writes_nothing_into_it(world: World) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.steps.clear()
    world.on_step = lambda number: world.redis.valkey.call("FLUSHALL") if number == 4 else None
    result = await world.sync(account_id)
    assert (result["status"], result["count"]) == ("lease_held", 0)
    assert world.redis.valkey.call("KEYS", f"td:{account_id}:*") == []
