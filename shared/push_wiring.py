"""Puts push-webhook's parts together, and imports nothing that its answer does not need.

    who calls                       proves itself by
    Gmail's topic                   its OIDC token, where all of Gmail's push settings are there
    the dispatch topic              its OIDC token at the sync functions, with DISPATCH=pubsub: a queue can send no key;
                                    audience and service account are those of Gmail's pushes
    anybody else, there             the key

    shared.wiring loads pydantic, httpx and Upstash's client: half as long as an empty function takes to start
    (facts/platform.md §2). Here it is imported when the first answer has been sent, by the first sync that runs inline.

One per event loop, made at the first request.
"""

import asyncio
import time
from functools import cached_property
from typing import ClassVar
from weakref import WeakKeyDictionary

from starlette.requests import Request

from shared.adapters.client_state import client_state_keys
from shared.adapters.dispatch import Dispatch
from shared.adapters.light_http import LightHttp
from shared.adapters.push_proof import CERTS_BYTES_MAX, PushProof
from shared.adapters.redis_hints import RedisHints
from shared.adapters.sealing import Sealer
from shared.config import Settings
from shared.config import settings_or_exit as settings_or_exit
from shared.core.errors import BadRequest
from shared.edge import require_key
from shared.protocol.wire import Response

CERTS_TIMEOUT_S = 5.0


class PushWiring:
    _of_loop: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, PushWiring]"] = WeakKeyDictionary()

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def current(cls) -> "PushWiring":
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls(settings_or_exit())
        return cls._of_loop[loop]

    @cached_property
    def http(self) -> LightHttp:
        return LightHttp()

    @cached_property
    def proof(self) -> PushProof:
        return PushProof(self.settings, self._certificates, time.time, time.monotonic)

    async def prove_gmail(self, authorization: str) -> None:
        """Raises BadRequest 401, always where push is not set up."""
        await self.proof.check(authorization if self.settings.push_configured else "")

    @cached_property
    def hints(self) -> RedisHints:
        return RedisHints(self.http, self.settings.upstash_redis_rest_url, self.settings.upstash_redis_rest_token)

    @cached_property
    def sealer(self) -> Sealer:
        return Sealer(self.settings.token_encryption_keys)

    @cached_property
    def state_keys(self) -> tuple[bytes, ...]:
        return client_state_keys(self.settings.token_encryption_keys)

    @cached_property
    def dispatch(self) -> Dispatch:
        return Dispatch(self.settings, self.http, _wake, _google_token)

    async def _certificates(self) -> Response:
        url = self.settings.google_certs_url
        return await self.http.send("GET", url, {}, b"", timeout_s=CERTS_TIMEOUT_S, body_bytes_max=CERTS_BYTES_MAX)


async def require_caller(request: Request, settings: Settings) -> None:
    """Of a sync function: the key, or the dispatch topic's token. Raises BadRequest 401."""
    try:
        require_key(request, settings)
    except BadRequest:
        if settings.dispatch != "pubsub":
            raise
        await PushWiring.current().proof.check(request.headers.get("authorization", ""))


async def _wake(provider: str, account_id: str) -> None:
    """A sync in this process. The import takes a while, so it leaves the loop to those who want an answer."""
    await asyncio.to_thread(__import__, "shared.wiring")
    from shared.wiring import Wiring

    await Wiring.current().woken(provider, account_id)


async def _google_token() -> str:
    from shared.adapters.google_default import access_token

    return await access_token()
