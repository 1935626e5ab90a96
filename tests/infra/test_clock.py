"""The emulators' clock: faster or slower from a moment on, and never back."""

import pytest

from infra.emulators.clock import Clock


def test_another_rate_holds_from_now_on_and_nothing_jumps() -> None:
    clock = Clock(rate=1_000_000, start_s=0.0)
    before_s = clock.now_s()
    clock.run_at(1e-9)
    first_s = clock.now_s()
    assert first_s >= before_s
    assert clock.now_s() - first_s < 1e-3


@pytest.mark.parametrize("rate", [0, -1])
def test_a_clock_does_not_stand_still_and_does_not_run_backwards(rate: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Clock(rate)
    with pytest.raises(ValueError, match="positive"):
        Clock().run_at(rate)
    with pytest.raises(ValueError, match="backwards"):
        Clock().advance(-1)
