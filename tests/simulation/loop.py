"""An event loop of virtual time: nothing waits, no thread, no socket; the same seed runs the same way.

Ready callbacks run in the order in which they became ready; who sleeps is woken in the order of time. So an order is
decided by nothing but the latencies that the seed deals out.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


STEPS_MAX = 400_000  # a seed takes some ten thousand


class Stuck(Exception):
    """Nobody is ready and nobody sleeps, or no end is in sight, and the end is not reached."""


class VirtualLoop(asyncio.AbstractEventLoop):
    def __init__(self) -> None:
        self.now_s = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.resolve: Callable[[str], Awaitable[Sequence[str]]] = _nowhere

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            ready, timers = self._ready, self._timers
            for _ in range(STEPS_MAX):
                if task.done():
                    result: Result = task.result()
                    return result
                if not ready:
                    if not timers:
                        raise Stuck
                    self.now_s, _, timer = heapq.heappop(timers)
                    if timer.cancelled():
                        continue
                    ready.append(timer)
                handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()
            raise Stuck
        finally:
            asyncio._set_running_loop(None)
            self._close()

    def _close(self) -> None:
        """What is left waits for ever: it is closed here, so that nothing of it is left to the garbage collector."""
        for task in self._tasks:
            if not task.done():
                with suppress(BaseException):
                    task.get_coro().close()
        self._tasks.clear()

    async def getaddrinfo(  # type: ignore[override]
        self, host: str, port: int, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [(family, type, proto, "", (address, port)) for address in await self.resolve(host)]

    def raised(self, kind: type[BaseException]) -> BaseException | None:
        """By a task that nobody asked for its result."""
        ended = (task.exception() for task in self._tasks if task.done() and not task.cancelled())
        return next((error for error in ended if isinstance(error, kind)), None)

    async def wait(self, seconds: float) -> None:
        future = self.create_future()
        self.call_at(self.now_s + seconds, _wake, future)
        await future

    # --- what asyncio asks of a loop

    def time(self) -> float:
        return self.now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(max(when, self.now_s), callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (max(when, self.now_s), self._number, timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Killed instances leave tasks that nobody asks for their result any more."""


async def _nowhere(host: str) -> Sequence[str]:
    raise OSError(f"{host} has no address here")


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
