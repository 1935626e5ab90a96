"""One account's events as an app folds them, for whom a batch may come again, late, or be given up.

an event    is applied, in order; one of those that came without a gap was had before, and is dropped
a gap       is over when it is filled, and everything behind it was applied again, in order (a redelivery); or when
            a snapshot is over that had no gap itself
an epoch    begins anew; nothing of the one before it comes behind it
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.simulation.fold import Excluded, Fold


@dataclass(frozen=True, slots=True)
class Came:
    """A batch: what its id names, and the events."""

    account_id: str
    epoch: str
    first: int
    events: Sequence[dict[str, Any]]


class Inbox:
    """`whole_to`: all up to this place has come; `last`: applied last; `furthest`: of all that ever came."""

    def __init__(self, ends_promise: Callable[[str], bool]) -> None:
        self.fold = Fold(whole=False, ends=lambda _, folder_id: ends_promise(folder_id))
        self.epoch = ""
        self.whole_to = self.last = self.furthest = 0
        self._unnamed = False  # an epoch has begun, and no snapshot of it was seen yet
        self._hole = False  # something between `whole_to` and `furthest` has not come
        self._snapshot = False  # one that was seen whole so far
        self._ended: set[str] = set()

    @property
    def lacks(self) -> bool:
        """It has not seen everything that it would have to."""
        return self._hole or self._unnamed

    def missing(self, came: Came) -> range:
        """The places that nothing came of, and that this batch lies behind."""
        furthest = self.furthest if came.epoch == self.epoch else 0
        return range(furthest + 1, came.first)

    def take(self, came: Came, *, first_epoch: bool) -> str:
        """What is wrong with it, "" for nothing."""
        if came.epoch in self._ended:
            return f"something of the epoch {came.epoch} came behind {self.epoch}"
        if came.epoch != self.epoch:
            self._begin(came.epoch, first_epoch=first_epoch)
        try:
            for place, event in enumerate(came.events, came.first):
                if place > self.whole_to:
                    self._apply(place, event["type"].removeprefix("tidemark."), event["data"])
        except Excluded as error:
            return str(error)
        return ""

    def _begin(self, epoch: str, *, first_epoch: bool) -> None:
        if self.epoch:
            self._ended.add(self.epoch)
        if not first_epoch:
            self.fold.begin_epoch()
            self._unnamed = True
        self.epoch, self.whole_to, self.last, self.furthest = epoch, 0, 0, 0
        self._snapshot = self._hole = False

    def _apply(self, place: int, kind: str, data: dict[str, Any]) -> None:
        fold = self.fold
        if place != self.last + 1:
            self._snapshot, fold.named = False, None
            self._hole = self._hole or place > self.whole_to + 1
        fold.missed = self.lacks or place <= self.furthest
        fold.tell(kind, data)
        self.last, self.furthest = place, max(self.furthest, place)
        if kind == "snapshot.began":
            self._snapshot = True
        elif kind == "snapshot.ended" and self._snapshot:
            self.whole_to, self._snapshot, self._hole, self._unnamed = place, False, False, False
        if place == self.whole_to + 1:
            self.whole_to = place
            self._hole = self._hole and place < self.furthest
