"""The read side's scripts: what they answer, what a repeat of them changes, and what a late write may not do."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.adapters.redis_reads import KEEP_BYTES_MAX, UNNAMED_BYTES_MAX, RedisReads
from shared.core.errors import BadRequest, StoreDown
from shared.sync.ports import Admitted, Keeping, Kept, Refused
from tests.adapters.stored import ACCOUNT, PROVIDER, Stored

TEXT = "r100:7:p1:AAAA"


def reads(stored: Stored, ttl_s: int = 60) -> RedisReads:
    return RedisReads(stored.client, stored.clock, ttl_s)


async def admitted(stored: Stored, reader: RedisReads, *, alone: bool = False) -> Admitted:
    found = await reader.admit(ACCOUNT, PROVIDER, alone=alone)
    assert isinstance(found, Admitted)
    return found


def keeping(message_id: str = "m1", text: str | None = TEXT, *, unnamed: bool = False) -> Keeping:
    return Keeping(message_id, "p1", text, unnamed)


async def test_a_cached_text_comes_with_the_index_entry_that_it_names(stored: Stored) -> None:
    await stored.append(await stored.begin(), "1", index={"p1": "entry"}, let_go=True)
    await reads(stored).keep(ACCOUNT, Kept(1, [keeping(), Keeping("m2", "p2", "r100:7:p2:AAAA")]))
    looked = await reads(stored).look(ACCOUNT, ["m2", "m3", "m1"])
    assert (looked.texts, looked.entries) == (["r100:7:p2:AAAA", None, TEXT], [None, None, "entry"])
    assert looked.fields["provider"] == PROVIDER
    assert 0 < stored.call("PTTL", stored.of("message:m1")) <= 60_000


async def test_a_lost_reply_charges_once_and_notes_one_view(stored: Stored) -> None:
    reader = reads(stored)
    now_ms = int(stored.clock.now_s() * 1000)
    stored.redis.bridge.inject("drop_reply", match="m1,m2")
    await reader.look(ACCOUNT, ["m1", "m2"])
    stored.redis.bridge.inject("drop_reply", match="unnamed_max")
    kept_ms = int(stored.clock.now_s() * 1000)
    await reader.keep(ACCOUNT, Kept(0, [keeping(unnamed=True)], spent_s=2.0, hold_s=3.0))
    ((stream_id, entry),) = stored.call("XRANGE", stored.of("reads"), "-", "+")
    assert (stream_id, entry) == (f"{now_ms}-0".encode(), [b"r", b"m1,m2"])
    assert (stored.field("full_at_ms"), stored.field("read_ms")) == (str(kept_ms + 2000), str(now_ms))
    assert stored.field("unnamed") == "m1 "
    assert 0 < stored.call("PTTL", stored.of("hold")) <= 3000


async def test_a_thread_that_was_not_cached_is_a_view_too_unless_it_has_been_noted(stored: Stored) -> None:
    for noted in (False, True):
        await reads(stored).keep(ACCOUNT, Kept(0, [keeping()], thread_id="t1", thread=("m1", "m2"), noted=noted))
    ((_, entry),) = stored.call("XRANGE", stored.of("reads"), "-", "+")
    assert entry == [b"r", b"m1,m2"]
    assert stored.field("read_ms") == str(int(stored.clock.now_s() * 1000))


async def test_views_are_in_order_whatever_the_clocks_say_and_bounded(stored: Stored) -> None:
    for _ in range(3):
        await reads(stored).look(ACCOUNT, ["m1"])
        stored.clock.at_s -= 60
    rows = stored.call("XRANGE", stored.of("reads"), "-", "+")
    assert [row[0].partition(b"-")[2] for row in rows] == [b"0", b"1", b"2"]
    stored.call("XTRIM", stored.of("reads"), "MAXLEN", 0)  # what the warmer has taken is not told again
    await reads(stored).look(ACCOUNT, ["m2"])
    assert stored.call("XLEN", stored.of("reads")) == 1
    for _ in range(300):
        stored.call("XADD", stored.of("reads"), "*", "r", "m")
    await reads(stored).look(ACCOUNT, ["m3"])
    assert stored.call("XLEN", stored.of("reads")) == 256


async def test_what_the_index_does_not_have_is_kept_only_if_no_sync_came_between(stored: Stored) -> None:
    before = (await admitted(stored, reads(stored))).version
    await stored.append(await stored.begin(), "1", index={"p2": "entry"}, let_go=True)
    late = Kept(before, [keeping(), Keeping("m2", "p2", TEXT)], thread_id="t1", thread=("m1", "m2"))
    await reads(stored).keep(ACCOUNT, late)
    assert [stored.call("EXISTS", stored.of(name)) for name in ("message:m1", "message:m2", "thread:t1")] == [0, 1, 0]
    await reads(stored).keep(ACCOUNT, Kept(before + 1, late.messages, thread_id="t1", thread=("m1", "m2")))
    assert (await reads(stored).thread(ACCOUNT, "t1")).thread == ["m1", "m2"]
    await reads(stored).keep(ACCOUNT, Kept(before + 1, [keeping(text=None)]))
    assert stored.call("EXISTS", stored.of("message:m1")) == 0


async def test_a_new_message_joins_its_thread_and_leaves_what_readers_have(stored: Stored) -> None:
    await reads(stored).keep(ACCOUNT, Kept(0, [keeping()], thread_id="t1", thread=("m1",)))
    grown = [("t1", "m1"), ("t1", "m2"), ("t2", "m3"), ("t1", "m")]
    await stored.append(await stored.begin(), "1", cache={"m1": "m:1:p1:A", "m2": "m:1:p2:A"}, threads=grown)
    assert stored.call("GET", stored.of("thread:t1")) == b"m1,m2,m"
    assert 0 < stored.call("PTTL", stored.of("thread:t1")) <= 3_600_000
    assert stored.call("EXISTS", stored.of("thread:t2")) == 0
    assert [stored.call("GET", stored.of(f"message:{each}")) for each in ("m1", "m2")] == [TEXT.encode(), b"m:1:p2:A"]


async def test_what_is_taken_of_a_list_leaves_what_was_added_since(stored: Stored) -> None:
    await reads(stored).keep(ACCOUNT, Kept(0, [keeping(each, unnamed=True) for each in ("m1", "m2", "m1")]))
    assert stored.field("unnamed") == "m1 m2 "
    begun = await stored.begin()
    await stored.append(begun, "1", taken={"unnamed": "m1 "})
    assert stored.field("unnamed") == "m2 "
    await stored.append(begun, "2", taken={"unnamed": "m2 "}, index={"p1": "entry"})
    assert stored.field("unnamed") is None
    await reads(stored).keep(ACCOUNT, Kept(0, [keeping(unnamed=True)]))
    assert stored.field("unnamed") is None  # the index knows it


async def test_the_list_of_what_is_to_be_named_is_bounded(stored: Stored) -> None:
    many = [Keeping("m" * 1000 + str(n), f"p{n}", TEXT, unnamed=True) for n in range(80)]
    await reads(stored).keep(ACCOUNT, Kept(0, many))
    assert UNNAMED_BYTES_MAX - 1100 < len(stored.field("unnamed") or "") <= UNNAMED_BYTES_MAX


async def test_one_reader_at_a_time_has_the_permit(stored: Stored) -> None:
    one, other = reads(stored), reads(stored)
    await admitted(stored, one, alone=True)
    await admitted(stored, one, alone=True)  # a repeat after a lost reply
    refused = await other.admit(ACCOUNT, PROVIDER, alone=True)
    assert isinstance(refused, Refused)
    assert (refused.status, 0 < (refused.retry_after_s or 0) <= 60) == ("busy", True)
    await admitted(stored, other)
    await other.keep(ACCOUNT, Kept(0))
    assert isinstance(await other.admit(ACCOUNT, PROVIDER, alone=True), Refused)
    await one.keep(ACCOUNT, Kept(0))
    await admitted(stored, other, alone=True)


async def test_a_reader_sees_whether_a_sync_is_running(stored: Stored) -> None:
    assert not (await admitted(stored, reads(stored))).held
    await stored.begin()
    assert (await admitted(stored, reads(stored))).held


@pytest.mark.parametrize(
    ("state", "status", "slug"), [("reauth_required", 409, "reauth_required"), ("deleting", 404, "unknown_account")]
)
async def test_an_account_that_may_not_be_read_is_refused(stored: Stored, state: str, status: int, slug: str) -> None:
    stored.call("HSET", stored.of("account"), "state", state)
    reader = reads(stored)
    for call in (
        reader.look(ACCOUNT, ["m1"]),
        reader.thread(ACCOUNT, "t1"),
        reader.admit(ACCOUNT, PROVIDER, alone=True),
        reader.labels(ACCOUNT, "[]", 60),
    ):
        with pytest.raises(BadRequest) as refused:
            await call
        assert (refused.value.status, refused.value.slug) == (status, slug)
    await reader.keep(ACCOUNT, Kept(0, [keeping(unnamed=True)], spent_s=1.0, thread_id="t1", thread=("m1",)))
    left: Any = stored.call("KEYS", "td:a1:*")
    assert {key.decode() for key in left} <= {"td:a1:account", "td:a1:log"}


async def test_what_is_large_is_kept_in_several_requests(stored: Stored) -> None:
    texts = [Keeping(f"m{n}", f"p{n}", "r:1:p:" + "A" * (KEEP_BYTES_MAX // 2)) for n in range(3)]
    before = stored.redis.bridge.stats.requests
    await reads(stored).keep(ACCOUNT, Kept(0, texts, spent_s=1.0))
    assert stored.redis.bridge.stats.requests - before == 3
    assert stored.call("EXISTS", *(stored.of(f"message:m{n}") for n in range(3))) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda reader: reader.look(ACCOUNT, ["m1"]),
        lambda reader: reader.thread(ACCOUNT, "t1"),
        lambda reader: reader.admit(ACCOUNT, PROVIDER, alone=True),
        lambda reader: reader.labels(ACCOUNT),
    ],
    ids=["look", "thread", "admit", "labels"],
)
async def test_an_answer_that_no_script_gives_is_a_store_that_is_down(
    stored: Stored, call: Callable[[RedisReads], Awaitable[object]]
) -> None:
    stored.redis.bridge.inject("garbage", times=9)
    with pytest.raises(StoreDown):
        await call(reads(stored))
