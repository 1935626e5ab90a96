"""What a mailbox may spend, and how many parts may be in flight: price lists, governor, window.

    list     units a user and minute   messages.get   threads.get   messages.list   history.list
    2026     6,000                     20             40            5               2
    legacy   15,000                    5              10            5               2

The governor is a token bucket kept as one number (GCRA): `full_at_s`, when the bucket would be full again. A number
commutes: two instances that both spend add up, whoever writes last. The window is how many parts of a mailbox may be in
flight over all batches: it grows while all parts succeed, halves when one is refused, and stays under what was learned.

Source: https://developers.google.com/workspace/gmail/api/reference/quota (prices);
https://developers.google.com/workspace/gmail/api/guides/handle-errors (concurrency is a limit of its own).
"""

from dataclasses import dataclass, replace

WINDOW_GROWTH = 2


@dataclass(frozen=True, slots=True)
class Prices:
    units_per_minute: int
    message_get: int
    thread_get: int
    message_list: int = 5
    history_list: int = 2
    profile: int = 1
    label_list: int = 1
    watch: int = 100
    stop: int = 50


PRICES = {
    "2026": Prices(units_per_minute=6_000, message_get=20, thread_get=40),
    "legacy": Prices(units_per_minute=15_000, message_get=5, thread_get=10),
}


@dataclass(frozen=True, slots=True)
class Governor:
    """A rate in units a second and a burst in units. All instants are seconds on one clock."""

    units_per_s: float
    burst: float

    @classmethod
    def per_minute(cls, units: float) -> "Governor":
        """Burst is a third of a minute: live runs were refused after about half of one."""
        return cls(units_per_s=units / 60, burst=units / 3)

    def wait_s(self, full_at_s: float, now_s: float, units: float) -> float:
        """Seconds until `units` may be spent; more than a burst never fits, so it waits for a full bucket."""
        after = max(full_at_s, now_s) + min(units, self.burst) / self.units_per_s
        return max(0.0, after - now_s - self.burst / self.units_per_s)

    def affordable(self, full_at_s: float, now_s: float, within_s: float) -> float:
        """Units that may be spent from now until `within_s` seconds from now."""
        return self.burst + (within_s - max(0.0, full_at_s - now_s)) * self.units_per_s

    def spend(self, full_at_s: float, now_s: float, units: float) -> float:
        return max(full_at_s, now_s) + units / self.units_per_s

    def drained(self, now_s: float) -> float:
        """After a refusal: the provider's bucket is empty, whatever ours says."""
        return now_s + self.burst / self.units_per_s


@dataclass(frozen=True, slots=True)
class Window:
    """`size` parts in flight, never above `cap` (learned) nor `limit` (configured)."""

    size: int
    cap: int
    limit: int

    def grown(self) -> "Window":
        """After a wave that got through whole. At the cap it questions what was learned: one part more."""
        wider = self.questioned() if self.size >= self.cap else self
        return replace(wider, size=max(1, min(self.size + WINDOW_GROWTH, wider.cap, self.limit)))

    def refused(self, in_flight: int, refused: int) -> "Window":
        """Some of `in_flight` parts were refused: what was accepted is the new cap."""
        cap = max(1, in_flight - refused)
        return replace(self, size=max(1, min(self.size // 2, in_flight // 2, cap)), cap=cap)

    def questioned(self) -> "Window":
        """At each invocation the learned cap is tried with one part more: limits change, and nobody says so."""
        return replace(self, cap=min(self.limit, self.cap + 1))
