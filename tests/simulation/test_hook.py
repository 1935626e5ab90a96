"""An app that takes nothing costs the syncs nothing: a seed without a webhook, with one, with a dead one."""

from dataclasses import replace
from typing import Any

import pytest

from shared.protocol.wire import Response
from tests.simulation.many import quiet
from tests.simulation.plan import Plan, plan
from tests.simulation.receiver import Trouble
from tests.simulation.run import Simulation, simulate

pytestmark = pytest.mark.whole
SEEDS = 6
ROOMY = {"log_retention_bytes": 4_194_304, "log_retention_days": 7.0}  # a full log is meant to wait for its reader


class Recorded(Simulation):
    """`calls` of the provider and `results` of syncs, while the happenings happen."""

    made: "Recorded"
    down = False

    def __init__(self, of: Plan, trace: list[str] | None = None) -> None:
        super().__init__(of, trace)
        self.calls: list[tuple[float, str, int]] = []
        self.results: list[tuple[Any, ...]] = []
        type(self).made = self
        if self.down:
            self.hook.receiver.trouble = Trouble("refused", float("inf"))

    async def exchange(
        self, process: Any, request: Any, headers: Any, timeout_s: float
    ) -> tuple[Response | None, float]:
        at_s = self.loop.now_s
        response, asked_s = await super().exchange(process, request, headers, timeout_s)
        self.calls.append((at_s, request.path, response.status if response else 0))
        return response, asked_s

    def synced(self, result: dict[str, Any]) -> None:
        super().synced(result)
        kept = ("status", "count", "api_calls", "quota_units", "redis_requests", "duration_s")
        self.results.append(tuple(result[name] for name in kept))

    async def _liveness(self) -> None:
        """What comes now waits for the receiver. A result is told when its delivery is over: in another order."""
        self.before = (tuple(self.calls), sorted(self.results))
        await super()._liveness()


class Down(Recorded):
    down = True


@pytest.mark.parametrize("provider", ["gmail", "outlook"])
def test_a_receiver_that_is_down_changes_no_sync(provider: str) -> None:
    refused = 0
    with quiet():
        for seed in range(SEEDS):
            of = plan(provider, seed, plain=True)
            of = replace(of, settings=of.settings | ROOMY)
            found = []
            for hook, kind in ((0, Recorded), (3, Recorded), (3, Down)):
                simulate(replace(of, hook=hook), kind=kind)
                found.append(kind.made.before)
            refused += Down.made.faults.met["hook: refused"]
            assert found[0] == found[1] == found[2]
    assert refused > 0
