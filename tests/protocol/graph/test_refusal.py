"""What Graph's refusals mean: by status and code, whole answers and parts of a batch."""

import orjson
import pytest

from shared.protocol.graph import refusal
from shared.protocol.status import Kind, Status
from shared.protocol.wire import Response


def answer(status: int, code: str | None = None, *inner: str, **headers: str) -> Response:
    error: dict[str, object] | None = None
    for each in reversed(inner):
        error = {"code": each, **({"innerError": error} if error else {})}
    body = {"error": {"code": code, "message": "", **({"innerError": error} if error else {})}}
    return Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, orjson.dumps(body) if code else b"")


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(200), Kind.OK),
        (answer(201), Kind.OK),
        (answer(299), Kind.OK),
        (answer(300), Kind.DOWN),
        (answer(199), Kind.DOWN),
        (answer(401, "InvalidAuthenticationToken"), Kind.EXPIRED),
        (answer(410, "SyncStateNotFound"), Kind.NOT_FOUND),
        (answer(410, "resyncRequired"), Kind.NOT_FOUND),
        (answer(410, "Gone"), Kind.NOT_FOUND),
        (answer(400, "syncStateInvalid"), Kind.NOT_FOUND),
        (answer(400, "BadRequest", "SyncStateInvalid"), Kind.NOT_FOUND),
        (answer(409, "resyncRequired"), Kind.NOT_FOUND),
        (answer(411, "resyncRequired"), Kind.REFUSED),
        (answer(399, "resyncRequired"), Kind.DOWN),
        (answer(403, "ErrorAccessDenied", "resyncRequired"), Kind.NOT_FOUND),
        (answer(404, "ErrorFolderNotFound"), Kind.NOT_FOUND),
        (answer(404, "ErrorItemNotFound", "ErrorInvalidUser"), Kind.FORBIDDEN),
        (answer(400), Kind.REFUSED),
        (answer(499, "x"), Kind.REFUSED),
        (answer(410, "TooManyRequests"), Kind.THROTTLED),
        (answer(403, "ErrorQuotaExceeded", "ErrorAccessDenied"), Kind.NOT_FOUND),
        (answer(404, "ErrorItemNotFound"), Kind.NOT_FOUND),
        (answer(404, "ErrorSyncFolderNotFound"), Kind.NOT_FOUND),
        (answer(404, "MailboxNotEnabledForRESTAPI"), Kind.FORBIDDEN),
        (answer(404, "ErrorInvalidUser"), Kind.FORBIDDEN),
        (answer(404, "ErrorNonExistentMailbox"), Kind.FORBIDDEN),
        (answer(404, "NotFound"), Kind.NOT_FOUND),
        (answer(404, "Request_ResourceNotFound"), Kind.NOT_FOUND),
        (answer(404, "ErrorInvalidIdMalformed"), Kind.NOT_FOUND),
        (answer(404, "SomethingNew"), Kind.NOT_FOUND),
        (answer(404, "ErrorMailboxMoveInProgress"), Kind.REFUSED),
        (answer(404, "ErrorItemNotFound", "MailboxInfoStale"), Kind.REFUSED),
        (answer(404, "UserNotFound"), Kind.REFUSED),
        (answer(404), Kind.DOWN),
        (answer(410), Kind.NOT_FOUND),
        (Response(410, {}, b"<html>"), Kind.NOT_FOUND),
        (Response(410, {}, b'{"error": "SyncStateNotFound"}'), Kind.NOT_FOUND),
        (answer(403), Kind.DOWN),
        (answer(403, "ErrorQuotaExceeded"), Kind.NOT_FOUND),
        (answer(403, "ErrorAccessDenied"), Kind.FORBIDDEN),
        (answer(403, "extensionError"), Kind.FORBIDDEN),
        (answer(429, "ApplicationThrottled"), Kind.THROTTLED),
        (answer(429, "UnknownError"), Kind.THROTTLED),
        (answer(509, "BandwidthLimitExceeded"), Kind.THROTTLED),
        (answer(400, "ErrorTooManyObjectsOpened"), Kind.THROTTLED),
        (answer(400, "ErrorInvalidUrlQuery"), Kind.REFUSED),
        (answer(412, "ErrorIrresolvableConflict"), Kind.REFUSED),
        (answer(408), Kind.DOWN),
        (answer(500, "generalException"), Kind.DOWN),
        (answer(503, "serviceNotAvailable"), Kind.DOWN),
        (answer(504, "UnknownError"), Kind.DOWN),
        (answer(302), Kind.DOWN),
    ],
)
def test_an_answer_has_one_meaning(response: Response, kind: Kind) -> None:
    assert refusal.read(response, 0.0).kind is kind


def test_a_denied_part_of_a_batch_is_taken_for_a_burst() -> None:
    assert refusal.read(answer(403, "ErrorAccessDenied"), 0.0, of_batch=True).kind is Kind.THROTTLED
    assert refusal.read(answer(403, "extensionError"), 0.0, of_batch=True).kind is Kind.FORBIDDEN
    assert refusal.read(answer(403, "ErrorQuotaExceeded"), 0.0, of_batch=True).kind is Kind.NOT_FOUND
    assert refusal.is_burst(answer(403, "ErrorAccessDenied"))
    assert not refusal.is_burst(answer(404, "ErrorAccessDenied"))
    assert not refusal.is_burst(answer(403, "ErrorQuotaExceeded"))


def test_a_410_of_a_message_s_part_is_graph_s_word_only_with_a_code() -> None:
    assert refusal.read(answer(410), 0.0, of_batch=True).kind is Kind.DOWN
    assert refusal.read(answer(410, "Gone"), 0.0, of_batch=True).kind is Kind.NOT_FOUND


def test_the_wait_is_what_the_header_says_but_never_longer_than_a_day() -> None:
    assert refusal.read(answer(429, "x", retry_after="7"), 0.0).retry_after_s == 7
    assert refusal.read(answer(429, "x", retry_after="999999"), 0.0).retry_after_s == 86400
    assert refusal.read(answer(429, "x"), 0.0).retry_after_s is None
    dated = answer(503, "x", retry_after="Thu, 01 Jan 1970 00:00:07 GMT")
    assert refusal.read(dated, 3.0) == Status(Kind.DOWN, 503, "x", 4.0)
    assert refusal.read(answer(400, "BadRequest", "inner"), 0.0) == Status(Kind.REFUSED, 400, "BadRequest")
    assert refusal.read(answer(200), 0.0) == Status(Kind.OK, 200)


def test_codes_are_read_from_the_outermost_to_a_bound() -> None:
    assert refusal.codes(answer(400, "A", "B", "C")) == ("A", "B", "C")
    assert len(refusal.codes(answer(400, *"abcdefghijklmnop"))) == refusal.CODES_MAX
    assert refusal.codes(Response(400, {}, b'{"error": {"code": "A", "innererror": {"code": "B"}}}')) == ("A", "B")
    assert refusal.codes(Response(400, {}, b'{"error": {"code": 7, "innerError": {"code": "B"}}}')) == ("B",)
    error = b'{"error": {"code": "A"}}'
    assert refusal.codes(Response(400, {}, error.ljust(refusal.BODY_BYTES_MAX + 1))) == ("A",)
    assert refusal.codes(Response(400, {}, error.rjust(refusal.BODY_BYTES_MAX))) == ("A",)
    assert refusal.codes(Response(400, {}, error.rjust(refusal.BODY_BYTES_MAX + 1))) == ()
    assert refusal.codes(Response(400, {}, b'{"error": "invalid_grant"}')) == ()
    assert refusal.codes(Response(400, {}, b"[]")) == ()
    assert refusal.codes(Response(400, {}, b"<html>")) == ()


def test_a_dead_link_and_a_full_mailbox_are_told_apart() -> None:
    assert refusal.is_dead_link(answer(410, "SyncStateNotFound"))
    for status in (400, 404, 409):
        assert refusal.is_dead_link(answer(status, "resyncRequired"))
    assert refusal.is_dead_link(answer(410))
    for status in (399, 411, 500):
        assert not refusal.is_dead_link(answer(status, "resyncRequired"))
    assert not refusal.is_dead_link(answer(404, "ErrorItemNotFound"))
    assert refusal.is_over_quota(answer(403, "ErrorQuotaExceeded"))
    assert not refusal.is_over_quota(answer(403, "ErrorAccessDenied"))
    assert not refusal.is_over_quota(answer(404, "ErrorQuotaExceeded"))
