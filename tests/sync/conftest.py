"""The world that most sync tests start from: one Gmail mailbox, everything in it wanted."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import RedisRest
from tests.world import GmailWorld


@pytest.fixture
async def world(redis: RedisRest) -> AsyncIterator[GmailWorld]:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as made:
        yield made
