"""What was asked of the stand-in, in all and for each mailbox: the figures that tests and reports assert."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    http_requests: int = 0  # to the Gmail paths; a batch is one
    batches: int = 0
    inner_requests: int = 0  # parts of batches
    units: int = 0  # charged, what the gate or a fault then refused among them
    units_asked: int = 0  # price of every call with a good token, whatever became of it
    refused_quota: int = 0
    refused_concurrency: int = 0
    token_requests: int = 0
    parts_in_flight_max: int = 0
    calls: Counter[str] = field(default_factory=Counter)  # "messages.get" -> API calls, alone or in a batch
    statuses: Counter[str] = field(default_factory=Counter)  # "200" -> answers to API calls

    def as_json(self) -> dict[str, Any]:
        return {
            "http_requests": self.http_requests,
            "batches": self.batches,
            "inner_requests": self.inner_requests,
            "units": self.units,
            "units_asked": self.units_asked,
            "refused_quota": self.refused_quota,
            "refused_concurrency": self.refused_concurrency,
            "refused_parts": self.refused_quota + self.refused_concurrency,
            "token_requests": self.token_requests,
            "parts_in_flight_max": self.parts_in_flight_max,
            "calls": dict(self.calls),
            "statuses": dict(self.statuses),
        }


@dataclass(frozen=True, slots=True)
class Entry:
    method: str
    path: str  # with the query
    status: int  # 0: nothing was answered
    kind: str  # "http" | "part"
    call: str  # "messages.get", "batch", …
    address: str | None
    units: int
    at_s: float


class Counters:
    def __init__(self, log_max: int) -> None:
        self.total = Tally()
        self.of: dict[str, Tally] = {}
        self.log: deque[Entry] = deque(maxlen=log_max)

    def tallies(self, address: str | None) -> list[Tally]:
        """The total and the mailbox's own, to be raised together."""
        if address is None:
            return [self.total]
        return [self.total, self.of.setdefault(address, Tally())]

    def reset(self) -> None:
        self.total = Tally()
        self.of.clear()
        self.log.clear()

    def as_json(self, address: str | None = None) -> dict[str, Any]:
        if address is not None:
            return self.of.get(address, Tally()).as_json()
        return self.total.as_json() | {"mailboxes": {each: tally.as_json() for each, tally in self.of.items()}}

    def entries(self, address: str | None = None, kind: str | None = None) -> list[Entry]:
        return [
            entry for entry in self.log if address in (None, entry.address) and (kind is None or entry.kind == kind)
        ]
