"""The warmer's side of Redis: what it looks at, what it may take, and what it leaves."""

from typing import Any

import pytest

from shared.adapters.redis_shelf import BYTES_MAX, ENTRIES_MAX, RedisShelf
from shared.core.interest import Candidate, Likely
from shared.core.message import FIELDS
from shared.core.quota import Governor
from shared.protocol import cached
from shared.protocol.step import Fetched
from shared.sync.warm import READER_S, Looked, Price, price
from tests.adapters.stored import ACCOUNT, EVENT, PROVIDER, Stored

TAG, TTL_S = "f1", 3600.0
FREE = Price(0.0, 0.0, 0.0, 0.0)


def shelf(stored: Stored) -> RedisShelf:
    return RedisShelf(stored.client, stored.clock, PROVIDER, TAG, TTL_S)


def fetched(message_id: str) -> Fetched:
    return Fetched(dict.fromkeys(FIELDS) | {"id": message_id}, "7")  # type: ignore[arg-type]


def text(message_id: str, tag: str = TAG) -> str:
    return cached.pack(fetched(message_id), tag, "packed")


async def look(stored: Stored) -> Looked:
    looked = await shelf(stored).look(ACCOUNT)
    assert looked is not None
    return looked


async def take(stored: Stored, looked: Looked, *likely: str, at: Price = FREE, worth: bool = True) -> Any:
    found = [Likely(Candidate(each, f"t{each}", "s", 0.0), 1.0, worth) for each in likely]
    return [want.message_id for want in await shelf(stored).take(ACCOUNT, looked, "model", found, at)]


async def test_a_look_sees_the_views_and_the_news_since_what_was_taken(stored: Stored) -> None:
    await stored.append(await stored.begin(), "s1", events=[EVENT], release=True)
    stored.call("XADD", stored.of("reads"), "1500-0", "r", "m1,m2")
    first = await look(stored)
    assert (first.number, first.model, first.reads) == (0, "", [(1.5, ["m1", "m2"])])
    assert first.entries[-1] == EVENT
    await take(stored, first)
    second = await look(stored)
    assert (second.number, second.model, second.reads, second.entries) == (1, "model", [], [])
    await stored.append(await stored.begin(), "s2", events=[EVENT], release=True)
    assert (await look(stored)).entries == [EVENT]


async def test_a_look_is_limited_to_the_newest_entries(stored: Stored) -> None:
    await stored.append(await stored.begin(), "s1", events=[EVENT] * (ENTRIES_MAX + 10), release=True)
    assert len((await look(stored)).entries) == ENTRIES_MAX


async def test_a_look_is_limited_in_bytes_and_what_it_leaves_of_the_views_is_seen_next(stored: Stored) -> None:
    for n in range(3):
        stored.call("XADD", stored.of("reads"), f"{n + 1}-0", "r", f"{n}" * (BYTES_MAX // 2))
    stored.call("XADD", stored.of("log"), "2-0", "e", "x" * (BYTES_MAX + 1))
    stored.call("HSET", stored.of("account"), "seq", 2)
    first = await look(stored)
    assert ([ids[0][0] for _, ids in first.reads], first.entries) == (["0", "1"], [])
    await take(stored, first)
    assert [ids[0][0] for _, ids in (await look(stored)).reads] == ["2"]


async def test_a_log_that_began_anew_is_looked_at_from_its_start(stored: Stored) -> None:
    await stored.append(await stored.begin(), "s1", events=[EVENT], release=True)
    await take(stored, await look(stored))
    stored.call("HSET", stored.of("account"), "epoch", "e2")
    assert EVENT in (await look(stored)).entries


async def test_views_that_come_between_look_and_take_are_left_for_the_next_look(stored: Stored) -> None:
    stored.call("XADD", stored.of("reads"), "1500-0", "r", "m1")
    looked = await look(stored)
    stored.call("XADD", stored.of("reads"), "1500-1", "r", "m2")
    await take(stored, looked)
    assert (await look(stored)).reads == [(1.5, ["m2"])]


async def test_only_what_is_worth_it_and_not_cached_for_readers_is_taken(stored: Stored) -> None:
    held, shallow = stored.of("message:held"), stored.of("message:shallow")
    stored.call("SET", held, text("held"), "PX", 1000)
    stored.call("SET", shallow, text("shallow", "m1"), "PX", 1000)
    assert await take(stored, await look(stored), "held", "absent", "shallow") == ["absent", "shallow"]
    assert await take(stored, await look(stored), "absent", worth=False) == []


async def test_what_is_likely_and_cached_is_kept_for_another_while(stored: Stored) -> None:
    stored.call("SET", stored.of("message:held"), text("held"), "PX", 1000)
    stored.call("SET", stored.of("thread:theld"), "held", "PX", 1000)
    await take(stored, await look(stored), "held", worth=False)
    assert stored.call("PTTL", stored.of("thread:theld")) > 3_000_000
    assert stored.call("PTTL", stored.of("message:held")) > 3_000_000


@pytest.mark.parametrize("key", ["td:a1:lease", "td:a1:hold", f"td:breaker:{PROVIDER}:open"])
async def test_nothing_is_taken_while_the_mailbox_is_held_or_closed(stored: Stored, key: str) -> None:
    stored.call("SET", key, "1", "PX", 10_000)
    assert await take(stored, await look(stored), "m1") == []


async def test_what_is_taken_ends_with_the_share_of_the_quota_and_is_charged_to_it(stored: Stored) -> None:
    at = price(Governor.per_minute(6000), 20, 0.1, metered=True)
    assert at == Price(warm_s=2.0, warm_most_s=20.0, live_s=0.2, live_most_s=10.0)
    ids = [f"m{n}" for n in range(50)]
    assert await take(stored, await look(stored), *ids, at=at) == ids[:10]
    now_ms = stored.clock.now_s() * 1000
    assert float(stored.field("warm_full_ms") or 0) == pytest.approx(now_ms + 20_000, abs=2)
    assert await take(stored, await look(stored), *ids, at=at) == []
    stored.clock.at_s += 6.0
    assert await take(stored, await look(stored), *ids, at=at) == ids[:3]


async def test_nothing_is_taken_that_live_sync_may_need(stored: Stored) -> None:
    """Half of the mailbox's burst is left to it."""
    at = price(Governor.per_minute(6000), 20, 1.0, metered=True)
    stored.call("HSET", stored.of("account"), "full_at_ms", int(stored.clock.now_s() * 1000) + 9000)
    assert len(await take(stored, await look(stored), *(f"m{n}" for n in range(50)), at=at)) == 5


async def test_of_a_provider_without_units_requests_are_counted_for_warming_alone(stored: Stored) -> None:
    at = price(Governor.per_minute(1000), 1, 0.1, metered=False)
    assert at.warm_s == pytest.approx(0.6)
    assert at.live_s == 0.0
    assert len(await take(stored, await look(stored), *(f"m{n}" for n in range(50)), at=at)) == 33


async def test_a_lost_reply_is_charged_once_and_answered_the_same(stored: Stored) -> None:
    at = price(Governor.per_minute(6000), 20, 0.1, metered=True)
    looked = await look(stored)
    stored.redis.bridge.inject("drop_reply", match="EVAL", times=1)
    assert await take(stored, looked, "m1", "m2", at=at) == ["m1", "m2"]
    now_ms = stored.clock.now_s() * 1000
    assert float(stored.field("warm_full_ms") or 0) == pytest.approx(now_ms + 4000, abs=500)
    assert stored.hash("interest")["number"] == "1"


async def test_who_learnt_from_an_older_model_takes_nothing_and_changes_nothing(stored: Stored) -> None:
    stored.call("XADD", stored.of("reads"), "1500-0", "r", "m1")
    one, other = await look(stored), await look(stored)
    assert await take(stored, one, "m1") == ["m1"]
    before = stored.hash("interest")
    assert await take(stored, other, "m1") == []
    assert stored.hash("interest") == before


async def test_what_was_read_is_found_by_its_tag(stored: Stored) -> None:
    stored.call("SET", stored.of("message:m1"), text("m1"))
    stored.call("SET", stored.of("message:m2"), text("m2", "m1"))
    assert await shelf(stored).cached(ACCOUNT, ["m1", "m2", "m3"]) == [fetched("m1"), None, None]


async def test_a_deleted_account_is_neither_looked_at_nor_written_to(stored: Stored) -> None:
    looked = await look(stored)
    await stored.accounts.mark_deleted(ACCOUNT, PROVIDER)
    await stored.accounts.forget(ACCOUNT, PROVIDER, "gmail|h1")
    assert await shelf(stored).look(ACCOUNT) is None
    assert await take(stored, looked, "m1") == []
    assert stored.call("KEYS", f"td:{ACCOUNT}:*") == []


async def test_deleting_an_account_takes_its_model_and_its_views_with_it(stored: Stored) -> None:
    stored.call("XADD", stored.of("reads"), "1500-0", "r", "m1")
    await take(stored, await look(stored), "m1")
    await stored.accounts.mark_deleted(ACCOUNT, PROVIDER)
    await stored.accounts.forget(ACCOUNT, PROVIDER, "gmail|h1")
    assert stored.call("KEYS", f"td:{ACCOUNT}:*") == []


async def test_a_model_is_forgotten_with_its_reader(stored: Stored) -> None:
    await take(stored, await look(stored))
    assert READER_S - 60 < stored.call("PTTL", stored.of("interest")) / 1000 <= READER_S
