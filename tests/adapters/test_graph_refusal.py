"""What Graph has told a mailbox to wait for holds for every request of it."""

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


def test_the_longest_wait_counts() -> None:
    refusal = Refusal()
    refusal.note(BUSY, 100.0)
    refusal.note(Response(429, {"retry-after": "2"}, b""), 101.0)
    refusal.note(Response(200, {}, b""), 102.0)
    assert refusal.still(104.0) is not None
