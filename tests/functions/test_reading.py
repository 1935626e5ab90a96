"""GET /mailbox/messages, /threads/{id}, /folders: what is asked, what is answered, and who may not."""

from collections.abc import Callable

import pytest

from infra.emulators.gmail import GmailEmulator
from tests.functions.stand import Stand, assert_problem

MANY = ",".join(f"{n:x}" for n in range(101))


@pytest.fixture
def account(stand: Stand) -> str:
    account_id = stand.connect(stand.mailbox(3))
    stand.sync(account_id)
    return account_id


def ids(stand: Stand, account_id: str) -> list[str]:
    return list(stand.folded(account_id))


def test_messages_come_in_the_order_in_which_they_are_asked_for(stand: Stand, account: str) -> None:
    first, second, third = ids(stand, account)
    query = {"account_id": account, "ids": f"{third},{first},{third},1a2b,{second}"}
    for _ in range(2):
        answer = stand.client.get("/mailbox/messages", params=query)
        assert answer.status_code == 200
        assert answer.json().keys() == {"messages", "missing"}
        assert [each["id"] for each in answer.json()["messages"]] == [third, first, second]
        assert answer.json()["missing"] == ["1a2b"]
    logged = stand.folded(account)[first]
    found = answer.json()["messages"][1]
    assert found.keys() == {*logged, "bodies", "attachments"}
    assert found["body"] == found["bodies"]["text"] | {"content_type": "text/plain"}


def test_a_thread_and_the_labels_are_answered(stand: Stand, account: str) -> None:
    first = ids(stand, account)[0]
    thread_id = stand.folded(account)[first]["thread_id"]
    answer = stand.client.get(f"/mailbox/threads/{thread_id}", params={"account_id": account})
    assert (answer.json()["thread_id"], [each["id"] for each in answer.json()["messages"]]) == (thread_id, [first])
    folders = stand.client.get("/mailbox/folders", params={"account_id": account}).json()["folders"]
    assert {"id": "INBOX", "name": "INBOX", "kind": "system", "parent_id": None, "hidden": False} in folders


@pytest.mark.parametrize("asked", ["", ",", MANY])
def test_no_ids_and_too_many_are_refused(stand: Stand, account: str, asked: str) -> None:
    answer = stand.client.get("/mailbox/messages", params={"account_id": account, "ids": asked})
    assert_problem(answer, 400, "malformed")


@pytest.mark.parametrize(
    "odd", ["a b", "../../x", "a/b", "\u00e9", "a" * 513, "$value", "a:b", "1\n2", "%2e%2e", "\0", "robin@example.com"]
)
def test_an_id_that_no_provider_can_have_is_missing_and_asked_of_nobody(stand: Stand, account: str, odd: str) -> None:
    first = ids(stand, account)[0]
    stand.client.get("/mailbox/messages", params={"account_id": account, "ids": first})
    keys = stand.stored()
    calls = stand.gmail.counters()["http_requests"]
    for asked, found in ((odd, []), (f"{odd},{first},,{odd}", [first])):
        answer = stand.client.get("/mailbox/messages", params={"account_id": account, "ids": asked})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert [each["id"] for each in answer.json()["messages"]] == found
        assert answer.json()["missing"] == [odd]
    assert stand.gmail.counters()["http_requests"] == calls
    assert stand.stored() == keys
    answer = stand.client.get("/mailbox/messages", params={"account_id": "acct_none", "ids": odd})
    assert_problem(answer, 404, "unknown_account")


@pytest.mark.parametrize("thread_id", ["..%2f..", "%00", "a%20b", "x" * 600])
def test_hostile_thread_ids_are_refused(stand: Stand, account: str, thread_id: str) -> None:
    answer = stand.client.get(f"/mailbox/threads/{thread_id}", params={"account_id": account})
    assert_problem(answer, 400, "malformed")


@pytest.mark.parametrize("path", ["messages?ids=1a2b", "threads/1a2b?x=1", "folders?x=1"])
def test_unknown_and_deleted_accounts_are_not_found(stand: Stand, account: str, path: str) -> None:
    stand.client.delete(f"/accounts/{account}")
    for account_id in (account, "nobody", "a:account", "..", "x" * 65):
        answer = stand.client.get(f"/mailbox/{path}", params={**_query(path), "account_id": account_id})
        assert_problem(answer, 404, "unknown_account")
    assert_problem(stand.client.get(f"/mailbox/{path}"), 400, "malformed")
    assert_problem(stand.anonymous.get(f"/mailbox/{path}"), 401, "unauthorized")


def _query(path: str) -> dict[str, str]:
    name, _, value = path.partition("?")[2].partition("=")
    return {name: value}


def test_a_message_of_another_mailbox_is_not_found_however_it_is_asked_for(stand: Stand, account: str) -> None:
    other = stand.connect(stand.mailbox(1))
    stand.sync(other)
    (theirs,) = ids(stand, other)
    thread_id = stand.folded(other)[theirs]["thread_id"]
    for account_id in (other, account, account):
        answer = stand.client.get("/mailbox/messages", params={"account_id": account_id, "ids": theirs}).json()
        assert answer["missing"] == ([] if account_id == other else [theirs])
        thread = stand.client.get(f"/mailbox/threads/{thread_id}", params={"account_id": account_id})
        assert thread.status_code == (200 if account_id == other else 404)


def test_what_is_cached_goes_with_the_account(stand: Stand, account: str) -> None:
    first = ids(stand, account)[0]
    stand.client.get("/mailbox/messages", params={"account_id": account, "ids": first})
    stand.client.get(f"/mailbox/threads/{stand.folded(account)[first]['thread_id']}", params={"account_id": account})
    stand.client.get("/mailbox/folders", params={"account_id": account})
    assert len([key for key in stand.stored() if account in key]) > 5
    stand.client.delete(f"/accounts/{account}")
    assert [key for key in stand.stored() if account in key] == []


def test_what_cannot_be_read_now_is_told(stand: Stand, account: str) -> None:
    first, second, _ = ids(stand, account)
    stand.client.get("/mailbox/messages", params={"account_id": account, "ids": first})
    stand.redis.valkey.call("SET", f"td:{account}:hold", "1", "PX", "30000")
    answer = stand.client.get("/mailbox/messages", params={"account_id": account, "ids": f"{first},{second}"})
    assert (answer.status_code, [each["id"] for each in answer.json()["messages"]]) == (200, [first])
    assert answer.json()["unavailable"] == [second]
    assert answer.json()["problem"] == {"slug": "throttled", "retry_after_s": 30}
    for path in (f"messages?ids={second}", f"threads/{second}?x=1", "folders?x=1"):
        refused = stand.client.get(f"/mailbox/{path}", params={**_query(path), "account_id": account})
        assert_problem(refused, 429, "throttled")
        assert 0 < int(refused.headers["retry-after"]) <= 30


def test_a_provider_that_is_down_is_no_bug_of_ours(stand_with: Callable[..., Stand], gmail: GmailEmulator) -> None:
    stand = stand_with(CIRCUIT_BREAKER_FAILURE_THRESHOLD="100")
    account_id = stand.connect(stand.mailbox(1))
    gmail.set_fault("unavailable")
    answer = stand.client.get("/mailbox/messages", params={"account_id": account_id, "ids": "1a2b"})
    assert_problem(answer, 502, "provider_down")


def test_a_redis_that_is_down_is_503(stand: Stand, account: str) -> None:
    stand.redis.bridge.inject("refuse", times=9)
    answer = stand.client.get("/mailbox/folders", params={"account_id": account})
    assert_problem(answer, 503, "store_down")
    assert "retry-after" in answer.headers
