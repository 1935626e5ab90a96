"""Accounts as records: connected, found, hinted at, deleted; and the log as its readers see it."""

from typing import Any

import pytest

from shared.adapters.redis_accounts import Changes
from shared.core.errors import BadRequest, LeaseLost, StoreDown
from tests.adapters.stored import ACCOUNT, EVENT, KNOWN, Stored

LOST = ("drop_request", "drop_reply", "truncate", "garbage", "refuse")


# connect


async def test_a_new_account_begins_with_its_first_event(stored: Stored) -> None:
    assert stored.log() == [(1, "account.connected")]
    assert await stored.accounts.all_ids() == [ACCOUNT]
    assert await stored.accounts.due("gmail") == [ACCOUNT]
    assert await stored.accounts.find("gmail", ["h0", "h1"]) == (ACCOUNT, "gmail|h1")
    assert await stored.accounts.find("gmail", ["h0", "h9"]) == ("", "gmail|h0")
    assert (await stored.accounts.fields(ACCOUNT))["address"] == "gmail|h1"
    assert await stored.accounts.fields("nobody") == {}


async def test_a_known_account_gets_its_new_token_and_goes_on(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", fields={"cursor": "c7"}, let_go=True, hold_s=900.0)
    assert await stored.connect(expected=ACCOUNT) == "known"
    fields = await stored.accounts.fields(ACCOUNT)
    assert fields["cursor"] == "c7"
    assert (fields["refresh"], fields["grant"], fields["hints"]) == (KNOWN["refresh"], "2", "1")
    assert stored.call("EXISTS", stored.of("hold")) == 0
    assert stored.log() == [(1, "account.connected")]


async def test_an_account_that_waited_for_its_person_recovers(stored: Stored) -> None:
    await stored.store.lose_grant(await stored.begin(), "invalid_grant")
    assert await stored.connect(expected=ACCOUNT) == "known"
    assert [kind for _, kind in stored.log()] == ["account.connected", "account.reauth_required", "account.recovered"]
    assert (stored.field("state"), stored.field("reason")) == ("active", "")
    assert await stored.accounts.due("gmail") == [ACCOUNT]


@pytest.mark.parametrize("kind", LOST)
async def test_a_connection_whose_reply_was_lost_has_made_one_account(stored: Stored, kind: Any) -> None:
    stored.redis.bridge.inject(kind)
    answer = await stored.connect("a2", "gmail|h2")
    assert answer in ("new", "moved")
    assert await stored.accounts.find("gmail", ["h2"]) == ("a2", "gmail|h2")
    assert stored.call("XLEN", stored.of("log", "a2")) == 1


async def test_of_two_connections_of_one_address_the_later_looks_again(stored: Stored) -> None:
    assert await stored.connect("a2", "gmail|h1", expected="") == "moved"
    assert await stored.accounts.all_ids() == [ACCOUNT]


async def test_an_id_that_another_mailbox_has_is_taken(stored: Stored) -> None:
    assert await stored.connect(ACCOUNT, "gmail|h2") == "taken"
    assert (await stored.accounts.fields(ACCOUNT))["address"] == "gmail|h1"


async def test_an_account_found_by_an_old_key_is_found_by_the_new_one_afterwards(stored: Stored) -> None:
    stored.call("HSET", "td:addresses", "gmail|h-new", ACCOUNT)
    assert await stored.connect(ACCOUNT, "gmail|h-new", expected=ACCOUNT) == "known"
    assert (await stored.accounts.fields(ACCOUNT))["address"] == "gmail|h-new"


async def test_nothing_is_left_of_an_account_whose_record_was_lost(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", index={"m": "v"}, pages={"ids/0": ["m"]}, events=[EVENT])
    await stored.accounts.changes(ACCOUNT, "app", None, 10)
    stored.call("DEL", stored.of("account"))
    stored.call("DEL", "td:addresses")
    assert await stored.connect() == "new"
    assert [stored.call("EXISTS", stored.of(name)) for name in ("index", "pages", "readers", "lease")] == [0] * 4
    assert stored.log() == [(1, "account.connected")]


# delete


async def test_a_deleted_account_leaves_nothing(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.append(begun, "1.1", index={"m": "v"}, cache={"m": "text"}, pages={"ids/0": ["m"]}, events=[EVENT])
    await stored.accounts.changes(ACCOUNT, "app", None, 10)
    await stored.accounts.mark_deleted(ACCOUNT, "gmail")
    await stored.accounts.forget(ACCOUNT, "gmail", "gmail|h1")
    assert stored.call("KEYS", "*") == [b"sync_perf:gmail"] or stored.call("KEYS", "*") == []


async def test_a_marked_account_is_written_no_more_and_connected_no_more(stored: Stored) -> None:
    begun = await stored.begin()
    await stored.accounts.mark_deleted(ACCOUNT, "gmail")
    with pytest.raises(LeaseLost):
        await stored.append(begun, "1.1", events=[EVENT])
    with pytest.raises(LeaseLost):
        await stored.store.renew(begun)
    assert (await stored.refused()).status == "deleting"
    assert await stored.connect(expected=ACCOUNT) == "deleting"


async def test_only_a_marked_account_is_forgotten(stored: Stored) -> None:
    await stored.accounts.forget(ACCOUNT, "gmail", "gmail|h1")
    assert stored.field("state") == "active"
    await stored.accounts.mark_deleted("nobody", "gmail")
    assert stored.call("EXISTS", "td:nobody:account") == 0


async def test_an_address_that_belongs_to_another_account_by_now_is_left(stored: Stored) -> None:
    stored.call("HSET", "td:addresses", "gmail|h1", "a2")
    await stored.accounts.mark_deleted(ACCOUNT, "gmail")
    await stored.accounts.forget(ACCOUNT, "gmail", "gmail|h1")
    assert await stored.accounts.find("gmail", ["h1"]) == ("a2", "gmail|h1")


async def test_all_cached_messages_are_forgotten(stored: Stored) -> None:
    for n in range(2500):
        stored.call("SET", stored.of(f"message:m{n}"), "text")
    stored.call("SET", "td:a11:message:m", "another's")
    await stored.accounts.mark_deleted(ACCOUNT, "gmail")
    await stored.accounts.forget(ACCOUNT, "gmail", "gmail|h1")
    assert stored.call("KEYS", "td:*:message:*") == [b"td:a11:message:m"]


# readers


async def entries(stored: Stored, count: int) -> None:
    begun = await stored.begin()
    await stored.append(begun, f"{begun.fence}.1", events=[EVENT] * count, let_go=True)


async def read(stored: Stored, after: str | None, limit: int = 100) -> Changes:
    return await stored.accounts.changes(ACCOUNT, "app", after, limit)


async def test_the_log_is_read_page_by_page(stored: Stored) -> None:
    await entries(stored, 4)
    first = await read(stored, None, 2)
    assert (first.epoch, first.provider, first.user_id) == ("e1", "gmail", "u1")
    assert ([stream_id.split("-")[0] for stream_id, _ in first.entries], first.position, first.end) == (
        ["1", "2"],
        2,
        5,
    )
    second = await read(stored, "e1.2", 9)
    assert ([stream_id.split("-")[0] for stream_id, _ in second.entries], second.position) == (["3", "4", "5"], 5)
    assert (await read(stored, "e1.5")).entries == []
    assert stored.hash("readers")["app"].startswith("5,")


@pytest.mark.parametrize("after", ["e1.6", "e2.1", "", "nonsense", "e1.-1"])
async def test_a_cursor_of_another_epoch_or_ahead_of_the_end_has_expired(stored: Stored, after: str) -> None:
    await entries(stored, 4)
    with pytest.raises(BadRequest) as caught:
        await read(stored, after)
    assert (caught.value.status, caught.value.slug) == (410, "cursor_expired")


async def test_of_a_trimmed_log_only_what_is_left_can_be_read(stored: Stored) -> None:
    await entries(stored, 4)
    stored.call("XTRIM", stored.of("log"), "MINID", "4-0")
    for after in (None, "e1.0", "e1.2"):
        with pytest.raises(BadRequest):
            await read(stored, after)
    assert [stream_id.split("-")[0] for stream_id, _ in (await read(stored, "e1.3")).entries] == ["4", "5"]
    assert [stream_id.split("-")[0] for stream_id, _ in (await read(stored, "earliest")).entries] == ["4", "5"]


async def test_a_log_that_is_lost_is_not_taken_for_an_empty_one(stored: Stored) -> None:
    stored.call("DEL", stored.of("log"))
    for after in (None, "e1.1", "earliest"):
        with pytest.raises(BadRequest):
            await read(stored, after)
    await stored.begin()
    with pytest.raises(BadRequest):
        await read(stored, "e1.1")


async def test_an_unknown_account_has_no_log(stored: Stored) -> None:
    with pytest.raises(BadRequest) as caught:
        await stored.accounts.changes("nobody", "app", None, 10)
    assert caught.value.status == 404
    assert stored.call("EXISTS", "td:nobody:readers") == 0


async def test_an_answer_that_is_no_script_s_is_a_store_that_is_down(stored: Stored) -> None:
    stored.call("HDEL", stored.of("account"), "user_id")
    with pytest.raises(StoreDown):
        await read(stored, None)


# asked for


async def test_a_resync_with_content_is_not_taken_back_by_a_plain_one(stored: Stored) -> None:
    await stored.accounts.ask_resync(ACCOUNT, "gmail", content=False)
    assert (stored.field("asked") or "").startswith("plain:")
    await stored.accounts.ask_resync(ACCOUNT, "gmail", content=True)
    asked = stored.field("asked")
    assert (asked or "").startswith("content:")
    await stored.accounts.ask_resync(ACCOUNT, "gmail", content=False)
    assert (stored.field("asked"), stored.field("hints")) == (asked, "3")
    await stored.accounts.ask_resync("nobody", "gmail", content=True)
    assert stored.call("EXISTS", "td:nobody:account") == 0


async def test_many_accounts_are_read_in_few_requests(stored: Stored) -> None:
    for n in range(120):
        await stored.connect(f"b{n}", f"gmail|b{n}")
    stored.redis.bridge.reset()
    found = await stored.accounts.fields_of(["b7", "nobody", *(f"b{n}" for n in range(120))])
    assert (found[0]["address"], found[1], len(found)) == ("gmail|b7", {}, 122)
    assert stored.redis.bridge.stats.requests == 2


async def test_without_failures_the_breaker_is_closed(stored: Stored) -> None:
    assert await stored.breaker() == "closed"
