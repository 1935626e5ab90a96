"""What a mailbox may spend: price lists, the governor, the window of parts in flight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.quota import PRICES, WINDOW_GROWTH, Governor, Window

GOVERNOR = Governor.per_minute(6000)
NOW_S = 1_800_000_000.0


def test_the_price_lists_are_googles() -> None:
    assert (PRICES["2026"].units_per_minute, PRICES["2026"].message_get, PRICES["2026"].thread_get) == (6000, 20, 40)
    assert (PRICES["legacy"].units_per_minute, PRICES["legacy"].message_get, PRICES["legacy"].thread_get) == (
        15000,
        5,
        10,
    )
    for prices in PRICES.values():
        assert (prices.message_list, prices.history_list, prices.profile) == (5, 2, 1)
        assert (prices.label_list, prices.watch, prices.stop) == (1, 100, 50)


def test_a_third_of_a_minute_is_the_burst() -> None:
    assert Governor.per_minute(6000) == Governor(units_per_s=100, burst=2000)


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    full_at_s = 0.0
    assert GOVERNOR.wait_s(full_at_s, NOW_S, 2000) == 0
    full_at_s = GOVERNOR.spend(full_at_s, NOW_S, 2000)
    assert full_at_s == NOW_S + 20
    assert GOVERNOR.wait_s(full_at_s, NOW_S, 20) == pytest.approx(0.2)
    assert GOVERNOR.wait_s(full_at_s, NOW_S + 20, 2000) == 0


def test_more_than_a_burst_waits_for_a_full_bucket_and_no_longer() -> None:
    assert GOVERNOR.wait_s(NOW_S + 20, NOW_S, 5000) == pytest.approx(20)
    assert GOVERNOR.wait_s(0, NOW_S, 5000) == 0


def test_what_can_be_afforded_is_the_burst_and_what_flows_in_meanwhile_less_what_is_owed() -> None:
    assert GOVERNOR.affordable(0, NOW_S, 20) == 4000
    assert GOVERNOR.affordable(NOW_S + 20, NOW_S, 20) == 2000
    assert GOVERNOR.affordable(NOW_S + 60, NOW_S, 20) == -2000


def test_after_a_refusal_the_bucket_is_empty() -> None:
    assert GOVERNOR.wait_s(GOVERNOR.drained(NOW_S), NOW_S, 100) == pytest.approx(1)


@given(
    st.integers(60, 100_000),
    st.lists(st.tuples(st.integers(1, 500), st.floats(0, 5)), min_size=1, max_size=60),
)
def test_no_stretch_of_time_gets_more_than_a_burst_and_the_rate(
    per_minute: int, asked: list[tuple[int, float]]
) -> None:
    governor = Governor.per_minute(per_minute)
    now_s, full_at_s = 0.0, 0.0
    spent: list[tuple[float, float]] = []
    for units, idle_s in asked:
        now_s += idle_s
        now_s += governor.wait_s(full_at_s, now_s, units)
        full_at_s = governor.spend(full_at_s, now_s, units)
        spent.append((now_s, units))
    for first, (from_s, _) in enumerate(spent):
        for last, (to_s, _) in enumerate(spent[first:], first):
            total = sum(units for _, units in spent[first : last + 1])
            over = max(0.0, max(units for _, units in spent[first : last + 1]) - governor.burst)
            assert total <= governor.burst + over + governor.units_per_s * (to_s - from_s) + 1e-3


@given(st.lists(st.floats(0, 2000), max_size=8), st.floats(0, 1e6))
def test_spending_adds_up_in_any_order(units: list[float], full_at_s: float) -> None:
    forth, back = full_at_s, full_at_s
    for each in units:
        forth = GOVERNOR.spend(forth, 0, each)
    for each in reversed(units):
        back = GOVERNOR.spend(back, 0, each)
    assert forth == pytest.approx(back)


def test_the_window_grows_while_nothing_is_refused_up_to_what_was_learned_and_configured() -> None:
    assert Window(20, 60, 60).grown() == Window(20 + WINDOW_GROWTH, 60, 60)
    assert Window(24, 25, 60).grown().size == 25
    assert Window(60, 60, 60).grown().size == 60
    assert Window(1, 1, 1).grown() == Window(1, 1, 1)
    assert Window(9, 60, 10).grown() == Window(10, 60, 10)  # configured to less than was learned


def test_at_the_cap_a_wave_that_got_through_questions_what_was_learned() -> None:
    assert Window(24, 25, 60).grown() == Window(25, 25, 60)
    assert Window(25, 25, 60).grown() == Window(26, 26, 60)


def test_a_refused_part_halves_the_window_and_what_was_accepted_is_the_new_cap() -> None:
    assert Window(40, 60, 60).refused(40, 15) == Window(20, 25, 60)
    assert Window(40, 60, 60).refused(10, 4) == Window(5, 6, 60)
    assert Window(10, 60, 60).refused(40, 4) == Window(5, 36, 60)
    assert Window(1, 1, 60).refused(1, 1) == Window(1, 1, 60)


def test_half_a_part_is_none() -> None:
    assert repr(Window(41, 60, 60).refused(50, 5)) == repr(Window(20, 45, 60))
    assert repr(Window(40, 60, 60).refused(5, 1)) == repr(Window(2, 4, 60))


def test_each_invocation_tries_the_cap_with_one_part_more() -> None:
    assert Window(25, 25, 60).questioned().grown().size == 26
    assert Window(60, 60, 60).questioned() == Window(60, 60, 60)


@given(
    st.integers(1, 100), st.integers(1, 300), st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300)), max_size=50)
)
def test_the_window_stays_between_one_and_what_is_allowed(size: int, limit: int, waves: list[tuple[int, int]]) -> None:
    window = Window(min(size, limit), limit, limit)
    for in_flight, refused in waves:
        in_flight = min(in_flight, window.size)
        window = window.refused(in_flight, min(refused, in_flight)) if refused else window.grown().questioned()
        assert 1 <= window.size <= min(window.cap, window.limit)
        assert 1 <= window.cap <= window.limit
