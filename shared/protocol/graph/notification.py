"""What Graph posts to the notification URLs: items that only say "look", and lifecycle events that ask for more.

    item                                       hint
    changeType …                               look
    lifecycleEvent missed, or one unknown      look
    lifecycleEvent reauthorizationRequired     look, and renew the subscription
    lifecycleEvent subscriptionRemoved         look, and make a new one, if it was the one we have

Both kinds come in one POST, of several subscriptions, in shapes that differ from the documented ones: only
`subscriptionId`, `clientState` and `lifecycleEvent` are read. Anything that can't be read is no item. Never raises.

The client state is the proof, checked before anything is stored and without asking a store: it names the account and
carries an HMAC of that name and a nonce of its own for each subscription.

    v1.<account id>.<nonce>.<first 24 bytes of HMAC-SHA256, base64url>     at most 128 characters

Source: https://learn.microsoft.com/en-us/graph/change-notifications-lifecycle-events; facts/graph.md A3
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

ITEMS_MAX = 1000
CLIENT_STATE_MAX = 128  # https://learn.microsoft.com/en-us/graph/api/resources/subscription#properties
NONCE = re.compile(r"[A-Za-z0-9_-]{8,22}")
_STATE = re.compile(r"v1\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{8,22})\.([A-Za-z0-9_-]{32})")
_MAC_BYTES = 24
_ASKS = {"reauthorizationRequired": "reauthorize", "subscriptionRemoved": "recreate"}
assert len("v1.") + 64 + 1 + 22 + 1 + 32 <= CLIENT_STATE_MAX


@dataclass(frozen=True, slots=True)
class Item:
    """`ask`: "", "reauthorize" or "recreate"."""

    subscription_id: str
    client_state: str
    ask: str = ""


def read(body: bytes) -> list[Item]:
    """The items of one POST, at most ITEMS_MAX."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    items = said.get("value") if isinstance(said, dict) else None
    if not isinstance(items, list):
        return []
    return [item for each in items[:ITEMS_MAX] if (item := _item(each)) is not None]


def _item(said: object) -> Item | None:
    if not isinstance(said, dict):
        return None
    name, state, event = said.get("subscriptionId"), said.get("clientState"), said.get("lifecycleEvent")
    if not isinstance(state, str):
        return None
    ask = _ASKS.get(event, "") if isinstance(event, str) else ""
    return Item(name if isinstance(name, str) else "", state, ask)


def client_state(key: bytes, account_id: str, nonce: str) -> str:
    return f"v1.{account_id}.{nonce}.{_mac(key, account_id, nonce)}"


def account_of(state: str, keys: Sequence[bytes]) -> str | None:
    """The account that the client state was made for; None for a forged one. Constant time in what is secret."""
    found = _STATE.fullmatch(state)
    if found is None:
        return None
    account_id, nonce, mac = found.groups()
    proven = [hmac.compare_digest(_mac(key, account_id, nonce), mac) for key in keys]
    return account_id if any(proven) else None


def _mac(key: bytes, account_id: str, nonce: str) -> str:
    return urlsafe_b64encode(hmac.digest(key, f"{account_id}.{nonce}".encode(), "sha256")[:_MAC_BYTES]).decode()
