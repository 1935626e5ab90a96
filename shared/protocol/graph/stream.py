"""Graph's protocol as the sync loop drives it: which task is next, what an answer means, what differs.

    next_task    names and folders first; then live rounds, walks, sweeps, the end of a resync (rounds.py)
    receive      a page or a batch of pages, as a step (chains.py)
    judge        what a row or a departure asks for, given the index entry: nothing, a patch, or a read
    compare      what a read message changes

    row, unknown        whole: `created` from the row itself; sparse, or without its body: read
    row, known          no difference: nothing; newer than the entry: a patch; else (older, the same second, a sparse
                        row, which has no time): read, since nobody can tell which of the two is the newer
    left, known there   a debt (debts.py); known elsewhere or not at all: nothing
    read: 404           `deleted`
    read: elsewhere     a patch; into a folder that is not tracked: the last one, the index forgets the message
    read: in a folder that nothing has shown yet: said only when the folder chain has been read again

Who reads a message learns its folder from the message, not from the folder's chain: unless that chain named it too, it
is owed a proof. One object serves one invocation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.core.errors import ContractBroken
from shared.core.message import Message
from shared.protocol.graph import batch, known, message, reads, refusal, rounds
from shared.protocol.graph.chains import Answered, Mailbox, alert, reconciled, table
from shared.protocol.graph.cursor import (
    LIVE,
    LIVE_EVERY,
    NAMING,
    READING,
    RESYNC,
    STARTING,
    Cursor,
    Job,
    decode,
    encode,
)
from shared.protocol.graph.delta import facts
from shared.protocol.graph.known import Known
from shared.protocol.status import Status
from shared.protocol.step import Fact, Failed, Fetched, Gone, Patch, Step, Task, Walked, Want
from shared.protocol.wire import Request, Response

SECOND_LOOK = 2  # rounds after which a folder that is still not shown is taken for one that never is


@dataclass(slots=True)
class GraphStream:
    """`named`: packed ids that the facts at hand say are in this folder."""

    box: Mailbox
    named: dict[str, str] = field(default_factory=dict)

    encode = staticmethod(encode)
    decode = staticmethod(decode)
    newest = ""
    parts_max = batch.PARTS_MAX
    read_units = 0

    def pack_id(self, message_id: str) -> str:
        return self.box.ids.pack(message_id)

    def unpack_id(self, packed: str) -> str:
        return self.box.ids.unpack(packed)

    def tables(self) -> dict[str, str]:
        """What the index entries need to be read again, where it has changed: stored with them, in the same step."""
        box, tables = self.box, dict[str, str]()
        if box.folders.changed:
            tables["folders"] = box.folders.dump()
        if box.ids.grown:
            tables["ids"] = box.ids.dump()
        if box.debts.changed:
            tables["debts"] = box.debts.dump()
        return tables

    def next_task(self, cursor: Cursor, *, confirmed: bool) -> Task | None:
        return rounds.task(self.box, cursor, confirmed=confirmed)

    def reached(self, cursor: Cursor) -> int:
        """Graph's notifications name no place in a stream."""
        return 0

    def receive(self, cursor: Cursor, request: Request, response: Response, *, confirmed: bool) -> Step[Cursor]:
        """The step that the answer amounts to. Which chain it belongs to is told by its request."""
        self.named.clear()
        found, origin = rounds.received(self.box, cursor, request, response)
        events = () if found.said is None else (alert(raised=found.said),)
        said = facts(found.shown)
        if origin == LIVE:
            after, ended = self._lived(found, said)
            return Step(after, said, round_ended=ended, events=events, reason=found.reason)
        return Step(found.cursor, said, origin=origin, pages=found.pages, events=events, reason=found.reason)

    def _lived(self, found: Answered, said: tuple[Fact, ...]) -> tuple[Cursor, bool]:
        """A round that has begun is read to its end; what has left is looked at last, when all chains have spoken."""
        if rounds.waiting(found.cursor):
            return replace(found.cursor, walked=LIVE_EVERY), False
        if self.box.debts.any() or any(fact.gone for fact in said):
            return replace(found.cursor, settling=True), False
        return rounds.ended(found.cursor), True

    def noted(self, cursor: Cursor) -> Step[Cursor]:
        """Raises ContractBroken where nothing is left to do but what was put off."""
        self.named.clear()
        job = cursor.job
        if cursor.settling:
            owed = tuple(Fact(self.unpack_id(packed), gone=True) for packed in self.box.debts.collect())
            return Step(rounds.ended(cursor), owed, round_ended=True)
        if job is None or (job.phase == READING and cursor.walking()):
            raise ContractBroken("a page of a folder can't be read")
        if job.phase == STARTING:
            began = ("tidemark.snapshot.began", {"snapshot_id": job.snapshot_id})
            after = replace(_walked_again(cursor), job=replace(job, phase=NAMING))
            return Step(after, origin=RESYNC, clear=True, note_known=True, events=(began,))
        events: list[tuple[str, Mapping[str, Any]]] = []
        if job.content:
            events.append(("tidemark.snapshot.ended", {"snapshot_id": job.snapshot_id}))
        if job.reason:
            events.append(("tidemark.account.resynced", {"reason": job.reason}))
        return Step(replace(cursor, job=None), origin=RESYNC, clear=True, events=tuple(events))

    def walked(self, cursor: Cursor, found: Walked) -> Step[Cursor]:
        """Known ids, to be named again."""
        self.named.clear()
        assert cursor.job is not None
        if found.lost:  # and with it how far it has been named: begun again
            return Step(replace(cursor, job=replace(cursor.job, phase=STARTING, page=0, offset=0)), origin=RESYNC)
        job = replace(cursor.job, page=found.page, offset=found.offset, phase=READING if found.ended else NAMING)
        said = tuple(Fact(message_id, content=True) for message_id in found.ids)
        return Step(replace(cursor, job=job), said, origin=RESYNC, name_again=True, clear=found.ended)

    def differences(
        self, cursor: Cursor, pages: Mapping[str, Sequence[str]], known_: Mapping[str, str]
    ) -> tuple[Fact, ...]:
        """The index entries of the swept folders which the last walk did not show, in the order of their packed ids."""
        shown: dict[int, set[str]] = {}
        for folder in cursor.sweeps:
            chain = cursor.chain(folder)
            names = [] if chain is None else [each for each in pages if each.startswith(f"{table(self.box, chain)}/")]
            shown[self.box.folders.code(folder)] = {packed for name in names for packed in pages[name]}
        return tuple(
            Fact(self.unpack_id(packed), gone=True)
            for packed in sorted(known_)
            if packed > cursor.swept
            and (folder_ids := shown.get(known.unpack(known_[packed]).folder)) is not None
            and packed not in folder_ids
        )

    def compared(self, cursor: Cursor, facts: tuple[Fact, ...]) -> Step[Cursor]:
        self.named.clear()
        if facts:
            return Step(replace(cursor, swept=self.pack_id(facts[-1].message_id)), facts, origin=RESYNC)
        return Step(replace(cursor, sweeps=(), swept=""), origin=RESYNC, clear=True)

    def aged(self, before: Cursor, after: Cursor, oldest_s: float) -> Cursor:
        """The floor is a matter of each folder's chain."""
        return after

    def restarted(self, cursor: Cursor, reason: str, *, content: bool = False, snapshot_id: str = "") -> Cursor:
        """Walk every folder again and compare. A running content job stays one.

        `content`: name everything again, after one more live round: what is known to be gone then is not named.
        """
        job = Job(reason, content, snapshot_id, STARTING if content else READING)
        if cursor.job is not None and cursor.job.content and not content:
            job = replace(cursor.job, reason=reason, phase=STARTING, page=0, offset=0)
        return replace(cursor if job.content else _walked_again(cursor), job=job)

    def reconciled(self, cursor: Cursor) -> Cursor:
        """With chains for the folders that are tracked now, whatever OUTLOOK_FOLDERS was before."""
        return cursor if cursor.names or cursor.folders.walks else reconciled(self.box, cursor)

    # --- messages

    def judge(self, fact: Fact, value: str | None) -> Patch | Want | Fetched | None:
        row = fact.row
        if value is None:
            return self._unknown(fact)
        entry = known.unpack(value)
        read = Want(fact.message_id, content=entry.draft)
        if row is None:
            return read
        packed = self.pack_id(fact.message_id)
        if fact.gone:
            if self.box.folders.id_of(entry.folder) in row["left"]:
                self.box.debts.owe(packed)
            return None
        self.named[packed] = row["folder"]
        said = message.fields(row["said"], self.box.asking.reading)
        patch = self._patch(entry, said, int(fact.version))
        newer = int(fact.version) > entry.modified_ms
        if (patch is not None and not newer) or (newer and entry.draft and "body" not in said):
            return read
        self.box.debts.settle(packed)
        return patch

    def _unknown(self, fact: Fact) -> Want | Fetched | None:
        row = fact.row
        if fact.gone:
            self.box.debts.settle(self.pack_id(fact.message_id))
            return None
        if row is None:
            return Want(fact.message_id, version=fact.version)
        if not row["emit"]:
            return None
        self.named[self.pack_id(fact.message_id)] = row["folder"]
        reading = self.box.asking.reading
        if message.complete(row["said"], reading.with_body):
            return message.parse(row["said"], reading)
        return Want(fact.message_id, version=fact.version if int(fact.version) else "")

    def _patch(self, entry: Known, said: Mapping[str, Any], modified_ms: int) -> Patch | None:
        """What differs. A message that leaves the tracked folders is told once more, and forgotten."""
        folders = self.box.folders
        folder = folders.code(said["folder_id"]) if said.get("folder_id") else None
        changed, after = known.difference(entry, said, folder, modified_ms)
        if not changed:
            return None
        if "folder_id" in changed and not folders.tracked(changed["folder_id"]):
            return Patch(changed, None)
        return Patch(changed, known.pack(after))

    def serves(self, held: Fetched, want: Want) -> bool:
        """A cached message is as good as a read only if it is not older than the row that named it."""
        return bool(want.version) and int(held.version) >= int(want.version)

    def created(self, fetched: Fetched) -> str:
        """The index entry of a message that is named for the first time."""
        said = fetched.message
        self._owe(self.pack_id(said["id"]), said["folder_id"])
        return known.pack(known.known(said, self.box.folders.code(said["folder_id"]), int(fetched.version)))

    def compare(self, value: str, fetched: Fetched) -> Patch | None:
        """`fetched` may hold only what was asked for: all but the body."""
        entry, said = known.unpack(value), fetched.message
        packed = self.pack_id(said["id"])
        moved = said["folder_id"] is not None and self.box.folders.code(said["folder_id"]) != entry.folder
        if moved and self.box.folders.strange(said["folder_id"]) and self.box.debts.rounds(packed) < SECOND_LOOK:
            self.box.debts.owe(packed)
            return None
        patch = self._patch(entry, said, int(fetched.version))
        if patch is not None and patch.known is None:
            self.box.debts.settle(packed)
        elif moved or packed in self.named:
            self._owe(packed, said["folder_id"])
        return patch

    def _owe(self, packed: str, folder: str | None) -> None:
        if self.named.get(packed) == folder:
            self.box.debts.settle(packed)
        else:
            self.box.debts.owe(packed)

    def newer(self, value: str, fetched: Fetched) -> Fetched:
        """What was read just now is never older than the index; named again, it owes what it did before."""
        if known.unpack(value).folder == self.box.folders.code(fetched.message["folder_id"]):
            self.named[self.pack_id(fetched.message["id"])] = fetched.message["folder_id"] or ""
        return fetched

    def current(self, value: str, fetched: Fetched) -> Fetched | None:
        """A cached message with the state that the index has; None where the index knows of changes in its text."""
        entry = known.unpack(value)
        had = known.known(fetched.message, entry.folder, entry.modified_ms)
        if any(getattr(had, name) != getattr(entry, name) for name in known.HASHED):
            return None
        flags = {name: getattr(entry, name) for name in known.FLAGS}
        folder = self.box.folders.id_of(entry.folder)
        merged: Message = {**fetched.message, **flags, "folder_id": folder}  # type: ignore[typeddict-item]
        return Fetched(merged, str(entry.modified_ms))

    def tracks(self, fetched: Fetched) -> bool:
        return self.box.folders.may_hold(fetched.message["folder_id"])

    # --- reads

    def status(self, response: Response, now_s: float) -> Status:
        return refusal.read(response, now_s)

    def parts(self, wants: Sequence[Want]) -> dict[str, tuple[tuple[Want, ...], Request]]:
        return reads.parts(self.box, wants)

    def batch(self, parts: Sequence[tuple[str, Request]], boundary: str) -> Request:
        return batch.build(parts, self.box.asking.origin)

    def split(self, response: Response) -> Mapping[str, Response]:
        return batch.parse(response)

    def part(
        self, key: str, wants: tuple[Want, ...], response: Response, now_s: float
    ) -> tuple[Status, dict[str, Fetched | Gone | Failed | None]]:
        return reads.part(self.box, key, wants[0].message_id, response, now_s)


def _walked_again(cursor: Cursor) -> Cursor:
    return replace(cursor.each(lambda chain: chain.again()), shown=())
