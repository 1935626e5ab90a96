"""The Microsoft identity stand-in: consent, codes, tokens that rotate; msal works with it and is refused by it."""

import base64
import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import msal
import pytest

from infra.emulators.graph.aadsts import KINDS
from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET, TENANT_ID, challenge_of
from infra.emulators.microsoft_identity import MicrosoftIdentity
from tests.infra.graph_client import ADDRESS, TLS, StillClock, serve, standing

TOKEN = "/common/oauth2/v2.0/token"
AUTHORIZE = "/common/oauth2/v2.0/authorize"
REDIRECT = "http://127.0.0.1:1/callback"
VERIFIER = "v" * 43


class Desk:
    """The identity stand-in with a client that follows no redirects."""

    def __init__(self, identity: MicrosoftIdentity, url: str, clock: StillClock) -> None:
        self.identity, self.url, self.clock = identity, url, clock
        self.http = httpx.Client(base_url=url, trust_env=False, verify=TLS)

    def token(self, status: int = 200, **form: str) -> dict[str, Any]:
        answer = self.http.post(TOKEN, data={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | form)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def refresh(self, token: str, status: int = 200, **form: str) -> dict[str, Any]:
        return self.token(status, grant_type="refresh_token", refresh_token=token, **form)

    def asked(self, **changes: str) -> dict[str, str]:
        return {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": "Mail.Read User.Read openid profile offline_access",
            "state": "s",
            "nonce": "n",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        } | changes

    def consent(self, asked: dict[str, str], **answer: Any) -> httpx.Response:
        form = {"account": ADDRESS, "decision": "approve"} | answer
        return self.http.post(AUTHORIZE, params=asked, data=form)

    def code(self, **changes: str) -> str:
        location = self.consent(self.asked(**changes)).headers["Location"]
        return parse_qs(urlsplit(location).query)["code"][0]

    def redeem(self, code: str, status: int = 200, **changes: str) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        return self.token(status, **(form | changes))


@contextmanager
def desk() -> Iterator[Desk]:
    clock = StillClock()
    identity = MicrosoftIdentity(clock, seed=3)
    identity.add_user(ADDRESS)
    made = Desk(identity, serve("identity", identity.app), clock)
    yield made
    made.http.close()


class RewrittenHost:
    """An http_client for msal: https://login.microsoftonline.com on its lips, the stand-in on the wire."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(trust_env=False, verify=TLS)
        self.calls: list[str] = []

    def _wire(self, url: str) -> str:
        self.calls.append(url)
        return url.replace("https://login.microsoftonline.com", self.url)

    def get(self, url: str, params: Any = None, headers: Any = None, **kwargs: Any) -> httpx.Response:
        return self.http.get(self._wire(url), params=params, headers=headers)

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Any = None, **kwargs: Any
    ) -> httpx.Response:
        return self.http.post(self._wire(url), params=params, data=data, headers=headers)

    def close(self) -> None:
        self.http.close()


@contextmanager
def msal_app(
    url: str, cache: msal.SerializableTokenCache | None = None, secret: str = CLIENT_SECRET, tenant: str = "common"
) -> Iterator[Any]:
    http_client = RewrittenHost(url)
    yield msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential=secret,
        authority=f"https://login.microsoftonline.com/{tenant}",
        http_client=http_client,
        token_cache=cache,
    )
    http_client.close()


def hidden_fields(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def test_discovery_names_https_endpoints_and_the_tenants_issuer() -> None:
    with desk() as here:
        common = here.http.get("/common/v2.0/.well-known/openid-configuration").json()
        assert common["token_endpoint"] == "https://login.microsoftonline.com/common/oauth2/v2.0/token"
        assert common["issuer"] == "https://login.microsoftonline.com/{tenantid}/v2.0"
        own = here.http.get(f"/{TENANT_ID}/v2.0/.well-known/openid-configuration").json()
        assert own["issuer"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
        instances = here.http.get("/common/discovery/instance").json()
        assert "login.microsoftonline.com" in instances["metadata"][0]["aliases"]


def test_msal_runs_the_auth_code_flow_with_pkce_and_form_post() -> None:
    with desk() as here, msal_app(here.url) as app:
        flow = app.initiate_auth_code_flow(["Mail.Read"], redirect_uri=REDIRECT, response_mode="form_post")
        page = here.http.get(flow["auth_uri"].replace("https://login.microsoftonline.com", here.url))
        assert ADDRESS in page.text
        action = html.unescape(re.findall(r'action="([^"]+)"', page.text)[0])
        answer = here.http.post(action, data={"account": ADDRESS, "decision": "approve"})
        assert f'action="{REDIRECT}"' in answer.text
        result = app.acquire_token_by_auth_code_flow(flow, hidden_fields(answer.text))
        assert "error" not in result, result
        assert "Mail.Read" in result["scope"].split()
        assert result["id_token_claims"]["preferred_username"] == ADDRESS
        (account,) = app.get_accounts()
        assert account["username"] == ADDRESS
        user = here.identity.add_user(ADDRESS)
        assert account["home_account_id"] == f"{user.oid}.{TENANT_ID}"
        access = here.identity.access(result["access_token"])
        assert access is not None
        assert access.address == ADDRESS


def refresh_tokens(cache: msal.SerializableTokenCache) -> list[str]:
    return [entry["secret"] for entry in cache.search(msal.TokenCache.CredentialType.REFRESH_TOKEN)]


def test_msal_refreshes_from_its_cache_with_a_rotated_token() -> None:
    cache = msal.SerializableTokenCache()
    with desk() as here, msal_app(here.url, cache) as app:
        result = app.acquire_token_by_refresh_token(here.identity.mint_refresh_token(ADDRESS), ["Mail.Read"])
        assert "error" not in result, result
        (account,) = app.get_accounts()
        before = refresh_tokens(cache)
        assert app.acquire_token_silent_with_error(["Mail.Read"], account)["token_source"] == "cache"
        again = app.acquire_token_silent_with_error(["Mail.Read"], account, force_refresh=True)
        assert again["access_token"] != result["access_token"]
        assert len(refresh_tokens(cache)) == 1
        assert refresh_tokens(cache) != before


def test_msal_hears_of_a_revoked_grant_and_of_a_bad_secret() -> None:
    with desk() as here, msal_app(here.url) as app, msal_app(here.url, secret="wrong", tenant=TENANT_ID) as bad:
        app.acquire_token_by_refresh_token(here.identity.mint_refresh_token(ADDRESS), ["Mail.Read"])
        here.identity.revoke(ADDRESS)
        (account,) = app.get_accounts()
        refused = app.acquire_token_silent_with_error(["Mail.Read"], account, force_refresh=True)
        assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [50173])
        wrong = bad.acquire_token_for_client(["https://graph.microsoft.com/.default"])
        assert wrong["error"] == "invalid_client"


def test_msal_caches_an_app_token() -> None:
    with desk() as here, msal_app(here.url, tenant=TENANT_ID) as app:
        first = app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
        assert app.acquire_token_for_client(["https://graph.microsoft.com/.default"])["token_source"] == "cache"
        assert "refresh_token" not in first
        assert here.identity.requests["token"] == 1


def test_client_credentials_give_neither_scope_nor_refresh_token() -> None:
    with desk() as here:
        answer = here.token(grant_type="client_credentials", scope="https://graph.microsoft.com/.default")
        assert set(answer) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
        assert here.token(400, grant_type="client_credentials", scope="Mail.Read")["error"] == "invalid_scope"


def test_the_answer_comes_back_by_query_with_state() -> None:
    with desk() as here:
        answer = here.consent(here.asked())
        assert answer.status_code == 302
        location = urlsplit(answer.headers["Location"])
        assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT
        assert parse_qs(location.query)["state"] == ["s"]


def test_consent_may_be_denied_or_given_in_part() -> None:
    with desk() as here:
        denied = here.consent(here.asked(), decision="deny")
        assert parse_qs(urlsplit(denied.headers["Location"]).query)["error"] == ["access_denied"]
        partial = here.consent(here.asked(), scope=["User.Read"], scopes_shown="1")
        code = parse_qs(urlsplit(partial.headers["Location"]).query)["code"][0]
        answer = here.redeem(code, scope="Mail.Read User.Read")
        assert answer["scope"].split() == ["User.Read", "openid", "profile", "offline_access"]


def test_consent_can_be_given_without_a_page() -> None:
    with desk() as here:
        here.identity.set_auto_approve(ADDRESS)
        assert here.http.get(AUTHORIZE, params=here.asked()).status_code == 302


def test_an_unknown_app_or_address_gets_a_page_and_no_redirect() -> None:
    with desk() as here:
        here.identity.register_app("strict", "x", (REDIRECT,))
        for changes in (
            {"client_id": "nobody"},
            {"redirect_uri": "http://evil.example/cb"},
            {"client_id": "strict", "redirect_uri": "https://evil.example/cb"},
            {"response_mode": "odd"},
        ):
            answer = here.http.get(AUTHORIZE, params=here.asked(**changes))
            assert answer.status_code == 400
            assert "Location" not in answer.headers


def test_the_pages_escape_what_they_are_given() -> None:
    with desk() as here:
        page = here.http.get(AUTHORIZE, params=here.asked(scope='Mail.Read "><script>'))
        assert "<script>" not in page.text
        posted = here.consent(here.asked(state='"><script>x', response_mode="form_post"))
        assert "<script>x" not in posted.text
        assert hidden_fields(posted.text)["state"] == '"><script>x'


def test_a_request_that_is_wrong_goes_back_as_an_error() -> None:
    with desk() as here:
        for changes, error in (
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"prompt": "none"}, "login_required"),
        ):
            location = here.http.get(AUTHORIZE, params=here.asked(**changes)).headers["Location"]
            assert parse_qs(urlsplit(location).query)["error"] == [error]


def test_a_code_gives_all_tokens_with_the_nonce_and_client_info() -> None:
    with desk() as here:
        answer = here.redeem(here.code(), client_info="1")
        assert answer["token_type"] == "Bearer"
        assert answer["expires_in"] == answer["ext_expires_in"] == 3600
        assert answer["scope"] == "Mail.Read User.Read openid profile offline_access"
        keys = here.http.get(f"/{TENANT_ID}/discovery/v2.0/keys").json()["keys"]
        claims = jwt.decode(answer["id_token"], jwt.PyJWK(keys[0]), ["RS256"], audience=CLIENT_ID)
        assert (claims["nonce"], claims["tid"], claims["preferred_username"]) == ("n", TENANT_ID, ADDRESS)
        info = base64.urlsafe_b64decode(answer["client_info"] + "==")
        assert claims["oid"].encode() in info


def test_a_code_is_good_once_for_its_app_address_and_verifier() -> None:
    with desk() as here:
        here.identity.register_app("other", CLIENT_SECRET)
        code = here.code()
        assert here.redeem(code, 400, redirect_uri=f"{REDIRECT}/x")["error"] == "invalid_grant"
        assert here.redeem(code, 400, code_verifier="w" * 43)["error"] == "invalid_grant"
        assert here.redeem(code, 400, client_id="other")["error"] == "invalid_grant"
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        assert here.token(400, **form)["error"] == "invalid_grant"
        here.redeem(code)
        assert here.redeem(code, 400)["error_codes"] == [54005]
        late = here.code()
        here.clock.advance(601)
        assert here.redeem(late, 400)["error_codes"] == [70008]


def test_a_refresh_rotates_and_the_old_token_stays_good() -> None:
    with desk() as here:
        old = here.identity.mint_refresh_token(ADDRESS)
        new = here.refresh(old)["refresh_token"]
        assert new != old
        assert here.refresh(old)["refresh_token"] not in (old, new)


def test_under_strict_rotation_a_used_token_is_refused() -> None:
    with desk() as here:
        here.identity.set_strict_rotation(True)
        old = here.identity.mint_refresh_token(ADDRESS)
        new = here.refresh(old)["refresh_token"]
        assert here.refresh(old, 400)["error"] == "invalid_grant"
        here.refresh(new)


def test_a_refused_refresh_does_not_use_up_the_token() -> None:
    with desk() as here:
        here.identity.set_strict_rotation(True)
        token = here.identity.mint_refresh_token(ADDRESS, ("Mail.Read",))
        refused = here.refresh(token, 400, scope="Mail.ReadWrite")
        assert (refused["error_codes"], refused["suberror"]) == ([65001], "consent_required")
        here.refresh(token, scope="https://graph.microsoft.com/Mail.Read")


def test_refresh_tokens_die_of_age_and_revocation_and_access_tokens_of_time() -> None:
    with desk() as here:
        token = here.identity.mint_refresh_token(ADDRESS)
        access = here.refresh(token)["access_token"]
        assert here.identity.access(access) is not None
        here.clock.advance(3601)
        assert here.identity.access(access) is None
        here.clock.advance(90 * 86400)
        assert here.refresh(token, 400)["error_codes"] == [700082]
        young = here.identity.mint_refresh_token(ADDRESS)
        here.identity.revoke(ADDRESS)
        assert here.refresh(young, 400)["error_codes"] == [50173]


@pytest.mark.parametrize(
    "kind", ["refresh_expired", "inactive", "revoked", "mfa", "conditional_access", "consent", "spa"]
)
def test_every_refusal_of_a_grant_can_be_ordered_for_one_mailbox(kind: str) -> None:
    with desk() as here:
        here.identity.add_user("eve@example.com")
        here.identity.set_fault(kind, endpoint="token", mailbox=ADDRESS)
        here.refresh(here.identity.mint_refresh_token("eve@example.com"))
        refused = here.refresh(here.identity.mint_refresh_token(ADDRESS), 400)
        assert (refused["error"], refused["error_codes"]) == (KINDS[kind].error, [KINDS[kind].number])
        assert refused["error_description"].startswith(f"AADSTS{KINDS[kind].number}: ")
        here.refresh(here.identity.mint_refresh_token(ADDRESS))


def test_a_bad_secret_or_app_is_the_apps_fault() -> None:
    with desk() as here:
        token = here.identity.mint_refresh_token(ADDRESS)
        wrong = here.refresh(token, 401, client_secret="wrong")
        assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215])
        assert here.refresh(token, 400, client_id="nobody")["error"] == "unauthorized_client"
        basic = here.http.post(
            TOKEN, data={"grant_type": "refresh_token", "refresh_token": token}, auth=(CLIENT_ID, CLIENT_SECRET)
        )
        assert basic.status_code == 200


def test_trouble_at_entra_can_be_ordered() -> None:
    with desk() as here:
        token = here.identity.mint_refresh_token(ADDRESS)
        here.identity.set_fault("throttled", endpoint="token", retry_after_s=9)
        answer = here.http.post(TOKEN, data={"client_id": CLIENT_ID, "refresh_token": token})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "9")
        here.identity.set_fault("temporarily_unavailable", endpoint="token")
        assert here.refresh(token, 503)["error"] == "temporarily_unavailable"
        here.identity.set_fault("reset", endpoint="token")
        with pytest.raises(httpx.TransportError):
            here.refresh(token)
        here.refresh(token)


def test_a_refresh_whose_answer_is_lost_has_used_the_token_under_strict_rotation() -> None:
    with desk() as here:
        here.identity.set_strict_rotation(True)
        token = here.identity.mint_refresh_token(ADDRESS)
        here.identity.set_fault("truncated", endpoint="token")
        with pytest.raises(httpx.TransportError):
            here.refresh(token)
        assert here.refresh(token, 400)["error"] == "invalid_grant"


def test_graph_takes_the_tokens_of_its_identity() -> None:
    with standing(messages=1) as stand:
        form = {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": stand.graph.mint_refresh_token(ADDRESS),
        }
        token = stand.http.post(TOKEN, data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert len(stand.http.get("/v1.0/me/messages", headers=headers).json()["value"]) == 1
        stand.graph.identity.expire_access_tokens(ADDRESS)
        assert stand.http.get("/v1.0/me/messages", headers=headers).status_code == 401
