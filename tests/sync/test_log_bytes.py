"""What an event of the log costs in the store's memory, over the built-in sample; nothing that is empty is stored."""

import pytest

from infra.emulators.gmail.settings import Settings as GmailSettings
from infra.emulators.sample import messages
from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld

pytestmark = pytest.mark.whole

BYTES_MAX = 720
UPDATED_BYTES_MAX = 150


async def test_an_event_of_the_log_is_small(redis: RedisRest, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"INITIAL_SYNC_MESSAGES": "all", "GMAIL_UNITS_PER_MINUTE": "10000000", "GMAIL_BATCH_SIZE": "100"}
    emulator = GmailSettings(quota_enforced=False, concurrency_max=1000)
    async with GmailWorld(redis, emulator=emulator, **given) as world:
        ids = [world.gmail.deliver(ADDRESS, raw) for raw in messages()]
        account_id = await world.connect()
        await world.dry(account_id)
        created, count = _used(redis, account_id), len(ids)
        world.gmail.relabel(ADDRESS, *ids, add=["STARRED"])
        await world.dry(account_id)
        updated = _used(redis, account_id) - created
        with capsys.disabled():
            print(f"\nlog: {created / count:.0f} bytes a created, {updated / count:.0f} bytes an updated")
        assert created / count <= BYTES_MAX
        assert updated / count <= UPDATED_BYTES_MAX
        await world.assert_log_equals_mailbox(account_id)


def _used(redis: RedisRest, account_id: str) -> int:
    used = redis.valkey.call("MEMORY", "USAGE", f"td:{account_id}:log", "SAMPLES", 0)
    assert isinstance(used, int)
    return used
