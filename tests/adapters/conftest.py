"""A connected account to store to."""

from collections.abc import AsyncIterator

import pytest

from tests.adapters.stored import Stored
from tests.conftest import RedisRest


@pytest.fixture
async def stored(redis: RedisRest) -> AsyncIterator[Stored]:
    made = Stored(redis)
    await made.connect()
    yield made
    await made.client.close()
