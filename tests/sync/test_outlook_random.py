"""Random worlds: whatever happens to an Outlook mailbox, in whatever order, the folded log equals it in the end.

Deliveries, read toggles, flags, categories, drafts, moves (there and back again too), hard deletes, folders that come,
go and are renamed, dead delta links, refusals, broken connections, processes killed between any two I/O steps, rows
that come twice, late or again. A seed that failed once is pinned by its number.
"""

import os
import random
from typing import Any

import pytest

from shared.core.message import instant
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, Killed, raw

pytestmark = pytest.mark.whole

SEEDS = range(int(os.environ.get("OUTLOOK_SEEDS", "4")))
ROUNDS = 12
FAULTS = ("throttled", "unavailable", "gateway_timeout", "server_error", "reset", "truncated", "bad_gateway")
PLACES = ("messages.delta", "messages.get", "batch", "folders.delta", None)
DEAD = ("sync_state_not_found", "resync_required", "sync_state_invalid")


class Chaos:
    """One random life of a mailbox."""

    def __init__(self, world: OutlookWorld, seed: int) -> None:
        self.world = world
        self.graph = world.graph
        self.random = random.Random(f"outlook-{seed}")
        self.number = 1000
        self.folders = 0
        self.graph.set_knobs(
            report_unseen_removals=self.random.random() < 0.5,
            lost_return=self.random.random() < 0.7,
            empty_page_probability=self.random.choice((0.0, 0.2)),
            short_page_probability=self.random.choice((0.0, 0.3)),
            replay_probability=self.random.choice((0.0, 0.2)),
            duplicate_probability=self.random.choice((0.0, 0.1)),
            trailing_empty_page=self.random.random() < 0.3,
            sparse=self.random.choice(("read", "all", "never")),
            hidden_in_folder_delta=self.random.random() < 0.3,
            folder_counts_in_delta=self.random.random() < 0.3,
            gone_location=self.random.random() < 0.5,
        )

    def message(self) -> str | None:
        found = sorted(self.world.truth())
        return self.random.choice(found) if found else None

    def folder(self) -> str:
        shown = [id_ for id_, each in self.graph.folders(ADDRESS).items() if not self.world.is_untracked(id_)]
        return self.random.choice(sorted(shown))

    def deliver(self) -> None:
        self.number += 1
        age_s = self.random.choice((0, 0, 0, 3600, 10_000_000))
        self.graph.deliver(
            ADDRESS,
            raw(self.number),
            self.folder() if self.random.random() < 0.3 else "inbox",
            received_at_s=self.graph.clock.now_s() - age_s,
        )

    def change(self) -> None:
        if message := self.message():
            self.graph.update(
                ADDRESS,
                message,
                **self.random.choice(
                    (
                        {"is_read": self.random.random() < 0.5},
                        {"flag": self.random.choice(("flagged", "notFlagged", "complete"))},
                        {"categories": self.random.sample(["red", "green", "blue"], self.random.randint(0, 2))},
                        {"is_read": True, "flag": "flagged"},
                        {"importance": self.random.choice(("low", "high"))},
                    )
                ),
            )

    def draft(self) -> None:
        drafts = [id_ for id_, each in sorted(self.world.truth().items()) if each["is_draft"]]
        if drafts and self.random.random() < 0.7:
            self.number += 1
            draft = self.random.choice(drafts)
            if self.random.random() < 0.3:
                self.graph.send(ADDRESS, draft)
            else:
                self.graph.update(ADDRESS, draft, subject=f"Draft {self.number}")
        else:
            self.number += 1
            self.graph.save_draft(ADDRESS, raw(self.number))

    def move(self) -> None:
        if message := self.message():
            was = self.graph.snapshot(ADDRESS)[message]["folder_id"]
            self.graph.move(ADDRESS, message, self.folder())
            if self.random.random() < 0.3:
                self.graph.move(ADDRESS, message, self.folder())
            if self.random.random() < 0.3:
                self.graph.move(ADDRESS, message, was)

    def hide(self) -> None:
        if message := self.message():
            self.graph.move(ADDRESS, message, "recoverableitemsdeletions")

    def recover(self) -> None:
        hidden = [
            id_ for id_, each in self.graph.snapshot(ADDRESS).items() if self.world.is_untracked(each["folder_id"])
        ]
        if hidden:
            self.graph.move(ADDRESS, self.random.choice(sorted(hidden)), "inbox")

    def delete(self) -> None:
        if message := self.message():
            self.graph.hard_delete(ADDRESS, message)

    def make_folder(self) -> None:
        self.folders += 1
        made = self.graph.add_folder(ADDRESS, f"Folder {self.folders}", self.folder())
        for _ in range(self.random.randint(0, 3)):
            if message := self.message():
                self.graph.move(ADDRESS, message, made)

    def own_folder(self) -> str | None:
        own = [id_ for id_, each in self.graph.folders(ADDRESS).items() if each["name"].startswith("Folder ")]
        return self.random.choice(sorted(own)) if own else None

    def rename_folder(self) -> None:
        if folder := self.own_folder():
            self.folders += 1
            self.graph.rename_folder(ADDRESS, folder, f"Folder {self.folders}")

    def delete_folder(self) -> None:
        if folder := self.own_folder():
            self.graph.delete_folder(ADDRESS, folder)

    def expire(self) -> None:
        folder = self.random.choice(("all", "hierarchy", "inbox", "archive", self.folder()))
        self.graph.expire_delta(folder, ADDRESS)

    def break_something(self) -> None:
        kind = self.random.choice((*FAULTS, *DEAD))
        endpoint = "messages.delta" if kind in DEAD else self.random.choice(PLACES)
        nth = self.random.choice((None, 1, 2, 5))
        where: dict[str, Any] = {} if endpoint is None else {"endpoint": endpoint}
        self.graph.set_fault(kind, times=self.random.randint(1, 3), nth=nth, **where)

    def happen(self) -> None:
        acts = (
            *((self.deliver,) * 5),
            *((self.change,) * 6),
            *((self.move,) * 5),
            *(self.draft, self.delete, self.delete, self.hide, self.recover),
            *(self.make_folder, self.rename_folder, self.delete_folder, self.expire),
            *((self.break_something,) * 2),
        )
        for _ in range(self.random.randint(1, 8)):
            self.random.choice(acts)()
        self.world.clock.skip(self.random.choice((0.0, 0.0, 1.0, 30.0)))

    async def sync(self, account_id: str) -> None:
        """One sync, which the process may not survive, and which mail may come into."""
        if self.random.random() < 0.4:
            self.world.steps.clear()
            self.world.kill_at = self.random.randint(1, 12)
        try:
            await self.world.sync(account_id)
        except Killed:
            self.world.expire_lease(account_id)
        self.world.kill_at = None
        self.world.expire_locks(account_id)


async def converge(chaos: Chaos, account_id: str) -> None:
    """After the faults have stopped, the syncs run dry."""
    chaos.graph.clear_faults()
    chaos.graph.set_knobs(replay_probability=0.0)
    chaos.world.expire_lease(account_id)
    await chaos.world.dry(account_id)
    await chaos.world.dry(account_id)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_the_log_equals_the_mailbox(redis: RedisRest, seed: int) -> None:
    async with OutlookWorld(
        redis, seed=seed, INITIAL_SYNC_MESSAGES="all", OUTLOOK_PAGE_SIZE="5", RATE_LIMIT_BACKOFF_FACTOR="1"
    ) as world:
        chaos = Chaos(world, seed)
        world.fill(20)
        account_id = await world.connect()
        for _ in range(ROUNDS):
            chaos.happen()
            await chaos.sync(account_id)
        await converge(chaos, account_id)
        await world.assert_log_equals_mailbox(account_id)
        await world.assert_nothing_that_exists_was_called_deleted(account_id)


def changed_since(world: OutlookWorld, since_s: float) -> set[str]:
    """Messages that came or changed after the first sync."""
    since = instant(since_s) or ""
    found = world.truth()
    return {id_ for id_ in found if world.graph.resource(ADDRESS, id_)["lastModifiedDateTime"][:19] > since[:19]}


@pytest.mark.parametrize("seed", range(100, 104))
async def test_of_the_newest_n_the_log_equals_the_mailbox_and_has_all_that_changed(redis: RedisRest, seed: int) -> None:
    async with OutlookWorld(redis, seed=seed, INITIAL_SYNC_MESSAGES="4", OUTLOOK_PAGE_SIZE="5") as world:
        chaos = Chaos(world, seed)
        world.graph.set_knobs(lost_return=False)  # who went and came back unseen has not changed
        world.fill(20)
        world.fill(3, "archive", 50)
        account_id = await world.connect()
        await world.dry(account_id)
        since_s = world.graph.clock.now_s()
        world.clock.skip(2)
        for _ in range(ROUNDS):
            chaos.happen()
            await chaos.sync(account_id)
            world.clock.skip(2)
        await converge(chaos, account_id)
        named = (await world.folded(account_id)).keys()
        assert changed_since(world, since_s) <= named
        await world.assert_log_equals_mailbox(account_id, only=set(named))
        await world.assert_nothing_that_exists_was_called_deleted(account_id)
