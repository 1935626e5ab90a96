"""The change log pushed to an app: after a sync, with a ping, after a push; in order, whatever dies on the way."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from shared.adapters import redis_deliveries
from shared.wiring import Wiring
from tests.conftest import RedisRest
from tests.receiver import Receiver
from tests.world import ADDRESS, GmailWorld, Killed, raw

pytestmark = pytest.mark.whole
HOURS, EVERY_S = 6, 1800


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def environment(receiver: Receiver) -> dict[str, str]:
    return {"INITIAL_SYNC_MESSAGES": "all", **receiver.environment}


@pytest.fixture
async def world(redis: RedisRest, receiver: Receiver) -> AsyncIterator[GmailWorld]:
    async with GmailWorld(redis, emulator=None, **environment(receiver)) as made:
        yield made


async def ping(world: GmailWorld, wiring: Wiring | None = None) -> dict[str, Any]:
    answer = await (wiring or world.wiring).answer_sync("gmail", (), {})
    return dict(orjson.loads(answer.body))


def time_passes(world: GmailWorld, seconds: float) -> None:
    """For leases and open breakers too, whose time the store counts."""
    world.clock.skip(seconds)
    for pattern in ("td:target:*:*", "td:*:delivering"):
        for key in world.redis.valkey.call("KEYS", pattern):  # type: ignore[union-attr]
            world.redis.valkey.call("DEL", key)  # type: ignore[arg-type]


async def delivered(world: GmailWorld, receiver: Receiver, account_id: str) -> None:
    """Every event of the log, in its order."""
    assert receiver.of(account_id) == await world.events(account_id)


async def test_what_a_sync_appends_is_delivered_right_after_it(world: GmailWorld, receiver: Receiver) -> None:
    world.fill(3)
    account_id = await world.connect()
    assert (await world.sync(account_id))["redis_requests"] == 3, "of the delivery, none is counted"
    await delivered(world, receiver, account_id)
    assert [len(each.events) for each in receiver.requests] == [4]
    world.gmail.deliver(ADDRESS, raw(99))
    await world.sync(account_id)
    assert [event["type"] for event in receiver.requests[1].events] == ["tidemark.message.created"]


async def test_what_a_push_calls_for_is_delivered_in_a_task_of_its_own(world: GmailWorld, receiver: Receiver) -> None:
    account_id = await world.connect()
    world.gmail.deliver(ADDRESS, raw(1))
    await world.wiring.woken("gmail", account_id)
    await world.wiring.delivering.idle()
    await delivered(world, receiver, account_id)


async def test_a_quiet_ping_costs_one_redis_request_more_for_all_mailboxes(
    world: GmailWorld, receiver: Receiver
) -> None:
    account_id = await world.connect()
    await world.dry(account_id)
    await ping(world)
    world.redis.bridge.reset()
    result = (await ping(world))["results"][0]
    assert (result["api_calls"], result["redis_requests"]) == (1, 2)
    assert world.redis.bridge.stats.requests == 4  # the due accounts, the sync's two, the due deliveries


async def six_hours(world: GmailWorld) -> list[tuple[Any, ...]]:
    """New mail, a sync and a ping every so often; what each sync cost."""
    world.fill(3)
    account_id = await world.connect("a1")
    costs = []
    for n in range(HOURS * 3600 // EVERY_S):
        world.gmail.deliver(ADDRESS, raw(100 + n))
        for result in (await world.sync(account_id), *(await ping(world))["results"]):
            costs.append(
                tuple(result[name] for name in ("status", "count", "api_calls", "quota_units", "redis_requests"))
            )
        time_passes(world, EVERY_S)
    return costs


async def test_a_receiver_that_is_down_for_six_hours_gets_everything_and_no_sync_notices(
    redis: RedisRest, receiver: Receiver
) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        without = await six_hours(world)
    redis.valkey.call("FLUSHALL")
    receiver.answers = [503]
    async with GmailWorld(redis, emulator=None, **environment(receiver)) as world:
        assert await six_hours(world) == without
        attempts = len(receiver.requests)
        assert 5 < attempts < 20
        shown = await world.wiring.show_account("a1")
        assert shown["webhook"]["attempts"] == attempts
        assert shown["webhook"]["lag"] == len(await world.events("a1"))
        receiver.answers = [200]
        for _ in range(4):
            time_passes(world, EVERY_S)
            await ping(world)
        await delivered(world, receiver, "a1")
        assert len({each.id for each in receiver.requests[: attempts + 1]}) == 1, "a repeat has the same id"
        assert receiver.requests[attempts].body == receiver.requests[0].body
        assert (await world.wiring.show_account("a1"))["webhook"]["lag"] == 0
        await world.assert_log_equals_mailbox("a1")


async def test_a_kill_at_any_io_step_of_a_delivery_loses_nothing(
    world: GmailWorld, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_deliveries, "BATCH_EVENTS_MAX", 2)
    world.fill(4)
    account_id = await world.connect()
    await world.sync(account_id)
    events = await world.events(account_id)
    epoch = events[0]["id"].split(".")[1]
    of, later = world.wiring.delivering, world.clock.now_s() + 1e9
    step = 0
    while True:
        step += 1
        receiver.requests.clear()
        await of._store.redeliver(account_id, f"{epoch}.0")
        world.steps.clear()
        world.kill_at = step
        try:
            await of.account(account_id, later)
        except Killed:
            time_passes(world, 60)
            await ping(world)
            assert receiver.events == events, step
            continue
        break
    world.kill_at = None
    assert step == 15, "four requests to Redis and three to the receiver, before and after each"


async def test_a_receiver_that_is_gone_is_left_alone_until_somebody_asks(world: GmailWorld, receiver: Receiver) -> None:
    receiver.answers = [410]
    account_id = await world.connect()
    world.gmail.deliver(ADDRESS, raw(1))
    await world.sync(account_id)
    for _ in range(3):
        world.clock.skip(3600)
        await ping(world)
    assert len(receiver.requests) == 1
    target = await world.wiring.delivering.target()
    assert target is not None
    assert target["state"] == "paused"
    receiver.answers = [200]
    await world.wiring.redeliver(account_id, None)
    await world.wiring.delivering.idle()
    await delivered(world, receiver, account_id)


async def test_one_accounts_poison_does_not_hold_up_another(world: GmailWorld, receiver: Receiver) -> None:
    account_id = await world.connect()
    receiver.answers = [400, 200]
    world.gmail.deliver(ADDRESS, raw(1))
    await world.sync(account_id)
    other = "other@example.com"
    world.gmail.add_mailbox(other)
    connected = await world.wiring.import_account("gmail", other, "user-2", world.gmail.refresh_token(other), "a2")
    await ping(world)
    await delivered(world, receiver, connected.account_id)
    assert receiver.of(account_id) == []


async def test_a_disconnected_account_is_the_last_that_the_app_hears_of_it(
    world: GmailWorld, receiver: Receiver
) -> None:
    account_id = await world.connect()
    await world.dry(account_id)
    await ping(world)
    await world.wiring.delete_account(account_id)
    assert [event["type"] for event in receiver.of(account_id)] == [
        "tidemark.account.connected",
        "tidemark.account.disconnected",
    ]
    assert world.redis.valkey.call("KEYS", f"td:{account_id}:*") == []
    assert world.redis.valkey.call("EXISTS", "td:undelivered") == 0


async def test_a_deletion_that_is_killed_says_it_again_under_the_same_id(world: GmailWorld, receiver: Receiver) -> None:
    account_id = await world.connect()
    await world.dry(account_id)
    await ping(world)
    receiver.requests.clear()
    world.on_step = lambda number: setattr(world, "kill_at", number) if receiver.requests else None
    with pytest.raises(Killed):
        await world.wiring.delete_account(account_id)
    world.on_step = None
    await ping(world)
    once, again = (each.events for each in receiver.requests)
    assert once == again
    assert once[0]["type"] == "tidemark.account.disconnected"
    assert await world.wiring.overview.accounts() == []


@pytest.mark.parametrize("status", [410, 500])
async def test_a_dead_receiver_fails_no_deletion(world: GmailWorld, receiver: Receiver, status: int) -> None:
    account_id = await world.connect()
    receiver.answers = [status]
    await world.sync(account_id)
    await ping(world)
    await world.wiring.delete_account(account_id)
    assert await world.wiring.overview.accounts() == []
    assert len(receiver.requests) == (1 if status == 410 else 2)


async def test_a_lost_grant_is_told_right_away_and_only_where_there_is_a_webhook(
    redis: RedisRest, receiver: Receiver
) -> None:
    for given in (environment(receiver), {"INITIAL_SYNC_MESSAGES": "all"}):
        redis.valkey.call("FLUSHALL")
        async with GmailWorld(redis, emulator=None, **given) as world:
            account_id = await world.connect()
            await world.dry(account_id)
            world.gmail.revoke(ADDRESS)
            receiver.requests.clear()
            assert (await world.sync(account_id))["status"] == "reauth_required"
            said = [event["type"] for event in receiver.events]
            assert ("tidemark.account.reauth_required" in said) == ("WEBHOOK_URL" in given)
            await world.wiring.delivering.account(account_id, world.clock.now_s() + 10)
            assert len(receiver.requests) == (1 if said else 0)


async def test_redis_out_of_reach_fails_no_delivery_loudly(world: GmailWorld, receiver: Receiver) -> None:
    account_id = await world.connect()
    await world.sync(account_id)
    world.redis.bridge.inject("refuse", times=100)
    await world.wiring.delivering.account(account_id, world.clock.now_s() + 10)
    await world.wiring.delivering.due(world.clock.now_s() + 10)
    assert receiver.requests == []
