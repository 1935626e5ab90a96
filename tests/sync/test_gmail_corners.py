"""Corners of the promise: where two rare things meet, nothing is lost, invented or said twice."""

from typing import Any

import pytest

from infra.emulators.gmail import account_api
from infra.emulators.gmail.settings import Settings as GmailSettings
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, raw

GET = "messages.get"
ONE_STEP: dict[str, Any] = {"MAX_SYNC_DURATION": "0.001"}  # each sync makes one step
ROOMY = GmailSettings(quota_enforced=False)  # of hundreds of messages, each step is to be a whole one
ONE_ROOMY_STEP: dict[str, Any] = {**ONE_STEP, "GMAIL_UNITS_PER_MINUTE": "1000000"}


def forget_cached(world: GmailWorld, account_id: str, *message_ids: str) -> None:
    """As their TTL does."""
    for message_id in message_ids:
        world.redis.valkey.call("DEL", f"td:{account_id}:message:{message_id}")


async def kinds(world: GmailWorld, account_id: str) -> list[str]:
    return [event["type"].removeprefix("tidemark.") for event in await world.events(account_id)]


async def test_an_id_that_two_passes_of_a_listing_name_is_created_once(redis: RedisRest) -> None:
    async with GmailWorld(redis, emulator=ROOMY, INITIAL_SYNC_MESSAGES="all", **ONE_ROOMY_STEP) as world:
        ids = world.fill(510)
        account_id = await world.connect()
        await world.sync(account_id)
        world.gmail.delete(ADDRESS, *ids[-15:])
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_a_snapshot_that_is_interrupted_in_a_step_names_nothing_twice(world: GmailWorld) -> None:
    ids = world.fill(50)
    account_id = await world.connect()
    await world.dry(account_id)
    forget_cached(world, account_id, *ids[10:])
    await world.wiring.ask_resync(account_id, content=True)
    world.gmail.set_fault("outer_locked_out", call="batch", times=1, seconds=900)
    stopped = await world.sync(account_id)
    assert (stopped["status"], stopped["count"]) == ("cooling_down", 10)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    said = await kinds(world, account_id)
    named = said[said.index("snapshot.began") : said.index("snapshot.ended")]
    assert named.count("message.created") == 50


async def test_a_message_that_a_snapshot_could_not_name_comes_as_created_when_it_can_be_read(world: GmailWorld) -> None:
    ids = world.fill(6)
    account_id = await world.connect()
    await world.dry(account_id)
    forget_cached(world, account_id, ids[2])
    world.gmail.set_fault("backend_error", message_id=ids[2])
    await world.wiring.ask_resync(account_id, content=True)
    await world.dry(account_id)
    assert "snapshot.ended" in await kinds(world, account_id)
    await world.assert_log_equals_mailbox(account_id, set(ids) - {ids[2]})
    world.gmail.clear_faults()
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_snapshot_asked_for_while_lost_history_is_made_good_does_not_forget_that(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", **ONE_STEP) as world:
        ids = world.fill(8)
        account_id = await world.connect()
        await world.dry(account_id)
        world.gmail.delete(ADDRESS, ids[1])
        world.gmail.relabel(ADDRESS, ids[2], add=["STARRED"])
        world.gmail.expire_history(ADDRESS)
        await world.sync(account_id)
        await world.wiring.ask_resync(account_id, content=True)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_history_that_expires_during_a_snapshot_is_made_good(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", **ONE_STEP) as world:
        ids = world.fill(8)
        account_id = await world.connect()
        await world.dry(account_id)
        await world.wiring.ask_resync(account_id, content=True)
        await world.sync(account_id)
        world.gmail.delete(ADDRESS, ids[1])
        world.gmail.relabel(ADDRESS, ids[2], add=["STARRED"])
        world.gmail.expire_history(ADDRESS)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_many_poison_messages_do_not_stop_what_comes_after_them(world: GmailWorld) -> None:
    ids = world.fill(10)
    account_id = await world.connect()
    for message_id in ids[:5]:
        world.gmail.set_fault("backend_error", message_id=message_id)
    await world.sync(account_id)
    arrived = world.gmail.deliver(ADDRESS, raw(100))
    result = await world.sync(account_id)
    assert (result["status"], result["count"]) == ("synced", 1)
    await world.assert_log_equals_mailbox(account_id, {*ids[5:], arrived})


async def test_where_nothing_but_poison_is_left_to_read_it_is_parked_in_time(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", QUARANTINE_AFTER="600") as world:
        ids = world.fill(5)
        account_id = await world.connect()
        for message_id in ids:
            world.gmail.set_fault("backend_error", message_id=message_id)
        for _ in range(4):
            await world.sync(account_id)
            world.clock.skip(250)
        arrived = world.gmail.deliver(ADDRESS, raw(100))
        await world.sync(account_id)
        await world.assert_log_equals_mailbox(account_id, {arrived})
        world.gmail.clear_faults()
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_pages_of_history_without_a_change_do_not_outlast_the_budget(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", **ONE_STEP) as world:
        ids = world.fill(2)
        account_id = await world.connect()
        await world.dry(account_id)
        for _ in range(1000):
            world.gmail.relabel(ADDRESS, ids[0], add=["STARRED"])
            world.gmail.relabel(ADDRESS, ids[0], remove=["STARRED"])
        result = await world.sync(account_id)
        assert (result["status"], result["api_calls"], result["more"]) == ("partial", 1, True)
        results = await world.dry(account_id)
        assert sum(each["api_calls"] for each in results) < 8
        await world.assert_log_equals_mailbox(account_id)


async def test_an_archived_message_put_into_the_trash_while_pages_are_read_hides_no_other(redis: RedisRest) -> None:
    """It leaves the listing by an added label: what stood behind it moves onto a page that was read already."""
    async with GmailWorld(redis, emulator=ROOMY, INITIAL_SYNC_MESSAGES="600", **ONE_ROOMY_STEP) as world:
        ids = world.fill(520)
        archived = world.gmail.deliver(ADDRESS, raw(1000), labels=())
        account_id = await world.connect()
        await world.sync(account_id)
        world.gmail.relabel(ADDRESS, archived, add=["TRASH"])
        await world.dry(account_id)
        assert set(ids) <= (await world.folded(account_id)).keys()


async def test_a_stored_listing_that_is_lost_is_made_again(redis: RedisRest) -> None:
    async with GmailWorld(redis, emulator=ROOMY, INITIAL_SYNC_MESSAGES="all", **ONE_ROOMY_STEP) as world:
        world.fill(610)
        account_id = await world.connect()
        for _ in range(4):
            await world.sync(account_id)
        assert world.redis.valkey.call("DEL", f"td:{account_id}:pages") == 1
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_page_tokens_that_are_forgotten_stop_nothing(redis: RedisRest) -> None:
    async with GmailWorld(redis, emulator=ROOMY, INITIAL_SYNC_MESSAGES="all", **ONE_ROOMY_STEP) as world:
        ids = world.fill(510)
        account_id = await world.connect()
        await world.sync(account_id)  # the listing's first page
        world.gmail.forget_page_tokens(ADDRESS)
        await world.dry(account_id)
        for n in range(501):
            world.gmail.relabel(ADDRESS, ids[n], add=["STARRED"])
        await world.sync(account_id)  # the history's first page
        world.gmail.forget_page_tokens(ADDRESS)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_a_label_that_goes_while_a_resync_lists_stops_nothing(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", **ONE_ROOMY_STEP) as world:
        ids = world.fill(3)
        label = world.gmail.add_label(ADDRESS, "Project")
        world.gmail.relabel(ADDRESS, *ids, add=[label])
        account_id = await world.connect()
        await world.dry(account_id)
        await world.wiring.ask_resync(account_id, content=False)
        cursor = b""
        while b'"labels":["' not in cursor:
            await world.sync(account_id)
            cursor = world.redis.valkey.call("HGET", f"td:{account_id}:account", "cursor")  # type: ignore[assignment]
        world.gmail.remove_label(ADDRESS, label)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_a_record_of_history_that_cannot_be_read_is_made_good(
    world: GmailWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = world.fill(3)
    account_id = await world.connect()
    await world.dry(account_id)
    world.gmail.delete(ADDRESS, ids[0])
    world.gmail.relabel(ADDRESS, ids[1], add=["STARRED"])
    arrived = world.gmail.deliver(ADDRESS, raw(100))
    shown = account_api._shown
    monkeypatch.setattr(
        account_api, "_shown", lambda *given: [{"id": "x"}, {"messagesAdded": [{}]}, *shown(*given)[2:]]
    )
    for count in (1, 0):  # a page that can never be read is not compared for ever
        stopped = await world.sync(account_id)
        assert (stopped["status"], stopped["reason"], stopped["count"]) == ("partial", "provider_down", count)
        assert stopped["api_calls"] < 10
    assert arrived in [event.get("subject") for event in await world.events(account_id)]
    monkeypatch.undo()
    await world.dry(account_id)
    resynced = [e["data"]["reason"] for e in await world.events(account_id) if e["type"].endswith("resynced")]
    assert resynced == ["history_unreadable"]
    await world.assert_log_equals_mailbox(account_id)


async def test_after_a_lost_cursor_the_floor_stays_one(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="3") as world:
        ids = world.fill(9)
        account_id = await world.connect()
        await world.dry(account_id)
        arrived = [world.gmail.deliver(ADDRESS, raw(100 + n)) for n in range(5)]
        world.redis.valkey.call("HSET", f"td:{account_id}:account", "cursor", "no cursor")
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, {*ids[-3:], *arrived})
        world.gmail.expire_history(ADDRESS)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, {*ids[-3:], *arrived})


async def test_a_cursor_and_an_index_that_are_both_lost_are_told_by_a_snapshot(world: GmailWorld) -> None:
    world.fill(5)
    account_id = await world.connect()
    await world.dry(account_id)
    world.redis.valkey.call("HDEL", f"td:{account_id}:account", "cursor")
    world.redis.valkey.call("DEL", f"td:{account_id}:index")
    world.gmail.deliver(ADDRESS, raw(100))
    await world.dry(account_id)
    assert "snapshot.ended" in await kinds(world, account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_an_account_rebuilt_over_what_is_left_of_it_begins_afresh(world: GmailWorld) -> None:
    ids = world.fill(5)
    account_id = await world.connect("crm-1")
    await world.dry(account_id)
    world.redis.valkey.call("DEL", f"td:{account_id}:account")
    world.redis.valkey.call("DEL", "td:addresses")
    world.gmail.relabel(ADDRESS, ids[0], add=["STARRED"])
    world.gmail.delete(ADDRESS, ids[1])
    await world.connect("crm-1")
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_reads_that_are_refused_again_and_again_come_to_an_end_among_messages_that_are_gone(
    redis: RedisRest,
) -> None:
    """What was found to be gone is not asked for again, so that the next part of the step gets its turn."""
    async with GmailWorld(redis, emulator=ROOMY, INITIAL_SYNC_MESSAGES="all", **ONE_ROOMY_STEP) as world:
        ids = world.fill(540)
        account_id = await world.connect()
        for _ in range(3):
            await world.sync(account_id)
        world.gmail.delete(ADDRESS, *ids[-60:])
        results: list[dict[str, Any]] = []
        for _ in range(12):
            fault = world.gmail.set_fault("outer_locked_out", call="batch", every=2, seconds=1)
            results.append(await world.sync(account_id))
            world.gmail.clear_faults(fault)
            world.expire_locks(account_id)
            world.clock.skip(60)
        assert sum(result["count"] for result in results) > 0
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


async def test_three_batches_that_find_the_token_expired_refresh_it_once(redis: RedisRest) -> None:
    emulator = GmailSettings(outer_401=True, concurrency_max=100)
    async with GmailWorld(redis, emulator=emulator, INITIAL_SYNC_MESSAGES="all") as world:
        world.fill(90)
        account_id = await world.connect()
        world.redis.valkey.call("HSET", f"td:{account_id}:account", "window", "60,60")
        world.gmail.reset_counters()
        world.gmail.set_fault("unauthenticated", call=GET, times=60)
        assert (await world.sync(account_id))["status"] == "synced"
        assert world.counters()["token_requests"] == 1
        await world.assert_log_equals_mailbox(account_id)


async def test_a_refusal_for_quota_says_nothing_of_how_many_parts_may_be_in_flight(world: GmailWorld) -> None:
    world.fill(40)
    account_id = await world.connect()
    world.gmail.set_fault("quota_exceeded", call=GET, times=20)
    await world.sync(account_id)
    size, _, cap = (await world.wiring.accounts.fields(account_id))["window"].partition(",")
    assert (int(size) >= 20, int(cap)) == (True, 60)
