"""A cron ping: every due account, several at a time, within the budget."""

import asyncio
from typing import Any

import pytest

from shared.core.errors import ContractBroken, StoreDown
from shared.sync.sweep import MAILBOXES_AT_ONCE, RESULTS_MAX, sweep
from tests.sync.desk import START_S, SleepingClock
from tests.world import Killed


class Sweep:
    """`outcomes`: account -> result; an exception is raised, None is an account that is gone."""

    def __init__(self, **outcomes: Any) -> None:
        self.outcomes = outcomes
        self.clock = SleepingClock()
        self.begun: list[str] = []
        self.told: list[tuple[str, type[Exception]]] = []
        self.at_once = self.at_once_max = 0
        self.takes_s = 10.0

    async def work(self, account_id: str) -> dict[str, Any] | None:
        self.begun.append(account_id)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await asyncio.sleep(0)
        await self.clock.sleep(self.takes_s)
        self.at_once -= 1
        found = self.outcomes.get(account_id, {"status": "synced", "more": False})
        if isinstance(found, BaseException):
            raise found
        return {"account_id": account_id, **found} if found is not None else None

    async def run(self, *account_ids: str, budget_s: float = 1e6) -> dict[str, Any]:
        return await sweep(account_ids, self.work, self.tell, START_S + budget_s, self.clock)

    def tell(self, account_id: str, error: Exception) -> None:
        self.told.append((account_id, type(error)))


async def test_every_account_is_worked_on_the_longest_untouched_first() -> None:
    ping = Sweep()
    result = await ping.run("a", "b", "c")
    assert ping.begun == ["a", "b", "c"]
    assert (result["status"], result["accounts"], result["more"]) == ("swept", 3, False)


async def test_so_many_are_worked_on_at_once() -> None:
    ping = Sweep()
    await ping.run(*(f"a{n}" for n in range(30)))
    assert ping.at_once_max == MAILBOXES_AT_ONCE


async def test_nothing_due_is_an_answer_too() -> None:
    assert await Sweep().run() == {"status": "swept", "accounts": 0, "results": [], "more": False}


async def test_what_the_time_did_not_reach_is_left_for_the_next_ping() -> None:
    ping = Sweep()
    result = await ping.run(*(f"a{n}" for n in range(30)), budget_s=15)
    assert result["accounts"] < 30
    assert result["more"]


async def test_when_the_time_is_over_none_is_begun() -> None:
    ping = Sweep()
    assert await ping.run("a", budget_s=0) == {"status": "swept", "accounts": 0, "results": [], "more": True}
    assert ping.begun == []


async def test_an_account_with_more_to_do_asks_for_another_ping() -> None:
    result = await Sweep(a={"status": "partial", "more": True}).run("a", "b")
    assert result["more"]


async def test_failures_come_first_and_at_most_a_hundred_results() -> None:
    bad = {"status": "breaker_open", "more": False}
    ping = Sweep(a5=bad)
    result = await ping.run(*(f"a{n}" for n in range(RESULTS_MAX + 20)))
    assert (result["accounts"], len(result["results"])) == (RESULTS_MAX + 20, RESULTS_MAX)
    assert result["results"][0]["account_id"] == "a5"


async def test_an_account_that_is_gone_is_no_result() -> None:
    assert (await Sweep(a=None).run("a", "b"))["accounts"] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ZeroDivisionError("robin@example.com"), "internal"), (ContractBroken("odd"), "contract_broken")],
)
async def test_what_was_unforeseen_in_one_account_is_its_result_and_the_ping_goes_on(
    error: Exception, reason: str
) -> None:
    ping = Sweep(a=error)
    ping.takes_s = 0.1234
    result = await ping.run("a", *(f"b{n}" for n in range(20)))
    assert (len(ping.begun), result["accounts"], result["more"]) == (21, 21, False)
    assert result["results"][0] == {
        "status": "failed",
        "account_id": "a",
        "count": 0,
        "changes": {"created": 0, "updated": 0, "deleted": 0},
        "api_calls": 0,
        "quota_units": 0,
        "redis_requests": 0,
        "duration_s": 0.123,
        "more": False,
        "reason": reason,
    }
    assert ping.told == [("a", type(error))]


async def test_a_process_that_ends_is_nobodys_result() -> None:
    ping = Sweep(a=Killed())
    with pytest.raises(Killed):
        await ping.run("a")


async def test_without_a_store_the_sweep_ends() -> None:
    ping = Sweep(a=StoreDown("Redis"))
    with pytest.raises(StoreDown):
        await ping.run("a", *(f"b{n}" for n in range(40)))
    assert len(ping.begun) == MAILBOXES_AT_ONCE
