"""The breaker that all instances share, and a grant that is lost, over the real bridge."""

import asyncio

import pytest

from shared.sync.ports import Begun
from tests.adapters.stored import ACCOUNT, Stored


async def failures(stored: Stored, count: int, account_id: str = ACCOUNT) -> list[float]:
    return [await stored.store.provider_failed(account_id) for _ in range(count)]


async def test_the_breaker_opens_after_so_many_failures(stored: Stored) -> None:
    assert await failures(stored, 5) == [0, 0, 0, 0, 60.0]
    assert await stored.breaker() == "open"
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
    assert await stored.breaker() == "open"
    stored.call("DEL", "td:breaker:gmail:open")
    await stored.append(begun, "1.2", healthy=True)
    assert await stored.breaker() == "half_open"


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
    assert await stored.breaker() == "closed"
    assert not (await stored.begin()).probe


async def test_a_probe_that_died_is_followed_by_another(stored: Stored) -> None:
    await failures(stored, 5)
    stored.call("DEL", "td:breaker:gmail:open")
    await stored.begin()
    stored.call("DEL", stored.of("lease"))
    assert (await stored.refused()).status == "breaker_open"
    stored.call("DEL", "td:breaker:gmail:probe")
    assert (await stored.begin(stored.another(), owner="o3")).probe


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
