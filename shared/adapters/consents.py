"""What a consent leaves with us while the person is at the provider, and what it leaves with their browser.

    link      a sealed claim (who may connect what, back to where, until when): nothing is stored for it, so it may be
              opened again until it ends; its content, a user id among it, is not to be read from the URL
    state     256 random bits; Redis holds the begun consent, sealed, under the state's SHA-256, for 10 minutes, and
              gives it out once (GETDEL)
    browser   256 random bits in a cookie; the stored consent knows their SHA-256. A callback that another browser makes
              (a forwarded URL, a forged form) has no cookie, or another one

Source: https://www.rfc-editor.org/rfc/rfc6749#section-10.12 (cross-site request forgery)
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from shared.adapters import redis_keys as keys
from shared.adapters.redis_client import RedisClient
from shared.adapters.sealing import SealBroken, Sealer
from shared.sync.ports import Clock

LIFE_S = 600
_LINK = {"account_id": "consent", "provider": "any", "purpose": "link"}
_BEGUN = {"account_id": "consent", "provider": "any", "purpose": "begun"}


@dataclass(frozen=True, slots=True)
class Link:
    """`provider` is "gmail" or "outlook"; `return_to` is "" or allowed."""

    provider: str
    user_id: str
    return_to: str
    ends_s: float


@dataclass(frozen=True, slots=True)
class Begun:
    """`secret` is what the provider's flow needs again: Google's verifier, msal's flow."""

    link: Link
    browser: str
    secret: Any = field(repr=False)


class Consents:
    def __init__(self, redis: RedisClient, sealer: Sealer, clock: Clock) -> None:
        self._redis, self._sealer, self._clock = redis, sealer, clock

    def link(self, provider: str, user_id: str, return_to: str) -> str:
        claim = Link(provider, user_id, return_to, self._clock.now_s() + LIFE_S)
        return self._sealer.seal(orjson.dumps(asdict(claim)).decode(), **_LINK)

    def opened(self, text: str) -> Link | None:
        """None for a forged link, and for one whose time is over."""
        try:
            claim = Link(**orjson.loads(self._sealer.open(text, **_LINK)))
        except SealBroken:
            return None
        return claim if self._clock.now_s() <= claim.ends_s else None

    async def begin(self, state: str, link: Link, browser: str, secret: Any) -> None:
        begun = orjson.dumps({"link": asdict(link), "browser": digest(browser), "secret": secret}).decode()
        sealed = self._sealer.seal(begun, **_BEGUN)
        await self._redis.once(["SET", keys.consent(digest(state)), sealed, "EX", LIFE_S])

    async def take(self, state: str, browser: str) -> Begun | None:
        """The begun consent, once. None for an unknown, used or old state, and for another browser's."""
        sealed = await self._redis.once(["GETDEL", keys.consent(digest(state))])
        if not isinstance(sealed, str):
            return None
        try:
            said: Mapping[str, Any] = orjson.loads(self._sealer.open(sealed, **_BEGUN))
        except SealBroken:  # its key has been taken away since
            return None
        if not hmac.compare_digest(said["browser"], digest(browser)):
            return None
        return Begun(Link(**said["link"]), said["browser"], said["secret"])


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def new_secret() -> str:
    return secrets.token_urlsafe(32)
