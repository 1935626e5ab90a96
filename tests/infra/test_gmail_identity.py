"""Google's authorization server in small: consent by script, PKCE, refresh, revocation, and every refusal."""

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from google.oauth2 import credentials as typed_in_part

from infra.emulators.gmail.settings import SCOPE_METADATA, SCOPE_READONLY
from tests.infra.gmail_client import ADDRESS, ME, Stand, StillClock, standing

google_credentials: Any = typed_in_part
CALLBACK = "http://127.0.0.1:9/accounts/callback/google"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def stand() -> Iterator[Stand]:
    with standing(StillClock()) as made:
        yield made


def asked(stand: Stand, **changes: str) -> dict[str, str]:
    return {
        "client_id": stand.gmail.settings.client_id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": f"{SCOPE_READONLY} {SCOPE_METADATA}",
        "state": 'st<a>te"',
        "access_type": "offline",
        "prompt": "consent",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes


def consent(stand: Stand, untick: str = "", decision: str = "approve", **changes: str) -> dict[str, str]:
    """Reads the page and sends its form as a browser would; the parameters the callback gets."""
    page = stand.http.get("/o/oauth2/v2/auth", params=asked(stand, **changes))
    assert page.status_code == 200, page.text
    fields: dict[str, Any] = {
        name: html.unescape(value)
        for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    }
    ticks = re.findall(r'type="checkbox" name="scope" value="([^"]*)"', page.text)
    form = fields | {"scope": [tick for tick in ticks if tick != untick], "email": ADDRESS, "decision": decision}
    answer = stand.http.post("/o/oauth2/v2/auth", data=form)
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(f"{CALLBACK}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def token(stand: Stand, **form: str) -> httpx.Response:
    client = {"client_id": stand.gmail.settings.client_id, "client_secret": stand.gmail.settings.client_secret}
    return stand.http.post("/token", data=client | form)


def redeem(stand: Stand, given: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": given, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return token(stand, **(form | changes))


def test_a_consent_leads_to_tokens_that_gmail_takes(stand: Stand) -> None:
    back = consent(stand)
    assert back["state"] == 'st<a>te"'
    answer = redeem(stand, back["code"]).json()
    assert answer.keys() == {"access_token", "expires_in", "refresh_token", "scope", "token_type"}
    assert (answer["expires_in"], answer["token_type"]) == (3599, "Bearer")
    again = token(stand, grant_type="refresh_token", refresh_token=answer["refresh_token"]).json()
    assert again.keys() == {"access_token", "expires_in", "scope", "token_type"}
    for each in (answer, again):
        headers = {"Authorization": f"Bearer {each['access_token']}"}
        assert stand.http.get(f"{ME}/profile", headers=headers).json()["emailAddress"] == ADDRESS


def test_an_unticked_scope_is_missing_from_the_answer(stand: Stand) -> None:
    answer = redeem(stand, consent(stand, untick=SCOPE_READONLY)["code"]).json()
    assert answer["scope"] == SCOPE_METADATA


def test_a_denial_comes_back_with_the_state_and_no_code(stand: Stand) -> None:
    assert consent(stand, decision="deny") == {"state": 'st<a>te"', "error": "access_denied"}


def test_a_refresh_token_comes_first_and_then_only_for_prompt_consent(stand: Stand) -> None:
    assert "refresh_token" in redeem(stand, consent(stand, prompt="")["code"]).json()
    assert "refresh_token" not in redeem(stand, consent(stand, prompt="")["code"]).json()
    assert "refresh_token" in redeem(stand, consent(stand)["code"]).json()
    assert "refresh_token" not in redeem(stand, consent(stand, access_type="online")["code"]).json()


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "stranger"},
        {"redirect_uri": "http://evil.example/"},
        {"response_type": "token"},
        {"scope": ""},
        {"code_challenge_method": "S512"},
    ],
)
def test_a_bad_request_is_shown_and_never_redirected(stand: Stand, changes: dict[str, str]) -> None:
    page = stand.http.get("/o/oauth2/v2/auth", params=asked(stand, **changes))
    assert page.status_code == 400
    sent = stand.http.post(
        "/o/oauth2/v2/auth", data=asked(stand, **changes) | {"decision": "approve", "email": ADDRESS}
    )
    assert sent.status_code == 400


def test_a_registered_redirect_uri_must_match_to_the_letter(stand: Stand) -> None:
    stand.gmail.settings.redirect_uris = [CALLBACK + "/"]
    assert stand.http.get("/o/oauth2/v2/auth", params=asked(stand)).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code_verifier": "wrong"}, 400, "invalid_grant"),
        ({"code_verifier": ""}, 400, "invalid_grant"),
        ({"code": "4/0Amade-up"}, 400, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:9/"}, 400, "redirect_uri_mismatch"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "stranger"}, 401, "invalid_client"),
        ({"client_secret": ""}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_code_is_not_redeemed_for(stand: Stand, changes: dict[str, str], status: int, error: str) -> None:
    answer = redeem(stand, consent(stand)["code"], **changes)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_code_works_once_and_for_ten_minutes(stand: Stand) -> None:
    code = consent(stand)["code"]
    assert redeem(stand, code).status_code == 200
    assert redeem(stand, code).json()["error"] == "invalid_grant"
    late = consent(stand)["code"]
    stand.gmail.clock.advance(601)
    assert redeem(stand, late).json()["error"] == "invalid_grant"


def test_an_access_token_dies_on_the_emulators_clock(stand: Stand) -> None:
    headers = {"Authorization": f"Bearer {stand.gmail.access_token(ADDRESS)}"}
    stand.gmail.clock.advance(3598)
    assert stand.http.get(f"{ME}/profile", headers=headers).status_code == 200
    stand.gmail.clock.advance(2)
    assert stand.http.get(f"{ME}/profile", headers=headers).status_code == 401


def test_revoking_kills_refresh_and_access_tokens(stand: Stand) -> None:
    refresh = stand.gmail.refresh_token(ADDRESS)
    access = token(stand, grant_type="refresh_token", refresh_token=refresh).json()["access_token"]
    assert stand.http.post("/revoke", data={"token": access}).json() == {}
    answer = token(stand, grant_type="refresh_token", refresh_token=refresh)
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    assert stand.http.get(f"{ME}/profile", headers={"Authorization": f"Bearer {access}"}).status_code == 401
    assert stand.http.post("/revoke", data={"token": refresh}).status_code == 400


def test_grants_of_an_app_in_testing_die_after_seven_days(stand: Stand) -> None:
    stand.gmail.settings.testing_expiry = True
    refresh = stand.gmail.refresh_token(ADDRESS)
    stand.gmail.clock.advance(7 * 86_400 - 1)
    assert token(stand, grant_type="refresh_token", refresh_token=refresh).status_code == 200
    stand.gmail.clock.advance(1)
    assert token(stand, grant_type="refresh_token", refresh_token=refresh).json()["error"] == "invalid_grant"


def test_token_requests_fail_on_order_and_are_counted(stand: Stand) -> None:
    refresh = stand.gmail.refresh_token(ADDRESS)
    stand.gmail.identity.fail_next(1)
    answer = token(stand, grant_type="refresh_token", refresh_token=refresh)
    assert answer.status_code == 503
    assert "html" in answer.headers["content-type"]
    stand.gmail.identity.fail_next(1, "invalid_grant", error_description="Bad Request", error_subtype="invalid_rapt")
    answer = token(stand, grant_type="refresh_token", refresh_token=refresh)
    assert answer.json()["error_subtype"] == "invalid_rapt"
    assert token(stand, grant_type="refresh_token", refresh_token=refresh).status_code == 200
    assert stand.gmail.counters(ADDRESS)["token_requests"] == 2


def test_google_auth_refreshes_against_it(stand: Stand) -> None:
    class Answer:
        def __init__(self, got: httpx.Response) -> None:
            self.status, self.headers, self.data = got.status_code, got.headers, got.content

    def send(url: str, method: str = "GET", body: Any = None, headers: Any = None, **_: Any) -> Answer:
        return Answer(stand.http.request(method, url, content=body, headers=headers))

    settings = stand.gmail.settings
    credentials: Any = google_credentials.Credentials(
        None,
        refresh_token=stand.gmail.refresh_token(ADDRESS, [SCOPE_READONLY]),
        token_uri=f"{stand.url}/token",
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        scopes=[SCOPE_READONLY],
    )
    credentials.refresh(send)
    assert stand.http.get(f"{ME}/profile", headers={"Authorization": f"Bearer {credentials.token}"}).status_code == 200
