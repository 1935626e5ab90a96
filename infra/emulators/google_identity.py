"""Google's authorization server in small: grants, codes, refresh and access tokens.

    POST /token                                   answer
    authorization_code, right code + verifier     access_token, expires_in 3599, scope, refresh_token if due
    refresh_token                                 the same without refresh_token
    revoked, expired, used twice, wrong verifier  400 invalid_grant
    unknown client, wrong secret                  401 invalid_client

A refresh token is given at the first consent and where prompt=consent was asked for, always with access_type=offline.
With `testing_expiry` it dies seven days after the consent, as for an app in "Testing". Times are on its clock.
Source: https://developers.google.com/identity/protocols/oauth2/web-server; facts/gmail.md 6 and (b) 29
"""

import base64
import hashlib
import hmac
import random
import string
from dataclasses import dataclass, field
from typing import Any

from infra.emulators.clock import Clock
from infra.emulators.gmail.settings import SCOPE_ALL, Settings
from infra.emulators.google_keys import GoogleKeys

ACCESS_LIFE_S = 3599
CODE_LIFE_S = 600
TESTING_LIFE_S = 7 * 86_400
_ALPHABET = string.ascii_letters + string.digits + "-_"


@dataclass(frozen=True, slots=True)
class Access:
    address: str
    scopes: frozenset[str]
    client_id: str
    expires_at_s: float


@dataclass(slots=True)
class Grant:
    address: str
    client_id: str
    scopes: frozenset[str]
    granted_at_s: float
    revoked: bool = False
    access_tokens: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    challenge_method: str
    gives_refresh: bool
    expires_at_s: float


class OAuthError(Exception):
    def __init__(self, status: int, error: str, description: str, subtype: str | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}
        if subtype:
            self.body["error_subtype"] = subtype


def _invalid_grant(description: str = "Token has been expired or revoked.") -> OAuthError:
    return OAuthError(400, "invalid_grant", description)


class GoogleIdentity:
    def __init__(self, settings: Settings, clock: Clock, keys: GoogleKeys | None = None) -> None:
        self.settings, self.clock = settings, clock
        self.keys = keys or GoogleKeys()
        self.addresses: list[str] = []  # who can sign in at the consent page
        self.token_requests: dict[str, int] = {}  # by address, "" where unknown
        self._rng = random.Random(f"identity:{settings.seed}")
        self._grants: dict[str, Grant] = {}  # by refresh token
        self._access: dict[str, Access] = {}
        self._codes: dict[str, Code] = {}
        self._consented: set[tuple[str, str]] = set()
        self._html_503_times = 0
        self._forced: list[OAuthError] = []

    # -- direct calls, for imports and tests

    def mint_refresh_token(self, address: str, scopes: list[str] | None = None, client_id: str | None = None) -> str:
        grant = Grant(
            address, client_id or self.settings.client_id, frozenset(scopes or [SCOPE_ALL]), self.clock.now_s()
        )
        return self._keep(grant)

    def mint_access_token(
        self,
        address: str,
        scopes: list[str] | None = None,
        client_id: str | None = None,
        life_s: float = ACCESS_LIFE_S,
    ) -> str:
        grant = Grant(
            address, client_id or self.settings.client_id, frozenset(scopes or [SCOPE_ALL]), self.clock.now_s()
        )
        self._grants[self._secret("1//0", 40)] = grant
        return self._new_access(grant, grant.scopes, life_s)

    def revoke_address(self, address: str) -> int:
        """Every grant of the mailbox dies, as after a password change; returns how many."""
        hit = [grant for grant in self._grants.values() if grant.address == address and not grant.revoked]
        for grant in hit:
            self._kill(grant)
        return len(hit)

    def expire_access(self, address: str) -> None:
        """Access tokens of the mailbox die, their grants live."""
        for token in [token for token, access in self._access.items() if access.address == address]:
            del self._access[token]

    def fail_next(self, times: int = 1, kind: str = "html_503", **error: str) -> None:
        """The next token requests fail: 503 with HTML, or the OAuth error of that name (invalid_grant, …)."""
        if kind == "html_503":
            self._html_503_times += times
            return
        description = error.get("error_description", "Bad Request")
        self._forced += [OAuthError(400, kind, description, error.get("error_subtype"))] * times

    # -- what the Gmail side and the pages ask

    def access(self, token: str) -> Access | None:
        found = self._access.get(token)
        return found if found is not None and self.clock.now_s() < found.expires_at_s else None

    def takes_html_503(self) -> bool:
        if self._html_503_times <= 0:
            return False
        self._html_503_times -= 1
        return True

    def new_code(self, address: str, scopes: frozenset[str], asked: dict[str, str]) -> str:
        """After a consent; `asked` are the parameters of the authorization request."""
        client_id = asked["client_id"]
        first = (client_id, address) not in self._consented
        self._consented.add((client_id, address))
        code = self._secret("4/0A", 60)
        self._codes[code] = Code(
            grant=Grant(address, client_id, scopes, self.clock.now_s()),
            redirect_uri=asked["redirect_uri"],
            challenge=asked.get("code_challenge", ""),
            challenge_method=asked.get("code_challenge_method", "plain"),
            gives_refresh=asked.get("access_type") == "offline"
            and (first or "consent" in asked.get("prompt", "").split()),
            expires_at_s=self.clock.now_s() + CODE_LIFE_S,
        )
        return code

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        """The answer to a token request; OAuthError else."""
        grant_type = form.get("grant_type", "")
        known = self._grants.get(form.get("refresh_token", ""))
        code = self._codes.get(form.get("code", ""))
        address = known.address if known else code.grant.address if code else ""
        self.token_requests[address] = self.token_requests.get(address, 0) + 1
        if self._forced:
            raise self._forced.pop(0)
        self._check_client(form)
        if grant_type == "authorization_code":
            return self._redeem(form)
        if grant_type == "refresh_token":
            return self._refresh(form, known)
        raise OAuthError(400, "unsupported_grant_type", f"Invalid grant_type: {grant_type}")

    def revoke(self, token: str) -> None:
        grant = self._grants.get(token)
        if grant is None:
            grant = next((each for each in self._grants.values() if token in each.access_tokens), None)
        if grant is None or grant.revoked:
            raise OAuthError(400, "invalid_token", "Token expired or revoked")
        self._kill(grant)

    # -- inside

    def _check_client(self, form: dict[str, str]) -> None:
        if not form.get("client_id"):
            raise OAuthError(400, "invalid_request", "Could not determine client ID from request.")
        if form["client_id"] != self.settings.client_id:
            raise OAuthError(401, "invalid_client", "The OAuth client was not found.")
        if not form.get("client_secret"):
            raise OAuthError(400, "invalid_request", "client_secret is missing.")
        if not hmac.compare_digest(form["client_secret"].encode(), self.settings.client_secret.encode()):
            raise OAuthError(401, "invalid_client", "The provided client secret is invalid.")

    def _redeem(self, form: dict[str, str]) -> dict[str, Any]:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.expires_at_s < self.clock.now_s() or code.grant.client_id != form["client_id"]:
            raise _invalid_grant("Malformed auth code." if not form.get("code") else "Bad Request")
        if form.get("redirect_uri") != code.redirect_uri:
            raise OAuthError(400, "redirect_uri_mismatch", "Bad Request")
        if code.challenge:
            verifier = form.get("code_verifier", "")
            if not verifier:
                raise _invalid_grant("Missing code verifier.")
            digest = hashlib.sha256(verifier.encode()).digest()
            made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if (made if code.challenge_method == "S256" else verifier) != code.challenge:
                raise _invalid_grant("Invalid code verifier.")
        refresh_token = self._keep(code.grant)
        answer = self._answer(code.grant, code.grant.scopes)
        if code.gives_refresh:
            answer["refresh_token"] = refresh_token
        if code.gives_refresh and self.settings.testing_expiry:
            answer["refresh_token_expires_in"] = TESTING_LIFE_S - 1
        return answer

    def _refresh(self, form: dict[str, str], grant: Grant | None) -> dict[str, Any]:
        if not form.get("refresh_token"):
            raise OAuthError(400, "invalid_request", "Missing required parameter: refresh_token")
        if grant is None:
            raise _invalid_grant("Bad Request")
        if grant.client_id != form["client_id"]:
            raise OAuthError(401, "unauthorized_client", "Unauthorized")
        dead_at_s = grant.granted_at_s + TESTING_LIFE_S if self.settings.testing_expiry else float("inf")
        if grant.revoked or self.clock.now_s() >= dead_at_s:
            raise _invalid_grant()
        asked = frozenset(form.get("scope", "").split())
        if asked - grant.scopes:
            raise OAuthError(400, "invalid_scope", "Some requested scopes were invalid.")
        return self._answer(grant, asked or grant.scopes)

    def _answer(self, grant: Grant, scopes: frozenset[str]) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "access_token": self._new_access(grant, scopes, ACCESS_LIFE_S),
            "expires_in": ACCESS_LIFE_S,
            "scope": " ".join(sorted(scopes)),
            "token_type": "Bearer",
        }
        if "openid" in scopes:
            answer["id_token"] = self._id_token(grant)
        return answer

    def _id_token(self, grant: Grant) -> str:
        now_s = int(self.clock.now_s())
        return self.keys.sign(
            {
                "iss": "https://accounts.google.com",
                "azp": grant.client_id,
                "aud": grant.client_id,
                "sub": str(int(hashlib.sha256(grant.address.encode()).hexdigest(), 16))[:21],
                "email": grant.address,
                "email_verified": True,
                "iat": now_s,
                "exp": now_s + 3600,
            }
        )

    def _new_access(self, grant: Grant, scopes: frozenset[str], life_s: float) -> str:
        token = self._secret("ya29.a0", 120)
        self._access[token] = Access(grant.address, scopes, grant.client_id, self.clock.now_s() + life_s)
        grant.access_tokens.add(token)
        return token

    def _keep(self, grant: Grant) -> str:
        token = self._secret("1//0", 80)
        self._grants[token] = grant
        return token

    def _kill(self, grant: Grant) -> None:
        grant.revoked = True
        for token in grant.access_tokens:
            self._access.pop(token, None)

    def _secret(self, prefix: str, length: int) -> str:
        return prefix + "".join(self._rng.choices(_ALPHABET, k=length))
