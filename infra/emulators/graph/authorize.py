"""The authorize endpoint: checks what the app asks for, shows the consent page, sends the answer back.

    the app or redirect_uri is wrong      a page that says so; nothing is sent to an address nobody registered
    anything else is wrong                error and state to redirect_uri
    approved                              code, state, session_state; only the scopes left ticked are granted
    denied                                access_denied

Source: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#request-an-authorization-code
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlencode

from infra.emulators.graph import consent
from infra.emulators.graph.asgi import Request, Response, html_response
from infra.emulators.graph.grants import OIDC_SCOPES, App, Grants, short_scopes

_LOOPBACK = re.compile(r"^http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(?:/|$)")
_MODES = ("query", "form_post", "fragment")

Asked = dict[str, str]


@dataclass(slots=True)
class Authorize:
    grants: Grants
    client_info: Callable[[str], str]
    auto_approve: str | None = None  # an address that consents to everything without a page

    def answer(self, request: Request) -> Response:
        asked = dict(request.query)
        app = self.grants.apps.get(asked.get("client_id", ""))
        if app is None:
            return _page("AADSTS700016: Application was not found in the directory.")
        if not _allowed(app, asked.get("redirect_uri", "")):
            return _page(
                "AADSTS50011: The redirect URI does not match the redirect URIs configured for the application."
            )
        if asked.get("response_mode", "query") not in _MODES:
            return _page("AADSTS90014: The response_mode is not supported.")
        scopes = short_scopes(asked.get("scope", ""))
        fault = _fault(asked, scopes)
        if fault is not None:
            return _back(asked, {"error": fault[0], "error_description": fault[1]})
        if request.method == "POST":
            answer = parse_qs(request.body.decode("latin-1"))
        elif self.auto_approve is not None:
            answer = {"account": [self.auto_approve], "decision": ["approve"]}
        else:
            return self._ask(request, app, asked, scopes)
        return self._decided(app, asked, answer, scopes)

    def _ask(self, request: Request, app: App, asked: Asked, scopes: list[str]) -> Response:
        if asked.get("prompt") == "none":
            text = "AADSTS50058: A silent sign-in request was sent but no user is signed in."
            return _back(asked, {"error": "login_required", "error_description": text})
        action = f"{unquote(request.path)}?{urlencode(request.query)}"
        known = [user.address for user in self.grants.users.values()]
        shown = [scope for scope in scopes if scope not in OIDC_SCOPES]
        return html_response(consent.consent_page(action, app.client_id, known, shown, asked.get("login_hint")))

    def _decided(self, app: App, asked: Asked, answer: dict[str, list[str]], scopes: list[str]) -> Response:
        if answer.get("decision") != ["approve"]:
            text = "AADSTS65004: User declined to consent to access the app."
            return _back(asked, {"error": "access_denied", "error_subcode": "cancel", "error_description": text})
        address = (answer.get("account") or [""])[0]
        if address.lower() not in self.grants.users:
            return _page("AADSTS50034: The user account does not exist in the directory.")
        if "scope" in answer or "scopes_shown" in answer:
            chosen = answer.get("scope", [])
            scopes = [scope for scope in scopes if scope in OIDC_SCOPES or scope in chosen]
        grant = self.grants.consent(app.client_id, address, frozenset(scopes))
        challenge = asked.get("code_challenge") or None
        code = self.grants.issue_code(grant, asked["redirect_uri"], challenge, asked.get("nonce"))
        session = base64.urlsafe_b64encode(code[-12:].encode()).decode()
        return _back(asked, {"code": code, "client_info": self.client_info(address), "session_state": session})


def _fault(asked: Asked, scopes: list[str]) -> tuple[str, str] | None:
    if asked.get("response_type") != "code":
        return "unsupported_response_type", "AADSTS700051: response_type is not enabled for the application."
    if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
        return "invalid_request", "AADSTS501491: Invalid size or method of Code_Challenge parameter."
    if not scopes:
        return "invalid_request", "AADSTS900144: The request must contain the following parameter: 'scope'."
    return None


def _page(text: str) -> Response:
    return html_response(consent.refusal_page(text), 400)


def _back(asked: Asked, fields: dict[str, str]) -> Response:
    if "state" in asked:
        fields = fields | {"state": asked["state"]}
    redirect_uri, mode = asked["redirect_uri"], asked.get("response_mode", "query")
    if mode == "form_post":
        return html_response(consent.form_post_page(redirect_uri, fields))
    mark = "#" if mode == "fragment" else "&" if "?" in redirect_uri else "?"
    location = f"{redirect_uri}{mark}{urlencode(fields, quote_via=quote)}"
    return Response(302, b"", {"Location": location, "Cache-Control": "no-store"})


def _allowed(app: App, redirect_uri: str) -> bool:
    if app.redirect_uris is not None:
        return redirect_uri in app.redirect_uris
    return redirect_uri.startswith("https://") or bool(_LOOPBACK.match(redirect_uri))
