"""Who may look: the API key, or a session that the key was swapped for in a browser.

    POST login    the key as a form field -> a cookie: HttpOnly, SameSite=Strict, an hour; over https `__Host-`, Secure
    POST logout   the session is over, in Redis and in the browser

The cookie opens what /status shows and nothing else: no other function reads it, and nothing here changes anything but
the session. A form is taken from our own pages only (Sec-Fetch-Site, else Origin), so that no other site can log a
person in or out. Only a browser on this machine, over http, gets a cookie without Secure.

Source: https://www.rfc-editor.org/rfc/rfc6265 (cookies), https://www.w3.org/TR/fetch-metadata/ (Sec-Fetch-Site)
"""

from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shared.adapters.sessions import LIFE_S, Sessions
from shared.config import Settings
from shared.core.errors import BadRequest
from shared.edge import is_key, read_body, require_key
from shared.status.page import login_page

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FORM_BYTES_MAX, FORM_FIELDS_MAX = 16 * 1024, 10
FORM = "application/x-www-form-urlencoded"


class NoSession(BadRequest):
    """401, told to a browser as the form to log in with."""

    def __init__(self) -> None:
        super().__init__(401, "unauthorized", "an Authorization header with the bearer key is needed")


async def admitted(request: Request, settings: Settings, sessions: Sessions) -> bool:
    """Whether by a session. Raises the 401; an Authorization header counts alone."""
    if "authorization" in request.headers:
        require_key(request, settings)
        return False
    if await sessions.holds(request.cookies.get(_cookie_name(request), "")):
        return True
    raise NoSession


async def log_in(request: Request, settings: Settings, sessions: Sessions) -> Response:
    _require_own_form(request, settings)
    sent = (await read_body(request, FORM_BYTES_MAX)).decode("utf-8", "replace")
    try:
        given = parse_qs(sent, max_num_fields=FORM_FIELDS_MAX).get("key", [""])[0]
    except ValueError:
        raise BadRequest(400, "malformed", "too many fields") from None
    if not is_key(given.strip(), settings):
        return login_page(status=401, said="This is not the key.")
    return _to_the_page(request, await sessions.begin(), LIFE_S)


async def log_out(request: Request, settings: Settings, sessions: Sessions) -> Response:
    _require_own_form(request, settings)
    await sessions.end(request.cookies.get(_cookie_name(request), ""))
    return _to_the_page(request, "", 0)


def _to_the_page(request: Request, secret: str, life_s: int) -> Response:
    secure = "; Secure" if _is_secure(request) else ""
    cookie = f"{_cookie_name(request)}={secret}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Strict{secure}"
    return RedirectResponse("/status", 303, {"set-cookie": cookie})


def _require_own_form(request: Request, settings: Settings) -> None:
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if kind != FORM:
        raise BadRequest(415, "unsupported_media_type", f"the body is {FORM}")
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        own = site in ("same-origin", "none")
    else:
        ours = {request.headers.get("host", ""), urlsplit(settings.public_url or "").netloc} - {""}
        own = origin is None or origin.partition("://")[2] in ours
    if not own:
        raise BadRequest(403, "cross_site", "this form was sent by another site")


def _is_secure(request: Request) -> bool:
    """Behind a proxy that ends TLS this process sees http: only a loopback host is taken to mean it."""
    return request.url.scheme == "https" or request.url.hostname not in LOOPBACK


def _cookie_name(request: Request) -> str:
    return "__Host-tidemark-status" if _is_secure(request) else "tidemark-status"
