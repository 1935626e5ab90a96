"""Deliveries of the change log, stored: positions, back-off, dead letters, and how the target stands.

A target is named by a digest of its URL: no key holds a URL. The position belongs to the account, not to the target: an
app that moves to another URL goes on where it was.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from shared.adapters import redis_account_scripts
from shared.adapters import redis_delivery_scripts as scripts
from shared.adapters import redis_keys as keys
from shared.adapters.redis_accounts import ACCOUNTS_AT_ONCE, expired
from shared.adapters.redis_client import RedisClient
from shared.adapters.redis_store import ENTRY_OVERHEAD_BYTES
from shared.config import Settings
from shared.core import change
from shared.core.delivery import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, LEASE_S
from shared.core.errors import BadRequest, StoreDown
from shared.core.message import instant
from shared.sync.deliver import Batch, Settled
from shared.sync.ports import Clock

PAUSED_MS = 600_000  # an account of a paused target is looked at again after a sync, no more often than this
OF_AN_ACCOUNT = ("account", "log", "delivery", "delivering", "readers", "dead")


class RedisDeliveries:
    def __init__(self, redis: RedisClient, clock: Clock, settings: Settings) -> None:
        self._redis, self._clock, self._settings = redis, clock, settings
        self._target = keys.target(sha256((settings.webhook_url or "").encode()).hexdigest()[:16])

    async def due(self, many: int) -> list[str]:
        """Accounts whose log is to be delivered now; none while the target is paused or its breaker is open."""
        target, opened, _ = self._target
        found = await self._redis.run(scripts.DUE, [keys.UNDELIVERED, target, opened], [self._now_ms(), many])
        return [str(each) for each in _list(found)]

    async def next(self, account_id: str, owner: str, settled: Settled | None, *, take: bool) -> Batch | None:
        """Settles a batch, then takes the one behind it; None: there is none, or not now, or not for this owner."""
        answer = await self._redis.run(
            scripts.NEXT,
            [*(keys.of(account_id, name) for name in OF_AN_ACCOUNT), keys.UNDELIVERED, *self._target],
            [orjson.dumps(self._header(account_id, owner, settled, take)).decode(), scripts.RAISED, scripts.CLEARED],
        )
        match answer:
            case ["batch", str(epoch), str(provider), str(user_id), int(attempts), str(since_ms), [*rows]]:
                events = [change.cloud_event(account_id, user_id, provider, epoch, *map(str, row)) for row in rows]
                places = [int(str(row[0]).partition("-")[0]) for row in rows]
                ended = [
                    place
                    for place, event in zip(places, events, strict=True)
                    if event["type"] == "tidemark.snapshot.ended"
                ]
                since_s = int(since_ms) / 1000
                return Batch(account_id, epoch, places[0], places[-1], events, attempts, since_s, max(ended, default=0))
            case [str()] | [str(), *_]:
                return None
        raise StoreDown("Redis answered something that the script does not return")

    def _header(self, account_id: str, owner: str, settled: Settled | None, take: bool) -> dict[str, Any]:
        settings = self._settings
        header: dict[str, Any] = {
            "account": account_id,
            "owner": owner,
            "now": self._now_ms(),
            "take": take,
            "reader": scripts.READER,
            "ttl_ms": int(LEASE_S * 1000),
            "paused_ms": PAUSED_MS,
            "events_max": BATCH_EVENTS_MAX,
            "bytes_max": BATCH_BYTES_MAX,
            "entry_overhead": ENTRY_OVERHEAD_BYTES,
            "dead_max": scripts.DEAD_LETTERS_MAX,
            "threshold": settings.circuit_breaker_failure_threshold,
            "cooldown_ms": int(settings.circuit_breaker_cooldown * 1000),
        }
        if settled is not None:
            batch = settled.batch
            header["settled"] = {
                "epoch": batch.epoch,
                "first": batch.first,
                "last": batch.last,
                "attempts": batch.attempts,
                "ended": batch.ended,
                "verdict": settled.verdict,
                "said": settled.said,
                "dead": settled.dead,
                "next": int(settled.next_s * 1000),
            }
        return header

    async def redeliver(self, account_id: str, after: str | None) -> None:
        """From a cursor on, or from the oldest dead letter on; a paused target is tried again.

        Everything behind a dead letter comes again too, in order: an old patch alone, after newer ones, would be wrong.
        Raises BadRequest: 404 unknown account, 410 `cursor_expired`.
        """
        epoch, place = "", 0
        if after is not None:
            parts = change.cursor_parts(after)
            if parts is None:
                raise expired()
            epoch, place = parts
        names = ("account", "log", "delivery", "readers", "dead")
        answer = await self._redis.run(
            scripts.REDELIVER,
            [*(keys.of(account_id, name) for name in names), keys.UNDELIVERED, *self._target],
            [account_id, self._now_ms(), epoch, place],
        )
        if answer == "unknown":
            raise BadRequest(404, "unknown_account", "there is no such account")
        if answer == "expired":
            raise expired()

    async def target(self) -> dict[str, Any]:
        """How the target stands: `state` is closed, open, half_open (its breaker) or paused (410 Gone)."""
        target, opened, _ = self._target
        stored, is_open = await self._redis.run(scripts.TARGET, [target, opened], [])
        fields = _pairs(stored)
        state = "open" if is_open else "half_open" if "opened" in fields else "closed"
        paused_s = int(fields["gone"]) / 1000 if "gone" in fields else None
        return {
            "state": state if paused_s is None else "paused",
            "paused_since": instant(paused_s),
            "last_answer": fields.get("said"),
        }

    async def shown(self, accounts: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
        """Of accounts by id, with their fields: how far their delivery is."""
        of = [keys.of(each, "delivery") for each in accounts]
        found: list[Any] = []
        for first in range(0, len(of), ACCOUNTS_AT_ONCE):
            some = of[first : first + ACCOUNTS_AT_ONCE]
            found += _list(await self._redis.run(redis_account_scripts.FIELDS, some, []))
        return [_shown(_pairs(flat), fields) for flat, fields in zip(found, accounts.values(), strict=True)]

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * 1000)


def _shown(fields: Mapping[str, str], account: Mapping[str, str]) -> dict[str, Any]:
    epoch, end = account["epoch"], int(account["seq"])
    position = int(fields["position"]) if fields.get("epoch") == epoch else 0
    next_ms = int(fields.get("next", "0"))
    return {
        "cursor": change.cursor(epoch, position),
        "lag": max(0, end - position),
        "attempts": int(fields.get("attempts", "0")),
        "next_try_at": instant(next_ms / 1000) if next_ms else None,
        "last_failure": fields.get("said"),
        "dead_letters": int(fields.get("dead", "0")),
        "behind": "webhook_behind" in account,
    }


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise StoreDown("Redis answered something else than a list")
    return found


def _pairs(flat: Any) -> dict[str, str]:
    found = [str(each) for each in _list(flat)]
    return dict(zip(found[::2], found[1::2], strict=True))
