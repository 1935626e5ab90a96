"""/status: whether the process lives, without a key; how things stand, with it."""

import pytest

from tests.functions.stand import Stand, assert_problem


def test_health_needs_no_key_and_says_nothing_more(stand: Stand) -> None:
    for client in (stand.anonymous, stand.client):
        answer = client.get("/status/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_health_does_not_ask_the_store(stand: Stand) -> None:
    stand.redis.bridge.inject("refuse", times=10)
    assert stand.anonymous.get("/status/health").status_code == 200


def test_status_json_tells_how_every_mailbox_stands(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(2))
    stand.sync(account_id)
    found = stand.client.get("/status/status.json").json()
    assert (found["status"], found["accounts"]) == ("ok", {"total": 1, "active": 1})
    assert found["breakers"]["gmail"] == "closed"
    assert [(each["account_id"], each["state"], each["messages"]) for each in found["mailboxes"]] == [
        (account_id, "active", 2)
    ]


def test_many_mailboxes_cost_few_requests(stand: Stand) -> None:
    for _ in range(4):
        stand.connect(stand.mailbox())
    stand.redis.bridge.reset()
    assert stand.client.get("/status/status.json").json()["accounts"]["total"] == 4
    assert stand.redis.bridge.stats.requests <= 8


@pytest.mark.parametrize("path", ["/status/status.json", "/status/nothing"])
def test_without_the_key_nothing_else_is_told(stand: Stand, path: str) -> None:
    assert_problem(stand.anonymous.get(path), 401, "unauthorized")


def test_what_stands_at_no_path_is_404_and_another_method_405(stand: Stand) -> None:
    assert_problem(stand.client.get("/status/nothing"), 404, "not_found")
    assert_problem(stand.client.get("/status/health/deep"), 404, "not_found")
    for path in ("/status/health", "/status/status.json"):
        assert_problem(stand.client.delete(path), 405, "method_not_allowed")
