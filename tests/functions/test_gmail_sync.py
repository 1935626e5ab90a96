"""POST /gmail-sync: one account, or a cron ping over all of them; what stops a sync is an outcome, told with 200."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from shared.adapters.clock import SystemClock
from shared.sync.sweep import sweep
from tests import world
from tests.functions.stand import Stand, assert_problem

ANSWER = {
    *("status", "account_id", "count", "changes", "api_calls"),
    *("quota_units", "redis_requests", "duration_s", "more"),
}


def test_a_sync_says_what_it_did_and_what_it_cost(stand: Stand) -> None:
    address = stand.mailbox(3)
    account_id = stand.connect(address)
    stand.gmail.reset_counters()
    result = stand.sync(account_id)
    assert result.keys() == ANSWER
    assert (result["status"], result["account_id"], result["count"]) == ("synced", account_id, 3)
    assert result["changes"] == {"created": 3, "updated": 0, "deleted": 0}
    assert result["api_calls"] == stand.gmail.counters(address)["http_requests"]
    assert result["quota_units"] == stand.gmail.counters(address)["units"]
    assert 0 < result["duration_s"] < 30
    assert not result["more"]
    assert stand.sync(account_id)["status"] == "no_new_messages"
    assert stand.folded(account_id).keys() == stand.gmail.truth(address).keys()


def test_with_or_without_a_trailing_slash_it_is_the_same(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox())
    assert stand.client.post("/gmail-sync/", json={"account_id": account_id}).status_code == 200
    assert_problem(stand.client.post("/gmail-sync/more", json={"account_id": account_id}), 404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"{",
            b"[]",
            b'"a"',
            b"null",
            b"\xff\xfe",
            b'{"account_id":7}',
            b'{"account_id":null}',
            b'{"account_id":["a"]}',
        ),
        *(b'{"account":"a"}', b'{"account_id":"a","more":1}', b'{"account_id":"\\ud800"}', b"[" * 5000, b"NaN"),
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_a_malformed_body_is_refused(stand: Stand, body: bytes) -> None:
    assert_problem(stand.client.post("/gmail-sync", content=body), 400, "malformed")


@pytest.mark.parametrize("account_id", ["nobody", "", "a:b", "td:accounts", "*", "a\u0000b", "x" * 100_000])
def test_an_unknown_account_is_404(stand: Stand, account_id: str) -> None:
    answer = stand.client.post("/gmail-sync", json={"account_id": account_id})
    assert_problem(answer, 404, "unknown_account")
    assert stand.stored() == []


def test_an_account_of_another_provider_is_unknown_here(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(1))
    stand.redis.valkey.call("HSET", f"td:{account_id}:account", "provider", "outlook")
    before = stand.redis.valkey.call("HGETALL", f"td:{account_id}:account")
    answer = stand.client.post("/gmail-sync", json={"account_id": account_id})
    assert_problem(answer, 404, "unknown_account")
    assert stand.redis.valkey.call("HGETALL", f"td:{account_id}:account") == before


def test_an_instance_that_comes_second_is_told_so_and_its_call_counts_as_a_hint(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(1))
    stand.redis.valkey.call("SET", f"td:{account_id}:lease", "another", "PX", 60_000)
    before = stand.redis.valkey.call("HGET", f"td:{account_id}:account", "hints")
    result = stand.sync(account_id)
    assert (result["status"], result["more"], result["api_calls"]) == ("lease_held", True, 0)
    assert stand.redis.valkey.call("HGET", f"td:{account_id}:account", "hints") != before
    stand.redis.valkey.call("DEL", f"td:{account_id}:lease")
    assert stand.sync(account_id)["changes"]["created"] == 1


def test_an_open_breaker_is_an_outcome(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(1))
    stand.redis.valkey.call("SET", "td:breaker:gmail:open", "1", "PX", 60_000)
    result = stand.sync(account_id)
    assert (result["status"], result["more"], result["api_calls"]) == ("breaker_open", True, 0)
    assert 0 < result["retry_after_s"] <= 60
    assert stand.client.get("/status/status.json").json()["breakers"]["gmail"] == "open"


def test_a_cool_down_is_stored_and_the_provider_left_alone_until_it_ends(stand: Stand) -> None:
    address = stand.mailbox(1)
    account_id = stand.connect(address)
    stand.gmail.set_fault("rate_limited", address=address, times=1, retry_after=90)
    result = stand.sync(account_id)
    assert (result["status"], result["more"], result["api_calls"]) == ("cooling_down", True, 1)
    assert 80 < result["retry_after_s"] <= 91
    again = stand.sync(account_id)
    assert (again["status"], again["api_calls"]) == ("cooling_down", 0)
    assert 80 < again["retry_after_s"] <= 91
    stand.redis.valkey.call("DEL", f"td:{account_id}:hold")
    assert stand.sync(account_id)["status"] == "synced"


@pytest.mark.parametrize("kind", ["garbage", "unavailable", "reset", "truncate_body", "oversized"])
@pytest.mark.parametrize("call", ["messages.list", "batch", "history.list"])
def test_what_a_provider_answers_in_garbage_is_read_again_by_the_next_sync(stand: Stand, call: str, kind: str) -> None:
    address = stand.mailbox(5)
    account_id = stand.connect(address)
    if call == "history.list":
        stand.sync(account_id)
        stand.gmail.deliver(address, world.raw(9))
    given = {"oversized": {"bytes": 65 * 1024 * 1024}}.get(kind, {})
    stand.gmail.set_fault(kind, address=address, call=call, times=1, **given)
    result = stand.sync(account_id)
    assert (result["status"], result["more"], result["reason"]) == ("partial", True, "provider_down")
    result = stand.sync(account_id)
    assert (result["status"], result["more"]) == ("synced", False)
    assert stand.folded(account_id).keys() == stand.gmail.truth(address).keys()


def test_a_token_endpoint_that_fails_costs_a_delay_and_no_account(stand: Stand) -> None:
    address = stand.mailbox(1)
    account_id = stand.connect(address)
    stand.gmail.identity.expire_access(address)
    stand.gmail.identity.fail_next()
    assert stand.sync(account_id)["status"] == "partial"
    assert stand.client.get(f"/accounts/{account_id}").json()["state"] == "active"
    assert stand.sync(account_id)["status"] == "synced"


@pytest.mark.parametrize("body", [b"", b"{}", b" \n"])
def test_a_ping_works_through_every_account(stand: Stand, body: bytes) -> None:
    accounts = {stand.connect(address): address for address in (stand.mailbox(2), stand.mailbox(1), stand.mailbox())}
    answer = stand.client.post("/gmail-sync", content=body)
    assert answer.status_code == 200
    swept = answer.json()
    assert swept.keys() == {"status", "accounts", "results", "more"}
    assert (swept["status"], swept["accounts"], swept["more"]) == ("swept", 3, False)
    assert {result["account_id"]: result["count"] for result in swept["results"]} == dict(
        zip(accounts, (2, 1, 0), strict=True)
    )
    for account_id, address in accounts.items():
        assert stand.folded(account_id).keys() == stand.gmail.truth(address).keys()


def test_a_ping_over_nothing_has_swept_nothing(stand: Stand) -> None:
    assert stand.ping() == {"status": "swept", "accounts": 0, "results": [], "more": False}


def test_an_account_with_a_dead_grant_stops_no_other_and_is_told_first(stand: Stand) -> None:
    addresses = [stand.mailbox(1) for _ in range(4)]
    accounts = [stand.connect(address) for address in addresses]
    stand.gmail.revoke(addresses[2])
    swept = stand.ping()
    assert swept["accounts"] == 4
    assert (swept["results"][0]["account_id"], swept["results"][0]["status"]) == (accounts[2], "reauth_required")
    assert [result["status"] for result in swept["results"][1:]] == ["synced"] * 3
    assert accounts[2] not in {result["account_id"] for result in stand.ping()["results"]}
    assert stand.client.get("/status/status.json").json()["accounts"] == {
        "total": 4,
        "active": 3,
        "reauth_required": 1,
    }


def test_an_account_whose_token_cannot_be_opened_stops_no_other(stand: Stand) -> None:
    poisoned, healthy = stand.connect(stand.mailbox(1)), stand.connect(stand.mailbox(1))
    stand.redis.valkey.call("HSET", f"td:{poisoned}:account", "access", "v1.00000000.AAAA")
    swept = stand.ping()
    assert [(result["account_id"], result["status"]) for result in swept["results"]] == [
        (poisoned, "partial"),
        (healthy, "synced"),
    ]
    assert (swept["results"][0]["reason"], swept["more"]) == ("seal_broken", True)


def test_an_account_that_cannot_be_understood_is_told_as_failed_and_stops_no_other(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    address = stand.mailbox(1)
    poisoned, healthy = stand.connect(address), stand.connect(stand.mailbox(1))
    stand.redis.valkey.call("HSET", f"td:{poisoned}:account", "watch_until_s", "1", "watch_renewed_s", address)
    swept = stand.ping()
    assert [(result["account_id"], result["status"]) for result in swept["results"]] == [
        (poisoned, "failed"),
        (healthy, "synced"),
    ]
    assert swept["results"][0].keys() == {*swept["results"][1].keys(), "reason"}
    assert (swept["results"][0]["reason"], swept["more"]) == ("internal", False)
    told = capfd.readouterr().err
    assert '"event":"sync_failed"' in told
    assert "builtins.ValueError" in told
    assert address not in told


def test_a_redis_that_fails_in_the_middle_of_a_ping_is_503_and_loses_nothing(stand: Stand) -> None:
    addresses = [stand.mailbox(2) for _ in range(3)]
    accounts = [stand.connect(address) for address in addresses]
    stand.redis.bridge.inject("refuse", times=1000, nth=4, match="EVAL")
    answer = stand.client.post("/gmail-sync")
    assert_problem(answer, 503, "store_down")
    assert int(answer.headers["retry-after"]) > 0
    stand.redis.bridge.reset()
    for account_id, address in zip(accounts, addresses, strict=True):
        stand.redis.valkey.call("DEL", f"td:{account_id}:lease")
        stand.sync(account_id)
        assert stand.folded(account_id).keys() == stand.gmail.truth(address).keys()


def test_a_budget_that_is_spent_leaves_the_rest_to_the_next_call(stand_with: Callable[..., Stand]) -> None:
    stand = stand_with(MAX_SYNC_DURATION="1", GMAIL_UNITS_PER_MINUTE="2400", INITIAL_SYNC_MESSAGES="all")
    address = stand.mailbox(60)
    account_id = stand.connect(address)
    began_s = time.monotonic()
    first = stand.sync(account_id)
    assert (first["status"], first["more"]) == ("partial", True)
    assert 0 < first["count"] < 60
    assert time.monotonic() - began_s < 5
    assert stand.client.get(f"/accounts/{account_id}").json()["backfill"] is not None
    arrived = stand.gmail.deliver(address, world.raw(99))
    stand.sync(account_id)
    assert arrived in stand.folded(account_id), "new mail waited for old mail"


def _unforeseen(account_id: str, error: Exception) -> None:
    raise AssertionError(account_id) from error


async def test_a_ping_tells_at_most_100_results_failures_first() -> None:
    async def work(account_id: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        status = "partial" if int(account_id) % 50 == 49 else "synced"
        return {"account_id": account_id, "status": status, "more": False}

    clock = SystemClock()
    swept = await sweep([str(n) for n in range(150)], work, _unforeseen, clock.now_s() + 60, clock)
    assert (swept["accounts"], len(swept["results"])) == (150, 100)
    assert [result["account_id"] for result in swept["results"][:3]] == ["49", "99", "149"]
    assert {result["status"] for result in swept["results"][3:]} == {"synced"}


async def test_accounts_that_a_ping_does_not_reach_are_left_for_the_next() -> None:
    clock = SystemClock()

    async def work(account_id: str) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"account_id": account_id, "status": "synced", "more": False}

    swept = await sweep([str(n) for n in range(100)], work, _unforeseen, clock.now_s() + 0.08, clock)
    assert 0 < swept["accounts"] < 100
    assert swept["more"]
