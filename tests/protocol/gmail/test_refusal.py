"""What Gmail's answers mean for the caller (shared/protocol/gmail/refusal.py)."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol.gmail import refusal
from shared.protocol.status import RETRY_AFTER_S_MAX, Kind
from shared.protocol.wire import Response

NOW_S = datetime(2026, 8, 27, 12, 0, 0, tzinfo=UTC).timestamp()
QUOTA = (
    "Quota exceeded for quota metric 'Total Query Cost' and limit 'Units per minute per user' of service "
    "'gmail.googleapis.com' for consumer 'project_number:1'."
)


def body(code: int, message: str = "", reason: str = "", domain: str = "global", status: str = "") -> bytes:
    entry = {"message": message, "domain": domain, "reason": reason}
    return json.dumps({"error": {"code": code, "message": message, "errors": [entry], "status": status}}).encode()


def read(http: int, content: bytes = b"", **headers: str) -> tuple[Kind, str, float | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status = refusal.read(Response(http, named, content), NOW_S)
    assert status.http == http
    return status.kind, status.reason, status.retry_after_s


@pytest.mark.parametrize("http", [200, 204, 299])
def test_success_is_ok_whatever_the_body(http: int) -> None:
    assert read(http, b"<html>") == (Kind.OK, "", None)


@pytest.mark.parametrize(
    ("http", "content", "kind", "reason"),
    [
        # A: too many at once, inside a batch
        (
            429,
            body(429, "Too many concurrent requests for user.", "rateLimitExceeded"),
            Kind.THROTTLED,
            "rateLimitExceeded",
        ),
        # B: the minute's quota, which says PERMISSION_DENIED
        (
            403,
            body(403, QUOTA, "rateLimitExceeded", "usageLimits", "PERMISSION_DENIED"),
            Kind.THROTTLED,
            "rateLimitExceeded",
        ),
        # C
        (
            429,
            body(429, "Resource has been exhausted (e.g. check quota).", "rateLimitExceeded"),
            Kind.THROTTLED,
            "rateLimitExceeded",
        ),
        # E
        (403, body(403, "", "userRateLimitExceeded", "usageLimits"), Kind.THROTTLED, "userRateLimitExceeded"),
        (403, body(403, "", "quotaExceeded"), Kind.THROTTLED, "quotaExceeded"),
        (403, body(403, "", "servingLimitExceeded", "usageLimits"), Kind.THROTTLED, "servingLimitExceeded"),
        (403, body(403, "", "domainPolicy"), Kind.FORBIDDEN, "domainPolicy"),
        # F
        (404, body(404, "Requested entity was not found.", "notFound", status="NOT_FOUND"), Kind.NOT_FOUND, "notFound"),
        (410, body(410, "Gone", "gone"), Kind.NOT_FOUND, "gone"),
        # G
        (401, body(401, "Invalid Credentials", "authError"), Kind.EXPIRED, "authError"),
        (401, b"", Kind.EXPIRED, ""),
        # H
        (400, body(400, "Mail service not enabled", "failedPrecondition"), Kind.FORBIDDEN, "failedPrecondition"),
        (400, body(400, "Precondition check failed.", "failedPrecondition"), Kind.DOWN, "failedPrecondition"),
        # I, J and too many parts
        (400, body(400, "Invalid id value", "invalidArgument"), Kind.REFUSED, "invalidArgument"),
        (
            400,
            body(400, "Invalid value at 'history_types'", "badRequest", status="INVALID_ARGUMENT"),
            Kind.REFUSED,
            "badRequest",
        ),
        (
            400,
            b'{"error":{"code":400,"message":"Inner request count exceeds","status":"INVALID_ARGUMENT"}}',
            Kind.REFUSED,
            "INVALID_ARGUMENT",
        ),
        # K
        (500, body(500, "Backend Error", "backendError"), Kind.DOWN, "backendError"),
        (503, b"<html>Service Unavailable</html>", Kind.DOWN, ""),
        # L: not an API error, and no grant dies of it here
        (
            400,
            b'{"error":"invalid_grant","error_description":"Token has been expired or revoked."}',
            Kind.REFUSED,
            "invalid_grant",
        ),
        # M
        (
            403,
            body(403, "Request had insufficient authentication scopes.", "insufficientPermissions"),
            Kind.FORBIDDEN,
            "insufficientPermissions",
        ),
        # the operator's faults, which no user can mend
        (
            403,
            body(403, "Gmail API has not been used", "accessNotConfigured", "usageLimits"),
            Kind.REFUSED,
            "accessNotConfigured",
        ),
        (
            403,
            body(403, "User not authorized to perform this action.", "forbidden", status="PERMISSION_DENIED"),
            Kind.REFUSED,
            "forbidden",
        ),
        (408, b"", Kind.DOWN, "unreadable"),
        (302, b"", Kind.DOWN, "unreadable"),
        (199, b"", Kind.DOWN, "unreadable"),
        (300, b"", Kind.DOWN, "unreadable"),
        (500, b"<html>", Kind.DOWN, ""),
        (411, b"<html>", Kind.REFUSED, ""),
        (413, b"<html>", Kind.REFUSED, ""),
    ],
)
def test_each_known_answer_has_its_kind(http: int, content: bytes, kind: Kind, reason: str) -> None:
    assert read(http, content) == (kind, reason, None)


def test_the_newer_error_format_is_read_from_its_details() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "googleapis.com"}
    for reason, kind in (
        ("RATE_LIMIT_EXCEEDED", Kind.THROTTLED),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", Kind.FORBIDDEN),
        ("SERVICE_DISABLED", Kind.REFUSED),
    ):
        error = {"code": 403, "status": "PERMISSION_DENIED", "details": [{**detail, "reason": reason}]}
        assert read(403, json.dumps({"error": error}).encode())[:2] == (kind, reason)


def test_a_page_that_is_not_gmails_never_says_that_a_message_is_gone_or_a_grant_dead() -> None:
    for http in (403, 404, 410):
        for content in (b"", b"<html>Error 404 (Not Found)!!1</html>", b"[]", b"{}", b'{"error":"x"}', b"null"):
            assert read(http, content)[0] is Kind.DOWN


def test_the_time_in_the_text_is_waited_for() -> None:
    text = "User-rate limit exceeded.  Retry after 2026-08-27T12:15:05.500Z"
    assert read(429, body(429, text, "rateLimitExceeded")) == (Kind.THROTTLED, "rateLimitExceeded", 905.5)
    assert read(403, body(403, text)) == (Kind.THROTTLED, "", 905.5)
    assert read(403, body(403, text.replace("12:15:05.500Z", "12:00:01+00:00"), "x")) == (Kind.THROTTLED, "x", 1.0)


def test_a_time_that_has_passed_is_no_wait_and_one_that_is_none_is_not_read() -> None:
    assert read(429, body(429, "Retry after 2020-01-01T00:00:00Z"))[2] == 0.0
    assert read(429, body(429, "Retry after 2026-99-99T00:00:00Z"))[2] is None
    assert read(403, body(403, "Retry after 2026-99-99T00:00:00Z"))[0] is Kind.REFUSED


def test_the_longest_wait_counts() -> None:
    text = "Retry after 2026-08-27T12:01:00Z"
    assert read(429, body(429, text), retry_after="30")[2] == 60.0
    assert read(429, body(429, text), retry_after="90")[2] == 90.0
    later = datetime.fromtimestamp(NOW_S, UTC) + timedelta(seconds=45)
    assert read(503, b"", retry_after=later.strftime("%a, %d %b %Y %H:%M:%S GMT"))[2] == 45.0


def test_a_daily_limit_waits_an_hour_at_least() -> None:
    content = body(403, "Daily Limit Exceeded", "dailyLimitExceeded", "usageLimits")
    assert read(403, content) == (Kind.THROTTLED, "dailyLimitExceeded", refusal.DAILY_LIMIT_S)
    assert read(403, content, retry_after="7200")[2] == 7200.0
    assert read(400, content)[2] is None
    elsewhere = body(403, "Daily Limit Exceeded", "dailyLimitExceededUnreg")
    assert read(403, elsewhere) == (Kind.THROTTLED, "dailyLimitExceededUnreg", 3600.0)


def test_no_answer_silences_a_mailbox_for_more_than_a_day() -> None:
    assert read(429, b"", retry_after="999999999")[2] == RETRY_AFTER_S_MAX
    assert read(429, body(429, "Retry after 9999-12-31T23:59:59Z"))[2] == RETRY_AFTER_S_MAX


def test_a_reason_is_reduced_to_what_may_be_logged() -> None:
    reason = read(400, body(400, "", "bad <jane x>\r\nX: y" + "z" * 500))[1]
    assert reason == "badjanexXy" + "z" * 54


@pytest.mark.parametrize(
    "content",
    [
        b'{"error":' + b"[" * 100_000,
        b'{"error":' * 20_000,
        b'{"error":{"errors":' + b"[" * 900 + b"]" * 900 + b"}}",
        body(429, "x" * 20_000_000, "rateLimitExceeded"),
        b"\xff\xfe\x00",
        b'{"error":{"errors":7,"details":{"a":1},"message":["x"],"status":5}}',
        b'{"error":{"errors":[1,null,"x",{"reason":{},"domain":[]}]}}',
    ],
)
def test_huge_deep_and_odd_bodies_are_survived(content: bytes) -> None:
    assert read(429, content)[0] is Kind.THROTTLED
    assert read(500, content)[0] is Kind.DOWN
    assert read(400, content)[0] is Kind.REFUSED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "errors", "reason", "message"]), inner),
)


@settings(deadline=None)
@given(st.integers(0, 999), JSON, st.text())
def test_no_answer_raises(http: int, document: object, header: str) -> None:
    status = refusal.read(Response(http, {"retry-after": header}, json.dumps(document).encode()), NOW_S)
    assert (status.kind is Kind.OK) == (200 <= http < 300)
