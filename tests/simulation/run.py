"""One seed: safety under faults while its happenings happen, then the faults stop, and liveness.

    connect ── happenings, one after the other, invocations running beside them ── all have ended ── faults off
            ── syncs and a reader's reads until nothing is left, a bounded number ── the log equals the mailbox

`simulate(plan)` returns what was met, or raises a Violation; what the product lets escape is one, too.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import orjson

from shared.adapters import redis_access_scripts as access
from shared.adapters import redis_account_scripts as accounts
from shared.adapters import redis_delivery_scripts as deliveries
from shared.adapters import redis_hints as hints
from shared.adapters import redis_keys as keys
from shared.adapters import redis_scripts as syncs
from shared.adapters.sealing import Sealer
from shared.config import Settings, load
from shared.core import change
from shared.core.errors import BadRequest, StoreDown, TidemarkError
from shared.core.message import instant_s
from shared.protocol.wire import Request, Response
from shared.sync import parked
from tests.simulation import gmail, graph, graph_wire
from tests.simulation.faults import PARTS, STORE, WHOLE, Faults
from tests.simulation.fold import Fold
from tests.simulation.hook import Hook
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.memory import Memory
from tests.simulation.plan import SKEW_MAX_S, Plan
from tests.simulation.process import START_S, Grants, Killed, Process, latency_s
from tests.simulation.receiver import SECRETS, URL
from tests.simulation.watches import DOWN, Watches
from tests.simulation.watches import SETTINGS as WATCHED
from tests.simulation.witness import Invocation, Violation, Witness

DRY_MAX = 200
FLOOR_MARGIN_S = 2 * SKEW_MAX_S + 1.0
LOSABLE = ("index", "log", "cursor", "pages")
BASE = load(
    {
        "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:1",
        "UPSTASH_REDIS_REST_TOKEN": "token",
        "TIDEMARK_API_KEY": "key",
        "TOKEN_ENCRYPTION_KEYS": "a" * 43 + "=",
        "GMAIL_API_URL": "https://gmail.invalid",
        "GRAPH_API_URL": "https://graph.invalid",
        "INITIAL_SYNC_MESSAGES": "all",
    }
)
HOOKED: dict[str, Any] = {"webhook_url": URL, "webhook_secrets": SECRETS}
SEALER = Sealer(BASE.token_encryption_keys)


class Simulation:
    """`trace`: lines are added to it, where one is given."""

    sealer = SEALER

    def __init__(self, plan: Plan, trace: list[str] | None = None) -> None:
        self.plan, self.trace = plan, trace
        self.tracing = trace is not None
        self.dice = Random(f"run-{plan.provider}-{plan.seed}")
        self.loop = VirtualLoop()  # type: ignore[abstract]
        settings = plan.settings | (HOOKED if plan.hook else {}) | (WATCHED if plan.watch else {})
        self.settings: Settings = replace(BASE, **settings)
        self.memory = Memory(lambda: self.now_s() * 1000)
        self.faults = Faults(self.dice)
        self.grants = Grants()
        self.box = self._made_box()
        self.witness = Witness(self)
        self.hook, self.watches = Hook(self), Watches(self)
        self.loop.resolve = self.hook.receiver.addresses
        self.reader = Fold(whole=False, ends=lambda _, folder_id: self.box.ends_promise(folder_id))
        self.reader_epoch = ""
        self.asking = self._reading = False
        self.after: str | None = None
        self.account_id = "nobody yet"
        self.statuses: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._kill_at = 0
        self._pauses: dict[int, float] = {}
        self._number = 0
        self._connected_s = 0.0

    def _made_box(self) -> Any:
        """The fake mailbox: a GmailBox or a GraphMailbox, of which the same is asked."""
        plan, dice = self.plan, Random(self.plan.seed)
        if plan.provider == "gmail":
            return gmail.GmailBox(gmail.Knobs(**plan.mailbox), self.now_s, dice, self.dice)
        return graph_wire.GraphMailbox(graph.Knobs(**plan.mailbox), self.now_s, dice, self.dice)

    # --- what everything stands on

    def now_s(self) -> float:
        return START_S + self.loop.now_s

    def number(self) -> int:
        self._number += 1
        return self._number

    def note(self, who: str, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{len(self.trace) + 1:4}  {self.loop.now_s:10.3f} s  {who:10}  {what}")

    @property
    def account(self) -> dict[str, str]:
        return self.memory.hash(keys.of(self.account_id, "account"))

    def run(self, command: list[Any], process: Process) -> Any:
        """One command arrives at Redis."""
        version = self.account.get("version")
        answer = self.memory.run(command)
        if command[0] == "EVAL":
            script, count, *rest = command[1:]
            args = rest[count:]
            if script == syncs.BEGIN and answer[0] == "ok":
                process.of = Invocation(str(args[0]), self.loop.now_s)
            self.witness.ran(script, args, answer, wrote=self.account.get("version") != version)
            self.hook.ran(process, script, args, answer)
            if self.tracing:
                self.note(process.name, f"redis {_script(script)} -> {_short(answer)}")
        return answer

    async def exchange(
        self, process: Process, request: Request, headers: Mapping[str, str], timeout_s: float
    ) -> tuple[Response | None, float]:
        """The provider's answer, None for none; and the seconds that it asks to wait for."""
        watch, of = self.watches.asked(request), process.of
        asked = [] if watch else self.box.asked(request)
        self.witness.calls(of, len(asked), request.units)
        fault = self.faults.meet(WHOLE)
        delay_s = latency_s(self.dice)
        arrives = delay_s < timeout_s and fault != "slow"
        await self.loop.wait(delay_s if arrives else timeout_s)
        self.witness.called(of, len(asked))
        response: Response | None = None
        if arrives and fault != "reset":
            accepted = self.grants.accepts(headers["authorization"].removeprefix("Bearer "), self.now_s())
            if watch and accepted:
                response = DOWN if fault else self.watches.answer(request)
            else:
                response = self.box.answer(request, asked, self.faults, fault, accepted, self.plan.outer_401)
        if fault == "reset_after":
            response = None
        if self.tracing:
            shown = f"{response.status} {_text(response)}" if response else "no answer"
            self.note(process.name, f"{_asked(request)} -> {shown}{f' [{fault}]' if fault else ''}")
        return response, self.box.told_s(response) if response else 0.0

    def check_cursor(self, text: str) -> None:
        self.box.check_cursor(text)

    # --- happenings

    async def main(self) -> None:
        self.box.fill(self.plan.mails)
        await self._connect()
        for happening in self.plan.happenings:
            wait_s = happening.at_s - self.loop.now_s
            if wait_s > 0:
                await self.loop.wait(wait_s)
            self.happen(happening.kind, Random(happening.roll))
        await self._all_ended()
        await self._liveness()
        if violation := self.loop.raised(Violation):
            raise violation

    def happen(self, kind: str, dice: Random) -> None:
        if kind.startswith("hook_"):
            getattr(self.hook, kind.removeprefix("hook_"))(dice)
        else:
            getattr(self, f"_{kind}")(dice)

    def _mailbox(self, dice: Random) -> None:
        self.box.dice = dice
        kind = dice.choice(self.box.HAPPENINGS)
        self.note("mailbox", kind)
        getattr(self.box, kind)()

    def _sync(self, dice: Random) -> None:
        self.start(dice, self._sync_once)

    def _push(self, dice: Random) -> None:
        self.start(dice, self._pushed)

    def _ping(self, dice: Random) -> None:
        self.start(dice, self._pinged)

    def _read(self, dice: Random) -> None:
        self.start(dice, self._read_log)

    def _ask(self, dice: Random) -> None:
        content = dice.random() < 0.5

        async def ask(process: Process) -> str:
            await process.ask_resync(self.account_id, content=content)
            return f"asked for a resync{' with content' if content else ''}"

        self.start(dice, ask)

    def _fault_whole(self, dice: Random) -> None:
        self._arm(dice, dice.choice(WHOLE), dice.choice((1, 1, 2, 4)))

    def _fault_part(self, dice: Random) -> None:
        self._arm(dice, dice.choice(PARTS), dice.choice((1, 2, 6)))

    def _fault_store(self, dice: Random) -> None:
        self._arm(dice, dice.choice(STORE), dice.choice((1, 1, 2, 5)))

    def _arm(self, dice: Random, kind: str, times: int) -> None:
        self.note("fault", f"{kind}, {times} times")
        self.faults.arm(kind, times, dice.choice((1.0, 0.5, 0.2)))

    def _poison(self, dice: Random) -> None:
        ids = sorted(self.box.truth())
        for message_id in dice.sample(ids, min(len(ids), dice.choice((1, 5)))):
            self.note("fault", f"{message_id} is poison")
            self.faults.poison[message_id] = dice.choice((2, 8))

    def _kill(self, dice: Random) -> None:
        self._kill_at = dice.randint(1, 40)

    def _pause(self, dice: Random) -> None:
        self._pauses = {dice.randint(1, 30): dice.choice((1.0, 8.0, 70.0))}

    def _wait(self, dice: Random) -> None:
        """Time goes by: the plan has a gap here."""

    _wait_long = _wait

    def _expire(self, dice: Random) -> None:
        self.note("mailbox", "expires its change stream")
        self.box.dice = dice
        self.box.expire()
        self.watches.lose()

    def _lose_key(self, dice: Random) -> None:
        name = dice.choice(LOSABLE)
        self.faults.met[f"lost_{name}"] += 1
        self.note("fault", f"Redis loses {name}")
        if name == "cursor":
            self.memory.call("HDEL", keys.of(self.account_id, "account"), "cursor")
        else:
            self.memory.call("DEL", keys.of(self.account_id, name))

    def _lose_cache(self, dice: Random) -> None:
        for message_id in self.box.truth():
            self.memory.call("DEL", keys.message(self.account_id, message_id))

    def _revoke(self, dice: Random) -> None:
        self.faults.met["revoked"] += 1
        self.note("person", "revokes the grant")
        self.grants.revoke()
        back_s = dice.choice((5.0, 60.0))

        async def restore(process: Process) -> str:
            await self.loop.wait(back_s)
            await self._restore(process)
            return "renewed the grant"

        self.start(dice, restore)

    async def _restore(self, process: Process) -> None:
        self.grants.restore()
        box = self.box
        try:
            await process.import_account(box.provider, box.address, "user-1", self.grants.refresh_token, None)
        except BadRequest:
            self.note(process.name, "the grant could not be renewed")

    # --- instances

    def _process(self, dice: Random) -> Process:
        return Process(self, f"i{self.number()}", dice.choice(self.plan.skews_s))

    def start(self, dice: Random, work: Any) -> None:
        process = self._process(dice)
        if work != self._read_log:
            process.syncing.kill_at, self._kill_at = self._kill_at, 0
            process.syncing.pauses, self._pauses = self._pauses, {}
            self.hook.arm(process.posting)
        self._tasks.append(self.loop.create_task(self._worked(process, work)))

    async def _worked(self, process: Process, work: Any) -> None:
        """One instance's work. A kill, a store or a provider that is out of reach are the world's doing."""
        try:
            self.note(process.name, f"-> {await work(process)}")
            await process.delivering.idle()
        except Killed:
            return
        except StoreDown:
            self.note(process.name, "-> Redis is out of reach")
        except TidemarkError as error:
            if work not in (self._read_log,) and not isinstance(error, BadRequest) and work.__name__ != "restore":
                raise
            self.note(process.name, f"-> {error.slug}")

    async def _sync_once(self, process: Process) -> str:
        result = await self._synced(process)
        return f"{result['status']} {result['count']}{' more' if result['more'] else ''}"

    async def _synced(self, process: Process) -> dict[str, Any]:
        self.note(process.name, "syncs")
        ends_s = process.clock.now_s() + self.settings.max_sync_duration
        result = await process.sync(self.plan.provider, self.account_id, ends_s)
        self.synced(result)
        return result

    def synced(self, result: dict[str, Any]) -> None:
        self.statuses[result["status"]] += 1

    async def _pinged(self, process: Process) -> str:
        return f"swept {[result['status'] for result in await self._swept(process)]}"

    async def _swept(self, process: Process) -> list[dict[str, Any]]:
        self.note(process.name, "is pinged")
        answer = orjson.loads((await process.answer_sync(self.plan.provider, (), {})).body)
        for result in answer["results"]:
            self.synced(result)
            if result["status"] == "failed":
                raise Violation(f"{result['reason']} escaped: {process.escaped}") from process.escaped
        return list(answer["results"])

    async def _pushed(self, process: Process) -> str:
        self.note(process.name, "is pushed")
        woken = await self.box.push(process)
        for account_id in woken:
            await process.woken(self.plan.provider, account_id)
        return f"woke {len(woken)}"

    async def _read_log(self, process: Process) -> str:
        """A reader that goes on from where it was; refused, it takes its place in what is left and asks to resync."""
        if self._reading:
            return "another one reads"
        self._reading = True
        try:
            return await self._read_on(process)
        finally:
            self._reading = False

    async def _read_on(self, process: Process) -> str:
        count = 0
        while True:
            try:
                page = await process.accounts.changes(self.account_id, "app", self.after, 7)
            except BadRequest:
                self.reader.begin_epoch()
                if self.after == "earliest":
                    return "is refused: nothing is left"
                self.after, self.asking = "earliest", True
                continue
            if page.epoch != self.reader_epoch:
                self.reader.missed |= bool(self.reader_epoch) or self.witness.epochs > 1
                self.reader_epoch = page.epoch
            for _, stored in page.entries:
                kind, _ = self.reader.apply(stored)
                if kind == "account.resynced" and self.reader.missed:
                    self.asking = True  # without a snapshot: with a lost cursor went the one that was asked for
            count += len(page.entries)
            self.after = change.cursor(page.epoch, page.position)
            if self.asking:
                await process.ask_resync(self.account_id, content=True)
                self.asking = False
            if page.position >= page.end:
                return f"read {count} events"

    # --- the end

    async def _connect(self) -> None:
        """Nothing fails yet."""
        process = Process(self, "connect", self.plan.skews_s[0])
        self._connected_s = self.now_s()
        token, name = self.grants.refresh_token, "a1" if self.plan.rebuilt else None
        found = await process.import_account(self.plan.provider, self.box.address, "user-1", token, name)
        self.account_id = found.account_id

    async def _all_ended(self) -> None:
        while self._tasks:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                await task

    async def _liveness(self) -> None:
        self.note("", "--- faults stop")
        self.faults.end()
        self.hook.end()
        if self.grants.revoked or self.grants.number > 1:
            await self._restore(Process(self, "restore"))
        quiet = 0
        for n in range(DRY_MAX):
            process = Process(self, f"end{n}")
            result = await self._worked_on(process)
            self.note(process.name, f"-> {result['status']} {result['count']}{' more' if result['more'] else ''}")
            before, waits_s = self.after, max(self.hook.waits_s(), self.watches.waits_s())
            await self._read_log(process)
            dry = result["status"] == "no_new_messages" and not (result["more"] or self.asking or waits_s)
            quiet = quiet + 1 if dry and before == self.after else 0
            if quiet == 2:
                self._equal()
                return
            await self.loop.wait(max(result.get("retry_after_s") or 5.0, waits_s))
        raise Violation(f"not dry after {DRY_MAX} syncs: {result['status']} {result.get('reason', '')}")

    async def _worked_on(self, process: Process) -> dict[str, Any]:
        """A sync; a ping where it takes one, since the log is pushed, or a watch renewed."""
        if not (self.plan.hook or self.plan.watch):
            return await self._synced(process)
        results = await self._swept(process)
        await self.hook.help(process)
        return results[0] if results else {"status": "not due", "count": 0, "more": True}

    def _equal(self) -> None:
        account, memory = self.account, self.memory
        failures, opened, _ = keys.breaker(self.plan.provider)
        for what, wrong in {
            "the account is active": account["state"] != "active",
            "the lease is free": memory.call("EXISTS", keys.of(self.account_id, "lease")),
            "no cool-down is left": memory.call("EXISTS", keys.of(self.account_id, "hold")),
            "the breaker is closed": memory.call("EXISTS", opened) or "opened" in memory.hash(failures),
            "nothing is parked that can be read": bool(parked.load(account.get("parked"))),
            "the reader has seen a snapshot": self.reader.missed,
        }.items():
            if wrong:
                raise Violation(f"at the end it does not hold that {what}")
        self._compare("the log", self.witness.fold.state)
        self._compare("the reader", self.reader.state)
        if self.plan.hook:
            self.hook.check()
            self._compare("the receiver", self.hook.receiver.inbox(self.account_id).fold.state)

    def _compare(self, who: str, state: dict[str, dict[str, Any]]) -> None:
        """Everything that was ever emitted, as it is; and everything at or after the floor."""
        truth = self.box.truth()
        for message_id, message in state.items():
            if message_id not in truth:
                raise Violation(f"{who} has {message_id}, which is gone")
            wrong = {name: (message[name], v) for name, v in truth[message_id].items() if message[name] != v}
            if wrong:
                raise Violation(f"{who} has {message_id} with (said, true) {wrong}")
        wanted = self.plan.settings["initial_sync_messages"]
        # With the cursor the floor is lost too: the time of connection is one as well (protocol/gmail/beginning.py).
        lost = self.faults.met["lost_cursor"] > 0
        floor_s = self.box.floor_s(wanted, self._connected_s, self.witness.floor_s, lost=lost) + FLOOR_MARGIN_S
        for message_id in truth.keys() - state.keys():
            received_s = instant_s(truth[message_id]["received_at"]) or 0.0
            if wanted is None or (received_s >= floor_s and message_id not in self.box.ever_hidden):
                raise Violation(f"{who} lacks {message_id}")


def simulate(plan: Plan, trace: list[str] | None = None, kind: type[Simulation] = Simulation) -> Counter[str]:
    """What the seed met: faults by kind, and how its syncs ended. Raises Violation."""
    simulation = kind(plan, trace)
    try:
        simulation.loop.run(simulation.main())
    except Violation:
        raise
    except (Exception, Killed, Stuck) as error:
        raise Violation(f"{type(error).__name__} escaped: {error}") from error
    return simulation.faults.met + Counter({f"sync: {k}": n for k, n in simulation.statuses.items()})


def _script(script: str) -> str:
    named = (
        name
        for module in (syncs, access, accounts, hints, deliveries)
        for name, text in vars(module).items()
        if text == script
    )
    return next(named, "script")


def _short(answer: Any) -> str:
    """Without what is long, or sealed."""
    parts = answer if isinstance(answer, list) else [answer]
    return " ".join(str(part) for part in parts if isinstance(part, int) or (isinstance(part, str) and len(part) < 30))


def _asked(request: Request) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.query if name not in ("fields", "metadataHeaders"))
    return f"{request.method} {request.path.rpartition('/me')[2]}?{query}"[:160]


def _text(response: Response) -> str:
    return response.body[:160].decode("utf-8", "replace").replace("\r\n", " ")
