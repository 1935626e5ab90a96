"""Graph's notifications: what is read of them, and whose they are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.graph.notification import CLIENT_STATE_MAX, ITEMS_MAX, Item, account_of, client_state, read

KEY, OLD = b"k" * 32, b"o" * 32


def body(*items: Any) -> bytes:
    return json.dumps({"value": items}).encode()


def item(**more: Any) -> dict[str, Any]:
    return {"subscriptionId": "s-1", "clientState": "state", "changeType": "created"} | more


def test_notifications_and_lifecycle_events_come_together() -> None:
    found = read(
        body(
            item(),
            item(lifecycleEvent="missed"),
            item(lifecycleEvent="reauthorizationRequired"),
            item(lifecycleEvent="subscriptionRemoved", organizationId="t", resourceData={}),
            item(lifecycleEvent="somethingNew"),
            item(lifecycleEvent=5),
            item(lifecycleEvent=["missed"]),
        )
    )
    asks = ["", "", "reauthorize", "recreate", "", "", ""]
    assert found == [Item("s-1", "state", ask) for ask in asks]
    assert found[0] == Item("s-1", "state")


def test_what_has_no_client_state_is_no_item() -> None:
    assert read(body(item(clientState=None), item(clientState=5), {}, 5, None)) == []
    assert read(body(item(subscriptionId=None))) == [Item("", "state")]


@pytest.mark.parametrize("raw", [b"", b"[]", b"5", b"\xff", b"{}", b'{"value":{}}'])
def test_what_is_no_notification_has_no_items(raw: bytes) -> None:
    assert read(raw) == []


def test_items_are_limited() -> None:
    assert len(read(body(*[item()] * (ITEMS_MAX + 1)))) == ITEMS_MAX


def test_a_client_state_is_of_one_account_and_fits() -> None:
    account_id, nonce = "a" * 64, "n" * 22
    state = client_state(KEY, account_id, nonce)
    assert len(state) <= CLIENT_STATE_MAX
    assert account_of(state, [KEY]) == account_of(state, [OLD, KEY]) == account_id
    assert account_of(state, [OLD]) is None
    assert account_of(client_state(KEY, "a2", nonce).replace("a2", "a1"), [KEY]) is None
    assert account_of(state, []) is None


def test_a_client_state_is_written_the_same_for_ever() -> None:
    assert client_state(KEY, "a1", "nonce123") == "v1.a1.nonce123.za0EPunslSdZjdjxIYJJNtLp5PS18Zyp"


@pytest.mark.parametrize("state", ["", "v1", "v1.a.b.c", "v2" + client_state(KEY, "a1", "nonce123")[2:]])
def test_what_is_no_client_state_is_nobodys(state: str) -> None:
    assert account_of(state, [KEY]) is None


@given(st.text(), st.binary())
def test_nothing_raises(state: str, raw: bytes) -> None:
    assert account_of(state, [KEY]) is None
    read(raw)
