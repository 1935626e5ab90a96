"""GET /mailbox/changes: the log page by page, in order, from a cursor that is believed or refused and never guessed."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from infra.emulators.gmail import GmailEmulator
from infra.local.fold import fold
from tests import world
from tests.functions.stand import API_KEY, Stand, assert_problem, environment, loaded


@pytest.fixture
def account(stand: Stand) -> str:
    """Connected, and synced: 6 events."""
    account_id = stand.connect(stand.mailbox(5))
    assert stand.sync(account_id)["count"] == 5
    return account_id


def refused(stand: Stand, account_id: str, **query: Any) -> None:
    answer = stand.client.get("/mailbox/changes", params={"account_id": account_id, **query})
    assert_problem(answer, 410, "cursor_expired")


def test_an_event_is_a_cloudevent_with_the_whole_message(stand: Stand, account: str) -> None:
    first, second = stand.changes(account)["changes"][:2]
    assert first["type"] == "tidemark.account.connected"
    assert "subject" not in first
    assert second.keys() == {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}
    assert (second["specversion"], second["source"]) == ("1.0", f"/tidemark/accounts/{account}")
    assert second["type"] == "tidemark.message.created"
    data = second["data"]
    assert (data["account_id"], data["user_id"], data["provider"]) == (account, "user-1", "gmail")
    assert data["origin"] == "backfill"
    assert data["message"]["id"] == second["subject"]
    assert data["message"].keys() == {
        *("id", "thread_id", "internet_message_id", "subject", "from", "to", "cc", "bcc", "reply_to", "sent_at"),
        *("received_at", "snippet", "labels", "folder_id", "categories", "unread", "flagged", "draft"),
        *("has_attachments", "size_bytes", "headers", "body"),
    }


def test_pages_follow_each_other_without_gap_or_repeat(stand: Stand, account: str) -> None:
    whole = stand.changes(account)
    assert (len(whole["changes"]), whole["more"]) == (6, False)
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {}
    for _ in range(3):
        page = stand.changes(account, limit=2, **query)
        assert len(page["changes"]) == 2
        found += page["changes"]
        assert page["more"] is (len(found) < 6)
        query = {"after": page["cursor"]}
    assert found == whole["changes"]
    assert page["cursor"] == whole["cursor"]
    end = stand.changes(account, **query)
    assert end == {"changes": [], "cursor": whole["cursor"], "more": False}


def test_events_keep_their_ids_whoever_reads_and_however_often(stand: Stand, account: str) -> None:
    once, again = (stand.changes(account, reader=reader)["changes"] for reader in ("one", "two"))
    assert once == again
    assert len({event["id"] for event in once}) == 6


@pytest.mark.parametrize("limit", ["1001", "999999999"])
def test_a_limit_above_the_most_is_the_most(stand: Stand, account: str, limit: str) -> None:
    assert len(stand.changes(account, limit=limit)["changes"]) == 6


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "-1", "x", "1.5", "1" * 40, "\u0663")),
        *({"wait": wait} for wait in ("-1", "soon", "0x10")),
        *({"reader": reader} for reader in ("a b", "x" * 65, "é", "@webhook")),
    ],
    ids=str,
)
def test_a_malformed_query_is_refused(stand: Stand, account: str, query: dict[str, str]) -> None:
    answer = stand.client.get("/mailbox/changes", params={"account_id": account, **query})
    assert_problem(answer, 400, "malformed")


def test_without_an_account_id_it_is_malformed_and_an_unknown_one_is_404(stand: Stand) -> None:
    assert_problem(stand.client.get("/mailbox/changes"), 400, "malformed")
    for account_id in ("nobody", "a:b", "*", "x" * 5000):
        answer = stand.client.get("/mailbox/changes", params={"account_id": account_id})
        assert_problem(answer, 404, "unknown_account")
        answer = stand.client.get("/mailbox/changes", params={"account_id": account_id, "after": "abc.1"})
        assert_problem(answer, 404, "unknown_account")
    assert stand.stored() == []


def test_what_stands_at_no_path_is_404_and_another_method_405(stand: Stand, account: str) -> None:
    assert_problem(stand.client.get("/mailbox"), 404, "not_found")
    assert_problem(stand.client.get("/mailbox/changes/more"), 404, "not_found")
    answer = stand.client.post("/mailbox/changes", params={"account_id": account})
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_cursor_that_this_log_never_gave_is_expired(stand: Stand, account: str) -> None:
    epoch, _, place = stand.changes(account)["cursor"].partition(".")
    for after in ("garbage", ".", f"{epoch}.", f".{place}", "0.0", f"other.{place}", f"{epoch}.x", f"{epoch}.-1"):
        refused(stand, account, after=after)
    refused(stand, account, after=f"{epoch}.{int(place) + 1}")
    refused(stand, account, after=f"{epoch}.{'9' * 30}")
    refused(stand, account, after=f"{epoch}.\u0661")
    assert stand.changes(account, after=f"{epoch}.{place}")["changes"] == []
    assert len(stand.changes(account, after=f"{epoch}.0")["changes"]) == 6


def test_a_log_that_was_lost_starts_a_new_epoch_and_a_snapshot(stand: Stand, account: str) -> None:
    cursor = stand.changes(account)["cursor"]
    stand.redis.valkey.call("DEL", f"td:{account}:log")
    refused(stand, account, after=cursor)
    refused(stand, account)
    stand.sync(account)
    refused(stand, account, after=cursor)
    page = stand.changes(account)
    types = [event["type"].removeprefix("tidemark.") for event in page["changes"]]
    assert types.count("message.created") == 5
    assert types.index("snapshot.began") < types.index("message.created") < types.index("snapshot.ended")
    assert page["cursor"].partition(".")[0] != cursor.partition(".")[0]


@pytest.fixture
def small(stand_with: Callable[..., Stand]) -> Stand:
    return stand_with(LOG_RETENTION_BYTES="5000", INITIAL_SYNC_MESSAGES="all", GMAIL_UNITS_PER_MINUTE="100000")


def test_a_trimmed_start_is_told_and_what_is_left_read_knowingly(small: Stand) -> None:
    account_id = small.connect(small.mailbox(40))
    assert small.sync(account_id)["status"] == "synced"
    refused(small, account_id)
    epoch = small.changes(account_id, after="earliest")["cursor"].partition(".")[0]
    refused(small, account_id, after=f"{epoch}.0")
    left = small.changes(account_id, after="earliest", limit=1)
    assert (len(left["changes"]), left["more"]) == (1, True)
    place = int(left["cursor"].partition(".")[2])
    assert place > 1
    refused(small, account_id, after=f"{epoch}.{place - 2}")
    rest = small.changes(account_id, after=left["cursor"])
    assert not rest["more"]
    assert rest["changes"][-1]["id"].endswith(".41"), "the newest is never what is dropped"


def test_backfill_waits_for_a_reader_who_has_not_passed_and_goes_on_after_it_has(small: Stand) -> None:
    address = small.mailbox(20)
    account_id = small.connect(address)
    state: dict[str, Any] = {}
    seen: list[str] = []
    small.changes(account_id, reader="app", limit=1)
    result = small.sync(account_id)
    assert (result["status"], result["more"]) == ("partial", True)
    assert result["count"] < 20
    again = small.sync(account_id)
    assert (again["status"], again["more"], again["count"]) == ("partial", True, 0), "however often it is tried"
    arrived = small.gmail.deliver(address, world.raw(99))
    small.sync(account_id)
    after = None
    for _ in range(30):
        page = small.changes(account_id, reader="app", limit=10, **({"after": after} if after else {}))
        seen += [event["id"] for event in page["changes"]]
        state |= {event["subject"]: event for event in page["changes"] if "subject" in event}
        after = page["cursor"]
        if not page["more"]:
            small.changes(account_id, reader="app", after=after)  # what it has read is known by the cursor it sends
            if small.sync(account_id)["status"] == "no_new_messages":
                break
    assert len(seen) == len(set(seen))
    assert state.keys() == small.gmail.truth(address).keys()
    assert arrived in state


def test_a_live_change_is_written_whoever_reads(small: Stand) -> None:
    address = small.mailbox(2)
    account_id = small.connect(address)
    small.sync(account_id)
    small.changes(account_id, reader="slow", limit=1)
    arrived = [small.gmail.deliver(address, world.raw(50 + n)) for n in range(30)]
    assert small.sync(account_id)["changes"]["created"] == 30
    assert small.changes(account_id, after="earliest")["changes"][-1]["subject"] in arrived
    refused(small, account_id, reader="slow")


def test_a_reader_who_waits_gets_what_arrives_meanwhile(stand: Stand, gmail: GmailEmulator) -> None:
    address = stand.mailbox()
    account_id = stand.connect(address)
    stand.sync(account_id)
    cursor = stand.changes(account_id)["cursor"]

    def arrives() -> None:
        gmail.deliver(address, world.raw(1))
        stand.sync(account_id)

    later = threading.Timer(0.5, arrives)
    later.start()
    began_s = time.monotonic()
    page = stand.changes(account_id, after=cursor, wait=20)
    later.join()
    assert [event["type"] for event in page["changes"]] == ["tidemark.message.created"]
    assert 0.4 < time.monotonic() - began_s < 5


def test_a_page_with_nothing_on_it_never_promises_more(stand: Stand, account: str) -> None:
    """A log with a hole at its end would send its reader round for ever."""
    before = stand.changes(account, limit=5)["cursor"]
    (last,) = stand.redis.valkey.call("XREVRANGE", f"td:{account}:log", "+", "-", "COUNT", 1)  # type: ignore[misc, str-unpack]
    stand.redis.valkey.call("XDEL", f"td:{account}:log", last[0])  # type: ignore[index, arg-type]
    assert stand.changes(account, after=before) == {"changes": [], "cursor": before, "more": False}


def test_a_wait_ends_with_nothing_when_nothing_arrives(stand: Stand, account: str) -> None:
    cursor = stand.changes(account)["cursor"]
    began_s = time.monotonic()
    assert stand.changes(account, after=cursor, wait=1) == {"changes": [], "cursor": cursor, "more": False}
    assert 0.9 < time.monotonic() - began_s < 3


async def test_nobody_waits_for_a_client_that_has_gone(
    stand: Stand, account: str, gmail_session: tuple[GmailEmulator, str]
) -> None:
    after = stand.changes(account)["cursor"]
    app = loaded(environment(stand.redis, *gmail_session))
    told: list[dict[str, Any]] = []

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def tell(message: dict[str, Any]) -> None:
        told.append(message)

    stand.redis.bridge.reset()
    query = f"account_id={account}&after={after}&wait=30".encode()
    headers = [(b"authorization", f"Bearer {API_KEY}".encode())]
    head = {"type": "http", "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "client": None}
    path = {"method": "GET", "path": "/mailbox/changes", "raw_path": b"/mailbox/changes", "root_path": ""}
    await app({**head, **path, "query_string": query, "headers": headers}, gone, tell)
    assert told[0]["status"] == 200
    assert stand.redis.bridge.stats.requests == 1


def test_who_waits_holds_up_nobody(stand: Stand, account: str) -> None:
    cursor = stand.changes(account)["cursor"]
    waiting = [
        threading.Thread(target=partial(stand.changes, account, after=cursor, wait=2, reader=f"r{n}"))
        for n in range(20)
    ]
    for each in waiting:
        each.start()
    began_s = time.monotonic()
    assert stand.anonymous.get("/status/health").status_code == 200
    assert time.monotonic() - began_s < 1
    for each in waiting:
        each.join()


def test_an_app_folds_the_log_into_the_mailbox(stand: Stand) -> None:
    address = stand.mailbox(6)
    account_id = stand.connect(address)
    stand.sync(account_id)
    ids = sorted(stand.gmail.truth(address))
    stand.gmail.relabel(address, ids[0], add=["STARRED"], remove=["INBOX"])
    stand.gmail.trash(address, ids[1])
    stand.gmail.delete(address, ids[2])
    stand.sync(account_id)
    folded, truth = fold(stand.client, account_id), stand.gmail.truth(address)
    assert {each: message["labels"] for each, message in folded.items()} == {
        each: sorted(resource.get("labelIds", [])) for each, resource in truth.items()
    }
