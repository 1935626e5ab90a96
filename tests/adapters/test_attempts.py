"""Token refreshes and profiles are tried again as a sync's calls are, and no longer than there is time."""

from collections.abc import Callable

import pytest

from shared.adapters.attempts import attempted
from shared.adapters.oauth import TokenRefused
from shared.core.errors import AuthorizationLost, ProviderDown, Throttled
from tests.sync.desk import START_S, SleepingClock
from tests.world import settings


class Endpoint:
    """Fails with `errors` in turn, then answers; each attempt takes `takes_s`."""

    def __init__(self, *errors: Exception, takes_s: float = 0.0) -> None:
        self.clock = SleepingClock()
        self.errors = list(errors)
        self.takes_s = takes_s
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        self.clock.at_s += self.takes_s
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def attempted(self, patience_s: float = 100.0, **environment: str) -> str:
        return await attempted(self.ask, settings(**environment), self.clock, START_S + patience_s)


async def test_what_is_answered_is_asked_once() -> None:
    endpoint = Endpoint()
    assert (await endpoint.attempted(), endpoint.asked, endpoint.clock.slept) == ("answer", 1, [])


async def test_an_outage_is_tried_again_after_a_back_off() -> None:
    endpoint = Endpoint(ProviderDown("reset"), ProviderDown("503"))
    assert (await endpoint.attempted(), endpoint.clock.slept) == ("answer", [1.0, 2.0])


async def test_a_refusal_for_rate_waits_what_is_named_and_a_second_at_least() -> None:
    endpoint = Endpoint(Throttled("429", 5.0), Throttled("429"))
    endpoint.clock.jitter = 0.0
    assert (await endpoint.attempted(), endpoint.clock.slept) == ("answer", [5.0, 1.0])


@pytest.mark.parametrize("attempts", [1, 3])
async def test_so_many_attempts_are_made(attempts: int) -> None:
    endpoint = Endpoint(*[ProviderDown("503")] * 5)
    with pytest.raises(ProviderDown):
        await endpoint.attempted(MAX_RETRIES=str(attempts))
    assert (endpoint.asked, len(endpoint.clock.slept)) == (attempts, attempts - 1)


@pytest.mark.parametrize("make", [lambda: TokenRefused("400"), lambda: AuthorizationLost("invalid_grant")])
async def test_a_refusal_is_not_tried_again(make: Callable[[], Exception]) -> None:
    endpoint = Endpoint(error := make())
    with pytest.raises(type(error)):
        await endpoint.attempted()
    assert endpoint.asked == 1


@pytest.mark.parametrize(
    ("error", "takes_s"), [(ProviderDown("no answer"), 10.0), (ProviderDown("503", 60.0), 0.0), (Throttled("x", 9), 0)]
)
async def test_no_attempt_begins_too_late(error: Exception, takes_s: float) -> None:
    endpoint = Endpoint(error, takes_s=takes_s)
    with pytest.raises(type(error)) as raised:
        await endpoint.attempted(6.0)
    assert (raised.value is error, endpoint.asked, endpoint.clock.slept) == (True, 1, [])
