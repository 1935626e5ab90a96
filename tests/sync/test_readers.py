"""Whoever follows the log has the mailbox: readers at their own pace, a webhook, both through crashes and redeliveries.

A reads page by page; B now and then; the app takes each event once, by its id; the naive app applies whatever comes.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.fold import apply
from shared.core import change
from shared.core.errors import BadRequest
from tests.conftest import RedisRest
from tests.receiver import Receiver
from tests.sync.test_webhook import environment, ping, time_passes
from tests.world import ADDRESS, GmailWorld, Killed, raw

pytestmark = pytest.mark.whole
State = dict[str, dict[str, Any]]
TURNS = 30


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


class Reader:
    """An app's reader: where it stands, and what it knows. A reader that was refused waits for a snapshot."""

    def __init__(self, world: GmailWorld, account_id: str, name: str) -> None:
        self.world, self.account_id, self.name = world, account_id, name
        self.state: State = {}
        self.named: set[str] | None = None
        self.cursor: str | None = None
        self.seen: set[str] = set()
        self.rebuilding = False
        self.refused = 0

    async def read(self, limit: int) -> bool:
        """One page; whether there is more."""
        accounts = self.world.wiring.accounts
        try:
            page = await accounts.changes(self.account_id, self.name, self.cursor, limit)
        except BadRequest as error:
            self.refused += error.slug == "cursor_expired"
            self.rebuilding, self.cursor = True, "earliest"
            await self.world.wiring.ask_resync(self.account_id, content=True)
            return False
        for stream_id, stored in page.entries:
            event = change.cloud_event(self.account_id, page.user_id, page.provider, page.epoch, stream_id, stored)
            assert event["id"] not in self.seen
            self.seen.add(event["id"])
            if self.rebuilding and event["type"] != "tidemark.snapshot.began":
                continue
            if self.rebuilding:
                self.rebuilding, self.state = False, {}
            self.named = apply(self.state, event, self.named)
        self.cursor = change.cursor(page.epoch, page.position)
        return page.position < page.end

    async def to_the_end(self) -> State:
        while await self.read(100):
            pass
        return self.state


def applied(events: list[dict[str, Any]]) -> State:
    """By an app that keeps no ids: created is put, updated merged, deleted removed, however often it comes."""
    state: State = {}
    for event in events:
        data = event["data"]
        match event["type"]:
            case "tidemark.message.created":
                state[data["message"]["id"]] = dict(data["message"])
            case "tidemark.message.updated" if data["message_id"] in state:
                state[data["message_id"]] |= data["patch"]
            case "tidemark.message.deleted":
                state.pop(data["message_id"], None)
    return state


def truth(world: GmailWorld) -> dict[str, list[str]]:
    return {each: sorted(resource.get("labelIds", [])) for each, resource in world.gmail.truth(ADDRESS).items()}


def labels(state: State) -> dict[str, list[str]]:
    return {each: message["labels"] for each, message in state.items()}


async def change_something(world: GmailWorld, rng: random.Random, number: int) -> None:
    ids = sorted(world.gmail.truth(ADDRESS))
    match rng.randrange(4) if ids else 0:
        case 0 | 1:
            world.gmail.deliver(ADDRESS, raw(100 + number))
        case 2:
            add, remove = rng.choice([(["STARRED"], []), ([], ["UNREAD"]), (["UNREAD"], ["STARRED"])])
            world.gmail.relabel(ADDRESS, rng.choice(ids), add=add, remove=remove)
        case _:
            world.gmail.delete(ADDRESS, rng.choice(ids))


async def sync_and_perhaps_die(world: GmailWorld, rng: random.Random, account_id: str) -> None:
    world.steps.clear()
    world.kill_at = rng.randrange(1, 25) if rng.random() < 0.4 else None
    try:
        await (ping(world) if rng.random() < 0.3 else world.sync(account_id))
    except Killed:
        world.expire_lease(account_id)
        time_passes(world, 60)
    world.kill_at = None


@pytest.mark.parametrize("seed", range(4))
async def test_readers_and_the_app_have_the_mailbox_whatever_happens(
    redis: RedisRest, receiver: Receiver, seed: int
) -> None:
    rng = random.Random(seed)
    receiver.answers = [rng.choice([200, 200, 200, 503, 400]) for _ in range(100)] + [200]
    async with GmailWorld(redis, emulator=None, **environment(receiver)) as world:
        world.fill(5)
        account_id = await world.connect()
        one, two = (Reader(world, account_id, name) for name in ("one", "two"))
        for turn in range(TURNS):
            await change_something(world, rng, turn)
            match rng.randrange(5):
                case 0 | 1:
                    await sync_and_perhaps_die(world, rng, account_id)
                case 2:
                    await one.read(rng.randrange(1, 6))
                case 3 if two.cursor or rng.random() < 0.5:
                    await two.read(rng.randrange(1, 20))
                case _:
                    await world.wiring.redeliver(account_id, one.cursor)
                    await world.wiring.delivering.idle()
            time_passes(world, rng.randrange(600))
        await world.dry(account_id)
        receiver.answers = [200]
        for _ in range(3):
            time_passes(world, 3600)
            await ping(world)
        assert labels(await one.to_the_end()) == labels(await two.to_the_end()) == truth(world)
        assert (one.refused, two.refused) == (0, 0)
        assert receiver.of(account_id) == await world.events(account_id)
        assert labels(receiver.folded(account_id)) == truth(world)
        assert labels(applied([event for each in receiver.taken for event in each.events])) == truth(world)


SMALL = {"INITIAL_SYNC_MESSAGES": "all", "LOG_RETENTION_BYTES": "30000"}


async def pushed_out(world: GmailWorld, account_id: str) -> None:
    """Live changes that the log has no room for."""
    for first in (500, 600, 700):
        for n in range(25):
            world.gmail.deliver(ADDRESS, raw(first + n))
        await world.dry(account_id)


async def test_a_reader_whose_cursor_expired_is_told_and_its_rebuild_converges(redis: RedisRest) -> None:
    """Though the snapshot is larger than the log may be: it waits for who was refused."""
    async with GmailWorld(redis, emulator=None, **SMALL) as world:
        world.fill(10)
        account_id = await world.connect()
        await world.dry(account_id)
        reader, other = Reader(world, account_id, "app"), Reader(world, account_id, "other")
        await reader.read(4)
        await other.read(100)
        await pushed_out(world, account_id)
        for _ in range(100):
            await reader.read(10)
            if (await world.sync(account_id))["status"] == "no_new_messages" and not await reader.read(10):
                break
        assert reader.refused == 1
        assert labels(reader.state) == truth(world)


async def test_a_webhook_that_fell_behind_the_log_is_rebaselined(redis: RedisRest, receiver: Receiver) -> None:
    async with GmailWorld(redis, emulator=None, **(environment(receiver) | SMALL)) as world:
        world.fill(10)
        account_id = await world.connect()
        await world.sync(account_id)
        receiver.answers = [503]
        await pushed_out(world, account_id)
        receiver.answers = [200]
        for _ in range(100):
            time_passes(world, 3600)
            await ping(world)
            if not (await world.wiring.show_account(account_id))["webhook"]["behind"]:
                break
        await ping(world)
        events = receiver.of(account_id)
        alerts = [event["type"] for event in events if event["data"].get("alert") == "webhook_behind"]
        assert alerts == ["tidemark.alert.raised", "tidemark.alert.cleared"]
        began = max(n for n, event in enumerate(events) if event["type"] == "tidemark.snapshot.began")
        state: State = {}
        named: set[str] | None = None
        for event in events[began:]:
            named = apply(state, event, named)
        assert labels(state) == truth(world)


async def test_a_paused_backfill_reads_nothing_until_its_reader_has_moved(redis: RedisRest) -> None:
    given = {"INITIAL_SYNC_MESSAGES": "all", "LOG_RETENTION_BYTES": "65536"}
    async with GmailWorld(redis, emulator=None, **given) as world:
        world.fill(300)
        account_id = await world.connect()
        reader = Reader(world, account_id, "app")
        await reader.read(1)
        assert (await world.sync(account_id))["reason"] == "budget_spent"
        for _ in range(3):
            paused = await world.sync(account_id)
            assert (paused["status"], paused["more"], paused["api_calls"], paused["redis_requests"]) == (
                "partial",
                True,
                1,
                2,
            )
        arrived = world.gmail.deliver(ADDRESS, raw(900))
        assert (await world.sync(account_id))["changes"]["created"] == 1, "live changes are always written"
        for _ in range(60):
            while await reader.read(100):
                pass
            await reader.read(1)
            if (await world.sync(account_id))["status"] == "no_new_messages":
                break
        assert arrived in reader.state
        assert labels(await reader.to_the_end()) == truth(world)
