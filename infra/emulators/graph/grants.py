"""What Entra remembers: users, apps, authorization codes, refresh tokens, access tokens.

    code            10 minutes, once; PKCE S256, redirect_uri and app must be those of the consent
    refresh token   90 days from its issue; each use gives a new one, the old one stays good (strict: is refused)
    access token    3,600 s; opaque to clients
    revoke(user)    every refresh token of the user is dead (50173), access tokens live on until they expire

Source: https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens
"""

import base64
import hashlib
import hmac
import random
from dataclasses import dataclass, field

from infra.emulators.clock import Clock
from infra.emulators.graph.aadsts import TokenRefused
from infra.emulators.graph.ids import stable_guid

CODE_TTL_S = 600.0
REFRESH_TTL_S = 90 * 86400.0
ACCESS_TTL_S = 3600.0
TENANT_ID = "9f1c3c52-6d0e-4f7a-9a53-2f4c1f0a7b11"
CLIENT_ID = "6731de76-14a6-49ae-97bc-6eba6914391e"
CLIENT_SECRET = "emulator~secret"
GRAPH = "https://graph.microsoft.com/"
OIDC_SCOPES = ("openid", "profile", "email", "offline_access")
MAIL_SCOPES = ("Mail.Read", "User.Read")


@dataclass(frozen=True, slots=True)
class User:
    address: str
    oid: str
    name: str


@dataclass(slots=True)
class App:
    client_id: str
    secret: str
    redirect_uris: tuple[str, ...] | None = None  # None: any https, and http to loopback
    roles: frozenset[str] = frozenset({"Mail.Read", "User.Read.All"})  # for client_credentials


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token allows; `address` None is the app itself."""

    app_id: str
    address: str | None
    scopes: frozenset[str]
    expires_s: float


@dataclass(slots=True)
class Grant:
    """A user's consent to an app; every refresh token belongs to one."""

    app_id: str
    address: str
    scopes: frozenset[str]
    revoked: bool = False


@dataclass(slots=True)
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str | None
    nonce: str | None
    expires_s: float
    used: bool = False


@dataclass(slots=True)
class RefreshToken:
    grant: Grant
    expires_s: float
    used: bool = False


@dataclass(slots=True)
class Grants:
    clock: Clock
    rng: random.Random
    strict_rotation: bool = False
    access_ttl_s: float = ACCESS_TTL_S
    users: dict[str, User] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    access_tokens: dict[str, Access] = field(default_factory=dict)

    def add_user(self, address: str, name: str | None = None) -> User:
        key = address.lower()
        if key not in self.users:
            label = name or address.partition("@")[0].replace(".", " ").title()
            self.users[key] = User(address, stable_guid("user", key), label)
        return self.users[key]

    def app(self, client_id: str, secret: str | None) -> App:
        app = self.apps.get(client_id)
        if app is None:
            raise TokenRefused("unknown_client")
        if secret is None or not hmac.compare_digest(secret.encode(), app.secret.encode()):
            raise TokenRefused("bad_secret")
        return app

    def consent(self, app_id: str, address: str, scopes: frozenset[str]) -> Grant:
        grant = Grant(app_id, self.users[address.lower()].address, scopes)
        self.grants.append(grant)
        return grant

    def issue_code(self, grant: Grant, redirect_uri: str, challenge: str | None, nonce: str | None) -> str:
        text = "0.A" + self._secret(60)
        self.codes[text] = Code(grant, redirect_uri, challenge, nonce, self.clock.now_s() + CODE_TTL_S)
        return text

    def redeem_code(self, text: str, app_id: str, redirect_uri: str, verifier: str | None) -> Code:
        code = self.codes.get(text)
        if code is None or code.grant.app_id != app_id:
            raise TokenRefused("bad_token")
        if code.used:
            raise TokenRefused("code_used")
        if code.expires_s < self.clock.now_s():
            raise TokenRefused("inactive")
        if code.redirect_uri != redirect_uri:
            raise TokenRefused("redirect")
        if (code.challenge is None) != (verifier is None):
            raise TokenRefused("no_verifier")
        if code.challenge is not None and verifier is not None and challenge_of(verifier) != code.challenge:
            raise TokenRefused("verifier")
        code.used = True
        return code

    def refreshable(self, text: str, app_id: str) -> Grant:
        """The grant of a refresh token that is good; TokenRefused."""
        token = self.refresh_tokens.get(text)
        if token is None or token.grant.app_id != app_id:
            raise TokenRefused("bad_token")
        if token.grant.revoked:
            raise TokenRefused("revoked")
        if token.expires_s < self.clock.now_s():
            raise TokenRefused("refresh_expired")
        if token.used and self.strict_rotation:
            raise TokenRefused("rotated")
        return token.grant

    def refreshed(self, text: str) -> None:
        self.refresh_tokens[text].used = True

    def issue_refresh_token(self, grant: Grant) -> str:
        text = "0.AXo" + self._secret(480)
        self.refresh_tokens[text] = RefreshToken(grant, self.clock.now_s() + REFRESH_TTL_S)
        return text

    def issue_access_token(self, app_id: str, address: str | None, scopes: frozenset[str]) -> str:
        text = "EwB4A8l6BAAU" + self._secret(600)
        self.access_tokens[text] = Access(app_id, address, scopes, self.clock.now_s() + self.access_ttl_s)
        return text

    def access(self, token: str) -> Access | None:
        """None for an unknown or expired token."""
        found = self.access_tokens.get(token)
        return found if found and found.expires_s > self.clock.now_s() else None

    def revoke(self, address: str) -> int:
        """As an administrator's "revoke sessions" or a user's removal of the app; how many consents it ended."""
        ended = [grant for grant in self.grants if grant.address.lower() == address.lower() and not grant.revoked]
        for grant in ended:
            grant.revoked = True
        return len(ended)

    def expire_access_tokens(self, address: str | None = None) -> None:
        for text, found in list(self.access_tokens.items()):
            if address is None or (found.address or "").lower() == address.lower():
                del self.access_tokens[text]

    def _secret(self, size: int) -> str:
        return base64.urlsafe_b64encode(self.rng.randbytes(size * 3 // 4)).decode()


def challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode("ascii", "replace")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def short_scopes(text: str) -> list[str]:
    """`https://graph.microsoft.com/Mail.Read` and `Mail.Read` are one scope."""
    return [scope.removeprefix(GRAPH) for scope in text.split()]
