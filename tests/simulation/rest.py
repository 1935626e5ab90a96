"""The memory where tests expect Valkey and its bridge: the same faults, counters and raw commands.

Its clock is real, as Valkey's is: what a script asks of time is then asked of both in the same way.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from shared.core.errors import StoreDown
from tests.simulation.memory import Memory, Wrong, lost

BEFORE = ("drop_request", "refuse")  # every other fault comes after the command was applied


@dataclass(slots=True)
class Armed:
    kind: str
    nth: int
    times: int
    match: str


@dataclass(slots=True)
class Stats:
    requests: int = 0


@dataclass(slots=True)
class Bridge:
    stats: Stats = field(default_factory=Stats)
    _armed: list[Armed] = field(default_factory=list)

    def inject(self, kind: str, *, nth: int = 1, times: int = 1, match: str = "") -> None:
        self._armed.append(Armed(kind, nth, times, match))

    def reset(self) -> None:
        self.stats = Stats()
        self._armed.clear()

    def meet(self, command: list[Any]) -> str:
        self.stats.requests += 1
        text = " ".join(str(part) for part in command)
        for fault in self._armed:
            if fault.match not in text:
                continue
            if fault.nth > 1:
                fault.nth -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self._armed.remove(fault)
            return fault.kind
        return ""


@dataclass(frozen=True, slots=True)
class Raw:
    """Past the bridge: answers as Redis sends them, in bytes."""

    memory: Memory

    def call(self, *command: str | int) -> Any:
        return _bytes(self.memory.call(str(command[0]), *(str(part) for part in command[1:])))


class MemoryRest:
    def __init__(self) -> None:
        memory = Memory(lambda: time.time() * 1000)
        self.bridge, self.valkey = Bridge(), Raw(memory)
        self._memory = memory

    async def wire(self, command: list[Any]) -> Any:
        await asyncio.sleep(0.0005)  # as over a socket: others have their turn meanwhile
        fault = self.bridge.meet(command)
        if fault in BEFORE:
            raise lost()
        try:
            answer = self._memory.run(command)
        except Wrong as error:
            raise StoreDown(f"Redis refuses: {error}") from error
        if fault:
            raise lost()
        return answer


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(each) for each in value]
    return value.encode() if isinstance(value, str) else value
