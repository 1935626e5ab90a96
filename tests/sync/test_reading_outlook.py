"""Reading an Outlook mailbox for an app: bodies in both forms, one permit for all readers, what the log says since."""

import asyncio
from typing import Any

import pytest

from shared.core.errors import BadRequest, Throttled
from shared.protocol.graph import reading
from shared.sync.reading import Answer
from shared.wiring import Wiring
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, raw

FILE = (
    b"MIME-Version: 1.0\r\nSubject: Plans\r\nFrom: a@example.org\r\nMessage-ID: <plans@example.org>\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n'
    b'<p>Dear <b>Robin</b></p>see below\r\n--b\r\nContent-Type: application/pdf; name="plan.pdf"\r\n'
    b'Content-Disposition: attachment; filename="plan.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    b"UERG\r\n--b--\r\n"
)


async def synced(world: OutlookWorld, count: int = 3) -> tuple[str, list[str]]:
    ids = world.fill(count)
    account_id = await world.connect()
    await world.dry(account_id)
    return account_id, ids


async def read(
    world: OutlookWorld, account_id: str, ids: list[str], wiring: Wiring | None = None
) -> tuple[Answer, int]:
    """The answer, and how many requests Graph saw for it."""
    before = world.graph.counters()["http_requests"]
    answer = await (wiring or world.wiring).reading.messages(account_id, ids)
    return answer, world.graph.counters()["http_requests"] - before


async def test_fifty_messages_cost_three_calls_and_then_one_request_to_redis(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world, 50)
        cold, calls = await read(world, account_id, ids)
        assert (calls, cold.error, list(cold.found)) == (3, None, ids)
        before = redis.bridge.stats.requests
        warm, calls = await read(world, account_id, ids, world.instance())
        assert (calls, redis.bridge.stats.requests - before) == (0, 1)
        assert warm.found == cold.found


@pytest.mark.parametrize(("kind", "shown"), [("text", "text/plain"), ("html", "text/html"), ("none", "text/plain")])
async def test_both_bodies_and_what_is_attached_are_read(redis: RedisRest, kind: str, shown: str) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_BODY=kind) as world:
        message_id = world.graph.deliver(ADDRESS, FILE, "inbox")
        account_id = await world.connect()
        answer, _ = await read(world, account_id, [message_id])
        message: Any = answer.found[message_id]
        assert message["bodies"]["text"]["content"] == "Dear Robin\nsee below"
        assert "<b>Robin</b>" in message["bodies"]["html"]["content"]
        assert message["body"]["content_type"] == shown
        (attached,) = message["attachments"]
        assert attached.pop("id")
        expected = {"name": "plan.pdf", "content_type": "application/pdf", "size_bytes": 3, "inline": False}
        assert attached == expected


async def test_what_the_log_says_later_is_what_is_read(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, second, third) = await synced(world)
        await read(world, account_id, [first, second, third])
        world.clock.skip(5)
        world.graph.update(ADDRESS, first, isRead=True)
        world.graph.move(ADDRESS, second, "archive")
        world.graph.hard_delete(ADDRESS, third)
        await world.dry(account_id)
        answer, calls = await read(world, account_id, [first, second, third])
        folders = {each["id"]: each for each in await world.wiring.reading.folders(account_id)}
        assert answer.found[first]["unread"] is False
        assert folders[answer.found[second]["folder_id"] or ""]["kind"] == "archive"
        assert (answer.missing, calls) == ([third], 1)


async def test_a_text_that_has_changed_is_read_again(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, *_) = await synced(world)
        await read(world, account_id, [first])
        world.clock.skip(5)
        world.graph.update(ADDRESS, first, categories=["Red"])
        await world.dry(account_id)
        for calls in (1, 0):
            answer, seen = await read(world, account_id, [first])
            assert (answer.found[first]["categories"], seen) == (["Red"], calls)


async def test_a_read_that_is_newer_than_the_log_is_not_taken_back(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, *_) = await synced(world)
        world.clock.skip(5)
        world.graph.update(ADDRESS, first, isRead=True)
        for calls in (1, 0):
            answer, seen = await read(world, account_id, [first])
            assert (answer.found[first]["unread"], seen) == (False, calls)


async def test_a_message_that_was_not_wanted_is_named_because_it_was_read(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="1") as world:
        account_id, ids = await synced(world)
        await read(world, account_id, ids[:2])
        await world.dry(account_id)
        folded = await world.folded(account_id)
        assert set(folded) == set(ids)
        answer, calls = await read(world, account_id, ids[:2])
        assert (list(answer.found), calls) == (ids[:2], 0)


async def test_a_message_outside_the_tracked_folders_is_read_and_not_named(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="0", OUTLOOK_FOLDERS="inbox") as world:
        account_id, (first, second, _) = await synced(world)
        world.graph.move(ADDRESS, first, "archive")
        await read(world, account_id, [first, second])
        world.graph.move(ADDRESS, second, "archive")
        await world.dry(account_id)
        assert await world.folded(account_id) == {}
        assert not redis.valkey.call("HEXISTS", f"td:{account_id}:account", "unnamed")


async def test_missing_ids_do_not_keep_the_others_from_being_read(redis: RedisRest) -> None:
    """Beside a running sync the parts of a batch wait for each other, and none is tried behind one that fails."""
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, (first, second, third) = await synced(world)
        redis.valkey.call("SET", f"td:{account_id}:lease", "somebody", "PX", "60000")
        gone = [f"{first[:-4]}{n:04d}" for n in range(2)]
        answer, calls = await read(world, account_id, [first, gone[0], second, gone[1], third])
        assert (list(answer.found), answer.missing, answer.error) == ([first, second, third], gone, None)
        assert calls == 3


async def test_beside_a_running_sync_readers_have_one_request_in_flight(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world, 6)
        redis.valkey.call("SET", f"td:{account_id}:lease", "somebody", "PX", "60000")
        world.graph.set_knobs(latency_ms=8.0, part_latency_share=0.5)
        world.graph.reset_counters()
        halves = (ids[:3], ids[3:])
        await asyncio.gather(*(read(world, account_id, some, world.instance()) for some in halves))
        assert world.graph.counters()["max_in_flight"] == {ADDRESS: 1}
        assert world.graph.counters()["requests"]["messages.get"] == 6


async def test_a_reader_waits_for_the_permit_and_gives_up_at_last(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world)
        redis.valkey.call("SET", f"td:{account_id}:reading", "somebody", "PX", "60000")
        answer, calls = await read(world, account_id, ids)
        assert (answer.unavailable, calls) == (ids, 0)
        assert isinstance(answer.error, Throttled)


async def test_a_part_refused_for_concurrency_is_asked_for_again(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, ids = await synced(world)
        world.graph.set_fault("throttled", endpoint="messages.get", times=1, retry_after_s=1)
        answer, _ = await read(world, account_id, ids)
        assert (list(answer.found), answer.error) == (ids, None)


async def test_a_conversation_is_read_page_by_page_over_all_folders(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="2") as world:
        now_s = world.graph.clock.now_s()
        ids = [
            world.graph.deliver(
                ADDRESS,
                raw(n, "Plans", References="<plans@example.org>"),
                ("inbox", "archive")[n % 2],
                received_at_s=now_s - 90 + n,
            )
            for n in range(3)
        ]
        account_id = await world.connect()
        await world.dry(account_id)
        answer, _ = await read(world, account_id, ids[:1])
        thread_id = answer.found[ids[0]]["thread_id"] or ""
        for calls in (2, 0):
            before = world.graph.counters()["http_requests"]
            thread = await world.wiring.reading.thread(account_id, thread_id)
            assert (list(thread.found), thread.whole) == (ids, True)
            assert world.graph.counters()["http_requests"] - before == calls
        world.graph.deliver(ADDRESS, raw(4, "Plans", References="<plans@example.org>"), "inbox")
        await world.dry(account_id)
        assert len((await world.wiring.reading.thread(account_id, thread_id)).found) == 4


async def test_an_unknown_conversation_is_told(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id, _ = await synced(world)
        with pytest.raises(BadRequest) as refused:
            await world.wiring.reading.thread(account_id, "AAQk")
        assert refused.value.slug == "unknown_thread"


async def test_folders_come_from_the_last_sync(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id = await world.connect()
        assert await world.wiring.reading.folders(account_id) == []
        made = world.graph.add_folder(ADDRESS, "Grüße")
        await world.dry(account_id)
        before = world.graph.counters()["http_requests"]
        folders = {each["id"]: each for each in await world.wiring.reading.folders(account_id)}
        assert (folders[made]["name"], folders[made]["kind"]) == ("Grüße", "user")
        assert "inbox" in {each["kind"] for each in folders.values()}
        assert world.graph.counters()["http_requests"] == before


async def test_a_conversation_without_end_is_not_read_to_its_end(
    redis: RedisRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "THREAD_PAGES_MAX", 2)
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="1") as world:
        ids = [
            world.graph.deliver(ADDRESS, raw(n, "Plans", References="<plans@example.org>"), "inbox") for n in range(3)
        ]
        account_id = await world.connect()
        answer, _ = await read(world, account_id, ids[:1])
        for _ in range(2):
            thread = await world.wiring.reading.thread(account_id, answer.found[ids[0]]["thread_id"] or "")
            assert (len(thread.found), thread.whole) == (2, False)
