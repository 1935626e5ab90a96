"""What Graph has told a mailbox to wait for holds for every request of it."""

import pytest

from shared.adapters.graph_http import Refusal
from shared.protocol.wire import Response

BUSY = Response(429, {"retry-after": "30", "x": "y"}, b"{}")


def test_a_refused_mailbox_is_refused_until_its_time_is_over() -> None:
    refusal = Refusal()
    assert refusal.still(100.0) is None
    refusal.note(BUSY, 100.0)
    still = refusal.still(109.5)
    assert still is not None
    assert (still.status, still.headers, still.body) == (429, {"retry-after": "21", "x": "y"}, b"{}")
    assert refusal.still(130.0) is None


@pytest.mark.parametrize(
    ("at", "left_s"), [("Tue, 25 Nov 2025 00:00:02 GMT", 2.0), ("Mon, 24 Nov 2025 00:00:00 GMT", 0.0)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_date_is_as_far_off_as_it_is_from_now(status: int, at: str, left_s: float) -> None:
    refusal, now_s = Refusal(), 1_764_028_800.0  # Tue, 25 Nov 2025 00:00:00 GMT
    refusal.note(Response(status, {"retry-after": at}, b""), now_s)
    assert refusal.left_s(now_s) == left_s


def test_what_is_denied_may_be_asked_again_at_once() -> None:
    refusal = Refusal()
    refusal.note(Response(403, {"retry-after": "30"}, b'{"error": {"code": "ErrorAccessDenied"}}'), 100.0)
    assert refusal.still(100.0) is None


def test_the_longest_wait_counts() -> None:
    refusal = Refusal()
    refusal.note(BUSY, 100.0)
    refusal.note(Response(429, {"retry-after": "2"}, b""), 101.0)
    refusal.note(Response(200, {}, b""), 102.0)
    assert refusal.still(104.0) is not None
