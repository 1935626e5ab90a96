"""From proven pushes to hints, and what a woken mailbox is followed by."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from shared.core.errors import StoreDown
from shared.protocol.graph.notification import Item, client_state
from shared.sync import intake

KEY = b"k" * 32


class Hints:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def gmail(self, lookups: Sequence[str], history_id: int | None) -> list[str]:
        self.told.append((lookups, history_id))
        return ["a1"]

    async def outlook(self, hints: Sequence[intake.Hint]) -> list[str]:
        self.told.append(hints)
        return [account_id for account_id, _, _ in hints]


def state(account_id: str = "a1", nonce: str = "nonce123") -> str:
    return client_state(KEY, account_id, nonce)


async def test_a_gmail_push_is_looked_up_by_its_address_in_small_letters() -> None:
    hints = Hints()
    body = orjson.dumps({"emailAddress": " Ada@Example.com", "historyId": 5})
    assert await intake.gmail(body, lambda address: [address], hints) == ["a1"]
    assert hints.told == [(["ada@example.com"], 5)]


async def test_a_push_that_says_nothing_asks_nobody() -> None:
    hints = Hints()
    assert await intake.gmail(b"{}", lambda address: [address], hints) == []
    assert await intake.outlook(b"{}", [KEY], hints) == []
    assert hints.told == []


async def test_a_notification_is_one_hint_an_account() -> None:
    hints = Hints()
    items = [{"clientState": state(each), "subscriptionId": "s"} for each in ("a1", "a2", "a1")]
    assert await intake.outlook(orjson.dumps({"value": items}), [KEY], hints) == ["a1", "a2"]
    assert hints.told == [[("a1", "", "s"), ("a2", "", "s")]]


def test_the_strongest_ask_wins_and_what_is_forged_is_left_out() -> None:
    items = [
        Item("s-1", "forged", "recreate"),
        Item("s-1", state()),
        Item("s-1", state(), "reauthorize"),
        Item("s-2", state(nonce="othernonce"), "recreate"),
        Item("s-3", state(), "recreate"),
        Item("s-1", state(), "reauthorize"),
    ]
    assert intake.coalesced(items, [KEY]) == [("a1", "recreate", "s-2")]


@pytest.mark.parametrize(
    ("results", "slept"),
    [
        ([{"more": False}], []),
        ([{"more": True}, {"more": False}], []),
        ([{"more": True, "retry_after_s": 5.0}, {"more": False}], [5.0]),
        ([{"more": True, "retry_after_s": intake.WAITED_MAX_S}, {"more": False}], [intake.WAITED_MAX_S]),
        ([{"more": True, "retry_after_s": intake.WAITED_MAX_S + 1}], []),
        ([{"more": True, "retry_after_s": None}, {"more": False}], []),
        ([{"more": True, "retry_after_s": 2.0}] * intake.FOLLOWED_MAX, [2.0] * (intake.FOLLOWED_MAX - 1)),
        ([StoreDown("gone"), {"more": False}], [1.0]),
    ],
)
async def test_a_woken_mailbox_is_followed_for_a_while(results: list[Any], slept: list[float]) -> None:
    left, waits, last = list(results), [], results[-1]

    async def sync() -> dict[str, Any]:
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return dict(result)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    assert await intake.follow(sync, sleep) == last
    assert (left, waits) == ([], slept)


async def test_a_store_that_stays_away_is_told_as_a_sync_that_has_more_to_do() -> None:
    async def sync() -> dict[str, Any]:
        raise StoreDown("gone")

    async def sleep(seconds: float) -> None:
        assert seconds == 1.0

    assert await intake.follow(sync, sleep) == {"status": "store_down", "more": True, "retry_after_s": 1.0}
