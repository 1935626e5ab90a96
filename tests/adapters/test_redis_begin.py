"""Beginning to work on a mailbox, over the real bridge: who may, why not, and what is lost."""

from typing import Any

import pytest

from shared.core.errors import StoreDown
from tests.adapters.stored import ACCOUNT, EVENT, Stored

LOST = ("drop_request", "drop_reply", "truncate", "garbage", "refuse")


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


@pytest.mark.parametrize("kind", ["drop_request", "drop_reply"])
async def test_who_was_called_for_knows_it_though_the_reply_was_lost(stored: Stored, kind: Any) -> None:
    stored.call("SET", stored.of("called"), "a push")
    stored.redis.bridge.inject(kind)
    assert (await stored.begin()).pushed
    assert stored.call("EXISTS", stored.of("called")) == 0
    stored.call("DEL", stored.of("lease"))
    assert not (await stored.begin(stored.another(), owner="o2")).pushed


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
