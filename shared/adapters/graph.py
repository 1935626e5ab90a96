"""Graph's side of a sync: its HTTP, its tokens, and its protocol set up from the settings and the account's fields.

    in flight     a mailbox takes 4 requests at a time, a batch counts its parts: the lease holder has two, or one batch
    page size     halved after a 504 or a time-out, down to 5 the second time in a row; doubled after 10 fine pages
    403 denied    asked once more with nothing else in flight, before it is believed (a burst is refused like that)
    every call    client-request-id; Prefer as the protocol wrote it; no redirects, `Location` is not looked at

What is stored as the account's "refresh token" is msal's whole token cache, once there is one: it starts with "{".

Source: https://learn.microsoft.com/en-us/graph/throttling-limits#outlook-service-limits; facts/graph.md A2
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson

from shared.adapters import microsoft_auth
from shared.adapters.access import Access, Refreshed
from shared.adapters.http_client import HttpClient
from shared.config import Settings
from shared.core import backoff
from shared.core.errors import ContractBroken, ProviderDown, RetryLater
from shared.core.message import instant
from shared.core.quota import Governor, Window
from shared.protocol.graph import batch, delta, refusal
from shared.protocol.graph.chains import PIN_S, Mailbox
from shared.protocol.graph.cursor import READING, Cursor, decode, encode, first, lost, resumed
from shared.protocol.graph.debts import Debts
from shared.protocol.graph.delta import Asking
from shared.protocol.graph.folders import FolderTable
from shared.protocol.graph.known import Prefixes
from shared.protocol.graph.message import Reading
from shared.protocol.graph.stream import GraphStream
from shared.protocol.status import Kind
from shared.protocol.wire import Request, Response
from shared.sync.ports import Begun, Clock

BODY_BYTES_MAX = 64 * 1024 * 1024
PROFILE_TIMEOUT_S = 10.0
IN_FLIGHT_MAX = 2  # of a mailbox's four: one more is for readers and renewals, one for what others do (facts A2)
PAGE_SIZE_MIN = 5
FINE_PAGES = 10
PINS_MAX = 1000
SIZE = re.compile(r"odata\.maxpagesize=\d+")


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


class GraphTransport:
    """One mailbox's requests, with the count of an invocation."""

    def __init__(self, http: HttpClient, settings: Settings, access: Access) -> None:
        self._http = http.counted()
        self._origin = settings.graph_api_url
        self._access = access
        self._token = ""
        self._in_flight = InFlight(min(IN_FLIGHT_MAX, settings.outlook_max_parallel_pages))
        self._page_size = PageSize(settings.outlook_page_size)

    @property
    def requests(self) -> int:
        return self._http.requests

    async def send(self, request: Request, *, timeout_s: float) -> Response:
        """Waiting for a permit counts into the time-out, so that the request still ends before the lease."""
        ends_s = asyncio.get_running_loop().time() + timeout_s
        alone = request.path == batch.PATH
        everything = self._in_flight.permits
        response = await self._send(request, everything if alone else 1, ends_s)
        if not alone and refusal.is_burst(response):
            response = await self._send(request, everything, ends_s)
        return response

    async def _send(self, request: Request, permits: int, ends_s: float) -> Response:
        self._token = await self._access.token()
        paged = "$batch" not in request.path
        async with self._in_flight.take(permits):
            left_s = ends_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise ProviderDown("no time is left for another request")
            try:
                response = await _exchange(self._http, self._origin, self._page_size.put(request), self._token, left_s)
            except ProviderDown:
                if paged:
                    self._page_size.failed()
                raise
        if paged and response.status == 504:
            self._page_size.failed()
        elif paged and response.status == 200:
            self._page_size.worked()
        return response

    async def refresh(self) -> None:
        await self._access.refused(self._token)


class Graph:
    name = "outlook"
    governor: Governor | None = None

    def __init__(self, settings: Settings, http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._reading = Reading(settings.outlook_body, settings.body_bytes_max)
        self.cache_tag = f"{settings.outlook_body[0]}{settings.body_bytes_max}"

    async def refresh(self, refresh_token: str) -> Refreshed:
        """With msal's cache, or with a bare refresh token at first; asked for when the access token is of no use."""
        blob = refresh_token if refresh_token.startswith("{") else None
        bare = None if blob else refresh_token
        found = await microsoft_auth.acquire(self._settings, blob, bare, self._http, force_refresh=True)
        return Refreshed(found.token, found.expires_at_s, found.cache_blob if found.changed else None)

    async def revoke(self, refresh_token: str) -> None:
        """Microsoft has no endpoint for it: the person takes the permission back in their account."""

    async def profile(self, access_token: str) -> tuple[str, tuple[str, ...]]:
        """The mailbox's address; where only what arrives from now on is wanted, the ids of what has just arrived."""
        me = await self._ask(Request("GET", delta.ROOT, (("$select", "id,mail,userPrincipalName"),)), access_token)
        address = me.get("mail") or me.get("userPrincipalName")
        if not isinstance(address, str):
            raise ContractBroken("the profile has no address")
        return address, await self._just_arrived(access_token) if self._settings.initial_sync_messages == 0 else ()

    async def _just_arrived(self, access_token: str) -> tuple[str, ...]:
        """Graph has no "from now on" for mail, and its times are whole seconds: what is here is told by its id."""
        query = (
            ("$select", "id,receivedDateTime"),
            ("$filter", f"receivedDateTime ge {instant(self._clock.now_s() - PIN_S)}"),
            ("$orderby", delta.NEWEST_FIRST),
            ("$top", str(PINS_MAX)),
        )
        request = Request("GET", f"{delta.ROOT}/messages", query, {"prefer": 'IdType="ImmutableId"'})
        rows = (await self._ask(request, access_token)).get("value")
        if not isinstance(rows, list):
            raise ContractBroken("a page has no rows")
        return tuple(row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str))

    async def _ask(self, request: Request, access_token: str) -> dict[str, object]:
        """Tried again like any call, without a lease."""
        attempts = self._settings.max_retries
        for attempt in range(attempts):
            response = await _exchange(
                self._http, self._settings.graph_api_url, request, access_token, PROFILE_TIMEOUT_S
            )
            status = refusal.read(response, self._clock.now_s())
            if status.kind is Kind.OK:
                return _object(response)
            if status.kind not in (Kind.THROTTLED, Kind.DOWN) or attempt + 1 == attempts:
                status.raise_unless_ok()
            factor, random = self._settings.rate_limit_backoff_factor, self._clock.random()
            wait_s = backoff.wait_s(attempt, factor, random, status.retry_after_s)
            if wait_s > PROFILE_TIMEOUT_S:
                raise RetryLater("the provider asks for a long wait", wait_s)
            await self._clock.sleep(wait_s)
        raise ProviderDown("the profile could not be read")

    def first_cursor(self, pins: tuple[str, ...], snapshot_id: str) -> str:
        wanted = self._settings.initial_sync_messages
        return encode(first(wanted, self._clock.now_s(), pins, snapshot_id))

    def transport(self, access: Access) -> GraphTransport:
        return GraphTransport(self._http, self._settings, access)

    def stream(self, fields: Mapping[str, str]) -> GraphStream:
        settings = self._settings
        asking = Asking(settings.graph_api_url, settings.outlook_page_size, self._reading)
        folders = FolderTable(fields.get("folders"), settings.outlook_folders)
        prefixes = Prefixes(orjson.loads(fields.get("ids", "[]")))
        return GraphStream(Mailbox(asking, folders, prefixes, Debts(fields.get("debts"))))

    def cursor(self, begun: Begun, opened: GraphStream) -> Cursor:
        """Where the mailbox's reading stands; walks again where state was lost or a person asked for it."""
        asked = begun.fields.get("asked", "")
        if begun.lost == "cursor":
            return lost(self._settings.initial_sync_messages, self._clock.now_s(), "cursor_lost")
        cursor = opened.reconciled(resumed(decode(begun.fields["cursor"])))
        if begun.lost:
            return opened.restarted(cursor, f"{begun.lost}_lost", content=True, snapshot_id=begun.fence)
        if asked:
            content = asked.startswith("content")
            return opened.restarted(cursor, "asked_for", content=content, snapshot_id=begun.fence)
        return cursor

    def window(self, fields: Mapping[str, str]) -> Window:
        """Parts of one batch: there is one at a time."""
        limit = batch.PARTS_MAX
        size, _, cap = fields.get("window", f"{limit},{limit}").partition(",")
        return Window(min(int(size), limit), min(int(cap), limit), limit).questioned()

    def progress(self, fields: Mapping[str, str]) -> dict[str, str] | None:
        """What a running walk does, as a person is told; None where there is none."""
        at = decode(fields["cursor"]) if "cursor" in fields else None
        if at is None or not (at.folders.walks or at.walking() or at.sweeps or at.job):
            return None
        if at.job is not None and at.job.phase != READING:
            return {"phase": at.job.phase, "origin": "resync"}
        walking = at.walking()
        origin = walking[0].origin if walking else at.folders.origin or "resync"
        return {"phase": "walking" if walking or at.folders.walks else "sweeping", "origin": origin}


async def _exchange(http: HttpClient, origin: str, request: Request, token: str, timeout_s: float) -> Response:
    headers = {"authorization": f"Bearer {token}", "client-request-id": str(uuid.uuid4())}
    return await http.send(origin, request, headers=headers, timeout_s=timeout_s, body_bytes_max=BODY_BYTES_MAX)


def _object(response: Response) -> dict[str, object]:
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise ContractBroken("an answer is no JSON object")
    return value
