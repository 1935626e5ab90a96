"""The store of a sync: scripts called with the right keys, their answers read, lost leases told.

An answer that is not what a script can return is a StoreDown: whatever stands between us and Redis has changed it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.adapters import redis_keys as keys
from shared.adapters import redis_scripts as scripts
from shared.adapters.redis_client import RedisClient
from shared.config import Settings
from shared.core.change import entry
from shared.core.errors import LeaseLost, StoreDown
from shared.sync.ports import Append, Appended, Begun, Clock, Refused

ENTRY_OVERHEAD_BYTES = 32
READER_SEEN_MS = 86_400_000
SUMMED = dict.fromkeys(("message_count", "duration", "api_calls", "quota_units"), True)  # figures of a sync
DAY_MS = 86_400_000


class RedisStore:
    """One per invocation: `owner` names the invocation in the lease."""

    def __init__(self, redis: RedisClient, clock: Clock, settings: Settings, provider: str) -> None:
        self._redis = redis
        self._clock = clock
        self._settings = settings
        self._provider = provider
        self._owner = ""
        self.undelivered = False  # something was appended that the webhook could be given now

    async def begin(self, account_id: str, *, owner: str, as_hint: bool = False) -> Begun | Refused:
        """Takes the lease, or says why not; raises StoreDown."""
        self._owner = owner
        now_s = self._clock.now_s()
        names = ("account", "lease", "hold", "index", "log")
        answer = _list(
            await self._redis.run(
                scripts.BEGIN,
                [
                    *(keys.of(account_id, name) for name in names),
                    *keys.breaker(self._provider),
                    keys.of(account_id, "called"),
                    keys.of(account_id, "readers"),
                ],
                [
                    owner,
                    self._ttl_ms(),
                    self._provider,
                    int(as_hint),
                    new_epoch(now_s),
                    int(now_s * 1000) - READER_SEEN_MS,
                ],
            )
        )
        status = answer[0]
        if status != "ok":
            detail = answer[1] if len(answer) > 1 else ""
            if isinstance(detail, int):
                return Refused(str(status), retry_after_s=max(0, detail) / 1000)
            return Refused(str(status), reason=str(detail))
        fields = _pairs(answer[2])
        return Begun(
            account_id=account_id,
            fence=fields["fence"],
            fields=fields,
            version=int(fields["version"]),
            hints=int(fields["hints"]),
            renewed_at_s=now_s,
            lost=fields.get("lost", ""),
            probe=answer[1] == "1",
            pushed=answer[3] == 1,
            pushes=int(fields.get("pushes", "0")),
            hint_history=int(fields.get("hint_history", "0")),
            log_waits="log_waits" in fields,
        )

    async def renew(self, begun: Begun) -> None:
        now_s = self._clock.now_s()
        lease = [keys.of(begun.account_id, "account"), keys.of(begun.account_id, "lease")]
        answer = _list(await self._redis.run(scripts.RENEW, lease, [begun.fence, self._owner, self._ttl_ms()]))
        if answer[0] != "ok":
            raise LeaseLost("another instance holds the mailbox")
        begun.renewed_at_s = now_s
        begun.hints, begun.hint_history, begun.pushes = (int(each or 0) for each in answer[1:])

    async def append(self, begun: Begun, step: Append) -> Appended:
        """One atomic step. Raises LeaseLost where another instance has begun since, or the account, its index or its
        log is gone."""
        now_s = self._clock.now_s()
        parts = _parts(step)
        header = self._header(begun, step, int(now_s * 1000)) | {name: len(part) for name, part in parts.items()}
        names = ("account", "lease", "hold", "index", "log", "pages", "readers")
        answer = _list(
            await self._redis.run(
                scripts.APPEND,
                [
                    *(keys.of(begun.account_id, name) for name in names),
                    keys.perf(self._provider),
                    keys.due(self._provider),
                    *keys.breaker(self._provider),
                    keys.UNDELIVERED,
                    *(keys.message(begun.account_id, message_id) for message_id in step.cache),
                    *(keys.thread(begun.account_id, thread_id) for thread_id, _ in step.threads),
                ],
                [orjson.dumps(header).decode(), *(each for part in parts.values() for each in part)],
            )
        )
        if answer[0] == "log_full":
            return Appended(released=False, log_full=True)
        if answer[0] != "ok":
            raise LeaseLost("another instance has begun since, or the account is gone")
        begun.version, begun.hints, begun.pushes = int(answer[1]), int(answer[2]), int(answer[4])
        begun.renewed_at_s = now_s
        self.undelivered = self.undelivered or answer[5:] == [1]
        return Appended(released=answer[3] == 1)

    def _header(self, begun: Begun, step: Append, now_ms: int) -> dict[str, Any]:
        settings = self._settings
        return {
            "account": begun.account_id,
            "owner": self._owner,
            "fence": begun.fence,
            "version": begun.version,
            "step": step.step_id,
            "now": now_ms,
            "ttl_ms": self._ttl_ms(),
            "hints": step.hints,
            "pushes": step.pushes,
            "clear": step.clear,
            "taken": step.taken,
            "note_known": step.note_known,
            "release": step.release,
            "let_go": step.let_go,
            "served": step.served,
            "pausable": step.pausable,
            "healthy": step.healthy,
            "due_ms": now_ms if step.release or step.let_go else None,
            "spent_ms": int(step.spent_s * 1000),
            "hold_ms": int(step.hold_s * 1000),
            "summed": SUMMED,
            "cache_ms": settings.cache_message_ttl * 1000,
            "bytes_max": settings.log_retention_bytes,
            "age_ms": int(settings.log_retention_days * DAY_MS),
            "reader_ms": READER_SEEN_MS,
            "entry_overhead": ENTRY_OVERHEAD_BYTES,
            "webhook": settings.webhook_url is not None,
        }

    async def read(self, account_id: str, ids: Sequence[tuple[str, str]]) -> tuple[list[str | None], list[str | None]]:
        """Index entries and cached texts of (packed id, message id) pairs, in one request."""
        cached = [keys.message(account_id, message_id) for _, message_id in ids]
        answer = await self._redis.run(
            scripts.READ, [keys.of(account_id, "index"), *cached], [packed for packed, _ in ids]
        )
        entries, texts = _list(answer)
        return _list(entries, len(ids)), _list(texts, len(ids))

    async def walk(
        self, account_id: str, table: str, page: int, offset: int, *, unknown: bool, limit: int
    ) -> tuple[list[str], int, int, bool, bool]:
        """Packed ids of a stored listing, the place behind them; whether that is the end, or nothing is stored."""
        answer = await self._redis.run(
            scripts.WALK,
            [keys.of(account_id, "pages"), keys.of(account_id, "index")],
            [table, page, offset, int(unknown), limit],
        )
        ids, page, offset, ended = _list(answer)
        return _list(ids, None), int(page), int(offset), ended == 1, ended == 2

    async def tables(self, account_id: str) -> tuple[dict[str, list[str]], dict[str, str]]:
        """The whole stored listing, and the whole index, by packed id."""
        pages: dict[str, list[str]] = {}
        index: dict[str, str] = {}
        at = "0"
        while True:
            answer = await self._redis.run(
                scripts.SCAN, [keys.of(account_id, "pages"), keys.of(account_id, "index")], [at]
            )
            stored, at, part = _list(answer)
            pages.update({name: ids.split(",") if ids else [] for name, ids in _pairs(stored).items()})
            index.update(_pairs(part))
            if at == "0":
                return pages, index

    async def provider_failed(self, account_id: str) -> float:
        """Counts one outer failure; seconds until the breaker's probe where it is open now, else 0."""
        failures, opened, probe = keys.breaker(self._provider)
        answer = await self._redis.run(
            scripts.FAILED,
            [failures, opened, keys.due(self._provider), probe],
            [
                account_id,
                self._settings.circuit_breaker_failure_threshold,
                int(self._settings.circuit_breaker_cooldown * 1000),
            ],
        )
        return float(answer) / 1000 if isinstance(answer, int) else 0.0

    async def lose_grant(self, begun: Begun, reason: str) -> bool:
        """`reauth_required`, said once, and only if the grant is still the one that was used; whether that is so."""
        event = entry("tidemark.account.reauth_required", {"reason": reason})
        answer = await self._redis.run(
            scripts.LOSE,
            [
                keys.of(begun.account_id, "account"),
                keys.of(begun.account_id, "log"),
                keys.due(self._provider),
                keys.of(begun.account_id, "lease"),
                keys.UNDELIVERED,
            ],
            [begun.fields["grant"], reason, int(self._clock.now_s() * 1000), event, begun.account_id, self._owner],
        )
        self.undelivered = self._settings.webhook_url is not None and answer == "ok"
        return bool(answer == "ok")

    def _ttl_ms(self) -> int:
        return int(self._settings.lease_ttl * 1000)


def _parts(step: Append) -> dict[str, list[str]]:
    """The arguments of APPEND behind its header, in their order; the script is told how many there are of each."""

    def pairs(of: Mapping[str, str]) -> list[str]:
        return [part for pair in of.items() for part in pair]

    return {
        "events": step.events,
        "index_del": [field for field, value in step.index.items() if value is None],
        "index_set": pairs({field: value for field, value in step.index.items() if value is not None}),
        "fields": pairs(step.fields),
        "pages": pairs({name: ",".join(ids) for name, ids in step.pages.items()}),
        "cache": [value or "" for value in step.cache.values()],
        "threads": [message_id for _, message_id in step.threads],
        "perf": pairs(step.perf or {}),
    }


def new_epoch(now_s: float) -> str:
    """Different from every epoch before it, also from one that a lost Redis has forgotten."""
    return f"{int(now_s * 1000):x}"


def _list(answer: Any, length: int | None = None) -> list[Any]:
    if not isinstance(answer, list) or (length is not None and len(answer) != length):
        raise StoreDown("Redis answered something that the script does not return")
    return answer


def _pairs(flat: Any) -> dict[str, str]:
    found = _list(flat)
    return dict(zip(found[::2], found[1::2], strict=True))
