"""One sync of one mailbox: the loop that drives either provider's protocol from the stored cursor.

    what is parked, what was read ──> task ──> answer ──> step ──> append ──> task … ──> release

    a step          at most 100 messages: read index and cache, read what is not known, say the differences (step.py);
                    appended with index and cursor in one atomic script, in several of 2 MiB where it is larger
    nothing to say  the cursor rides with the next append, or with the release
    release         only if no hint came since the last live round began; else live changes are read again (looks.py)
    an error        what was read is appended without moving the cursor; then the lease is given back with the outcome

The budget (MAX_SYNC_DURATION) bounds every loop and every wait; one step is always made, however small it is.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.core import change, errors
from shared.protocol.step import Call, Compare, Fact, Note, Step, Task, Walk, Walked
from shared.protocol.wire import Request
from shared.sync import alerts, parked
from shared.sync.calls import Calls
from shared.sync.hydrate import Hydrator
from shared.sync.looks import Looks
from shared.sync.outcome import Objectives, Outcome, performance
from shared.sync.ports import Append, Begun, Clock, Store, Stream
from shared.sync.renew import why_lost
from shared.sync.settled import Settled
from shared.sync.step import Effect, Effects, Steps, fill

STEP_MESSAGES_MAX = 100


@dataclass(slots=True)
class Run:
    """One invocation on one mailbox. `fields` and `taken` go with the next append that moves the cursor."""

    begun: Begun
    cursor: Any
    store: Store
    stream: Stream
    calls: Calls
    hydrator: Hydrator
    steps: Steps
    clock: Clock
    started_s: float
    objectives: Objectives
    looks: Looks
    raised: frozenset[str] = frozenset()
    append_bytes_max: int = 1 << 40
    fields: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    confirmed: bool = False
    round_hints: int = 0
    served: bool = False
    released: bool = False
    hinted: bool = False
    number: int = 0
    paging: bool = False
    settled: Settled = field(default_factory=lambda: Settled(None))
    walked: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()

    def take_up(self, fields: Mapping[str, str]) -> None:
        """What the account's fields ask for (a resync, the repair of lost state) is done by the cursor given."""
        self.settled = Settled(fields.get("settled"))
        self.taken = {name: fields[name] for name in ("asked", "lost") if fields.get(name)}
        if self.taken:
            self.fields["cursor"] = self.stream.encode(self.cursor)

    async def to_the_end(self) -> Outcome:
        """Works until everything is read or the budget is spent. Raises StoreDown; all else is an outcome."""
        outcome = self.outcome
        try:
            await self._work()
            outcome.status = "synced" if outcome.count else "no_new_messages"
        except errors.LeaseLost:
            outcome.status, outcome.more = "lease_held", True
        except errors.Throttled as error:
            await self._stop("cooling_down", error, hold_s=error.after_s or 0.0)
        except errors.BreakerOpen as error:
            await self._stop("breaker_open", error)
        except errors.AuthorizationLost as error:
            reason = why_lost(self.begun.fields, error.reason, self.clock.now_s())
            if await self.store.lose_grant(self.begun, reason):
                outcome.status, outcome.reason = "reauth_required", reason
            else:
                await self._stop("partial", error)  # a person has renewed it meanwhile
        except errors.StoreDown:
            raise
        except (errors.RetryLater, errors.ContractBroken) as error:
            await self._stop("partial", error)
        return outcome

    async def _work(self) -> None:
        self.calls.begin()
        await self.looks.first()
        self.round_hints = self.begun.hints
        if facts := self.steps.first_facts():
            await self._apply(Step(self.cursor), facts, None)
            self.taken |= self.steps.read_taken
        retried = self.number  # what is parked is tried by every invocation, and must not be all that one does
        while not self.released:
            task = self.stream.next_task(self.cursor, confirmed=self.confirmed)
            if self.hinted or (task is None and self.looks.owed(self.stream.reached(self.cursor))):
                self.hinted = False
                await self.looks.again(self.round_hints, self.stream.reached(self.cursor))
                self._look_again()
                continue
            if task is None:
                await self._append(self._next(release=True))
                continue
            self.begun.need_room(live=not self.confirmed)
            begins_s = task.after_s if isinstance(task, Note) else 0.0
            if (self.number > retried or self.paging) and self.calls.late(begins_s):
                raise errors.BudgetSpent("the time of this invocation is spent")
            await self._perform(task)

    async def _perform(self, task: Task) -> None:
        self.walked = None
        match task:
            case Call(requests):
                return await self._ask(requests)
            case Walk():
                return await self._walk(task)
            case Compare():
                differences = self.stream.differences(self.cursor, *await self.store.tables(self.begun.account_id))
                step = self.stream.compared(self.cursor, differences[: self._step_size()])
            case _:  # a Note: there is nothing to read
                await self.calls.rest(task.after_s)
                step = self.stream.noted(self.cursor)
        await self._commit(step)

    async def _walk(self, task: Walk) -> None:
        """One part, as large as the quota can bear: what is settled of it is known until the place has moved."""
        ids, page, offset, ended, lost = await self.store.walk(
            self.begun.account_id, task.table, task.page, task.offset, unknown=task.unknown, limit=self._step_size()
        )
        self.walked = tuple(dict.fromkeys(map(self.stream.unpack_id, ids)))  # two passes may have listed one id
        self.skipped = tuple(message_id for message_id in self.walked if message_id in self.settled)
        step = self.stream.walked(self.cursor, Walked(self.walked, page, offset, ended, lost))
        await self._apply(step, [fact for fact in step.facts if fact.message_id not in self.settled], step)

    async def _ask(self, requests: Sequence[Request]) -> None:
        """Sends them side by side; the answers are acted on in order, up to the first that did not come."""
        answers = await asyncio.gather(*map(self.calls.ask, requests), return_exceptions=True)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            await self._commit(self.stream.receive(self.cursor, request, answer, confirmed=self.confirmed))

    async def _commit(self, step: Step[Any]) -> None:
        facts = step.facts
        while len(facts) > (size := self._step_size(live=step.origin == "live")):
            await self._apply(step, facts[:size], None)
            facts = facts[size:]
        await self._apply(step, facts, step)

    def _step_size(self, *, live: bool = False) -> int:
        return min(STEP_MESSAGES_MAX, self.calls.affordable(live=live, begun=self.number > 0))

    async def _apply(self, step: Step[Any], facts: Sequence[Fact], last: Step[Any] | None) -> None:
        """Appends a part of a step; only the `last` part moves the cursor."""
        self.begun.need_room(live=step.origin == "live" or not facts)
        effects = await self.steps.effects(self.begun, step, facts) if facts else Effects()
        pausable = step.origin != "live"
        oldest_s = effects.oldest_s if pausable else None
        if effects.error or last is None:
            await self._append_part(effects, oldest_s, pausable)
            if effects.error:
                raise effects.error
            return
        moves = self._move(last, oldest_s)
        dry = self.stream.next_task(self.cursor, confirmed=self.confirmed) is None
        dry = dry and not self.looks.owed(self.stream.reached(self.cursor))
        append = self._next(pausable=pausable, release=dry)
        append.events = [change.entry(kind, data) for kind, data in last.events]
        append.pages, append.clear, append.note_known = dict(last.pages), last.clear, last.note_known
        if effects.of or moves or append.events or self.steps.parked_changed:
            await self._append_all(effects, append)

    async def _append_part(self, effects: Effects, oldest_s: float | None, pausable: bool) -> None:
        """What has come of a step so far; the cursor stays, but what is settled is remembered."""
        if oldest_s is not None:
            aged = self.stream.aged(self.cursor, self.cursor, oldest_s)
            if aged != self.cursor:
                self.cursor, self.fields["cursor"] = aged, self.stream.encode(aged)
        append = self._next(pausable=pausable)
        if self.walked is not None and effects.settled:
            append.fields["settled"] = self.settled.dump(effects.settled)
        await self._append_all(effects, append)

    def _move(self, step: Step[Any], oldest_s: float | None) -> bool:
        """Takes over the step's cursor; says whether that must be stored now."""
        before, self.cursor = self.cursor, step.cursor
        self.outcome.reason = step.reason or self.outcome.reason
        if oldest_s is not None:
            self.cursor = self.stream.aged(before, step.cursor, oldest_s)
        self.fields["cursor"] = self.stream.encode(self.cursor)
        if step.clear or self.walked is not None:
            self.settled = Settled(None) if step.clear else self.settled
            self.settled.passed(self.walked or ())
            self.fields["settled"] = self.settled.dump()
        if step.origin == "live":
            self.paging = not step.round_ended
            self.confirmed = step.round_ended
            self.served = self.served or step.round_ended
            if step.round_ended:
                taken, noted = self.looks.settle(self.stream.reached(self.cursor))
                self.taken, self.fields = self.taken | taken, self.fields | noted
            return False
        # Live changes come first again; but a first sync that ended in one step needs no second look.
        ended = self.stream.next_task(self.cursor, confirmed=True) is None
        self.confirmed = ended and self.begun.hints == self.round_hints
        if not self.confirmed:
            self._look_again()
        return True

    def _look_again(self) -> None:
        """The next live round serves the hints that are there now; until it ends, nothing more is served."""
        self.confirmed = self.served = False
        self.round_hints = self.begun.hints

    async def _append_all(self, effects: Effects, last: Append) -> None:
        *groups, final = list(effects.groups(self.append_bytes_max)) or [[]]
        appended = list(self.skipped)  # the cursor moves with the last part only: until then they stay settled
        for group in groups:
            part = fill(self._next(pausable=last.pausable, fields=False), group)
            if self.walked is not None:
                appended += [effect.message_id for effect in group]
                part.fields["settled"] = self.settled.dump(appended)
            await self._append(part, group)
        events, last.events = last.events, []
        fill(last, final)
        last.events += events
        if last.index or last.fields:
            await self._append(last, final)

    def _next(self, *, release: bool = False, pausable: bool = False, fields: bool = True) -> Append:
        append = Append(release=release, pausable=pausable)
        if fields:
            append.fields, append.served, append.taken = dict(self.fields), self.served, self.taken
            if self.steps.parked_changed:
                append.fields["parked"] = parked.dump(self.steps.parked)
            if self.steps.outage_changed:
                append.fields["outage"] = parked.dump_outage(self.steps.outage)
        return append

    async def _append(self, append: Append, effects: Sequence[Effect] = ()) -> None:
        self.number += 1
        append.step_id = f"{self.begun.fence}.{self.number}"
        append.hints, append.pushes = self.round_hints, self.looks.pushes
        append.healthy, append.spent_s = self.calls.healthy, self.calls.saved_s()
        append.fields.update(self.stream.tables())
        said, raised = Counter(effect.said for effect in effects), self.raised
        if append.release or append.let_go:
            append.hold_s = max(append.hold_s, await self.calls.settle())
            self._say_goodbye(append, self.outcome.count + said["created"] + said["updated"] + said["deleted"])
        appended = await self.store.append(self.begun, append)
        # Nothing of a refused step is stored with the release either, its cursor least of all.
        self.fields, self.taken, self.steps.parked_changed = {}, {}, False
        if appended.log_full:
            self.raised = raised
            self.calls.spent_s += append.spent_s
            raise errors.BudgetSpent("the change log waits for its readers")
        self.outcome.add(said)
        self.released = appended.released
        self.hinted = append.release and not appended.released

    def _say_goodbye(self, append: Append, count: int) -> None:
        now_s, fields = self.clock.now_s(), append.fields
        window = self.hydrator.window
        fields |= {"window": f"{window.size},{window.cap}", "last_sync_s": f"{now_s:.3f}"} | self.looks.noted()
        if self.served and append.release:
            fields["confirmed_s"] = f"{now_s:.3f}"
        duration_s = now_s - self.started_s
        confirmed_s = float(fields.get("confirmed_s") or self.begun.fields.get("confirmed_s") or self.started_s)
        missed = self.objectives.missed(duration_s - self.calls.waited_s, confirmed_s, now_s)
        entries, self.raised = alerts.changed(self.raised, missed)
        if entries:
            append.events += entries
            fields["alerts"] = alerts.dump(self.raised)
        append.perf = performance(count, duration_s, now_s, self.calls.api_calls, self.calls.units)

    async def _stop(self, status: str, error: errors.TidemarkError, *, hold_s: float = 0.0) -> None:
        """Gives the lease back with what is known so far; a lease lost meanwhile changes nothing."""
        self.outcome.status, self.outcome.reason, self.outcome.more = status, error.slug, True
        self.outcome.retry_after_s = getattr(error, "after_s", None)
        append = self._next()
        append.let_go, append.hold_s = True, hold_s
        try:
            await self._append(append)
        except errors.LeaseLost:
            self.outcome.status = "lease_held"
