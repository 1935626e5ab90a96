"""What both providers' OAuth has in common: the token, the errors that blame no account, PKCE.

Source: https://www.rfc-editor.org/rfc/rfc6749#section-5.2 (errors), https://www.rfc-editor.org/rfc/rfc7636 (PKCE)
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from shared.core.errors import BadRequest, ContractBroken, ProviderDown
from shared.protocol.wire import Request, Response

TIMEOUT_S = 10.0  # one request to a token endpoint
BLOCKED_MAX_S = 10.0  # all requests of one call of a library, discovery included
REFRESH_PATIENCE_S = 6.0  # a refresh that failed is tried again for so long; with the last try, within the lock's life
BODY_BYTES_MAX = 256 * 1024
EXPIRES_IN_S = 3600  # where an answer does not say (RFC 6749 §5.1 only recommends it); a 401 refreshes sooner
FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}


class AppMisconfigured(ContractBroken):
    """The provider refuses the OAuth client itself: the operator has to act, no account is to blame."""

    slug = "app_misconfigured"


class TokenRefused(ProviderDown):
    """A 4xx of the token endpoint that blames neither grant nor client: an outage, but not tried again at once."""


class ScopeMissing(BadRequest):
    """A person left out a permission that is needed; `missing` as the provider names it."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(400, "scope_missing", "the permission to read mail was not given; start again and leave it on")
        self.missing = tuple(missing)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """`scope`: what was granted, space-separated, "" if the answer does not say; `refresh_token`: a new one, if any."""

    token: str = field(repr=False)
    expires_at_s: float
    scope: str = ""
    refresh_token: str | None = field(default=None, repr=False)


def form_post(url: str, fields: Mapping[str, str]) -> Request:
    return Request("POST", url, headers=FORM, body=urlencode(fields).encode())


def outage(status: int) -> type[ProviderDown]:
    """What an answer that blames nobody is raised as."""
    return TokenRefused if 400 <= status < 500 else ProviderDown


def json_object(response: Response) -> dict[str, Any]:
    """The answer's JSON object; anything else is an outage (a proxy's HTML page, a body cut short)."""
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise outage(response.status)(f"the token endpoint answered {response.status} without a JSON object")
    return value


def new_verifier() -> str:
    return secrets.token_urlsafe(48)


def challenge(verifier: str) -> str:
    """PKCE's S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
