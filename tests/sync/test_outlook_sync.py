"""An Outlook mailbox synced: what it costs, what is in the log, and how it goes on."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.protocol.graph.cursor import decode
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, raw

EIGHT = {
    "inbox": 201,
    "sentitems": 99,
    "archive": 70,
    "deleteditems": 50,
    "junkemail": 40,
    "drafts": 25,
    "outbox": 10,
    "conversationhistory": 5,
}


@pytest.fixture
async def world(redis: RedisRest) -> AsyncIterator[OutlookWorld]:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as made:
        yield made


def fill_eight_folders(world: OutlookWorld) -> int:
    """500 messages; how many pages of 50 they are."""
    number = 0
    for folder, count in EIGHT.items():
        world.fill(count, folder, number)
        number += count
    assert number == 500
    return sum(max(1, -(-count // 50)) for count in EIGHT.values())


async def types(world: OutlookWorld, account_id: str) -> Counter[str]:
    return Counter(event["type"].removeprefix("tidemark.") for event in await world.events(account_id))


async def patches(world: OutlookWorld, account_id: str) -> list[dict[str, Any]]:
    events = await world.events(account_id)
    return [event["data"]["patch"] for event in events if event["type"] == "tidemark.message.updated"]


async def test_500_messages_in_8_folders_take_few_calls_and_never_more_than_4_in_flight(world: OutlookWorld) -> None:
    pages = fill_eight_folders(world)
    account_id = await world.connect()
    world.start_counting()
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 500, "updated": 0, "deleted": 0}
    assert world.counters()["http_requests"] == result["api_calls"] <= pages + 8 + 3
    assert result["api_calls"] < pages  # small folders share a batch
    assert world.counters()["max_in_flight"][ADDRESS] <= 4
    assert not result["more"]
    await world.assert_log_equals_mailbox(account_id)


async def test_two_instances_with_20_parallel_pages_are_never_more_than_4_in_flight(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_MAX_PARALLEL_PAGES="20") as world:
        fill_eight_folders(world)
        world.graph.set_knobs(latency_ms=10)
        account_id = await world.connect()
        other = world.instance()
        results = await asyncio.gather(world.sync(account_id), world.sync(account_id, other))
        assert sorted(result["status"] for result in results) == ["lease_held", "synced"]
        assert world.counters()["max_in_flight"][ADDRESS] <= 4
        assert world.counters()["refused_by_limits"] == 0


async def test_nothing_new_in_8_folders_takes_1_provider_call_and_2_redis_requests(world: OutlookWorld) -> None:
    fill_eight_folders(world)
    account_id = await world.connect()
    await world.sync(account_id)
    world.start_counting()
    result = await world.sync(account_id)
    assert result["status"] == "no_new_messages"
    assert world.counters()["http_requests"] == result["api_calls"] == 1
    assert world.redis.bridge.stats.requests == result["redis_requests"] == 2


async def test_a_step_with_changes_takes_2_redis_requests_more_than_none(world: OutlookWorld) -> None:
    first, *_ = world.fill(5)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.update(ADDRESS, first, flag="flagged", categories=["red"])
    world.graph.deliver(ADDRESS, raw(100))
    world.start_counting()
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 1, "updated": 1, "deleted": 0}
    assert world.counters()["http_requests"] == result["api_calls"] <= 2
    assert world.redis.bridge.stats.requests == result["redis_requests"] <= 4
    await world.assert_log_equals_mailbox(account_id)
    assert await patches(world, account_id) == [{"flagged": True, "categories": ["red"]}]


async def test_new_mail_comes_out_of_the_delta_page_itself(world: OutlookWorld) -> None:
    world.fill(5)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.deliver(ADDRESS, raw(100))
    world.start_counting()
    result = await world.sync(account_id)
    assert (result["changes"]["created"], result["api_calls"], result["redis_requests"]) == (1, 1, 3)


async def test_a_sparse_read_toggle_patches_only_unread(world: OutlookWorld) -> None:
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.update(ADDRESS, first, is_read=True)
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 0, "updated": 1, "deleted": 0}
    assert await patches(world, account_id) == [{"unread": False}]
    await world.assert_log_equals_mailbox(account_id)


async def test_a_move_is_a_patch_and_needs_no_read(world: OutlookWorld) -> None:
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.clock.skip(5)
    world.graph.move(ADDRESS, first, "archive")
    world.start_counting()
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 0, "updated": 1, "deleted": 0}
    assert "messages.get" not in world.counters()["requests"]
    assert await patches(world, account_id) == [{"folder_id": world.graph.folder_id(ADDRESS, "archive")}]
    await world.assert_log_equals_mailbox(account_id)


async def test_a_message_that_went_and_came_back_is_no_deletion(world: OutlookWorld) -> None:
    """Under immutable ids the folder only says that it left (microsoft-graph-docs-contrib#72)."""
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.move(ADDRESS, first, "archive")
    world.graph.move(ADDRESS, first, "inbox")
    results = await world.dry(account_id)
    assert sum(result["count"] for result in results) == 0
    await world.assert_log_equals_mailbox(account_id)


async def test_a_return_that_is_never_named_is_read_ever_more_seldom(world: OutlookWorld) -> None:
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.move(ADDRESS, first, "archive")
    world.graph.move(ADDRESS, first, "inbox")
    world.start_counting()
    for _ in range(32):
        await world.sync(account_id)
    assert world.counters()["requests"]["messages.get"] == 4 + 3  # rounds 1 to 4, 8, 16 and 32


async def test_a_move_that_no_folder_names_is_found_out_after_the_message_left_again(world: OutlookWorld) -> None:
    """The debt: the archive never showed the message, so it need not show that it is gone."""
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.set_knobs(report_unseen_removals=False)
    world.graph.set_fault("slow", endpoint="messages.get", in_batch=True)
    world.graph.move(ADDRESS, first, "archive")
    world.graph.set_fault("server_error", endpoint="messages.delta", folder="archive", times=4)
    assert (await world.sync(account_id))["status"] == "partial"
    world.graph.hard_delete(ADDRESS, first)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)


async def test_a_deletion_is_confirmed_by_a_read_before_it_is_said(world: OutlookWorld) -> None:
    first, *_ = world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.hard_delete(ADDRESS, first)
    world.start_counting()
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 0, "updated": 0, "deleted": 1}
    assert world.counters()["requests"]["messages.get"] == 1
    await world.assert_log_equals_mailbox(account_id)
    world.start_counting()
    assert (await world.sync(account_id))["redis_requests"] == 2


async def test_the_newest_n_of_each_folder_come_first_and_what_is_older_when_it_changes(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="3", OUTLOOK_PAGE_SIZE="5") as world:
        inbox, archive = world.fill(12), world.fill(2, "archive", 100)
        account_id = await world.connect()
        result = await world.sync(account_id)
        assert result["changes"]["created"] == 5
        await world.assert_log_equals_mailbox(account_id, only={*inbox[-3:], *archive})
        world.graph.move(ADDRESS, inbox[0], "archive")
        world.graph.update(ADDRESS, inbox[1], is_read=True)
        world.graph.update(ADDRESS, inbox[2], flag="flagged")
        world.graph.hard_delete(ADDRESS, inbox[3])
        assert (await world.sync(account_id))["changes"] == {"created": 3, "updated": 0, "deleted": 0}
        await world.assert_log_equals_mailbox(account_id, only={*inbox[-3:], *archive, *inbox[:3]})


async def test_bodies_are_in_the_chain_only_where_most_rows_are_named(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="3") as world:
        world.fill(12)
        world.fill(5, "archive", 100)
        account_id = await world.connect()
        await world.sync(account_id)
        lines = [line for line in world.graph.requests() if line["endpoint"] == "messages.delta"]
        inbox = world.graph.folder_id(ADDRESS, "inbox")
        first = [line["url"] for line in lines if "select" in line["url"]]
        assert {inbox in url: bool(re.search("body(?!Preview)", url)) for url in first} == {True: False, False: True}
        assert all(message["body"]["content"] for message in (await world.folded(account_id)).values())


async def test_with_0_only_what_arrives_from_now_on_is_named(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="0") as world:
        world.fill(5)
        for number in range(3):
            world.graph.deliver(ADDRESS, raw(50 + number))
        account_id = await world.connect()
        between = world.graph.deliver(ADDRESS, raw(60))
        assert (await world.sync(account_id))["changes"]["created"] == 1
        fields = await world.wiring.accounts.fields(account_id)
        assert decode(fields["cursor"]).pins == ()
        later = world.graph.deliver(ADDRESS, raw(61))
        assert (await world.sync(account_id))["changes"]["created"] == 1
        await world.assert_log_equals_mailbox(account_id, only={between, later})


async def test_every_continuation_says_how_it_wants_to_be_answered(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="7") as world:
        ids = world.fill(30)
        account_id = await world.connect()
        await world.sync(account_id)
        world.graph.hard_delete(ADDRESS, ids[0])
        await world.sync(account_id)
        lines = [line for line in world.graph.requests() if line["endpoint"] not in ("batch", "me")]
        prefer = 'odata.maxpagesize=7, IdType="ImmutableId", outlook.body-content-type="text"'
        assert {line["prefer"] for line in lines} == {prefer}
        assert all("$top" not in line["url"] for line in lines)
        calls = [line["client_request_id"] for line in world.graph.requests() if not line["in_batch"]]
        assert None not in calls
        assert len(set(calls)) == len(calls)


@pytest.mark.parametrize(("body", "content_type"), [("text", "text/plain"), ("html", "text/html"), ("none", None)])
async def test_bodies_come_as_they_are_asked_for(redis: RedisRest, body: str, content_type: str | None) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_BODY=body, BODY_BYTES_MAX="10") as world:
        world.fill(1)
        account_id = await world.connect()
        await world.sync(account_id)
        (message,) = (await world.folded(account_id)).values()
        if content_type is None:
            assert message["body"] is None
        else:
            assert message["body"]["content_type"] == content_type
            assert message["body"]["truncated"]
            assert len(message["body"]["content"]) == 10


async def test_a_new_folder_is_followed_and_what_was_moved_there_is_known(world: OutlookWorld) -> None:
    ids = world.fill(5)
    account_id = await world.connect()
    await world.sync(account_id)
    world.clock.skip(5)
    made = world.graph.add_folder(ADDRESS, "Projects", "inbox")
    world.graph.move(ADDRESS, ids[0], made)
    world.graph.deliver(ADDRESS, raw(100), made)
    result = await world.sync(account_id)
    assert result["changes"] == {"created": 1, "updated": 1, "deleted": 0}
    created = [event for event in await world.events(account_id) if event["type"] == "tidemark.message.created"]
    assert created[-1]["data"]["origin"] == "live"
    world.graph.deliver(ADDRESS, raw(101), made)
    assert (await world.sync(account_id))["changes"]["created"] == 1
    await world.assert_log_equals_mailbox(account_id)


async def test_a_renamed_folder_changes_no_message(world: OutlookWorld) -> None:
    made = world.graph.add_folder(ADDRESS, "Projects")
    world.fill(3, made)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.rename_folder(ADDRESS, made, "Archive of projects")
    assert (await world.sync(account_id))["count"] == 0
    await world.assert_log_equals_mailbox(account_id)


async def test_the_messages_of_a_deleted_folder_are_read_before_they_are_called_deleted(world: OutlookWorld) -> None:
    made = world.graph.add_folder(ADDRESS, "Projects")
    ids = world.fill(4, made)
    account_id = await world.connect()
    await world.sync(account_id)
    world.graph.move(ADDRESS, ids[0], "inbox")
    world.graph.delete_folder(ADDRESS, made)
    await world.dry(account_id)
    assert (await types(world, account_id))["message.deleted"] == 3
    await world.assert_log_equals_mailbox(account_id)


async def test_leaving_the_tracked_folders_is_a_patch_and_coming_back_is_created(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_FOLDERS="inbox,Archive") as world:
        world.tracked = {"inbox", "archive"}
        first, *_ = world.fill(3)
        world.fill(3, "drafts", 50)
        account_id = await world.connect()
        assert (await world.sync(account_id))["changes"]["created"] == 3
        world.graph.move(ADDRESS, first, "junkemail")
        assert (await world.sync(account_id))["changes"] == {"created": 0, "updated": 1, "deleted": 0}
        world.graph.update(ADDRESS, first, flag="flagged")
        assert (await world.sync(account_id))["count"] == 0
        await world.assert_log_equals_mailbox(account_id)
        world.graph.move(ADDRESS, first, "archive")
        assert (await world.sync(account_id))["changes"] == {"created": 1, "updated": 0, "deleted": 0}
        await world.assert_log_equals_mailbox(account_id)


async def test_a_folder_that_is_tracked_from_now_on_gets_its_newest(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="2", OUTLOOK_FOLDERS="inbox") as world:
        inbox, archive = world.fill(3), world.fill(3, "archive", 50)
        account_id = await world.connect()
        await world.sync(account_id)
        await world.assert_log_equals_mailbox(account_id, only=set(inbox[-2:]))
        more = world.instance(OUTLOOK_FOLDERS="inbox,archive")
        assert (await world.sync(account_id, more))["changes"]["created"] == 2
        await world.assert_log_equals_mailbox(account_id, only={*inbox[-2:], *archive[-2:]})


async def test_a_folder_that_is_tracked_no_more_is_not_read_and_nothing_is_said(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        inbox, archive = world.fill(3), world.fill(3, "archive", 50)
        account_id = await world.connect()
        await world.sync(account_id)
        fewer = world.instance(OUTLOOK_FOLDERS="inbox")
        world.graph.update(ADDRESS, archive[0], flag="flagged")
        assert (await world.sync(account_id, fewer))["count"] == 0
        world.tracked = {"inbox"}
        folded = await world.folded(account_id)
        assert folded.keys() == {*inbox, *archive}
        assert (await world.sync(account_id))["changes"]["updated"] == 1


async def test_a_draft_that_is_written_on_is_patched_where_it_changed(world: OutlookWorld) -> None:
    draft = world.graph.save_draft(ADDRESS, raw(1))
    account_id = await world.connect()
    await world.sync(account_id)
    world.clock.skip(2)
    world.graph.update(ADDRESS, draft, subject="Better")
    world.clock.skip(2)
    await world.sync(account_id)
    world.graph.update(ADDRESS, draft, toRecipients=[{"emailAddress": {"name": "Kim", "address": "kim@example.org"}}])
    await world.sync(account_id)
    subject, envelope = await patches(world, account_id)
    assert subject == {"subject": "Better"}
    assert envelope["to"] == [{"name": "Kim", "address": "kim@example.org"}]
    assert "subject" not in envelope
    sent = world.graph.send(ADDRESS, draft)
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    assert (await world.folded(account_id))[sent]["folder_id"] == world.graph.folder_id(ADDRESS, "sentitems")


async def test_new_mail_does_not_wait_for_old_mail(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="2") as world:
        world.fill(3, "archive")
        world.fill(60, first=100)
        account_id = await world.connect()
        new: list[str] = []

        def deliver_meanwhile(step: int) -> None:
            if step == 110:
                new.append(world.graph.deliver(ADDRESS, raw(1000), "archive"))

        world.on_step = deliver_meanwhile
        await world.sync(account_id)
        created = [e["data"] for e in await world.events(account_id) if e["type"].endswith("message.created")]
        at = [data["message"]["id"] for data in created].index(new[0])
        assert created[at]["origin"] == "live"
        assert at < len(created) - 10


@pytest.mark.whole
async def test_the_index_costs_at_most_120_bytes_a_message(world: OutlookWorld) -> None:
    world.fill(1500)
    account_id = await world.connect()
    await world.sync(account_id)

    def size(key: str) -> int:
        return int(str(world.redis.valkey.call("MEMORY", "USAGE", f"td:{account_id}:{key}", "SAMPLES", "0")))

    assert world.redis.valkey.call("HLEN", f"td:{account_id}:index") == 1500
    assert size("index") / 1500 <= 80
    assert size("account") < 24_000  # cursor, folders, prefixes, sealed tokens


async def test_a_sync_that_is_cut_off_goes_on_where_it_was(redis: RedisRest) -> None:
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="10", MAX_SYNC_DURATION="1") as world:
        world.fill(100)
        account_id = await world.connect()
        first = await world.sync(account_id)
        assert (first["status"], first["more"]) == ("partial", True)
        shown = await world.wiring.show_account(account_id)
        assert shown["backfill"] == {"phase": "walking", "origin": "backfill"}
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)
        assert (await world.wiring.show_account(account_id))["backfill"] is None
