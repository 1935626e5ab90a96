"""History expired, state lost, a resync asked for: what is said afterwards is right, at the price of listings."""

from typing import Any

import pytest

from infra.emulators.gmail.settings import Settings as GmailSettings
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, raw

KINDS = "tidemark."


async def kinds(world: GmailWorld, account_id: str) -> list[str]:
    return [event["type"].removeprefix(KINDS) for event in await world.events(account_id)]


async def test_after_expired_history_deletions_labels_and_new_mail_are_right_at_list_prices(world: GmailWorld) -> None:
    ids = world.fill(120)
    account_id = await world.connect()
    await world.dry(account_id)
    world.gmail.relabel(ADDRESS, *ids[:50], add=["STARRED"], remove=["UNREAD"])
    world.gmail.relabel(ADDRESS, *ids[50:60], add=["TRASH"], remove=["INBOX"])
    world.gmail.delete(ADDRESS, *ids[100:103])
    world.gmail.deliver(ADDRESS, raw(500))
    world.gmail.expire_history(ADDRESS)
    world.gmail.reset_counters()
    results = await world.dry(account_id)
    assert sum(result["changes"]["updated"] for result in results) == 60
    assert sum(result["changes"]["deleted"] for result in results) == 3
    assert sum(result["changes"]["created"] for result in results) == 1
    await world.assert_log_equals_mailbox(account_id)
    units = world.counters()["units"]
    reads = 4 * 20
    assert units - reads < 150, "60 changed labels must not be read message by message"
    assert "account.resynced" in await kinds(world, account_id)


async def test_a_resync_with_a_floor_says_new_mail_but_not_old_mail(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="5") as world:
        ids = world.fill(30)
        account_id = await world.connect()
        await world.dry(account_id)
        arrived = [world.gmail.deliver(ADDRESS, raw(100 + n)) for n in range(3)]
        world.gmail.delete(ADDRESS, ids[-1])
        world.gmail.expire_history(ADDRESS)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, {*ids[-5:-1], *arrived})


@pytest.mark.whole
async def test_a_listing_with_removals_meanwhile_loses_no_message(redis: RedisRest) -> None:
    """Page tokens are positional: each removal moves one id onto a page that was read already."""
    roomy = GmailSettings(quota_enforced=False)
    environment: dict[str, Any] = {"MAX_SYNC_DURATION": "0.001", "GMAIL_UNITS_PER_MINUTE": "1000000"}
    async with GmailWorld(redis, emulator=roomy, INITIAL_SYNC_MESSAGES="all", **environment) as world:
        ids = world.fill(1700)
        account_id = await world.connect()
        for n in range(12):
            result = await world.sync(account_id)
            assert result["more"]
            world.gmail.delete(ADDRESS, *ids[len(ids) - 3 * n - 3 : len(ids) - 3 * n])
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize("lost", ["index", "log", "cursor"])
async def test_lost_state_is_said_and_healed(world: GmailWorld, lost: str) -> None:
    ids = world.fill(20)
    account_id = await world.connect()
    await world.dry(account_id)
    epoch = (await world.wiring.accounts.fields(account_id))["epoch"]
    if lost == "cursor":
        world.redis.valkey.call("HDEL", f"td:{account_id}:account", "cursor")
    else:
        world.redis.valkey.call("DEL", f"td:{account_id}:{lost}")
    world.gmail.delete(ADDRESS, ids[0])
    world.gmail.deliver(ADDRESS, raw(100))
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    said = await kinds(world, account_id)
    now = (await world.wiring.accounts.fields(account_id))["epoch"]
    assert (now == epoch) == (lost == "cursor")
    assert ("snapshot.began" in said) == ("snapshot.ended" in said) == (lost != "cursor")
    assert "account.resynced" in said


async def test_a_log_that_is_lost_before_a_grant_dies_is_said_to_be_lost_after_all(world: GmailWorld) -> None:
    """Neither the event of the dead grant nor that of the new one may begin a log that looks whole."""
    ids = world.fill(5)
    account_id = await world.connect()
    await world.dry(account_id)
    epoch = (await world.wiring.accounts.fields(account_id))["epoch"]

    def lose_log(_: int) -> None:
        world.redis.valkey.call("DEL", f"td:{account_id}:log")
        world.on_step = None

    world.gmail.revoke(ADDRESS)
    world.steps.clear()
    world.on_step = lambda number: lose_log(number) if number == 3 else None
    assert (await world.sync(account_id))["status"] == "reauth_required"
    world.gmail.delete(ADDRESS, ids[0])
    assert await world.connect() == account_id
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    assert (await world.wiring.accounts.fields(account_id))["epoch"] != epoch


async def test_a_resync_with_content_names_every_message_once_between_snapshot_events(world: GmailWorld) -> None:
    ids = world.fill(30)
    account_id = await world.connect()
    await world.dry(account_id)
    world.gmail.relabel(ADDRESS, ids[0], add=["STARRED"])
    await world.wiring.ask_resync(account_id, content=True)
    await world.dry(account_id)
    events = await world.events(account_id)
    said = [event["type"].removeprefix(KINDS) for event in events]
    began, ended = said.index("snapshot.began"), said.index("snapshot.ended")
    named = [e["subject"] for e in events[began:ended] if e["type"] == "tidemark.message.created"]
    assert sorted(named) == sorted(ids)
    assert {e["data"]["snapshot_id"] for e in events if ".snapshot." in e["type"]} != {""}
    await world.assert_log_equals_mailbox(account_id)


async def test_a_snapshot_serves_content_from_the_cache(world: GmailWorld) -> None:
    world.fill(30)
    account_id = await world.connect()
    await world.dry(account_id)
    await world.wiring.ask_resync(account_id, content=True)
    world.gmail.reset_counters()
    await world.dry(account_id)
    assert world.counters()["calls"].get("messages.get", 0) == 0
    await world.assert_log_equals_mailbox(account_id)


async def test_an_account_rebuilt_under_its_old_id_begins_a_new_epoch_with_a_snapshot(world: GmailWorld) -> None:
    world.fill(10)
    account_id = await world.connect("crm-17")
    await world.dry(account_id)
    world.redis.valkey.call("FLUSHALL")
    assert await world.connect("crm-17") == account_id
    await world.dry(account_id)
    said = await kinds(world, account_id)
    assert said[:2] == ["account.connected", "snapshot.began"]
    assert "snapshot.ended" in said
    await world.assert_log_equals_mailbox(account_id)
