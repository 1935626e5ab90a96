"""Watches and subscriptions over months: renewed, lost and found again, told when they lapse; and nothing is missed."""

import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.emulators.gmail.settings import Settings as GmailSettings
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.renewal_world import (
    ADDRESS,
    HOUR_S,
    PUSH,
    TOPIC,
    Pushes,
    endpoint,
    gmail_pushes,
    ping,
    stored,
    take_gmail,
    take_outlook,
)
from tests.world import GmailWorld, raw

pytestmark = pytest.mark.whole

DAY_S = 24 * HOUR_S


@pytest.fixture
async def world(redis: RedisRest) -> AsyncIterator[GmailWorld]:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", **PUSH) as made:
        made.pushes = gmail_pushes(made)  # type: ignore[attr-defined]
        yield made


def watch(world: GmailWorld) -> object:
    return world.gmail.watches.running(ADDRESS)


def calls(world: GmailWorld, name: str) -> int:
    return int(world.gmail.counters()["calls"].get(name, 0))


# --- months: a watch lives 7 days, so 8 show each renewed and none run out; DAYS=30 (make months) is the promise

DAYS = int(os.environ.get("DAYS", "8"))


async def test_days_of_gmail_have_no_gap(redis: RedisRest) -> None:
    rng = random.Random("thirty days of gmail")
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", **PUSH) as world:
        pushes = gmail_pushes(world, loss=0.3, double=0.3)
        account_id = await world.connect()
        wiring, number = world.wiring, 0
        for _ in range(DAYS * 24):
            for _ in range(rng.choice([0, 0, 1, 2])):
                number += 1
                world.gmail.deliver(ADDRESS, raw(number))
                world.clock.skip(rng.uniform(0, 900))
                for woken in await take_gmail(wiring, pushes):
                    await wiring.woken("gmail", woken)
            world.clock.skip(rng.uniform(1000, 3000))
            if rng.random() < 0.05:
                wiring = world.instance()
            if rng.random() < 0.01:
                world.gmail.watches.of.clear()  # lost without a word
            await ping(wiring, "gmail")
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)
        assert number > 13 * DAYS
        assert watch(world) is not None
        assert not [event for event in await world.events(account_id) if event["type"].endswith("watch_lapsing")]


async def test_days_of_outlook_have_no_gap(redis: RedisRest) -> None:
    rng = random.Random("thirty days of outlook")
    kept: list[Pushes] = []
    with endpoint(lambda: kept[0]) as server:
        settings: dict[str, Any] = {
            "OUTLOOK_FOLDERS": "inbox,archive",
            "PUBLIC_URL": server.url,
            "LOG_RETENTION_DAYS": "3660",
        }
        async with OutlookWorld(redis, **settings) as world:
            kept.append(Pushes(redis, world.clock, 2, loss=0.3, double=0.3))
            account_id = await world.connect()
            wiring, number = world.wiring, 0
            for _ in range(DAYS * 24):
                for _ in range(rng.choice([0, 0, 0, 1])):
                    number += 1
                    world.graph.deliver(ADDRESS, raw(number), "inbox")
                world.clock.skip(rng.uniform(2000, 5000))
                world.graph.settle()
                for woken in await take_outlook(wiring, kept[0]):
                    await wiring.woken("outlook", woken)
                if rng.random() < 0.05:
                    wiring = world.instance()
                if rng.random() < 0.01:
                    (found, *_) = world.graph.subscriptions(ADDRESS)
                    world.graph.lifecycle(found["id"], "subscriptionRemoved")
                await ping(wiring, "outlook")
            await world.dry(account_id)
            await world.assert_log_equals_mailbox(account_id)
            assert number > 3 * DAYS
            assert len(world.graph.subscriptions(ADDRESS)) == 1


# --- Gmail


async def test_a_connection_begins_the_watch_and_its_own_notification_is_stale(world: GmailWorld) -> None:
    account_id = await world.connect()
    assert watch(world) is not None
    world.clock.skip(HOUR_S)
    assert await take_gmail(world.wiring, world.pushes) == []  # type: ignore[attr-defined]
    assert stored(world.redis, account_id, "hints") == "0"


async def test_a_ping_renews_once_a_day_and_never_moves_the_cursor(world: GmailWorld) -> None:
    account_id = await world.connect()
    await world.dry(account_id)
    world.gmail.reset_counters()
    for _ in range(48):
        world.clock.skip(HOUR_S)
        await ping(world.wiring, "gmail")
    assert calls(world, "watch") == 2
    before = stored(world.redis, account_id, "cursor")
    message_id = world.gmail.deliver(ADDRESS, raw(1))
    world.clock.skip(DAY_S)
    result = await ping(world.wiring, "gmail")
    assert (calls(world, "watch"), result["results"][0]["count"]) == (3, 1)
    assert stored(world.redis, account_id, "cursor") != before
    assert message_id in await world.folded(account_id)


async def test_a_sync_that_is_no_ping_renews_nothing(world: GmailWorld) -> None:
    account_id = await world.connect()
    world.gmail.reset_counters()
    world.clock.skip(2 * DAY_S)
    await world.sync(account_id)
    assert calls(world, "watch") == 0


async def test_a_watch_of_another_topic_is_stopped_first(world: GmailWorld) -> None:
    mailbox = world.gmail.mailbox(ADDRESS)
    world.gmail.watches.start(mailbox, TOPIC, [], "include")
    world.gmail.watches.of[ADDRESS].topic = TOPIC + "-other"
    await world.connect()
    assert world.gmail.watches.of[ADDRESS].topic == TOPIC
    assert calls(world, "stop") == 1


async def test_a_watch_that_fails_fails_no_connection_and_is_tried_again(world: GmailWorld) -> None:
    world.gmail.settings.publisher_permitted = False
    account_id = await world.connect()
    assert watch(world) is None
    assert stored(world.redis, account_id, "watch_reason") == "forbidden"
    assert (await ping(world.wiring, "gmail"))["results"][0]["status"] == "no_new_messages"
    world.gmail.settings.publisher_permitted = True
    world.clock.skip(HOUR_S)
    await ping(world.wiring, "gmail")
    assert watch(world) is not None


async def test_a_lapsing_watch_is_told_once(world: GmailWorld) -> None:
    account_id = await world.connect()
    world.gmail.settings.publisher_permitted = False
    told = []
    for _ in range(8):
        world.clock.skip(DAY_S)
        await ping(world.wiring, "gmail")
        told.append(sum(each["type"].endswith("watch_lapsing") for each in await world.events(account_id)))
    assert told == [0, 0, 0, 0, 1, 1, 1, 1]
    (event,) = [each for each in await world.events(account_id) if each["type"].endswith("watch_lapsing")]
    assert event["data"]["reason"] == "forbidden"
    world.gmail.settings.publisher_permitted = True
    world.clock.skip(HOUR_S)
    await ping(world.wiring, "gmail")
    world.gmail.settings.publisher_permitted = False
    world.clock.skip(6.5 * DAY_S)
    await ping(world.wiring, "gmail")
    assert sum(each["type"].endswith("watch_lapsing") for each in await world.events(account_id)) == 2


@pytest.mark.parametrize("kind", ["unavailable", "reset", "garbage"])
async def test_a_provider_that_is_down_for_the_watch_is_not_down_for_the_sync(world: GmailWorld, kind: str) -> None:
    account_id = await world.connect()
    world.gmail.deliver(ADDRESS, raw(1))
    world.clock.skip(2 * DAY_S)
    world.gmail.set_fault(kind, call="watch", times=9)
    assert (await ping(world.wiring, "gmail"))["results"][0]["count"] == 1
    assert stored(world.redis, account_id, "watch_reason") != ""


async def test_a_watch_is_renewed_with_a_new_access_token_where_the_old_one_is_refused(world: GmailWorld) -> None:
    await world.connect()
    world.gmail.watches.of.clear()
    world.clock.skip(DAY_S)
    world.gmail.set_fault("unauthenticated", call="watch", times=1)
    await ping(world.wiring, "gmail")
    assert watch(world) is not None


async def test_a_deletion_stops_the_watch_before_the_grant_is_revoked(world: GmailWorld) -> None:
    account_id = await world.connect()
    await world.wiring.delete_account(account_id)
    assert watch(world) is None
    assert calls(world, "stop") == 1


async def test_a_deletion_whose_watch_cannot_be_stopped_goes_on(world: GmailWorld) -> None:
    account_id = await world.connect()
    world.gmail.revoke(ADDRESS)
    await world.wiring.delete_account(account_id)
    assert await world.wiring.overview.accounts() == []


async def test_a_grant_that_dies_of_the_testing_status_says_so(redis: RedisRest) -> None:
    async with GmailWorld(redis, emulator=GmailSettings(testing_expiry=True), **PUSH) as world:
        gmail_pushes(world)
        account_id = await world.connect()
        reasons = []
        for _ in range(8 * 24):
            world.clock.skip(HOUR_S)
            reasons += [each.get("reason") for each in (await ping(world.wiring, "gmail"))["results"]]
        assert [reason for reason in reasons if reason] == ["testing_app_7_days"]
        said = [each["type"] for each in await world.events(account_id)]
        assert said.count("tidemark.account.reauth_required") == 1


async def test_a_grant_that_dies_of_something_else_says_what(world: GmailWorld) -> None:
    await world.connect()
    world.clock.skip(3 * DAY_S)
    world.gmail.revoke(ADDRESS)
    assert (await ping(world.wiring, "gmail"))["results"][0]["reason"] == "invalid_grant"


# --- Outlook


@pytest.fixture
async def outlook(redis: RedisRest) -> AsyncIterator[tuple[OutlookWorld, Pushes]]:
    kept: list[Pushes] = []
    with endpoint(lambda: kept[0]) as server:
        async with OutlookWorld(redis, PUBLIC_URL=server.url, LOG_RETENTION_DAYS="3660") as made:
            kept.append(Pushes(redis, made.clock, 3, loss=0.0, double=0.0))
            yield made, kept[0]


async def arrived(world: OutlookWorld, pushes: Pushes) -> list[str]:
    """What has been pushed until now, an hour later."""
    world.clock.skip(60)
    world.graph.settle()
    world.clock.skip(HOUR_S + 1)
    return await take_outlook(world.wiring, pushes)


async def test_a_notification_wakes_the_mailbox(outlook: tuple[OutlookWorld, Pushes]) -> None:
    world, pushes = outlook
    account_id = await world.connect()
    await world.dry(account_id)
    (found,) = world.graph.subscriptions(ADDRESS)
    assert found["resource"] == "/me/messages"
    message_id = world.graph.deliver(ADDRESS, raw(1), "archive")
    assert await arrived(world, pushes) == [account_id]
    await world.wiring.woken("outlook", account_id)
    assert message_id in await world.folded(account_id)


async def test_a_subscription_is_renewed_daily_by_moving_its_end(outlook: tuple[OutlookWorld, Pushes]) -> None:
    world, _ = outlook
    await world.connect()
    (before,) = world.graph.subscriptions(ADDRESS)
    for _ in range(30):
        world.clock.skip(HOUR_S)
        await ping(world.wiring, "outlook")
    (after,) = world.graph.subscriptions(ADDRESS)
    assert after["id"] == before["id"]
    assert after["expirationDateTime"] > before["expirationDateTime"]


async def test_the_longest_life_is_learned_and_renewed_before_half_of_it(
    outlook: tuple[OutlookWorld, Pushes],
) -> None:
    world, _ = outlook
    world.graph.set_knobs(subscription_minutes_max=1440)
    account_id = await world.connect()
    assert stored(world.redis, account_id, "watch_minutes_max") == "1440"
    world.clock.skip(11 * HOUR_S)
    (before,) = world.graph.subscriptions(ADDRESS)
    await ping(world.wiring, "outlook")
    (after,) = world.graph.subscriptions(ADDRESS)
    assert after["id"] == before["id"]
    assert after["expirationDateTime"] > before["expirationDateTime"]


@pytest.mark.parametrize("payload", ["documented", "actual"])
async def test_a_removed_subscription_is_made_anew_and_nothing_fell_in_between(
    outlook: tuple[OutlookWorld, Pushes], payload: str
) -> None:
    world, pushes = outlook
    world.graph.set_knobs(lifecycle_payload=payload)
    account_id = await world.connect()
    await world.dry(account_id)
    (before,) = world.graph.subscriptions(ADDRESS)
    world.graph.lifecycle(before["id"], "subscriptionRemoved")
    message_id = world.graph.deliver(ADDRESS, raw(1))
    assert await arrived(world, pushes) == [account_id]
    assert stored(world.redis, account_id, "watch_ask") == "recreate"
    await world.wiring.woken("outlook", account_id)
    (after,) = world.graph.subscriptions(ADDRESS)
    assert after["id"] != before["id"]
    assert stored(world.redis, account_id, "watch_ask") == ""
    assert message_id in await world.folded(account_id)


async def test_a_subscription_that_asks_for_it_is_reauthorized(outlook: tuple[OutlookWorld, Pushes]) -> None:
    world, pushes = outlook
    account_id = await world.connect()
    (before,) = world.graph.subscriptions(ADDRESS)
    world.graph.lifecycle(before["id"], "reauthorizationRequired")
    assert account_id in await arrived(world, pushes)
    await world.wiring.woken("outlook", account_id)
    (after,) = world.graph.subscriptions(ADDRESS)
    assert (after["id"], stored(world.redis, account_id, "watch_ask")) == (before["id"], "")
    assert after["expirationDateTime"] > before["expirationDateTime"]


async def test_a_subscription_that_expired_is_made_anew_by_the_ping(outlook: tuple[OutlookWorld, Pushes]) -> None:
    world, _ = outlook
    account_id = await world.connect()
    await world.dry(account_id)
    world.clock.skip(8 * DAY_S)
    assert world.graph.subscriptions(ADDRESS) == []
    message_id = world.graph.deliver(ADDRESS, raw(1))
    await ping(world.wiring, "outlook")
    assert len(world.graph.subscriptions(ADDRESS)) == 1
    assert message_id in await world.folded(account_id)


async def test_a_deletion_ends_the_subscription(outlook: tuple[OutlookWorld, Pushes]) -> None:
    world, _ = outlook
    account_id = await world.connect()
    await world.wiring.delete_account(account_id)
    assert world.graph.subscriptions(ADDRESS) == []


async def test_a_url_that_does_not_answer_fails_no_connection(redis: RedisRest) -> None:
    async with OutlookWorld(redis, PUBLIC_URL="http://127.0.0.1:9") as world:
        account_id = await world.connect()
        assert stored(redis, account_id, "watch_reason").lower() == "validationerror"
        assert (await ping(world.wiring, "outlook"))["results"][0]["status"] == "no_new_messages"
