"""Faults of a provider's answers and of the store's wire: armed by a happening, met by the next requests they fit.

    a whole answer     reset, slow, cut, garbage, unavailable, backend_error, not_json_404, rate_limited, quota,
                       locked_out, unauthenticated
    a part of a batch  the same where a part can have it, and missing, doubled, shuffled
    one message        poison: 500 whenever it is read, so many times
    the store          lost_request, lost_reply

Each armed fault has a number of times that it is met, so every fault ends by itself: a seed's are all gone after it.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

WHOLE = (
    *("reset", "reset_after", "slow", "cut", "garbage", "unavailable", "backend_error", "not_json_404"),
    *("rate_limited", "quota", "locked_out", "unauthenticated"),
)
PARTS = (
    *("part_429", "part_429", "part_403", "part_500", "part_401", "part_missing", "part_doubled", "part_cut"),
    *("part_html_404", "part_wrong_id", "parts_shuffled", "parts_cut"),
)
STORE = ("lost_request", "lost_reply")


@dataclass(slots=True)
class Armed:
    kind: str
    times: int
    chance: float  # that a request which it fits meets it


@dataclass(slots=True)
class Faults:
    dice: Random
    armed: list[Armed] = field(default_factory=list)
    poison: dict[str, int] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def arm(self, kind: str, times: int, chance: float = 1.0) -> None:
        self.armed.append(Armed(kind, times, chance))

    def meet(self, kinds: tuple[str, ...]) -> str:
        """The fault that this request meets, "" for none."""
        if not self.armed:
            return ""
        for fault in self.armed:
            if fault.kind in kinds and self.dice.random() < fault.chance:
                fault.times -= 1
                if not fault.times:
                    self.armed.remove(fault)
                self.met[fault.kind] += 1
                return fault.kind
        return ""

    def poisoned(self, message_id: str) -> bool:
        left = self.poison.get(message_id, 0)
        if not left:
            return False
        self.poison[message_id] = left - 1
        self.met["poison"] += 1
        return True

    def end(self) -> None:
        self.armed.clear()
        self.poison.clear()
        self.over = True
