"""A lease renewed; index, cache and stored listings read, over the real bridge."""

from typing import Any

import pytest

from shared.core.errors import LeaseLost, StoreDown
from tests.adapters.stored import ACCOUNT, Stored
from tests.sync.desk import START_S


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


async def test_a_listing_whose_first_pages_are_lost_is_lost(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", pages={"ids/0": ["a"], "ids/1": ["b"]})
    stored.call("DEL", stored.of("pages"))
    await stored.append(begun, "1.2", pages={"ids/2": ["c"]})
    assert await stored.store.walk(ACCOUNT, "ids", 0, 0, unknown=True, limit=9) == ([], 0, 0, False, True)


async def test_the_whole_listing_and_the_whole_index_are_read_in_parts(stored: Stored) -> None:
    begun = await stored.begin()
    index: dict[str, str | None] = {f"m{n:05}": f"v{n}" for n in range(12_000)}
    await stored.append(begun, "1.1", index=index, pages={"ids/0": ["a", "b"], "=X/0": []})
    stored.redis.bridge.reset()
    assert await stored.store.tables(ACCOUNT) == ({"ids/0": ["a", "b"], "=X/0": []}, index)
    assert stored.redis.bridge.stats.requests < 10
