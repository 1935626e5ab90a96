"""The pages and endpoints of Google's authorization server: consent, token, revoke, certificates.

    GET  /o/oauth2/v2/auth    the consent page: an account, a tick for each scope, Continue and Cancel
    POST /o/oauth2/v2/auth    what its form sends: the request's own parameters, `email`, `scope` for each tick left,
                              `decision` = approve | deny; 302 to redirect_uri with code or error=access_denied
    POST /token, POST /revoke, GET /oauth2/v1/certs, GET /oauth2/v3/certs

A bad client or redirect URI is shown here and never redirected to.
Source: https://developers.google.com/identity/protocols/oauth2/web-server
"""

import html
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from infra.emulators.google_identity import GoogleIdentity, OAuthError
from infra.emulators.google_keys import MAX_AGE_S

_ASKED = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "access_type",
    "prompt",
    "include_granted_scopes",
    "login_hint",
    "nonce",
    "code_challenge",
    "code_challenge_method",
]
_HTML_503 = "<html><head><title>503 Service Unavailable</title></head><body><h1>Error 503</h1></body></html>\n"


def routes(identity: GoogleIdentity) -> list[Route]:
    async def consent(request: Request) -> Response:
        if request.method == "GET":
            return _page(identity, dict(request.query_params))
        sent = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        return _decide(identity, sent)

    async def token(request: Request) -> Response:
        if identity.takes_html_503():
            return HTMLResponse(_HTML_503, 503)
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return JSONResponse({"error": "invalid_request", "error_description": "Bad Request"}, 400)
        sent = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        form = {name: values[-1] for name, values in sent.items()}
        return _answered(lambda: JSONResponse(identity.token(form), headers={"Cache-Control": "no-store"}))

    async def revoke(request: Request) -> Response:
        sent = parse_qs((await request.body()).decode("utf-8", "replace"))
        given = (sent.get("token") or [request.query_params.get("token", "")])[-1]

        def run() -> Response:
            identity.revoke(given)
            return JSONResponse({})

        return _answered(run)

    async def certs_v1(request: Request) -> Response:
        return JSONResponse(identity.keys.certs_v1(), headers=_CACHED)

    async def certs_v3(request: Request) -> Response:
        return JSONResponse(identity.keys.certs_v3(), headers=_CACHED)

    return [
        Route("/o/oauth2/v2/auth", consent, methods=["GET", "POST"]),
        Route("/token", token, methods=["POST"]),
        Route("/revoke", revoke, methods=["POST"]),
        Route("/oauth2/v1/certs", certs_v1, methods=["GET"]),
        Route("/oauth2/v3/certs", certs_v3, methods=["GET"]),
    ]


_CACHED = {"Cache-Control": f"public, max-age={MAX_AGE_S}, must-revalidate, no-transform"}


def _answered(run: Callable[[], Response]) -> Response:
    try:
        return run()
    except OAuthError as refused:
        return JSONResponse(refused.body, refused.status)


def _problem(identity: GoogleIdentity, asked: dict[str, str]) -> str | None:
    """What is wrong with an authorization request, in Google's words."""
    settings = identity.settings
    redirect = urlsplit(asked.get("redirect_uri", ""))
    loopback = redirect.hostname in ("127.0.0.1", "localhost", "::1")
    if asked.get("client_id") != settings.client_id:
        return "Error 401: invalid_client. The OAuth client was not found."
    if redirect.scheme != "https" and not (redirect.scheme == "http" and loopback):
        return "Error 400: redirect_uri_mismatch"
    if settings.redirect_uris and asked.get("redirect_uri") not in settings.redirect_uris:
        return "Error 400: redirect_uri_mismatch"
    if asked.get("response_type") != "code":
        return "Error 400: invalid_request. Required parameter is missing: response_type"
    if not asked.get("scope", "").split():
        return "Error 400: invalid_request. Missing required parameter: scope"
    if asked.get("code_challenge") and asked.get("code_challenge_method", "plain") not in ("S256", "plain"):
        return "Error 400: invalid_request. Invalid parameter value for code_challenge_method"
    return None


def _page(identity: GoogleIdentity, asked: dict[str, str]) -> Response:
    problem = _problem(identity, asked)
    if problem is not None:
        return HTMLResponse(f"<!doctype html><title>Error</title><h1>{html.escape(problem)}</h1>", 400)
    kept = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(asked[name])}">'
        for name in _ASKED
        if name in asked and name != "scope"
    )
    hint = asked.get("login_hint", "")
    accounts = "".join(
        f"<option{' selected' if each == hint else ''}>{html.escape(each)}</option>" for each in identity.addresses
    )
    scopes = "".join(
        f'<li><label><input type="checkbox" name="scope" value="{html.escape(each)}" checked> '
        f"{html.escape(each)}</label></li>"
        for each in asked["scope"].split()
    )
    return HTMLResponse(
        "<!doctype html><html lang=en><title>Sign in - Google accounts (stand-in)</title>"
        f'<h1>Choose what to allow</h1><form method="post" action="/o/oauth2/v2/auth">{kept}'
        f'<input type="hidden" name="asked_scope" value="{html.escape(asked["scope"])}">'
        f'<p><label>Account <select name="email">{accounts}</select></label></p><ul>{scopes}</ul>'
        '<p><button name="decision" value="approve">Continue</button> '
        '<button name="decision" value="deny">Cancel</button></p></form></html>'
    )


def _decide(identity: GoogleIdentity, sent: dict[str, list[str]]) -> Response:
    asked = {name: sent[name][-1] for name in _ASKED if name in sent and name != "scope"}
    asked["scope"] = sent.get("asked_scope", [" ".join(sent.get("scope", []))])[-1]
    problem = _problem(identity, asked)
    if problem is not None:
        return HTMLResponse(f"<!doctype html><title>Error</title><h1>{html.escape(problem)}</h1>", 400)
    ticked = frozenset(sent.get("scope", [])) & frozenset(asked["scope"].split())
    email = sent.get("email", [asked.get("login_hint", "")])[-1]
    answer = {"state": asked["state"]} if "state" in asked else {}
    if sent.get("decision") != ["approve"] or not ticked:
        answer["error"] = "access_denied"
    elif email not in identity.addresses:
        return HTMLResponse("<!doctype html><title>Error</title><h1>Couldn't find your Google Account</h1>", 400)
    else:
        answer |= {"code": identity.new_code(email, ticked, asked), "scope": " ".join(sorted(ticked))}
    joint = "&" if urlsplit(asked["redirect_uri"]).query else "?"
    return RedirectResponse(f"{asked['redirect_uri']}{joint}{urlencode(answer)}", 302)
