"""msal's HTTP, over ours: to Microsoft's login hosts, or to the one stand-in, and nowhere else.

    answer                    of Microsoft's hosts                  of a stand-in (any other MICROSOFT_AUTHORITY_URL)
    discovery document        as it is                              its endpoints; elsewhere than at its own origin, or
                                                                    Microsoft's, they are refused: ContractBroken
    none                      AppMisconfigured: no such tenant      Microsoft's paths, at its own origin
    token                     completed by what RFC 6749 leaves out (`_completed`)
    an OAuth error            msal's to read, and microsoft_auth's to map
    neither                   ProviderDown: it says nothing about the grant, which msal would take for "nothing cached"

msal has no time-outs, logs whole answers that are not JSON, and refuses http authorities: so a stand-in is Microsoft to
it, and the stand-in's origin is put in on the wire only. Its http_cache repeats a refusal for 60 s from memory: each
call gets a fresh one, discovery documents are kept here for a day instead.

Source: https://www.rfc-editor.org/rfc/rfc6749#section-5.1; facts/graph.md A4
"""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from shared.adapters.http_client import Blocking
from shared.adapters.oauth import EXPIRES_IN_S, AppMisconfigured, json_object, outage
from shared.config import Settings
from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.status import retry_after_s
from shared.protocol.wire import Request, Response

MICROSOFT = "https://login.microsoftonline.com"
DISCOVERY_S = 86_400.0
RETRIED = frozenset({408, 429})
NOT_IMPLEMENTED = 501  # of a server that knows no GET: for good, so no outage
# msal keeps tokens by account. A cache here is one mailbox's, so any one will do where an answer names none.
UNNAMED = base64.urlsafe_b64encode(b'{"uid":"mailbox","utid":"unnamed"}').rstrip(b"=").decode()
Pairs = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, as msal reads it; what it could not read has been raised before."""

    status_code: int
    text: str
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise ProviderDown(f"Microsoft answered {self.status_code}")


_discovered: dict[str, tuple[float, Answer]] = {}  # by URL: until when (monotonic), and the document


class Wire:
    """msal's `http_client`, for one call of it."""

    def __init__(self, settings: Settings, blocking: Blocking) -> None:
        from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS

        self._blocking = blocking
        self._hosts = WELL_KNOWN_AUTHORITY_HOSTS
        self._origin = settings.microsoft_authority_url
        self._stands_in = urlsplit(self._origin).hostname not in self._hosts
        self._discovered: dict[str, tuple[float, Answer]] = {}
        self.authority = f"{MICROSOFT if self._stands_in else self._origin}/{settings.microsoft_tenant}"

    def real(self, url: str) -> str:
        """Where a URL of msal's really is."""
        if not self._stands_in:
            return url
        if not url.startswith(f"{MICROSOFT}/"):
            raise ContractBroken("the stand-in's discovery leads elsewhere")
        return self._origin + url.removeprefix(MICROSOFT)

    def keep_discovered(self) -> None:
        """To be called when it has led to an answer: one bad document would be kept for a day."""
        _discovered.update(self._discovered)

    def get(self, url: str, params: Pairs = None, headers: Pairs = None, **_: Any) -> Answer:
        key = f"{self.real(url)}?{urlencode(params or {})}"
        until_s, answer = _discovered.get(key, (0.0, None))
        if answer is None or until_s <= time.monotonic():
            answer = self._document(self._send("GET", url, params, headers, None))
            self._discovered[key] = (time.monotonic() + DISCOVERY_S, answer)
        return answer

    def post(self, url: str, params: Pairs = None, data: Pairs = None, headers: Pairs = None, **_: Any) -> Answer:
        form = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        response = self._send("POST", url, params, form, urlencode(data or {}).encode())
        said = {name: value for name, value in json_object(response).items() if value not in (None, "")}
        if response.status == 200 and isinstance(said.get("access_token"), str):
            said = _completed(said, data or {})
        elif not isinstance(said.get("error"), str):
            raise outage(response.status)(
                f"Microsoft's login answered {response.status} with neither a token nor an error"
            )
        return Answer(response.status, orjson.dumps(said).decode(), response.headers)

    def close(self) -> None:
        """Nothing to close: the client belongs to the event loop."""

    def _send(self, method: str, url: str, params: Pairs, headers: Pairs, body: bytes | None) -> Response:
        base = urlsplit(url)
        if base.scheme != "https" or base.hostname not in self._hosts or base.port not in (None, 443):
            raise ContractBroken("msal was sent to a host that is not Microsoft's")
        request = Request(method, self.real(url), tuple((params or {}).items()), headers or {}, body)
        response = self._blocking.send(self._origin if self._stands_in else f"https://{base.hostname}", request)
        if response.status in RETRIED or (response.status >= 500 and response.status != NOT_IMPLEMENTED):
            after_s = retry_after_s(response.headers.get("retry-after"), time.time())
            raise outage(response.status)(f"Microsoft's login answered {response.status}", after_s)
        return response

    def _document(self, response: Response) -> Answer:
        if self._stands_in:
            return self._stand_ins_document(response)
        json_object(response)
        if response.status != 200:
            raise AppMisconfigured(f"Microsoft does not know the tenant ({response.status})")
        return Answer(200, response.body.decode(), response.headers)

    def _stand_ins_document(self, response: Response) -> Answer:
        try:
            said = json_object(response)
        except ProviderDown:
            said = {}
        if said.get("error") == "invalid_tenant":
            raise AppMisconfigured(f"the stand-in does not know the tenant ({response.status})")
        document = {}
        for name, path in (("authorization_endpoint", "authorize"), ("token_endpoint", "token")):
            named = said.get(name) if response.status == 200 else None
            own = f"{self.authority}/oauth2/v2.0/{path}"
            document[name] = self._to_msal(named) if isinstance(named, str) else own
        self.real(document["token_endpoint"])
        return Answer(200, orjson.dumps(document).decode(), response.headers)

    def _to_msal(self, url: str) -> str:
        """An endpoint at the stand-in's own origin as one of Microsoft's; any other as it is."""
        if _origin(url) != _origin(self._origin):
            return url
        return urlsplit(url)._replace(scheme="https", netloc=urlsplit(MICROSOFT).netloc).geturl()


def _completed(said: Mapping[str, Any], sent: Mapping[str, str]) -> dict[str, Any]:
    """A token answer with what msal needs: the defaults of RFC 6749 (§5.1, §6), and an account to keep it under.

    The id_token of a refresh is of no use here: nobody signs in, and its nonce is not looked at.
    """
    whole = {"expires_in": EXPIRES_IN_S, **said}
    if sent.get("grant_type") == "refresh_token":
        whole.setdefault("refresh_token", sent["refresh_token"])
        whole.pop("id_token", None)
    if "id_token" not in whole:
        whole.setdefault("client_info", UNNAMED)
    return whole


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
