"""A Gmail mailbox as the sync loop sees it: which task is next, what an answer means, what differs.

    next_task    profile while the history id is unknown; history before every backfill step; else the backfill's task
    receive      profile | history page | listing page, as a step
    judge        what a fact asks for, given the index entry: nothing, a patch, or a read
    compare      what a read message changes

The one exception to "live first": a first sync begins with its listing, because the history id pinned at connection was
read before it and nothing is known yet that history could change. One object serves one invocation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.core.errors import ProviderDown
from shared.core.message import Message
from shared.core.quota import Prices
from shared.protocol.gmail import batch, beginning, history, listing, message, refusal
from shared.protocol.gmail.cursor import (
    IDS,
    Cursor,
    Judged,
    Listing,
    Naming,
    Pinning,
    Reading,
    Starting,
    Sweeping,
    Walking,
    decode,
    encode,
    reached,
)
from shared.protocol.gmail.known import Known, LabelTable, pack_id, unpack_id
from shared.protocol.status import Kind, Status
from shared.protocol.step import Call, Compare, Fact, Failed, Fetched, Gone, Note, Patch, Step, Task, Walk, Walked, Want
from shared.protocol.wire import Request, Response

THREAD_WORTH_MIN = 3  # from the third wanted message on, threads.get (40) is cheaper than messages.get (20 each)


@dataclass(frozen=True, slots=True)
class GmailStream:
    prices: Prices
    reading: message.Reading
    labels: LabelTable
    parts_max: int
    compares: list[str] = field(default_factory=list)  # what this invocation has begun a comparison for

    encode = staticmethod(encode)
    decode = staticmethod(decode)
    reached = staticmethod(reached)
    restarted = staticmethod(beginning.restarted)
    aged = staticmethod(beginning.aged)
    pack_id = staticmethod(pack_id)
    unpack_id = staticmethod(unpack_id)
    newest = str(history.HISTORY_ID_MAX)

    @property
    def read_units(self) -> int:
        """What reading one message costs."""
        return self.prices.message_get

    def tables(self) -> dict[str, str]:
        """What the index entries need to be read again, where it has grown: stored with them, in the same step."""
        return {"labels": orjson.dumps(self.labels.labels).decode()} if self.labels.grown else {}

    def next_task(self, cursor: Cursor, *, confirmed: bool) -> Task | None:
        """None: everything is read. `confirmed`: history was read to its end since the last backfill step."""
        live = cursor.live
        if isinstance(live, Pinning):
            return Call((history.profile_request(self.prices),))
        if not confirmed and not _at_the_beginning(cursor, live):
            return Call((history.request(live, self.prices),))
        match cursor.backfill:
            case None:
                return None
            case Judged(waited=False) | Sweeping(waited=False):
                return Note(history.LATE_S)
            case Starting() | Judged():
                return Note()
            case Listing() as at:
                return Call((listing.request(at, cursor.floor_s, self.prices),))
            case Sweeping():
                return Compare()
            case Naming(_, page, offset):
                return Walk("known", page, offset, unknown=False)
            case walking:
                return Walk(listing.table(walking.query), walking.page, walking.offset, unknown=True)

    def receive(self, cursor: Cursor, request: Request, response: Response, *, confirmed: bool) -> Step[Cursor]:
        """The step that the task's answer amounts to; 404 means expired history, nothing else."""
        live = cursor.live
        if isinstance(live, Pinning):
            _, history_id = history.receive_profile(response)
            return Step(beginning.pinned(cursor, history_id))
        if not confirmed and not _at_the_beginning(cursor, live):
            facts, after, ended = history.receive(live, response)
            if isinstance(after, Pinning):
                return Step(beginning.restarted(replace(cursor, live=after), beginning.HISTORY_EXPIRED))
            backfill = listing.noticed_removals(cursor, after)
            follows = replace(after, removals=after.removals and not ended, unreadable=False)
            moved = replace(cursor, live=follows, backfill=backfill)
            if after.unreadable:
                if self.compares:
                    raise ProviderDown("history can't be read again")  # else who never can would compare for ever
                self.compares.append(beginning.HISTORY_UNREADABLE)
                moved = beginning.restarted(moved, beginning.HISTORY_UNREADABLE)
            return Step(moved, facts, round_ended=ended)
        assert isinstance(cursor.backfill, Listing)
        return listing.receive(cursor, cursor.backfill, response)

    def noted(self, cursor: Cursor) -> Step[Cursor]:
        if isinstance(cursor.backfill, Starting):
            return listing.started(cursor, cursor.backfill.job)
        assert isinstance(cursor.backfill, Judged | Sweeping)
        if isinstance(cursor.backfill, Sweeping) or not cursor.backfill.waited:
            return listing.waited(cursor, cursor.backfill)
        return listing.moved(cursor, listing.judged(cursor.backfill.listing))

    def walked(self, cursor: Cursor, found: Walked) -> Step[Cursor]:
        assert isinstance(cursor.backfill, Walking | Naming)
        return listing.walked(cursor, cursor.backfill, found)

    def differences(
        self, cursor: Cursor, pages: Mapping[str, Sequence[str]], known: Mapping[str, str]
    ) -> tuple[Fact, ...]:
        """All that the stored listing and the index differ in; `compared` makes steps of it."""
        assert isinstance(cursor.backfill, Sweeping)
        listed: dict[str, set[str]] = {}
        listings: set[str] = set()
        for name, ids in pages.items():
            query = name.rpartition("/")[0]
            label = query[1:] if query.startswith("=") else None
            listings |= {label} if label is not None else set()
            for packed in ids:
                labels = listed.setdefault(packed, set())
                labels |= {label} if label is not None else set()
        entries = {packed: self.labels.unpack(value) for packed, value in known.items()}
        return listing.compare(cursor.backfill, listed, entries, frozenset(listings))

    def compared(self, cursor: Cursor, facts: tuple[Fact, ...]) -> Step[Cursor]:
        assert isinstance(cursor.backfill, Sweeping)
        return listing.compared(cursor, cursor.backfill, facts)

    def judge(self, fact: Fact, value: str | None) -> Patch | Want | None:
        if value is None:
            return None if fact.gone else Want(fact.message_id, fact.thread_id, content=True, version=fact.version)
        known = self.labels.unpack(value)
        confirm = Want(fact.message_id, fact.thread_id, content=False, version=fact.version)
        if fact.gone:
            return confirm
        version = int(fact.version or 0)
        if version <= known.version:
            return None
        if fact.content or not fact.labels:
            return confirm
        labels = set(known.labels)
        for label, (present, record) in fact.labels.items():
            if record > known.version:
                (labels.add if present else labels.discard)(label)
        return self._patch(known, Known(version, frozenset(labels)))

    def serves(self, held: Fetched, want: Want) -> bool:
        """A cached message is as good as a read only if it is not older than the record that named it."""
        return bool(want.version) and want.version != self.newest and int(held.version) >= int(want.version)

    def created(self, fetched: Fetched) -> str:
        """The index entry of a message that is named for the first time."""
        return self.labels.pack(Known(int(fetched.version), frozenset(fetched.message["labels"])))

    def compare(self, value: str, fetched: Fetched) -> Patch | None:
        known = self.labels.unpack(value)
        if int(fetched.version) < known.version:
            return None
        return self._patch(known, Known(int(fetched.version), frozenset(fetched.message["labels"])))

    def newer(self, value: str, fetched: Fetched) -> Fetched:
        """What was read, unless the index knows better already."""
        return self.current(value, fetched) if int(fetched.version) < self.labels.unpack(value).version else fetched

    def current(self, value: str, fetched: Fetched) -> Fetched:
        """A cached message with the labels that the index has: the rest of a Gmail message never changes."""
        known = self.labels.unpack(value)
        fields: dict[str, Any] = message.flags(known.labels)
        merged: Message = {**fetched.message, **fields}  # type: ignore[typeddict-item]
        return Fetched(merged, str(known.version))

    def tracks(self, fetched: Fetched) -> bool:
        return True

    def _patch(self, known: Known, after: Known) -> Patch | None:
        if after.labels == known.labels:
            return None
        old, new = message.flags(known.labels), message.flags(after.labels)
        return Patch({name: new[name] for name in new if new[name] != old[name]}, self.labels.pack(after))

    def status(self, response: Response, now_s: float) -> Status:
        return refusal.read(response, now_s)

    def parts(self, wants: Sequence[Want]) -> dict[str, tuple[tuple[Want, ...], Request]]:
        """The requests that read `wants`, by key: a thread where that is cheaper, else one each."""
        threads: dict[str, list[Want]] = {}
        for want in wants:
            if want.content and want.thread_id and not want.alone:
                threads.setdefault(want.thread_id, []).append(want)
        whole = {key: group for key, group in threads.items() if self._thread_pays(len(group))}
        parts: dict[str, tuple[tuple[Want, ...], Request]] = {}
        for want in wants:
            group = whole.get(want.thread_id or "") if want.content and not want.alone else None
            if group:
                request = message.thread_request(want.thread_id or "", self.reading, self.prices.thread_get)
                parts[f"t-{want.thread_id}"] = (tuple(group), request)
            elif want.content:
                request = message.request(want.message_id, self.reading, self.prices.message_get)
                parts[f"m-{want.message_id}"] = ((want,), request)
            else:
                request = message.confirm_request(want.message_id, self.prices.message_get)
                parts[f"c-{want.message_id}"] = ((want,), request)
        return parts

    def _thread_pays(self, wanted: int) -> bool:
        return wanted >= THREAD_WORTH_MIN and self.prices.thread_get < wanted * self.prices.message_get

    def batch(self, parts: Sequence[tuple[str, Request]], boundary: str) -> Request:
        return batch.build(parts, boundary)

    def split(self, response: Response) -> Mapping[str, Response]:
        return batch.parse(response).parts

    def part(
        self, key: str, wants: tuple[Want, ...], response: Response, now_s: float
    ) -> tuple[Status, dict[str, Fetched | Gone | Failed | None]]:
        """What one part says of its wants; None: ask for that message alone."""
        status = refusal.read(response, now_s)
        ids = [want.message_id for want in wants]
        if key.startswith("t-"):
            thread = message.parse_thread(response.body, self.reading) if status.kind is Kind.OK else None
            if thread is None and status.kind in (Kind.THROTTLED, Kind.EXPIRED, Kind.FORBIDDEN):
                return status, {}
            return replace(status, kind=Kind.OK), {each: (thread or {}).get(each) for each in ids}
        if status.kind is Kind.NOT_FOUND:
            return status, {ids[0]: Gone()}
        if status.kind is not Kind.OK:
            return status, {ids[0]: Failed(status.reason or str(status.http), counts=True)}
        fetched = self._confirmed(ids[0], response) if key.startswith("c-") else self._read(ids[0], response)
        return status, {ids[0]: fetched or Failed("unreadable", counts=True)}

    def _read(self, message_id: str, response: Response) -> Fetched | None:
        fetched = message.parse(response.body, self.reading)
        return fetched if fetched and fetched.message["id"] == message_id else None

    def _confirmed(self, message_id: str, response: Response) -> Fetched | None:
        found = message.parse_confirmation(response.body)
        if found is None or found[0] != message_id:
            return None
        _, labels, version = found
        partial: Message = {"id": message_id, **message.flags(labels)}  # type: ignore[typeddict-item]
        return Fetched(partial, str(version))


def _at_the_beginning(cursor: Cursor, live: Reading) -> bool:
    """Nothing was read since the account was connected, and the first thing to read is the listing."""
    at = cursor.backfill
    return live.untouched and isinstance(at, Listing) and at.query == IDS and at.page == 0 and at.passes == 0
