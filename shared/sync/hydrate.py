"""Reads messages in batches, so many parts in flight as the mailbox bears, and retries the failed parts alone.

    part                          what happens
    2xx, 404                      read, gone: done
    throttled                     again, after what is left; a pause where the provider names one or nothing else
                                  is left; never counts as a failed attempt. Refused for concurrency (not for
                                  quota, 403): the window halves
    401                           the access token is refreshed once, again
    5xx, missing, unreadable      again, up to MAX_RETRIES attempts and while there is time, then Failed: the caller
                                  parks it
    refused (400, …)              Failed at once
    a thread's part failed        its messages one by one

Parts are matched by their key (Content-ID), never by their place. What was read before an error is returned with it.

When the budget is spent, what is left is not tried (BudgetSpent), once a message was read whole: that one is appended,
and its index entry keeps it from being read again, so each invocation leaves the next one less. A read that comes to
nothing leaves no trace, and would be all that any invocation gets to.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shared.core.errors import AuthorizationLost, BudgetSpent, RetryLater, TidemarkError
from shared.core.quota import Window
from shared.protocol.status import Kind, Status
from shared.protocol.step import Failed, Fetched, Gone, Want
from shared.protocol.wire import Request, Response
from shared.sync.calls import Calls
from shared.sync.ports import Clock, Stream

FORBIDDEN = 403

Part = tuple[str, tuple[Want, ...], Request]


@dataclass(slots=True)
class Read:
    """What was read, by message id; `error` is why the rest was not."""

    results: dict[str, Fetched | Gone | Failed] = field(default_factory=dict)
    error: TidemarkError | None = None


@dataclass(slots=True)
class _Wave:
    """What one wave of parts came to: what goes on, what was refused, and the most attempts that a part has failed."""

    again: list[Want] = field(default_factory=list)
    refused: int = 0
    refusal: Status | None = None
    expired: bool = False
    progress: bool = False
    whole: bool = False
    failed: int = 0

    def must_wait(self, queue: Sequence[Want]) -> bool:
        """Whether all wait for the refused parts: else these come last, and the rest goes on in the smaller window."""
        assert self.refusal is not None
        told = bool(self.refusal.retry_after_s) or self.refusal.http == FORBIDDEN
        return told or not self.progress or len(queue) == len(self.again)


class Hydrator:
    """One per invocation; `window` is remembered per mailbox."""

    def __init__(self, calls: Calls, stream: Stream, clock: Clock, window: Window) -> None:
        self._calls = calls
        self._stream = stream
        self._clock = clock
        self.window = window
        self._attempts: Counter[str] = Counter()

    async def read(self, wants: Sequence[Want]) -> Read:
        read = Read()
        queue = list(wants)
        refusals = 0
        whole = False
        try:
            while queue:
                parts = [(key, *part) for key, part in self._stream.parts(queue).items()]
                size = self._wave_size(parts)
                parts = parts[:size]
                taken = {want.message_id for _, of, _ in parts for want in of}
                refreshes = self._calls.refreshes
                wave = await self._wave(parts, read)
                queue = [want for want in queue if want.message_id not in taken] + wave.again
                if read.error:
                    break
                if wave.expired:
                    await self._calls.refresh(refreshes)
                refusals = 0 if wave.progress else refusals + 1
                if wave.refused:
                    self.window = self.window.refused(len(parts), wave.refused)
                if wave.refusal and wave.must_wait(queue):
                    last = refusals > self._calls.limits.attempts
                    await self._calls.sit_out(refusals, wave.refusal, last=last)
                elif wave.failed and len(queue) == len(wave.again):
                    await self._calls.back_off(wave.failed)
                elif len(parts) == size and not wave.refusal:
                    self.window = self.window.grown()
                whole = whole or wave.whole
                if queue and whole and self._calls.late(0.0):
                    raise BudgetSpent("the time of this invocation is spent")
        except TidemarkError as error:
            read.error = error
        return read

    def _wave_size(self, parts: Sequence[Part]) -> int:
        """As many parts as the window takes, in whole batches, and as the governor can let through at once."""
        size = self.window.size
        if self._stream.parts_max < size < len(parts):
            size -= size % self._stream.parts_max
        governor = self._calls.governor
        if governor:
            units = 0
            for n, (_, _, request) in enumerate(parts[:size]):
                units += request.units
                if units > governor.burst:
                    return max(1, n)
        return size

    async def _wave(self, parts: Sequence[Part], read: Read) -> _Wave:
        size = self._stream.parts_max
        batches = [parts[i : i + size] for i in range(0, len(parts), size)]
        answers = await asyncio.gather(*(self._batch(batch) for batch in batches), return_exceptions=True)
        wave = _Wave()
        for batch, answer in zip(batches, answers, strict=True):
            if isinstance(answer, BaseException):
                if not isinstance(answer, TidemarkError):
                    raise answer
                read.error = _graver(read.error, answer)
                continue
            for key, of, _ in batch:
                self._settle(key, of, answer.get(key), read, wave)
        return wave

    async def _batch(self, parts: Sequence[Part]) -> dict[str, Response]:
        request = self._stream.batch([(key, request) for key, _, request in parts], self._clock.token())
        return dict(self._stream.split(await self._calls.ask(request)))

    def _settle(self, key: str, of: tuple[Want, ...], response: Response | None, read: Read, wave: _Wave) -> None:
        """One part's answer: into the results, or once more."""
        if response is None:
            status: Status = Status(Kind.DOWN, 0)
            results: dict[str, Fetched | Gone | Failed | None] = {}
        else:
            status, results = self._stream.part(key, of, response, self._clock.now_s())
        if status.kind is Kind.FORBIDDEN:
            raise AuthorizationLost(status.reason or "forbidden")
        if status.kind is Kind.THROTTLED:
            wave.refused += status.http != FORBIDDEN
            wave.refusal = _longer(wave.refusal, status)
            wave.again += of
            return
        if status.kind is Kind.EXPIRED:
            wave.expired = True
            wave.again += of
            return
        wave.progress = True
        for want in of:
            result = results.get(want.message_id)
            if isinstance(result, Fetched | Gone):
                read.results[want.message_id] = result
                wave.whole = wave.whole or (want.content and isinstance(result, Fetched))
            elif len(of) > 1:  # a thread
                wave.again.append(replace(want, alone=True))
            else:
                self._failed(want, status, result or Failed("missing", counts=True), read, wave)

    def _failed(self, want: Want, status: Status, result: Failed, read: Read, wave: _Wave) -> None:
        self._attempts[want.message_id] += 1
        spent = self._attempts[want.message_id] >= self._calls.limits.attempts or self._calls.late(0.0)
        if status.kind is Kind.REFUSED or spent:
            read.results[want.message_id] = result
        else:
            wave.failed = max(wave.failed, self._attempts[want.message_id])
            wave.again.append(want)

    def attempts(self, message_id: str) -> int:
        return self._attempts[message_id]


def _longer(one: Status | None, other: Status) -> Status:
    return other if one is None or (other.retry_after_s or 0) > (one.retry_after_s or 0) else one


def _graver(one: TidemarkError | None, other: TidemarkError) -> TidemarkError:
    """Of two batches' errors the one that must not be tried again soon."""
    return other if one is None or isinstance(one, RetryLater) else one
