"""What one mailbox's calls stand on, in memory: a clock moved by sleeping, a provider that answers in turn, a lease.

Small stand-ins that behave; the real store and the real HTTP are used wherever the rule under test is theirs.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.core.errors import LeaseLost, ProviderDown
from shared.core.quota import PRICES, Governor
from shared.protocol.gmail.known import LabelTable
from shared.protocol.gmail.message import Reading
from shared.protocol.gmail.stream import GmailStream
from shared.protocol.wire import Request, Response
from shared.sync.calls import Calls, Limits
from shared.sync.ports import Begun
from tests.protocol.gmail.answers import answer

ENDLESS = 1000  # no test here asks or sleeps so often: what never ends fails at once
START_S = 1_764_028_800.0
OK = answer({})
REQUEST = Request("GET", "/gmail/v1/users/me/history", units=2)


def refusal(code: int, reason: str, domain: str = "global") -> Response:
    return answer({"error": {"code": code, "message": "No.", "errors": [{"reason": reason, "domain": domain}]}}, code)


class SleepingClock:
    """Time passes only by sleeping."""

    def __init__(self, jitter: float = 0.5) -> None:
        self.at_s = START_S
        self.jitter = jitter
        self.slept: list[float] = []
        self._tokens = 0

    def now_s(self) -> float:
        return self.at_s

    def random(self) -> float:
        return self.jitter

    def token(self) -> str:
        self._tokens += 1
        return f"token{self._tokens:04d}"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        assert len(self.slept) < ENDLESS
        self.at_s += seconds


@dataclass
class Provider:
    """Answers in turn, the last one for ever; None does not answer, a function answers for itself."""

    answers: Sequence[Response | Callable[[Request], Response | None] | None]
    requests: int = 0
    refreshed: int = 0
    told_s: float = 0.0  # to be left alone, by an answer that nobody waited for
    timeouts: list[float] = field(default_factory=list)

    async def send(self, request: Request, *, timeout_s: float) -> Response:
        self.requests += 1
        assert self.requests < ENDLESS
        self.timeouts.append(timeout_s)
        found = self.answers[min(self.requests, len(self.answers)) - 1]
        await asyncio.sleep(0)
        response = found(request) if callable(found) else found
        if response is None:
            raise ProviderDown("no answer")
        return response

    async def settle(self) -> float:
        return self.told_s

    async def refresh(self) -> None:
        self.refreshed += 1


@dataclass
class Lease:
    """The store as the calls see it: a lease to renew, and a breaker that opens after `threshold` failures."""

    clock: SleepingClock
    threshold: int = 5
    renewals: int = 0
    failures: int = 0
    taken: bool = False

    async def renew(self, begun: Begun) -> None:
        if self.taken:
            raise LeaseLost("another instance holds the mailbox")
        self.renewals += 1
        begun.renewed_at_s = self.clock.now_s()

    async def provider_failed(self, account_id: str) -> float:
        assert account_id == "a1"
        self.failures += 1
        return 60.0 if self.failures >= self.threshold else 0.0


def stream() -> GmailStream:
    return GmailStream(PRICES["2026"], Reading("id", "metadata", 65536), LabelTable(["INBOX"]), 20)


@dataclass
class Desk:
    """`calls` over a provider with these answers."""

    answers: Sequence[Any]
    budget_s: float = 300.0
    attempts: int = 3
    jitter: float = 0.5
    threshold: int = 5
    governor: Governor | None = None
    fields: dict[str, str] = field(default_factory=dict)
    of: Any = None  # a stream, else Gmail's

    def __post_init__(self) -> None:
        self.clock = SleepingClock(self.jitter)
        self.provider = Provider(self.answers)
        self.lease = Lease(self.clock, self.threshold)
        self.begun = Begun("a1", "1", self.fields, version=0, hints=0, renewed_at_s=START_S)
        self.stream = self.of or stream()
        limits = Limits(START_S + self.budget_s, self.attempts, 2.0, 60.0)
        self.calls = Calls(
            self.begun,
            self.lease,  # type: ignore[arg-type]
            self.provider,
            self.stream,
            self.clock,
            limits,
            self.governor,
        )

    @property
    def waited_s(self) -> float:
        return self.clock.now_s() - START_S


def batched(of: Callable[[str], Response | None]) -> Callable[[Request], Response]:
    """A batch endpoint: `of` answers a part by its key, None leaves it out."""

    def respond(request: Request) -> Response:
        assert request.body is not None
        keys = re.findall(r"content-id:\s*<([^>]+)>", request.body.decode(), re.IGNORECASE)
        out = []
        for key in keys:
            part = of(key)
            if part is None:
                continue
            head = f"--x\r\nContent-Type: application/http\r\nContent-ID: <response-{key}>\r\n\r\n"
            lines = f"HTTP/1.1 {part.status} Said\r\nContent-Type: application/json\r\n\r\n"
            out.append(f"{head}{lines}{part.body.decode()}\r\n")
        return Response(200, {"content-type": "multipart/mixed; boundary=x"}, ("".join(out) + "--x--\r\n").encode())

    return respond
