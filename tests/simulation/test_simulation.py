"""A few seeds of each provider; the same seed runs the same way; a failing seed is told and made small."""

from collections.abc import Iterator

import pytest

from tests.simulation.many import quiet
from tests.simulation.plan import Plan, plan
from tests.simulation.run import Simulation, simulate
from tests.simulation.shrink import shrunk
from tests.simulation.witness import Violation

pytestmark = pytest.mark.whole
SEEDS = 20


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.mark.parametrize("provider", ["gmail", "outlook"])
def test_whatever_fails_the_log_ends_up_equal_to_the_mailbox(provider: str) -> None:
    for seed in range(SEEDS):
        simulate(plan(provider, seed))


@pytest.mark.parametrize("provider", ["gmail", "outlook"])
def test_the_same_seed_runs_the_same_way(provider: str) -> None:
    first: list[str] = []
    second: list[str] = []
    simulate(plan(provider, 7), first)
    simulate(plan(provider, 7), second)
    assert first == second
    assert len(first) > 20


class Discontent(Simulation):
    """Finds fault with every log that says anything."""

    def _equal(self) -> None:
        super()._equal()
        if self.witness.fold.state:
            raise Violation("the log is not believed")


def test_a_failing_seed_names_its_number_and_is_made_small() -> None:
    def fails(of: Plan) -> bool:
        try:
            simulate(of, kind=Discontent)
        except Violation:
            return True
        return False

    whole = next(each for each in (plan("gmail", seed) for seed in range(20)) if fails(each))
    small = shrunk(whole, fails)
    assert len(small.happenings) < len(whole.happenings)
    with pytest.raises(Violation, match="is not believed"):
        simulate(small, kind=Discontent)
