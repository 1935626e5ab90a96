"""Exchange's limits on one app and mailbox: requests in flight over all connections, and requests in ten minutes.

    in flight        answer to the next one
    4                429 ApplicationThrottled, Retry-After 1 (a knob)
    > burst (knob)   403 ErrorAccessDenied, as a burst of reads was once answered
    10,000 / 10 min  429 TooManyRequests, Retry-After until the window moves

Refused requests count in the window. The parts of a batch are requests like any other.
Source: https://learn.microsoft.com/en-us/graph/throttling-limits#outlook-service-limits
"""

from collections import defaultdict, deque

from infra.emulators.clock import Clock
from infra.emulators.graph.errors import GraphError, burst_denied, throttled, too_many_requests
from infra.emulators.graph.knobs import Knobs


class Throttle:
    def __init__(self, knobs: Knobs, clock: Clock) -> None:
        self._knobs = knobs
        self._clock = clock
        self._in_flight: dict[tuple[str, str], int] = defaultdict(int)
        self._recent: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self.seen_max: dict[str, int] = defaultdict(int)  # by mailbox, refused ones included
        self.refused = 0

    def enter(self, app_id: str, mailbox: str) -> None:
        """Takes a slot until `leave`; GraphError without one."""
        error = self._refusal(app_id, mailbox)
        if error is not None:
            self.refused += 1
            raise error
        self._in_flight[app_id, mailbox] += 1

    def leave(self, app_id: str, mailbox: str) -> None:
        self._in_flight[app_id, mailbox] -= 1

    def reset(self) -> None:
        """The counters, not the limits."""
        self.seen_max.clear()
        self.refused = 0

    def _refusal(self, app_id: str, mailbox: str) -> GraphError | None:
        knobs, now = self._knobs, self._clock.now_s()
        here = self._in_flight[app_id, mailbox]
        self.seen_max[mailbox] = max(self.seen_max[mailbox], here + 1)
        recent = self._recent[app_id, mailbox]
        while recent and recent[0] <= now - knobs.requests_window_s:
            recent.popleft()
        recent.append(now)
        if len(recent) > knobs.requests_max:
            return too_many_requests(max(1.0, round(recent[-knobs.requests_max] + knobs.requests_window_s - now)))
        if knobs.burst_403_above is not None and here >= knobs.burst_403_above:
            return burst_denied()
        in_scope = here
        if knobs.concurrency_scope == "app":
            in_scope = sum(count for (app, _), count in self._in_flight.items() if app == app_id)
        return throttled(knobs.concurrency_retry_after_s) if in_scope >= knobs.concurrency_max else None
