"""Connecting a mailbox in a browser: link, provider's consent page, callback.

    POST /accounts/connect   (key)     a sealed link, good for 10 minutes
    GET  that link                     state and verifier are made, a cookie binds them to this browser; to the provider
    callback                           the cookie, then the state (once), then the code; the mailbox is connected
                                       to `return_to` with account_id, or a page that says so

    refused with a page                no cookie, another browser, a used or old state; "no" at the provider; a
                                       permission left out (it says which); a code that does not work

    cookie             over https                            over http (loopback only: nothing else is a PUBLIC_URL)
    Google's           __Host-, Secure, SameSite=Lax         Lax
    Microsoft's        __Host-, Secure, SameSite=None: the   Lax, and the answer comes in the query: browsers keep no
                       answer is a form posted from its site  Secure cookie there

Each provider has its own, else one tab would take from the other's cookie what that needs. A cookie that is there is
kept, so that two tabs can connect two mailboxes of the same provider.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit, urlunsplit

from shared.adapters import google_auth, microsoft_auth
from shared.adapters.access import Refreshed
from shared.adapters.consents import LIFE_S, Begun, Consents, Link, new_secret
from shared.adapters.http_client import HttpClient
from shared.adapters.oauth import new_verifier
from shared.config import Settings
from shared.core.errors import BadRequest

CALLBACKS = {"gmail": "google", "outlook": "microsoft"}
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_PORTS = {"https": 443, "http": 80}
RETURN_TO_CHARACTERS_MAX = 2048


class ConsentRefused(BadRequest):
    """Told to a person; `back` is where they came from, `missing` the permissions that were left out."""

    def __init__(self, error: BadRequest, back: str) -> None:
        super().__init__(error.status, error.slug, str(error))
        self.back = back
        self.missing: tuple[str, ...] = getattr(error, "missing", ())


class Consent:
    """`public_url` is where browsers reach these functions: PUBLIC_URL, or a loopback origin."""

    def __init__(self, settings: Settings, http: HttpClient, consents: Consents, public_url: str) -> None:
        self._settings, self._http, self._consents = settings, http, consents
        self._url = f"{public_url}/accounts"

    @property
    def _secure(self) -> bool:
        return self._url.startswith("https:")

    def _by_form(self, provider: str) -> bool:
        return self._secure and provider == "outlook"

    def _cookie_name(self, provider: str) -> str:
        return f"{'__Host-' if self._secure else ''}tidemark-consent-{provider}"

    def _cookie(self, provider: str, browser: str) -> str:
        same_site = "None" if self._by_form(provider) else "Lax"
        kind = f"SameSite={same_site}{'; Secure' if self._secure else ''}"
        return f"{self._cookie_name(provider)}={browser}; Path=/; Max-Age={LIFE_S}; HttpOnly; {kind}"

    def link(self, provider: str, user_id: str, return_to: str) -> str:
        """The URL to send the person to. 400 for a `return_to` of an origin that is not allowed."""
        s = self._settings
        ids = {"gmail": s.google_client_id, "outlook": s.microsoft_client_id}
        secrets = {"gmail": s.google_client_secret, "outlook": s.microsoft_client_secret}
        if not ids[provider] or not secrets[provider]:
            raise BadRequest(400, "provider_off", "this provider's OAuth client is not configured here")
        if return_to and not _is_allowed(return_to, self._settings.return_to_origins):
            raise BadRequest(400, "return_to_refused", "return_to is not at one of RETURN_TO_ORIGINS")
        return f"{self._url}/connect?{urlencode({'link': self._consents.link(provider, user_id, return_to)})}"

    async def begin(self, text: str, cookies: Mapping[str, str]) -> tuple[str, str]:
        """Where the person goes now, and the Set-Cookie header. BadRequest for a link that is not, or no more, good."""
        link = self._consents.opened(text)
        if link is None:
            raise BadRequest(400, "link_expired", "This link is not good any more. Ask for a new one.")
        browser = cookies.get(self._cookie_name(link.provider), "")
        if not _SECRET.fullmatch(browser):
            browser = new_secret()
        callback = f"{self._url}/callback/{CALLBACKS[link.provider]}"
        if link.provider == "gmail":
            state, verifier = new_secret(), new_verifier()
            secret: object = verifier
            to = google_auth.authorize_url(self._settings, state=state, verifier=verifier, redirect_uri=callback)
        else:
            flow = await microsoft_auth.start_flow(
                self._settings, callback, self._http, by_form=self._by_form(link.provider)
            )
            state, secret, to = flow.state, flow.data, flow.url
        await self._consents.begin(state, link, browser, secret)
        return to, self._cookie(link.provider, browser)

    async def finish(
        self, provider: str, answer: Mapping[str, str], cookies: Mapping[str, str]
    ) -> tuple[Link, Refreshed]:
        """The tokens of a granted consent. Raises BadRequest, ConsentRefused once it is known where to go back to."""
        browser, state = cookies.get(self._cookie_name(provider), ""), answer.get("state", "")
        begun = None
        if _SECRET.fullmatch(browser) and 0 < len(state) <= 256:
            begun = await self._consents.take(state, browser)
        if begun is None or begun.link.provider != provider:
            text = "This answer does not belong to a consent that was begun in this browser. Start again."
            raise BadRequest(400, "callback_refused", text)
        try:
            return begun.link, await self._tokens(begun, answer)
        except BadRequest as error:
            raise ConsentRefused(error, begun.link.return_to) from error

    async def _tokens(self, begun: Begun, answer: Mapping[str, str]) -> Refreshed:
        settings = self._settings
        if "error" in answer or not answer.get("code"):
            raise BadRequest(400, "consent_refused", "The permission to read the mailbox was not given.")
        if begun.link.provider == "gmail":
            callback = f"{self._url}/callback/{CALLBACKS['gmail']}"
            found = await google_auth.exchange_code(settings, answer["code"], begun.secret, callback, self._http)
            return Refreshed(found.token, found.expires_at_s, found.refresh_token)
        acquired = await microsoft_auth.finish_flow(settings, begun.secret, answer, self._http)
        return Refreshed(acquired.token, acquired.expires_at_s, acquired.cache_blob)


def returned(return_to: str, account_id: str) -> str:
    """`return_to` with the account's id in its query; what was there is kept."""
    parts = urlsplit(return_to)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{urlencode({'account_id': account_id})}"))


def _is_allowed(return_to: str, origins: tuple[str, ...]) -> bool:
    """Printable ASCII without what browsers read in their own way, and exactly an allowed scheme, host and port."""
    if not re.fullmatch(r"[!-~]+", return_to) or len(return_to) > RETURN_TO_CHARACTERS_MAX or "\\" in return_to:
        return False
    try:
        parts = urlsplit(return_to)
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
            return False
        return _origin(return_to) in {_origin(origin) for origin in origins}
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    return parts.scheme, (parts.hostname or "").lower(), port
