"""POST /accounts/{id}/redeliver, and the webhook as /accounts and /status show it."""

from collections.abc import Callable, Iterator

import pytest

from tests.functions.stand import Stand, assert_problem
from tests.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def pushing(stand_with: Callable[..., Stand], receiver: Receiver) -> Stand:
    return stand_with(**receiver.environment, DISPATCH="pubsub", DISPATCH_PUBSUB_TOPIC="projects/p/topics/hints")


def test_from_a_cursor_on_the_same_events_come_again(pushing: Stand, receiver: Receiver) -> None:
    account_id = pushing.connect(pushing.mailbox(3))
    pushing.sync(account_id)
    assert receiver.events == pushing.changes(account_id)["changes"]
    cursor = pushing.changes(account_id, limit=2)["cursor"]
    answer = pushing.client.post(f"/accounts/{account_id}/redeliver", json={"from": cursor})
    assert (answer.status_code, answer.json()) == (202, {"account_id": account_id, "status": "accepted"})
    assert pushing.client.get(f"/accounts/{account_id}").json()["webhook"]["lag"] == 2
    pushing.ping()
    assert receiver.requests[-1].events == receiver.events[2:]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"from": null}'])
def test_without_a_cursor_a_paused_target_is_tried_again(pushing: Stand, receiver: Receiver, body: bytes) -> None:
    receiver.answers = [410, 200]
    account_id = pushing.connect(pushing.mailbox(1))
    pushing.sync(account_id)
    shown = pushing.client.get("/status/status.json").json()
    assert (shown["webhook"]["state"], shown["mailboxes"][0]["webhook"]["lag"]) == ("paused", 2)
    assert "paused by 410" in pushing.client.get("/status").text
    told = pushing.client.get("/status/metrics").text
    assert 'tidemark_webhook_state{state="paused"} 1' in told
    assert f'tidemark_webhook_lag{{account_id="{account_id}"}} 2' in told
    assert pushing.client.post(f"/accounts/{account_id}/redeliver", content=body).status_code == 202
    pushing.ping()
    assert receiver.events == pushing.changes(account_id)["changes"]
    shown = pushing.client.get("/status/status.json").json()
    assert (shown["webhook"]["state"], shown["mailboxes"][0]["webhook"]["lag"]) == ("closed", 0)


def test_a_failing_delivery_needs_attention(pushing: Stand, receiver: Receiver) -> None:
    receiver.answers = [500]
    pushing.sync(pushing.connect(pushing.mailbox(1)))
    text = pushing.client.get("/status").text
    assert "webhook: http_500, 2 events wait" in text
    assert "delivering" in text


def test_what_cannot_be_delivered_again_is_told(pushing: Stand, receiver: Receiver) -> None:
    account_id = pushing.connect(pushing.mailbox(1))
    path = f"/accounts/{account_id}/redeliver"
    for cursor in ("garbage", "e.1", "earliest"):
        assert_problem(pushing.client.post(path, json={"from": cursor}), 410, "cursor_expired")
    for body in ({"from": 1}, {"from": ""}, {"to": "e.1"}, {"from": "x" * 200}):
        assert_problem(pushing.client.post(path, json=body), 400, "malformed")
    assert_problem(pushing.client.post("/accounts/nobody/redeliver"), 404, "unknown_account")
    assert_problem(pushing.client.get(path), 405, "method_not_allowed")
    assert_problem(pushing.anonymous.post(path), 401, "unauthorized")


def test_without_a_webhook_there_is_nothing_to_redeliver(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox())
    assert_problem(stand.client.post(f"/accounts/{account_id}/redeliver"), 409, "webhook_off")
    assert stand.client.get(f"/accounts/{account_id}").json()["webhook"] is None
    assert stand.client.get("/status/status.json").json()["webhook"] is None
