"""A Gmail mailbox synced: what it costs, what is in the log, and how it goes on."""

import pytest

from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, raw


def start_counting(world: GmailWorld) -> None:
    world.gmail.reset_counters()
    world.redis.bridge.reset()


async def test_a_first_sync_of_50_messages_takes_4_provider_calls_and_3_redis_requests(world: GmailWorld) -> None:
    world.fill(50)
    account_id = await world.connect()
    start_counting(world)
    result = await world.sync(account_id)
    assert result["status"] == "synced"
    assert result["changes"] == {"created": 50, "updated": 0, "deleted": 0}
    assert (result["api_calls"], result["redis_requests"], result["quota_units"]) == (4, 3, 5 + 50 * 20)
    assert world.counters()["http_requests"] == 4
    assert world.redis.bridge.stats.requests == 3
    assert not result["more"]
    await world.assert_log_equals_mailbox(account_id)


async def test_nothing_new_takes_1_provider_call_and_2_redis_requests(world: GmailWorld) -> None:
    world.fill(5)
    account_id = await world.connect()
    await world.sync(account_id)
    start_counting(world)
    result = await world.sync(account_id)
    assert result["status"] == "no_new_messages"
    assert world.counters()["http_requests"] == result["api_calls"] == 1
    assert world.redis.bridge.stats.requests == result["redis_requests"] == 2


async def test_a_step_with_changes_takes_2_redis_requests_more_than_none(world: GmailWorld) -> None:
    first, *_ = world.fill(5)
    account_id = await world.connect()
    await world.sync(account_id)
    world.gmail.relabel(ADDRESS, first, add=["STARRED"])
    world.gmail.deliver(ADDRESS, raw(100))
    start_counting(world)
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 1, "updated": 1, "deleted": 0}
    assert world.counters()["http_requests"] == result["api_calls"] == 2
    assert world.redis.bridge.stats.requests == result["redis_requests"] == 3
    await world.assert_log_equals_mailbox(account_id)


async def test_label_changes_of_known_messages_cost_nothing_but_the_history(world: GmailWorld) -> None:
    ids = world.fill(10)
    account_id = await world.connect()
    await world.sync(account_id)
    world.gmail.relabel(ADDRESS, *ids[:6], add=["STARRED"], remove=["UNREAD"])
    start_counting(world)
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 0, "updated": 6, "deleted": 0}
    assert (result["api_calls"], result["quota_units"]) == (1, 2)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_deletion_is_confirmed_by_a_read_before_it_is_said(world: GmailWorld) -> None:
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.gmail.delete(ADDRESS, first)
    start_counting(world)
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 0, "updated": 0, "deleted": 1}
    assert result["quota_units"] == 2 + 20
    await world.assert_log_equals_mailbox(account_id)


async def test_moving_to_trash_is_a_patch(world: GmailWorld) -> None:
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.gmail.trash(ADDRESS, first)
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 0, "updated": 1, "deleted": 0}
    assert "TRASH" in (await world.folded(account_id))[first]["labels"]


async def test_only_the_newest_messages_are_wanted_and_an_older_one_comes_when_it_changes(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="7") as world:
        ids = world.fill(20)
        account_id = await world.connect()
        result = await world.sync(account_id)
        assert result["count"] == 7
        await world.assert_log_equals_mailbox(account_id, set(ids[-7:]))
        world.gmail.relabel(ADDRESS, ids[0], add=["STARRED"])
        world.gmail.delete(ADDRESS, ids[1])
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, {*ids[-7:], ids[0]})


async def test_zero_messages_wanted_means_only_what_arrives_from_now_on(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="0") as world:
        world.fill(5)
        account_id = await world.connect()
        assert (await world.sync(account_id))["status"] == "no_new_messages"
        arrived = world.gmail.deliver(ADDRESS, raw(100))
        assert (await world.sync(account_id))["count"] == 1
        await world.assert_log_equals_mailbox(account_id, {arrived})


@pytest.mark.whole
async def test_short_invocations_that_follow_each_other_at_once_get_on_although_the_quota_is_used_up(
    redis: RedisRest,
) -> None:
    """Each poll costs 2 units: were they spent before anything can follow, no read would ever be afforded."""
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", MAX_SYNC_DURATION="0.1") as world:
        world.fill(150)
        account_id = await world.connect()
        count = 0
        for _ in range(400):
            count += (await world.sync(account_id))["count"]
            world.clock.skip(0.004)
        assert count >= 105  # a burst of 2,000 units and 1.6 s of 100 units more at least; 20 each, and the polls


@pytest.mark.whole
async def test_a_new_message_does_not_wait_for_a_long_backfill(redis: RedisRest) -> None:
    """20,000 messages take over an hour at the 2026 prices; the next sync shows the new one first."""
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", MAX_SYNC_DURATION="30") as world:
        world.fill(20_000)
        account_id = await world.connect()
        first = await world.sync(account_id)
        assert (first["status"], first["more"]) == ("partial", True)
        arrived = world.gmail.deliver(ADDRESS, raw(100_000))
        second = await world.sync(account_id)
        assert second["more"]
        created = [e for e in await world.events(account_id) if e["type"] == "tidemark.message.created"]
        seen = [event["subject"] for event in created]
        assert arrived in seen
        assert created[seen.index(arrived)]["data"]["origin"] == "live"
        assert seen.index(arrived) == first["count"]


async def test_threads_are_read_whole_where_that_is_cheaper(world: GmailWorld) -> None:
    root = world.gmail.deliver(ADDRESS, raw(1))
    for n in range(2, 5):
        reply = raw(n, "Re: Message 1", **{"In-Reply-To": "<m1@example.org>", "References": "<m1@example.org>"})
        world.gmail.deliver(ADDRESS, reply, thread_id=root)
    account_id = await world.connect()
    result = await world.sync(account_id)
    assert (result["count"], result["quota_units"]) == (4, 5 + 40)
    await world.assert_log_equals_mailbox(account_id)


async def test_drafts_come_and_go_under_new_ids(world: GmailWorld) -> None:
    account_id = await world.connect()
    await world.dry(account_id)
    draft_id, _ = world.gmail.save_draft(ADDRESS, raw(1, "Draft"))
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    world.gmail.save_draft(ADDRESS, raw(1, "Draft, again"), draft_id)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    world.gmail.send_draft(ADDRESS, draft_id)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    assert all(not message["draft"] for message in (await world.folded(account_id)).values())
