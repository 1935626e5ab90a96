"""Pub/Sub push subscriptions in small: signed, at least once, in no order, again until acknowledged.

    answer to a push              then
    102, 200, 201, 202, 204       acknowledged
    anything else, no answer      again: the same messageId, after the retry policy's back-off, and the whole
                                  subscription slows down (100 ms to 60 s); its window of open pushes halves
    unacknowledged for 7 days     dropped
    more than `dead_letter_after` dead letter

Back-off, retention and delays count on the emulator's clock, the ack deadline is real time, as are the tokens' times
unless `token_time` says "clock".
What a filter keeps out is never delivered to that subscription.
Source: https://cloud.google.com/pubsub/docs/push; facts/gmail.md 4 and (b) 25-28
"""

import asyncio
import base64
import contextlib
import heapq
import itertools
import random
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from infra.emulators.clock import Clock
from infra.emulators.google_keys import GoogleKeys
from infra.emulators.pubsub_token import FORGERIES, TOKEN_REUSE_S, claims

ACKS = frozenset({102, 200, 201, 202, 204})
RETENTION_S = 7 * 86_400.0
BACKOFF_MIN_S, BACKOFF_MAX_S, WINDOW_START, WINDOW_MAX = 0.1, 60.0, 4, 1000
_FILTER = re.compile(r'attributes\.(\w+) = "([^"]*)"')
_LOOK_S = 0.02  # real time between two looks at a clock that somebody may advance


@dataclass(slots=True)
class Subscription:
    name: str
    topic: str
    endpoint: str
    filter: str | None = None  # attributes.NAME = "VALUE"
    audience: str | None = None  # None: the endpoint
    service_account: str = "push@tidemark-local.iam.gserviceaccount.com"
    wrapped: bool = True
    write_metadata: bool = False  # unwrapped only: x-goog-pubsub-* headers
    ack_deadline_s: float = 10.0
    retry_min_s: float | None = None  # None: as soon as possible
    retry_max_s: float = 600.0
    dead_letter_after: int | None = None
    history_id_as: str = "number"  # | "string"
    urlsafe: bool = False  # base64url instead of padded standard base64
    token_time: str = "wall"  # | "clock"
    # faults
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # held back for up to two seconds, so that others overtake
    delay_s: float = 0.0
    forge: str | None = None  # one of FORGERIES
    # state
    backoff_s: float = 0.0
    paused_until_s: float = 0.0
    window: int = WINDOW_START
    open: int = 0
    token: str = ""
    token_at_s: float = 0.0


@dataclass(order=True, slots=True)
class _Delivery:
    due_s: float
    number: int
    subscription: Subscription = field(compare=False)
    data: dict[str, Any] = field(compare=False)
    attributes: dict[str, str] = field(compare=False)
    message_id: str = field(compare=False)
    published_s: float = field(compare=False)
    attempt: int = field(compare=False, default=1)


class PubSub:
    def __init__(self, clock: Clock, keys: GoogleKeys, seed: int = 1) -> None:
        self.clock, self.keys = clock, keys
        self.subscriptions: dict[str, Subscription] = {}
        self.counts = dict.fromkeys(("published", "dropped", "pushed", "acked", "nacked", "expired", "dead_letters"), 0)
        self.answers: list[tuple[str, int]] = []  # messageId, status (0: no answer) of each push
        self._rng = random.Random(f"pubsub:{seed}")
        self._queue: list[_Delivery] = []
        self._numbers = itertools.count()
        self._ids = itertools.count(2_070_443_601_311_540)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def subscribe(self, topic: str, endpoint: str, name: str | None = None, **knobs: Any) -> Subscription:
        """Creates the push subscription, or replaces the one of that name."""
        if knobs.get("forge") not in (None, *FORGERIES):
            raise ValueError(f"no such forgery: {knobs['forge']}")
        if knobs.get("filter") is not None and not _FILTER.fullmatch(knobs["filter"]):
            raise ValueError('a filter is written as attributes.NAME = "VALUE"')
        project = topic.split("/")[1] if topic.count("/") == 3 else "local"
        made = Subscription(name or f"projects/{project}/subscriptions/push", topic, endpoint, **knobs)
        self.subscriptions[made.name] = made
        return made

    def publish(self, topic: str, data: dict[str, Any], attributes: dict[str, str] | None = None) -> str:
        """To every subscription of the topic whose filter lets it pass; returns its id at once."""
        said = attributes or {}
        now_s = self.clock.now_s()
        with self._lock:
            self.counts["published"] += 1
            message_id = str(next(self._ids))
            for subscription in [each for each in self.subscriptions.values() if _takes(each, topic, said)]:
                if self._rng.random() < subscription.drop:
                    self.counts["dropped"] += 1
                    continue
                for _ in range(2 if self._rng.random() < subscription.duplicate else 1):
                    held_s = self._rng.uniform(0, 2) if self._rng.random() < subscription.reorder else 0.0
                    due_s = now_s + subscription.delay_s + held_s
                    made = _Delivery(due_s, next(self._numbers), subscription, data, said, message_id, now_s)
                    heapq.heappush(self._queue, made)
        self._start()
        return message_id

    def pending(self) -> int:
        """Messages not acknowledged yet, the open pushes among them."""
        return len(self._queue) + sum(each.open for each in self.subscriptions.values())

    def stop(self) -> None:
        self._stopping = True
        self._notice()
        if self._thread is not None:
            self._thread.join(5)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and self._queue:
                self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="pubsub", daemon=True)
                self._thread.start()
        self._notice()

    def _notice(self) -> None:
        if self._loop is not None and self._wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _run(self) -> None:
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as client:
            while not self._stopping:
                for delivery in self._due():
                    task = asyncio.create_task(self._push(client, delivery))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _LOOK_S if self._queue else 1.0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _due(self) -> list[_Delivery]:
        """What may be pushed now; the rest stays, behind a pause or a full window too."""
        now_s = self.clock.now_s()
        ready: list[_Delivery] = []
        waiting: list[_Delivery] = []
        with self._lock:
            while self._queue and self._queue[0].due_s <= now_s:
                delivery = heapq.heappop(self._queue)
                subscription = delivery.subscription
                if now_s - delivery.published_s > RETENTION_S:
                    self.counts["expired"] += 1
                elif now_s < subscription.paused_until_s or subscription.open >= subscription.window:
                    waiting.append(delivery)
                else:
                    subscription.open += 1
                    ready.append(delivery)
            for delivery in waiting:
                heapq.heappush(self._queue, delivery)
        return ready

    async def _push(self, client: httpx.AsyncClient, delivery: _Delivery) -> None:
        subscription = delivery.subscription
        status = 0
        try:
            headers, body = self._request(delivery)
            answer = await client.post(
                subscription.endpoint, content=body, headers=headers, timeout=subscription.ack_deadline_s
            )
            status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            pass
        finally:
            with self._lock:
                subscription.open -= 1
                self._settle(delivery, status)
            self._notice()

    def _settle(self, delivery: _Delivery, status: int) -> None:
        subscription, now_s = delivery.subscription, self.clock.now_s()
        self.counts["pushed"] += 1
        self.answers.append((delivery.message_id, status))
        if status in ACKS:
            self.counts["acked"] += 1
            subscription.backoff_s = subscription.backoff_s / 2 if subscription.backoff_s > BACKOFF_MIN_S else 0.0
            subscription.window = min(WINDOW_MAX, subscription.window * 2)
            return
        self.counts["nacked"] += 1
        subscription.window = max(1, subscription.window // 2)
        subscription.backoff_s = min(BACKOFF_MAX_S, max(BACKOFF_MIN_S, subscription.backoff_s * 2))
        subscription.paused_until_s = now_s + subscription.backoff_s
        limit = subscription.dead_letter_after
        if limit is not None and delivery.attempt >= limit:
            self.counts["dead_letters"] += 1
            return
        wait_s = 0.0
        if subscription.retry_min_s is not None:
            wait_s = min(subscription.retry_max_s, subscription.retry_min_s * 2 ** (delivery.attempt - 1))
        delivery.attempt += 1
        delivery.due_s = now_s + wait_s
        heapq.heappush(self._queue, delivery)

    def _request(self, delivery: _Delivery) -> tuple[dict[str, str], bytes]:
        subscription = delivery.subscription
        data = dict(delivery.data)
        if subscription.history_id_as == "string" and "historyId" in data:
            data["historyId"] = str(data["historyId"])
        raw = orjson.dumps(data)
        published = datetime.fromtimestamp(delivery.published_s, UTC).isoformat(timespec="milliseconds")
        published = published.replace("+00:00", "Z")
        headers = {"Content-Type": "application/json", "User-Agent": "APIs-Google; (+https://developers.google.com)"}
        if subscription.forge != "no_token":
            headers["Authorization"] = f"Bearer {self._token(subscription)}"
        if not subscription.wrapped:
            if subscription.write_metadata:
                headers |= {
                    "x-goog-pubsub-subscription-name": subscription.name,
                    "x-goog-pubsub-message-id": delivery.message_id,
                    "x-goog-pubsub-publish-time": published,
                }
            return headers, raw
        encode = base64.urlsafe_b64encode if subscription.urlsafe else base64.b64encode
        body: dict[str, Any] = {
            "message": {
                "attributes": delivery.attributes,
                "data": encode(raw).decode("ascii"),
                "messageId": delivery.message_id,
                "message_id": delivery.message_id,
                "publishTime": published,
                "publish_time": published,
            },
            "subscription": subscription.name,
        }
        if subscription.dead_letter_after is not None:
            body["deliveryAttempt"] = delivery.attempt
        return headers, orjson.dumps(body)

    def _token(self, subscription: Subscription) -> str:
        """The same token for up to an hour, as Google sends it; a forged one is made each time."""
        now_s = self.clock.now_s() if subscription.token_time == "clock" else time.time()
        forge = subscription.forge
        if forge is None and subscription.token and 0 <= now_s - subscription.token_at_s < TOKEN_REUSE_S:
            return subscription.token
        said = claims(subscription.audience or subscription.endpoint, subscription.service_account, now_s, forge)
        token = self.keys.sign(said, forge)
        if forge is None:
            subscription.token, subscription.token_at_s = token, now_s
        return token

    def renew_tokens(self) -> None:
        """No token is reused from here on, as after a key rotation."""
        for subscription in self.subscriptions.values():
            subscription.token = ""


def _takes(subscription: Subscription, topic: str, attributes: dict[str, str]) -> bool:
    wanted = _FILTER.fullmatch(subscription.filter or "")
    return subscription.topic == topic and (wanted is None or attributes.get(wanted[1]) == wanted[2])
