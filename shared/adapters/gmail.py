"""Gmail's side of a sync: its HTTP, its tokens, and its protocol set up from the settings and the account's fields.

A batch is one HTTP request to `{GMAIL_API_URL}/batch/gmail/v1`; the outer Authorization serves all its parts.
"""

import asyncio
import math
from collections.abc import Generator, Mapping
from functools import partial

import orjson

from shared.adapters import google_auth
from shared.adapters.access import Access, Refreshed
from shared.adapters.attempts import attempted
from shared.adapters.http_client import HttpClient
from shared.adapters.oauth import REFRESH_PATIENCE_S
from shared.config import Settings
from shared.core.errors import ContractBroken, ProviderDown
from shared.core.message import Folder
from shared.core.quota import PRICES, Governor, Window
from shared.protocol.gmail import beginning, history, labels, message, refusal
from shared.protocol.gmail import stream as protocol
from shared.protocol.gmail import watch as watching
from shared.protocol.gmail.cursor import Cursor, Judged, decode, encode
from shared.protocol.gmail.known import LabelTable
from shared.protocol.gmail.message import Reading
from shared.protocol.gmail.reading import GmailReading
from shared.protocol.wire import Request, Response
from shared.sync.ports import Begun, Clock

BODY_BYTES_MAX = 64 * 1024 * 1024  # 100 parts of a full message with large headers; attachments are not in it
PROFILE_TIMEOUT_S = 10.0


class GmailTransport:
    """One mailbox's requests, with the count of an invocation."""

    def __init__(self, http: HttpClient, origin: str, access: Access) -> None:
        self._http = http.counted()
        self._origin = origin
        self._access = access
        self._token = ""

    @property
    def requests(self) -> int:
        return self._http.requests

    async def send(self, request: Request, *, timeout_s: float) -> Response:
        """Waiting for a token counts into the time-out, so that the request still ends before the lease."""
        ends_s = asyncio.get_running_loop().time() + timeout_s
        self._token = await self._access.token()
        left_s = ends_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise ProviderDown("no time is left for another request")
        return await self._http.send(
            self._origin,
            request,
            headers={"authorization": f"Bearer {self._token}"},
            timeout_s=left_s,
            body_bytes_max=BODY_BYTES_MAX,
        )

    async def settle(self) -> float:
        return 0.0

    async def refresh(self) -> None:
        await self._access.refused(self._token)


def _labels(fields: Mapping[str, str]) -> LabelTable:
    return LabelTable(orjson.loads(fields.get("labels", "[]")))


class Gmail:
    name = "gmail"
    lapsing_s = watching.LAPSING_S
    readers_alone = False

    def __init__(self, settings: Settings, http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self.prices = PRICES[settings.gmail_quota]
        self.governor: Governor | None = Governor.per_minute(settings.gmail_units_per_minute)
        self.cache_tag = f"{settings.gmail_format[0]}{settings.body_bytes_max}"
        self.reading_tag = f"r{settings.body_bytes_max}"

    async def refresh(self, refresh_token: str, *, deadline_s: float = math.inf) -> Refreshed:
        ask = partial(google_auth.refresh, self._settings, refresh_token, self._http)
        ends_s = min(deadline_s, self._clock.now_s() + REFRESH_PATIENCE_S)
        found = await attempted(ask, self._settings, self._clock, ends_s)
        return Refreshed(found.token, found.expires_at_s, found.refresh_token)

    async def revoke(self, refresh_token: str) -> None:
        await google_auth.revoke(self._settings, refresh_token, self._http)

    async def profile(self, access_token: str) -> tuple[str, int]:
        """The mailbox's address and its current history id; tried again like any call, without a lease."""
        ends_s = self._clock.now_s() + PROFILE_TIMEOUT_S
        return await attempted(partial(self._profile, access_token), self._settings, self._clock, ends_s)

    async def _profile(self, access_token: str) -> tuple[str, int]:
        response = await self._http.send(
            self._settings.gmail_api_url,
            history.profile_request(self.prices),
            headers={"authorization": f"Bearer {access_token}"},
            timeout_s=PROFILE_TIMEOUT_S,
            body_bytes_max=BODY_BYTES_MAX,
        )
        refusal.read(response, self._clock.now_s()).raise_unless_ok()
        return history.receive_profile(response)

    def watch(self, account_id: str, fields: Mapping[str, str]) -> watching.Plan | None:
        topic = self._settings.gmail_pubsub_topic
        if topic is None or not self._settings.push_configured:
            return None
        return watching.begin(topic, self.prices, self._clock.now_s())

    def unwatch(self, fields: Mapping[str, str]) -> Generator[Request, Response, None] | None:
        return watching.end(self.prices) if "watch_until_s" in fields else None

    def first_cursor(self, history_id: int, snapshot_id: str) -> str:
        wanted = self._settings.initial_sync_messages
        return encode(beginning.first(history_id, wanted, self._clock.now_s(), snapshot_id))

    def transport(self, access: Access, *, for_readers: bool = False) -> GmailTransport:
        return GmailTransport(self._http, self._settings.gmail_api_url, access)

    def stream(self, fields: Mapping[str, str]) -> protocol.GmailStream:
        settings = self._settings
        reading = Reading(settings.gmail_fields, settings.gmail_format, settings.body_bytes_max)
        return protocol.GmailStream(self.prices, reading, _labels(fields), settings.gmail_batch_size)

    def reading(self, fields: Mapping[str, str], *, in_turn: bool = False) -> GmailReading:
        """What is needed of a message is all that is asked for, whatever GMAIL_FIELDS and GMAIL_FORMAT say."""
        settings = self._settings
        reading = Reading("id", message.FULL, settings.body_bytes_max, for_readers=True)
        return GmailReading(self.prices, reading, _labels(fields), settings.gmail_batch_size)

    def folders(self, fields: Mapping[str, str]) -> Generator[Request, Response, list[Folder]]:
        """A sync learns the labels' ids only."""
        return labels.parse((yield labels.request(self.prices)))

    def cursor(self, begun: Begun, opened: protocol.GmailStream) -> Cursor:
        """Where the mailbox's reading stands; lists again where state was lost or a person asked for it."""
        asked = begun.fields.get("asked", "")
        try:
            cursor = decode(begun.fields.get("cursor", ""))
        except ContractBroken:
            cursor = beginning.lost(self._settings.initial_sync_messages, float(begun.fields["created_s"]))
        if self._clock.now_s() - float(begun.fields["created_s"]) > self._settings.cache_sync_token_ttl:
            cursor = beginning.distrusted(cursor)
        if begun.lost in ("index", "log"):
            return opened.restarted(cursor, f"{begun.lost}_lost", content=True, snapshot_id=begun.fence)
        if asked:
            content = asked.startswith("content")
            return opened.restarted(cursor, "asked_for", content=content, snapshot_id=begun.fence)
        return cursor

    def window(self, fields: Mapping[str, str]) -> Window:
        settings = self._settings
        limit = settings.gmail_batch_size * settings.gmail_max_concurrent_batches
        size, _, cap = fields.get("window", f"{settings.gmail_batch_size},{limit}").partition(",")
        return Window(min(int(size), limit), min(int(cap), limit), limit).questioned()

    def progress(self, fields: Mapping[str, str]) -> dict[str, str] | None:
        """What a running backfill does, as a person is told; None where there is none."""
        at = decode(fields["cursor"]).backfill if "cursor" in fields else None
        if at is None:
            return None
        job = at.listing.job if isinstance(at, Judged) else at.job
        return {"phase": type(at).__name__.lower(), "origin": job.origin}
