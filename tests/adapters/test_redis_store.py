"""Appending a step, over the real bridge: all of it or nothing, once, and only by who may."""

from typing import Any

import pytest

from shared.core.errors import LeaseLost, StoreDown
from shared.sync.ports import Append, Begun
from tests.adapters.stored import ACCOUNT, EVENT, Stored
from tests.sync.desk import START_S

LOST = ("drop_request", "drop_reply", "truncate", "garbage", "refuse")


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


async def test_the_figures_of_a_sync_are_noted_and_summed_up_when_it_gives_its_lease_back(stored: Stored) -> None:
    figures = {"message_count": "2", "duration": "0.500", "timestamp": "2026-11-25T00:00:00.000Z", "api_calls": "3"}
    for n in (1, 2):
        begun = await stored.begin()
        await stored.append(begun, f"{n}.1", perf=figures)
        assert stored.call("XLEN", "sync_perf:gmail") == n - 1
        stored.redis.bridge.inject("drop_reply", match="EVAL")
        await stored.append(begun, f"{n}.2", perf=figures, release=True)
    assert stored.call("XLEN", "sync_perf:gmail") == 2
    sums = {name: value for name, value in stored.hash("account").items() if name.startswith("sum:")}
    assert sums == {"sum:syncs": "2", "sum:message_count": "4", "sum:duration": "1", "sum:api_calls": "6"}


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


@pytest.mark.parametrize("gone", ["index", "log"])
async def test_a_step_made_without_what_was_lost_meanwhile_is_not_written(stored: Stored, gone: str) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", events=[EVENT], index={"m": "v"})
    stored.call("DEL", stored.of(gone))
    with pytest.raises(LeaseLost):
        await stored.append(begun, "1.2", events=[EVENT], index={"m": "v"}, fields={"cursor": "c9"})
    assert (stored.field("cursor"), stored.call("EXISTS", stored.of(gone))) == ("c0", 0)
    again = await stored.begin(stored.another(), owner="o2")
    assert again.lost == gone


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
