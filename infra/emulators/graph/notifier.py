"""Delivers notifications from a thread of its own, on the emulated clock: late, grouped, doubled, lost, tried again.

    change → item → due after latency → grouped by URL → POST
                                            2xx in time    done
                                            anything else  again after 10, 20, 40 … s, for 4 hours, then dropped

`settle` waits until nothing that is due is left, so that a test may jump the clock and look.
Source: https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
"""

import contextlib
import heapq
import itertools
import threading
import time
from collections import Counter, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from infra.emulators.graph.endpoints import Endpoints
from infra.emulators.graph.lifecycle import lifecycle_item, notification_item
from infra.emulators.graph.mailbox import Change, ChangeKind
from infra.emulators.graph.rich import encrypted_content, validation_token
from infra.emulators.graph.subscriptions import Subscription, Subscriptions
from infra.emulators.graph.view import SELECTABLE, Seen, message_row
from infra.emulators.graph.world import World

TICK_REAL_S = 0.02
WORKERS = 8
LOG_MAX = 20_000


@dataclass(slots=True)
class Delivery:
    url: str
    item: dict[str, Any]
    app_id: str
    first_s: float
    attempts: int = 0

    @property
    def rich(self) -> bool:
        return "encryptedContent" in self.item and self.item["encryptedContent"] is not None


class Notifier:
    def __init__(self, world: World, subscriptions: Subscriptions) -> None:
        self._world = world
        self._subscriptions = subscriptions
        self._endpoints = Endpoints(world.knobs)
        self._queue: list[tuple[float, int, Delivery]] = []
        self._number = itertools.count()
        self._wake = threading.Condition(world.lock)
        self._in_flight = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_MAX)
        self.counts: Counter[str] = Counter()

    # --- what is to be told (under the lock)

    def on_change(self, change: Change) -> None:
        for subscription in self._subscriptions.live() if self._subscriptions.all else ():
            if _concerns(subscription, change):
                self._tell(subscription, change)

    def _tell(self, subscription: Subscription, change: Change) -> None:
        world, knobs, now = self._world, self._world.knobs, self._world.clock.now_s()
        url = subscription.body["notificationUrl"]
        self.counts["made"] += 1
        if subscription.reauthorize_by_s is not None and now > subscription.reauthorize_by_s:
            self.counts["lost_unauthorized"] += 1
            return
        state = self._endpoints.state(url, now)
        if state == "drop":
            self.counts["dropped_slow_endpoint"] += 1
            return
        if knobs.notification_loss_probability and world.rng.random() < knobs.notification_loss_probability:
            self.counts["lost"] += 1
            if knobs.missed_after_loss:
                self.lifecycle(subscription, "missed")
            return
        item = notification_item(subscription, change)
        if subscription.rich:
            item["encryptedContent"] = self._content(subscription, change)
        copies = 1
        if knobs.notification_duplicate_probability and world.rng.random() < knobs.notification_duplicate_probability:
            copies = 2
            self.counts["duplicated"] += 1
        for _ in range(copies):
            late_s = knobs.notification_latency_s + world.rng.random() * knobs.notification_jitter_s
            self._put(url, item, subscription, late_s + (knobs.slow_delay_s if state == "slow" else 0.0))

    def _content(self, subscription: Subscription, change: Change) -> dict[str, str]:
        message = change.mailbox.messages.get(change.immutable_id)
        row: dict[str, Any] = {"@odata.type": "#Microsoft.Graph.Message", "id": change.immutable_id}
        if message is not None and change.kind != "deleted":
            seen = Seen(message, self._world.contents.of(message.raw), change.mailbox, self._world.knobs, "html")
            names = [SELECTABLE.get(name.strip().lower(), "id") for name in subscription.rich_select or ()]
            row = message_row(seen, tuple(names), subscription.immutable_ids, always_typed=True)
        body = subscription.body
        return encrypted_content(row, body["encryptionCertificate"], body["encryptionCertificateId"])

    def lifecycle(self, subscription: Subscription, event: str) -> None:
        if subscription.lifecycle_url is None:
            return
        self.counts[event] += 1
        item = lifecycle_item(subscription, event, self._world.knobs.lifecycle_payload)
        self._put(subscription.lifecycle_url, item, subscription, self._world.knobs.notification_latency_s)

    def invent(self, subscription: Subscription, message_id: str, kind: ChangeKind) -> None:
        """A notification for which nothing happened."""
        mailbox = self._world.mailbox(subscription.mailbox)
        message = mailbox.message(message_id)
        made = Change(
            kind, mailbox, message.folder_id, message.immutable_id, message.mutable_id, message.change_key, False
        )
        self._tell(subscription, made)

    def _put(self, url: str, item: dict[str, Any], subscription: Subscription, delay_s: float) -> None:
        now = self._world.clock.now_s()
        self._push(Delivery(url, item, subscription.app_id, now), now + delay_s)

    def _push(self, delivery: Delivery, due_s: float) -> None:
        heapq.heappush(self._queue, (due_s, next(self._number), delivery))
        if self._thread is None and not self._stopping:
            self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="graph-notifier")
            self._thread = threading.Thread(target=self._run, name="graph-notifier", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def remind(self) -> None:
        """reauthorizationRequired for what is about to expire, again and again."""
        knobs, now = self._world.knobs, self._world.clock.now_s()
        for subscription in self._subscriptions.live():
            ending = subscription.expires_s - now <= knobs.reauthorize_before_s
            if ending and now - subscription.reminded_s >= knobs.reauthorize_every_s:
                subscription.reminded_s = now
                self.lifecycle(subscription, "reauthorizationRequired")

    # --- sending

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(5)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def settle(self, timeout_real_s: float = 5.0) -> bool:
        """Waits until all that is due at the clock's present time has been tried; False if time ran out."""
        until = time.monotonic() + timeout_real_s
        with self._wake:
            self.remind()
            while self._in_flight or (self._queue and self._queue[0][0] <= self._world.clock.now_s()):
                if time.monotonic() > until:
                    return False
                self._wake.notify_all()
                self._wake.wait(TICK_REAL_S)
        return True

    def _run(self) -> None:
        with self._wake:
            while not self._stopping:
                self.remind()
                for group in self._due():
                    self._in_flight += 1
                    assert self._pool is not None
                    self._pool.submit(self._send, group)
                self._wake.wait(TICK_REAL_S)

    def _due(self) -> list[list[Delivery]]:
        world, now = self._world, self._world.clock.now_s()
        by_url: dict[tuple[str, bool], list[Delivery]] = defaultdict(list)
        while self._queue and self._queue[0][0] <= now:
            delivery = heapq.heappop(self._queue)[2]
            by_url[delivery.url, delivery.rich].append(delivery)
        groups: list[list[Delivery]] = []
        size = max(1, world.knobs.notification_group_max)
        for due in by_url.values():
            if world.knobs.notification_reorder:
                world.rng.shuffle(due)
            groups += [due[at : at + size] for at in range(0, len(due), size)]
        return groups

    def _send(self, group: list[Delivery]) -> None:
        world, url = self._world, group[0].url
        body: dict[str, Any] = {"value": [delivery.item for delivery in group]}
        if group[0].rich:
            body["validationTokens"] = [
                validation_token(world.identity, app) for app in {item.app_id for item in group}
            ]
        started = time.monotonic()
        status: int | None = None
        with contextlib.suppress(httpx.HTTPError):
            status = world.client.post(url, json=body, timeout=world.knobs.ack_timeout_real_s).status_code
        took_s = time.monotonic() - started
        with self._wake:
            now = world.clock.now_s()
            self._endpoints.answered(url, now, took_s)
            self.counts["posts"] += 1
            accepted = status is not None and 200 <= status < 300 and took_s <= world.knobs.ack_timeout_real_s
            self._write(group, now, status, took_s, accepted)
            for delivery in () if accepted else group:
                self._again(delivery, now)
            self._in_flight -= 1
            self._wake.notify_all()

    def _write(self, group: list[Delivery], now: float, status: int | None, took_s: float, accepted: bool) -> None:
        self.counts["delivered" if accepted else "refused"] += len(group)
        self.log.append(
            {
                "at_s": now,
                "url": group[0].url,
                "status": status,
                "ack_ms": took_s * 1000,
                "accepted": accepted,
                "attempt": max(delivery.attempts for delivery in group) + 1,
                "items": [delivery.item for delivery in group],
            }
        )

    def _again(self, delivery: Delivery, now: float) -> None:
        knobs = self._world.knobs
        due_s = now + knobs.retry_first_s * 2.0**delivery.attempts
        delivery.attempts += 1
        if due_s - delivery.first_s > knobs.retry_for_s:
            self.counts["given_up"] += 1
        else:
            self._push(delivery, due_s)


def _concerns(subscription: Subscription, change: Change) -> bool:
    return (
        subscription.mailbox == change.mailbox.address
        and change.kind in subscription.kinds
        and subscription.folder_id in (None, change.folder_id)
        and subscription.drafts in (None, change.is_draft)
    )
