"""Google's tokens against the stand-in for Google's authorization server, over real HTTP."""

import asyncio
import base64
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as Received
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.emulators.gmail.emulator import GmailEmulator
from infra.emulators.google_identity import GoogleIdentity
from infra.emulators.server import Server
from shared.adapters import google_auth
from shared.adapters.http_client import HttpClient
from shared.adapters.oauth import AccessToken, AppMisconfigured, TokenRefused, new_verifier
from shared.config import Settings, load
from shared.core.errors import AuthorizationLost, BadRequest, ProviderDown, TidemarkError

CLIENT_SECRET = "made-up"
ADA = "ada@example.org"
BACK = "http://127.0.0.1:9/accounts/callback/google"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[GmailEmulator, str]]:
    emulator = GmailEmulator()
    emulator.add_mailbox(ADA)
    with Server(emulator.app) as server:
        yield emulator, server.url
    emulator.close()


@pytest.fixture
def google(served: tuple[GmailEmulator, str]) -> GoogleIdentity:
    return served[0].identity


@pytest.fixture
def settings(served: tuple[GmailEmulator, str]) -> Settings:
    return pointing_at(served[1], served[0].settings.client_id, served[0].settings.client_secret)


@pytest.fixture(scope="module")
def saying() -> Iterator[Callable[[Response], Settings]]:
    """Settings of a token endpoint that says just that, to everyone."""
    said = Response()

    async def token(request: Received) -> Response:
        return said

    with Server(Starlette(routes=[Route("/{path:path}", token, methods=["POST"])])) as server:

        def say(answer: Response) -> Settings:
            nonlocal said
            said = answer
            return pointing_at(server.url)

        yield say


def pointing_at(url: str, client_id: str = "client", client_secret: str = CLIENT_SECRET) -> Settings:
    return load(
        {
            "UPSTASH_REDIS_REST_URL": "http://localhost:1",
            "UPSTASH_REDIS_REST_TOKEN": "t",
            "TIDEMARK_API_KEY": "k",
            "TOKEN_ENCRYPTION_KEYS": base64.b64encode(bytes(32)).decode(),
            "GOOGLE_CLIENT_ID": client_id,
            "GOOGLE_CLIENT_SECRET": client_secret,
            "GOOGLE_AUTH_URL": f"{url}/o/oauth2/v2/auth",
            "GOOGLE_TOKEN_URL": f"{url}/token",
            "GOOGLE_REVOKE_URL": f"{url}/revoke",
        }
    )


async def consented(settings: Settings, verifier: str, scope: str | None = None) -> str:
    """The code that a person's consent gives."""
    url = google_auth.authorize_url(settings, state="s1", verifier=verifier, redirect_uri=BACK, login_hint=ADA)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    form = {**asked, "asked_scope": asked["scope"], "email": ADA, "decision": "approve"}
    form["scope"] = asked["scope"] if scope is None else scope
    async with httpx.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(url)).status_code == 200
        answer = await browser.post(settings.google_auth_url, data=form)
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["s1"]
    return back["code"][0]


async def test_consent_code_refresh_and_revocation_are_one_story(settings: Settings, google: GoogleIdentity) -> None:
    verifier = new_verifier()
    code = await consented(settings, verifier)
    first = await google_auth.exchange_code(settings, code, verifier, BACK)
    assert first.refresh_token
    assert first.scope == "https://www.googleapis.com/auth/gmail.readonly"
    http = HttpClient()
    second = await google_auth.refresh(settings, first.refresh_token, http)
    assert http.requests == 1
    access = google.access(second.token)
    assert access is not None
    assert access.address == ADA
    assert second.token != first.token
    assert second.refresh_token is None
    assert second.scope == first.scope
    assert 3590 < second.expires_at_s - time.time() < 3600
    await google_auth.revoke(settings, first.refresh_token)
    with pytest.raises(AuthorizationLost) as lost:
        await google_auth.refresh(settings, first.refresh_token)
    assert lost.value.reason == "invalid_grant"
    await google_auth.revoke(settings, first.refresh_token)  # dead already: fine


def test_the_consent_page_is_asked_for_offline_access_with_pkce(settings: Settings) -> None:
    url = google_auth.authorize_url(settings, state="s", verifier="v" * 64, redirect_uri=BACK)
    asked = parse_qs(urlsplit(url).query)
    assert asked["access_type"] == ["offline"]
    assert asked["prompt"] == ["consent"]
    assert asked["code_challenge_method"] == ["S256"]
    assert "v" * 64 not in url
    assert "login_hint" not in asked


async def test_a_code_needs_its_verifier_and_works_once(settings: Settings) -> None:
    verifier = new_verifier()
    for wrong in ("another", verifier, verifier):
        code = await consented(settings, verifier)
        if wrong == verifier:
            await google_auth.exchange_code(settings, code, verifier, BACK)
        with pytest.raises(BadRequest) as refused:
            await google_auth.exchange_code(settings, code, wrong, BACK)
        assert (refused.value.status, refused.value.slug) == (400, "code_refused")


async def test_a_consent_without_the_permission_to_read_is_refused_and_costs_no_other_grant(
    settings: Settings, google: GoogleIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = new_verifier()
    monkeypatch.setattr(google_auth, "SCOPES", (*google_auth.SCOPES, "openid"))
    code = await consented(settings, verifier, scope="openid")
    with pytest.raises(BadRequest) as refused:
        await google_auth.exchange_code(settings, code, verifier, BACK)
    assert refused.value.slug == "scope_missing"
    assert not any(grant.revoked for grant in google._grants.values() if grant.scopes == {"openid"})


async def test_an_imported_grant_keeps_its_wider_scopes(settings: Settings, google: GoogleIdentity) -> None:
    token = google.mint_refresh_token(ADA, ["https://mail.google.com/", "openid"])
    assert set((await google_auth.refresh(settings, token)).scope.split()) == {"https://mail.google.com/", "openid"}


@pytest.mark.parametrize(
    ("kind", "extra", "error", "said"),
    [
        ("invalid_grant", {}, AuthorizationLost, "invalid_grant"),
        ("invalid_grant", {"error_subtype": "invalid_rapt"}, AuthorizationLost, "invalid_rapt"),
        ("invalid_grant", {"error_subtype": "rapt_required"}, AuthorizationLost, "rapt_required"),
        ("invalid_client", {}, AppMisconfigured, "invalid_client"),
        ("unauthorized_client", {}, AppMisconfigured, "unauthorized_client"),
        ("invalid_scope", {}, TokenRefused, "400 invalid_scope"),
        ("server_error", {}, TokenRefused, "400 server_error"),
        ("html_503", {}, ProviderDown, "503"),
    ],
)
async def test_a_refusal_says_who_has_to_act(
    settings: Settings, google: GoogleIdentity, kind: str, extra: dict[str, str], error: type[Exception], said: str
) -> None:
    google.fail_next(1, kind, **extra)
    http = HttpClient()
    with pytest.raises(error, match=said) as raised:
        await google_auth.refresh(settings, google.mint_refresh_token(ADA), http)
    assert type(raised.value) is error
    assert http.requests == 1  # left alone, google-auth sleeps and asks again


async def test_a_wrong_client_blames_no_account(settings: Settings, google: GoogleIdentity) -> None:
    token = google.mint_refresh_token(ADA)
    for wrong in (replace(settings, google_client_secret="wrong"), replace(settings, google_client_id=None)):
        with pytest.raises(AppMisconfigured) as refused:
            await google_auth.refresh(wrong, token)
        assert refused.value.slug == "app_misconfigured"
    with pytest.raises(AppMisconfigured):
        await google_auth.exchange_code(replace(settings, google_client_secret="wrong"), "code", "v", BACK)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>captive portal</html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"access_token": ""}'),
        (200, b'{"access_token": 5, "expires_in": 3599}'),
        (200, b'{"access_token": "t", "expires_in": "soon"}'),
        (200, b'{"access_token": "t", "expires_in": [1]}'),
        (200, b'{"access_token": "t", "expires_in": 1e300}'),
        (302, b""),
        (200, b'{"access_token": null, "refresh_token": "1//1"}'),
        (200, b'{"error": "invalid_grant_of_another_kind"}'),
        (400, b"{}"),
        (400, b"[]"),
        (400, b"<html>"),
        (400, b'{"error": ""}'),
        (400, b'{"error": "invalid_request"}'),
        (401, b"{}"),
        (400, b'{"error": {"code": 400}}'),
        (404, b"{}"),
        (500, b'{"error": "internal_failure"}'),
    ],
)
async def test_an_answer_that_cannot_be_read_is_an_outage(
    saying: Callable[[Response], Settings], status: int, body: bytes
) -> None:
    settings = saying(Response(body, status))
    with pytest.raises(ProviderDown):
        await google_auth.refresh(settings, "1//0")
    with pytest.raises(ProviderDown):
        await google_auth.exchange_code(settings, "code", "v", BACK)


@pytest.mark.parametrize(
    "more", [{}, {"expires_in": None, "scope": None, "token_type": None}, {"expires_in": "3600", "scope": ""}]
)
async def test_the_least_token_answer_will_do(saying: Callable[[Response], Settings], more: dict[str, object]) -> None:
    settings = saying(JSONResponse({"access_token": "a1", "refresh_token": "1//0"} | more))
    for found in (
        await google_auth.refresh(settings, "1//0"),
        await google_auth.exchange_code(settings, "code", "v", BACK),
    ):
        assert (found.token, found.scope) == ("a1", "")
        assert 3500 < found.expires_at_s - time.time() <= 3600


async def test_what_the_token_endpoint_says_of_time_is_kept() -> None:
    async def busy(request: Received) -> Response:
        return Response(b'{"error": "rate_limited"}', 429, headers={"retry-after": "7"})

    async def silent_on_expiry(request: Received) -> Response:
        return Response(b'{"access_token": "t", "refresh_token": "1//1"}')

    routes = [Route("/token", silent_on_expiry, methods=["POST"]), Route("/{path:path}", busy, methods=["POST"])]
    with Server(Starlette(routes=routes)) as server:
        settings = pointing_at(server.url)
        found = await google_auth.refresh(settings, "1//0")
        for call in (
            google_auth.revoke(settings, "t"),
            google_auth.refresh(replace(settings, google_token_url=f"{server.url}/x"), "1//0"),
        ):
            with pytest.raises(ProviderDown) as down:
                await call
            assert down.value.after_s == 7
    assert found.refresh_token == "1//1"
    assert 3500 < found.expires_at_s - time.time() <= 3600


async def test_a_token_endpoint_that_hangs_does_not_hold_a_thread_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(request: Received) -> Response:
        await asyncio.sleep(3)
        return Response(b"{}")

    monkeypatch.setattr(google_auth, "TIMEOUT_S", 0.2)
    with Server(Starlette(routes=[Route("/token", hang, methods=["POST"])])) as server:
        started_s = time.monotonic()
        with pytest.raises(ProviderDown, match="no answer within"):
            await google_auth.refresh(pointing_at(server.url), "1//0")
        assert time.monotonic() - started_s < 1.5


async def test_no_error_holds_the_token(settings: Settings, google: GoogleIdentity) -> None:
    google.fail_next(1, "invalid_scope", error_description="the token 1//0secret of ada@example.org")
    with pytest.raises(TidemarkError) as raised:
        await google_auth.refresh(settings, "1//0secret")
    assert "secret" not in str(raised.value)
    assert "secret" not in repr(AccessToken("secret", 0.0, "", "secret"))


def test_google_auth_is_imported_when_a_token_is_refreshed_and_no_sooner() -> None:
    code = "import sys, shared.adapters.google_auth; print('google.oauth2' in sys.modules, 'requests' in sys.modules)"
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False False"
