"""A mailbox's history: numbered records, a window that moves on, and the current id.

    start                            answer
    0, not a number                  400
    at or below the window's floor   404: what came after it is no longer all there
    above the floor                  records > start; `historyId` is the mailbox's current one
    above the current id             empty, or 404 (knob `history_future`)

The current id also drifts while nothing happens, so a client that reads history now and then keeps a live cursor, and
one that takes a quiet mailbox's newest message's own id as its cursor gets 404 for ever (lieer#301).
Ids have random gaps, so they can be compared but not counted.
Source: facts/gmail.md 3 and (b) 18-21
"""

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

from infra.emulators.clock import Clock
from infra.emulators.gmail.settings import Settings

KINDS = {
    "messageAdded": "messagesAdded",
    "messageDeleted": "messagesDeleted",
    "labelAdded": "labelsAdded",
    "labelRemoved": "labelsRemoved",
}
_GAP_MAX = 40


@dataclass(frozen=True, slots=True)
class Change:
    kind: str  # one of KINDS
    message_id: str
    thread_id: str
    labels: tuple[str, ...]  # of the message, when it happened
    changed: tuple[str, ...] = ()  # labels added or removed


@dataclass(frozen=True, slots=True)
class Record:
    id: int
    at_s: float
    changes: tuple[Change, ...]


@dataclass(slots=True)
class History:
    settings: Settings
    clock: Clock
    rng: random.Random
    current: int = 0
    records: list[Record] = field(default_factory=list)
    _ids: list[int] = field(default_factory=list)
    _moves: list[tuple[float, int]] = field(default_factory=list)  # when the current id became what
    _floor: int = 0

    def __post_init__(self) -> None:
        self._move(self.rng.randrange(1_000, 90_000))
        self._floor = self.current - 1

    def append(self, changes: list[Change]) -> int:
        """One record for all of them; returns its id."""
        self._move(self.rng.randint(1, _GAP_MAX))
        self.records.append(Record(self.current, self.clock.now_s(), tuple(changes)))
        self._ids.append(self.current)
        self._trim()
        return self.current

    def visible_id(self) -> int:
        """The current id as a reader sees it: late by `history_visible_after_s`, ahead by a quiet hour's drift."""
        now_s = self.clock.now_s()
        if now_s - self._moves[-1][0] >= self.settings.history_drift_s:
            self._move(self.rng.randint(1, _GAP_MAX))
        lag_s = self.settings.history_visible_after_s
        if not lag_s:
            return self.current
        seen = bisect_right(self._moves, now_s - lag_s, key=lambda move: move[0])
        return self._moves[max(0, seen - 1)][1]

    def expired(self, start: int) -> bool:
        self._trim()
        return start <= self._floor

    def expire(self) -> None:
        """Everything so far leaves the window, and the current id moves on."""
        self._floor = self.current
        self._move(self.rng.randint(1, _GAP_MAX))
        self._trim()

    def page(self, start: int, position: int, upto: int, size: int) -> tuple[list[Record], int | None]:
        """Records after `start`, from the `position`-th id on, up to id `upto`: (records, next position or None)."""
        first = bisect_right(self._ids, max(start, position))
        last = bisect_right(self._ids, upto)
        found = self.records[first : min(first + size, last)]
        more = first + size < last
        return found, found[-1].id if more and found else None

    def _move(self, gap: int) -> None:
        self.current += gap
        self._moves.append((self.clock.now_s(), self.current))

    def _trim(self) -> None:
        horizon_s = self.clock.now_s() - self.settings.retention_s
        old = bisect_left(self._moves, horizon_s, key=lambda move: move[0])
        if old:
            self._floor = max(self._floor, self._moves[old - 1][1])
            if old == len(self._moves):
                self._move(self.rng.randint(1, _GAP_MAX))
            del self._moves[: min(old, len(self._moves) - 1)]
        keep = self.settings.retention_records
        if keep is not None and len(self._ids) > keep:
            self._floor = max(self._floor, self._ids[-keep - 1])
        gone = bisect_right(self._ids, self._floor)
        if gone:
            del self._ids[:gone]
            del self.records[:gone]


def render(record: Record, labels_of: dict[str, tuple[str, ...]] | None, with_labels: bool) -> dict[str, Any]:
    """The record as JSON. `labels_of`: labels as they are now, where the knob says so."""
    stubs: dict[str, dict[str, Any]] = {}
    answer: dict[str, Any] = {"id": str(record.id), "messages": []}
    for change in record.changes:
        if change.message_id not in stubs:
            stubs[change.message_id] = {"id": change.message_id, "threadId": change.thread_id}
            answer["messages"].append(stubs[change.message_id])
        message = dict(stubs[change.message_id])
        labels = change.labels if labels_of is None else labels_of.get(change.message_id, change.labels)
        if with_labels and labels:
            message["labelIds"] = list(labels)
        entry: dict[str, Any] = {"message": message}
        if change.changed:
            entry["labelIds"] = list(change.changed)
        answer.setdefault(KINDS[change.kind], []).append(entry)
    return answer
