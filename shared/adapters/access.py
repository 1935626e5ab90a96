"""The access token of one mailbox: from memory, from the account's sealed field, or refreshed once for all who wait.

    in memory, valid          0 requests
    expired or refused        take the refresh (1 Redis request), refresh at the provider, save sealed (1 Redis request)
    someone else refreshes    look again until theirs is there; their lock ends by its TTL if they died

A refresh that failed because the grant is dead names the grant it used, so that a reconnection meanwhile is not blamed.
Trouble of the token endpoint is a RetryLater, not a ProviderDown: it says nothing about the mail API's health; a time
that it names is a Throttled, to be kept. `refresh` tries again by itself, for less than the lock lives.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.adapters import redis_access_scripts as scripts
from shared.adapters import redis_keys as keys
from shared.adapters.oauth import BLOCKED_MAX_S, REFRESH_PATIENCE_S
from shared.adapters.redis_client import RedisClient
from shared.adapters.sealing import Sealer
from shared.core.errors import LeaseLost, ProviderDown, RetryLater, Throttled, TidemarkError
from shared.sync.ports import Clock

VALID_FOR_MIN_S = 60.0
REFRESH_TTL_S = 20
assert REFRESH_PATIENCE_S + BLOCKED_MAX_S < REFRESH_TTL_S, "nobody else begins while a refresh is tried again"
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What the provider gave for a refresh token; `refresh_token` where it was rotated."""

    access_token: str
    expires_at_s: float
    refresh_token: str | None = None


Refresh = Callable[[str], Awaitable[Refreshed]]


class Access:
    """One per invocation and mailbox. `refresh` asks the provider's token endpoint with the refresh token."""

    def __init__(
        self, account_id: str, provider: str, redis: RedisClient, sealer: Sealer, clock: Clock, refresh: Refresh
    ) -> None:
        self._account_id = account_id
        self._provider = provider
        self._redis = redis
        self._sealer = sealer
        self._clock = clock
        self._refresh = refresh
        self._lock = asyncio.Lock()
        self._sealed = ""
        self._token = ""
        self._until_s = 0.0

    def remember(self, sealed: str | None, until_s: str | None) -> None:
        """The account's stored token, as its hash has it."""
        self._sealed = sealed or ""
        self._token = ""
        self._until_s = float(until_s or 0)

    async def token(self) -> str:
        """A valid access token. Raises AuthorizationLost, RetryLater, StoreDown."""
        async with self._lock:
            if not self._sealed or self._until_s - VALID_FOR_MIN_S <= self._clock.now_s():
                await self._renew()
            if not self._token:
                self._token = self._open("access", self._sealed)
            return self._token

    async def refused(self, token: str) -> None:
        """The provider does not accept `token`: replace it, unless that has happened meanwhile."""
        async with self._lock:
            if token == self._token:
                await self._renew()

    async def _renew(self) -> None:
        owner = self._clock.token()
        account, refreshing = keys.of(self._account_id, "account"), keys.of(self._account_id, "refreshing")
        ends_s = self._clock.now_s() + 2 * REFRESH_TTL_S
        while True:
            answer = await self._redis.run(
                scripts.TAKE_REFRESH, [account, refreshing], [owner, REFRESH_TTL_S * 1000, self._sealed]
            )
            match answer:
                case ["fresh", sealed, until_s]:
                    return self.remember(sealed, until_s)
                case ["yours", grant, sealed_refresh]:
                    return await self._ask(owner, grant, self._open("refresh", sealed_refresh))
                case ["gone"]:
                    raise LeaseLost("the account is gone")
            if self._clock.now_s() >= ends_s:
                raise RetryLater("another instance's refresh does not end", POLL_S)
            await self._clock.sleep(POLL_S)

    async def _ask(self, owner: str, grant: str, refresh_token: str) -> None:
        account, refreshing = keys.of(self._account_id, "account"), keys.of(self._account_id, "refreshing")
        try:
            found = await self._refresh(refresh_token)
        except TidemarkError as error:
            await self._redis.run(scripts.FREE_REFRESH, [refreshing], [owner])
            if isinstance(error, ProviderDown):
                later = Throttled if error.after_s else RetryLater
                raise later("the token endpoint does not answer", error.after_s) from error
            raise
        self._sealed = self._seal("access", found.access_token)
        self._token, self._until_s = found.access_token, found.expires_at_s
        rotated = self._seal("refresh", found.refresh_token) if found.refresh_token else ""
        args = [grant, self._sealed, f"{found.expires_at_s:.0f}", rotated]
        await self._redis.run(scripts.SAVE_ACCESS, [account, refreshing], args)

    def _open(self, purpose: str, sealed: str) -> str:
        return self._sealer.open(sealed, account_id=self._account_id, provider=self._provider, purpose=purpose)

    def _seal(self, purpose: str, text: str) -> str:
        return self._sealer.seal(text, account_id=self._account_id, provider=self._provider, purpose=purpose)
