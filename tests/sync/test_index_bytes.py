"""What the index costs in the store's memory: at most 64 bytes a Gmail message, measured in a real Valkey."""

import random

import pytest

from infra.emulators.gmail.settings import Settings as GmailSettings
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld

pytestmark = pytest.mark.whole

MESSAGES = 3000
BYTES_MAX = 64
LABELS = ("INBOX", "UNREAD", "STARRED", "IMPORTANT", "CATEGORY_UPDATES", "CATEGORY_PROMOTIONS", "SENT", "SPAM")


async def test_the_index_costs_at_most_64_bytes_a_message(redis: RedisRest, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"INITIAL_SYNC_MESSAGES": "all", "GMAIL_UNITS_PER_MINUTE": "10000000", "GMAIL_BATCH_SIZE": "100"}
    emulator = GmailSettings(quota_enforced=False, concurrency_max=1000)
    async with GmailWorld(redis, emulator=emulator, **given) as world:
        rng = random.Random(1)
        ids = world.fill(MESSAGES)
        for label in LABELS:
            world.gmail.relabel(ADDRESS, *rng.sample(ids, MESSAGES // 3), add=[label])
        account_id = await world.connect()
        await world.dry(account_id)
        index = f"td:{account_id}:index"
        assert redis.valkey.call("HLEN", index) == MESSAGES
        used = redis.valkey.call("MEMORY", "USAGE", index, "SAMPLES", 0)
        assert isinstance(used, int)
        each = used / MESSAGES
        with capsys.disabled():
            print(f"\nindex: {used} bytes for {MESSAGES} messages, {each:.1f} bytes each")
        assert each <= BYTES_MAX
