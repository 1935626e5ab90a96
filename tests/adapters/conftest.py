"""A connected account to store to: in Valkey behind the bridge, and in the memory that the simulation runs on.

What is asked of `stored` is the store's contract. It is asked of both, so that what is simulated is what Redis does.
"""

from collections.abc import AsyncIterator

import pytest

from tests.adapters.stored import Stored
from tests.conftest import RedisRest
from tests.simulation.rest import MemoryRest


@pytest.fixture(params=["valkey", "memory"])
def either(request: pytest.FixtureRequest) -> RedisRest | MemoryRest:
    if request.param == "memory":
        return MemoryRest()
    redis: RedisRest = request.getfixturevalue("redis")
    return redis


@pytest.fixture
async def stored(either: RedisRest | MemoryRest) -> AsyncIterator[Stored]:
    made = Stored(either)
    await made.connect()
    yield made
    await made.client.close()
