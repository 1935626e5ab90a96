"""One instance of the functions in the simulation: the real wiring over a wire of its own.

    clock      the world's time, skewed; sleeping gives way to the others
    wire       to Redis: a latency, a fault, the script's twin
    http       to the provider: a latency, a fault, the fake's answer
    steps      numbered before and after each request: at one of them it may be killed, or stopped for a while
    channel    what its requests meet: dice, faults, steps; the delivery has one of its own (hook.py)

A kill is an exception that nothing in the product catches, and no step is made after it. A pause stops all of an
instance at once: whatever it waits for is noticed only when it ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from shared.adapters.access import Refreshed
from shared.adapters.gmail import Gmail
from shared.adapters.graph import Graph
from shared.adapters.http_client import HttpClient
from shared.adapters.redis_hints import RedisHints
from shared.core.errors import AuthorizationLost, ProviderDown
from shared.protocol.wire import Request, Response
from shared.wiring import Wiring
from tests.simulation.faults import STORE, Faults
from tests.simulation.memory import MemoryClient, lost
from tests.simulation.witness import Invocation

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

START_S = 1_764_028_800.0
TOKEN_LIFE_S = 3600.0


class Killed(BaseException):
    """The process ends here, as far as the code under test can tell."""


def latency_s(dice: Random) -> float:
    roll = dice.random()
    return 0.005 + 0.1 * roll if roll < 0.97 else 20 * (roll - 0.96)


@dataclass(slots=True)
class Channel:
    """`kill_at`, `pauses`: by the number of the step."""

    dice: Random
    faults: Faults
    kill_at: int = 0
    pauses: dict[int, float] = field(default_factory=dict)
    steps: int = 0


class SkewedClock:
    def __init__(self, process: "Process", skew_s: float, dice: Random) -> None:
        self._process, self._loop, self._dice = process, process.sim.loop, dice
        self._zero_s = START_S + skew_s

    def now_s(self) -> float:
        return self._zero_s + self._loop.now_s

    def random(self) -> float:
        return self._dice.random()

    def token(self) -> str:
        return f"{self._process.name}x{self._process.sim.number()}"

    async def sleep(self, seconds: float) -> None:
        await self._process.waits(seconds)


class Process(Wiring):
    """`name` is its owner's token in the lease, too: the first one that a sync draws."""

    def __init__(self, sim: "Simulation", name: str, skew_s: float = 0.0) -> None:
        self.sim, self.name = sim, name
        self.clock: SkewedClock
        super().__init__(sim.settings, SkewedClock(self, skew_s, sim.dice))
        self.of = Invocation("", sim.loop.now_s)
        self.syncing = Channel(sim.dice, sim.faults)
        self.posting = Channel(sim.hook.dice, sim.hook.faults)
        self.taken_s: dict[str, float] = {}
        self.escaped: Exception | None = None
        self._thaws_s = 0.0
        self._dead = False
        self.__dict__["http"] = SimulatedHttp(self)
        self.__dict__["redis"] = MemoryClient(self._wire, self.clock)
        self.__dict__["sealer"] = sim.sealer
        made = SimulatedGmail(self) if sim.plan.provider == "gmail" else SimulatedGraph(self)
        self.__dict__["providers"] = {made.name: made}
        if sim.plan.hook:
            self.__dict__["delivering"] = sim.hook.delivering(self, skew_s)

    async def sync(self, *args: Any, **given: Any) -> dict[str, Any]:
        """A ping makes a result of what escapes; here it is to be known what that was."""
        try:
            return await super().sync(*args, **given)
        except Exception as error:
            self.escaped = error
            raise

    def step(self, of: Channel) -> None:
        of.steps += 1
        if self._dead or of.steps == of.kill_at:
            if not self._dead:
                self.sim.faults.met["killed"] += 1
                self.sim.note(self.name, "KILLED")
            self._dead = True
            raise Killed
        if of.steps in of.pauses:
            pause_s = of.pauses.pop(of.steps)
            self.sim.faults.met["paused"] += 1
            self.sim.note(self.name, f"PAUSED for {pause_s:g} s")
            self._thaws_s = self.sim.loop.now_s + pause_s

    async def waits(self, seconds: float) -> None:
        loop = self.sim.loop
        await loop.wait(seconds)
        while loop.now_s < self._thaws_s:
            await loop.wait(self._thaws_s - loop.now_s)
        if self._dead:
            raise Killed

    async def _wire(self, command: list[Any]) -> Any:
        return await self.over(self.syncing, command)

    async def over(self, channel: Channel, command: list[Any]) -> Any:
        sim = self.sim
        self.step(channel)
        await sim.loop.wait(latency_s(channel.dice))
        fault = channel.faults.meet(STORE)
        if fault == "lost_request":
            sim.note(self.name, f"redis {_named(command)} -> LOST before")
            await self.waits(0.01)
            raise lost()
        answer = sim.run(command, self)
        if fault:
            sim.note(self.name, f"redis {_named(command)} -> LOST after")
            await self.waits(0.01)
            raise lost()
        self.step(channel)
        if self._thaws_s > sim.loop.now_s:
            await self.waits(0.0)
        return answer

    @property
    def hints(self) -> "SimulatedHints":
        return SimulatedHints(self)


def _named(command: list[Any]) -> str:
    return "EVAL" if command[0] == "EVAL" else " ".join(str(part) for part in command[:2])


class SimulatedHttp(HttpClient):
    def __init__(self, process: Process) -> None:
        self._process = process
        self.requests = 0

    async def send(
        self,
        base_url: str,
        request: Request,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        body_bytes_max: int,
        tls_name: str = "",
        status_only: bool = False,
    ) -> Response:
        process, sim = self._process, self._process.sim
        if timeout_s <= 0:
            raise ProviderDown("no answer within 0 s")
        process.step(process.syncing)
        self.requests += 1
        merged = {**request.headers, **(headers or {})}
        response, retry_after_s = await sim.exchange(process, request, merged, timeout_s)
        process.step(process.syncing)
        await process.waits(latency_s(sim.dice))
        if retry_after_s:
            process.of.not_before_s = max(process.of.not_before_s, sim.loop.now_s + retry_after_s)
        if response is None:
            raise ProviderDown("no answer (simulated)")
        return response


class SimulatedHints(RedisHints):
    """push-webhook's store over the same wire."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def _run(self, script: str, names: Sequence[str], args: Sequence[str]) -> list[str]:
        by = self._process.clock.token()
        found: list[str] = await self._process._wire(["EVAL", script, len(names), *names, by, *args])
        return found


class Grants:
    """What the person has allowed: one refresh token at a time, and access tokens made of it."""

    def __init__(self) -> None:
        self.number = 1
        self.revoked = False
        self._until_s: dict[str, float] = {}

    @property
    def refresh_token(self) -> str:
        return f"refresh-{self.number}"

    def refresh(self, refresh_token: str, now_s: float) -> str:
        if self.revoked or refresh_token != self.refresh_token:
            raise AuthorizationLost("invalid_grant")
        token = f"access-{self.number}-{len(self._until_s)}"
        self._until_s[token] = now_s + TOKEN_LIFE_S
        return token

    def accepts(self, token: str, now_s: float) -> bool:
        return not self.revoked and self._until_s.get(token, 0.0) > now_s

    def forget_access(self) -> None:
        self._until_s.clear()

    def revoke(self) -> None:
        self.revoked = True

    def restore(self) -> None:
        self.number += self.revoked
        self.revoked = False


async def _refreshed(process: Process, refresh_token: str) -> Refreshed:
    """The token endpoint's answer: to a client whose clock may be wrong, hence seconds from now."""
    sim = process.sim
    process.step(process.syncing)
    await process.waits(latency_s(sim.dice))
    if sim.faults.meet(("reset", "unavailable")):
        raise ProviderDown("no answer (simulated)")
    token = sim.grants.refresh(refresh_token, sim.now_s())
    process.step(process.syncing)
    return Refreshed(token, process.clock.now_s() + TOKEN_LIFE_S)


class SimulatedGmail(Gmail):
    def __init__(self, process: Process) -> None:
        super().__init__(process.settings, process.http, process.clock)
        self._process = process

    async def refresh(self, refresh_token: str, *, deadline_s: float = 0.0) -> Refreshed:
        return await _refreshed(self._process, refresh_token)


class SimulatedGraph(Graph):
    def __init__(self, process: Process) -> None:
        super().__init__(process.settings, process.http, process.clock)
        self._process = process

    async def refresh(self, refresh_token: str, *, deadline_s: float = 0.0) -> Refreshed:
        return await _refreshed(self._process, refresh_token)
