"""The token endpoint's exchanges, and the tokens that say who the user is.

    grant_type           needs                                    gives
    authorization_code   code, redirect_uri, verifier, secret     access, refresh, id_token with the consent's nonce
    refresh_token        refresh_token, secret                    access, refresh (a new one), id_token
    client_credentials   …/.default, secret                       access; no scope, no refresh token

`client_info` is given to those who ask (`client_info=1`, as msal does).
Source: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
"""

import base64
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from urllib.parse import unquote

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.emulators.graph.aadsts import TokenRefused
from infra.emulators.graph.asgi import Request
from infra.emulators.graph.grants import OIDC_SCOPES, TENANT_ID, Grant, Grants, short_scopes

ISSUER_ORIGIN = "https://login.microsoftonline.com"
KEY_ID = "emulator-key-1"


@dataclass
class Tokens:
    grants: Grants

    def exchange(self, form: dict[str, str], client_id: str, secret: str | None) -> dict[str, Any]:
        """The token response; TokenRefused."""
        grants, grant_type = self.grants, form.get("grant_type")
        app = grants.app(client_id, secret)
        if grant_type == "authorization_code":
            verifier = form.get("code_verifier")
            code = grants.redeem_code(form.get("code", ""), client_id, form.get("redirect_uri", ""), verifier)
            return self._answer(form, code.grant, code.nonce)
        if grant_type == "refresh_token":
            grant = grants.refreshable(form.get("refresh_token", ""), client_id)
            answer = self._answer(form, grant, None)
            grants.refreshed(form["refresh_token"])
            return answer
        if grant_type == "client_credentials":
            if not form.get("scope", "").endswith("/.default"):
                raise TokenRefused("bad_scope")
            token = grants.issue_access_token(client_id, None, app.roles)
            seconds = int(grants.access_ttl_s)
            return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
        raise TokenRefused("grant_type")

    def _answer(self, form: dict[str, str], grant: Grant, nonce: str | None) -> dict[str, Any]:
        granted = self._granted(form, grant)
        seconds = int(self.grants.access_ttl_s)
        value: dict[str, Any] = {
            "token_type": "Bearer",
            "scope": " ".join([*sorted(granted), *(scope for scope in OIDC_SCOPES if scope in grant.scopes)]),
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": self.grants.issue_access_token(grant.app_id, grant.address, granted),
        }
        if "offline_access" in grant.scopes:
            value["refresh_token"] = self.grants.issue_refresh_token(grant)
        if "openid" in grant.scopes:
            value["id_token"] = self._id_token(grant, nonce)
        if form.get("client_info") == "1":
            value["client_info"] = self.client_info(grant.address)
        return value

    def _granted(self, form: dict[str, str], grant: Grant) -> frozenset[str]:
        """A refresh for more than was consented to is refused; a code gives what the user left ticked."""
        consented = grant.scopes - set(OIDC_SCOPES)
        asked = frozenset(short_scopes(form.get("scope", ""))) - set(OIDC_SCOPES)
        if not asked or ".default" in asked:
            return consented
        if form.get("grant_type") == "refresh_token" and not asked <= consented:
            raise TokenRefused("consent")
        return asked & consented

    def client_info(self, address: str) -> str:
        value = {"uid": self.grants.users[address.lower()].oid, "utid": TENANT_ID}
        return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")

    def _id_token(self, grant: Grant, nonce: str | None) -> str:
        user, now = self.grants.users[grant.address.lower()], int(self.grants.clock.now_s())
        claims: dict[str, Any] = {
            "aud": grant.app_id,
            "iss": f"{ISSUER_ORIGIN}/{TENANT_ID}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + int(self.grants.access_ttl_s),
            "name": user.name,
            "oid": user.oid,
            "preferred_username": user.address,
            "sub": base64.urlsafe_b64encode(f"{user.oid}{grant.app_id}".encode()).decode()[:43],
            "tid": TENANT_ID,
            "ver": "2.0",
        }
        if nonce is not None:
            claims["nonce"] = nonce
        if "email" in grant.scopes:
            claims["email"] = user.address
        return jwt.encode(claims, self.signing_key, algorithm="RS256", headers={"kid": KEY_ID})

    @property
    def signing_key(self) -> rsa.RSAPrivateKey:
        return _signing_key()

    @cached_property
    def public_key(self) -> dict[str, Any]:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self.signing_key.public_key(), as_dict=True)
        return {**key, "use": "sig", "kid": KEY_ID, "alg": "RS256"}


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    """One for the process: making it takes longer than a whole sync."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def client_of(request: Request, form: dict[str, str]) -> tuple[str, str | None]:
    """The app's id and secret, from the Basic header or the form."""
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(sent).decode().partition(":")
        except ValueError:
            raise TokenRefused("malformed") from None
        return unquote(name), unquote(secret)
    if "client_id" not in form:
        raise TokenRefused("malformed")
    return form["client_id"], form.get("client_secret")
