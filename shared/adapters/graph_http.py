"""A mailbox's requests to Graph: how many at once, how large a page, and the next page before it is asked for.

    in flight     a mailbox takes 4 requests at a time, a batch counts its parts: the lease holder has two, or one batch
    next page     fetched as soon as a page names it, while that page is being stored; it takes a permit like any other
    page size     halved after a 504 or a time-out, down to 5 the second time in a row; doubled after 10 fine pages
    403 denied    asked once more with nothing else in flight, before it is believed (a burst is refused like that);
                  a batch is a burst itself: instead of it the inbox is asked for, and if that is fine, it was too much
    refused       nothing is sent before the time that the mailbox was told, whichever of its requests was told
    every call    client-request-id; Prefer as the protocol wrote it; no redirects, `Location` is not looked at

Before the lease is let go, what is still fetched ahead is waited for (`settle`): else it would run beside the next
holder's requests, and what it was told to wait for would reach nobody.

A page fetched ahead is used only if it came well and is asked for next, word for word: else it is as if it had not been
asked for. If the process dies meanwhile, the link before it is still alive: three generations are.

Source: https://learn.microsoft.com/en-us/graph/throttling-limits#outlook-service-limits; facts/graph.md A2
"""

import asyncio
import math
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from shared.adapters.access import Access
from shared.adapters.http_client import HttpClient
from shared.config import Settings
from shared.core.errors import ProviderDown, TidemarkError
from shared.protocol.graph import batch, refusal
from shared.protocol.graph.delta import ROOT
from shared.protocol.status import Kind
from shared.protocol.wire import Request, Response
from shared.sync.ports import Clock

BODY_BYTES_MAX = 64 * 1024 * 1024
IN_FLIGHT_MAX = 2  # of a mailbox's four: one more is for readers, one for what others do (facts A2)
READERS = 1  # in flight, of all readers: who has the permit (sync/reading.py)
PAGE_SIZE_MIN = 5
FINE_PAGES = 10
SIZE = re.compile(r"odata\.maxpagesize=\d+")
ONE_READ = Request("GET", f"{ROOT}/mailFolders/inbox", (("$select", "id"),))
NEXT_LINK = re.compile(rb'"@odata\.nextLink":"([^"\\]+)"')


class InFlight:
    """Permits of one mailbox; a batch takes all of them."""

    def __init__(self, permits: int) -> None:
        self.permits = permits
        self._free = permits
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, permits: int) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= permits)
            self._free -= permits
        try:
            yield
        finally:
            self._free += permits
            async with self._changed:
                self._changed.notify_all()


class PageSize:
    """How many rows a page is asked for. Few attempts are left after a second failure, hence the smallest size then."""

    def __init__(self, wanted: int) -> None:
        self._wanted = self.size = wanted
        self._failures = 0
        self._fine = 0

    def failed(self) -> None:
        self._failures += 1
        self._fine = 0
        least = min(PAGE_SIZE_MIN, self._wanted)
        self.size = max(least, self.size // 2) if self._failures == 1 else least

    def worked(self) -> None:
        self._failures = 0
        self._fine += 1
        if self._fine >= FINE_PAGES:
            self._fine = 0
            self.size = min(self._wanted, self.size * 2)

    def put(self, request: Request) -> Request:
        prefer = request.headers.get("prefer")
        if prefer is None:
            return request
        return replace(
            request, headers={**request.headers, "prefer": SIZE.sub(f"odata.maxpagesize={self.size}", prefer)}
        )


class Refusal:
    """What the mailbox was told to wait for, whoever was told: pages fetched ahead, and chains side by side.

    `now_s` is the time of day: a refusal may name one.
    """

    def __init__(self) -> None:
        self._response = Response(429, {}, b"")
        self._until_s = 0.0

    def note(self, response: Response, now_s: float) -> None:
        status = refusal.read(response, now_s)
        wait_s = status.retry_after_s if status.kind in (Kind.THROTTLED, Kind.DOWN) else None
        if wait_s and now_s + wait_s > self._until_s:
            self._response, self._until_s = response, now_s + wait_s

    def still(self, now_s: float) -> Response | None:
        """The refusal once more, with what is left of its time: nothing is sent."""
        left_s = math.ceil(self.left_s(now_s))
        if not left_s:
            return None
        return replace(self._response, headers={**self._response.headers, "retry-after": str(left_s)})

    def left_s(self, now_s: float) -> float:
        return max(0.0, self._until_s - now_s)


class GraphTransport:
    """One mailbox's requests, with the count of an invocation."""

    def __init__(self, http: HttpClient, settings: Settings, access: Access, clock: Clock, permits: int) -> None:
        self._http = http.counted()
        self._origin = settings.graph_api_url
        self._access = access
        self._clock = clock
        self._token = ""
        self._in_flight = InFlight(min(permits, settings.outlook_max_parallel_pages))
        self._page_size = PageSize(settings.outlook_page_size)
        self._ahead: dict[str, tuple[Request, asyncio.Task[Response]]] = {}
        self._refusal = Refusal()

    @property
    def requests(self) -> int:
        return self._http.requests

    async def send(self, request: Request, *, timeout_s: float) -> Response:
        """Waiting for a permit counts into the time-out, so that the request still ends before the lease."""
        ends_s = asyncio.get_running_loop().time() + timeout_s
        response = await self._fetched(request)
        if response is None:
            alone = request.path == batch.PATH
            everything = self._in_flight.permits
            response = await self._send(request, everything if alone else 1, ends_s)
            if refusal.is_burst(response):
                again = await self._send(ONE_READ if alone else request, everything, ends_s)
                response = replace(response, status=429) if alone and not refusal.is_burst(again) else again
        self._fetch_next(request, response, ends_s)
        return response

    async def _fetched(self, request: Request) -> Response | None:
        """The page, if it was fetched ahead and came well."""
        ahead = self._ahead.pop(request.path, None)
        if ahead is None:
            return None
        asked, task = ahead
        try:
            response = await task
        except TidemarkError:
            return None
        return response if response.status == 200 and asked == request else None

    def _fetch_next(self, request: Request, response: Response, ends_s: float) -> None:
        """With one permit there is nothing to fetch beside; a batch would have to wait for it."""
        found = NEXT_LINK.search(response.body) if response.status == 200 and request.path != batch.PATH else None
        link = found[1].decode("ascii", "replace") if found else ""
        paged = SIZE.search(request.headers.get("prefer", ""))
        elsewhere = not link.startswith(f"{self._origin}/v1.0/") or link == request.path
        if not paged or elsewhere or self._in_flight.permits < IN_FLIGHT_MAX:
            return
        following = Request("GET", link, headers=request.headers)
        task = asyncio.create_task(self._send(following, 1, ends_s))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may never be asked for
        self._ahead[link] = (following, task)

    async def _send(self, request: Request, permits: int, ends_s: float) -> Response:
        self._token = await self._access.token()
        paged = "$batch" not in request.path
        async with self._in_flight.take(permits):
            left_s = ends_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise ProviderDown("no time is left for another request")
            if refused := self._refusal.still(self._clock.now_s()):
                return refused
            try:
                response = await exchange(self._http, self._origin, self._page_size.put(request), self._token, left_s)
            except ProviderDown:
                if paged:
                    self._page_size.failed()
                raise
        self._refusal.note(response, self._clock.now_s())
        if paged and response.status == 504:
            self._page_size.failed()
        elif paged and response.status == 200:
            self._page_size.worked()
        return response

    async def settle(self) -> float:
        await asyncio.gather(*(task for _, task in self._ahead.values()), return_exceptions=True)
        self._ahead.clear()
        return self._refusal.left_s(self._clock.now_s())

    async def refresh(self) -> None:
        await self._access.refused(self._token)


async def exchange(http: HttpClient, origin: str, request: Request, token: str, timeout_s: float) -> Response:
    headers = {"authorization": f"Bearer {token}", "client-request-id": str(uuid.uuid4())}
    return await http.send(origin, request, headers=headers, timeout_s=timeout_s, body_bytes_max=BODY_BYTES_MAX)
