"""The store's contract, over the real bridge: every state transition, every guard, every repeat, every lost reply."""

import asyncio
from typing import Any

import pytest

from shared.core.errors import LeaseLost, StoreDown
from shared.sync.ports import Append, Begun
from tests.adapters.stored import ACCOUNT, ENTRY_BYTES, EVENT, Stored
from tests.conftest import RedisRest
from tests.sync.desk import START_S

LOST = ("drop_request", "drop_reply", "truncate", "garbage", "refuse")


# begin


async def test_a_begin_takes_the_lease_and_reads_the_account(stored: Stored) -> None:
    begun = await stored.begin()
    assert (begun.fence, begun.version, begun.hints, begun.lost, begun.probe) == ("1", 0, 0, "", False)
    assert begun.fields["cursor"] == "c0"
    assert stored.call("GET", stored.of("lease")) == b"o1"
    assert 59_000 < stored.call("PTTL", stored.of("lease")) <= 60_000


async def test_each_begin_has_a_higher_fence(stored: Stored) -> None:
    first = await stored.begin()
    stored.call("DEL", stored.of("lease"))
    second = await stored.begin(stored.another(), owner="o2")
    assert int(second.fence) > int(first.fence)


async def test_a_held_lease_is_an_outcome_and_counts_as_a_hint(stored: Stored) -> None:
    await stored.begin()
    refused = await stored.refused()
    assert refused.status == "lease_held"
    assert refused.retry_after_s is not None
    assert 0 < refused.retry_after_s <= 60
    assert stored.field("hints") == "1"
    await stored.refused(as_hint=True)
    assert stored.field("hints") == "2"


async def test_a_hint_is_counted_by_the_begin_that_it_starts(stored: Stored) -> None:
    assert (await stored.begin(as_hint=True)).hints == 1


async def test_an_unknown_account_is_an_outcome(stored: Stored) -> None:
    stored.call("DEL", stored.of("account"))
    assert (await stored.refused()).status == "unknown"


async def test_an_account_of_another_provider_is_unknown(stored: Stored) -> None:
    stored.call("HSET", stored.of("account"), "provider", "outlook")
    assert (await stored.refused()).status == "unknown"


@pytest.mark.parametrize("state", ["reauth_required", "paused", "deleting"])
async def test_an_account_that_is_not_active_is_not_begun(stored: Stored, state: str) -> None:
    stored.call("HSET", stored.of("account"), "state", state, "reason", "invalid_grant")
    refused = await stored.refused()
    assert (refused.status, refused.reason, refused.retry_after_s) == (state, "invalid_grant", None)
    assert stored.call("EXISTS", stored.of("lease")) == 0


async def test_a_cool_down_is_kept_by_the_store(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", let_go=True, hold_s=90.0)
    refused = await stored.refused()
    assert refused.status == "cooling_down"
    assert refused.retry_after_s is not None
    assert 89 < refused.retry_after_s <= 90


@pytest.mark.parametrize("kind", LOST)
async def test_a_begin_whose_reply_was_lost_begins_again(stored: Stored, kind: Any) -> None:
    stored.redis.bridge.inject(kind)
    begun = await stored.begin()
    assert stored.field("fence") == begun.fence
    await stored.append(begun, f"{begun.fence}.1", events=[EVENT])


async def test_without_redis_there_is_no_sync(stored: Stored) -> None:
    stored.redis.bridge.inject("refuse", times=9)
    with pytest.raises(StoreDown):
        await stored.store.begin(ACCOUNT, owner="o1")


@pytest.mark.parametrize(
    ("gone", "lost"),
    [
        (["index"], "index"),
        (["log"], "log"),
        (["cursor"], "cursor"),
        (["cursor", "log"], "log"),
        (["log", "index"], "index"),
    ],
)
async def test_a_missing_key_is_lost_state_and_begins_a_new_epoch(stored: Stored, gone: list[str], lost: str) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", index={"m": "v"}, let_go=True)
    for name in gone:
        if name == "cursor":
            stored.call("HDEL", stored.of("account"), "cursor")
        else:
            stored.call("DEL", stored.of(name))
    again = await stored.begin()
    assert (again.lost, again.fields["lost"]) == (lost, lost)
    assert (again.fields["epoch"] == "e1") == (lost == "cursor")
    assert again.fields["seq"] == ("1" if lost == "cursor" else "0")


async def test_lost_state_stays_lost_until_a_step_takes_it_up(stored: Stored) -> None:
    stored.call("HDEL", stored.of("account"), "cursor")
    await stored.begin()
    begun = await stored.begin()
    assert begun.lost == "cursor"
    await stored.append(begun, "2.1", fields={"cursor": "c1"}, taken={"lost": "cursor"}, let_go=True)
    assert (await stored.begin()).lost == ""


# append


async def test_a_step_is_stored_whole(stored: Stored) -> None:
    begun = await stored.begin()
    appended = await stored.append(
        begun,
        "1.1",
        events=[EVENT, EVENT],
        index={"m1": "v1", "m2": "v2"},
        cache={"m1": "text", "m2": None},
        pages={"ids/0": ["m1", "m2"]},
        fields={"cursor": "c1"},
        spent_s=2.0,
        perf={"message_count": "2"},
    )
    assert (appended.released, appended.log_full) == (False, False)
    assert (begun.version, begun.hints) == (1, 0)
    assert stored.log() == [(1, "account.connected"), (2, "message.deleted"), (3, "message.deleted")]
    assert stored.hash("index") == {"m1": "v1", "m2": "v2"}
    assert stored.hash("pages") == {"ids/0": "m1,m2"}
    assert [stored.field(name) for name in ("cursor", "version", "seq", "index_n")] == ["c1", "1", "3", "2"]
    assert stored.field("full_at_ms") == str(int((START_S + 2) * 1000))
    assert stored.call("GET", stored.of("message:m1")) == b"text"
    assert stored.call("EXISTS", stored.of("message:m2")) == 0
    assert stored.call("PTTL", stored.of("message:m1")) > 3_500_000
    assert stored.call("XLEN", "sync_perf:gmail") == 1


async def test_an_entry_that_is_gone_leaves_the_index(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", index={"m1": "v1", "m2": "v2"}, cache={"m1": "text"})
    await stored.append(begun, "1.2", index={"m1": None}, cache={"m1": None})
    assert stored.hash("index") == {"m2": "v2"}
    assert stored.field("index_n") == "1"
    assert stored.call("EXISTS", stored.of("message:m1")) == 0


async def test_a_repeat_of_a_step_changes_nothing_and_has_the_same_result(stored: Stored) -> None:
    begun = await stored.begin()
    step = Append("1.1", events=[EVENT], release=True)
    twin = Begun(ACCOUNT, begun.fence, begun.fields, version=0, hints=0, renewed_at_s=0)
    assert (await stored.store.append(begun, step)).released
    assert (await stored.store.append(twin, step)).released
    assert (twin.version, len(stored.log())) == (1, 2)


@pytest.mark.parametrize("kind", LOST)
async def test_a_step_whose_reply_was_lost_is_appended_once(stored: Stored, kind: Any) -> None:
    begun = await stored.begin()
    stored.redis.bridge.inject(kind)
    await stored.append(begun, "1.1", events=[EVENT], index={"m": "v"}, spent_s=1.0)
    await stored.append(begun, "1.2", events=[EVENT])
    assert [seq for seq, _ in stored.log()] == [1, 2, 3]
    assert stored.field("full_at_ms") == str(int((START_S + 1) * 1000))


async def test_a_step_that_redis_never_answers_is_a_store_that_is_down(stored: Stored) -> None:
    begun = await stored.begin()
    stored.redis.bridge.inject("refuse", times=3)
    with pytest.raises(StoreDown):
        await stored.append(begun, "1.1", events=[EVENT])
    assert len(stored.log()) == 1


async def test_an_instance_that_lost_its_lease_cannot_advance_the_cursor(stored: Stored) -> None:
    late = await stored.begin()
    stored.call("DEL", stored.of("lease"))
    await stored.begin(stored.another(), owner="o2")
    with pytest.raises(LeaseLost):
        await stored.append(late, "1.1", events=[EVENT], fields={"cursor": "c9"})
    assert (stored.field("cursor"), len(stored.log())) == ("c0", 1)
    assert stored.call("GET", stored.of("lease")) == b"o2"


async def test_a_step_that_was_overtaken_changes_nothing(stored: Stored) -> None:
    begun = await stored.begin()
    late = Begun(ACCOUNT, begun.fence, begun.fields, version=0, hints=0, renewed_at_s=0)
    await stored.append(begun, "1.1", fields={"cursor": "c1"})
    with pytest.raises(LeaseLost):
        await stored.append(late, "1.0", fields={"cursor": "c9"})
    assert stored.field("cursor") == "c1"


@pytest.mark.parametrize("state", ["deleting", "reauth_required", None])
async def test_an_account_that_is_gone_or_stopped_is_not_written(stored: Stored, state: str | None) -> None:
    begun = await stored.begin()
    if state is None:
        stored.call("DEL", stored.of("account"))
    else:
        stored.call("HSET", stored.of("account"), "state", state)
    with pytest.raises(LeaseLost):
        await stored.append(begun, "1.1", events=[EVENT], index={"m": "v"})
    assert stored.call("EXISTS", stored.of("index")) == 0


async def test_a_step_renews_the_lease(stored: Stored) -> None:
    begun = await stored.begin()
    stored.call("PEXPIRE", stored.of("lease"), 1000)
    stored.clock.at_s += 5
    await stored.append(begun, "1.1")
    assert stored.call("PTTL", stored.of("lease")) > 59_000
    assert begun.renewed_at_s == START_S + 5


async def test_the_lease_is_released_if_no_hint_came(stored: Stored) -> None:
    begun = await stored.begin()
    assert (await stored.append(begun, "1.1", release=True, served=True)).released
    assert stored.call("EXISTS", stored.of("lease")) == 0
    assert [part.decode() for part in stored.call("ZRANGE", "td:due:gmail", 0, -1, "WITHSCORES")] == [
        ACCOUNT,
        str(int(START_S * 1000)),
    ]


async def test_a_hint_that_came_meanwhile_keeps_the_lease(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.refused()
    assert not (await stored.append(begun, "1.1", release=True, served=True)).released
    assert (begun.hints, stored.field("served")) == (1, "0")
    assert stored.call("GET", stored.of("lease")) == b"o1"
    assert (await stored.append(begun, "1.2", release=True, served=True, hints=1)).released
    assert stored.field("served") == "1"


async def test_what_is_let_go_is_let_go_whatever_came(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.refused()
    assert (await stored.append(begun, "1.1", let_go=True)).released


async def test_only_the_owner_s_lease_is_released(stored: Stored) -> None:
    begun = await stored.begin()
    stored.call("SET", stored.of("lease"), "someone")
    await stored.append(begun, "1.1", let_go=True)
    assert stored.call("GET", stored.of("lease")) == b"someone"


async def test_what_was_asked_for_meanwhile_is_not_taken_up_by_mistake(stored: Stored) -> None:
    stored.call("HSET", stored.of("account"), "asked", "plain:1")
    begun = await stored.begin()
    stored.call("HSET", stored.of("account"), "asked", "content:2")
    await stored.append(begun, "1.1", taken={"asked": "plain:1"})
    assert stored.field("asked") == "content:2"
    await stored.append(begun, "1.2", taken={"asked": "content:2"})
    assert stored.field("asked") is None


async def test_what_two_instances_spend_adds_up(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", spent_s=2.0)
    await stored.append(begun, "1.2", spent_s=3.0)
    assert stored.field("full_at_ms") == str(int((START_S + 5) * 1000))


async def test_a_snapshot_notes_every_known_id(stored: Stored) -> None:
    begun = await stored.begin()
    known = {f"m{n:04}": "v" for n in range(1200)}
    await stored.append(begun, "1.1", index=dict(known), pages={"ids/0": ["old"]})
    await stored.append(begun, "1.2", note_known=True, clear=True)
    pages = stored.hash("pages")
    assert sorted(pages) == ["known/0", "known/1", "known/2"]
    assert sorted(",".join(pages.values()).split(",")) == sorted(known)


async def test_a_snapshot_of_nothing_is_no_lost_listing(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", note_known=True)
    assert await stored.store.walk(ACCOUNT, "known", 0, 0, unknown=False, limit=9) == ([], 1, 0, True, False)


# the log's size


async def filled(stored: Stored, entries: int) -> Begun:
    begun = await stored.begin()
    await stored.append(begun, f"{begun.fence}.1", events=[EVENT] * entries)
    return begun


@pytest.fixture
async def small(redis: RedisRest) -> Stored:
    made = Stored(redis, LOG_RETENTION_BYTES=str(65536))
    await made.connect()
    return made


FULL = 65536 // ENTRY_BYTES - 1


async def test_the_log_is_trimmed_by_its_bytes(small: Stored) -> None:
    begun = await filled(small, FULL)
    oldest = small.log()[0][0]
    assert oldest == 1
    await small.append(begun, "1.2", events=[EVENT] * 10)
    kept = small.log()
    assert kept[-1][0] == FULL + 11
    assert kept[0][0] > 1
    stored_bytes = int(small.field("log_bytes") or 0)
    assert stored_bytes <= 65536
    assert stored_bytes == sum(ENTRY_BYTES for _ in kept)
    await small.client.close()


async def test_the_log_is_trimmed_by_age(stored: Stored) -> None:
    begun = await filled(stored, 3)
    stored.clock.at_s += 6 * 86400
    await stored.append(begun, "1.2", events=[EVENT])
    assert [seq for seq, _ in stored.log()] == [1, 2, 3, 4, 5]
    stored.clock.at_s += 2 * 86400
    await stored.append(begun, "1.3", events=[EVENT])
    assert [seq for seq, _ in stored.log()] == [5, 6]


async def test_backfill_never_pushes_out_what_a_reader_has_not_passed(small: Stored) -> None:
    begun = await filled(small, FULL)
    await small.accounts.changes(ACCOUNT, "app", "e1.5", 10)
    refused = await small.append(
        begun, "1.2", events=[EVENT] * 10, index={"m": "v"}, fields={"cursor": "c1"}, pausable=True
    )
    assert refused.log_full
    assert (small.field("cursor"), small.field("index_n"), begun.version) == ("c0", "0", 1)
    assert len(small.log()) == FULL + 1
    await small.accounts.changes(ACCOUNT, "app", f"e1.{FULL}", 10)
    assert not (await small.append(begun, "1.3", events=[EVENT] * 10, pausable=True)).log_full
    await small.client.close()


async def test_live_changes_are_always_written(small: Stored) -> None:
    begun = await filled(small, FULL)
    await small.accounts.changes(ACCOUNT, "app", "e1.5", 10)
    assert not (await small.append(begun, "1.2", events=[EVENT] * 10)).log_full
    await small.client.close()


async def test_a_reader_that_was_not_seen_for_a_day_holds_nothing_up(small: Stored) -> None:
    begun = await filled(small, FULL)
    await small.accounts.changes(ACCOUNT, "app", "e1.5", 10)
    small.clock.at_s += 86_401
    assert not (await small.append(begun, "1.2", events=[EVENT] * 10, pausable=True)).log_full
    await small.client.close()


# renew, read, walk, tables


async def test_a_renewed_lease_lives_on_and_tells_of_hints(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.refused()
    stored.call("PEXPIRE", stored.of("lease"), 1000)
    stored.clock.at_s += 20
    await stored.store.renew(begun)
    assert stored.call("PTTL", stored.of("lease")) > 59_000
    assert (begun.renewed_at_s, begun.hints) == (START_S + 20, 1)


async def test_a_lease_that_ran_out_is_taken_again_if_nobody_has_begun_since(stored: Stored) -> None:
    begun = await stored.begin()
    stored.call("DEL", stored.of("lease"))
    await stored.store.renew(begun)
    assert stored.call("GET", stored.of("lease")) == b"o1"


async def test_a_lost_lease_cannot_be_renewed(stored: Stored) -> None:
    begun = await stored.begin()
    stored.call("DEL", stored.of("lease"))
    await stored.begin(stored.another(), owner="o2")
    with pytest.raises(LeaseLost):
        await stored.store.renew(begun)
    stored.call("DEL", stored.of("account"))
    with pytest.raises(LeaseLost):
        await stored.store.renew(begun)


async def test_index_and_cache_are_read_in_one_request(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", index={"p1": "v1"}, cache={"m1": "text", "m2": "other"})
    stored.redis.bridge.reset()
    found = await stored.store.read(ACCOUNT, [("p1", "m1"), ("p2", "m2"), ("p3", "m3")])
    assert found == (["v1", None, None], ["text", "other", None])
    assert stored.redis.bridge.stats.requests == 1


async def test_an_answer_that_no_script_returns_is_a_store_that_is_down(stored: Stored) -> None:
    stored.redis.valkey.call("SET", stored.of("index"), "no hash")
    with pytest.raises(StoreDown):
        await stored.store.read(ACCOUNT, [("p1", "m1")])


async def test_a_stored_listing_is_walked_page_by_page(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", pages={"ids/0": ["a", "b", "c"], "ids/1": [], "ids/2": ["d"]}, index={"b": "v"})

    async def walk(page: int, offset: int, limit: int, *, unknown: bool = False) -> Any:
        return await stored.store.walk(ACCOUNT, "ids", page, offset, unknown=unknown, limit=limit)

    assert await walk(0, 0, 2) == (["a", "b"], 0, 2, False, False)
    assert await walk(0, 2, 2) == (["c", "d"], 2, 1, False, False)
    assert await walk(2, 1, 2) == ([], 3, 0, True, False)
    assert await walk(0, 0, 9) == (["a", "b", "c", "d"], 3, 0, True, False)
    assert await walk(0, 0, 2, unknown=True) == (["a", "c"], 0, 3, False, False)
    assert await walk(0, 0, 9, unknown=True) == (["a", "c", "d"], 3, 0, True, False)


async def test_a_walk_looks_at_a_bounded_number_of_pages(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", pages={f"ids/{n}": ["a"] for n in range(30)}, index={"a": "v"})
    walk = await stored.store.walk(ACCOUNT, "ids", 0, 0, unknown=True, limit=9)
    assert walk == ([], 20, 0, False, False)


async def test_a_listing_that_is_lost_is_not_taken_for_its_end(stored: Stored) -> None:
    assert await stored.store.walk(ACCOUNT, "ids", 3, 7, unknown=True, limit=9) == ([], 3, 7, False, True)


async def test_the_whole_listing_and_the_whole_index_are_read_in_parts(stored: Stored) -> None:
    begun = await stored.begin()
    index: dict[str, str | None] = {f"m{n:05}": f"v{n}" for n in range(12_000)}
    await stored.append(begun, "1.1", index=index, pages={"ids/0": ["a", "b"], "=X/0": []})
    stored.redis.bridge.reset()
    assert await stored.store.tables(ACCOUNT) == ({"ids/0": ["a", "b"], "=X/0": []}, index)
    assert stored.redis.bridge.stats.requests < 10


# the breaker


async def failures(stored: Stored, count: int, account_id: str = ACCOUNT) -> list[float]:
    return [await stored.store.provider_failed(account_id) for _ in range(count)]


async def test_the_breaker_opens_after_so_many_failures(stored: Stored) -> None:
    assert await failures(stored, 5) == [0, 0, 0, 0, 60.0]
    assert await stored.accounts.breaker("gmail") == "open"
    assert 59 < await stored.store.provider_failed(ACCOUNT) <= 60
    refused = await stored.refused()
    assert refused.status == "breaker_open"
    assert refused.retry_after_s is not None
    assert 59 < refused.retry_after_s <= 60


async def test_one_mailbox_does_not_open_the_breaker_for_others(stored: Stored) -> None:
    await stored.connect("a2", "gmail|h2")
    assert await failures(stored, 9) == [0] * 9
    assert await failures(stored, 1, "a2") == [60.0]


async def test_a_success_closes_a_breaker_that_counts(stored: Stored) -> None:
    begun = await stored.begin()
    await failures(stored, 4)
    await stored.append(begun, "1.1", healthy=True)
    assert await failures(stored, 4) == [0, 0, 0, 0]


async def test_an_open_breaker_is_not_closed_by_who_began_before(stored: Stored) -> None:
    begun = await stored.begin()
    await failures(stored, 5)
    await stored.append(begun, "1.1", healthy=True)
    assert await stored.accounts.breaker("gmail") == "open"
    stored.call("DEL", "td:breaker:gmail:open")
    await stored.append(begun, "1.2", healthy=True)
    assert await stored.accounts.breaker("gmail") == "half_open"


async def test_of_fifty_begins_at_half_open_exactly_one_is_the_probe(stored: Stored) -> None:
    await failures(stored, 5)
    for n in range(50):
        await stored.connect(f"b{n}", f"gmail|b{n}")
    stored.call("DEL", "td:breaker:gmail:open")
    begins = [stored.another().begin(f"b{n}", owner=f"p{n}") for n in range(50)]
    found = await asyncio.gather(*begins)
    probes = [each for each in found if isinstance(each, Begun)]
    assert len(probes) == 1
    assert probes[0].probe
    assert {each.status for each in found if not isinstance(each, Begun)} == {"breaker_open"}


async def test_a_probe_that_succeeds_closes_the_breaker_and_one_that_fails_opens_it_again(stored: Stored) -> None:
    await failures(stored, 5)
    stored.call("DEL", "td:breaker:gmail:open")
    begun = await stored.begin()
    assert begun.probe
    assert await failures(stored, 1) == [60.0]
    stored.call("DEL", "td:breaker:gmail:open")
    begun = await stored.begin()
    assert begun.probe
    await stored.append(begun, f"{begun.fence}.1", healthy=True, let_go=True)
    assert await stored.accounts.breaker("gmail") == "closed"
    assert not (await stored.begin()).probe


async def test_a_probe_that_died_is_followed_by_another(stored: Stored) -> None:
    await failures(stored, 5)
    stored.call("DEL", "td:breaker:gmail:open")
    await stored.begin()
    stored.call("DEL", stored.of("lease"))
    assert (await stored.refused()).status == "breaker_open"
    stored.call("DEL", "td:breaker:gmail:probe")
    assert (await stored.begin(stored.another(), owner="o3")).probe


# a lost grant


async def test_a_lost_grant_is_said_once(stored: Stored) -> None:
    begun = await stored.begin()
    stored.redis.bridge.inject("drop_reply")
    assert await stored.store.lose_grant(begun, "invalid_grant")
    assert [kind for _, kind in stored.log()] == ["account.connected", "account.reauth_required"]
    assert [stored.field(name) for name in ("state", "reason", "access")] == ["reauth_required", "invalid_grant", None]
    assert stored.call("EXISTS", stored.of("lease")) == 0
    assert await stored.accounts.due("gmail") == []


async def test_a_grant_that_was_renewed_meanwhile_is_not_blamed(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.connect(expected=ACCOUNT)
    assert not await stored.store.lose_grant(begun, "invalid_grant")
    assert stored.field("state") == "active"


@pytest.mark.parametrize("state", ["paused", None])
async def test_the_grant_of_an_account_that_is_stopped_or_gone_is_no_matter(stored: Stored, state: str | None) -> None:
    begun = await stored.begin()
    if state is None:
        stored.call("DEL", stored.of("account"))
    else:
        stored.call("HSET", stored.of("account"), "state", state)
    assert not await stored.store.lose_grant(begun, "invalid_grant")
    assert len(stored.log()) == 1
