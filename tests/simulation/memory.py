"""Redis in memory: keys with a time to live, the few commands that are sent by name, and the twins of the scripts.

    type      as
    string    str
    hash      dict[str, str]
    zset      dict[str, float]
    set       set[str]
    stream    list[(seq, ms, entry)]      one field, "e"; other streams keep their length only

`Memory` is the server, `MemoryClient` what a function holds of it: the real client with its retries, but for the wire.
A fault comes before the command is applied (`lost_request`) or after it (`lost_reply`), as the bridge's do.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from shared.adapters.redis_client import RedisClient
from shared.core.errors import StoreDown
from shared.sync.ports import Clock
from tests.simulation import scripts

Rows = list[tuple[int, int, str]]


class Memory:
    """`now_ms` is the server's clock: it alone counts times to live."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self.now_ms = now_ms
        self._data: dict[str, Any] = {}
        self._ends_ms: dict[str, float] = {}

    # --- keys

    def get(self, key: str) -> Any:
        """The value, None for a missing or expired key."""
        ends_ms = self._ends_ms.get(key)
        if ends_ms is not None and ends_ms <= self.now_ms():
            self.delete(key)
        return self._data.get(key)

    def put(self, key: str, value: Any, ttl_ms: float | None = None) -> None:
        self._data[key] = value
        if ttl_ms is None:
            self._ends_ms.pop(key, None)
        else:
            self._ends_ms[key] = self.now_ms() + ttl_ms

    def put_new(self, key: str, value: str, ttl_ms: float) -> bool:
        if self.get(key) is not None:
            return False
        self.put(key, value, ttl_ms)
        return True

    def delete(self, *keys: str) -> int:
        found = 0
        for key in keys:
            found += self._data.pop(key, None) is not None
            self._ends_ms.pop(key, None)
        return found

    def pttl(self, key: str) -> int:
        if self.get(key) is None:
            return -2
        ends_ms = self._ends_ms.get(key)
        return -1 if ends_ms is None else int(ends_ms - self.now_ms())

    def expire(self, key: str, ttl_ms: float) -> None:
        if self.get(key) is not None:
            self._ends_ms[key] = self.now_ms() + ttl_ms

    def names(self) -> list[str]:
        return [key for key in list(self._data) if self.get(key) is not None]

    # --- types

    def hash(self, key: str) -> dict[str, str]:
        """The hash, {} for a missing one; not to be written to."""
        return self.get(key) or {}

    def hset(self, key: str, **fields: object) -> None:
        self.hset_all(key, {name: str(value) for name, value in fields.items()})

    def hset_all(self, key: str, fields: dict[str, str]) -> None:
        found = self.get(key)
        if found is None:
            if not fields:
                return
            self.put(key, found := {})
        found.update(fields)

    def hdel(self, key: str, field: str) -> int:
        found = self.get(key)
        if found is None or found.pop(field, None) is None:
            return 0
        if not found:
            self.delete(key)  # Redis keeps no empty hash
        return 1

    def hincrby(self, key: str, field: str) -> int:
        value = int(self.hash(key).get(field, "0")) + 1
        self.hset_all(key, {field: str(value)})
        return value

    def zadd(self, key: str, score: float, member: str) -> None:
        if self.get(key) is None:
            self.put(key, {})
        self.get(key)[member] = score

    def sadd(self, key: str, member: str) -> None:
        if self.get(key) is None:
            self.put(key, set())
        self.get(key).add(member)

    def xadd(self, key: str, seq: int, ms: int, entry: str) -> None:
        if self.get(key) is None:
            self.put(key, [])
        rows: Rows = self.get(key)
        assert not rows or (rows[-1][0], rows[-1][1]) < (seq, ms), "stream ids only grow"
        rows.append((seq, ms, entry))

    # --- commands

    def run(self, command: list[Any]) -> Any:
        """As Upstash answers it. TypeError for what only tests of the store would send."""
        name, *rest = command
        if name == "EVAL":
            script, count, *args = rest
            return self.script(script, args[:count], args[count:])
        match name, *(str(each) for each in rest):
            case "HGETALL", key:
                return dict(self.hash(key))
            case "HGET", key, field:
                return self.hash(key).get(field)
            case "HMGET", key, *fields:
                return [self.hash(key).get(field) for field in fields]
            case "SMEMBERS", key:
                return sorted(self.get(key) or ())
            case "EXISTS", key:
                return int(self.get(key) is not None)
            case "ZRANGE", key, "0", "-1":
                return sorted(self.get(key) or {}, key=lambda member: (self.get(key)[member], member))
            case "SCAN", "0", "MATCH", pattern, "COUNT", _:
                return ["0", [key for key in self.names() if key.startswith(pattern.removesuffix("*"))]]
            case "DEL", *keys:
                return self.delete(*keys)
        raise TypeError(f"no such command here: {name}")

    def script(self, script: str, keys: list[str], args: list[Any]) -> Any:
        return scripts.TWINS[script](self, keys, [str(arg) for arg in args])


Wire = Callable[[list[Any]], Awaitable[Any]]


class MemoryClient(RedisClient):
    """The real client's retries over a wire of its own. Raises StoreDown for what the wire loses."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire, self._clock, self._shebang = wire, clock, ""
        self.requests = 0

    async def once(self, command: list[Any]) -> Any:
        self.requests += 1
        return await self._wire(command)

    async def close(self) -> None:
        """Nothing is open."""


def lost() -> StoreDown:
    return StoreDown("Redis did not answer as Redis does (simulated)")
