"""Alerts of a mailbox: raised once, cleared once, in its own log."""

import orjson

from shared.sync import alerts
from tests.conftest import RedisRest
from tests.world import GmailWorld


def said(entries: list[str]) -> list[tuple[str, str, str | None]]:
    return [(kind, data["alert"], data["detail"]) for kind, data in map(orjson.loads, entries)]


def test_an_alert_is_raised_once_and_cleared_once() -> None:
    entries, active = alerts.changed(frozenset(), {alerts.SLOW: "31 s", alerts.STALE: None})
    assert (said(entries), active) == ([("alert.raised", "slow_sync", "31 s")], frozenset({"slow_sync"}))
    assert alerts.changed(active, {alerts.SLOW: "40 s", alerts.STALE: None}) == ([], active)
    entries, active = alerts.changed(active, {alerts.SLOW: None, alerts.STALE: None})
    assert (said(entries), active) == ([("alert.cleared", "slow_sync", None)], frozenset())


def test_an_alert_that_was_not_asked_about_stays() -> None:
    assert alerts.changed(frozenset({"other"}), {alerts.STALE: "late"})[1] == {"other", "stale"}


def test_what_is_raised_is_stored_as_a_sorted_list() -> None:
    assert alerts.dump({"stale", "slow_sync"}) == '["slow_sync","stale"]'
    assert alerts.load(alerts.dump({"stale"})) == {"stale"}
    assert alerts.load(None) == frozenset()


async def test_a_sync_that_takes_longer_than_the_threshold_says_so_once(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", SLOW_SYNC_THRESHOLD="0.001") as world:
        world.fill(3)
        account_id = await world.connect()
        await world.sync(account_id)
        await world.sync(account_id)
        said = [event["data"]["alert"] for event in await world.events(account_id) if ".alert." in event["type"]]
        assert said == ["slow_sync"]
        calm = world.instance(SLOW_SYNC_THRESHOLD="1000")
        await world.sync(account_id, calm)
        kinds = [event["type"] for event in await world.events(account_id) if ".alert." in event["type"]]
        assert kinds == ["tidemark.alert.raised", "tidemark.alert.cleared"]


async def test_what_a_sync_waits_for_does_not_make_it_slow(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", SLOW_SYNC_THRESHOLD="8") as world:
        account_id = await world.connect()
        world.gmail.set_fault("rate_limited", times=1, retry_after=10)
        assert (await world.sync(account_id))["duration_s"] > 10
        assert [event["type"] for event in await world.events(account_id)] == ["tidemark.account.connected"]


async def test_a_mailbox_that_cannot_be_confirmed_for_too_long_is_stale(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", FRESHNESS_OBJECTIVE="300") as world:
        world.fill(3)
        account_id = await world.connect()
        await world.dry(account_id)
        world.clock.skip(400)
        world.gmail.set_fault("unavailable", times=3)
        assert (await world.sync(account_id))["status"] == "partial"
        await world.dry(account_id)
        kinds = [event["type"] for event in await world.events(account_id) if ".alert." in event["type"]]
        assert kinds == ["tidemark.alert.raised", "tidemark.alert.cleared"]
