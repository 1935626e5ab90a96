"""What pushes the log to the app in the simulation: the real delivery, over wires of its own, and what can go wrong.

    clock, Redis, posts     their latencies, faults, and the steps at which an instance is killed or stopped come from
                            dice of the delivery's own: whatever it meets, the syncs beside it meet what they would
                            have met without it
    address lookup          the loop's
    witness                 a batch is taken by one at a time, none while the target's breaker is open, and is not sent
                            when its lease has ended; an event is passed over only where it is a dead letter, or gone

Happenings: those of plan.py that begin with "hook_".
"""

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from shared.adapters import redis_delivery_scripts as scripts
from shared.adapters import redis_keys as keys
from shared.adapters.http_client import HttpClient
from shared.adapters.redis_deliveries import RedisDeliveries
from shared.adapters.webhook_sink import WebhookSink
from shared.core.delivery import LEASE_S, Answer
from shared.core.errors import BadRequest, ProviderDown, StoreDown
from shared.delivering import Delivering
from shared.protocol.wire import Request, Response
from shared.sync.deliver import Batch, Settled
from tests.simulation.faults import STORE, Faults
from tests.simulation.memory import MemoryClient
from tests.simulation.plan import SKEW_MAX_S
from tests.simulation.process import Channel, Process, SkewedClock, latency_s
from tests.simulation.receiver import TROUBLES, Receiver, Trouble
from tests.simulation.witness import Violation

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

DAY_S = (  # between the pings of a day and a bit more: enough attempts to give a batch up
    *(15.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0),
    *(1_500.0, 3_700.0, 40_000.0, 45_000.0, 60.0),
)


class Hook:
    """Of one seed. `events_max` of a batch, which the plan has decided."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.events_max = sim.plan.hook
        self.dice = Random(f"hook-{sim.plan.provider}-{sim.plan.seed}")
        self.faults = Faults(self.dice)
        self.faults.met = sim.faults.met
        self.receiver = Receiver(sim, self.dice)
        self.kill_at = 0
        self.pauses: dict[int, float] = {}
        self._dead: set[tuple[str, int]] = set()
        self._probe: tuple[str, float] = ("", 0.0)

    def arm(self, channel: Channel) -> None:
        """The next instance's: what it is to meet is met by no other."""
        channel.kill_at, self.kill_at = self.kill_at, 0
        channel.pauses, self.pauses = self.pauses, {}

    def delivering(self, process: Process, skew_s: float) -> Delivering:
        """The product's, for one instance."""
        settings, channel = self.sim.settings, process.posting
        clock = SkewedClock(process, skew_s, self.dice)

        async def wire(command: list[Any]) -> Any:
            return await process.over(channel, command)

        redis, http = MemoryClient(wire, clock), HookHttp(self, process)
        made = Delivering(settings, redis, http, clock)
        made._store = Watched(self, redis, clock)
        made._sink = WatchedSink(settings, http, clock)
        return made

    # --- what has to hold

    def ran(self, process: Process, script: str, args: list[Any], answer: Any) -> None:
        """After a script was applied."""
        if script != scripts.NEXT:
            return
        header = orjson.loads(args[0])
        target, opened, _ = self.target
        memory = self.sim.memory
        if settled := header.get("settled"):
            if settled["dead"]:
                self.sim.faults.met["hook: dead letter"] += 1
                self._note_dead()
            if self._probe[0] == header["owner"]:
                self._probe = ("", 0.0)
        if answer[0] != "batch":
            return
        now_s = self.sim.loop.now_s
        process.taken_s = now_s
        if memory.call("EXISTS", opened):
            self._fail("a batch was taken while the breaker is open")
        if "opened" in memory.hash(target):
            owner, at_s = self._probe
            if owner not in ("", header["owner"]) and now_s < at_s + LEASE_S:
                self._fail("two probe the receiver at once")
            self._probe = (header["owner"], now_s)

    def _note_dead(self) -> None:
        for _, _, fields in self.sim.memory.stream(keys.of(self.sim.account_id, "dead")):
            letter = dict(zip(fields[::2], fields[1::2], strict=True))
            places = range(int(letter["first"]), int(letter["last"]) + 1)
            self._dead.update((letter["epoch"], place) for place in places)

    def explains(self, epoch: str, missing: range) -> bool:
        """Whether each of these places is a dead letter, or not kept any more."""
        sim = self.sim
        rows = sim.memory.stream(keys.of(sim.account_id, "log"))
        if epoch != sim.account.get("epoch") or not rows:
            return True
        return all(place < rows[0][0] or (epoch, place) in self._dead for place in missing)

    def sent(self, process: Process) -> None:
        age_s = self.sim.loop.now_s - process.taken_s
        if age_s > LEASE_S:
            self._fail(f"a batch was sent {age_s:.0f} s after it was taken")

    def _fail(self, what: str) -> None:
        self.receiver.fail(what)

    # --- what happens

    def trouble(self, dice: Random) -> None:
        kind, for_s = dice.choice(TROUBLES), dice.choice((5.0, 5.0, 600.0, 600.0, 21_600.0))
        self.sim.note("receiver", f"{kind} for {for_s:g} s")
        self.receiver.trouble = Trouble(kind, self.sim.loop.now_s + for_s, dice.choice((1.0, 1.0, 0.5)))

    def store(self, dice: Random) -> None:
        kind, times = dice.choice(STORE), dice.choice((1, 1, 2, 5))
        self.sim.note("fault", f"{kind} of the delivery, {times} times")
        self.faults.arm(kind, times, dice.choice((1.0, 0.5)))

    def kill(self, dice: Random) -> None:
        self.kill_at = dice.randint(1, 10)

    def pause(self, dice: Random) -> None:
        self.pauses = {dice.randint(1, 8): dice.choice((8.0, 40.0, 70.0))}

    def lose(self, dice: Random) -> None:
        self.sim.faults.met["lost_delivery"] += 1
        self.sim.note("fault", "Redis loses delivery")
        self.sim.memory.call("DEL", keys.of(self.sim.account_id, "delivery"))

    def two(self, dice: Random) -> None:
        """Two instances are pinged at once."""
        for _ in range(2):
            self.sim.happen("ping", dice)

    def again(self, dice: Random) -> None:
        """A person asks for a redelivery: from the dead letters on, or from somewhere."""
        epoch, end = self.sim.account.get("epoch", ""), int(self.sim.account.get("seq", "0"))
        after = dice.choice((None, f"{epoch}.{dice.randint(0, end)}", f"{epoch}.{max(0, end - 1)}"))
        self.sim.start(dice, lambda process: self._redeliver(process, after))

    def day(self, dice: Random) -> None:
        """Something that is in the log, or comes next, is poison to the receiver, for more than a day."""
        place = int(self.sim.account.get("seq", "0")) + dice.choice((0, 1, 3, 1_000))
        self.receiver.refused_to = (self.sim.account.get("epoch", ""), place)
        self.sim.note("receiver", f"refuses all up to {place}")
        if dice.random() < 0.4:
            self.receiver.trouble = Trouble(dice.choice(("500", "503", "refused")), self.sim.loop.now_s + sum(DAY_S))

        async def pings(process: Process) -> str:
            for wait_s in DAY_S:
                await self.sim.loop.wait(wait_s)
                self.sim.happen("ping", dice)
            self.receiver.refused_to = ("", 0)
            return "more than a day has passed"

        self.sim.start(dice, pings)

    async def _redeliver(self, process: Process, after: str | None) -> str:
        try:
            await process.redeliver(self.sim.account_id, after)
        except BadRequest as error:
            return error.slug
        return f"redelivers from {after or 'the dead letters on'}"

    # --- the end

    @property
    def target(self) -> tuple[str, str, str]:
        found = self.sim.memory.call("KEYS", "td:target:*")
        name = ":".join(found[0].split(":")[:3]) if found else "td:target:none"
        return name, f"{name}:open", f"{name}:probe"

    def end(self) -> None:
        self.faults.end()
        self.receiver.mend()
        self.kill_at, self.pauses = 0, {}

    async def help(self, process: Process) -> None:
        """What only a person can end: a pause, and what was given up."""
        memory = self.sim.memory
        if "gone" in memory.hash(self.target[0]) or memory.stream(keys.of(self.sim.account_id, "dead")):
            self.sim.note("person", await self._redeliver(process, None))
            await process.delivering.idle()

    def waits_s(self) -> float:
        """Until the delivery is to be tried again; 0 where nothing is left to do."""
        score = self.sim.memory.call("ZSCORE", keys.UNDELIVERED, self.sim.account_id)
        return (
            0.0
            if score is None or not self.events_max
            else max(1.0, float(score) / 1000 - self.sim.now_s() + SKEW_MAX_S)
        )

    def check(self) -> None:
        sim, of = self.sim, self.sim.account_id
        memory, (target, opened, probe) = sim.memory, self.target
        stands, log_end = memory.hash(target), int(sim.account["seq"])
        for what, wrong in {
            "nothing is undelivered": memory.call("ZSCORE", keys.UNDELIVERED, of) is not None,
            "the delivery's lease is free": memory.call("EXISTS", keys.of(of, "delivering")),
            "the target's breaker is closed": memory.call("EXISTS", opened, probe) or stands.keys() - {"said"},
            "nothing is a dead letter": memory.stream(keys.of(of, "dead")),
            "nobody is told that the webhook is behind": "webhook_behind" in sim.witness.fold.alerts,
            "the position is the log's end": memory.hash(keys.of(of, "delivery")).get("position", str(log_end))
            != str(log_end),
            "the receiver has everything": self.receiver.lacks or self.receiver.last != log_end,
        }.items():
            if wrong:
                raise Violation(f"at the end it does not hold that {what}")


class HookHttp(HttpClient):
    """To the receiver."""

    def __init__(self, hook: Hook, process: Process) -> None:
        self._hook, self._process = hook, process
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
        hook, process, channel = self._hook, self._process, self._process.posting
        loop = hook.sim.loop
        process.step(channel)
        hook.sent(process)
        await loop.wait(latency_s(channel.dice))
        response = await hook.receiver.post(base_url, request, tls_name, timeout_s)
        if hook.sim.tracing:
            shown = f"{response.status} {response.headers or ''}" if response else "no answer"
            hook.sim.note(process.name, f"POST {request.headers['webhook-id']} -> {shown}")
        process.step(channel)
        await process.waits(latency_s(channel.dice))
        if response is None:
            raise ProviderDown("no answer (simulated)")
        return response


class Watched(RedisDeliveries):
    """Batches as small as the plan says; what escapes is a fault, though the product would log it and go on."""

    def __init__(self, hook: Hook, redis: MemoryClient, clock: SkewedClock) -> None:
        super().__init__(redis, clock, hook.sim.settings)
        self._hook = hook

    def _header(self, account_id: str, owner: str, settled: Settled | None, take: bool) -> dict[str, Any]:
        return super()._header(account_id, owner, settled, take) | {"events_max": self._hook.events_max}

    async def next(self, account_id: str, owner: str, settled: Settled | None, *, take: bool) -> Batch | None:
        try:
            return await super().next(account_id, owner, settled, take=take)
        except StoreDown:
            raise
        except Exception as error:
            raise Violation(f"{type(error).__name__} escaped: {error}") from error


class WatchedSink(WebhookSink):
    async def send(self, batch_id: str, events: Any, attempt: int) -> Answer:
        try:
            return await super().send(batch_id, events, attempt)
        except Exception as error:
            raise Violation(f"{type(error).__name__} escaped: {error}") from error
