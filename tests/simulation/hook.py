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
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from shared.adapters import redis_delivery_scripts as scripts
from shared.adapters import redis_keys as keys
from shared.adapters.http_client import HttpClient
from shared.adapters.redis_deliveries import RedisDeliveries
from shared.adapters.webhook_sink import WebhookSink
from shared.core import change
from shared.core.delivery import LEASE_S, Answer
from shared.core.errors import BadRequest, ProviderDown, StoreDown
from shared.delivering import Delivering
from shared.protocol.wire import Request, Response
from shared.sync.deliver import Batch, Settled
from tests.simulation.faults import STORE, Faults
from tests.simulation.inbox import Came
from tests.simulation.memory import MemoryClient
from tests.simulation.plan import SKEW_MAX_S
from tests.simulation.process import Channel, Process, SkewedClock, latency_s
from tests.simulation.receiver import OTHER, TROUBLES, URL, Receiver, Trouble
from tests.simulation.witness import Violation

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

DAY_S = (20.0, 40.0, 80.0, 160.0, 400.0, 1_000.0, 2_500.0, 4_000.0, 80_000.0, 60.0)  # between enough pings to give up
MARGIN_S = 0.01
TARGET = keys.target(sha256(URL.encode()).hexdigest()[:16])
OTHER_FIELDS = ("state", "reauth_required", "epoch", "e0", "provider", "gmail", "user_id", "user-2", "log_bytes", "0")
LOSABLE = ("delivery", "delivery", "delivering", "readers")


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
        self._taken: dict[str, tuple[str, float]] = {}
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
        account_id, owner = header["account"], header["owner"]
        if settled := header.get("settled"):
            if settled["dead"]:
                self._note_dead(account_id)
            if self._taken.get(account_id, ("", 0.0))[0] == owner:
                del self._taken[account_id]
            if self._probe[0] == owner:
                self._probe = ("", 0.0)
        if answer[0] == "batch":
            process.taken_s[account_id] = self.sim.loop.now_s
            self._took(account_id, owner)

    def _took(self, account_id: str, owner: str) -> None:
        memory, now_s = self.sim.memory, self.sim.loop.now_s
        target, opened, _ = TARGET
        if memory.call("EXISTS", opened):
            self._fail("a batch was taken while the breaker is open")
        other, at_s = self._taken.get(account_id, (owner, 0.0))
        if other != owner and now_s < at_s + LEASE_S - MARGIN_S:
            self._fail(f"{owner} took what {other} is delivering")
        self._taken[account_id] = (owner, now_s)
        if "opened" in memory.hash(target):
            other, at_s = self._probe
            if other not in ("", owner) and now_s < at_s + LEASE_S - MARGIN_S:
                self._fail(f"{owner} probes the receiver, and {other} does")
            self._probe = (owner, now_s)

    def _note_dead(self, account_id: str) -> None:
        self.sim.faults.met["hook: dead letter"] += 1
        for _, _, fields in self.sim.memory.stream(keys.of(account_id, "dead")):
            letter = dict(zip(fields[::2], fields[1::2], strict=True))
            places = range(int(letter["first"]), int(letter["last"]) + 1)
            self._dead.update((letter["epoch"], place) for place in places)

    def explains(self, came: Came, missing: range) -> bool:
        """Whether each of these places is a dead letter, or not kept any more."""
        memory = self.sim.memory
        rows = memory.stream(keys.of(came.account_id, "log"))
        if came.epoch != memory.hash(keys.of(came.account_id, "account")).get("epoch") or not rows:
            return True
        return all(place < rows[0][0] or (came.epoch, place) in self._dead for place in missing)

    def sent(self, process: Process, batch_id: str) -> None:
        age_s = self.sim.loop.now_s - process.taken_s[batch_id.rsplit("_", 2)[0]]
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
        name = dice.choice(LOSABLE)
        self.sim.faults.met[f"lost_{name}"] += 1
        self.sim.note("fault", f"Redis loses {name}")
        self.sim.memory.call("DEL", keys.of(self.sim.account_id, name))
        if name == "delivering":
            self._taken.clear()

    def other(self, dice: Random) -> None:
        """The log of another mailbox, whose grant is lost, says something."""
        memory, now_ms, of = self.sim.memory, int(self.sim.now_s() * 1000), keys.of(OTHER, "account")
        memory.call("HSET", of, *OTHER_FIELDS)
        for _ in range(dice.choice((1, 2, 5))):
            seq = memory.call("HINCRBY", of, "seq", "1")
            entry = change.entry("alert.raised" if seq % 2 else "alert.cleared", {"alert": "stale", "detail": None})
            memory.call("XADD", keys.of(OTHER, "log"), f"{seq}-{now_ms}", "e", entry)
        memory.call("ZADD", keys.UNDELIVERED, "NX", str(now_ms), OTHER)

    def two(self, dice: Random) -> None:
        """Two instances are pinged at once."""
        for _ in range(2):
            self.sim.happen("ping", dice)

    def again(self, dice: Random) -> None:
        """A person asks for a redelivery: from the dead letters on, or from somewhere."""
        epoch, end = self.sim.account.get("epoch", ""), int(self.sim.account.get("seq", "0"))
        after = dice.choice((None, f"{epoch}.{dice.randint(0, end)}", f"{epoch}.{max(0, end - 1)}"))
        self.sim.start(dice, lambda process: self._redeliver(process, self.sim.account_id, after))

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

    async def _redeliver(self, process: Process, account_id: str, after: str | None) -> str:
        try:
            await process.redeliver(account_id, after)
        except BadRequest as error:
            return error.slug
        return f"redelivers from {after or 'the dead letters on'}"

    # --- the end

    def end(self) -> None:
        self.faults.end()
        self.receiver.mend()
        self.kill_at, self.pauses = 0, {}

    @property
    def _logs(self) -> dict[str, int]:
        """Accounts, and the ends of their logs."""
        memory = self.sim.memory
        fields = {each: memory.hash(keys.of(each, "account")) for each in (self.sim.account_id, OTHER)}
        return {each: int(of["seq"]) for each, of in fields.items() if of}

    async def help(self, process: Process) -> None:
        """What only a person can end: a pause, and what was given up."""
        memory = self.sim.memory
        for account_id in self._logs:
            if "gone" in memory.hash(TARGET[0]) or memory.stream(keys.of(account_id, "dead")):
                self.sim.note("person", await self._redeliver(process, account_id, None))
                await process.delivering.idle()

    def waits_s(self) -> float:
        """Until everything may have been delivered; 0 where nothing is left to do."""
        if not self.events_max:
            return 0.0
        scores = [self.sim.memory.call("ZSCORE", keys.UNDELIVERED, each) for each in self._logs]
        return max((self._until_s(float(score)) for score in scores if score), default=0.0)

    def _until_s(self, at_ms: float) -> float:
        return max(1.0, at_ms / 1000 - self.sim.now_s() + SKEW_MAX_S)

    def check(self) -> None:
        memory, (target, opened, probe) = self.sim.memory, TARGET
        self._hold("the target's breaker is closed", not memory.call("EXISTS", opened, probe))
        self._hold("the target is neither failing nor paused", memory.hash(target).keys() <= {"said"})
        self._hold("the webhook is not behind", "webhook_behind" not in self.sim.witness.fold.alerts)
        for account_id, end in self._logs.items():
            inbox, position = self.receiver.inbox(account_id), memory.hash(keys.of(account_id, "delivery"))
            self._hold("nothing is undelivered", memory.call("ZSCORE", keys.UNDELIVERED, account_id) is None)
            self._hold("the delivery's lease is free", not memory.call("EXISTS", keys.of(account_id, "delivering")))
            self._hold("nothing is a dead letter", not memory.stream(keys.of(account_id, "dead")))
            self._hold("the position is the log's end", position.get("position", str(end)) == str(end))
            self._hold("the receiver has everything", not inbox.lacks and inbox.last == end)

    def _hold(self, what: str, holds: bool) -> None:
        if not holds:
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
        hook.sent(process, request.headers["webhook-id"])
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
