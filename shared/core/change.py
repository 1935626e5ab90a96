"""Entries of the change log: how they are stored, and how a reader gets them as CloudEvents.

    stored     ["message.created", {"origin": …, "message": …}]     under <seq>-<append time in ms>
    read       CloudEvents 1.0, with account, user and provider in `data`, and an id made of account, epoch and seq

What is the same for all entries of an account, or follows from an entry's place, is not stored with each of them; of a
message, what is empty is not.
A cursor names the log's epoch and a place in it: "<epoch>.<seq>".

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.core.message import Message, instant, lean, whole

PREFIX = "tidemark."


def entry(kind: str, data: Mapping[str, Any]) -> str:
    """A log entry as it is stored; `kind` is the event's type."""
    return orjson.dumps([kind.removeprefix(PREFIX), data]).decode()


def created(origin: str, message: Message) -> str:
    return entry("message.created", {"origin": origin, "message": lean(message)})


def updated(message_id: str, patch: Mapping[str, Any]) -> str:
    return entry("message.updated", {"message_id": message_id, "patch": patch})


def deleted(message_id: str) -> str:
    return entry("message.deleted", {"message_id": message_id})


def quarantined(message_id: str, reason: str, attempts: int) -> str:
    return entry("message.quarantined", {"message_id": message_id, "reason": reason, "attempts": attempts})


def parts(stored: str) -> tuple[str, dict[str, Any]]:
    """What an entry says: its kind without the prefix, and its data, a message whole."""
    kind, data = orjson.loads(stored)
    if "message" in data:
        data["message"] = whole(data["message"])
    return kind, data


def cloud_event(
    account_id: str, user_id: str, provider: str, epoch: str, stream_id: str, stored: str
) -> dict[str, Any]:
    """The event that a reader gets; the same entry always gives the same event."""
    seq, _, appended_ms = stream_id.partition("-")
    kind, said = parts(stored)
    data = {"account_id": account_id, "user_id": user_id, "provider": provider, **said}
    event = {
        "specversion": "1.0",
        "id": f"{account_id}.{epoch}.{seq}",
        "source": f"/tidemark/accounts/{account_id}",
        "type": PREFIX + kind,
        "time": instant(int(appended_ms) / 1000),
        "datacontenttype": "application/json",
        "data": data,
    }
    subject = said.get("message_id") or (said.get("message") or {}).get("id")
    if subject:
        event["subject"] = subject
    return event


def cursor(epoch: str, seq: int) -> str:
    return f"{epoch}.{seq}"


def cursor_parts(text: str) -> tuple[str, int] | None:
    """Epoch and place; None for what is no cursor of ours."""
    epoch, dot, seq = text.partition(".")
    if not dot or not epoch or not (seq.isascii() and seq.isdigit()) or len(seq) > 15:
        return None
    return epoch, int(seq)
