"""When state is lost, at the provider's side or at ours, or a person asks: walk again, compare, say what differs."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, raw


@pytest.fixture
async def world(redis: RedisRest) -> AsyncIterator[OutlookWorld]:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="10") as made:
        yield made


async def types(world: OutlookWorld, account_id: str) -> Counter[str]:
    return Counter(event["type"].removeprefix("tidemark.") for event in await world.events(account_id))


async def test_a_dead_link_costs_that_folder_alone_and_loses_nothing(world: OutlookWorld) -> None:
    ids, archive = world.fill(25), world.fill(4, "archive", 100)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.expire_delta("inbox", ADDRESS)
    world.graph.hard_delete(ADDRESS, ids[3])
    world.graph.move(ADDRESS, ids[4], "archive")
    world.graph.update(ADDRESS, ids[5], flag="flagged")
    world.graph.update(ADDRESS, archive[0], is_read=True)
    world.graph.deliver(ADDRESS, raw(500))
    before = world.graph.requests()[-1]["number"]
    results = await world.dry(account_id)
    assert sum(result["changes"]["created"] for result in results) == 1
    assert sum(result["changes"]["deleted"] for result in results) == 1
    await world.assert_log_equals_mailbox(account_id)
    await world.assert_nothing_that_exists_was_called_deleted(account_id)
    started = [
        line["url"] for line in world.graph.requests(before) if "select" in line["url"] and "delta" in line["url"]
    ]
    assert len(started) == 1
    events = await world.events(account_id)
    assert [e["data"]["reason"] for e in events if e["type"].endswith("resynced")] == ["delta_expired"]


@pytest.mark.parametrize("kind", ["sync_state_not_found", "resync_required", "sync_state_invalid"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_walk_whose_link_dies_begins_anew(redis: RedisRest, kind: str, nth: int) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="6", OUTLOOK_PAGE_SIZE="5") as world:
        ids = world.fill(25)
        account_id = await world.connect()
        world.graph.set_fault(kind, endpoint="messages.delta", folder="inbox", nth=nth + 1)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, only=set(ids[-6:]))


async def test_what_vanished_while_a_walk_began_anew_is_found_out(world: OutlookWorld) -> None:
    ids = world.fill(25)
    account_id = await world.connect()
    world.graph.set_fault("sync_state_not_found", endpoint="messages.delta", folder="inbox", nth=3)

    def delete_meanwhile(step: int) -> None:
        if world.graph.counters()["faults"] and ids[-1] in world.graph.snapshot(ADDRESS):
            world.graph.hard_delete(ADDRESS, ids[-1])

    world.on_step = delete_meanwhile
    await world.dry(account_id)
    assert ids[-1] not in world.graph.snapshot(ADDRESS)
    await world.assert_log_equals_mailbox(account_id)


async def test_folders_that_came_and_went_while_the_folder_chain_was_dead(world: OutlookWorld) -> None:
    gone = world.graph.add_folder(ADDRESS, "Old")
    ids = world.fill(3, gone)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.expire_delta("hierarchy", ADDRESS)
    made = world.graph.add_folder(ADDRESS, "New")
    world.graph.move(ADDRESS, ids[0], made)
    world.graph.delete_folder(ADDRESS, gone)
    world.graph.deliver(ADDRESS, raw(500), made)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    assert (await types(world, account_id))["message.deleted"] == 2


async def test_a_folder_that_is_not_found_although_it_is_there_is_walked_again(world: OutlookWorld) -> None:
    ids = world.fill(12)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.set_fault("not_found", endpoint="messages.delta", folder="inbox")
    world.graph.hard_delete(ADDRESS, ids[0])
    world.graph.deliver(ADDRESS, raw(500))
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_mailbox_over_quota_is_listed_and_says_so(world: OutlookWorld) -> None:
    world.fill(12)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.set_mailbox_full(ADDRESS)
    world.graph.deliver(ADDRESS, raw(500))
    result = await world.sync(account_id)
    assert (result["status"], result["reason"]) == ("synced", "mailbox_over_quota")
    assert result["changes"]["created"] == 1
    assert (await world.sync(account_id))["reason"] == "mailbox_over_quota"
    world.graph.set_mailbox_full(ADDRESS, False)
    assert "reason" not in await world.sync(account_id)
    await world.assert_log_equals_mailbox(account_id)
    alerts = [e for e in await world.events(account_id) if e["data"].get("alert") == "mailbox_over_quota"]
    assert [e["type"].removeprefix("tidemark.alert.") for e in alerts] == ["raised", "cleared"]


async def test_a_mailbox_that_is_over_quota_from_the_start_is_listed_too(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="4", OUTLOOK_PAGE_SIZE="5") as world:
        ids = world.fill(12)
        world.clock.skip(3600)
        world.graph.set_mailbox_full(ADDRESS)
        account_id = await world.connect()
        result = await world.sync(account_id)
        assert (result["reason"], result["changes"]["created"]) == ("mailbox_over_quota", 4)
        world.graph.set_mailbox_full(ADDRESS, False)
        new = world.graph.deliver(ADDRESS, raw(500))
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, only={*ids[-4:], new})


async def test_a_long_list_is_read_page_by_page(world: OutlookWorld) -> None:
    world.fill(12)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.set_mailbox_full(ADDRESS)
    for number in range(25):
        world.graph.deliver(ADDRESS, raw(500 + number))
    assert (await world.sync(account_id))["changes"]["created"] == 25
    world.graph.set_mailbox_full(ADDRESS, False)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_resync_that_was_asked_for_says_only_what_differs(world: OutlookWorld) -> None:
    world.fill(25)
    account_id = await world.connect()
    await world.dry(account_id)
    await world.wiring.ask_resync(account_id, content=False)
    results = await world.dry(account_id)
    assert sum(result["count"] for result in results) == 0
    assert (await types(world, account_id))["account.resynced"] == 1
    await world.assert_log_equals_mailbox(account_id)


async def test_a_snapshot_names_every_message_once(world: OutlookWorld) -> None:
    ids = world.fill(25)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.update(ADDRESS, ids[0], categories=["red"])
    world.graph.update(ADDRESS, ids[1], is_read=True)
    world.graph.hard_delete(ADDRESS, ids[2])
    await world.wiring.ask_resync(account_id, content=True)
    await world.dry(account_id)
    said = await types(world, account_id)
    assert (said["snapshot.began"], said["snapshot.ended"], said["account.resynced"]) == (1, 1, 1)
    assert said["message.created"] == 25 + 24
    await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize("key", ["index", "log"])
async def test_a_lost_key_of_ours_comes_back_as_a_snapshot(world: OutlookWorld, key: str) -> None:
    world.fill(12)
    account_id = await world.connect()
    await world.dry(account_id)
    world.redis.valkey.call("DEL", f"td:{account_id}:{key}")
    world.graph.deliver(ADDRESS, raw(500))
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_lost_cursor_is_found_again_by_walking(world: OutlookWorld) -> None:
    ids = world.fill(12)
    account_id = await world.connect()
    await world.dry(account_id)
    world.redis.valkey.call("HDEL", f"td:{account_id}:account", "cursor")
    world.graph.hard_delete(ADDRESS, ids[0])
    world.graph.deliver(ADDRESS, raw(500))
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_lost_redis_is_rebuilt_under_the_old_name(world: OutlookWorld) -> None:
    world.fill(12)
    account_id = await world.connect()
    await world.dry(account_id)
    world.redis.valkey.call("FLUSHALL")
    assert await world.connect(account_id) == account_id
    await world.dry(account_id)
    said = await types(world, account_id)
    assert (said["snapshot.began"], said["snapshot.ended"], said["message.created"]) == (1, 1, 12)
    await world.assert_log_equals_mailbox(account_id)


async def test_what_changed_within_the_second_that_was_read_last_is_not_lost_with_the_link(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="0") as world:
        ids = world.fill(6)
        world.clock.skip(3600)
        account_id = await world.connect()
        await world.dry(account_id)
        world.graph.set_knobs(last_modified_precision_s=60)  # so that all of it is within one
        world.graph.update(ADDRESS, ids[0], flag="flagged")
        await world.dry(account_id)
        world.graph.update(ADDRESS, ids[1], is_read=True)
        world.graph.update(ADDRESS, ids[2], categories=["red"])
        world.graph.expire_delta("inbox", ADDRESS)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, only=set(ids[:3]))
