"""Safety, checked at every append, call and answer: who sees it all and knows the mailbox says when something is wrong.

    append      by the instance that began last, and no other; the log folds strictly; `deleted` only of what is gone;
                the cursor does not move back
    call        by the holder alone, never in a cool-down, never before the time that the provider has named
    in flight   parts of a mailbox over all its batches; requests of a mailbox to Graph
    spent       an invocation's units: at most a burst and what has flowed since it began

What it knows of who may write comes from the order of the begins, not from fences.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from shared.adapters import redis_keys as keys
from shared.adapters import redis_scripts as syncs
from shared.core.message import instant_s, whole
from tests.simulation.fold import Excluded, Fold
from tests.simulation.plan import SKEW_MAX_S

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

GRAPH_IN_FLIGHT_MAX = 3


class Violation(BaseException):
    """What must never happen has happened. No handler of the product may take it for an error of its own."""


@dataclass(slots=True)
class Invocation:
    """What one sync may still do at the provider; `owner` "" is no sync, but a person's request."""

    owner: str
    begun_s: float
    units: float = 0.0
    not_before_s: float = 0.0


@dataclass(slots=True)
class Witness:
    sim: "Simulation"
    holder: str = ""
    fold: Fold = field(init=False)
    epoch: str = ""
    epochs: int = 0
    seen: int = 0
    floor_s: float = float("inf")
    parts: int = 0
    requests: int = 0
    appends: int = 0

    def __post_init__(self) -> None:
        self.fold = Fold(ends=self._forgotten)

    def _forgotten(self, message_id: str, folder_id: str) -> bool:
        """The index does not know the message any more: it has left the tracked folders."""
        return f"~{message_id}" not in self.sim.memory.hash(keys.of(self.sim.account_id, "index"))

    def fail(self, what: str) -> None:
        raise Violation(what)

    # --- the store

    def ran(self, script: str, args: list[Any], answer: Any, *, wrote: bool) -> None:
        """After a script was applied, whether or not its reply arrives. `wrote`: the account's version has moved."""
        if script == syncs.BEGIN and answer[0] == "ok":
            self.holder = str(args[0])
        elif script == syncs.APPEND and wrote:
            self._appended(orjson.loads(args[0])["owner"], released=answer[3] == 1)
        self._read_log(self.sim.account)

    def _appended(self, owner: str, *, released: bool) -> None:
        self.appends += 1
        if owner != self.holder:
            self.fail("an instance wrote after another had begun")
        if released:
            self.holder = ""
        cursor = self.sim.account.get("cursor")
        if cursor is not None:
            self.sim.check_cursor(cursor)

    def _read_log(self, fields: dict[str, str]) -> None:
        rows = self.sim.memory.stream(keys.of(self.sim.account_id, "log"))
        if fields.get("epoch", "") != self.epoch:
            self.epochs += 1
            if self.epoch:
                self.fold.begin_epoch()
            self.epoch, self.seen = fields.get("epoch", ""), 0
        fresh = []
        for row in reversed(rows):
            if row[0] <= self.seen:
                break
            fresh.append(row)
        for seq, _, entry in reversed(fresh):
            self._said(seq, entry[1])

    def _said(self, seq: int, entry: str) -> None:
        if seq != self.seen + 1:
            self.fail(f"the log goes from {self.seen} to {seq}")
        self.seen = seq
        named = len(self.fold.state)
        try:
            kind, message_id = self.fold.apply(entry)
        except Excluded as error:
            raise Violation(str(error)) from error
        if self.sim.tracing:
            self.sim.note("log", f"{seq} {kind} {message_id} {_brief(entry)}")
        if kind == "message.deleted" and self.sim.box.exists(message_id):
            self.fail(f"{message_id} was said to be deleted, and it is there")
        if kind == "message.created":
            if not self.sim.box.existed(message_id):
                self.fail(f"{message_id} was invented")
            data = orjson.loads(entry)[1]
            received_s = instant_s(data["message"].get("received_at"))
            if data["origin"] == "backfill" and len(self.fold.state) > named and received_s is not None:
                self.floor_s = min(self.floor_s, received_s)

    # --- the provider

    def calls(self, of: Invocation, parts: int, units: int) -> None:
        """A request leaves."""
        now_s = self.sim.loop.now_s
        if of.owner:
            if of.owner != self.holder:
                self.fail(f"{of.owner} called the provider, and {self.holder or 'nobody'} holds the mailbox")
            if self.sim.memory.call("PTTL", keys.of(self.sim.account_id, "hold")) > 0:
                self.fail("the provider was called in a cool-down")
            if now_s < of.not_before_s - SKEW_MAX_S - 0.01:
                self.fail("the provider was called before the time that it had named")
        of.units += units
        settings = self.sim.settings
        if self.sim.plan.provider == "gmail":
            rate = settings.gmail_units_per_minute / 60
            allowed = rate * 20 + rate * (now_s - of.begun_s) + units
            if of.units > allowed + 0.01 * rate:
                self.fail(f"{of.units} units were spent where {allowed:.0f} may be")
        if not of.owner:
            return
        self.parts += parts
        self.requests += 1
        if self.sim.plan.provider == "outlook":
            # A page that was fetched ahead may be on its way when its invocation has ended.
            batch = self.parts > self.requests
            if self.requests > (2 if batch else GRAPH_IN_FLIGHT_MAX):
                self.fail(f"{self.requests} requests of {self.parts} parts in flight")
        elif self.parts > settings.gmail_batch_size * settings.gmail_max_concurrent_batches:
            self.fail(f"{self.parts} parts in flight")

    def called(self, of: Invocation, parts: int) -> None:
        """The provider has answered, whether or not the answer arrives."""
        if of.owner:
            self.parts -= parts
            self.requests -= 1


def _brief(entry: str) -> str:
    data = orjson.loads(entry)[1]
    if "message" in data:
        message = whole(data["message"])
        return f"{data['origin']} {message['labels'] or message['folder_id'] or ''}"
    return str({name: value for name, value in data.items() if name != "message_id"})
