"""The emulators' clock: wall time that can run faster (`rate`, `run_at`) and jump ahead (`advance`).

Quota minutes, history retention, token and watch expiry are counted on it; latency is real time.
"""

import time


class Clock:
    def __init__(self, rate: float = 1.0, start_s: float | None = None) -> None:
        self._start_s = time.time() if start_s is None else start_s
        self._real_start_s = time.monotonic()
        self.rate = _checked(rate)

    def now_s(self) -> float:
        """Seconds since the epoch on this clock."""
        return self._start_s + (time.monotonic() - self._real_start_s) * self.rate

    def run_at(self, rate: float) -> None:
        """Faster or slower from now on; nothing jumps."""
        real_s, checked = time.monotonic(), _checked(rate)
        self._start_s += (real_s - self._real_start_s) * self.rate
        self._real_start_s, self.rate = real_s, checked

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self._start_s += seconds


def _checked(rate: float) -> float:
    if rate <= 0:
        raise ValueError(f"a clock's rate is a positive number, not {rate}")
    return rate
