"""What Gmail's answer means: the whole answer or one part of a batch, by status, reason and domain, never by one alone.

    answer                                                        kind
    2xx                                                           OK
    401                                                           EXPIRED
    429; 403 with a rate or quota reason, domain `usageLimits`    THROTTLED
         or a "Retry after" time in the text
    403 dailyLimitExceeded                                        THROTTLED, for an hour at least
    403 insufficientPermissions, domainPolicy                     FORBIDDEN: the grant or an admin, a person must act
    400 failedPrecondition "Mail service not enabled"             FORBIDDEN: this user has no Gmail (any more)
    400 failedPrecondition with any other text                    DOWN: seen to pass by itself, so it kills no grant
    404, 410 with Google's JSON error                             NOT_FOUND
    403, 404, 410 without it (HTML, empty, somebody's proxy)      DOWN: not Gmail's word; a 404 page deletes no mail
    403 accessNotConfigured, any other reason                     REFUSED: the project or topic is misconfigured;
                                                                  asking every user to consent again would mend nothing
    400 "Invalid id value", too many parts, any other 4xx         REFUSED
    408, 5xx, and statuses the API never sends                    DOWN

PERMISSION_DENIED in the body decides nothing: a quota refusal says it too. The wait is the longest of what the header
and the text say, at most a day: no answer may silence a mailbox for longer. It is None where the provider says nothing;
the caller's own back-off comes on top. The next midnight Pacific, when a daily limit ends, is not known here.

Only the first BODY_BYTES_MAX bytes of a body count; orjson refuses deep nesting without recursing.

Source: https://developers.google.com/workspace/gmail/api/guides/handle-errors; facts/gmail.md 1.3 (A to M)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from shared.core.message import instant_s
from shared.protocol.status import RETRY_AFTER_S_MAX, Kind, Status, retry_after_s, safe_reason
from shared.protocol.wire import Response

BODY_BYTES_MAX = 65536  # Google's errors have less than 2 KB
ENTRIES_MAX = 16  # of errors[] and details[]
TEXT_CHARACTERS_MAX = 2048
DAILY_LIMIT_S = 3600.0
assert DAILY_LIMIT_S < RETRY_AFTER_S_MAX

_DAILY = frozenset({"dailyLimitExceeded", "dailyLimitExceededUnreg"})
_RATE = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
)
_GRANT = frozenset({"insufficientPermissions", "domainPolicy", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
# Reasons of domain usageLimits that no waiting mends.
_PROJECT = frozenset({"accessNotConfigured", "SERVICE_DISABLED", "keyInvalid", "keyExpired", "ipRefererBlocked"})
_PRECONDITION = frozenset({"failedPrecondition", "FAILED_PRECONDITION"})
_NO_MAILBOX = "mail service not enabled"
_RETRY_AFTER = re.compile(
    r"retry after\s{1,8}(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Error:
    """Google's JSON error; `spoken` is False where the body is none."""

    spoken: bool = False
    text: str = ""
    reasons: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    def says(self, reasons: frozenset[str]) -> bool:
        return not reasons.isdisjoint(self.reasons)


def read(response: Response, now_s: float) -> Status:
    """`now_s` turns a named time into a wait."""
    http = response.status
    if 200 <= http < 300:
        return Status(Kind.OK, http)
    error = _read_error(response.body)
    until_s = _time_in(error.text, now_s)
    kind = _kind(http, error, until_s is not None)
    waits = [retry_after_s(response.headers.get("retry-after"), now_s), until_s]
    if kind is Kind.THROTTLED and error.says(_DAILY):
        waits.append(DAILY_LIMIT_S)
    known = [min(wait, RETRY_AFTER_S_MAX) for wait in waits if wait is not None]
    reason = error.reasons[0] if error.reasons else ""
    if not error.spoken and kind is Kind.DOWN and http < 500:
        reason = "unreadable"
    return Status(kind, http, reason, max(known) if known else None)


def _kind(http: int, error: _Error, time_named: bool) -> Kind:
    if http == 429:
        return Kind.THROTTLED
    if http == 401:
        return Kind.EXPIRED
    if http in (403, 404, 410):
        if not error.spoken:
            return Kind.DOWN
        return _forbidden(error, time_named) if http == 403 else Kind.NOT_FOUND
    if http == 400 and error.says(_PRECONDITION):
        return Kind.FORBIDDEN if _NO_MAILBOX in error.text.lower() else Kind.DOWN
    return Kind.REFUSED if 400 <= http < 500 and http != 408 else Kind.DOWN


def _forbidden(error: _Error, time_named: bool) -> Kind:
    if error.says(_GRANT):
        return Kind.FORBIDDEN
    if error.says(_RATE) or error.says(_DAILY) or time_named:
        return Kind.THROTTLED
    if "usageLimits" in error.domains and not error.says(_PROJECT):
        return Kind.THROTTLED
    return Kind.REFUSED


def _read_error(body: bytes) -> _Error:
    try:
        document = orjson.loads(body[:BODY_BYTES_MAX])
    except orjson.JSONDecodeError:
        return _Error()
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        # {"error": "invalid_grant"} is how Google's token endpoint speaks: a reason, but no API error.
        return _Error(reasons=tuple(filter(None, [safe_reason(error)])))
    reasons: list[str] = []
    domains: list[str] = []
    for entry in [*_entries(error.get("errors")), *_entries(error.get("details"))]:
        reasons.append(safe_reason(entry.get("reason")))
        domains.append(safe_reason(entry.get("domain")))
    reasons.append(safe_reason(error.get("status")))
    text = error.get("message")
    return _Error(
        spoken=True,
        text=text[:TEXT_CHARACTERS_MAX] if isinstance(text, str) else "",
        reasons=tuple(filter(None, reasons)),
        domains=tuple(filter(None, domains)),
    )


def _entries(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, list):
        yield from (entry for entry in value[:ENTRIES_MAX] if isinstance(entry, dict))


def _time_in(text: str, now_s: float) -> float | None:
    found = _RETRY_AFTER.search(text)
    at_s = instant_s(found[1]) if found else None
    return None if at_s is None else max(0.0, at_s - now_s)
