"""Reading a Gmail mailbox for an app: what it costs, what the log says since, what can't be read now."""

from typing import Any

import pytest

from shared.core.errors import (
    AuthorizationLost,
    BadRequest,
    BreakerOpen,
    ContractBroken,
    ProviderDown,
    StoreDown,
    Throttled,
)
from shared.sync.reading import Answer
from shared.wiring import Wiring
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, raw


async def synced(world: GmailWorld, count: int = 3) -> tuple[str, list[str]]:
    """A mailbox whose messages are all in the log; the newest first."""
    world.fill(count)
    account_id = await world.connect()
    await world.sync(account_id)
    return account_id, list(reversed(world.gmail.truth(ADDRESS)))


async def read(world: GmailWorld, account_id: str, ids: list[str], wiring: Wiring | None = None) -> tuple[Answer, int]:
    """The answer, and how many requests Gmail saw for it."""
    before = world.counters()["http_requests"]
    answer = await (wiring or world.wiring).reading.messages(account_id, ids)
    return answer, world.counters()["http_requests"] - before


def requests(world: GmailWorld) -> int:
    return world.redis.bridge.stats.requests


async def test_fifty_messages_cost_three_calls_and_then_one_request_to_redis(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world, 60)
        cold, calls = await read(world, account_id, ids[:50])
        assert (calls, cold.provider_calls, list(cold.found)) == (3, 3, ids[:50])
        before = requests(world)
        warm, calls = await read(world, account_id, ids[:50], world.instance())
        assert (calls, requests(world) - before) == (0, 1)
        assert warm.found == cold.found


async def test_what_the_log_says_later_is_what_is_read(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, second, third) = await synced(world)
        await read(world, account_id, [first, second, third])
        world.gmail.relabel(ADDRESS, first, add=["STARRED"], remove=["UNREAD"])
        world.gmail.delete(ADDRESS, second)
        await world.sync(account_id)
        answer, calls = await read(world, account_id, [first, second, third])
        assert (answer.found[first]["flagged"], answer.found[first]["unread"]) == (True, False)
        assert (answer.missing, list(answer.found)) == ([second], [first, third])
        assert calls == 1  # nothing is cached of the deleted one


async def test_a_read_that_is_newer_than_the_log_is_not_taken_back(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, *_) = await synced(world)
        world.gmail.relabel(ADDRESS, first, remove=["UNREAD"])
        for calls in (1, 0):
            answer, seen = await read(world, account_id, [first])
            assert (answer.found[first]["unread"], seen) == (False, calls)


async def test_a_message_older_than_the_floor_is_named_because_it_was_read(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="1") as world:
        account_id, ids = await synced(world)
        await read(world, account_id, ids[1:2])
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, only=set(ids[:2]))
        world.gmail.relabel(ADDRESS, ids[1], add=["STARRED"])
        await world.sync(account_id)
        answer, calls = await read(world, account_id, ids[1:2])
        assert (answer.found[ids[1]]["flagged"], calls) == (True, 0)
        assert not redis.valkey.call("HEXISTS", f"td:{account_id}:account", "unnamed")


async def test_many_old_messages_are_named_over_several_syncs(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="0") as world:
        account_id, ids = await synced(world, 60)
        await read(world, account_id, ids)
        assert [(await world.sync(account_id))["count"] for _ in range(3)] == [50, 10, 0]
        await world.assert_log_equals_mailbox(account_id)


async def test_an_old_message_that_is_deleted_before_it_was_named_leaves_the_cache(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="0") as world:
        account_id, ids = await synced(world)
        await read(world, account_id, ids)
        world.gmail.delete(ADDRESS, ids[0])
        await world.sync(account_id)
        answer, _ = await read(world, account_id, ids)
        assert answer.missing == ids[:1]
        await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize("key", ["hold", "breaker:gmail:open"])
async def test_what_is_cached_is_answered_though_the_provider_may_not_be_asked(redis: RedisRest, key: str) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, second, _) = await synced(world)
        await read(world, account_id, [first])
        name = f"td:{key}" if key.startswith("breaker") else f"td:{account_id}:{key}"
        redis.valkey.call("SET", name, "1", "PX", "60000")
        answer, calls = await read(world, account_id, [first, second])
        assert (list(answer.found), answer.unavailable, calls) == ([first], [second], 0)
        assert isinstance(answer.error, BreakerOpen if key.startswith("breaker") else Throttled)
        assert 0 < (answer.error.after_s or 0) <= 60


async def test_the_probe_of_a_half_open_breaker_is_left_to_a_sync(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, *_) = await synced(world)
        redis.valkey.call("HSET", "td:breaker:gmail", "opened", "1")
        answer, calls = await read(world, account_id, [first])
        assert (answer.unavailable, calls) == ([first], 0)


async def test_a_failed_part_is_retried_alone_and_one_that_fails_for_good_is_unavailable(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, second, third) = await synced(world)
        world.gmail.set_fault("backend_error", message_id=first, times=1)
        answer, calls = await read(world, account_id, [first, second])
        assert (list(answer.found), answer.error, calls) == ([first, second], None, 2)
        world.gmail.set_fault("backend_error", message_id=third)
        answer, _ = await read(world, account_id, [first, third])
        assert (list(answer.found), answer.unavailable) == ([first], [third])


async def test_what_readers_spend_is_charged_to_the_mailbox(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world)

        def full_at_ms() -> int:
            return int(redis.valkey.call("HGET", f"td:{account_id}:account", "full_at_ms") or 0)  # type: ignore[arg-type]

        world.clock.skip(3600)
        now_ms = world.clock.now_s() * 1000
        redis.bridge.inject("drop_reply", match="unnamed_max")
        await read(world, account_id, ids)
        assert 600 <= full_at_ms() - now_ms < 1200  # three at 20 units, of 100 a second


async def test_ids_that_are_none_are_missing_and_cost_nothing(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, _ = await synced(world)
        answer, calls = await read(world, account_id, ["X", "1a2b" * 5])
        assert (answer.missing, answer.error, calls) == (["X", "1a2b" * 5], None, 0)


async def test_the_warmer_is_told_of_a_view_in_the_same_request(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world)
        for _ in range(2):
            await read(world, account_id, ids)
        entries: Any = redis.valkey.call("XRANGE", f"td:{account_id}:reads", "-", "+")
        assert [bytes(entry[1][1]).decode() for entry in entries] == [",".join(ids)] * 2
        read_ms = float(redis.valkey.call("HGET", f"td:{account_id}:account", "read_ms"))  # type: ignore[arg-type]
        assert abs(read_ms - world.clock.now_s() * 1000) < 10_000


async def test_a_thread_is_one_call_and_then_none_until_a_message_joins_it(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        now_s = world.gmail.clock.now_s()
        first = world.gmail.deliver(ADDRESS, raw(1, "Plans"), internal_date_s=now_s - 60)
        thread_id = world.gmail.truth(ADDRESS)[first]["threadId"]
        second = world.gmail.deliver(ADDRESS, raw(2, "Re: Plans"), internal_date_s=now_s - 30, thread_id=thread_id)
        account_id = await world.connect()
        await world.sync(account_id)
        for calls in (1, 0):
            before = world.counters()["http_requests"]
            answer = await world.wiring.reading.thread(account_id, thread_id)
            assert list(answer.found) == [first, second]
            assert world.counters()["http_requests"] - before == calls
        third = world.gmail.deliver(ADDRESS, raw(3, "Re: Plans"), thread_id=thread_id)
        await world.sync(account_id)
        assert list((await world.wiring.reading.thread(account_id, thread_id)).found) == [first, second, third]
        world.gmail.delete(ADDRESS, second)
        await world.sync(account_id)
        for _ in range(2):
            assert list((await world.wiring.reading.thread(account_id, thread_id)).found) == [first, third]


@pytest.mark.parametrize("thread_id", ["1a2b", "X"])
async def test_an_unknown_thread_is_told(redis: RedisRest, thread_id: str) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, _ = await synced(world)
        with pytest.raises(BadRequest) as refused:
            await world.wiring.reading.thread(account_id, thread_id)
        assert (refused.value.status, refused.value.slug) == (404, "unknown_thread")


async def test_labels_have_their_names_for_five_minutes(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        label_id = world.gmail.add_label(ADDRESS, "Grüße")
        account_id, _ = await synced(world)
        before = world.counters()["http_requests"]
        for _ in range(2):
            folders = {each["id"]: each for each in await world.wiring.reading.folders(account_id)}
            assert folders[label_id]["name"] == "Grüße"
            assert (folders["INBOX"]["kind"], folders[label_id]["kind"]) == ("system", "user")
        assert world.counters()["http_requests"] - before == 1


async def test_a_store_that_is_down_is_no_answer(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world)
        redis.bridge.inject("refuse", times=99)
        with pytest.raises(StoreDown):
            await read(world, account_id, ids)


async def test_half_a_thread_is_no_answer(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", MAX_RETRIES="1") as world:
        account_id, (first, *_) = await synced(world)
        thread_id = world.gmail.truth(ADDRESS)[first]["threadId"]
        fault = world.gmail.set_fault("garbage", call="threads.get")
        with pytest.raises(ContractBroken):
            await world.wiring.reading.thread(account_id, thread_id)
        world.gmail.clear_faults(fault)
        world.gmail.set_fault("unavailable", call="threads.get")
        with pytest.raises(ProviderDown):
            await world.wiring.reading.thread(account_id, thread_id)
        world.gmail.clear_faults()
        await world.wiring.reading.thread(account_id, thread_id)
        redis.valkey.call("DEL", f"td:{account_id}:message:{first}")
        redis.valkey.call("SET", f"td:{account_id}:hold", "1", "PX", "60000")
        with pytest.raises(Throttled):
            await world.wiring.reading.thread(account_id, thread_id)


async def test_labels_that_cannot_be_read_now_are_told(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, _ = await synced(world)
        world.gmail.set_fault("too_many", call="labels.list", retry_after=600)
        with pytest.raises(Throttled):
            await world.wiring.reading.folders(account_id)
        answer, calls = await read(world, account_id, ["1a2b"])
        assert (answer.empty, answer.unavailable, calls) == (True, ["1a2b"], 0)  # everyone rests


async def test_a_dead_grant_ends_a_read(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, second, _) = await synced(world)
        await read(world, account_id, [first])
        world.gmail.revoke(ADDRESS)
        with pytest.raises(AuthorizationLost):
            await read(world, account_id, [second])
        await world.sync(account_id)
        with pytest.raises(BadRequest) as refused:
            await read(world, account_id, [first])
        assert (refused.value.status, refused.value.slug) == (409, "reauth_required")
