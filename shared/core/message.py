"""The normalised `message` of the change log (CONTRACT §4): every field always present, nothing invented.

What a provider does not say is None or empty. `labels` and `categories` are sets, kept as sorted lists so that equal
messages are equal JSON. Instants are RFC 3339 in UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict


class Address(TypedDict):
    name: str | None
    address: str | None


class Body(TypedDict):
    content_type: str
    content: str
    truncated: bool


class Bodies(TypedDict):
    """What is read for an app. `text`: the sender's own, else made from the HTML; None where there is neither."""

    text: Body | None
    html: Body | None


class Folder(TypedDict):
    """A folder, or a Gmail label. `kind`: "user", "system", or Outlook's well-known name ("inbox", "sentitems", …)."""

    id: str
    name: str | None
    kind: str
    parent_id: str | None
    hidden: bool


class Attachment(TypedDict):
    """`id` is the provider's; None where the provider has none (Gmail: a small one inside the message)."""

    id: str | None
    name: str | None
    content_type: str | None
    size_bytes: int | None
    inline: bool


# The functional form, because `from` is a Python keyword.
Message = TypedDict(
    "Message",
    {
        "id": str,
        "thread_id": str | None,
        "internet_message_id": str | None,
        "subject": str | None,
        "from": Address | None,
        "to": list[Address],
        "cc": list[Address],
        "bcc": list[Address],
        "reply_to": list[Address],
        "sent_at": str | None,
        "received_at": str | None,
        "snippet": str | None,
        "labels": list[str],
        "folder_id": str | None,
        "categories": list[str],
        "unread": bool,
        "flagged": bool,
        "draft": bool,
        "has_attachments": bool | None,
        "size_bytes": int | None,
        "headers": list[list[str]],
        "body": Body | None,
    },
)

FIELDS = tuple(Message.__annotations__)
_LISTS = frozenset({"to", "cc", "bcc", "reply_to", "labels", "categories", "headers"})
_FLAGS = frozenset({"unread", "flagged", "draft"})
assert set(FIELDS) > _LISTS | _FLAGS


def lean(message: Message) -> dict[str, Any]:
    """Without what is empty; `whole` puts it back."""
    empty = whole({})
    return {name: value for name, value in message.items() if name not in empty or value != empty[name]}


def whole(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, in its order."""
    empty: dict[str, Any] = {name: [] if name in _LISTS else False if name in _FLAGS else None for name in FIELDS}
    return {**empty, **stored}


ATTACHMENTS_MAX = 100  # of a message that are listed; Gmail and Exchange let nobody send more than some hundreds


class WholeMessage(Message):
    """As `/mailbox/messages` and `/mailbox/threads` answer it."""

    bodies: Bodies
    attachments: list[Attachment]


def instant(seconds: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds; None for what no calendar holds."""
    if seconds is None:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_s(text: str | None) -> float | None:
    """Seconds since the epoch of an RFC 3339 instant; None where it is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def cut_utf8(text: str, bytes_max: int) -> tuple[str, bool]:
    """`text` in at most `bytes_max` bytes of UTF-8, never inside a character; and whether it was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= bytes_max:
        return raw.decode("utf-8"), False
    return raw[:bytes_max].decode("utf-8", "ignore"), True
