"""The webhook's position, batches, back-off, dead letters and breaker, over the real bridge."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.adapters.redis_deliveries import RedisDeliveries
from shared.core import delivery
from shared.core.change import entry
from shared.core.delivery import Answer
from shared.core.errors import BadRequest, StoreDown
from shared.sync.deliver import Batch, Settled, settle
from tests.adapters.stored import ACCOUNT, EVENT, Stored
from tests.conftest import RedisRest
from tests.receiver import SECRET
from tests.simulation.rest import MemoryRest

WEBHOOK = {"WEBHOOK_URL": "https://app.example/hook", "WEBHOOK_SECRETS": SECRET}
OK, DOWN, REFUSED, GONE = Answer(200), Answer(500), Answer(400), Answer(410)


class Deliveries(Stored):
    """An account with its `connected` event, and a webhook. `d1` is the owner unless another is named."""

    def __init__(self, redis: RedisRest | MemoryRest, **environment: str) -> None:
        super().__init__(redis, **WEBHOOK, **environment)
        self.deliveries = RedisDeliveries(self.client, self.clock, self.settings)
        self.steps = 0

    async def said(self, count: int = 1, event: str = EVENT) -> None:
        begun = await self.begin()
        await self.append(begun, f"{begun.fence}.1", events=[event] * count, let_go=True)

    async def take(self, owner: str = "d1", account_id: str = ACCOUNT) -> Batch | None:
        return await self.deliveries.next(account_id, owner, None, take=True)

    async def taken(self, owner: str = "d1") -> Batch:
        batch = await self.take(owner)
        assert batch is not None
        return batch

    async def settle(self, batch: Batch, answer: Answer, owner: str = "d1", *, take: bool = True) -> Batch | None:
        settled = settle(batch, answer, self.clock.jitter, self.clock.now_s())
        return await self.deliveries.next(batch.account_id, owner, settled, take=take)

    async def due(self) -> list[str]:
        return await self.deliveries.due(1000)

    async def shown(self) -> dict[str, Any]:
        flat = [each.decode() for each in self.call("HGETALL", self.of("account"))]
        (shown,) = await self.deliveries.shown({ACCOUNT: dict(zip(flat[::2], flat[1::2], strict=True))})
        return shown

    def reader(self) -> str | None:
        found = self.call("HGET", self.of("readers"), "@webhook")
        return None if found is None else found.decode().partition(",")[0]

    def forget_target(self, what: str = "open") -> None:
        """As the TTL does, without the waiting."""
        for key in self.call("KEYS", f"td:target:*:{what}"):
            self.call("DEL", key.decode())


@pytest.fixture
async def webhook(either: RedisRest | MemoryRest) -> AsyncIterator[Deliveries]:
    made = Deliveries(either)
    await made.connect()
    yield made
    await made.client.close()


async def test_what_is_appended_is_due_and_taken_in_order(webhook: Deliveries) -> None:
    assert await webhook.due() == [ACCOUNT], "the connection itself is an event"
    await webhook.said(2)
    batch = await webhook.taken()
    assert (batch.id, batch.first, batch.last, batch.attempts) == ("a1_e1_1-3", 1, 3, 0)
    assert [event["id"] for event in batch.events] == ["a1.e1.1", "a1.e1.2", "a1.e1.3"]
    assert await webhook.settle(batch, OK) is None
    assert await webhook.due() == []
    assert await webhook.take() is None
    await webhook.said()
    assert await webhook.due() == [ACCOUNT]
    assert (await webhook.taken()).id == "a1_e1_4-4"


async def test_a_batch_and_the_one_behind_it_are_one_request(webhook: Deliveries) -> None:
    await webhook.said(delivery.BATCH_EVENTS_MAX)
    webhook.redis.bridge.reset()
    first = await webhook.taken()
    assert len(first.events) == delivery.BATCH_EVENTS_MAX
    second = await webhook.settle(first, OK)
    assert second is not None
    assert (second.first, second.last) == (delivery.BATCH_EVENTS_MAX + 1, delivery.BATCH_EVENTS_MAX + 1)
    assert await webhook.settle(second, OK) is None
    assert webhook.redis.bridge.stats.requests == 3
    assert (await webhook.shown())["lag"] == 0


async def test_a_batch_is_limited_by_its_bytes_but_has_an_event_at_least(webhook: Deliveries) -> None:
    large = entry("message.deleted", {"message_id": "m" * (delivery.BATCH_BYTES_MAX * 2 // 3)})
    await webhook.said(3, large)
    batch: Batch | None = await webhook.taken()
    sizes = []
    while batch is not None:
        sizes.append(len(batch.events))
        batch = await webhook.settle(batch, OK)
    assert sizes == [2, 1, 1]


async def test_a_failed_batch_stays_what_it_is_whatever_comes_behind_it(webhook: Deliveries) -> None:
    batch = await webhook.taken()
    assert await webhook.settle(batch, DOWN) is None
    await webhook.said(5)
    webhook.clock.at_s += 3600
    again = await webhook.taken()
    assert (again.id, again.events, again.attempts) == (batch.id, batch.events, 1)
    following = await webhook.settle(again, OK)
    assert following is not None
    assert following.first == 2


async def test_a_failed_batch_waits_and_so_does_all_behind_it(webhook: Deliveries) -> None:
    await webhook.settle(await webhook.taken(), REFUSED)
    await webhook.said()
    assert await webhook.due() == []
    assert await webhook.take() is None
    webhook.clock.at_s += 5.0
    assert await webhook.due() == [ACCOUNT]
    shown = await webhook.shown()
    assert (shown["attempts"], shown["lag"], shown["last_failure"]) == (1, 2, "http_400")
    assert shown["next_try_at"] is not None


async def test_one_instance_delivers_an_account_at_a_time(webhook: Deliveries) -> None:
    batch = await webhook.taken()
    assert await webhook.take("d2") is None
    assert await webhook.due() == []
    webhook.call("DEL", webhook.of("delivering"))
    assert (await webhook.taken("d2")).id == batch.id
    assert await webhook.settle(batch, OK) is None, "who has lost the lease settles nothing"
    assert (await webhook.shown())["lag"] == 1


async def test_a_lease_that_ran_out_and_that_nobody_took_is_no_loss(webhook: Deliveries) -> None:
    batch = await webhook.taken()
    webhook.call("DEL", webhook.of("delivering"))
    await webhook.settle(batch, OK)
    assert (await webhook.shown())["lag"] == 0


async def test_what_the_time_does_not_reach_is_due_again(webhook: Deliveries) -> None:
    batch = await webhook.taken()
    await webhook.said()
    assert await webhook.settle(batch, OK, take=False) is None
    assert webhook.call("EXISTS", webhook.of("delivering")) == 0
    assert await webhook.due() == [ACCOUNT]


@pytest.mark.parametrize("answer", [OK, DOWN, REFUSED, GONE], ids=lambda answer: answer.said)
async def test_a_lost_reply_settles_nothing_twice(webhook: Deliveries, answer: Answer) -> None:
    await webhook.said(delivery.BATCH_EVENTS_MAX * 2)
    batch = await webhook.taken()
    webhook.redis.bridge.inject("drop_reply")
    following = await webhook.settle(batch, answer)
    shown = await webhook.shown()
    assert shown["attempts"] == (1 if answer in (DOWN, REFUSED) else 0)
    assert (following is not None) == (answer is OK)
    if following is not None:
        assert (following.first, following.last) == (batch.last + 1, batch.last + delivery.BATCH_EVENTS_MAX)


async def test_a_batch_that_is_given_up_is_a_dead_letter_and_the_next_one_is_taken(webhook: Deliveries) -> None:
    await webhook.said(delivery.BATCH_EVENTS_MAX)
    batch = await webhook.taken()
    dead = Settled(batch, "refused", "http_400", dead=True)
    following = await webhook.deliveries.next(ACCOUNT, "d1", dead, take=True)
    assert following is not None
    assert following.first == batch.last + 1
    assert (await webhook.shown())["dead_letters"] == 1
    assert webhook.reader() == "100"
    ((_, flat),) = webhook.call("XRANGE", webhook.of("dead"), "-", "+")
    letter = dict(zip(flat[::2], flat[1::2], strict=True))
    assert (letter[b"epoch"], letter[b"first"], letter[b"last"]) == (b"e1", b"1", b"100")
    assert (letter[b"attempts"], letter[b"said"]) == (b"1", b"http_400")


async def test_dead_letters_come_again_with_what_was_behind_them(webhook: Deliveries) -> None:
    first = await webhook.taken()
    await webhook.said(3)
    following = await webhook.deliveries.next(ACCOUNT, "d1", Settled(first, "refused", "x", dead=True), take=True)
    assert following is not None
    assert await webhook.settle(following, OK) is None
    await webhook.deliveries.redeliver(ACCOUNT, None)
    assert await webhook.due() == [ACCOUNT]
    again = await webhook.taken()
    assert again.events[: len(first.events)] == first.events
    assert again.events[len(first.events) :] == following.events
    shown = await webhook.shown()
    assert (shown["dead_letters"], shown["lag"]) == (0, 4)


async def test_a_redelivery_begins_at_its_cursor_with_the_same_ids(webhook: Deliveries) -> None:
    await webhook.said(4)
    batch = await webhook.taken()
    await webhook.settle(batch, OK)
    await webhook.deliveries.redeliver(ACCOUNT, "e1.3")
    again = await webhook.taken()
    assert again.events == batch.events[3:]
    await webhook.settle(again, OK)
    await webhook.deliveries.redeliver(ACCOUNT, "e1.5")
    assert await webhook.take() is None, "a redelivery skips nothing, and there is nothing behind the end"


async def test_a_redelivery_while_a_batch_is_on_its_way_is_not_undone_by_it(webhook: Deliveries) -> None:
    await webhook.said(4)
    await webhook.settle(await webhook.taken(), OK)
    await webhook.said()
    on_its_way = await webhook.taken()
    await webhook.deliveries.redeliver(ACCOUNT, "e1.0")
    following = await webhook.settle(on_its_way, OK)
    assert following is not None
    assert following.first == 1


@pytest.mark.parametrize("cursor", ["garbage", "e2.1", "e1.9"])
async def test_a_cursor_that_the_log_never_gave_is_expired(webhook: Deliveries, cursor: str) -> None:
    with pytest.raises(BadRequest) as raised:
        await webhook.deliveries.redeliver(ACCOUNT, cursor)
    assert (raised.value.status, raised.value.slug) == (410, "cursor_expired")
    with pytest.raises(BadRequest) as raised:
        await webhook.deliveries.redeliver("nobody", None)
    assert raised.value.status == 404


async def test_410_pauses_the_target_for_all_and_a_redelivery_ends_it(webhook: Deliveries) -> None:
    await webhook.connect("a2", "gmail|h2")
    assert await webhook.settle(await webhook.taken(), GONE) is None
    assert await webhook.due() == []
    assert await webhook.take(account_id="a2") is None
    target = await webhook.deliveries.target()
    assert (target["state"], target["last_answer"]) == ("paused", "http_410")
    assert target["paused_since"] is not None
    await webhook.deliveries.redeliver(ACCOUNT, None)
    assert (await webhook.deliveries.target())["state"] == "closed"
    assert (await webhook.taken()).first == 1


async def opened(webhook: Deliveries) -> None:
    """The breaker, by as many failures as it takes."""
    batch: Batch | None = await webhook.taken()
    for _ in range(webhook.settings.circuit_breaker_failure_threshold):
        assert batch is not None
        await webhook.settle(batch, DOWN)
        webhook.clock.at_s += 3600
        batch = await webhook.take()
    assert batch is None


async def test_a_target_that_fails_for_everybody_is_left_alone_and_then_probed(webhook: Deliveries) -> None:
    await webhook.connect("a2", "gmail|h2")
    await opened(webhook)
    assert (await webhook.deliveries.target())["state"] == "open"
    assert await webhook.due() == []
    assert await webhook.take("d2", "a2") is None
    webhook.forget_target()
    webhook.clock.at_s += 60
    assert (await webhook.deliveries.target())["state"] == "half_open"
    assert len(await webhook.due()) == 1
    probe = await webhook.taken()
    assert await webhook.take("d2", "a2") is None, "one probe at a time"
    await webhook.settle(probe, DOWN)
    assert (await webhook.deliveries.target())["state"] == "open"
    webhook.forget_target()
    webhook.clock.at_s += 3600
    await webhook.settle(await webhook.taken(), REFUSED)
    assert (await webhook.deliveries.target())["state"] == "closed", "somebody is there"
    assert await webhook.due() == ["a2"]


async def test_the_webhook_is_a_reader_that_backfill_waits_for(either: RedisRest | MemoryRest) -> None:
    webhook = Deliveries(either, LOG_RETENTION_BYTES="2000")
    await webhook.connect()
    await webhook.said(20)
    assert webhook.reader() == "0"
    begun = await webhook.begin()
    assert (await webhook.append(begun, "2.1", events=[EVENT] * 20, pausable=True)).log_full
    await webhook.settle(await webhook.taken(), OK)
    assert webhook.reader() == "21"
    assert not (await webhook.append(begun, "2.2", events=[EVENT] * 20, pausable=True)).log_full
    await webhook.client.close()


async def test_a_webhook_that_has_everything_is_not_waited_for_when_its_place_as_a_reader_was_lost(
    either: RedisRest | MemoryRest,
) -> None:
    webhook = Deliveries(either, LOG_RETENTION_BYTES="2000")
    await webhook.connect()
    await webhook.said(20)
    await webhook.settle(await webhook.taken(), OK)
    assert await webhook.due() == []
    webhook.call("DEL", webhook.of("readers"))
    begun = await webhook.begin()
    assert (await webhook.append(begun, "2.1", events=[EVENT] * 20, pausable=True)).log_full
    assert await webhook.due() == [ACCOUNT], "nothing is undelivered, but where it is has to be said again"
    assert await webhook.take() is None
    assert webhook.reader() == "21"
    assert not (await webhook.append(begun, "2.2", events=[EVENT] * 20, pausable=True)).log_full
    await webhook.client.close()


async def test_without_a_webhook_nobody_is_waited_for(redis: RedisRest) -> None:
    stored = Stored(redis)
    await stored.connect()
    begun = await stored.begin()
    await stored.append(begun, "1.1", events=[EVENT])
    assert not stored.store.undelivered
    assert stored.call("HLEN", stored.of("readers")) == 0
    await stored.client.close()


async def test_a_position_that_the_log_has_left_behind_is_rebaselined_once(either: RedisRest | MemoryRest) -> None:
    webhook = Deliveries(either, LOG_RETENTION_BYTES="2000")
    await webhook.connect()
    await webhook.said(60)
    oldest = webhook.log()[0][0]
    assert oldest > 1
    webhook.redis.bridge.inject("drop_reply")
    batch = await webhook.taken()
    assert batch.first == oldest
    assert webhook.reader() == str(oldest - 1)
    assert batch.events[-1]["type"] == "tidemark.alert.raised"
    assert batch.events[-1]["data"]["alert"] == "webhook_behind"
    assert (webhook.field("asked") or "").startswith("content:")
    assert webhook.field("hints") == "1"
    assert (await webhook.shown())["behind"]
    await webhook.settle(batch, OK)
    await webhook.said(60)
    raised = await webhook.taken()
    assert all("alert" not in event["type"] for event in raised.events), "told once"
    await webhook.settle(raised, OK)
    await webhook.said(1, entry("snapshot.ended", {"snapshot_id": "s"}))
    cleared = await webhook.settle(await webhook.taken(), OK)
    assert cleared is not None
    assert [event["type"] for event in cleared.events] == ["tidemark.alert.cleared"]
    assert not (await webhook.shown())["behind"]
    await webhook.client.close()


async def test_a_log_that_is_lost_meanwhile_is_not_begun_anew_by_an_alert(either: RedisRest | MemoryRest) -> None:
    """Else nobody would see that it was lost."""
    webhook = Deliveries(either, LOG_RETENTION_BYTES="2000")
    await webhook.connect()
    await webhook.said(60)
    await webhook.settle(await webhook.taken(), OK)
    await webhook.said(1, entry("snapshot.ended", {"snapshot_id": "s"}))
    batch = await webhook.taken()
    webhook.call("DEL", webhook.of("log"))
    assert await webhook.settle(batch, OK) is None
    assert webhook.call("EXISTS", webhook.of("log")) == 0
    assert (await webhook.begin()).lost == "log"
    await webhook.client.close()


async def test_a_new_epoch_is_delivered_from_its_start(webhook: Deliveries) -> None:
    await webhook.said(3)
    await webhook.settle(await webhook.taken(), OK)
    webhook.call("DEL", webhook.of("log"))
    begun = await webhook.begin()
    assert await webhook.take() is None
    await webhook.append(begun, f"{begun.fence}.1", events=[EVENT] * 2, let_go=True)
    batch = await webhook.taken()
    assert (batch.epoch, batch.first, batch.last) == (begun.fields["epoch"], 1, 2)
    assert batch.epoch != "e1"


async def test_a_new_epoch_does_not_keep_an_old_alert(either: RedisRest | MemoryRest) -> None:
    webhook = Deliveries(either, LOG_RETENTION_BYTES="2000")
    await webhook.connect()
    await webhook.said(60)
    await webhook.taken()
    webhook.call("DEL", webhook.of("log"), webhook.of("delivering"))
    begun = await webhook.begin()
    ended = entry("snapshot.ended", {"snapshot_id": "s"})
    await webhook.append(begun, f"{begun.fence}.1", events=[EVENT, ended], let_go=True)
    cleared = await webhook.settle(await webhook.taken(), OK)
    assert cleared is not None
    assert cleared.events[0]["type"] == "tidemark.alert.cleared"
    await webhook.client.close()


async def test_a_lost_position_loses_no_alert(either: RedisRest | MemoryRest) -> None:
    """What is kept of the log comes again; that the webhook is behind is neither said twice, nor forgotten."""
    webhook = Deliveries(either, LOG_RETENTION_BYTES="2000")
    await webhook.connect()
    await webhook.said(60)
    first = await webhook.taken()
    assert first.events[-1]["type"] == "tidemark.alert.raised"
    await webhook.settle(first, OK)
    webhook.call("DEL", webhook.of("delivery"))
    await webhook.said(1, entry("snapshot.ended", {"snapshot_id": "s"}))
    again = await webhook.taken()
    assert [event["type"] for event in again.events].count("tidemark.alert.raised") == 1
    assert (await webhook.shown())["behind"]
    cleared = await webhook.settle(again, OK)
    assert cleared is not None
    assert [event["type"] for event in cleared.events] == ["tidemark.alert.cleared"]
    await webhook.client.close()


async def test_an_account_that_is_gone_is_due_no_more(webhook: Deliveries) -> None:
    webhook.call("HSET", webhook.of("account"), "state", "deleting")
    assert await webhook.due() == [ACCOUNT]
    assert await webhook.take() is None
    assert await webhook.due() == []


async def test_a_store_that_answers_something_else_is_down(webhook: Deliveries) -> None:
    webhook.call("SET", webhook.of("delivery"), "no hash")
    with pytest.raises(StoreDown):
        await webhook.take()
