"""What goes wrong at Gmail, and that nothing is lost by it."""

import pytest

from tests.conftest import RedisRest
from tests.world import ADDRESS, GmailWorld, raw

GET = "messages.get"


async def synced_after(world: GmailWorld, kind: str, **fault: object) -> list[dict[str, object]]:
    world.fill(50)
    account_id = await world.connect()
    world.gmail.set_fault(kind, **fault)
    results = await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    return results


async def test_every_tenth_part_refused_once_is_retried_alone(world: GmailWorld) -> None:
    first, *_ = await synced_after(world, "too_many", every=10, once=True, in_batch=True)
    assert first["count"] == 50
    assert world.counters()["calls"][GET] < 50 + 5 + 2


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("backend_error", {"call": GET, "every": 7, "once": True}),
        ("garbled", {"call": GET, "every": 7, "once": True}),
        ("drop", {"call": GET, "every": 7, "once": True}),
        ("exhausted", {"call": GET, "times": 3}),
        ("quota_exceeded", {"call": GET, "times": 3}),
        ("user_rate_limit", {"call": GET, "times": 3}),
        ("locked_out", {"call": GET, "times": 1, "seconds": 900}),
        ("unauthenticated", {"call": GET, "times": 2}),
        ("truncate_body", {"call": "batch", "times": 2, "keep": 0.5}),
        ("shuffle_parts", {"call": "batch"}),
        ("drop_part", {"call": "batch", "times": 2}),
        ("duplicate_part", {"call": "batch", "times": 2}),
        ("garbage", {"call": "batch", "times": 1}),
        ("unavailable", {"times": 2}),
        ("rate_limited", {"times": 2, "retry_after": 3}),
        ("rate_limited", {"times": 1, "retry_after": 3600}),
        ("outer_locked_out", {"times": 1, "seconds": 900}),
        ("reset", {"times": 2}),
    ],
)
async def test_no_message_is_lost(world: GmailWorld, kind: str, fault: dict[str, object]) -> None:
    await synced_after(world, kind, **fault)


async def test_a_lock_out_is_stored_and_nothing_is_asked_until_it_ends(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.gmail.set_fault("outer_locked_out", times=1, seconds=900)
    result = await world.sync(account_id)
    assert (result["status"], result["reason"], result["more"]) == ("cooling_down", "throttled", True)
    assert 800 < result["retry_after_s"] <= 901
    world.gmail.reset_counters()
    again = await world.sync(account_id)
    assert (again["status"], again["api_calls"], again["redis_requests"]) == ("cooling_down", 0, 1)
    assert world.counters()["http_requests"] == 0


async def test_a_poison_message_is_parked_and_said_and_leaves_when_it_can_be_read(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", QUARANTINE_AFTER="600") as world:
        ids = world.fill(10)
        account_id = await world.connect()
        fault = world.gmail.set_fault("backend_error", message_id=ids[4])
        first = await world.sync(account_id)
        assert (first["status"], first["count"]) == ("synced", 9)
        await world.assert_log_equals_mailbox(account_id, set(ids) - {ids[4]})
        for _ in range(4):
            world.clock.skip(200)
            await world.sync(account_id)
        said = [e for e in await world.events(account_id) if e["type"] == "tidemark.message.quarantined"]
        assert [event["data"]["message_id"] for event in said] == [ids[4]]
        assert said[0]["data"]["attempts"] >= 9
        assert (await world.wiring.show_account(account_id))["parked"] == 1
        world.gmail.clear_faults(fault)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)
        assert (await world.wiring.show_account(account_id))["parked"] == 0


async def test_a_quarantined_message_that_is_gone_leaves_by_deleted(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", QUARANTINE_AFTER="0") as world:
        ids = world.fill(3)
        account_id = await world.connect()
        world.gmail.set_fault("backend_error", message_id=ids[1])
        for _ in range(3):
            await world.sync(account_id)
        world.gmail.delete(ADDRESS, ids[1])
        world.gmail.clear_faults()
        await world.dry(account_id)
        kinds = [e["type"] for e in await world.events(account_id) if e.get("subject") == ids[1]]
        assert kinds == ["tidemark.message.quarantined", "tidemark.message.deleted"]
        await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize(("failures", "status"), [(2, "synced"), (3, "partial")])
async def test_a_token_endpoint_that_fails_for_a_moment_ends_no_sync(
    world: GmailWorld, failures: int, status: str
) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.redis.valkey.call("HDEL", f"td:{account_id}:account", "access")
    world.gmail.identity.fail_next(failures, "html_503")
    assert (await world.sync(account_id))["status"] == status


async def test_a_provider_that_is_down_for_a_time_that_it_names_is_left_alone_until_then(world: GmailWorld) -> None:
    account_id = await world.connect()
    world.gmail.set_fault("rate_limited", times=1, code=503, retry_after=86_400)
    result = await world.sync(account_id)
    assert (result["status"], result["retry_after_s"]) == ("cooling_down", 86_400)
    assert (await world.sync(account_id))["status"] == "cooling_down"


async def test_connecting_survives_a_moment_without_tokens_or_profile(world: GmailWorld) -> None:
    world.gmail.identity.fail_next(1, "html_503")
    world.gmail.set_fault("reset", call="getProfile", times=1)
    assert await world.connect()


async def test_an_outage_parks_nothing_and_advances_nothing(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", CIRCUIT_BREAKER_FAILURE_THRESHOLD="1000") as world:
        world.fill(10)
        account_id = await world.connect()
        world.gmail.set_fault("backend_error", call=GET)
        result = await world.sync(account_id)
        assert (result["status"], result["more"], result["count"]) == ("partial", True, 0)
        assert result["reason"] == "provider_down"
        assert (await world.wiring.show_account(account_id))["parked"] == 0
        world.gmail.clear_faults()
        assert (await world.sync(account_id))["count"] == 10


async def test_the_breaker_opens_and_lets_one_probe_through(redis: RedisRest) -> None:
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", CIRCUIT_BREAKER_COOLDOWN="60") as world:
        world.fill(3)
        account_id = await world.connect()
        world.gmail.set_fault("unavailable")
        assert (await world.sync(account_id))["status"] == "partial"
        result = await world.sync(account_id)
        assert (result["status"], result["reason"], result["more"]) == ("breaker_open", "breaker_open", True)
        assert 0 < result["retry_after_s"] <= 60
        world.gmail.reset_counters()
        again = await world.sync(account_id)
        assert (again["status"], again["api_calls"], again["redis_requests"]) == ("breaker_open", 0, 1)
        world.expire_locks(account_id)
        probe = await world.sync(account_id)
        assert (probe["status"], probe["api_calls"]) == ("breaker_open", 1)
        world.gmail.clear_faults()
        world.expire_locks(account_id)
        assert (await world.sync(account_id))["count"] == 3


async def test_the_quota_is_kept_without_a_refusal(redis: RedisRest) -> None:
    """2026 prices: after the burst 300 messages a minute, however they are batched."""
    async with GmailWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        world.fill(400)
        account_id = await world.connect()
        began_s = world.clock.now_s()
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)
        assert world.clock.now_s() - began_s >= (400 * 20 - 2000) / 100
        assert world.counters()["refused_quota"] == 0


async def test_a_dead_grant_is_said_once_and_a_new_one_goes_on_from_the_cursor(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    await world.sync(account_id)
    world.gmail.revoke(ADDRESS)
    world.gmail.deliver(ADDRESS, raw(50))
    dead = await world.sync(account_id)
    assert (dead["status"], dead["reason"], dead["more"]) == ("reauth_required", "invalid_grant", False)
    again = await world.sync(account_id)
    assert (again["status"], again["api_calls"]) == ("reauth_required", 0)
    assert (await world.wiring.show_account(account_id))["state"] == "reauth_required"
    assert await world.connect() == account_id
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
    kinds = [
        e["type"].removeprefix("tidemark.account.") for e in await world.events(account_id) if ".account." in e["type"]
    ]
    assert kinds == ["connected", "reauth_required", "recovered"]


async def test_trouble_of_the_token_endpoint_blames_nobody(world: GmailWorld) -> None:
    world.fill(3)
    account_id = await world.connect()
    world.gmail.identity.expire_access(ADDRESS)
    world.gmail.identity.fail_next(3)
    assert (await world.sync(account_id))["status"] == "partial"
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id)
