"""Upstash's client, made safe: time-outs, no retries of its own, every failure a StoreDown.

upstash-redis has no time-out and can be given none; it re-sends whatever failed, also what the server has applied; and
it reports an HTML error page as JSONDecodeError. So its HTTP client is replaced (the attribute is private: a test
asserts that it is still there), its retries are switched off, and whatever it raises is mapped here, in one place.
A script may be sent again after a lost reply, since every script is idempotent: `run` does so, a few times.

Source: https://github.com/upstash/redis-py/issues/46 (time-outs).
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any
from urllib.parse import urlsplit

import httpx
from upstash_redis.asyncio import Redis
from upstash_redis.errors import UpstashError

from shared.adapters.http_client import KEEPALIVE_S, ssl_context
from shared.core.errors import StoreDown
from shared.sync.ports import Clock

TIMEOUT_S = 5.0
ATTEMPTS = 3
PAUSE_S = 0.05
UPSTASH_HOST = ".upstash.io"
KEY_LOCKING = "#!lua flags=allow-key-locking\n"


class RedisClient:
    """One per process. `requests` counts HTTP requests, also those that failed."""

    def __init__(self, url: str, token: str, clock: Clock, on_io: Callable[[str], None] | None = None) -> None:
        self._redis = Redis(url, token, rest_encoding=None, rest_retries=0, allow_telemetry=False)
        self._redis._http._client = httpx.AsyncClient(
            timeout=TIMEOUT_S, verify=ssl_context(), trust_env=False, limits=httpx.Limits(keepalive_expiry=KEEPALIVE_S)
        )
        # Upstash locks only the keys of a script that says so; plain Redis refuses the flag.
        self._shebang = KEY_LOCKING if (urlsplit(url).hostname or "").endswith(UPSTASH_HOST) else ""
        self._clock = clock
        self._on_io = on_io
        self.requests = 0

    def counted(self) -> "RedisClient":
        """The same connection with a count of its own, for one invocation."""
        view = copy(self)
        view.requests = 0
        return view

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """A script's result. Sent again after a lost reply: scripts are idempotent."""
        for attempt in range(ATTEMPTS):
            try:
                return await self.once(["EVAL", self._shebang + script, len(keys), *keys, *args])
            except StoreDown:
                if attempt + 1 == ATTEMPTS:
                    raise
                await self._clock.sleep(PAUSE_S * 4**attempt)
        raise AssertionError("unreachable")

    async def once(self, command: list[Any]) -> Any:
        """One command, one request, no second try."""
        self.requests += 1
        self._step("before redis")
        try:
            answer = await self._redis.execute(command)
        except (httpx.HTTPError, UpstashError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreDown(f"Redis did not answer as Redis does ({type(error).__name__})") from error
        self._step("after redis")
        return answer

    def _step(self, name: str) -> None:
        if self._on_io:
            self._on_io(name)

    async def close(self) -> None:
        await self._redis.close()
