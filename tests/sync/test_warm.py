"""Warming after a sync: what a user is likely to read is in the cache, within a share of the quota, or nothing."""

import asyncio
from typing import Any

import pytest

from shared.adapters.preferences import Preferences
from shared.core.interest import DAY_S
from shared.sync.outcome import Outcome
from shared.sync.ports import Begun
from shared.sync.warm import READER_S, due
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, GmailWorld, raw

USER = "user-1"


class Reads:
    """An app that reads; counts what happens while it does, or while a sync with its warming runs."""

    def __init__(self, world: GmailWorld, account_id: str) -> None:
        self.world, self.account_id = world, account_id
        self.units = self.calls = self.requests = 0

    def start(self) -> None:
        self.world.gmail.reset_counters()
        self.world.redis.bridge.reset()

    def stop(self) -> None:
        counters = self.world.counters()
        self.units, self.calls = counters["units_asked"], counters["http_requests"]
        self.requests = self.world.redis.bridge.stats.requests

    async def read(self, *message_ids: str) -> None:
        self.start()
        found = await self.world.wiring.reading.messages(self.account_id, message_ids)
        assert list(found.found) == list(message_ids)
        self.stop()

    async def sync(self) -> dict[str, Any]:
        """`units`, `calls` and `requests` are then what warming added to the sync's own."""
        self.start()
        result = await self.world.sync(self.account_id)
        self.stop()
        self.units -= result["quota_units"]
        self.calls -= result["api_calls"]
        self.requests -= result["redis_requests"]
        return result

    def arrives(self, number: int, thread: str | None = None, sender: str = "friend") -> str:
        sent = raw(number, From=f"{sender}@example.org")
        return self.world.gmail.deliver(ADDRESS, sent, thread_id=thread)

    def is_warm(self, message_id: str) -> bool:
        held = self.world.redis.valkey.call("GET", f"td:{self.account_id}:message:{message_id}")
        return isinstance(held, bytes) and held.startswith(b"r")

    async def prefer(self, **wanted: Any) -> None:
        await self.world.wiring.warming.preferences.write(USER, Preferences(**wanted))


@pytest.fixture
async def app(world: GmailWorld) -> Reads:
    """A mailbox with old mail, read to its end by sync, and by nobody else."""
    world.fill(5)
    account_id = await world.connect()
    await world.dry(account_id)
    return Reads(world, account_id)


async def reader(app: Reads) -> str:
    """Has read all that the friend sends, and nothing of the newsletter; a thread of the friend's."""
    friends = [app.arrives(100 + n) for n in range(4)]
    for n in range(4):
        app.arrives(200 + n, sender="newsletter")
    await app.sync()
    for each in friends:
        await app.read(each)
    await app.sync()
    return friends[0]


async def test_a_user_who_reads_nothing_costs_no_request_no_call_and_no_unit(app: Reads) -> None:
    for n in range(3):
        app.arrives(n)
        await app.sync()
        assert (app.requests, app.calls, app.units) == (0, 0, 0)
    await app.prefer(warm="all_recent", followed_threads=["t1"])
    await app.sync()
    assert (app.requests, app.calls, app.units) == (0, 0, 0)


async def test_a_sync_costs_a_reader_what_it_costs_anybody(app: Reads) -> None:
    await reader(app)
    result = await app.sync()
    assert (result["api_calls"], result["redis_requests"], result["quota_units"]) == (1, 2, 2)


async def test_a_message_in_a_thread_that_the_user_follows_is_warm_as_soon_as_it_is_in_the_log(app: Reads) -> None:
    first = app.arrives(1)
    await app.sync()
    await app.read(first)
    second, other = app.arrives(2, first, "stranger"), app.arrives(3, sender="newsletter")
    result = await app.sync()
    assert result["quota_units"] == 2 + 2 * 20
    assert (app.calls, app.units) == (1, 20)
    assert app.is_warm(second)
    assert not app.is_warm(other)
    await app.read(first, second)
    assert (app.calls, app.requests) == (0, 1)


async def test_a_followed_thread_is_answered_whole_without_a_call(app: Reads) -> None:
    first = app.arrives(1)
    await app.sync()
    await app.world.wiring.reading.thread(app.account_id, first)
    second = app.arrives(2, first, "stranger")
    await app.sync()
    app.start()
    found = await app.world.wiring.reading.thread(app.account_id, first)
    app.stop()
    assert (list(found.found), app.calls, app.requests) == ([first, second], 0, 2)


async def test_mail_of_a_sender_who_is_read_is_warm_and_other_mail_is_not(app: Reads) -> None:
    await reader(app)
    app.world.clock.skip(DAY_S)
    await app.sync()  # by now the newsletters have been passed over
    wanted, unwanted = app.arrives(1), app.arrives(2, sender="newsletter")
    await app.sync()
    assert app.is_warm(wanted)
    assert not app.is_warm(unwanted)


async def test_what_is_read_again_and_again_is_kept_and_costs_no_quota(app: Reads) -> None:
    thread = await reader(app)
    key = f"td:{app.account_id}:message:{thread}"
    app.world.redis.valkey.call("PEXPIRE", key, 1000)
    app.world.clock.skip(1000)
    await app.sync()
    left_ms = app.world.redis.valkey.call("PTTL", key)
    assert isinstance(left_ms, int)
    assert left_ms > 3_000_000
    assert app.units == 0


async def test_a_quiet_mailbox_is_looked_at_four_times_in_the_time_of_the_cache(app: Reads) -> None:
    await reader(app)
    await app.sync()
    assert app.requests == 0
    app.world.clock.skip(901)
    await app.sync()
    assert app.requests == 2
    await app.sync()
    assert app.requests == 0


async def test_a_ping_reads_again_what_was_lost_and_is_likely(app: Reads) -> None:
    thread = await reader(app)
    for _ in range(5):
        await app.read(thread)
    app.world.redis.valkey.call("DEL", f"td:{app.account_id}:message:{thread}")
    app.world.clock.skip(901)
    await app.sync()
    assert app.units == 20
    assert app.is_warm(thread)


async def test_warming_takes_its_share_of_the_quota_and_the_rest_later(app: Reads) -> None:
    """A tenth of a burst of 2,000 units; a tenth of 6,000 a minute."""
    await reader(app)
    app.world.clock.skip(60)
    arrived = [app.arrives(n) for n in range(15)]
    await app.sync()
    assert (app.units, sum(map(app.is_warm, arrived))) == (200, 10)
    app.arrives(99, sender="newsletter")
    await app.sync()
    assert app.units == 0
    app.world.clock.skip(901)
    await app.sync()
    assert (app.units, sum(map(app.is_warm, arrived))) == (100, 15)


async def test_nothing_is_warmed_of_what_went_to_the_bin_or_is_a_draft(app: Reads) -> None:
    thread = await reader(app)
    app.world.clock.skip(60)
    arrived = [app.arrives(n, thread) for n in range(3)]
    app.world.gmail.trash(ADDRESS, arrived[0])
    app.world.gmail.relabel(ADDRESS, arrived[1], add=["SPAM"])
    app.world.gmail.save_draft(ADDRESS, raw(9))
    await app.sync()
    assert [app.is_warm(each) for each in arrived] == [False, False, True]
    app.world.gmail.trash(ADDRESS, arrived[2])
    late = app.arrives(4, thread)
    await app.sync()
    app.world.gmail.delete(ADDRESS, late)
    await app.sync()
    app.world.redis.valkey.call("DEL", *(f"td:{app.account_id}:message:{each}" for each in (*arrived, late)))
    app.world.clock.skip(901)
    await app.sync()
    assert not any(map(app.is_warm, (*arrived, late)))


async def test_old_mail_that_is_read_teaches_its_sender_and_its_thread(app: Reads) -> None:
    old = next(iter(app.world.gmail.truth(ADDRESS)))
    await app.read(old)
    await app.sync()
    reply = app.arrives(1, old, "stranger")
    await app.sync()
    assert app.is_warm(reply)


async def test_a_view_of_what_nobody_knows_teaches_nothing(app: Reads) -> None:
    await app.world.wiring.reading.messages(app.account_id, ["00000000000000ff"])
    await app.sync()
    app.world.clock.skip(901)
    await app.sync()
    assert (app.requests, app.units) == (1, 0)
    app.arrives(1)
    await app.sync()
    assert app.units == 0


async def test_nothing_is_warmed_of_an_account_that_was_deleted_meanwhile(app: Reads) -> None:
    await reader(app)
    wiring, now_s = app.world.wiring, app.world.clock.now_s()
    fields = await wiring.accounts.fields(app.account_id)
    begun = Begun(app.account_id, fields["fence"], fields, int(fields["version"]), 0, now_s)
    await wiring.delete_account(app.account_id)
    outcome = Outcome("synced", created=1)
    await wiring.warming.after(wiring.providers["gmail"], begun, outcome, now_s + 60)
    assert app.world.redis.valkey.call("KEYS", f"td:{app.account_id}:*") == []


async def test_a_message_without_a_sender_can_be_learnt_from(app: Reads) -> None:
    nameless = app.world.gmail.deliver(ADDRESS, b"Subject: Nobody's\r\n\r\nText.\r\n")
    await app.sync()
    await app.read(nameless)
    reply = app.arrives(1, nameless)
    await app.sync()
    assert app.is_warm(reply)


async def test_who_wants_nothing_warmed_costs_one_request_to_know_it(app: Reads) -> None:
    thread = await reader(app)
    for wanted in ({"warm": "off"}, {"quota_share": 0.0}):
        await app.prefer(**wanted)
        reply = app.arrives(1, thread)
        await app.sync()
        assert (app.requests, app.units) == (0, 0)  # this process has written it, so it knows
        assert not app.is_warm(reply)


async def test_who_wants_all_recent_mail_gets_the_newest_messages(app: Reads) -> None:
    await reader(app)
    await app.prefer(warm="all_recent", messages_max=2)
    app.world.clock.skip(60)
    arrived = [app.arrives(n, sender="newsletter") for n in range(3)]
    await app.sync()
    assert [app.is_warm(each) for each in arrived] == [False, True, True]


async def test_new_mail_in_a_thread_that_the_user_has_named_is_warm(app: Reads) -> None:
    await reader(app)
    named = app.arrives(1, sender="newsletter")
    await app.prefer(followed_threads=[named])
    await app.sync()
    assert app.is_warm(named)


async def test_a_user_may_want_less_of_the_quota_but_not_more(app: Reads) -> None:
    await reader(app)
    for share, units in ((0.01, 20), (1.0, 200)):
        await app.prefer(quota_share=share)
        app.world.clock.skip(600)
        for n in range(12):
            app.arrives(n)
        await app.sync()
        assert app.units == units


async def test_nothing_is_warmed_while_the_sync_has_more_to_do_or_no_time_left(app: Reads) -> None:
    thread = await reader(app)
    app.arrives(1, thread)
    app.start()
    result = await app.world.wiring.sync("gmail", app.account_id, app.world.clock.now_s() + 3.0)
    app.stop()
    assert result["status"] == "synced"
    assert app.requests == result["redis_requests"]
    app.world.gmail.set_fault("too_many", every=1)
    app.arrives(2, thread)
    assert (await app.sync())["status"] == "cooling_down"
    assert app.requests == 0


async def test_a_sync_that_is_done_does_not_fail_with_its_warming(app: Reads) -> None:
    thread = await reader(app)
    app.world.redis.bridge.inject("garbage", times=10, match="warmed_ms")
    app.arrives(1, thread)
    assert (await app.sync())["status"] == "synced"


async def test_two_instances_that_look_at_once_learn_and_read_once(app: Reads) -> None:
    thread = await reader(app)
    other = app.world.instance()
    app.arrives(1, thread)
    deadline_s = app.world.clock.now_s() + 60
    app.start()
    results = await asyncio.gather(
        *(wiring.sync("gmail", app.account_id, deadline_s) for wiring in (app.world.wiring, other))
    )
    app.stop()
    assert app.units - sum(result["quota_units"] for result in results) == 20


async def test_an_outlook_mailbox_is_warmed_like_any_and_its_readers_go_first(redis: RedisRest) -> None:
    async with OutlookWorld(redis) as world:
        world.fill(3)
        account_id = await world.connect()
        await world.dry(account_id)
        read = [world.graph.deliver(ADDRESS, raw(n, From="friend@example.org"), "inbox") for n in range(4)]
        await world.sync(account_id)
        for each in read:
            await world.wiring.reading.messages(account_id, [each])
        redis.valkey.call("SET", f"td:{account_id}:reading", "a reader", "PX", 60_000)
        reply = world.graph.deliver(ADDRESS, raw(9, From="friend@example.org"), "inbox")
        await world.sync(account_id)
        key = f"td:{account_id}:message:{reply}"
        assert not str(redis.valkey.call("GET", key)).startswith("b'r")
        redis.valkey.call("DEL", f"td:{account_id}:reading")
        world.clock.skip(901)
        await world.sync(account_id)
        assert str(redis.valkey.call("GET", key)).startswith("b'r")


@pytest.mark.parametrize(
    ("read_s", "looked_s", "news", "expected"),
    [
        (None, None, True, False),  # nobody has read anything
        (0, None, False, True),  # for the first time
        (100, 200, False, True),  # read since the last look
        (3000, 100, False, False),
        (3000, 100, True, True),
        (3000, 901, False, True),
        (READER_S + 1, None, True, False),  # nobody has read for long
    ],
)
def test_a_mailbox_is_looked_at_after_reads_after_news_and_in_time(
    read_s: float | None, looked_s: float | None, news: bool, expected: bool
) -> None:
    now_s = 1e9
    ago = {"read_ms": read_s, "warmed_ms": looked_s}
    fields = {name: f"{(now_s - seconds) * 1000:.0f}" for name, seconds in ago.items() if seconds is not None}
    assert due(fields, now_s, 3600.0, news=news) is expected
