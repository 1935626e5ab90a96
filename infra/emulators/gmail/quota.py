"""What a request costs, and who is refused: a token bucket and a concurrency gate for each mailbox.

    price list  per minute  messages.get  threads.get  burst
    2026        6,000       20            40           2,900
    legacy      15,000      5             10           7,250

The bucket is charged for each inner request, before the gate: what the gate refuses has been paid for.
The gate counts parts in flight over all clients of a mailbox. After a refusal it is half as wide for some seconds.
Source: https://developers.google.com/workspace/gmail/api/reference/quota; facts/gmail.md 1.1, 1.2
"""

from dataclasses import dataclass

from infra.emulators.clock import Clock
from infra.emulators.gmail.settings import Settings

PER_MINUTE = {"2026": 6_000, "legacy": 15_000}
BURST = {"2026": 2_900, "legacy": 7_250}
_COMMON = {
    "messages.list": 5,
    "messages.modify": 5,
    "messages.batchModify": 50,
    "messages.batchDelete": 50,
    "messages.delete": 10,
    "messages.insert": 25,
    "messages.import": 25,
    "messages.send": 100,
    "messages.untrash": 5,
    "threads.list": 10,
    "threads.modify": 10,
    "threads.untrash": 10,
    "threads.delete": 20,
    "history.list": 2,
    "getProfile": 1,
    "labels.list": 1,
    "labels.get": 1,
    "labels.create": 5,
    "labels.update": 5,
    "labels.delete": 5,
    "drafts.list": 5,
    "drafts.create": 10,
    "drafts.update": 15,
    "drafts.delete": 10,
    "drafts.send": 100,
    "watch": 100,
    "stop": 50,
}
UNITS = {
    "2026": _COMMON
    | {
        "messages.get": 20,
        "threads.get": 40,
        "attachments.get": 20,
        "drafts.get": 20,
        "messages.trash": 20,
        "threads.trash": 20,
    },
    "legacy": _COMMON
    | {
        "messages.get": 5,
        "threads.get": 10,
        "attachments.get": 5,
        "drafts.get": 5,
        "messages.trash": 5,
        "threads.trash": 10,
    },
}
assert UNITS["2026"].keys() == UNITS["legacy"].keys()


@dataclass(slots=True)
class _Bucket:
    units: float
    filled_at_s: float


class Quota:
    """Token buckets by (project, mailbox)."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def price(self, method: str) -> int:
        return UNITS[self._settings.quota][method]

    def charge(self, project: str, address: str, units: int) -> bool:
        """Takes the units, or takes nothing and says False."""
        settings, now_s = self._settings, self._clock.now_s()
        per_minute = settings.units_per_minute or PER_MINUTE[settings.quota]
        burst = float(settings.burst_units or BURST[settings.quota])
        bucket = self._buckets.setdefault((project, address), _Bucket(burst, now_s))
        bucket.units = min(burst, bucket.units + (now_s - bucket.filled_at_s) * per_minute / 60)
        bucket.filled_at_s = now_s
        if not settings.quota_enforced:
            return True
        if bucket.units < units:
            return False
        bucket.units -= units
        return True

    def refill(self) -> None:
        self._buckets.clear()


class Gate:
    """Parts in flight of one mailbox."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.in_flight = 0
        self.in_flight_max = 0
        self._lowered_until_s = 0.0

    def enter(self) -> bool:
        width = self._settings.concurrency_max
        now_s = self._clock.now_s()
        if now_s < self._lowered_until_s:
            width = max(1, width // 2)
        if self.in_flight >= width:
            self._lowered_until_s = now_s + self._settings.concurrency_lowered_s
            return False
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        return True

    def leave(self) -> None:
        self.in_flight -= 1
