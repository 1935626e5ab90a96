"""Graph's side of a sync: its tokens, and its protocol set up from the settings and the account's fields.

What is stored as the account's "refresh token" is msal's whole token cache, once there is one: it starts with "{".
The HTTP of a mailbox is in graph_http.py.

Source: https://learn.microsoft.com/en-us/graph/api/user-get
"""

import math
import secrets
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial

import orjson

from shared.adapters import microsoft_auth
from shared.adapters.access import Access, Refreshed
from shared.adapters.attempts import attempted
from shared.adapters.client_state import client_state_keys
from shared.adapters.graph_http import IN_FLIGHT_MAX, READERS, GraphTransport, exchange
from shared.adapters.http_client import HttpClient
from shared.adapters.oauth import REFRESH_PATIENCE_S
from shared.config import Settings
from shared.core.errors import ContractBroken
from shared.core.message import Folder, instant
from shared.core.quota import Governor, Window
from shared.protocol.graph import batch, delta, refusal, subscription
from shared.protocol.graph.chains import PIN_S, Mailbox
from shared.protocol.graph.cursor import READING, Cursor, decode, encode, first, lost, resumed
from shared.protocol.graph.debts import Debts
from shared.protocol.graph.delta import Asking
from shared.protocol.graph.folders import FolderTable
from shared.protocol.graph.known import Prefixes
from shared.protocol.graph.message import Reading
from shared.protocol.graph.notification import client_state
from shared.protocol.graph.reading import GraphReading
from shared.protocol.graph.stream import GraphStream
from shared.protocol.wire import Request, Response
from shared.sync.ports import Begun, Clock

PROFILE_TIMEOUT_S = 10.0
PINS_MAX = 1000


class Graph:
    name = "outlook"
    lapsing_s = subscription.LAPSING_S
    governor: Governor | None = None
    readers_alone = True

    def __init__(self, settings: Settings, http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._reading = Reading(settings.outlook_body, settings.body_bytes_max)
        self.cache_tag = f"{settings.outlook_body[0]}{settings.body_bytes_max}"
        self.reading_tag = f"r{self.cache_tag}"

    async def refresh(self, refresh_token: str, *, deadline_s: float = math.inf) -> Refreshed:
        """With msal's cache, or with a bare refresh token at first; asked for when the access token is of no use."""
        blob = refresh_token if refresh_token.startswith("{") else None
        bare = None if blob else refresh_token
        ask = partial(microsoft_auth.acquire, self._settings, blob, bare, self._http, force_refresh=True)
        ends_s = min(deadline_s, self._clock.now_s() + REFRESH_PATIENCE_S)
        found = await attempted(ask, self._settings, self._clock, ends_s)
        return Refreshed(found.token, found.expires_at_s, found.cache_blob if found.changed else None)

    async def revoke(self, refresh_token: str) -> None:
        """Microsoft has no endpoint for it: the person takes the permission back in their account."""

    async def profile(self, access_token: str) -> tuple[str, tuple[str, ...]]:
        """The mailbox's address; where only what arrives from now on is wanted, the ids of what has just arrived."""
        me = await self._ask(Request("GET", delta.ROOT, (("$select", "id,mail,userPrincipalName"),)), access_token)
        named = (me.get(name) for name in ("mail", "userPrincipalName"))  # an account without Exchange mail has no mail
        address = next((text for text in named if isinstance(text, str) and text), None)
        if address is None:
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
        ends_s = self._clock.now_s() + PROFILE_TIMEOUT_S
        return await attempted(partial(self._asked, request, access_token), self._settings, self._clock, ends_s)

    async def _asked(self, request: Request, access_token: str) -> dict[str, object]:
        origin = self._settings.graph_api_url
        response = await exchange(self._http, origin, request, access_token, PROFILE_TIMEOUT_S)
        refusal.read(response, self._clock.now_s()).raise_unless_ok()
        return _object(response)

    def first_cursor(self, pins: tuple[str, ...], snapshot_id: str) -> str:
        wanted = self._settings.initial_sync_messages
        return encode(first(wanted, self._clock.now_s(), pins, snapshot_id))

    def watch(self, account_id: str, fields: Mapping[str, str]) -> subscription.Plan | None:
        """The subscription, renewed or made anew: with a new client state, which only the newest key makes."""
        public_url = self._settings.public_url
        if public_url is None:
            return None
        key = client_state_keys(self._settings.token_encryption_keys)[0]
        state = client_state(key, account_id, secrets.token_urlsafe(12))
        minutes_max = int(fields.get("watch_minutes_max", subscription.MINUTES_MAX))
        wanted = subscription.Wanted(f"{public_url}/push-webhook/outlook", state, minutes_max)
        known = "" if fields.get("watch_ask") == "recreate" else fields.get("watch_id", "")
        return subscription.keep(wanted, known, self._clock.now_s())

    def unwatch(self, fields: Mapping[str, str]) -> Generator[Request, Response, None] | None:
        return subscription.end(fields["watch_id"]) if fields.get("watch_id") else None

    def transport(self, access: Access, *, for_readers: bool = False) -> GraphTransport:
        permits = READERS if for_readers else IN_FLIGHT_MAX
        return GraphTransport(self._http, self._settings, access, self._clock, permits)

    def stream(self, fields: Mapping[str, str]) -> GraphStream:
        return GraphStream(self._mailbox(fields, self._reading))

    def reading(self, fields: Mapping[str, str], *, in_turn: bool = False) -> GraphReading:
        return GraphReading(self._mailbox(fields, replace(self._reading, for_readers=True)), in_turn=in_turn)

    def _mailbox(self, fields: Mapping[str, str], reading: Reading) -> Mailbox:
        settings = self._settings
        asking = Asking(settings.graph_api_url, settings.outlook_page_size, reading)
        folders = FolderTable(fields.get("folders"), settings.outlook_folders)
        prefixes = Prefixes(orjson.loads(fields.get("ids", "[]")))
        return Mailbox(asking, folders, prefixes, Debts(fields.get("debts")))

    def folders(self, fields: Mapping[str, str]) -> Generator[Request, Response, list[Folder]]:
        """As the folder chain has told them; none before the first sync."""
        yield from ()
        return FolderTable(fields.get("folders"), self._settings.outlook_folders).for_readers()

    def cursor(self, begun: Begun, opened: GraphStream) -> Cursor:
        """Where the mailbox's reading stands; walks again where state was lost or a person asked for it."""
        asked = begun.fields.get("asked", "")
        if "cursor" in begun.fields:
            cursor = opened.reconciled(resumed(decode(begun.fields["cursor"])))
        else:
            cursor = lost(self._settings.initial_sync_messages, self._clock.now_s(), "cursor_lost")
        if begun.lost in ("index", "log"):
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


def _object(response: Response) -> dict[str, object]:
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise ContractBroken("an answer is no JSON object")
    return value
