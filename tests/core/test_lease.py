"""The arithmetic of leases: when to renew, how long a request may take, how long a step may wait."""

from hypothesis import given
from hypothesis import strategies as st

from shared.core.lease import (
    MARGIN_S,
    REQUEST_TIMEOUT_MAX_S,
    REQUEST_TIMEOUT_MIN_S,
    renewal_due,
    request_timeout_s,
    step_wait_max_s,
)

INSTANTS = st.floats(0, 1e9)
LIVES = st.floats(1, 3600)


def test_a_lease_is_renewed_every_third_of_its_life() -> None:
    assert not renewal_due(100, 119.9, 60)
    assert renewal_due(100, 120, 60)


def test_a_request_ends_before_the_lease_does() -> None:
    assert request_timeout_s(100, 100, 60, 300) == REQUEST_TIMEOUT_MAX_S
    assert request_timeout_s(100, 150, 60, 300) == 10 - MARGIN_S
    assert request_timeout_s(100, 100, 2, 300) == 1.8


def test_a_request_ends_with_the_budget_but_a_slow_provider_has_the_time_to_answer() -> None:
    assert request_timeout_s(100, 100, 60, 15) == 15
    assert request_timeout_s(100, 100, 60, 2) == REQUEST_TIMEOUT_MIN_S
    assert request_timeout_s(100, 100, 60, -1) == REQUEST_TIMEOUT_MIN_S
    assert request_timeout_s(100, 155, 60, 2) == 5 - MARGIN_S


def test_no_request_is_sent_when_the_lease_may_be_over() -> None:
    assert request_timeout_s(100, 160, 60, 300) == 0
    assert request_timeout_s(100, 1000, 60, 300) == 0


def test_a_step_waits_no_longer_than_a_third_of_the_lease() -> None:
    assert step_wait_max_s(60) == 20


@given(INSTANTS, st.floats(0, 7200), LIVES, st.floats(-60, 3600))
def test_whenever_it_is_sent_a_request_is_over_before_another_instance_may_begin(
    renewed_at_s: float, later_s: float, ttl_s: float, budget_s: float
) -> None:
    now_s = renewed_at_s + later_s
    timeout_s = request_timeout_s(renewed_at_s, now_s, ttl_s, budget_s)
    assert timeout_s == 0 or now_s + timeout_s < renewed_at_s + ttl_s
