"""The loop of one sync: what rides with what, what is let go and when, and what an error leaves behind."""

from typing import Any

import pytest

from shared.core.errors import StoreDown
from shared.core.message import instant_s
from shared.sync import step as steps
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, Killed, raw


def account(world: GmailWorld, account_id: str, *command: str | int) -> object:
    name, *rest = command
    return world.redis.valkey.call(str(name), f"td:{account_id}:account", *rest)


async def test_the_log_waits_for_its_reader_and_nothing_is_lost_by_it(redis: RedisRest) -> None:
    given = {"INITIAL_SYNC_MESSAGES": "all", "LOG_RETENTION_BYTES": "65536"}
    async with GmailWorld(redis, emulator=None, **given) as world:
        world.fill(150)
        account_id = await world.connect()
        await world.wiring.accounts.changes(account_id, "app", None, 1)
        full = await world.sync(account_id)
        assert (full["status"], full["reason"], full["more"]) == ("partial", "budget_spent", True)
        assert full["count"] < 150
        arrived = world.gmail.deliver(ADDRESS, raw(900))
        again = await world.sync(account_id)
        assert (again["status"], again["count"]) == ("partial", 1)
        seen: dict[str, None] = {}
        after: str | None = None
        for _ in range(30):
            page = await world.wiring.accounts.changes(account_id, "app", after, 1000)
            seen |= dict.fromkeys(stored for _, stored in page.entries if '"message.created"' in stored)
            after = f"{page.epoch}.{page.position}"
            await world.wiring.accounts.changes(account_id, "app", after, 1)
            result = await world.sync(account_id)
            if not result["more"] and result["status"] == "no_new_messages":
                break
        assert len(seen) == 151
        assert any(arrived in stored for stored in seen)


async def test_a_large_step_is_appended_in_parts(world: GmailWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STEP_BYTES_MAX", 3000)
    world.fill(12)
    account_id = await world.connect()
    result = await world.sync(account_id)
    assert (result["status"], result["count"]) == ("synced", 12)
    assert result["redis_requests"] > 6
    await world.assert_log_equals_mailbox(account_id)


@pytest.mark.whole
async def test_a_kill_between_the_parts_of_a_snapshot_names_nothing_twice(
    redis: RedisRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "STEP_BYTES_MAX", 3000)
    for step in range(5, 40, 2):
        redis.valkey.call("FLUSHALL")
        async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
            world.fill(6)
            account_id = await world.connect()
            await world.dry(account_id)
            await world.wiring.ask_resync(account_id, content=True)
            world.steps.clear()
            world.kill_at = step
            try:
                await world.sync(account_id)
            except Killed:
                world.expire_lease(account_id)
            else:
                return
            await world.dry(account_id)
            await world.assert_log_equals_mailbox(account_id)
    raise AssertionError("the sync takes more steps than were killed")


async def test_a_step_that_is_killed_between_its_parts_again_and_again_names_nothing_twice(
    world: GmailWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "STEP_BYTES_MAX", 1000)  # a message each
    world.fill(6)
    account_id = await world.connect()
    await world.dry(account_id)
    await world.wiring.ask_resync(account_id, content=True)
    length = len(await world.events(account_id))
    for _ in range(3):

        def a_part_is_appended(number: int, length: int = length) -> None:
            grown = world.redis.valkey.call("XLEN", f"td:{account_id}:log")
            world.kill_at = number if grown == length + 2 else None

        world.on_step = a_part_is_appended
        with pytest.raises(Killed):
            await world.sync(account_id)
        world.on_step = None
        world.expire_lease(account_id)
        length = len(await world.events(account_id))
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_hint_that_comes_during_a_sync_is_looked_at_before_the_mailbox_is_let_go(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    await world.dry(account_id)
    world.steps.clear()
    arrived: list[str] = []

    def push(number: int) -> None:
        if number == 4:  # history has been read, nothing was new
            arrived.append(world.gmail.deliver(ADDRESS, raw(900)))
            account(world, account_id, "HINCRBY", "hints", 1)

    world.on_step = push
    result = await world.sync(account_id)
    assert (result["status"], result["count"]) == ("synced", 1)
    fields = await world.wiring.accounts.fields(account_id)
    assert fields["served"] == fields["hints"]
    assert arrived[0] in await world.folded(account_id)


@pytest.mark.parametrize("fault", [None, "outer_locked_out"])
async def test_an_instance_that_was_overtaken_stops_and_writes_nothing(world: GmailWorld, fault: str | None) -> None:
    world.fill(3)
    account_id = await world.connect()
    if fault:
        world.gmail.set_fault(fault, call="batch", seconds=900)
    world.steps.clear()
    world.on_step = lambda number: account(world, account_id, "HINCRBY", "fence", 1) if number == 3 else None
    result = await world.sync(account_id)
    assert (result["status"], result["more"], result["count"]) == ("lease_held", True, 0)
    assert [event["type"] for event in await world.events(account_id)] == ["tidemark.account.connected"]


async def test_a_store_that_goes_away_is_no_outcome_and_nothing_is_lost_by_it(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.redis.bridge.inject("refuse", times=1000, nth=2)
    with pytest.raises(StoreDown):
        await world.sync(account_id)
    world.redis.bridge.reset()
    world.expire_lease(account_id)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize("step", [3, 11])  # before the refresh that is refused; before that is told to the store
async def test_a_grant_that_a_person_renews_while_it_fails_is_not_blamed(world: GmailWorld, step: int) -> None:
    world.fill(3)
    account_id = await world.connect()
    await world.dry(account_id)
    world.gmail.revoke(ADDRESS)
    world.steps.clear()
    world.on_step = lambda number: account(world, account_id, "HSET", "grant", "7") if number == step else None
    result = await world.sync(account_id)
    assert (result["status"], result["more"]) == ("partial", True)
    assert (await world.wiring.show_account(account_id))["state"] == "active"
    assert world.redis.valkey.call("EXISTS", f"td:{account_id}:lease") == 0


async def test_a_mailbox_that_is_deleted_while_it_is_synced_is_written_no_more(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    await world.wiring.accounts.mark_deleted(account_id, "gmail")
    assert (await world.sync(account_id))["status"] == "deleting"
    assert world.redis.valkey.call("EXISTS", f"td:{account_id}:index") == 0


async def test_what_a_page_says_of_many_messages_is_appended_a_hundred_at_a_time(world: GmailWorld) -> None:
    account_id = await world.connect()
    await world.dry(account_id)
    world.fill(130)
    result = await world.sync(account_id)
    assert (result["status"], result["count"]) == ("synced", 130)
    await world.assert_log_equals_mailbox(account_id)


async def test_the_floor_knows_what_was_emitted_before_a_stop(redis: RedisRest) -> None:
    """All but the newest message of a first sync are read and appended; that one is refused for long."""
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="15") as world:
        now_s = world.gmail.clock.now_s()
        world.gmail.deliver(ADDRESS, raw(1), internal_date_s=now_s - 90_000)
        for n in range(2, 15):
            world.gmail.deliver(ADDRESS, raw(n), internal_date_s=now_s - 1000 - n)
        newest = world.gmail.deliver(ADDRESS, raw(15), internal_date_s=now_s - 500)
        account_id = await world.connect()
        world.gmail.set_fault("too_many", message_id=newest)
        assert (await world.sync(account_id))["count"] == 14
        world.gmail.clear_faults()
        await world.dry(account_id)
        floor_s = float((await world.wiring.accounts.fields(account_id))["cursor"].rpartition(",")[2].rstrip("]"))
        assert floor_s == pytest.approx(now_s - 90_000, abs=1)


async def test_every_sync_leaves_its_figures(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    first = await world.sync(account_id)
    ids = list(world.gmail.truth(ADDRESS))
    world.gmail.relabel(ADDRESS, ids[0], add=["STARRED"])
    world.gmail.delete(ADDRESS, ids[1])
    world.gmail.deliver(ADDRESS, raw(100))
    world.gmail.deliver(ADDRESS, raw(101))
    second = await world.sync(account_id)
    assert second["changes"] == {"created": 2, "updated": 1, "deleted": 1}
    rows: Any = world.redis.valkey.call("XRANGE", "sync_perf:gmail", "-", "+")
    assert len(rows) == 2
    for (_, flat), result in zip(rows, (first, second), strict=True):
        texts = [bytes(each).decode() for each in flat]
        fields = dict(zip(texts[::2], texts[1::2], strict=True))
        assert fields["message_count"] == str(result["count"])
        assert (fields["api_calls"], fields["quota_units"]) == (str(result["api_calls"]), str(result["quota_units"]))
        duration_s = float(fields["duration"])
        assert 0 < duration_s <= result["duration_s"]
        assert float(fields["messages_per_second"]) == pytest.approx(result["count"] / duration_s, rel=0.1)
        ended_s = instant_s(fields["timestamp"])
        assert ended_s == pytest.approx(world.clock.now_s(), abs=10)


async def test_what_is_known_of_a_mailbox_that_was_let_go_is_in_its_fields(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.clock.skip(1000)
    began_s = world.clock.now_s()
    await world.dry(account_id)
    fields = await world.wiring.accounts.fields(account_id)
    for name in ("last_sync_s", "confirmed_s", "looked_s"):
        assert began_s - 0.001 <= float(fields[name]) <= world.clock.now_s()
    size, cap = map(int, fields["window"].split(","))
    assert (0 < size <= cap, fields["pushes_served"], fields["reached"]) == (
        True,
        "0",
        str(world.gmail.history_id(ADDRESS)),
    )
    world.gmail.set_fault("rate_limited", times=1, retry_after=3600)
    world.clock.skip(60)
    await world.sync(account_id)
    later = await world.wiring.accounts.fields(account_id)
    assert float(later["last_sync_s"]) >= began_s + 60
    assert later["confirmed_s"] == fields["confirmed_s"], "a sync that was stopped confirms nothing"
