"""Gmail's JSON objects, read with the types the discovery document gives; any other type is Unreadable.

A missing member and a null one are the same. Numbers of 64 bits come as strings; a number is accepted too.

Source: https://gmail.googleapis.com/$discovery/rest?version=v1 (schemas Message, MessagePart, Thread)
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from shared.protocol.gmail.text import block

ID_CHARACTERS_MAX = 256
_ID = re.compile(r"[!-~]{1,256}")  # 16 hex digits today
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_INTEGER_MAX = 2**63


class Unreadable(ValueError):
    """The answer has a shape that Gmail's schema does not allow."""


def read_object(body: bytes) -> Mapping[str, Any]:
    """A JSON object. Half a surrogate pair (a text cut in the middle of an emoji) is no reason to lose a message."""
    document: object
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"\\ud" not in body and b"\\uD" not in body:
            raise Unreadable from error
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as second:
            raise Unreadable from second
    return checked(document)


def checked(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable
    return value


def member(owner: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object, empty if it is missing."""
    value = owner.get(name)
    return {} if value is None else checked(value)


def objects(owner: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = owner.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unreadable
    return [checked(entry) for entry in value]


def text_of(owner: Mapping[str, Any], name: str) -> str | None:
    value = owner.get(name)
    if value is not None and not isinstance(value, str):
        raise Unreadable
    return value


def identifier(owner: Mapping[str, Any], name: str) -> str | None:
    value = text_of(owner, name)
    if value is not None and not _ID.fullmatch(value):
        raise Unreadable
    return value


def whole(owner: Mapping[str, Any], name: str) -> int | None:
    """An integer of 64 bits, as string or number."""
    value = owner.get(name)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -_INTEGER_MAX <= value < 2 * _INTEGER_MAX:
        raise Unreadable
    return value


def labels(owner: Mapping[str, Any]) -> frozenset[str]:
    """Missing for mail without labels: archived mail has none."""
    value = owner.get("labelIds")
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise Unreadable
    return frozenset(map(block, value))


def header_pairs(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(text_of(entry, "name") or "", text_of(entry, "value") or "") for entry in objects(part, "headers")]
