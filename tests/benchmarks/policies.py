"""The caches that the warmer is measured beside, each played over a trace: what is cached when, and what it costs.

    policy         holds                                         reads ahead
    no warming     what was read, for CACHE_MESSAGE_TTL          nothing
    LRU            the last N messages read, for ever            nothing
    newest N       the last N that arrived or were read          every arrival, and the N newest to begin with
    everything     every message, for ever                       every message, once

All but the first are given what no setting of Tidemark gives them: memory that does not end after an hour. N is the
most that the warmer had cached at a time, so none of them has less room. Every message that is not there when it is
read costs the mailbox one messages.get, as does one that is read ahead.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.benchmarks.traces import Arrival, Mail, Trace, View

GET_UNITS = 20


@dataclass(slots=True)
class Figures:
    """Of a policy over traces: messages read, how many of them were there; units read ahead, and on demand."""

    reads: int = 0
    hits: int = 0
    ahead: int = 0
    missed: int = 0

    @property
    def hit_rate(self) -> float:
        return self.hits / self.reads if self.reads else 0.0

    def __iadd__(self, other: "Figures") -> "Figures":
        self.reads, self.hits = self.reads + other.reads, self.hits + other.hits
        self.ahead, self.missed = self.ahead + other.ahead, self.missed + other.missed
        return self


Policy = Callable[[Trace, int, float], Figures]


class _Cache:
    """By message: when it is forgotten; the least recently used first."""

    def __init__(self, most: int | None, ttl_s: float | None) -> None:
        self.most, self.ttl_s = most, ttl_s
        self.held: OrderedDict[int, float] = OrderedDict()
        self.figures = Figures()

    def put(self, mail: Mail, now_s: float) -> None:
        self.held[mail.number] = now_s + self.ttl_s if self.ttl_s else float("inf")
        self.held.move_to_end(mail.number)
        while self.most is not None and len(self.held) > self.most:
            self.held.popitem(last=False)

    def ahead(self, mails: Iterable[Mail], now_s: float) -> None:
        for mail in mails:
            self.put(mail, now_s)
            self.figures.ahead += GET_UNITS

    def read(self, mail: Mail, now_s: float) -> None:
        self.figures.reads += 1
        if self.held.get(mail.number, -1.0) > now_s:
            self.figures.hits += 1
            self.held.move_to_end(mail.number)
        else:
            self.figures.missed += GET_UNITS
            self.put(mail, now_s)


def _played(trace: Trace, cache: _Cache, *, arrivals: bool) -> Figures:
    for event in trace.events:
        match event:
            case Arrival(at_s, mail):
                if arrivals:
                    cache.ahead([mail], at_s)
            case View(at_s, messages):
                for mail in messages:
                    cache.read(mail, at_s)
    return cache.figures


def no_warming(trace: Trace, most: int, ttl_s: float) -> Figures:
    return _played(trace, _Cache(None, ttl_s), arrivals=False)


def lru(trace: Trace, most: int, ttl_s: float) -> Figures:
    return _played(trace, _Cache(most, None), arrivals=False)


def newest(trace: Trace, most: int, ttl_s: float) -> Figures:
    cache = _Cache(most, None)
    cache.ahead(trace.archive[-most:] if most else [], 0.0)
    return _played(trace, cache, arrivals=True)


def everything(trace: Trace, most: int, ttl_s: float) -> Figures:
    cache = _Cache(None, None)
    cache.ahead(trace.archive, 0.0)
    return _played(trace, cache, arrivals=True)


POLICIES: dict[str, Policy] = {
    "no warming": no_warming,
    "LRU of the last N": lru,
    "newest N": newest,
    "everything": everything,
}
