"""/accounts: a mailbox is connected with a refresh token, shown, asked to list again, and deleted without a trace."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.adapters import redis_keys
from shared.config import load
from shared.wiring import Wiring
from tests.functions.stand import Stand, assert_problem, environment

BODY = {"provider": "gmail", "email": "owner@example.com", "user_id": "user-1", "refresh_token": "1//token"}


def test_importing_pins_the_cursor_and_runs_no_sync(stand: Stand) -> None:
    address = stand.mailbox(3)
    stand.gmail.reset_counters()
    answer = stand.client.post("/accounts", json=stand.asked(address))
    assert answer.status_code == 201
    assert answer.json().keys() == {"account_id", "provider", "state"}
    assert (answer.json()["provider"], answer.json()["state"]) == ("gmail", "active")
    assert stand.gmail.counters(address)["calls"] == {"getProfile": 1}
    assert [event["type"] for event in stand.changes(answer.json()["account_id"])["changes"]] == [
        "tidemark.account.connected"
    ]


def test_an_account_is_shown_alone_and_in_the_list_without_a_token(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(2))
    other = stand.connect(stand.mailbox())
    stand.sync(account_id)
    shown = stand.client.get(f"/accounts/{account_id}").json()
    assert shown["account_id"] == account_id
    assert (shown["provider"], shown["user_id"], shown["state"]) == ("gmail", "user-1", "active")
    assert 0 <= shown["cursor_age_s"] < 60
    assert shown["last_sync_at"] is not None
    assert shown["watch_expires_at"] is None
    assert shown["backfill"] is None
    listed = {each["account_id"]: each for each in stand.client.get("/accounts").json()["accounts"]}
    assert listed.keys() == {account_id, other}
    assert listed[other]["last_sync_at"] is None
    assert listed[other]["backfill"] is not None
    assert not {"refresh", "access", "email", "address", "cursor"} & shown.keys()


def test_many_accounts_are_listed_with_few_requests(stand: Stand) -> None:
    for _ in range(5):
        stand.connect(stand.mailbox())
    stand.redis.bridge.reset()
    assert len(stand.client.get("/accounts").json()["accounts"]) == 5
    assert stand.redis.bridge.stats.requests == 2


def test_a_chosen_account_id_keeps_the_old_name_and_lists_anew(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(2), account_id="the-old_Name1")
    assert account_id == "the-old_Name1"
    stand.sync(account_id)
    types = [event["type"] for event in stand.changes(account_id)["changes"]]
    assert types[0] == "tidemark.account.connected"
    assert types.count("tidemark.message.created") == 2
    assert len(stand.folded(account_id)) == 2


def test_a_chosen_account_id_that_another_mailbox_has_is_refused(stand: Stand) -> None:
    stand.connect(stand.mailbox(), account_id="mine")
    answer = stand.client.post("/accounts", json=stand.asked(stand.mailbox(), account_id="mine"))
    assert_problem(answer, 409, "account_id_taken")


def test_a_known_mailbox_gets_its_token_replaced_under_its_old_id(stand: Stand) -> None:
    address = stand.mailbox(1)
    account_id = stand.connect(address)
    stand.sync(account_id)
    before = stand.redis.valkey.call("HGET", f"td:{account_id}:account", "refresh")
    spelt = stand.asked(address, account_id="another", email=address.upper())
    answer = stand.client.post("/accounts", json=spelt)
    assert (answer.status_code, answer.json()["account_id"]) == (200, account_id)
    assert stand.redis.valkey.call("HGET", f"td:{account_id}:account", "refresh") != before
    assert stand.sync(account_id)["count"] == 0


def test_the_providers_profile_is_the_truth_about_the_address(stand: Stand) -> None:
    answer = stand.client.post("/accounts", json=stand.asked(stand.mailbox(), email="someone.else@example.com"))
    assert_problem(answer, 409, "address_mismatch")
    assert "@" not in answer.text
    assert stand.stored() == []


@pytest.mark.parametrize("token", ["1//never-given", "x" * 16_384])
def test_a_token_that_the_provider_refuses_connects_nothing(stand: Stand, token: str) -> None:
    answer = stand.client.post("/accounts", json=stand.asked(stand.mailbox(), refresh_token=token))
    assert_problem(answer, 422, "grant_refused")
    assert token not in answer.text
    assert stand.stored() == []


def test_a_revoked_token_connects_nothing(stand: Stand) -> None:
    address = stand.mailbox()
    asked = stand.asked(address)
    stand.gmail.revoke(address)
    assert_problem(stand.client.post("/accounts", json=asked), 422, "grant_refused")


def test_a_token_endpoint_that_fails_is_not_held_against_the_token(stand: Stand) -> None:
    asked = stand.asked(stand.mailbox())
    stand.gmail.identity.fail_next()
    assert_problem(stand.client.post("/accounts", json=asked), 502, "provider_down")
    assert stand.client.post("/accounts", json=asked).status_code == 201


@pytest.mark.parametrize("kind", ["garbage", "unavailable", "reset", "truncate_body", "garbled", "oversized"])
def test_a_profile_that_cannot_be_read_connects_nothing(stand: Stand, kind: str) -> None:
    asked = stand.asked(stand.mailbox())
    knobs: dict[str, dict[str, Any]] = {"truncate_body": {"keep": 0.5}, "oversized": {"bytes": 65 * 1024 * 1024}}
    stand.gmail.set_fault(kind, call="getProfile", times=1, **knobs.get(kind, {}))
    assert_problem(stand.client.post("/accounts", json=asked), 502, "provider_down")
    assert stand.stored() == []
    assert stand.client.post("/accounts", json=asked).status_code == 201


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": "imap"},
        {"provider": None},
        {"email": "no address"},
        {"email": 7},
        {"email": ["a@example.com"]},
        {"user_id": ""},
        {"user_id": {}},
        {"refresh_token": ""},
        {"refresh_token": 5},
        {"refresh_token": "x" * 16_385},
        {"account_id": ""},
        {"account_id": "a:b"},
        {"account_id": "a" * 65},
        {"account_id": 3},
        {"surprise": True},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_wrong_field_is_named_and_not_repeated(stand: Stand, wrong: dict[str, Any]) -> None:
    answer = stand.client.post("/accounts", json={**BODY, **wrong})
    assert_problem(answer, 400, "malformed")
    assert next(iter(wrong)) in answer.json()["detail"]
    assert "@" not in answer.text


@pytest.mark.parametrize("missing", ["provider", "email", "user_id", "refresh_token"])
def test_a_missing_field_is_named(stand: Stand, missing: str) -> None:
    asked = stand.asked(stand.mailbox())
    del asked[missing]
    answer = stand.client.post("/accounts", json=asked)
    assert_problem(answer, 400, "malformed")
    assert missing in answer.json()["detail"]


def test_an_unknown_account_is_404_everywhere(stand: Stand) -> None:
    for method, path, body in (
        ("GET", "/accounts/nobody", None),
        ("GET", "/accounts/a%2Fb", None),
        ("GET", "/accounts/" + "a" * 4000, None),
        ("DELETE", "/accounts/nobody", None),
        ("POST", "/accounts/nobody/resync", {"content": False}),
    ):
        assert_problem(stand.client.request(method, path, json=body), 404, "unknown_account")


def test_what_stands_at_no_path_is_404_and_another_method_405(stand: Stand) -> None:
    assert_problem(stand.client.get("/accounts/a/b/c"), 404, "not_found")
    assert_problem(stand.client.post("/accounts/a/nothing"), 404, "not_found")
    for method, path, allowed in (
        ("PUT", "/accounts", "GET, POST, HEAD"),
        ("POST", "/accounts/a", "GET, DELETE, HEAD"),
        ("GET", "/accounts/a/resync", "POST"),
    ):
        answer = stand.client.request(method, path)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


def test_a_resync_is_accepted_and_done_by_the_next_sync(stand: Stand) -> None:
    address = stand.mailbox(2)
    account_id = stand.connect(address)
    stand.sync(account_id)
    answer = stand.client.post(f"/accounts/{account_id}/resync", json={"content": True})
    assert answer.status_code == 202
    stand.sync(account_id)
    types = [event["type"].removeprefix("tidemark.") for event in stand.changes(account_id)["changes"]]
    assert types.count("message.created") == 4
    assert types.index("snapshot.began") < types.index("snapshot.ended")
    assert len(stand.folded(account_id)) == 2


@pytest.mark.parametrize("body", [b"", b"{}", b'{"content":false}'])
def test_a_resync_without_content_says_nothing_that_is_known(stand: Stand, body: bytes) -> None:
    account_id = stand.connect(stand.mailbox(2))
    stand.sync(account_id)
    assert stand.client.post(f"/accounts/{account_id}/resync", content=body).status_code == 202
    assert stand.sync(account_id)["count"] == 0


@pytest.mark.parametrize("body", [{"content": "yes"}, {"content": None}, {"content": 1}, {"contents": True}], ids=str)
def test_a_resync_asked_for_wrongly_is_refused(stand: Stand, body: dict[str, Any]) -> None:
    account_id = stand.connect(stand.mailbox())
    assert_problem(stand.client.post(f"/accounts/{account_id}/resync", json=body), 400, "malformed")


def test_deleting_revokes_the_grant_and_leaves_no_key_behind(stand: Stand) -> None:
    address = stand.mailbox(3)
    kept = stand.connect(stand.mailbox(1))
    stand.sync(kept)
    before = stand.stored()
    account_id = stand.connect(address)
    stand.sync(account_id)
    stand.changes(account_id, reader="app")
    assert any(key.startswith(f"td:{account_id}:message:") for key in stand.stored())
    answer = stand.client.delete(f"/accounts/{account_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert stand.stored() == before
    for key in (redis_keys.ACCOUNTS, redis_keys.ADDRESSES, redis_keys.due("gmail")):
        kind = {"set": "SMEMBERS", "hash": "HGETALL", "zset": "ZRANGE"}[str(stand.redis.valkey.call("TYPE", key))]
        held = stand.redis.valkey.call(kind, key, *((0, -1) if kind == "ZRANGE" else ()))
        assert account_id.encode() not in (held or []), key  # type: ignore[operator]
    assert stand.gmail.revoke(address) == 0, "the grant was still alive"
    assert_problem(stand.client.delete(f"/accounts/{account_id}"), 404, "unknown_account")
    assert_problem(stand.client.get(f"/accounts/{account_id}"), 404, "unknown_account")
    assert stand.client.post("/accounts", json=stand.asked(address)).status_code == 201


def test_deleting_does_not_wait_for_a_provider_that_fails(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox())
    stand.gmail.identity.fail_next(times=5)
    assert stand.client.delete(f"/accounts/{account_id}").status_code == 204
    assert not any(account_id in key for key in stand.stored())


def killed_deletion(stand: Stand, account_id: str) -> None:
    """As far as a process comes that is killed after its first step."""
    stand.redis.bridge.inject("refuse", times=1000, match="SCAN")
    assert_problem(stand.client.delete(f"/accounts/{account_id}"), 503, "store_down")
    stand.redis.bridge.reset()


def test_a_killed_deletion_is_hidden_at_once_and_finished_by_the_next_ping(stand: Stand) -> None:
    address = stand.mailbox(2)
    account_id = stand.connect(address)
    stand.sync(account_id)
    killed_deletion(stand, account_id)
    assert_problem(stand.client.get(f"/accounts/{account_id}"), 404, "unknown_account")
    assert stand.client.get("/accounts").json() == {"accounts": []}
    assert_problem(stand.client.get("/mailbox/changes", params={"account_id": account_id}), 404, "unknown_account")
    assert_problem(stand.client.post(f"/accounts/{account_id}/resync", json={}), 404, "unknown_account")
    assert_problem(stand.client.post("/gmail-sync", json={"account_id": account_id}), 404, "unknown_account")
    assert_problem(stand.client.post("/accounts", json=stand.asked(address)), 409, "deleting")
    assert stand.ping()["results"] == []
    assert not any(account_id in key for key in stand.stored())
    assert stand.gmail.revoke(address) == 1, "only the grant of the refused connection was left"


def test_a_killed_deletion_is_finished_by_the_next_delete(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(2))
    stand.sync(account_id)
    killed_deletion(stand, account_id)
    assert stand.client.delete(f"/accounts/{account_id}").status_code == 204
    assert not any(account_id in key for key in stand.stored())


def test_what_a_late_sync_writes_is_refused(stand: Stand) -> None:
    """Its deletion falls between the sync's reading and its append: nothing of the account comes back."""
    address = stand.mailbox(3)
    account_id = stand.connect(address)
    steps: list[str] = []

    def delete_in_between(step: str) -> None:
        steps.append(step)
        if "/batch" in step and step.startswith("after") and "deleted" not in steps:
            steps.append("deleted")
            assert stand.client.delete(f"/accounts/{account_id}").status_code == 204

    async def late() -> dict[str, Any]:
        settings = load(environment(stand.redis, stand.gmail, stand.gmail_url))
        wiring = Wiring(settings, on_io=delete_in_between)
        try:
            return await wiring.sync("gmail", account_id, wiring.clock.now_s() + 60)
        finally:
            await wiring.close()

    result = asyncio.run(late())
    assert "deleted" in steps
    assert result["count"] == 0
    assert not any(account_id in key for key in stand.stored())


def test_a_dead_grant_is_a_state_until_the_mailbox_is_connected_again(
    stand_with: Callable[..., Stand],
) -> None:
    stand = stand_with()
    address = stand.mailbox(1)
    account_id = stand.connect(address)
    stand.sync(account_id)
    stand.gmail.revoke(address)
    result = stand.sync(account_id)
    assert (result["status"], result["more"]) == ("reauth_required", False)
    assert stand.sync(account_id)["status"] == "reauth_required"
    shown = stand.client.get(f"/accounts/{account_id}").json()
    assert (shown["state"], shown["reason"]) == ("reauth_required", "invalid_grant")
    stand.gmail.deliver(address, b"Subject: while it was dead\r\n\r\nx\r\n")
    assert stand.client.post("/accounts", json=stand.asked(address)).status_code == 200
    assert stand.sync(account_id)["changes"]["created"] == 1
    types = [event["type"].removeprefix("tidemark.account.") for event in stand.changes(account_id)["changes"]]
    assert [name for name in types if "." not in name] == ["connected", "reauth_required", "recovered"]
