"""What happened, for assertions: counters by endpoint and status, and one line per request with its headers.

Parts of a batch have lines of their own (`in_batch`), so that `Prefer` can be checked on every continuation.
"""

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

LINES_MAX = 200_000


@dataclass(slots=True)
class Line:
    number: int
    at_s: float
    method: str
    url: str
    endpoint: str
    app_id: str | None
    mailbox: str | None
    prefer: str | None
    client_request_id: str | None
    user_agent: str | None
    in_batch: bool
    status: int | None = None  # None while in flight
    fault: str | None = None
    took_ms: float | None = None


class Record:
    def __init__(self) -> None:
        self.lines: deque[Line] = deque(maxlen=LINES_MAX)
        self._number = 0
        self.reset()

    def reset(self) -> None:
        """The counters; lines stay, with running numbers."""
        self.endpoints: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.http_requests = 0
        self.batch_parts = 0
        self.bytes_sent = 0

    def begin(self, **known: Any) -> Line:
        self._number += 1
        line = Line(number=self._number, **known)
        self.lines.append(line)
        self.endpoints[line.endpoint] += 1
        if line.in_batch:
            self.batch_parts += 1
        else:
            self.http_requests += 1
        return line

    def end(self, line: Line, status: int, size: int) -> None:
        line.status = status
        self.statuses[status] += 1
        if not line.in_batch:
            self.bytes_sent += size

    def since(self, number: int) -> list[dict[str, Any]]:
        return [asdict(line) for line in self.lines if line.number > number]

    def counters(self) -> dict[str, Any]:
        return {
            "http_requests": self.http_requests,
            "batch_parts": self.batch_parts,
            "requests": dict(self.endpoints),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "faults": dict(self.faults),
            "bytes_sent": self.bytes_sent,
        }
