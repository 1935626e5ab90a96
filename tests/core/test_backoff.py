"""How long to wait before the next attempt."""

from hypothesis import given
from hypothesis import strategies as st

from shared.core.backoff import OWN_WAIT_MAX_S, REFUSED_WAIT_MIN_S, wait_s

ATTEMPTS = st.integers(0, 1000)
BASES = st.floats(0, 10)
JITTER = st.floats(0, 1, exclude_max=True)
ASKED = st.none() | st.floats(0, 100_000)


def test_the_wait_doubles_with_each_attempt_up_to_a_minute() -> None:
    assert [wait_s(n, 2, 0.5) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert [wait_s(n, 2**-12, 0.5) for n in (15, 16, 17, 10_000)] == [4, 8, 8, 8]


def test_the_jitter_is_full() -> None:
    assert wait_s(0, 2, 0.0) == 0
    assert wait_s(0, 2, 0.999) == 1.998


def test_what_the_provider_asks_is_a_lower_bound() -> None:
    assert wait_s(0, 2, 0.5, asked_s=900) == 900
    assert wait_s(4, 2, 0.5, asked_s=3) == 16


def test_after_a_refusal_for_rate_at_least_a_second_passes() -> None:
    assert wait_s(0, 2, 0.0, refused=True) == REFUSED_WAIT_MIN_S
    assert wait_s(3, 2, 0.5, refused=True) == 8


@given(ATTEMPTS, BASES, JITTER, ASKED, st.booleans())
def test_the_wait_is_never_shorter_than_asked_and_our_own_part_never_longer_than_a_minute(
    attempt: int, base_s: float, random: float, asked_s: float | None, refused: bool
) -> None:
    found_s = wait_s(attempt, base_s, random, asked_s, refused=refused)
    assert found_s >= (asked_s or 0)
    assert found_s <= max(OWN_WAIT_MAX_S, asked_s or 0)
    assert not refused or found_s >= REFUSED_WAIT_MIN_S


@given(ATTEMPTS, BASES, JITTER)
def test_a_later_attempt_never_waits_less(attempt: int, base_s: float, random: float) -> None:
    assert wait_s(attempt, base_s, random) <= wait_s(attempt + 1, base_s, random)
