"""What an answer's status means for the caller, the same for both providers and for parts of a batch.

    kind        meaning                                                  what follows
    OK          2xx
    NOT_FOUND   404, 410: gone, expired                                  the protocol decides what that means
    EXPIRED     401: the access token is not accepted                    refresh once
    THROTTLED   rate, concurrency or quota                               wait max(Retry-After, text, own back-off)
    DOWN        5xx, unreadable                                          retry; counts for the breaker when outer
    FORBIDDEN   the grant lacks a scope, or an admin forbids             needs a person
    REFUSED     any other 4xx: this request will not do                  not retried

Source: RFC 9110 §10.2.3 (Retry-After).
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum

from shared.core.errors import AccessExpired, AuthorizationLost, ContractBroken, NotFound, ProviderDown, Throttled

REASON_CHARACTERS_MAX = 64
RETRY_AFTER_S_MAX = 86400.0  # no answer may silence a mailbox for longer


class Kind(Enum):
    OK = "ok"
    NOT_FOUND = "not_found"
    EXPIRED = "access_expired"
    THROTTLED = "throttled"
    DOWN = "provider_down"
    FORBIDDEN = "forbidden"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Status:
    """`reason` is the provider's own code, reduced to harmless characters: it may be logged and shown."""

    kind: Kind
    http: int
    reason: str = ""
    retry_after_s: float | None = None

    def raise_unless_ok(self) -> None:
        """The kind as the error that its caller acts on."""
        text = f"the provider answered {self.http} {self.reason}".rstrip()
        match self.kind:
            case Kind.OK:
                return
            case Kind.NOT_FOUND:
                raise NotFound(text)
            case Kind.EXPIRED:
                raise AccessExpired(text)
            case Kind.THROTTLED:
                raise Throttled(text, self.retry_after_s)
            case Kind.DOWN:
                raise ProviderDown(text, self.retry_after_s)
            case Kind.FORBIDDEN:
                raise AuthorizationLost(self.reason or "forbidden")
            case _:
                raise ContractBroken(text)


def safe_reason(text: object) -> str:
    """A provider's code as letters, digits, `_`, `.` and `-` only; "" for anything but a string."""
    if not isinstance(text, str):
        return ""
    kept = "".join(c for c in text[: REASON_CHARACTERS_MAX * 2] if c.isascii() and (c.isalnum() or c in "_.-"))
    return kept[:REASON_CHARACTERS_MAX]


def retry_after_s(value: str | None, now_s: float | None) -> float | None:
    """Seconds to wait from a Retry-After header (delta seconds or an HTTP date); None for none or nonsense.

    `now_s`: seconds since the epoch; where it is not known, neither is a date's wait.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_S_MAX)
    if now_s is None:
        return None
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now_s), RETRY_AFTER_S_MAX)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
