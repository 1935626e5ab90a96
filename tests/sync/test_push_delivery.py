"""From a message's arrival to the log, by pushes alone: how soon, and for how many syncs."""

import base64
import concurrent.futures
import time
from collections.abc import Iterator

import orjson
import pytest

from infra.emulators.gmail.settings import Settings as GmailSettings
from tests.conftest import RedisRest
from tests.push_world import PushWorld
from tests.world import ADDRESS

pytestmark = [pytest.mark.whole, pytest.mark.waits]

SOON_S = 2.0


@pytest.fixture(scope="module")
def world_of(redis_rest: RedisRest) -> Iterator[PushWorld]:
    with PushWorld(redis_rest) as made:
        yield made


@pytest.fixture
def world(world_of: PushWorld, redis: RedisRest) -> PushWorld:
    world_of.gmail.clear_faults()
    world_of.subscribe()
    return world_of


def wrapped(history_id: int) -> bytes:
    said = orjson.dumps({"emailAddress": ADDRESS, "historyId": history_id})
    return orjson.dumps({"message": {"data": base64.b64encode(said).decode()}})


def warmed(world: PushWorld) -> str:
    """A connected mailbox, synced once, and a second of silence, since Gmail drops what follows sooner."""
    account_id = world.connect()
    world.functions.http.post("/gmail-sync", json={"account_id": account_id}).raise_for_status()
    time.sleep(1.1)
    world.gmail.reset_counters()
    world.redis.valkey.call("DEL", "sync_perf:gmail")
    return account_id


def histories(world: PushWorld) -> int:
    return int(world.gmail.counters(ADDRESS)["calls"].get("history.list", 0))


def idle(world: PushWorld, account_id: str) -> None:
    world.until(lambda: world.redis.valkey.call("EXISTS", f"td:{account_id}:lease", f"td:{account_id}:called") == 0)


def burst(world: PushWorld, history_ids: list[int]) -> None:
    token = world.token()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda history_id: world.push(wrapped(history_id), token).status_code, history_ids))
    assert set(answers) == {204}


def test_messages_that_come_one_by_one_are_in_the_log_within_two_seconds_without_a_ping(world: PushWorld) -> None:
    account_id = warmed(world)
    waited = []
    for _ in range(20):
        message_id = world.deliver()
        waited.append(world.until(lambda wanted=message_id: wanted in world.created(account_id)))  # type: ignore[misc]
        time.sleep(max(0.0, 1.2 - waited[-1]))
    assert sorted(waited)[18] < SOON_S
    assert histories(world) <= 2 * 20 + 1


def test_two_hundred_pushes_at_once_cost_at_most_three_syncs(world: PushWorld) -> None:
    account_id = warmed(world)
    base = world.gmail.history_id(ADDRESS)
    message_ids = {world.deliver() for _ in range(5)}
    top = world.gmail.history_id(ADDRESS)
    burst(world, [base + 1 + n * (top - base) // 200 for n in range(200)])
    world.until(lambda: message_ids <= world.created(account_id))
    idle(world, account_id)
    assert world.syncs() <= 3
    assert histories(world) <= 3


def test_two_hundred_pushes_about_nothing_cost_at_most_three_looks_each(world: PushWorld) -> None:
    """History ids that Gmail never shows: tried a few times, then let go."""
    account_id = warmed(world)
    burst(world, [10**12] * 200)
    idle(world, account_id)
    first = histories(world)
    assert 2 <= first <= 5
    world.functions.http.post("/gmail-sync", json={"account_id": account_id}).raise_for_status()
    assert histories(world) == first + 1


def test_a_message_whose_push_was_dropped_is_found_by_the_late_look(world: PushWorld) -> None:
    account_id = warmed(world)
    first = world.deliver()
    world.until(lambda: first in world.created(account_id))
    second = world.deliver()
    assert world.gmail.watches.dropped >= 1
    assert world.until(lambda: second in world.created(account_id)) < SOON_S


def test_history_that_shows_late_is_waited_for(redis: RedisRest) -> None:
    with PushWorld(redis, emulator=GmailSettings(history_visible_after_s=1.5)) as world:
        account_id = warmed(world)
        message_id = world.deliver()
        assert world.until(lambda: message_id in world.created(account_id)) < 3.5


def test_doubled_late_and_reordered_pushes_lose_and_repeat_nothing(world: PushWorld) -> None:
    account_id = warmed(world)
    world.subscribe(duplicate=0.5, reorder=0.5, delay_s=0.2)
    message_ids = set()
    for _ in range(8):
        message_ids.add(world.deliver())
        time.sleep(0.4)
    world.until(lambda: message_ids <= world.created(account_id))
    idle(world, account_id)
    events = world.changes(account_id)
    assert len({event["id"] for event in events}) == len(events)
    named = [event["subject"] for event in events if event["type"] == "tidemark.message.created"]
    assert len(named) == len(set(named))


def test_a_push_that_found_the_provider_down_is_tried_again(world: PushWorld) -> None:
    account_id = warmed(world)
    world.gmail.set_fault("unavailable", call="history.list", times=4)
    message_id = world.deliver()
    world.until(lambda: message_id in world.created(account_id))


def test_what_no_push_reached_is_found_by_the_next_ping(world: PushWorld) -> None:
    account_id = warmed(world)
    world.subscribe(drop=1.0)
    message_id = world.deliver()
    time.sleep(0.3)
    assert message_id not in world.created(account_id)
    swept = world.functions.http.post("/gmail-sync").raise_for_status().json()
    assert (swept["accounts"], swept["results"][0]["count"]) == (1, 1)
    assert message_id in world.created(account_id)


def test_a_hint_can_be_sent_to_the_sync_function(redis: RedisRest) -> None:
    """DISPATCH=http: here the function that is called is served by the same process."""
    with PushWorld(redis, DISPATCH="inline") as other:
        url = f"{other.functions.url}/gmail-sync"
        with PushWorld(redis, DISPATCH="http", GMAIL_SYNC_URL=url) as world:
            # the mailbox is at the other's stand-in: only the pushes come here
            account_id = other.connect()
            other.functions.http.post("/gmail-sync", json={"account_id": account_id})
            other.subscribe(drop=1.0)
            message_id = other.deliver()
            answer = world.push(wrapped(other.gmail.history_id(ADDRESS)), world.token())
            assert answer.status_code == 204
            other.until(lambda: message_id in other.created(account_id))
