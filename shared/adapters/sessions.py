"""Sessions of the status page: 256 random bits in the browser, and here that they are good, for an hour.

    cookie     <secret>.<HMAC>: what was not made under this API key never gets as far as Redis
    in Redis   another HMAC of the secret: a dump opens nothing, and a new API key ends every session

Stored, not only signed, so that a session that was logged out is over wherever its cookie has got to.
"""

import hmac
import secrets

from shared.adapters import redis_keys as keys
from shared.adapters.redis_client import RedisClient

LIFE_S = 3600


class Sessions:
    def __init__(self, redis: RedisClient, api_key: str) -> None:
        self._redis, self._api_key = redis, api_key

    async def begin(self) -> str:
        """What the browser's cookie holds."""
        secret = secrets.token_urlsafe(32)
        await self._redis.once(["SET", self._name(secret), "1", "EX", LIFE_S])
        return f"{secret}.{self._digest('cookie', secret)}"

    async def holds(self, cookie: str) -> bool:
        secret = self._secret(cookie)
        return secret is not None and await self._redis.once(["EXISTS", self._name(secret)]) == 1

    async def end(self, cookie: str) -> None:
        secret = self._secret(cookie)
        if secret is not None:
            await self._redis.once(["DEL", self._name(secret)])

    def _secret(self, cookie: str) -> str | None:
        secret, _, mark = cookie.partition(".")
        ours = hmac.compare_digest(mark.encode("utf-8", "replace"), self._digest("cookie", secret).encode())
        return secret if ours else None

    def _name(self, secret: str) -> str:
        return keys.session(self._digest("name", secret))

    def _digest(self, purpose: str, secret: str) -> str:
        key, text = (each.encode("utf-8", "surrogateescape") for each in (self._api_key, f"{purpose}|{secret}"))
        return hmac.digest(key, text, "sha256").hex()
