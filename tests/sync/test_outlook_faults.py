"""What an Outlook sync does when Graph refuses, breaks or answers strangely."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, raw


@pytest.fixture
async def world(redis: RedisRest) -> AsyncIterator[OutlookWorld]:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="10") as made:
        yield made


@pytest.mark.parametrize("kind", ["throttled", "unavailable", "gateway_timeout", "server_error", "reset", "truncated"])
@pytest.mark.parametrize("endpoint", ["messages.delta", "folders.delta", "batch", "folders.get"])
async def test_a_first_sync_survives_a_fault(world: OutlookWorld, kind: str, endpoint: str) -> None:
    world.fill(25)
    account_id = await world.connect()
    world.graph.set_fault(kind, endpoint=endpoint, times=2)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize("kind", ["reset", "temporarily_unavailable"])
async def test_a_token_endpoint_that_fails_for_a_moment_ends_no_sync_and_no_connection(
    world: OutlookWorld, kind: str
) -> None:
    world.fill(3)
    world.graph.identity.set_fault(kind, endpoint="token", times=2)
    world.graph.set_fault("reset", endpoint="me", times=1)
    account_id = await world.connect()
    world.redis.valkey.call("HDEL", f"td:{account_id}:account", "access")
    world.graph.identity.set_fault(kind, endpoint="token", times=2)
    assert (await world.sync(account_id))["count"] == 3


async def test_a_page_that_is_too_much_is_asked_for_in_halves(world: OutlookWorld) -> None:
    for number in range(20):
        world.graph.deliver(ADDRESS, raw(number) + b"x" * 1000)
    account_id = await world.connect()
    world.graph.set_knobs(page_bytes_max=16_000)
    result = await world.sync(account_id)
    assert result["changes"]["created"] == 20
    lines = [line for line in world.graph.requests() if line["endpoint"] == "messages.delta" and not line["in_batch"]]
    sizes = [line["prefer"].partition(",")[0].partition("=")[2] for line in lines if line["status"] in (200, 504)]
    assert "10" in sizes
    assert "5" in sizes
    assert [line["status"] for line in lines].count(504) <= 3


async def test_a_part_of_a_batch_that_failed_is_asked_for_by_itself(world: OutlookWorld) -> None:
    world.fill(5)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.deliver(ADDRESS, raw(100))
    world.graph.set_fault("throttled", endpoint="messages.delta", folder="inbox", in_batch=True)
    world.start_counting()
    result = await world.sync(account_id)
    assert (result["status"], result["changes"]["created"], result["api_calls"]) == ("synced", 1, 2)


async def test_a_burst_that_looks_forbidden_blames_no_grant(world: OutlookWorld) -> None:
    ids = world.fill(30)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.set_knobs(burst_403_above=1)
    for message in ids:
        world.graph.hard_delete(ADDRESS, message)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    assert (await world.wiring.show_account(account_id))["state"] == "active"


async def test_a_denied_batch_blames_no_grant(world: OutlookWorld) -> None:
    world.fill(5)
    account_id = await world.connect()
    for nth in (1, 2, 3):
        world.graph.set_fault("forbidden", endpoint="batch", nth=nth, times=1)
    await world.dry(account_id)
    world.graph.deliver(ADDRESS, raw(100))
    world.graph.set_fault("forbidden", endpoint="batch")
    world.start_counting()
    result = await world.sync(account_id)
    assert (result["status"], result["changes"]["created"], result["api_calls"]) == ("synced", 1, 3)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_denied_batch_in_a_mailbox_that_is_forbidden_needs_a_person(world: OutlookWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    await world.dry(account_id)
    for endpoint in ("batch", "folders.get"):
        world.graph.set_fault("forbidden", endpoint=endpoint, times=None)
    assert (await world.sync(account_id))["status"] == "reauth_required"


async def test_a_message_that_stays_denied_is_parked_and_the_rest_goes_on(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="3", OUTLOOK_PAGE_SIZE="10") as world:
        ids = world.fill(12)
        account_id = await world.connect()
        for denied in ids[-2:]:
            world.graph.set_fault("forbidden", endpoint="messages.get", message=denied, times=None)
        await world.sync(account_id)
        shown = await world.wiring.show_account(account_id)
        assert (shown["state"], shown["parked"]) == ("active", 2)
        await world.assert_log_equals_mailbox(account_id, only=set(ids[-3:-2]))
        world.graph.clear_faults()
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, only=set(ids[-3:]))


async def test_a_mailbox_that_stays_forbidden_needs_a_person(world: OutlookWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.graph.set_fault("forbidden", endpoint="messages.delta", times=None)
    assert (await world.sync(account_id))["status"] == "reauth_required"
    world.graph.clear_faults()
    await world.connect()
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_refused_access_token_is_refreshed_once(world: OutlookWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.graph.set_fault("unauthorized", endpoint="messages.delta")
    assert (await world.sync(account_id))["changes"]["created"] == 3


async def test_a_revoked_grant_is_said_and_mended(world: OutlookWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.graph.revoke(ADDRESS)
    world.clock.skip(4000)
    assert (await world.sync(account_id))["status"] == "reauth_required"
    await world.connect()
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_message_that_cannot_be_read_is_parked_and_the_rest_goes_on(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="3", OUTLOOK_PAGE_SIZE="10") as world:
        ids = world.fill(12)
        account_id = await world.connect()
        fault = world.graph.set_fault("server_error", endpoint="messages.get", message=ids[-1], times=None)
        await world.sync(account_id)
        assert (await world.wiring.show_account(account_id))["parked"] == 1
        await world.assert_log_equals_mailbox(account_id, only=set(ids[-3:-1]))
        world.graph.clear_faults(fault)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, only=set(ids[-3:]))


async def test_one_page_at_a_time_is_enough(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_MAX_PARALLEL_PAGES="1") as world:
        world.fill(60)
        world.fill(60, "archive", 100)
        world.graph.set_knobs(latency_ms=5)
        account_id = await world.connect()
        world.start_counting()
        await world.sync(account_id)
        lines = [line for line in world.graph.requests() if line["endpoint"] == "messages.delta"]
        assert {line["prefer"].partition(",")[0] for line in lines} == {"odata.maxpagesize=50"}
        await world.assert_log_equals_mailbox(account_id)


async def test_a_change_that_shows_late_is_not_lost(world: OutlookWorld) -> None:
    ids = world.fill(6)
    account_id = await world.connect()
    await world.dry(account_id)
    world.graph.set_knobs(visibility_delay_s=20)
    world.graph.move(ADDRESS, ids[0], "archive")
    world.graph.hard_delete(ADDRESS, ids[1])
    world.graph.deliver(ADDRESS, raw(100))
    await world.dry(account_id)
    world.clock.skip(30)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
