"""Microsoft's tokens through msal: consent, code, silent acquisition from a mailbox's token cache.

    msal says                                                     here
    access_token                                                  Acquired
    invalid_grant, interaction_required, consent_required         AuthorizationLost (reason with the AADSTS number)
    invalid_client, unauthorized_client, a tenant that is not     AppMisconfigured: the operator's matter
    anything else, unreadable, no answer, 429, 5xx                ProviderDown; of it a 4xx: TokenRefused

msal is synchronous and imports requests (80 ms): it is imported at the first use and runs in a thread. Its HTTP is
ours (microsoft_wire.py). While a token is still valid, trouble with refreshing it early is no trouble.

Scopes are matched literally and case-sensitively in msal's cache: exactly `SCOPES`, always.

Source: https://learn.microsoft.com/en-us/entra/msal/python/; facts/graph.md A4
"""

import asyncio
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from shared.adapters.http_client import Blocking, HttpClient
from shared.adapters.microsoft_wire import Wire
from shared.adapters.oauth import BLOCKED_MAX_S, BODY_BYTES_MAX, TIMEOUT_S, AppMisconfigured, ScopeMissing, TokenRefused
from shared.config import Settings
from shared.core.errors import AuthorizationLost, BadRequest, ContractBroken, ProviderDown, TidemarkError
from shared.protocol.status import safe_reason

if TYPE_CHECKING:
    import msal

SCOPES = ["Mail.Read", "User.Read"]
NEEDED_SCOPES = {"Mail.Read": {"mail.read", "mail.readwrite"}, "User.Read": {"user.read", "user.readwrite"}}
GRANT_ERRORS = frozenset({"invalid_grant", "interaction_required", "consent_required"})
APP_ERRORS = frozenset({"invalid_client", "unauthorized_client"})
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Acquired:
    """`cache_blob` is msal's cache after it, to be sealed and stored where `changed`; `account_key` is uid.utid."""

    token: str = field(repr=False)
    expires_at_s: float
    cache_blob: str = field(repr=False)
    changed: bool
    account_key: str


@dataclass(frozen=True, slots=True)
class Flow:
    """A begun consent: send the browser to `url`; keep `data` (JSON, holds the PKCE verifier) under `state`, once."""

    url: str
    state: str
    data: dict[str, Any] = field(repr=False)


async def acquire(
    settings: Settings,
    cache_blob: str | None,
    refresh_token: str | None,
    http: HttpClient | None = None,
    *,
    force_refresh: bool = False,
) -> Acquired:
    """A token from the cache, refreshed where it has to be; `refresh_token` is what an import starts with.

    `force_refresh`: after a 401. Raises AuthorizationLost, AppMisconfigured, ProviderDown.
    """

    def work(wire: Wire) -> Acquired:
        cache = _cache(cache_blob)
        app = _app(settings, wire, cache)
        result = None
        if account := next(iter(app.get_accounts()), None):
            result = app.acquire_token_silent_with_error(
                SCOPES, account, force_refresh=force_refresh, http_exceptions=(ProviderDown,)
            )
        if result is None and refresh_token:
            result = app.acquire_token_by_refresh_token(refresh_token, SCOPES)
        if result is None:  # the cache has no refresh token: an answer that says nothing has been raised by the wire
            raise AuthorizationLost("no_token")
        return _acquired(result, app, cache)

    return await _in_a_thread(settings, http, work)


async def start_flow(
    settings: Settings,
    redirect_uri: str,
    http: HttpClient | None = None,
    *,
    login_hint: str | None = None,
    by_form: bool = True,
) -> Flow:
    """Begins a consent (PKCE S256, state and nonce are msal's); the answer comes as a POSTed form, or as a query."""

    def work(wire: Wire) -> Flow:
        app = _app(settings, wire, _cache(None))
        if not by_form:  # msal warns of it, on stderr: over http a posted form would come without the cookie
            warnings.filterwarnings("ignore", "response_mode=", UserWarning)
        asked = {"response_mode": "form_post" if by_form else "query", "prompt": "select_account"}
        data = app.initiate_auth_code_flow(SCOPES, redirect_uri=redirect_uri, login_hint=login_hint, **asked)
        return Flow(wire.real(data["auth_uri"]), data["state"], data)

    return await _in_a_thread(settings, http, work)


async def finish_flow(
    settings: Settings, data: Mapping[str, Any], form: Mapping[str, str], http: HttpClient | None = None
) -> Acquired:
    """The tokens for a posted form. BadRequest: refused, forged or too late, the person has to start again."""

    def work(wire: Wire) -> Acquired:
        cache = _cache(None)
        app = _app(settings, wire, cache)
        try:
            result = app.acquire_token_by_auth_code_flow(dict(data), dict(form))
        except ValueError as error:  # a wrong state, neither code nor error, a client_info that is none
            raise BadRequest(400, "callback_refused", "the answer does not belong to this consent") from error
        if result.get("error") in ("access_denied", "consent_required"):
            raise BadRequest(400, "consent_refused", "the permission was not given")
        try:
            found = _acquired(result, app, cache)
        except AuthorizationLost as error:
            raise BadRequest(400, "code_refused", "the code is used up or expired; start again") from error
        scopes = {scope.rpartition("/")[2].lower() for scope in str(result.get("scope", "")).split()}
        missing = [name for name, enough in NEEDED_SCOPES.items() if scopes and not scopes & enough]
        if missing:
            raise ScopeMissing(missing)
        return found

    return await _in_a_thread(settings, http, work)


async def _in_a_thread(settings: Settings, http: HttpClient | None, work: Callable[[Wire], T]) -> T:
    if not settings.microsoft_client_id or not settings.microsoft_client_secret:
        raise AppMisconfigured("MICROSOFT_CLIENT_ID and MICROSOFT_CLIENT_SECRET are not set")
    blocking = Blocking(http or HttpClient(), BLOCKED_MAX_S, TIMEOUT_S, BODY_BYTES_MAX)

    def mapped() -> T:
        wire = Wire(settings, blocking)
        try:
            done = work(wire)
        except TidemarkError:
            raise
        except Exception as error:  # msal raises whatever: its own, ValueError, KeyError, RuntimeError, assertions
            raise ProviderDown(f"msal cannot read Microsoft's answer ({type(error).__name__})") from error
        wire.keep_discovered()
        return done

    return await asyncio.to_thread(mapped)


def _cache(blob: str | None) -> "msal.SerializableTokenCache":
    import msal

    cache = msal.SerializableTokenCache()
    if blob:
        try:
            readable = isinstance(orjson.loads(blob), dict)
        except orjson.JSONDecodeError:
            readable = False
        if not readable:
            raise ContractBroken("the stored token cache cannot be read")
        cache.deserialize(blob)
    return cache


def _app(settings: Settings, wire: Wire, cache: "msal.SerializableTokenCache") -> "msal.ConfidentialClientApplication":
    import msal

    return msal.ConfidentialClientApplication(
        settings.microsoft_client_id,
        client_credential=settings.microsoft_client_secret,
        authority=wire.authority,
        token_cache=cache,
        http_client=wire,
        http_cache={},
        instance_discovery=False,  # the authority is one of Microsoft's own, by construction
    )


def _acquired(result: Mapping[str, Any], app: "msal.ConfidentialClientApplication", cache: Any) -> Acquired:
    if "error" in result:
        raise _refusal(result)
    account = next(iter(app.get_accounts()), None)
    if account is None:
        raise ContractBroken("Microsoft's answer names no account")
    expires_at_s = time.time() + int(result["expires_in"])
    changed = bool(cache.has_state_changed)
    return Acquired(result["access_token"], expires_at_s, cache.serialize(), changed, account["home_account_id"])


def _refusal(result: Mapping[str, Any]) -> TidemarkError:
    error, detail = safe_reason(result.get("error")), _detail(result)
    reason = f"{error}.{detail}" if detail else error
    if error in GRANT_ERRORS:
        return AuthorizationLost(reason)
    if error in APP_ERRORS:
        return AppMisconfigured(f"Microsoft refuses the app: {reason}")
    return TokenRefused(f"Microsoft's login answered {reason}")


def _detail(result: Mapping[str, Any]) -> str:
    """AADSTS700082, else the suberror. To be logged and shown; decisions are made on `error` alone."""
    codes = result.get("error_codes")
    if isinstance(codes, list) and codes and isinstance(codes[0], int):
        return f"AADSTS{codes[0]}"
    found = re.match(r"AADSTS[0-9]{1,10}", str(result.get("error_description", "")))
    return found.group() if found else safe_reason(result.get("suberror"))
