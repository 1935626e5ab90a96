"""Pushing an account's log to the app: batch after batch, in order, apart from the sync.

    next ──> batch ──> sink ──> answer ──> settled ──┐      one Redis request a batch, and one to begin with
      ^                                              │
      └──────────────────────────────────────────────┘      until nothing is left, an attempt fails, or the time is over

Killed at any step, the batch is taken again by the next push or ping, as the same range under the same id: at least
once. Two instances at once: the delivery lease lets one in. A batch whose lease may end before its request does is not
sent: another instance may have sent what comes behind it, even of a new epoch.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.core.delivery import TAKEN_MAX_S, Answer, Verdict, batch_id, is_given_up, wait_s
from shared.sync.ports import Clock

ACCOUNTS_AT_ONCE = 8
DUE_MAX = 1000  # accounts that are asked for at once


@dataclass(frozen=True, slots=True)
class Batch:
    """A range of the log. `attempts` failed so far, the first of them at `since_s`; `ended`: a snapshot's end, or 0."""

    account_id: str
    epoch: str
    first: int
    last: int
    events: Sequence[Mapping[str, Any]]
    attempts: int = 0
    since_s: float = 0.0
    ended: int = 0

    @property
    def id(self) -> str:
        return batch_id(self.account_id, self.epoch, self.first, self.last)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch. `dead`: noted as a dead letter and passed over; else it is tried again at `next_s`."""

    batch: Batch
    verdict: Verdict
    said: str
    dead: bool = False
    next_s: float = 0.0


class Deliveries(Protocol):
    async def due(self, many: int) -> list[str]: ...
    async def next(self, account_id: str, owner: str, settled: Settled | None, *, take: bool) -> Batch | None: ...


class Sink(Protocol):
    async def send(self, batch_id: str, events: Sequence[Mapping[str, Any]], attempt: int) -> Answer: ...


def settle(batch: Batch, answer: Answer, random: float, now_s: float) -> Settled:
    attempts = batch.attempts + 1
    return Settled(
        batch,
        answer.verdict,
        answer.said,
        dead=answer.verdict in ("down", "refused") and is_given_up(attempts, now_s - batch.since_s),
        next_s=now_s + wait_s(attempts, random, answer.retry_after_s),
    )


async def deliver(account_id: str, store: Deliveries, sink: Sink, clock: Clock, deadline_s: float) -> list[Settled]:
    """What became of each batch that was sent. Raises StoreDown."""
    owner = clock.token()
    done: list[Settled] = []
    while True:
        take = not done or clock.now_s() < deadline_s
        asked_s = clock.now_s()
        batch = await store.next(account_id, owner, done[-1] if done else None, take=take)
        if batch is None or clock.now_s() - asked_s > TAKEN_MAX_S:
            return done
        answer = await sink.send(batch.id, batch.events, batch.attempts)
        done.append(settle(batch, answer, clock.random(), clock.now_s()))


async def deliver_due(
    store: Deliveries, work: Callable[[str], Awaitable[object]], deadline_s: float, clock: Clock
) -> None:
    """`work` delivers one account's log, and never raises. Where nothing is due: one Redis request. Raises StoreDown.

    Each account once: `work` has delivered all of it, or put it off. An open breaker's probe comes alone; when it has
    closed the breaker, the others are due.
    """
    seen: set[str] = set()
    while clock.now_s() < deadline_s:
        fresh = [account_id for account_id in await store.due(DUE_MAX) if account_id not in seen]
        if not fresh:
            return
        seen.update(fresh)
        waiting = iter(fresh)

        async def worker(waiting: Iterator[str] = waiting) -> None:
            for account_id in waiting:
                if clock.now_s() >= deadline_s:
                    return
                await work(account_id)

        await asyncio.gather(*(worker() for _ in range(ACCOUNTS_AT_ONCE)))
