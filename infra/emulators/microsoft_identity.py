"""A strict stand-in for Microsoft's identity platform: discovery, consent, tokens that rotate, expire and are revoked.

    GET  /{tenant}/v2.0/.well-known/openid-configuration   endpoints below `published_origin`, as msal insists on https
    GET  /common/discovery/instance                        the clouds' aliases
    GET  /{tenant}/discovery/v2.0/keys                     the key id_tokens are signed with
    GET  /{tenant}/oauth2/v2.0/authorize                   consent page; POST it back to answer
    POST /{tenant}/oauth2/v2.0/token                       authorization_code, refresh_token, client_credentials

msal refuses http authorities: give it an `http_client` that rewrites `published_origin` to the emulator's own origin.
Source: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
"""

import asyncio
import random
import re
import threading
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from infra.emulators.clock import Clock
from infra.emulators.graph import aadsts, consent
from infra.emulators.graph.aadsts import TokenRefused, refusal_response
from infra.emulators.graph.asgi import (
    Breakage,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    html_response,
    json_response,
    read_request,
    send_response,
)
from infra.emulators.graph.authorize import Authorize
from infra.emulators.graph.faults import BREAKAGES, Faults, Place
from infra.emulators.graph.grants import (
    CLIENT_ID,
    CLIENT_SECRET,
    MAIL_SCOPES,
    OIDC_SCOPES,
    Access,
    App,
    Grants,
    User,
)
from infra.emulators.graph.tokens import ISSUER_ORIGIN, Tokens, client_of

FAULT_KINDS = (*aadsts.KINDS, "slow", *BREAKAGES)
_PLAIN_JSON = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}
_TENANTS = re.compile(r"^(?:common|organizations|consumers|[0-9a-zA-Z.-]{1,80})$")
_ENDPOINTS = {
    "v2.0/.well-known/openid-configuration": "configuration",
    "discovery/v2.0/keys": "keys",
    "oauth2/v2.0/authorize": "authorize",
    "oauth2/v2.0/token": "token",
    "oauth2/v2.0/logout": "logout",
}


class MicrosoftIdentity:
    def __init__(
        self,
        clock: Clock | None = None,
        seed: int = 0,
        latency_ms: float = 0.0,
        published_origin: str = ISSUER_ORIGIN,
    ) -> None:
        self.clock = clock or Clock()
        self.published_origin = published_origin
        self.latency_ms = latency_ms
        self.grants = Grants(self.clock, random.Random(f"{seed}-identity"))
        self.tokens = Tokens(self.grants)
        self.authorize = Authorize(self.grants, self.tokens.client_info)
        self.faults = Faults(random.Random(f"{seed}-identity-faults"), FAULT_KINDS)
        self.requests: Counter[str] = Counter()
        self.lock = threading.RLock()
        self.register_app(CLIENT_ID, CLIENT_SECRET)

    # --- for tests and the operator

    def register_app(self, client_id: str, secret: str, redirect_uris: tuple[str, ...] | None = None) -> App:
        """An app again: its secret and redirect URIs are replaced."""
        with self.lock:
            self.grants.apps[client_id] = App(client_id, secret, redirect_uris)
            return self.grants.apps[client_id]

    def add_user(self, address: str, name: str | None = None) -> User:
        with self.lock:
            return self.grants.add_user(address, name)

    def mint_refresh_token(
        self, address: str, scopes: tuple[str, ...] = MAIL_SCOPES, client_id: str = CLIENT_ID
    ) -> str:
        """As if the user had consented a moment ago."""
        with self.lock:
            grant = self.grants.consent(client_id, address, frozenset((*scopes, *OIDC_SCOPES)))
            return self.grants.issue_refresh_token(grant)

    def mint_access_token(
        self, address: str | None, scopes: tuple[str, ...] = MAIL_SCOPES, client_id: str = CLIENT_ID
    ) -> str:
        """`address` None: an app-only token."""
        with self.lock:
            return self.grants.issue_access_token(client_id, address, frozenset(scopes))

    def access(self, token: str) -> Access | None:
        with self.lock:
            return self.grants.access(token)

    def revoke(self, address: str) -> int:
        with self.lock:
            return self.grants.revoke(address)

    def expire_access_tokens(self, address: str | None = None) -> None:
        with self.lock:
            self.grants.expire_access_tokens(address)

    def set_strict_rotation(self, on: bool) -> None:
        self.grants.strict_rotation = on

    def set_auto_approve(self, address: str | None) -> None:
        """Consent without a page, as this user; None: the page again."""
        self.authorize.auto_approve = address

    def set_fault(self, kind: str, **where: Any) -> int:
        """`kind` of `aadsts.KINDS`, slow, reset or truncated; placed by `endpoint` (token, authorize, …), `mailbox`."""
        return self.faults.set(kind, **where)

    def clear_faults(self, fault_id: int | None = None) -> None:
        self.faults.clear(fault_id)

    # --- HTTP

    @property
    def app(self) -> Any:
        async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                request = await read_request(scope, receive)
            except ConnectionError:
                return
            await send_response(await self.answer(request), request, send)

        return asgi

    async def answer(self, request: Request) -> Response:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        tenant, rest = parts[0], "/".join(parts[1:]).lower()
        if tenant == "common" and rest == "discovery/instance":
            return self._instances()
        endpoint = _ENDPOINTS.get(rest)
        if not _TENANTS.match(tenant) or endpoint is None:
            return json_response({"error": "not_found"}, 404, _PLAIN_JSON)
        self.requests[endpoint] += 1
        await asyncio.sleep(self.latency_ms / 1000)
        if endpoint == "configuration":
            return self._configuration(tenant)
        if endpoint == "keys":
            return json_response({"keys": [self.tokens.public_key]}, 200, _PLAIN_JSON)
        if endpoint == "logout":
            return html_response(consent.refusal_page("You signed out of your account."))
        return await (self._authorize(request) if endpoint == "authorize" else self._token(request))

    def _configuration(self, tenant: str) -> Response:
        base = f"{self.published_origin}/{tenant}"
        named = tenant in ("common", "organizations", "consumers")
        value = {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code"],
            "scopes_supported": list(OIDC_SCOPES),
            "issuer": f"{ISSUER_ORIGIN}/{'{tenantid}' if named else tenant}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
            "tenant_region_scope": None,
            "cloud_instance_name": "microsoftonline.com",
        }
        return json_response(value, 200, _PLAIN_JSON)

    def _instances(self) -> Response:
        host = urlsplit(self.published_origin).netloc
        aliases = sorted({host, "login.microsoftonline.com", "login.windows.net", "login.microsoft.com"})
        value = {
            "tenant_discovery_endpoint": f"{self.published_origin}/common/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": aliases}],
        }
        return json_response(value, 200, _PLAIN_JSON)

    async def _authorize(self, request: Request) -> Response:
        try:
            breakage = await self._strike(Place("authorize", request.method))
        except TokenRefused as refused:
            refusal = aadsts.KINDS[refused.kind]
            return html_response(consent.refusal_page(f"AADSTS{refusal.number}: {refusal.text}"), refusal.status)
        with self.lock:
            response = self.authorize.answer(request)
        response.breakage = breakage
        return response

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        try:
            if request.method != "POST":
                raise TokenRefused("malformed")
            breakage = await self._strike(Place("token", "POST", self._mailbox_of(form)))
            with self.lock:
                value = self.tokens.exchange(form, *client_of(request, form))
        except TokenRefused as refused:
            return refusal_response(refused, self.clock.now_s(), request.headers.get("client-request-id"))
        response = json_response(value, 200, {**_PLAIN_JSON, "Pragma": "no-cache"})
        response.breakage = breakage
        return response

    async def _strike(self, place: Place) -> Breakage | None:
        """Refuses by raising, delays, or names how the answer will be broken after it was made."""
        breakage: Breakage | None = None
        with self.lock:
            struck = self.faults.strike(place)
        for fault in struck:
            await asyncio.sleep(fault.delay_s)
            if fault.kind in aadsts.KINDS:
                raise TokenRefused(fault.kind, fault.retry_after_s)
            breakage = breakage or fault.breakage()
        return breakage

    def _mailbox_of(self, form: dict[str, str]) -> str | None:
        found = self.grants.refresh_tokens.get(form.get("refresh_token", ""))
        code = self.grants.codes.get(form.get("code", ""))
        return found.grant.address if found else code.grant.address if code else None
