"""Messages that could not be read: when they are said to be quarantined, and what is an outage instead."""

import pytest

from shared.sync import parked
from shared.sync.parked import Outage, Parked

ENTRY = Parked("t", 1000.0, "backendError", attempts=9, invocations=3, others_read=True)


def test_each_invocation_in_which_it_fails_is_counted_once() -> None:
    first = Parked("t", 1000.0, "backendError").failed("garbled", 3, others_read=True)
    assert first == Parked("t", 1000.0, "garbled", attempts=3, invocations=1, others_read=True)
    second = first.failed("backendError", 3, others_read=False)
    assert (second.attempts, second.invocations, second.others_read) == (6, 2, True)


@pytest.mark.parametrize(
    ("given", "now_s", "due"),
    [
        ({}, 1600.0, True),
        ({}, 1599.0, False),
        ({"attempts": 3}, 1600.0, True),
        ({"attempts": 2}, 1600.0, False),
        ({"invocations": 2}, 1600.0, False),
        ({"others_read": False}, 1600.0, False),
        ({"said": True}, 1600.0, False),
    ],
)
def test_it_is_said_once_after_attempts_invocations_and_time_while_others_could_be_read(
    given: dict[str, int], now_s: float, due: bool
) -> None:
    entry = Parked(**{**{name: getattr(ENTRY, name) for name in ENTRY.__slots__}, **given})
    assert entry.due_to_be_said(now_s, attempts_min=3, after_s=600) is due


@pytest.mark.parametrize(("failed", "read", "outage"), [(3, 0, False), (4, 0, True), (100, 1, False), (0, 0, False)])
def test_where_many_fail_and_none_can_be_read_it_is_an_outage(failed: int, read: int, outage: bool) -> None:
    assert parked.is_outage(failed, read) is outage


@pytest.mark.parametrize(
    ("invocations", "now_s", "lasted"), [(3, 1600.0, True), (2, 1600.0, False), (3, 1599.0, False)]
)
def test_an_outage_that_lasts_is_none(invocations: int, now_s: float, lasted: bool) -> None:
    assert Outage(1000.0, invocations).has_lasted(now_s, after_s=600) is lasted


def test_what_is_stored_is_read_again() -> None:
    kept = {"m1": ENTRY, "m2": Parked(None, 1.0, "garbled")}
    assert parked.load(parked.dump(kept)) == kept
    assert list(parked.load(parked.dump(kept))) == ["m1", "m2"]
    assert parked.load(None) == {}
    assert parked.load_outage(parked.dump_outage(Outage(1000.0, 2))) == Outage(1000.0, 2)
    assert parked.load_outage(parked.dump_outage(None)) is None
    assert parked.load_outage(None) is None
