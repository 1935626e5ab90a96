"""Accounts as records: connected, shown, asked to resync, hinted at, deleted; and the change log as readers see it.

An address is stored sealed and found by its HMAC only. Deleting marks the account first, so that whatever still runs
is refused; a deletion that was killed is finished by the next ping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters import redis_account_scripts as scripts
from shared.adapters import redis_keys as keys
from shared.adapters.redis_client import RedisClient
from shared.core import change
from shared.core.errors import BadRequest, StoreDown
from shared.sync.ports import Clock

KEYS_OF_AN_ACCOUNT = (
    "lease",
    "hold",
    "index",
    "log",
    "pages",
    "readers",
    "refreshing",
    "called",
    "folders",
    "reads",
    "reading",
    "delivery",
    "delivering",
    "dead",
    "interest",
)
SCAN_COUNT = 1000
ACCOUNTS_AT_ONCE = 100
CONNECT_TRIES = 3


@dataclass(frozen=True, slots=True)
class Changes:
    """Stored entries by stream id, oldest first; `position` is the last one's seq, `end` the log's."""

    epoch: str
    provider: str
    user_id: str
    entries: Sequence[tuple[str, str]]
    position: int
    end: int


class RedisAccounts:
    def __init__(self, redis: RedisClient, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    async def fields(self, account_id: str) -> dict[str, str]:
        """The account's hash; {} for an unknown one."""
        found = await self._redis.once(["HGETALL", keys.of(account_id, "account")])
        if not isinstance(found, dict):
            raise StoreDown("Redis answered something else than a hash")
        return found

    async def fields_of(self, account_ids: Sequence[str]) -> list[dict[str, str]]:
        """The same of many, in few requests."""
        found: list[Any] = []
        for first in range(0, len(account_ids), ACCOUNTS_AT_ONCE):
            some = [keys.of(each, "account") for each in account_ids[first : first + ACCOUNTS_AT_ONCE]]
            found += await self._redis.run(scripts.FIELDS, some, [])
        return [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in map(_strings, found)]

    async def all_ids(self) -> list[str]:
        found = await self._redis.once(["SMEMBERS", keys.ACCOUNTS])
        return sorted(_strings(found))

    async def due(self, provider: str) -> list[str]:
        """Accounts to be worked on by a ping, the longest untouched first."""
        return _strings(await self._redis.once(["ZRANGE", keys.due(provider), 0, -1]))

    async def find(self, provider: str, lookups: Sequence[str]) -> tuple[str, str]:
        """The account of an address, and the HMAC that found it (keys rotate); "" and the newest HMAC for none."""
        names = [f"{provider}|{lookup}" for lookup in lookups]
        found = await self._redis.once(["HMGET", keys.ADDRESSES, *names])
        for name, account_id in zip(names, found, strict=True):
            if account_id:
                return str(account_id), name
        return "", names[0]

    async def connect(
        self,
        account_id: str,
        provider: str,
        address: str,
        expected: str,
        new: Mapping[str, str],
        known: Mapping[str, str],
    ) -> str:
        """ "new", "known", "moved" (another connection was faster: find again), "taken" or "deleting"."""
        now_ms = int(self._clock.now_s() * 1000)
        fresh = {**new, "address": address}
        answer = await self._redis.run(
            scripts.CONNECT,
            [
                keys.of(account_id, "account"),
                keys.of(account_id, "log"),
                keys.due(provider),
                keys.ACCOUNTS,
                keys.ADDRESSES,
                keys.of(account_id, "hold"),
                keys.UNDELIVERED,
                *(keys.of(account_id, name) for name in KEYS_OF_AN_ACCOUNT if name not in ("log", "hold")),
            ],
            [
                now_ms,
                account_id,
                change.entry("account.connected", {}),
                change.entry("account.recovered", {}),
                address,
                expected,
                len(fresh),
                *_flat(fresh),
                *_flat({**known, "address": address}),
            ],
        )
        return str(answer)

    async def ask_resync(self, account_id: str, provider: str, *, content: bool) -> bool:
        """False: the account is gone."""
        answer = await self._redis.run(
            scripts.ASK_RESYNC,
            [keys.of(account_id, "account"), keys.due(provider)],
            ["content" if content else "plain", int(self._clock.now_s() * 1000), account_id],
        )
        return str(answer) == "ok"

    async def watched(self, account_id: str, fields: Mapping[str, str], asked: str, event: str) -> None:
        """Notes how the watch stands; `asked`: what a lifecycle event asked for and is done; `event`: said with it."""
        of = [keys.of(account_id, "account"), keys.of(account_id, "log"), keys.UNDELIVERED]
        now_ms = int(self._clock.now_s() * 1000)
        await self._redis.run(scripts.WATCHED, of, [now_ms, asked, event, account_id, *_flat(fields)])

    async def mark_deleted(self, account_id: str, provider: str) -> None:
        of = [keys.of(account_id, "account"), keys.due(provider), keys.of(account_id, "lease")]
        await self._redis.run(scripts.MARK_DELETED, of, [account_id, int(self._clock.now_s() * 1000)])

    async def forget(self, account_id: str, provider: str, address: str) -> None:
        """Deletes every key of a marked account; the account's hash last, so that a killed deletion is found again."""
        at = "0"
        while True:
            pattern = keys.of(account_id, "*:*")  # messages and threads
            answer = await self._redis.once(["SCAN", at, "MATCH", pattern, "COUNT", SCAN_COUNT])
            at, found = str(answer[0]), _strings(answer[1])
            if found:
                await self._redis.once(["DEL", *found])
            if at == "0":
                break
        of = [keys.of(account_id, "account"), keys.due(provider), keys.ACCOUNTS, keys.ADDRESSES, keys.UNDELIVERED]
        others = [keys.of(account_id, name) for name in KEYS_OF_AN_ACCOUNT]
        await self._redis.run(scripts.FORGET, [*of, *others], [account_id, address])

    async def changes(self, account_id: str, reader: str, after: str | None, limit: int) -> Changes:
        """Raises BadRequest: 404 unknown account, 410 `cursor_expired`."""
        epoch, seq = "", 0
        start = {None: "start", "earliest": "earliest"}.get(after, "after")
        if after is not None and start == "after":
            parts = change.cursor_parts(after)
            if parts is None:
                raise expired()
            epoch, seq = parts
        answer = await self._redis.run(
            scripts.CHANGES,
            [keys.of(account_id, "account"), keys.of(account_id, "readers"), keys.of(account_id, "log")],
            [reader, int(self._clock.now_s() * 1000), epoch, seq, limit, start],
        )
        match answer:
            case ["unknown"]:
                raise BadRequest(404, "unknown_account", "There is no such account.")
            case ["expired"]:
                raise expired()
            case ["ok", str(now_epoch), int(end), str(provider), str(user_id), int(position), list(rows)]:
                entries = [(str(stream_id), str(stored)) for stream_id, stored in rows]
                last = int(entries[-1][0].partition("-")[0]) if entries else position
                return Changes(now_epoch, provider, user_id, entries, last, end)
        raise StoreDown("Redis answered something that the script does not return")


def expired() -> BadRequest:
    return BadRequest(
        410, "cursor_expired", "The log no longer holds what follows this cursor. Ask for a resync with content."
    )


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [part for pair in fields.items() for part in pair]


def _strings(found: Any) -> list[str]:
    if not isinstance(found, list):
        raise StoreDown("Redis answered something else than a list")
    return [str(each) for each in found]
