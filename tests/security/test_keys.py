"""Keys that rotate, and seals that were moved: old ones are read, new ones replace them, none opens anywhere else."""

import base64

import pytest

from shared.adapters.sealing import Sealer, key_id
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, KEY, GmailWorld

NEW = base64.b64encode(b"n" * 32).decode()
ROTATED = f"{NEW},{KEY}"
OLD_ID = key_id(b"k" * 32)


def stored(world: GmailWorld | OutlookWorld) -> str:
    """Every hash as text."""
    names = world.redis.valkey.call("KEYS", "*")
    assert isinstance(names, list)
    hashes = [name.decode() for name in names if isinstance(name, bytes) and name.endswith((b":account", b"addresses"))]
    return "".join(str(world.redis.valkey.call("HGETALL", name)) for name in hashes)


async def test_after_a_rotation_the_next_sync_seals_anew_and_the_old_key_can_be_dropped(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        world.fill(2)
        account_id = await world.connect()
        old_lookup = Sealer([b"k" * 32]).lookup(ADDRESS)[0]
        assert OLD_ID in stored(world)
        rotated = world.instance(TOKEN_ENCRYPTION_KEYS=ROTATED)
        assert (await world.sync(account_id, rotated))["status"] == "synced"
        assert OLD_ID not in stored(world)
        assert old_lookup not in stored(world)
        again = await world.sync(account_id, rotated)
        assert (again["status"], again["redis_requests"]) == ("no_new_messages", 2)
        world.wiring = world.instance(TOKEN_ENCRYPTION_KEYS=NEW)
        world.gmail.identity.expire_access(ADDRESS)  # so that the refresh token is needed
        world.fill(1, first=9)
        assert (await world.sync(account_id))["status"] == "synced"
        assert await world.connect() == account_id  # found by its address
        await world.assert_log_equals_mailbox(account_id)


async def test_a_rotation_whose_reply_was_lost_is_done_once(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        account_id = await world.connect()
        redis.bridge.inject("drop_reply", match="EVAL", nth=2)
        await world.sync(account_id, world.instance(TOKEN_ENCRYPTION_KEYS=ROTATED))
        world.wiring = world.instance(TOKEN_ENCRYPTION_KEYS=NEW)
        assert (await world.sync(account_id))["status"] == "no_new_messages"
        assert await world.connect() == account_id


async def test_after_a_rotation_outlooks_subscription_is_made_anew(redis: RedisRest) -> None:
    async with OutlookWorld(redis) as world:
        account_id = await world.connect()
        redis.valkey.call("HSET", f"td:{account_id}:account", "watch_id", "sub-of-the-old-key")
        await world.sync(account_id, world.instance(TOKEN_ENCRYPTION_KEYS=ROTATED))
        fields = await world.wiring.accounts.fields(account_id)
        assert fields["watch_ask"] == "recreate"  # push is not configured here, so it stays asked for
        assert OLD_ID not in stored(world)


@pytest.mark.parametrize("purpose", ["refresh", "access"])
async def test_a_token_of_another_mailbox_does_not_open(redis: RedisRest, purpose: str) -> None:
    """Whoever can write to Redis cannot make one account read another's mail."""
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        other = "victim@example.com"
        world.gmail.add_mailbox(other)
        world.gmail.deliver(other, b"Subject: victim\r\n\r\nx")
        mine = await world.connect()
        token = world.gmail.refresh_token(other)
        theirs = (await world.wiring.import_account("gmail", other, "user-2", token, None)).account_id
        taken = (await world.wiring.accounts.fields(theirs))[purpose]
        redis.valkey.call("HSET", f"td:{mine}:account", purpose, taken)
        world.gmail.identity.expire_access(ADDRESS)
        before = world.gmail.counters(other)
        result = await world.sync(mine)
        assert (result["status"], result["reason"], result["count"]) == ("partial", "seal_broken", 0)
        assert world.gmail.counters(other) == before
        assert await world.folded(mine) == {}
