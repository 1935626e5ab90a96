"""Seeded hostile worlds: whatever happens, once the faults stop and the syncs have run dry the log equals the mailbox.

Deliveries, labels, trash, deletions, drafts, expired history, lost caches, resyncs, faults of Gmail and of Redis, kills
at any I/O step, two instances at once. `SEEDS=0-999` (or `SEEDS=7,8`) runs others than the few of the suite.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from infra.emulators.gmail.settings import Settings as GmailSettings
from infra.emulators.upstash_faults import Kind
from shared.core.errors import StoreDown
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, Killed, raw

pytestmark = pytest.mark.whole

SUITE = range(4)
TURNS = 14
REDIS_FAULTS: tuple[Kind, ...] = ("drop_request", "drop_reply", "truncate", "garbage", "refuse")
GMAIL_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("backend_error", {"call": "messages.get", "every": 3, "times": 9}),
    ("garbled", {"call": "messages.get", "every": 4, "times": 4}),
    ("drop", {"call": "messages.get", "every": 5, "times": 3}),
    ("too_many", {"call": "messages.get", "times": 12}),
    ("quota_exceeded", {"call": "messages.get", "times": 12}),
    ("unauthenticated", {"call": "messages.get", "times": 2}),
    ("locked_out", {"call": "messages.get", "times": 1, "seconds": 90}),
    ("not_found", {"call": "history.list", "times": 1}),
    ("truncate_body", {"call": "batch", "times": 2, "keep": 0.6}),
    ("drop_part", {"call": "batch", "times": 2}),
    ("duplicate_part", {"call": "batch", "times": 2}),
    ("shuffle_parts", {"call": "batch", "times": 3}),
    ("outer_locked_out", {"times": 1, "seconds": 60}),
    ("rate_limited", {"times": 2, "retry_after": 2}),
    ("unavailable", {"times": 3}),
    ("garbage", {"times": 1}),
    ("reset", {"times": 2}),
)


def seeds() -> list[int]:
    given = os.environ.get("SEEDS", "")
    if not given:
        return list(SUITE)
    first, dash, last = given.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(seed) for seed in given.split(",")]


class Scenario:
    """One seed's world, and the turns that it takes."""

    def __init__(self, world: GmailWorld, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.sent = 0
        self.drafts: list[str] = []
        self.account_id = ""
        self.label = world.gmail.add_label(ADDRESS, "Project")

    def some(self, count: int) -> list[str]:
        ids = [i for i, each in self.world.gmail.truth(ADDRESS).items() if "DRAFT" not in each.get("labelIds", [])]
        return self.rng.sample(ids, min(count, len(ids)))

    async def deliver(self) -> None:
        for _ in range(self.rng.choice([1, 1, 2, 5, 40])):
            self.sent += 1
            labels = self.rng.choice([("INBOX", "UNREAD"), ("INBOX", "UNREAD"), ("SPAM",), (), ("TRASH",)])
            thread = self.some(1) if self.rng.random() < 0.4 else []
            of = self.world.gmail.truth(ADDRESS)[thread[0]]["threadId"] if thread else None
            self.world.gmail.deliver(ADDRESS, raw(self.sent), labels=labels, thread_id=of)

    async def relabel(self) -> None:
        label = self.rng.choice(["STARRED", "UNREAD", "INBOX", self.label])
        change = self.rng.choice(["add", "remove"])
        self.world.gmail.relabel(ADDRESS, *self.some(self.rng.choice([1, 3, 20])), **{change: [label]})

    async def trash(self) -> None:
        (self.world.gmail.trash if self.rng.random() < 0.7 else self.world.gmail.untrash)(ADDRESS, *self.some(2))

    async def delete(self) -> None:
        self.world.gmail.delete(ADDRESS, *self.some(self.rng.choice([1, 2, 12])))

    async def draft(self) -> None:
        self.sent += 1
        known = self.rng.choice(self.drafts) if self.drafts and self.rng.random() < 0.6 else None
        if known and self.rng.random() < 0.4:
            self.drafts.remove(known)
            self.world.gmail.send_draft(ADDRESS, known)
            return
        draft_id, _ = self.world.gmail.save_draft(ADDRESS, raw(self.sent, "Draft"), known)
        self.drafts += [] if known else [draft_id]

    async def expire_history(self) -> None:
        self.world.gmail.expire_history(ADDRESS)

    async def lose_cache(self) -> None:
        for message_id in self.some(30):
            self.world.redis.valkey.call("DEL", f"td:{self.account_id}:message:{message_id}")

    async def ask(self) -> None:
        await self.world.wiring.ask_resync(self.account_id, content=self.rng.random() < 0.6)

    async def gmail_fault(self) -> None:
        kind, given = self.rng.choice(GMAIL_FAULTS)
        self.world.gmail.set_fault(kind, **given)

    async def poison(self) -> None:
        for message_id in self.some(self.rng.choice([1, 6])):
            self.world.gmail.set_fault("backend_error", message_id=message_id, times=self.rng.choice([2, 5]))

    async def redis_fault(self) -> None:
        self.world.redis.bridge.inject(self.rng.choice(REDIS_FAULTS), nth=self.rng.randint(1, 4))

    async def redis_outage(self) -> None:
        self.world.redis.bridge.inject("drop_reply", nth=self.rng.randint(1, 4), times=3)

    async def kill(self) -> None:
        self.world.steps.clear()
        self.world.kill_at = self.rng.randint(1, 14)

    async def wait(self) -> None:
        self.world.clock.skip(self.rng.choice([1, 30, 4000]))

    async def no_fault(self) -> None:
        self.world.gmail.clear_faults()
        self.world.expire_locks(self.account_id)

    def happenings(self) -> list[Callable[[], Awaitable[None]]]:
        often = [self.deliver, self.relabel, self.delete, self.trash, self.draft, self.gmail_fault, self.no_fault]
        rare = [self.expire_history, self.lose_cache, self.poison, self.ask, self.wait]
        return [*often, *often, *rare, self.redis_fault, self.redis_outage, self.kill, self.kill]

    async def sync(self) -> None:
        """By one instance, or by two at once; a kill or a store that is out of reach ends it."""
        wirings = [self.world.wiring, self.world.instance()][: self.rng.choice([1, 1, 1, 2])]
        tasks = [asyncio.ensure_future(self._once(wiring)) for wiring in wirings]
        await asyncio.gather(*tasks)
        if self.rng.random() < 0.5:
            self.world.expire_lease(self.account_id)

    async def _once(self, wiring: Any) -> None:
        try:
            await self.world.sync(self.account_id, wiring)
        except (Killed, StoreDown):
            return

    async def turn(self) -> None:
        for happen in self.rng.choices(self.happenings(), k=self.rng.randint(1, 4)):
            try:
                await happen()
            except (Killed, StoreDown):  # while a person asked for a resync
                continue
        await self.sync()


@pytest.mark.parametrize("seed", seeds())
async def test_the_log_equals_the_mailbox(redis: RedisRest, seed: int) -> None:
    rng = random.Random(seed)
    emulator = GmailSettings(
        seed=seed,
        outer_401=rng.random() < 0.3,
        history_pages=rng.choice(["frozen", "live"]),
        history_labels=rng.choice(["then", "now", "absent"]),
        history_empty_page_probability=rng.choice([0.0, 0.3]),
        history_visible_after_s=rng.choice([0.0, 0.0, 2.0]),
    )
    given = {
        "INITIAL_SYNC_MESSAGES": "all",
        "MAX_SYNC_DURATION": rng.choice(["0.5", "20", "300"]),
        "QUARANTINE_AFTER": rng.choice(["0", "600"]),
        "GMAIL_BATCH_SIZE": rng.choice(["5", "20"]),
        "GMAIL_FORMAT": rng.choice(["metadata", "full"]),
    }
    async with GmailWorld(redis, emulator=emulator, **given) as world:
        scenario = Scenario(world, rng)
        world.fill(rng.choice([0, 3, 60, 130]), first=10_000)
        scenario.account_id = await world.connect()
        for _ in range(TURNS):
            await scenario.turn()
        world.kill_at = None
        world.redis.bridge.reset()
        world.gmail.clear_faults()
        world.expire_locks(scenario.account_id)
        world.expire_lease(scenario.account_id)
        await world.dry(scenario.account_id)
        world.clock.skip(5)
        await world.dry(scenario.account_id)
        await world.assert_log_equals_mailbox(scenario.account_id)
        assert (await world.wiring.show_account(scenario.account_id))["parked"] == 0
