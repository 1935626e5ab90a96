"""Microsoft's tokens through the real msal, against the stand-in for its identity platform, over real HTTP."""

import asyncio
import base64
import html
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as Received
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET
from infra.emulators.microsoft_identity import MicrosoftIdentity
from infra.emulators.server import Server
from shared.adapters.http_client import HttpClient
from shared.adapters.microsoft_auth import Acquired, acquire, finish_flow, start_flow
from shared.adapters.microsoft_wire import Wire
from shared.adapters.oauth import AppMisconfigured, TokenRefused
from shared.config import Settings, load
from shared.core.errors import AuthorizationLost, BadRequest, ContractBroken, ProviderDown

ADA = "ada@example.org"
BACK = "http://127.0.0.1:9/accounts/callback/microsoft"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[MicrosoftIdentity, str]]:
    identity = MicrosoftIdentity()
    identity.add_user(ADA, "Ada")
    with Server(identity.app) as server:
        yield identity, server.url


@pytest.fixture
def identity(served: tuple[MicrosoftIdentity, str]) -> MicrosoftIdentity:
    return served[0]


@pytest.fixture
def settings(served: tuple[MicrosoftIdentity, str]) -> Settings:
    return pointing_at(served[1])


def pointing_at(url: str) -> Settings:
    return load(
        {
            "UPSTASH_REDIS_REST_URL": "http://localhost:1",
            "UPSTASH_REDIS_REST_TOKEN": "t",
            "TIDEMARK_API_KEY": "k",
            "TOKEN_ENCRYPTION_KEYS": base64.b64encode(bytes(32)).decode(),
            "MICROSOFT_CLIENT_ID": CLIENT_ID,
            "MICROSOFT_CLIENT_SECRET": CLIENT_SECRET,
            "MICROSOFT_AUTHORITY_URL": url,
        }
    )


async def imported(settings: Settings, identity: MicrosoftIdentity) -> Acquired:
    return await acquire(settings, None, identity.mint_refresh_token(ADA))


async def consented(url: str, decision: str = "approve", scope: str | None = None) -> dict[str, str]:
    """The form that a person's browser posts back."""
    form = {"account": ADA, "decision": decision} | ({"scope": scope} if scope else {})
    async with httpx.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(url)).status_code == 200
        page = (await browser.post(url, data=form)).text
    return {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}


# -- the cache of a mailbox


async def test_an_import_becomes_a_cache_that_serves_without_a_request(
    settings: Settings, identity: MicrosoftIdentity
) -> None:
    first = await imported(settings, identity)
    assert first.changed
    assert re.fullmatch(r"[0-9a-f-]+\.[0-9a-f-]+", first.account_key)
    access = identity.access(first.token)
    assert access is not None
    assert (access.address, access.scopes) == (ADA, frozenset({"Mail.Read", "User.Read"}))
    assert 3590 < first.expires_at_s - time.time() <= 3600
    http = HttpClient()
    second = await acquire(settings, first.cache_blob, None, http)
    assert http.requests == 0
    assert (second.token, second.account_key, second.changed) == (first.token, first.account_key, False)
    assert abs(second.expires_at_s - first.expires_at_s) < 2


async def test_a_refresh_rotates_the_refresh_token_into_the_blob(
    settings: Settings, identity: MicrosoftIdentity
) -> None:
    first = await imported(settings, identity)
    http = HttpClient()
    second = await acquire(settings, first.cache_blob, None, http, force_refresh=True)
    assert http.requests == 1
    assert second.changed
    assert second.token != first.token

    def refresh_tokens(blob: str) -> list[str]:
        return [entry["secret"] for entry in json.loads(blob)["RefreshToken"].values()]

    assert refresh_tokens(first.cache_blob) != refresh_tokens(second.cache_blob)
    assert len(refresh_tokens(second.cache_blob)) == 1


async def test_an_expired_access_token_is_refreshed(settings: Settings, identity: MicrosoftIdentity) -> None:
    blob = json.loads((await imported(settings, identity)).cache_blob)
    for entry in blob["AccessToken"].values():
        entry["expires_on"] = str(int(time.time()) + 200)  # msal counts less than five minutes as expired
    http = HttpClient()
    found = await acquire(settings, json.dumps(blob), None, http)
    assert (http.requests, found.changed) == (1, True)


async def test_trouble_with_an_early_refresh_is_no_trouble(settings: Settings, identity: MicrosoftIdentity) -> None:
    first = await imported(settings, identity)
    blob = json.loads(first.cache_blob)
    for entry in blob["AccessToken"].values():
        entry["refresh_on"] = str(int(time.time()) - 10)
    identity.set_fault("server_error", endpoint="token", times=1)
    found = await acquire(settings, json.dumps(blob), None)
    assert found.token == first.token


async def test_nothing_to_start_with_is_a_lost_authorization(settings: Settings) -> None:
    for blob in (None, "{}"):
        with pytest.raises(AuthorizationLost) as lost:
            await acquire(settings, blob, None)
        assert lost.value.reason == "no_token"


@pytest.mark.parametrize("blob", ["not json", "[]", "5"])
async def test_a_blob_that_is_no_cache_is_not_a_lost_authorization(settings: Settings, blob: str) -> None:
    with pytest.raises(ContractBroken):
        await acquire(settings, blob, None)


# -- refusals


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("refresh_expired", AuthorizationLost, "invalid_grant.AADSTS700082"),
        ("revoked", AuthorizationLost, "invalid_grant.AADSTS50173"),
        ("mfa", AuthorizationLost, "interaction_required.AADSTS50076"),
        ("conditional_access", AuthorizationLost, "interaction_required.AADSTS50158"),
        ("consent", AuthorizationLost, "AADSTS65001"),
        ("bad_secret", AppMisconfigured, "invalid_client.AADSTS7000215"),
        ("secret_expired", AppMisconfigured, "invalid_client.AADSTS7000222"),
        ("throttled", TokenRefused, "429"),
        ("temporarily_unavailable", ProviderDown, "503"),
        ("server_error", ProviderDown, "500"),
        ("truncated", ProviderDown, "no answer|without a JSON object"),
        ("reset", ProviderDown, "no answer"),
    ],
)
async def test_a_refusal_says_who_has_to_act(
    settings: Settings, identity: MicrosoftIdentity, kind: str, error: type[Exception], said: str
) -> None:
    blob = (await imported(settings, identity)).cache_blob
    identity.set_fault(kind, endpoint="token", times=1)
    with pytest.raises(error, match=said) as raised:
        await acquire(settings, blob, None, force_refresh=True)
    assert type(raised.value) is error
    assert ADA not in str(raised.value)
    # msal would repeat a 400 from its own memory for a minute, and a 429 or 5xx for Retry-After
    assert (await acquire(settings, blob, None, force_refresh=True)).changed


async def test_a_revoked_grant_is_lost_and_the_stored_blob_is_left_alone(
    settings: Settings, identity: MicrosoftIdentity
) -> None:
    first = await imported(settings, identity)
    identity.revoke(ADA)
    with pytest.raises(AuthorizationLost, match="invalid_grant"):
        await acquire(settings, first.cache_blob, None, force_refresh=True)
    assert (await acquire(settings, first.cache_blob, None)).token == first.token


async def test_a_wait_that_is_named_is_kept(settings: Settings, identity: MicrosoftIdentity) -> None:
    token = identity.mint_refresh_token(ADA)
    identity.set_fault("throttled", endpoint="token", times=1, retry_after_s=9)
    with pytest.raises(ProviderDown) as down:
        await acquire(settings, None, token)
    assert down.value.after_s == 9


async def test_a_wrong_secret_blames_no_account(settings: Settings, identity: MicrosoftIdentity) -> None:
    token = identity.mint_refresh_token(ADA)
    for wrong in (replace(settings, microsoft_client_secret="wrong"), replace(settings, microsoft_client_id=None)):
        with pytest.raises(AppMisconfigured):
            await acquire(wrong, None, token)


# -- what msal is let do


def discovery(origin: str) -> dict[str, str]:
    base = f"{origin}/common/oauth2/v2.0"
    return {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token", "issuer": origin}


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "https://login.windows.net", "https://login.microsoftonline.com:444"]
)
async def test_a_discovery_document_cannot_send_tokens_elsewhere(elsewhere: str) -> None:
    async def document(request: Received) -> Response:
        return JSONResponse(discovery(elsewhere))

    with Server(Starlette(routes=[Route("/{path:path}", document)])) as server:
        http = HttpClient()
        with pytest.raises(ContractBroken):
            await acquire(pointing_at(server.url), None, "refresh-token", http)
        assert http.requests == 1


async def test_a_discovery_document_that_led_nowhere_is_not_kept() -> None:
    async def document(request: Received) -> Response:
        return JSONResponse({})

    with Server(Starlette(routes=[Route("/{path:path}", document)])) as server:
        for _ in range(2):
            http = HttpClient()
            with pytest.raises(ProviderDown):
                await acquire(pointing_at(server.url), None, "refresh-token", http)
            assert http.requests == 2  # the document again, and a token endpoint that does not take a POST


async def test_an_unknown_tenant_is_the_operators_matter() -> None:
    async def unknown(request: Received) -> Response:
        return JSONResponse({"error": "invalid_tenant"}, 400)

    with Server(Starlette(routes=[Route("/{path:path}", unknown)])) as server:
        for _ in range(2):
            http = HttpClient()
            with pytest.raises(AppMisconfigured):
                await acquire(pointing_at(server.url), None, "refresh-token", http)
            assert http.requests == 1  # refusals are not kept


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"access_token": "t", "client_info": "%"}',
        b'{"access_token": "t", "expires_in": "soon"}',
    ],
)
async def test_an_answer_that_cannot_be_read_is_no_lost_authorization(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def document(request: Received) -> Response:
        return JSONResponse(discovery("https://login.microsoftonline.com"))

    async def token(request: Received) -> Response:
        return Response(body)

    routes = [Route("/{path:path}", document), Route("/common/oauth2/v2.0/token", token, methods=["POST"])]
    with Server(Starlette(routes=routes[::-1])) as server, pytest.raises((ProviderDown, ContractBroken)):
        await acquire(pointing_at(server.url), None, "refresh-token")
    assert not caplog.records  # msal logs whole answers that are not JSON


async def test_discovery_is_asked_for_once_a_day(settings: Settings, identity: MicrosoftIdentity) -> None:
    await imported(settings, identity)
    before = identity.requests["configuration"]
    await asyncio.gather(*(imported(settings, identity) for _ in range(3)))
    assert identity.requests["configuration"] == before


def test_real_microsoft_is_not_rewritten(settings: Settings) -> None:
    for authority in ("https://login.microsoftonline.com", "https://login.microsoftonline.us"):
        wire = Wire(replace(settings, microsoft_authority_url=authority), None)  # type: ignore[arg-type]
        assert wire.authority == f"{authority}/common"
        assert wire.real(f"{authority}/x") == f"{authority}/x"


# -- consent


async def test_a_consent_gives_a_cache_that_can_be_refreshed(settings: Settings, identity: MicrosoftIdentity) -> None:
    flow = await start_flow(settings, BACK, login_hint=ADA)
    asked = parse_qs(urlsplit(flow.url).query)
    assert flow.url.startswith(f"{settings.microsoft_authority_url}/common/oauth2/v2.0/authorize?")
    assert asked["response_mode"] == ["form_post"]
    assert asked["code_challenge_method"] == ["S256"]
    assert set(asked["scope"][0].split()) == {"Mail.Read", "User.Read", "openid", "profile", "offline_access"}
    assert asked["state"] == [flow.state]
    form = await consented(flow.url)
    found = await finish_flow(settings, json.loads(json.dumps(flow.data)), form)
    assert found.changed
    again = await acquire(settings, found.cache_blob, None, force_refresh=True)
    assert again.account_key == found.account_key
    with pytest.raises(BadRequest) as refused:
        await finish_flow(settings, flow.data, form)
    assert refused.value.slug == "code_refused"


async def test_a_forged_or_empty_callback_is_refused(settings: Settings) -> None:
    flow = await start_flow(settings, BACK)
    for form in (
        {},
        {"code": "c"},
        {"code": "c", "state": "forged"},
        {"state": flow.state},
        {"state": flow.state, "code": "c", "client_info": "%"},
    ):
        with pytest.raises(BadRequest) as refused:
            await finish_flow(settings, flow.data, form)
        assert (refused.value.status, refused.value.slug) == (400, "callback_refused")


async def test_a_consent_that_is_declined_or_leaves_mail_out_is_refused(settings: Settings) -> None:
    for decision, scope, slug in (("deny", None, "consent_refused"), ("approve", "User.Read", "scope_missing")):
        flow = await start_flow(settings, BACK)
        with pytest.raises(BadRequest) as refused:
            await finish_flow(settings, flow.data, await consented(flow.url, decision, scope))
        assert refused.value.slug == slug


async def test_another_flows_verifier_does_not_fit(settings: Settings) -> None:
    one, other = await start_flow(settings, BACK), await start_flow(settings, BACK)
    form = await consented(one.url)
    with pytest.raises(BadRequest):
        await finish_flow(settings, {**one.data, "code_verifier": other.data["code_verifier"]}, form)


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(Acquired("secret", 0.0, "secret", True, "uid.utid"))


def test_msal_is_imported_at_its_first_use() -> None:
    code = "import sys, shared.adapters.microsoft_auth; print('msal' in sys.modules, 'requests' in sys.modules)"
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False False"
