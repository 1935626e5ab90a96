"""Pushing a log to the app: batch after batch until one fails or the time is over; many accounts within a ping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from shared.core.delivery import GIVEN_UP_AFTER_S, GIVEN_UP_ATTEMPTS, TAKEN_MAX_S, Answer
from shared.sync.deliver import ACCOUNTS_AT_ONCE, DUE_MAX, Batch, Settled, deliver, deliver_due, settle
from tests.sync.desk import START_S, SleepingClock

BATCH = Batch("a1", "e1", 1, 2, ({"id": "a1.e1.1"}, {"id": "a1.e1.2"}))
DOWN = Answer(500)


@dataclass
class Desk:
    """A store of batches and a receiver that answers in turn, each answer after `takes_s`."""

    batches: list[Batch] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    takes_s: float = 0.0
    stopped_s: float = 0.0
    accounts: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SleepingClock()
        self.sent: list[tuple[str, Sequence[Mapping[str, Any]], int]] = []
        self.settled: list[tuple[Settled | None, bool]] = []
        self.worked: list[str] = []
        self.asked = 0

    async def due(self, many: int) -> list[str]:
        assert many == DUE_MAX
        self.asked += 1
        return self.accounts.pop(0) if self.accounts else []

    async def next(self, account_id: str, owner: str, settled: Settled | None, *, take: bool) -> Batch | None:
        assert (account_id, owner) == ("a1", "token0001")
        self.settled.append((settled, take))
        await self.clock.sleep(self.stopped_s)
        failed = settled is not None and settled.verdict != "delivered"
        return self.batches.pop(0) if take and self.batches and not failed else None

    async def send(self, batch_id: str, events: Sequence[Mapping[str, Any]], attempt: int) -> Answer:
        self.sent.append((batch_id, events, attempt))
        await self.clock.sleep(self.takes_s)
        return self.answers.pop(0) if self.answers else Answer(200)

    async def deliver(self, budget_s: float = 100.0) -> list[Settled]:
        return await deliver("a1", self, self, self.clock, START_S + budget_s)

    async def work(self, account_id: str) -> None:
        self.worked.append(account_id)
        await self.clock.sleep(self.takes_s)


def batches(count: int) -> list[Batch]:
    return [replace(BATCH, first=n, last=n) for n in range(1, count + 1)]


async def test_batches_follow_each_other_until_there_is_none() -> None:
    desk = Desk(batches(3))
    assert [settled.verdict for settled in await desk.deliver()] == ["delivered"] * 3
    assert desk.sent == [(f"a1_e1_{n}-{n}", BATCH.events, 0) for n in (1, 2, 3)]
    assert [take for _, take in desk.settled] == [True] * 4
    assert [settled and settled.batch.first for settled, _ in desk.settled] == [None, 1, 2, 3]


async def test_a_failed_one_ends_it() -> None:
    desk = Desk(batches(3), [Answer(200), DOWN])
    desk.batches[1] = replace(desk.batches[1], attempts=3, since_s=START_S)
    assert [settled.verdict for settled in await desk.deliver()] == ["delivered", "down"]
    assert [attempt for _, _, attempt in desk.sent] == [0, 3]


async def test_when_the_time_is_over_the_last_one_is_settled_and_none_is_taken() -> None:
    desk = Desk(batches(9), takes_s=10)
    assert len(await desk.deliver(budget_s=15)) == 2
    assert desk.settled[-1][1] is False
    assert len(await Desk(batches(9), takes_s=10).deliver(budget_s=20)) == 2
    assert len(await Desk(batches(9)).deliver(budget_s=0)) == 1, "one is always tried"


async def test_a_batch_that_was_taken_too_long_ago_is_not_sent() -> None:
    """The instance was stopped behind its request to Redis: the lease may be another's when it goes on."""
    for stopped_s, sent in ((TAKEN_MAX_S, 1), (TAKEN_MAX_S + 0.1, 0)):
        desk = Desk(batches(1), stopped_s=stopped_s)
        assert len(await desk.deliver()) == len(desk.sent) == sent


def test_what_became_of_a_batch_is_told_whole() -> None:
    waits = Answer(503, "busy", retry_after_s=60.0)
    assert settle(BATCH, waits, 0.5, START_S) == Settled(BATCH, "down", "busy", dead=False, next_s=START_S + 60)
    assert settle(BATCH, DOWN, 0.3, START_S) == Settled(BATCH, "down", "http_500", dead=False, next_s=START_S + 3)


def test_the_next_attempt_waits_longer_each_time() -> None:
    waits = [settle(replace(BATCH, attempts=n, since_s=START_S), DOWN, 1.0, START_S).next_s for n in range(3)]
    assert [at_s - START_S for at_s in waits] == [10, 20, 40]


@pytest.mark.parametrize(
    ("answer", "dead"), [(DOWN, True), (Answer(400), True), (Answer(410), False), (Answer(200), False)]
)
def test_only_what_failed_for_a_day_is_given_up(answer: Answer, dead: bool) -> None:
    old = replace(BATCH, attempts=GIVEN_UP_ATTEMPTS - 1, since_s=START_S)
    assert settle(old, answer, 0.5, START_S + GIVEN_UP_AFTER_S).dead is dead
    assert not settle(old, answer, 0.5, START_S + GIVEN_UP_AFTER_S - 1).dead
    assert not settle(BATCH, answer, 0.5, START_S + GIVEN_UP_AFTER_S).dead, "one that has not failed is not old"


async def test_a_ping_with_nothing_due_is_one_request() -> None:
    desk = Desk()
    await deliver_due(desk, desk.work, START_S + 100, desk.clock)
    assert (desk.asked, desk.worked) == (1, [])


async def test_each_account_is_worked_on_once_and_those_that_became_due_meanwhile_too() -> None:
    desk = Desk(accounts=[["a1"], ["a1", "a2", "a3"], ["a2"]])
    await deliver_due(desk, desk.work, START_S + 100, desk.clock)
    assert (desk.worked, desk.asked) == (["a1", "a2", "a3"], 3)


async def test_a_ping_ends_with_its_time() -> None:
    many = [f"a{n}" for n in range(100)]
    desk = Desk(accounts=[many, many], takes_s=1)
    await deliver_due(desk, desk.work, START_S + 20, desk.clock)
    assert ACCOUNTS_AT_ONCE <= len(desk.worked) < 40
    assert desk.asked == 1


async def test_in_a_ping_whose_time_is_over_no_account_is_worked_on() -> None:
    late = Desk(accounts=[["a1"]])
    await deliver_due(late, late.work, START_S, late.clock)
    assert (late.worked, late.asked) == ([], 0)
    desk = Desk(accounts=[[f"a{n}" for n in range(ACCOUNTS_AT_ONCE + 1)]], takes_s=1)
    await deliver_due(desk, desk.work, START_S + 1, desk.clock)
    assert desk.worked == ["a0"], "which took all the time there was"
