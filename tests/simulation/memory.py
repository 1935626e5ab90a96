"""Redis in memory: keys with a time to live, and the commands that Tidemark's scripts and adapters send.

    type      as
    string    str
    hash      dict[str, str]
    zset      dict[str, float]
    set       dict[str, None]
    stream    Stream of (seq, ms, fields)

`Memory` is the server, `MemoryClient` what a function holds of it: the real client with its retries, but for the wire.
The contract suite (tests/adapters) runs over both this and Valkey: what differs there is a fault of this one.
"""

import math
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

from lupa.lua51 import LuaError

from shared.adapters.redis_client import RedisClient
from shared.core.errors import StoreDown
from shared.sync.ports import Clock
from tests.simulation.lua import Scripts

Row = tuple[int, int, list[str]]
SCRIPTS = Scripts()
NEWEST = 1 << 62


class Stream(list[Row]):
    """Rows, and the last id that was ever given out: ids only grow, whatever is trimmed."""

    last = (0, 0)


class Wrong(Exception):
    """Redis answers with an error: a key of another type, an unknown command."""


class Memory:
    """`now_ms` is the server's clock: it alone counts times to live."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self.now_ms = now_ms
        self._data: dict[str, Any] = {}
        self._ends_ms: dict[str, float] = {}
        self._commands: dict[str, Callable[..., Any] | None] = {}

    def run(self, command: list[Any]) -> Any:
        """As Upstash's client answers it. Raises Wrong."""
        name, *rest = command
        if name == "EVAL":
            script, count, *args = rest
            keys = [str(key) for key in args[:count]]
            try:
                return SCRIPTS.run(script, keys, [str(arg) for arg in args[count:]], self.call)
            except LuaError as error:
                raise Wrong(str(error)) from error
        answer = self.call(name, *(str(each) for each in rest))
        if name == "HGETALL":
            return dict(zip(answer[::2], answer[1::2], strict=True))
        return answer

    def call(self, name: str, *args: str) -> Any:
        command = self._commands.get(name)
        if command is None:
            command = self._commands[name] = getattr(self, f"_{name.lower()}", None)
        if command is None:
            raise Wrong(f"no such command here: {name}")
        try:
            return command(*args)
        except (TypeError, ValueError) as error:
            raise Wrong(f"{name} is not sent like that: {error}") from error

    def value(self, key: str, kind: type = dict) -> Any:
        """The value, None for a missing or expired key."""
        ends_ms = self._ends_ms.get(key)
        if ends_ms is not None and ends_ms <= self.now_ms():
            self._del(key)
        found = self._data.get(key)
        if found is not None and not isinstance(found, kind):
            raise Wrong("WRONGTYPE")
        return found

    def hash(self, key: str) -> dict[str, str]:
        """The hash, {} for a missing one; not to be written to."""
        return self.value(key) or {}

    def stream(self, key: str) -> list[Row]:
        return self.value(key, Stream) or []

    def _made(self, key: str, kind: type = dict) -> Any:
        found = self.value(key, kind)
        if found is None:
            self._data[key] = found = kind()
        return found

    def _unless_empty(self, key: str) -> None:
        """Redis keeps no empty hash, set or sorted set."""
        if not self._data.get(key, True):
            self._del(key)

    # --- keys and strings

    def _flushall(self) -> str:
        self._data.clear()
        self._ends_ms.clear()
        return "OK"

    def _has(self, key: str) -> bool:
        return self.value(key, object) is not None

    def _exists(self, *keys: str) -> int:
        return sum(map(self._has, keys))

    def _del(self, *keys: str) -> int:
        found = 0
        for key in keys:
            found += self._data.pop(key, None) is not None
            self._ends_ms.pop(key, None)
        return found

    def _pttl(self, key: str) -> int:
        if not self._has(key):
            return -2
        ends_ms = self._ends_ms.get(key)
        return -1 if ends_ms is None else int(ends_ms - self.now_ms())

    def _pexpire(self, key: str, ttl_ms: str) -> int:
        if not self._has(key):
            return 0
        self._ends_ms[key] = self.now_ms() + float(ttl_ms)
        return 1

    def _get(self, key: str) -> Any:
        return self.value(key, str)

    def _append(self, key: str, text: str) -> int:
        self._data[key] = (self.value(key, str) or "") + text
        return len(self._data[key])

    def _mget(self, *keys: str) -> list[Any]:
        return [self.value(key, str) for key in keys]

    def _getrange(self, key: str, first: str, last: str) -> str:
        return (self.value(key, str) or "")[int(first) : int(last) + 1]

    def _set(self, key: str, value: str, *options: str) -> Any:
        if "NX" in options and self._has(key):
            return None
        self._data[key] = value
        self._ends_ms.pop(key, None)
        if "PX" in options:
            self._ends_ms[key] = self.now_ms() + float(options[options.index("PX") + 1])
        return "OK"

    def _keys(self, pattern: str) -> list[str]:
        return [key for key in list(self._data) if self._has(key) and fnmatchcase(key, pattern)]

    def _scan(self, at: str, match: str, pattern: str, *count: str) -> list[Any]:
        return ["0", self._keys(pattern)]

    # --- hashes

    def _hget(self, key: str, field: str) -> Any:
        return self.hash(key).get(field)

    def _hmget(self, key: str, *fields: str) -> list[Any]:
        found = self.hash(key)
        return [found.get(field) for field in fields]

    def _hgetall(self, key: str) -> list[str]:
        return [part for pair in self.hash(key).items() for part in pair]

    def _hexists(self, key: str, field: str) -> int:
        return int(field in self.hash(key))

    def _hlen(self, key: str) -> int:
        return len(self.hash(key))

    def _hkeys(self, key: str) -> list[str]:
        return list(self.hash(key))

    def _hset(self, key: str, *pairs: str) -> int:
        found = self._made(key)
        before = len(found)
        found.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(found) - before

    def _hsetnx(self, key: str, field: str, value: str) -> int:
        return 0 if field in self.hash(key) else self._hset(key, field, value)

    def _hdel(self, key: str, *fields: str) -> int:
        found = self.hash(key)
        count = sum(found.pop(field, None) is not None for field in fields)
        self._unless_empty(key)
        return count

    def _hincrby(self, key: str, field: str, by: str) -> int:
        value = int(self.hash(key).get(field, "0")) + int(by)
        self._hset(key, field, str(value))
        return value

    def _hincrbyfloat(self, key: str, field: str, by: str) -> str:
        value = f"{float(self.hash(key).get(field, '0')) + float(by):.17g}"
        self._hset(key, field, value)
        return value

    def _hscan(self, key: str, at: str, *count: str) -> list[Any]:
        return ["0", self._hgetall(key)]

    # --- sets, sorted sets

    def _sadd(self, key: str, *members: str) -> int:
        found = self._made(key)
        before = len(found)
        found.update(dict.fromkeys(members))
        return len(found) - before

    def _srem(self, key: str, *members: str) -> int:
        return self._zrem(key, *members)

    def _smembers(self, key: str) -> list[str]:
        return list(self.hash(key))

    def _zadd(self, key: str, *args: str) -> int:
        """With NX, XX, LT or GT before the score, each a condition of its own."""
        *options, text, member = args
        found, score = self._made(key), float(text)
        was = found.get(member)
        fits = {
            "NX": was is None,
            "XX": was is not None,
            "LT": was is None or score < was,
            "GT": was is None or score > was,
        }
        if all(fits[option] for option in options):
            found[member] = score
        self._unless_empty(key)
        return int(was is None and member in found)

    def _zrem(self, key: str, *members: str) -> int:
        found = self.hash(key)
        before = len(found)
        for member in members:
            found.pop(member, None)
        count = before - len(found)
        self._unless_empty(key)
        return count

    def _zcard(self, key: str) -> int:
        return len(self.hash(key))

    def _zscore(self, key: str, member: str) -> Any:
        score: Any = self.hash(key).get(member)
        return None if score is None else f"{score:.17g}"

    def _zrange(self, key: str, first: str, last: str, *options: str) -> list[str]:
        members = self._ranked(key)
        if "BYSCORE" in options:
            low, high = _score(first), _score(last)
            found = [member for member in members if low <= member[1] <= high]
            if "LIMIT" in options:
                skip, count = (int(each) for each in options[options.index("LIMIT") + 1 :][:2])
                found = found[skip : skip + count]
            return [member for member, _ in found]
        found = members[int(first) : None if last == "-1" else int(last) + 1]
        if "WITHSCORES" in options:
            return [part for member, score in found for part in (member, f"{score:.17g}")]
        return [member for member, _ in found]

    def _zrangebyscore(self, key: str, low: str, high: str, *options: str) -> list[str]:
        return self._zrange(key, low, high, "BYSCORE")

    def _ranked(self, key: str) -> list[tuple[str, float]]:
        found: dict[str, Any] = self.hash(key)
        return sorted(found.items(), key=lambda item: (item[1], item[0]))

    # --- streams

    def _xadd(self, key: str, *args: str) -> Any:
        """With NOMKSTREAM, or MAXLEN (exactly, `~` or not)."""
        if args[0] == "NOMKSTREAM":
            args = args[1:]
            if not self._has(key):
                return None
        bound = 0
        if args[0] == "MAXLEN":
            rest = args[2:] if args[1] in ("~", "=") else args[1:]
            bound, args = int(rest[0]), rest[1:]
        rows: Stream = self._made(key, Stream)
        stream_id, *fields = args
        if stream_id == "*":
            seq, at_ms = int(self.now_ms()), 0
            if rows.last >= (seq, at_ms):
                seq, at_ms = rows.last[0], rows.last[1] + 1
        else:
            seq, at_ms = (int(part) for part in stream_id.split("-"))
        if (seq, at_ms) <= rows.last:
            raise Wrong("the id is not greater than the last one")
        rows.last = (seq, at_ms)
        rows.append((seq, at_ms, fields))
        if bound:
            del rows[:-bound]
        return f"{seq}-{at_ms}"

    def _xdel(self, key: str, *stream_ids: str) -> int:
        rows, gone = self.stream(key), {_bound(each, 0) for each in stream_ids}
        before = len(rows)
        rows[:] = [row for row in rows if row[:2] not in gone]
        return before - len(rows)

    def _xlen(self, key: str) -> int:
        return len(self.stream(key))

    def _xrange(self, key: str, low: str, high: str, *count: str) -> list[Any]:
        first, last = _bound(low, 0), _bound(high, NEWEST)
        rows = [row for row in self.stream(key) if first <= row[:2] <= last]
        return [[f"{seq}-{at_ms}", list(fields)] for seq, at_ms, fields in rows[: int(count[1]) if count else None]]

    def _xrevrange(self, key: str, high: str, low: str, *count: str) -> list[Any]:
        return self._xrange(key, low, high)[::-1][: int(count[1]) if count else None]

    def _xtrim(self, key: str, by: str, least: str) -> int:
        rows = self.stream(key)
        first = _bound(least, 0)
        count = len(rows) - int(least) if by == "MAXLEN" else sum(row[:2] < first for row in rows)
        del rows[: max(0, count)]
        return max(0, count)


def _score(text: str) -> float:
    return math.inf if text == "+inf" else -math.inf if text == "-inf" else float(text)


def _bound(text: str, missing: int) -> tuple[int, int]:
    """A stream id as an inclusive bound."""
    if text in ("-", "+"):
        return (missing, missing)
    seq, _, at_ms = text.removeprefix("(").partition("-")
    place = int(at_ms) if at_ms else missing
    return (int(seq), place + 1 if text.startswith("(") else place)


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
