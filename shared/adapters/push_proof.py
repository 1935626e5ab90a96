"""Whether a push comes from our Pub/Sub subscription: its OIDC token, checked without asking anyone it does not need.

    claim, header         must be
    alg                   RS256 (never "none", never HS256 with the public certificate as its key)
    kid, signature        a certificate of GOOGLE_CERTS_URL, and its key's
    iss                   Google
    aud                   PUBSUB_AUDIENCE, exactly
    email                 PUBSUB_SERVICE_ACCOUNT, exactly, with email_verified true
    iat, exp              now, with 10 s of skew

Audience or e-mail alone would not do: anyone may create a subscription with our audience, or have Google sign for any
other. Without both nothing is proven: it fails closed. What needs no key is looked at first, so that only who
knows audience and e-mail can make us fetch certificates.

Certificates live as long as their Cache-Control says. An unknown kid (keys rotate) fetches them again, once for each
kid, and REFETCHES times in REFETCH_S for all of them; where they can't be fetched, the old ones serve for STALE_S
longer. One verification takes 60 us, so a token is verified each time: nothing remembers who was let in.

cryptography is imported at the first token (27 ms). Rejected: google.auth.jwt (as fast, but it also takes ES256, and
loads twice as much); google.oauth2.id_token (fetches the certificates each time, imports requests).
Source: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions; facts/gmail.md §4, §6
"""

import asyncio
import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson

from shared.config import Settings
from shared.core.errors import BadRequest, ProviderDown
from shared.log import log
from shared.protocol.wire import Response

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
SKEW_S = 10.0
TOKEN_CHARACTERS_MAX = 8192
REFETCHES, REFETCH_S = 3, 60.0
RETRY_S = 10.0  # after certificates could not be fetched
MAX_AGE_S, MAX_AGE_MAX_S = 3600.0, 86_400.0  # where the answer does not say, and however much it says
STALE_S = 3600.0
CERTS_BYTES_MAX = 256 * 1024

Fetch = Callable[[], Awaitable[Response]]


class PushProof:
    """`now_s` is wall time; `monotonic_s` counts the age of certificates."""

    def __init__(
        self, settings: Settings, fetch: Fetch, now_s: Callable[[], float], monotonic_s: Callable[[], float]
    ) -> None:
        self._audience, self._email = settings.pubsub_audience, settings.pubsub_service_account
        self._fetch, self._now_s, self._monotonic_s = fetch, now_s, monotonic_s
        self._keys: dict[str, RSAPublicKey] = {}
        self._fresh_until_s = self._usable_until_s = float("-inf")
        self._refetched: list[tuple[float, str]] = []  # when, for which kid
        self._fetching = asyncio.Lock()

    async def check(self, authorization: str) -> None:
        """Raises BadRequest 401, without saying which check failed."""
        scheme, _, token = authorization.partition(" ")
        on = self._audience and self._email
        if not on or scheme.lower() != "bearer" or not await self._is_proven(token.strip()):
            raise BadRequest(401, "unauthorized", "the push does not prove where it comes from")

    async def _is_proven(self, token: str) -> bool:
        parts = token.split(".")
        if len(parts) != 3 or len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
            return False
        header, claims, signature = _object(parts[0]), _object(parts[1]), _raw(parts[2])
        kid = header.get("kid")
        if header.get("alg") != "RS256" or not isinstance(kid, str) or not signature or not self._is_ours(claims):
            return False
        key = await self._key(kid)
        return key is not None and _verifies(key, signature, f"{parts[0]}.{parts[1]}".encode())

    def _is_ours(self, claims: dict[str, Any]) -> bool:
        begins: Any = claims.get("iat")
        ends: Any = claims.get("exp")
        if type(begins) not in (int, float) or type(ends) not in (int, float):
            return False
        return (
            claims.get("iss") in ISSUERS
            and claims.get("aud") == self._audience
            and claims.get("email") == self._email
            and claims.get("email_verified") is True
            and begins - SKEW_S <= self._now_s() <= ends + SKEW_S
        )

    async def _key(self, kid: str) -> "RSAPublicKey | None":
        """The certificate's key, fetched where it has to be; one fetch serves all who wait for it."""
        if self._may_refetch(kid) or self._monotonic_s() >= self._fresh_until_s:
            async with self._fetching:
                if self._monotonic_s() >= self._fresh_until_s:
                    await self._load()
                elif self._may_refetch(kid):
                    self._refetched.append((self._monotonic_s(), kid))
                    await self._load()
        return self._keys.get(kid) if self._monotonic_s() < self._usable_until_s else None

    def _may_refetch(self, kid: str) -> bool:
        since_s = self._monotonic_s() - REFETCH_S
        self._refetched = [each for each in self._refetched if each[0] > since_s]
        tried = any(each[1] == kid for each in self._refetched)
        known = kid in self._keys or not self._keys  # where nothing could be fetched yet, RETRY_S decides
        return not known and not tried and len(self._refetched) < REFETCHES

    async def _load(self) -> None:
        try:
            answer = await self._fetch()
            keys = _public_keys(answer)
        except ProviderDown as error:
            log("certificates_unavailable", level="error", error=error)
            self._fresh_until_s = max(self._fresh_until_s, self._monotonic_s() + RETRY_S)
            return
        said = re.search(r"max-age=(\d{1,9})", answer.headers.get("cache-control", ""))
        age_s = min(float(said[1]), MAX_AGE_MAX_S) if said else MAX_AGE_S
        self._keys = keys
        self._fresh_until_s = self._monotonic_s() + age_s
        self._usable_until_s = self._fresh_until_s + STALE_S


def _raw(part: str) -> bytes:
    """base64url without padding; b"" for anything else."""
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4)) if re.fullmatch(r"[A-Za-z0-9_-]+", part) else b""
    except (binascii.Error, ValueError):
        return b""


def _object(part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(_raw(part))
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _public_keys(answer: Response) -> "dict[str, RSAPublicKey]":
    """Google's PEM map; ProviderDown where it is none. A certificate that can't be read is left out."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import load_pem_x509_certificate

    try:
        value = orjson.loads(answer.body) if answer.status == 200 else None
    except orjson.JSONDecodeError:
        value = None
    keys: dict[str, RSAPublicKey] = {}
    for kid, pem in value.items() if isinstance(value, dict) else ():
        try:
            key = load_pem_x509_certificate(pem.encode()).public_key()
        except (ValueError, AttributeError):
            continue
        if isinstance(key, RSAPublicKey):
            keys[kid] = key
    if not keys:
        raise ProviderDown("the answer holds no certificate")
    return keys


def _verifies(key: "RSAPublicKey", signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
