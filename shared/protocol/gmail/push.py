"""A Pub/Sub push about a Gmail mailbox: which mailbox, and up to which history id something has happened.

    wrapped      {"message": {"data": base64 of {"emailAddress", "historyId"}, …}, "subscription": …}
    unwrapped    {"emailAddress", "historyId"}

The guide shows the history id as a string and the data as base64url; real pushes carry a number, and Pub/Sub writes
standard padded base64. Both of each are read. A push that names no mailbox is None: it is acknowledged and forgotten,
since asking for it again would slow down every mailbox of the subscription. One whose history id makes no sense is
still a hint. No pydantic here: push-webhook starts with this module.

Source: https://developers.google.com/workspace/gmail/api/guides/push; facts/gmail.md §4
"""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import orjson

ADDRESS_CHARACTERS_MAX = 320  # RFC 5321 §4.5.3.1: 64 and 255 octets, and the @
HISTORY_ID_MAX = 2**64 - 1
HISTORY_ID_DIGITS_MAX = len(str(HISTORY_ID_MAX))


@dataclass(frozen=True, slots=True)
class Push:
    """`history_id` is None where the push has none that makes sense."""

    address: str
    history_id: int | None


def read(body: bytes) -> Push | None:
    """What a push says, whatever its wrapping; None for anything that is no such push. Never raises."""
    said = _object(body)
    message = said.get("message")
    if isinstance(message, dict):
        said = _object(_decoded(message.get("data")))
    address = said.get("emailAddress")
    if not isinstance(address, str) or not 3 <= len(address) <= ADDRESS_CHARACTERS_MAX or "@" not in address:
        return None
    return Push(address, _history_id(said.get("historyId")))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _decoded(data: object) -> bytes:
    """Either alphabet of base64, with or without padding; b"" for what is neither."""
    if not isinstance(data, str):
        return b""
    plain = data.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _history_id(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= HISTORY_ID_DIGITS_MAX:
        value = int(value)
    if type(value) is not int or not 1 <= value <= HISTORY_ID_MAX:
        return None
    return value
