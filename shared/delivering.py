"""The webhook's place in the functions: after a sync, with every ping, once more when a person asks for it.

    a sync has appended something        its log, when the lease is given back; in a task where a push called for it
    a ping has swept                     every log whose time has come, DELIVERY_RESERVE_S at least
    an account is deleted                `account.disconnected`, one attempt, before its keys go; a deletion that was
                                         killed is finished by the next ping, and says it again, under the same id
    POST /accounts/{id}/redeliver        position set back, back-off and pause ended

Whatever goes wrong here is logged and left for the next ping: a receiver that is dead, or slow, fails no sync and holds
none up. Its requests to Redis are counted by nobody.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from shared.adapters.http_client import HttpClient
from shared.adapters.redis_client import RedisClient
from shared.adapters.redis_deliveries import RedisDeliveries
from shared.adapters.webhook_sink import WebhookSink
from shared.config import Settings
from shared.core import change
from shared.core.delivery import batch_id
from shared.core.errors import BadRequest, StoreDown
from shared.log import log
from shared.sync.deliver import deliver, deliver_due
from shared.sync.ports import Clock

DELIVERY_RESERVE_S = 10.0  # of a ping whose time the sweep has spent; within INVOCATION_SLACK_S
TASKS_AT_ONCE = 4


class Delivering:
    """One per event loop. Where no WEBHOOK_URL is set, all of it does nothing."""

    def __init__(self, settings: Settings, redis: RedisClient, http: HttpClient, clock: Clock) -> None:
        self._on = settings.webhook_url is not None
        self._store = RedisDeliveries(redis, clock, settings)
        self._sink = WebhookSink(settings, http, clock)
        self._settings, self._clock = settings, clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(TASKS_AT_ONCE)

    async def account(self, account_id: str, deadline_s: float) -> None:
        """What is undelivered of one account, until the time is over or an attempt fails."""
        if not self._on:
            return
        try:
            done = await deliver(account_id, self._store, self._sink, self._clock, deadline_s)
        except StoreDown as error:
            log("delivery_failed", level="warning", error=error, account_id=account_id)
            return
        except Exception as error:  # whatever it is: the sync is done, and the other accounts are due
            log("delivery_failed", level="error", error=error, account_id=account_id)
            return
        for settled in done:
            fine = settled.verdict == "delivered"
            log(
                "delivered" if fine else "delivery_refused",
                level="info" if fine else "warning",
                account_id=account_id,
                count=len(settled.batch.events),
                attempts=settled.batch.attempts + 1,
                reason="" if fine else settled.said,
            )

    def start(self, account_id: str) -> None:
        """The same in a task of its own: a push's sync does not wait for the receiver."""

        async def limited() -> None:
            async with self._at_once:
                await self.account(account_id, self._clock.now_s() + self._settings.max_sync_duration)

        task = asyncio.create_task(limited())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Waits for the tasks that were started."""
        await asyncio.gather(*self._tasks)

    async def due(self, deadline_s: float) -> None:
        if not self._on:
            return
        deadline_s = max(deadline_s, self._clock.now_s() + DELIVERY_RESERVE_S)
        try:
            await deliver_due(
                self._store, lambda account_id: self.account(account_id, deadline_s), deadline_s, self._clock
            )
        except StoreDown as error:
            log("delivery_failed", level="warning", error=error)

    async def disconnected(self, account_id: str, fields: Mapping[str, str]) -> None:
        """Of a marked account, whose log does not grow any more: the place after its end is free."""
        if not self._on:
            return
        epoch, place = fields["epoch"], int(fields["seq"]) + 1
        stored = change.entry("account.disconnected", {"reason": "deleted"})
        stream_id = f"{place}-{fields.get('deleted_ms', '0')}"
        event = change.cloud_event(account_id, fields["user_id"], fields["provider"], epoch, stream_id, stored)
        try:
            if (await self._store.target())["state"] != "closed":
                return
            answer = await self._sink.send(batch_id(account_id, epoch, place, place), [event], 0)
        except StoreDown as error:
            log("delivery_failed", level="warning", error=error, account_id=account_id)
            return
        if answer.verdict != "delivered":
            log("delivery_refused", level="warning", account_id=account_id, reason=answer.said)

    async def redeliver(self, account_id: str, after: str | None) -> None:
        if not self._on:
            raise BadRequest(409, "webhook_off", "WEBHOOK_URL is not set, so nothing is delivered")
        await self._store.redeliver(account_id, after)
        if self._settings.dispatch == "inline":
            self.start(account_id)

    async def target(self) -> dict[str, Any] | None:
        return await self._store.target() if self._on else None

    async def shown(self, accounts: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any] | None]:
        """How far the delivery of each is."""
        return list(await self._store.shown(accounts)) if self._on else [None] * len(accounts)
