"""From facts to effects: what is said, indexed and cached; what is not known is read in between.

    fact + index entry                      effect
    no entry, named                         read -> `created`; gone -> nothing (it was never named)
    entry, labels or fields known           `updated` with what differs
    entry, gone or unclear                  read -> `updated` | nothing; gone -> `deleted`
    read again for a snapshot               `created`, once more
    not readable                            parked; later `quarantined`

Every event is the difference between the index and the provider's answer; no difference, no event.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.core import change
from shared.core.errors import ProviderDown, TidemarkError
from shared.core.message import instant_s
from shared.protocol import cached
from shared.protocol.step import Fact, Failed, Fetched, Gone, Patch, Step, Want
from shared.sync import parked
from shared.sync.hydrate import Hydrator, Read
from shared.sync.parked import Parked
from shared.sync.ports import Append, Begun, Clock, Store, Stream

STEP_BYTES_MAX = 2 * 1024 * 1024
READ_NAMED_MAX = 50  # an invocation: half of a burst at most, so that new mail needs not wait for what was read


@dataclass(frozen=True, slots=True)
class Effect:
    """What one message comes to. `index`: the new entry, None to delete it; `said`: created, updated, deleted or "".

    `thread_id`: of a new message.
    """

    message_id: str
    packed: str
    said: str = ""
    event: str = ""
    index: str | None = None
    cache: str | None = None
    thread_id: str | None = None

    @property
    def size_bytes(self) -> int:
        return len(self.event.encode()) + len(self.cache or "") + 100


@dataclass(slots=True)
class Effects:
    """Of one part of a step. `error`: why the rest could not be read; what was read is appended all the same.

    `settled`: the messages that this part has done with, also those that have no effect.
    """

    of: list[Effect] = field(default_factory=list)
    oldest_s: float | None = None
    error: TidemarkError | None = None
    settled: list[str] = field(default_factory=list)

    def groups(self, bytes_max: int) -> Iterator[list[Effect]]:
        """In order, in groups of at most 2 MiB, and of `bytes_max`."""
        group: list[Effect] = []
        size = 0
        for effect in self.of:
            if group and size + effect.size_bytes > min(bytes_max, STEP_BYTES_MAX):
                yield group
                group, size = [], 0
            group.append(effect)
            size += effect.size_bytes
        if group:
            yield group


def fill(append: Append, effects: Sequence[Effect]) -> Append:
    """Adds the effects to a step that is about to be appended."""
    for effect in effects:
        if effect.event:
            append.events.append(effect.event)
        append.index[effect.packed] = effect.index
        if effect.cache is not None:
            append.cache[effect.message_id] = effect.cache
            append.threads += [(effect.thread_id, effect.message_id)] if effect.thread_id else []
        elif effect.index is None:
            append.cache[effect.message_id] = None
    return append


@dataclass(frozen=True, slots=True)
class Patience:
    """When a message that can't be read is said to be quarantined."""

    attempts: int
    after_s: float


class Steps:
    """One per invocation: holds the parked messages and what has been tried.

    `fields`: of the account. What is left from before is in "parked", "outage", and "unnamed" (ids, each with a space
    behind it, of messages that were read although the index does not know them).
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        store: Store,
        stream: Stream,
        hydrator: Hydrator,
        clock: Clock,
        patience: Patience,
        cache_tag: str,
    ) -> None:
        self._store = store
        self._stream = stream
        self._hydrator = hydrator
        self._clock = clock
        self._patience = patience
        self._tag = cache_tag
        self.parked = parked.load(fields.get("parked"))
        self.parked_changed = False
        self.outage = parked.load_outage(fields.get("outage"))
        self.outage_changed = False
        self._tried: set[str] = set()
        self._read = tuple(fields.get("unnamed", "").split()[:READ_NAMED_MAX])
        self._read_any = False

    async def effects(self, begun: Begun, step: Step[Any], facts: Sequence[Fact]) -> Effects:
        """What `facts` (at most a step's worth) come to; reads index and cache in one request, then the provider."""
        packed = {fact.message_id: self._stream.pack_id(fact.message_id) for fact in facts}
        entries, texts = await self._store.read(begun.account_id, [(packed[f.message_id], f.message_id) for f in facts])
        effects = Effects()
        wants: list[Want] = []
        known: dict[str, str | None] = {}
        for fact, value, text in zip(facts, entries, texts, strict=True):
            known[fact.message_id] = value
            verdict = self._verdict(step, fact, value, cached.unpack(text, self._tag))
            if isinstance(verdict, Want):
                wants.append(verdict)
                continue
            effects.settled.append(fact.message_id)
            if isinstance(verdict, Patch):
                effects.of.append(self._patched(fact.message_id, packed[fact.message_id], verdict))
            elif isinstance(verdict, Fetched):
                self._named(step, packed[fact.message_id], verdict, value, effects)
        if wants:
            read = await self._hydrator.read(wants)
            self._settle(step, wants, read, known, packed, effects)
            effects.error = read.error
        return effects

    def _verdict(
        self, step: Step[Any], fact: Fact, value: str | None, held: Fetched | None
    ) -> Patch | Want | Fetched | None:
        if step.name_again:
            if value is None:
                return None
            if held is not None and (current := self._stream.current(value, held)):
                return current
            return Want(fact.message_id, fact.thread_id, content=True)
        verdict = self._stream.judge(fact, value)
        if isinstance(verdict, Want) and verdict.content and held and self._stream.serves(held, verdict):
            return held
        return verdict

    def _settle(
        self,
        step: Step[Any],
        wants: Sequence[Want],
        read: Read,
        known: dict[str, str | None],
        packed: dict[str, str],
        effects: Effects,
    ) -> None:
        failed = {message_id for message_id, result in read.results.items() if isinstance(result, Failed)}
        fine = len(read.results) - len(failed)
        self._read_any = self._read_any or fine > 0
        if fine:
            self._notice(None)
        elif read.error is None and parked.is_outage(len(failed - self.parked.keys()), fine):
            read.error = self._no_message_could_be_read()
        for want in wants:
            result = read.results.get(want.message_id)
            value = known[want.message_id]
            if isinstance(result, Fetched):
                if want.content:
                    self._named(step, packed[want.message_id], result, value, effects)
                elif value is not None and (patch := self._stream.compare(value, result)):
                    effects.of.append(self._patched(want.message_id, packed[want.message_id], patch))
                self._unpark(want.message_id)
            elif isinstance(result, Gone):
                self._gone(want.message_id, packed[want.message_id], value, effects)
            elif isinstance(result, Failed) and read.error is None:
                if step.name_again and value is not None:  # unnamed, the reader drops it: it comes as `created` again
                    effects.of.append(Effect(want.message_id, packed[want.message_id]))
                    value = None
                self._park(want, result, packed[want.message_id], value, effects)
            else:
                continue
            effects.settled.append(want.message_id)

    def _no_message_could_be_read(self) -> ProviderDown | None:
        """An outage, counted once an invocation; None when it has lasted for so long that it is none."""
        outage = self.outage
        if outage is None:
            self._notice(parked.Outage(self._clock.now_s()))
        elif not self.outage_changed:
            self._notice(replace(outage, invocations=outage.invocations + 1))
        if outage and outage.has_lasted(self._clock.now_s(), self._patience.after_s):
            return None
        return ProviderDown("no message could be read")

    def _notice(self, outage: parked.Outage | None) -> None:
        self.outage_changed = self.outage_changed or outage != self.outage
        self.outage = outage

    def _named(self, step: Step[Any], packed: str, fetched: Fetched, value: str | None, effects: Effects) -> None:
        """`created`: named for the first time, or again in a snapshot; a known message only gets its difference."""
        message_id = fetched.message["id"]
        if value is not None and not step.name_again:
            patch = self._stream.compare(value, fetched)
            if patch:
                effects.of.append(self._patched(message_id, packed, patch))
            return
        if not self._stream.tracks(fetched):  # it has left what the log follows; what a snapshot leaves out is dropped
            effects.of += [Effect(message_id, packed)] if value is not None else []
            return
        received_s = instant_s(fetched.message["received_at"])
        if value is not None:
            fetched = self._stream.newer(value, fetched)
        elif received_s is not None:
            if step.floor_s and received_s < step.floor_s:
                return
            effects.oldest_s = received_s if effects.oldest_s is None else min(received_s, effects.oldest_s)
        event = change.created(step.origin, fetched.message)
        entry, text = self._stream.created(fetched), cached.pack(fetched, self._tag, packed)
        effects.of.append(Effect(message_id, packed, "created", event, entry, text, fetched.message["thread_id"]))

    def _patched(self, message_id: str, packed: str, patch: Patch) -> Effect:
        return Effect(message_id, packed, "updated", change.updated(message_id, patch.fields), patch.known)

    def _gone(self, message_id: str, packed: str, value: str | None, effects: Effects) -> None:
        was_said = value is not None or (message_id in self.parked and self.parked[message_id].said)
        self._unpark(message_id)
        if was_said:
            effects.of.append(Effect(message_id, packed, "deleted", change.deleted(message_id)))
        elif message_id in self._read:  # it is in the cache all the same
            effects.of.append(Effect(message_id, packed))

    def _unpark(self, message_id: str) -> None:
        if self.parked.pop(message_id, None):
            self.parked_changed = True

    def _park(self, want: Want, failed: Failed, packed: str, value: str | None, effects: Effects) -> None:
        """Counted once an invocation, however often the message is named in it."""
        if want.message_id in self._tried:
            return
        self._tried.add(want.message_id)
        now_s = self._clock.now_s()
        entry = self.parked.get(want.message_id) or Parked(want.thread_id, now_s, failed.reason)
        entry = entry.failed(failed.reason, self._hydrator.attempts(want.message_id), self._read_any)
        if entry.due_to_be_said(now_s, self._patience.attempts, self._patience.after_s):
            event = change.quarantined(want.message_id, entry.reason, entry.attempts)
            effects.of.append(Effect(want.message_id, packed, "quarantined", event, value))
            entry = replace(entry, said=True)
        self.parked.pop(want.message_id, None)
        self.parked[want.message_id] = entry  # behind the others, so that each gets its turn
        self.parked_changed = True

    def first_facts(self) -> tuple[Fact, ...]:
        """What no stream will name: the parked messages, as facts of the newest version there can be, so that each is
        read; and those that an app has read, as facts of no version, which say nothing of what is known by now."""
        again = [
            Fact(message_id, entry.thread_id, version=self._stream.newest, content=True)
            for message_id, entry in list(self.parked.items())[: parked.RETRIED_MAX]
        ]
        return (*again, *(Fact(message_id) for message_id in self._read if message_id not in self.parked))

    @property
    def read_taken(self) -> dict[str, str]:
        """The account's field, as far as these facts are it."""
        return {"unnamed": "".join(f"{message_id} " for message_id in self._read)} if self._read else {}
