"""The store of the read side: scripts called with the right keys, and their answers read.

An answer that is not what a script can return is a StoreDown: whatever stands between us and Redis has changed it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.adapters import redis_keys as keys
from shared.adapters import redis_read_scripts as scripts
from shared.adapters.redis_client import RedisClient
from shared.core.errors import BadRequest, StoreDown
from shared.sync.ports import Admitted, Clock, Keeping, Kept, Looked, Refused

FIELDS = ("state", "reason", "provider", "user_id", "labels", "folders", "ids", "window")
ADMITTED = ("state", "access", "access_until_s", "full_at_ms", "version")
PERMIT_TTL_MS = 60_000  # no request that has it lives longer (edge.REQUEST_TIMEOUT_S)
KEEP_BYTES_MAX = 2 * 1024 * 1024  # of one script's texts
UNNAMED_BYTES_MAX = 65_536  # ids that wait for the next sync: 3,800 of Gmail's, 400 of Outlook's


class RedisReads:
    """One per request: `token` names it, to the permit too. `cache_ttl_s`: CACHE_MESSAGE_TTL."""

    def __init__(self, redis: RedisClient, clock: Clock, cache_ttl_s: int) -> None:
        self._redis = redis
        self._clock = clock
        self._cache_ms = cache_ttl_s * 1000
        self._token = clock.token()

    async def look(self, account_id: str, message_ids: Sequence[str]) -> Looked:
        of = [keys.of(account_id, name) for name in ("account", "index", "reads")]
        of += [keys.message(account_id, message_id) for message_id in message_ids]
        match await self._redis.run(scripts.LOOK, of, [self._token, self._now_ms(), ",".join(message_ids)]):
            case ["ok", list(was), list(texts), list(entries)]:
                return Looked(_fields(FIELDS, was), texts, entries)
            case answer:
                raise _refusal(answer)

    async def thread(self, account_id: str, thread_id: str) -> Looked:
        of = [keys.of(account_id, "account"), keys.thread(account_id, thread_id)]
        match await self._redis.run(scripts.THREAD, of, []):
            case ["ok", list(was), str() | None as text]:
                return Looked(_fields(FIELDS, was), thread=text.split(",") if text else None)
            case answer:
                raise _refusal(answer)

    async def admit(self, account_id: str, provider: str, *, alone: bool) -> Admitted | Refused:
        failures, opened, _ = keys.breaker(provider)
        account, lease, hold, reading = (keys.of(account_id, each) for each in ("account", "lease", "hold", "reading"))
        permit_ms = PERMIT_TTL_MS if alone else 0
        of = [account, lease, hold, failures, opened, reading]
        match await self._redis.run(scripts.ADMIT, of, [self._token, permit_ms]):
            case ["ok", list(was), int(held)]:
                fields = _fields(ADMITTED, was)
                return Admitted(fields, int(fields["version"]), held == 1)
            case [("cooling_down" | "breaker_open" | "busy") as status, int(left_ms)]:
                return Refused(status, retry_after_s=max(0, left_ms) / 1000)
            case answer:
                raise _refusal(answer)

    async def keep(self, account_id: str, kept: Kept) -> None:
        """In requests of at most 2 MiB; what the read spent, and the permit, go with the last."""
        *first, last = list(_groups(kept.messages))
        for group in first:
            await self._keep(account_id, Kept(kept.version, group), f"{self._token}.{group[0].message_id}", owner="")
        whole = replace(kept, messages=last)
        await self._keep(account_id, whole, f"{self._token}.kept", owner=self._token)

    async def _keep(self, account_id: str, kept: Kept, token: str, *, owner: str) -> None:
        of = [keys.of(account_id, name) for name in ("account", "index", "hold", "reading", "reads")]
        of.append(keys.thread(account_id, kept.thread_id))
        of += [keys.message(account_id, each.message_id) for each in kept.messages]
        ids = ",".join(kept.thread)
        header = {
            "owner": owner,
            "token": token,
            "now": self._now_ms(),
            "version": kept.version,
            "spent_ms": int(kept.spent_s * 1000),
            "hold_ms": int(kept.hold_s * 1000),
            "cache_ms": self._cache_ms,
            "unnamed_max": UNNAMED_BYTES_MAX,
            "thread": ids,
            "view": "" if kept.noted else ids,
        }
        args = [part for each in kept.messages for part in _arguments(each)]
        await self._redis.run(scripts.KEEP, of, [orjson.dumps(header).decode(), *args])

    async def labels(self, account_id: str, text: str = "", ttl_s: float = 0) -> tuple[Looked, str | None]:
        """What is cached of a mailbox's labels; with `text` it is cached first."""
        of = [keys.of(account_id, "account"), keys.of(account_id, "folders")]
        match await self._redis.run(scripts.LABELS, of, [text, int(ttl_s * 1000)]):
            case ["ok", list(was), str() | None as found]:
                return Looked(_fields(FIELDS, was)), found
            case answer:
                raise _refusal(answer)

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * 1000)


def _groups(messages: Sequence[Keeping]) -> Iterator[list[Keeping]]:
    group: list[Keeping] = []
    size = 0
    for each in messages:
        length = len(each.text or "")
        if group and size + length > KEEP_BYTES_MAX:
            yield group
            group, size = [], 0
        group.append(each)
        size += length
    yield group


def _arguments(each: Keeping) -> tuple[str, str, str, int]:
    """Nothing is kept of a message that the index could not be asked for."""
    text = "" if each.text is None else each.text or "-"
    return each.message_id, each.packed, text, int(each.unnamed)


def _fields(names: Sequence[str], values: Sequence[str | None]) -> Mapping[str, str]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _refusal(answer: Any) -> Exception:
    match answer:
        case ["unknown"]:
            return BadRequest(404, "unknown_account", "There is no such account.")
        case [("reauth_required" | "paused") as state]:
            return BadRequest(409, state, "The account waits for a person.")
    return StoreDown("Redis answered something that the script does not return")
