"""Google's tokens: consent, code, refresh, revocation.

    answer of the token endpoint                 here
    200                                          AccessToken
    invalid_grant                                AuthorizationLost (reason: its subtype where it has one: invalid_rapt)
    invalid_client, unauthorized_client, …       AppMisconfigured: the operator's matter, no account's
    anything else, unreadable, no answer         ProviderDown; of it a 4xx: TokenRefused

google-auth refreshes, in a thread: it has no async user credentials. Its transport is ours, and maps a refusal before
google-auth sees it: left alone it repeats a 503 with sleeps of up to 2.9 s, says `retryable` False of a 503 with HTML,
and drops the subtype of a reauthentication error. No scopes are sent with a refresh: an imported grant may have others.

One scope is asked for: gmail.readonly reads messages, history and labels, watches, and `getProfile` says the address,
so neither openid nor email is needed. Without PKCE's verifier a stolen code is worthless. A grant without that scope
is refused and not kept. It is not revoked: Google would end the person's other grants to the app with it, and a tick
left out on reconnecting would cost a mailbox that works.

Source: https://developers.google.com/identity/protocols/oauth2/web-server
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

from shared.adapters.http_client import Blocking, HttpClient
from shared.adapters.oauth import (
    BLOCKED_MAX_S,
    BODY_BYTES_MAX,
    EXPIRES_IN_S,
    TIMEOUT_S,
    AccessToken,
    AppMisconfigured,
    ScopeMissing,
    challenge,
    form_post,
    json_object,
    outage,
)
from shared.config import Settings
from shared.core.errors import AuthorizationLost, BadRequest, ProviderDown, TidemarkError
from shared.protocol.status import retry_after_s, safe_reason
from shared.protocol.wire import Request, Response

SCOPES = ("https://www.googleapis.com/auth/gmail.readonly",)
READING_SCOPES = frozenset({*SCOPES, "https://www.googleapis.com/auth/gmail.modify", "https://mail.google.com/"})
APP_ERRORS = frozenset({"invalid_client", "unauthorized_client", "deleted_client", "redirect_uri_mismatch"})


def authorize_url(
    settings: Settings, *, state: str, verifier: str, redirect_uri: str, login_hint: str | None = None
) -> str:
    """Google's consent page. prompt=consent: only then does a repeated consent give a refresh token."""
    asked = {
        "client_id": _client(settings)[0],
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": " ".join(SCOPES),
        "access_type": "offline",
        "prompt": "consent",
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    if login_hint:
        asked["login_hint"] = login_hint
    return f"{settings.google_auth_url}?{urlencode(asked)}"


async def exchange_code(
    settings: Settings, code: str, verifier: str, redirect_uri: str, http: HttpClient | None = None
) -> AccessToken:
    """The tokens for a code, `refresh_token` among them. BadRequest: the person has to start again."""
    client_id, client_secret = _client(settings)
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
        "client_id": client_id,
        "client_secret": client_secret,
    }
    asked_at_s = time.time()
    try:
        found = json_object(_granted(await _post(http, settings.google_token_url, fields)))
    except AuthorizationLost as error:
        raise BadRequest(400, "code_refused", "the authorization code is used up or expired; start again") from error
    token, scope, refresh_token = (_text(found, name) for name in ("access_token", "scope", "refresh_token"))
    if scope and not READING_SCOPES.intersection(scope.split()):
        raise ScopeMissing(SCOPES)
    if not token or not refresh_token:
        raise ProviderDown("Google's answer lacks a token")
    lives_s = found.get("expires_in")
    expires_at_s = asked_at_s + (lives_s if isinstance(lives_s, int | float) else EXPIRES_IN_S)
    return AccessToken(token, expires_at_s, scope, refresh_token)


async def revoke(settings: Settings, token: str, http: HttpClient | None = None) -> None:
    """Ends the grant of a refresh or access token; one that is dead already is fine. Raises ProviderDown."""
    answer = await _post(http, settings.google_revoke_url, {"token": token})
    if answer.status not in (200, 400):
        raise ProviderDown(f"Google's revocation endpoint answered {answer.status}", _after_s(answer))


async def refresh(settings: Settings, refresh_token: str, http: HttpClient | None = None) -> AccessToken:
    """A new access token. Raises AuthorizationLost, AppMisconfigured, ProviderDown; blocks a thread, at most 10 s."""
    client = _client(settings)
    blocking = Blocking(http or HttpClient(), BLOCKED_MAX_S, TIMEOUT_S, BODY_BYTES_MAX)
    return await asyncio.to_thread(_refreshed, settings.google_token_url, client, refresh_token, blocking)


class _Answer:
    """A transport's response, as google-auth reads it."""

    def __init__(self, response: Response) -> None:
        self.status, self.headers, self.data = response.status, response.headers, response.body


class _Transport:
    def __init__(self, token_url: str, blocking: Blocking) -> None:
        self._token_url, self._blocking = token_url, blocking
        self.granted: dict[str, Any] = {}

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> _Answer:
        response = _granted(
            self._blocking.send(self._token_url, Request(method, url, headers=headers or {}, body=body))
        )
        self.granted = json_object(response)
        return _Answer(response)


def _refreshed(token_url: str, client: tuple[str, str], refresh_token: str, blocking: Blocking) -> AccessToken:
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.credentials import Credentials

    transport = _Transport(token_url, blocking)
    untyped: Any = Credentials
    credentials = untyped(
        token=None, refresh_token=refresh_token, token_uri=token_url, client_id=client[0], client_secret=client[1]
    )
    try:
        credentials.refresh(transport)
    except (GoogleAuthError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ProviderDown(f"Google's answer cannot be read ({type(error).__name__})") from error
    if not isinstance(credentials.token, str) or not credentials.token:
        raise ProviderDown("Google's answer lacks a token")
    ends = credentials.expiry
    expires_at_s = ends.replace(tzinfo=UTC).timestamp() if ends else time.time() + EXPIRES_IN_S
    rotated = _text(transport.granted, "refresh_token")
    return AccessToken(
        credentials.token,
        expires_at_s,
        _text(transport.granted, "scope"),
        rotated if rotated not in ("", refresh_token) else None,
    )


def _client(settings: Settings) -> tuple[str, str]:
    if not settings.google_client_id or not settings.google_client_secret:
        raise AppMisconfigured("GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET are not set")
    return settings.google_client_id, settings.google_client_secret


async def _post(http: HttpClient | None, url: str, fields: Mapping[str, str]) -> Response:
    client = http or HttpClient()
    return await client.send(url, form_post(url, fields), timeout_s=TIMEOUT_S, body_bytes_max=BODY_BYTES_MAX)


def _granted(response: Response) -> Response:
    """The response, if it is a 200; else the table above."""
    if response.status == 200:
        return response
    raise _refusal(response)


def _refusal(response: Response) -> TidemarkError:
    try:
        said = json_object(response)
    except ProviderDown as error:
        return type(error)(str(error), _after_s(response))
    code, subtype = safe_reason(said.get("error")), safe_reason(said.get("error_subtype"))
    if code == "invalid_grant":
        return AuthorizationLost(subtype or code)
    if code in APP_ERRORS:
        return AppMisconfigured(f"Google refuses the OAuth client: {code}")
    said_so = f"Google's token endpoint answered {response.status} {code}".rstrip()
    return outage(response.status)(said_so, _after_s(response))


def _after_s(response: Response) -> float | None:
    return retry_after_s(response.headers.get("retry-after"), time.time())


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""
