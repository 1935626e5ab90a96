"""The index entry of an Outlook message: what was last emitted of it, in about 50 bytes with its id.

    index field   <prefix code><rest>           an immutable id has some 150 characters, all but the last 20 the same
    index value   <folder 2><flags 1><categories 4><subject 4><envelope 4><content 4><modified 6…>

    flags       unread, flagged, draft, has_attachments as one character
    hashes      24 bits each of what can change but is too long to be kept: which of them differs says which fields do
    content     snippet and body, of drafts only: nobody else's change
    modified    lastModifiedDateTime: which of two rows is the newer

Both codes point into tables of the account that only grow: the first prefix that fits is taken, so an id is packed the
same for ever. An id that fits none makes a new one; once the table is full, ids are kept whole ("~" + id).
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.core.errors import ContractBroken

CODES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FOLDERS_MAX = len(CODES) ** 2
REST_CHARACTERS = 24
ID_CHARACTERS_MIN = 2 * REST_CHARACTERS
VALUE_HEAD = 19
NOTHING = "----"

FLAGS = ("unread", "flagged", "draft", "has_attachments")
ENVELOPE = ("thread_id", "internet_message_id", "from", "to", "cc", "bcc", "reply_to", "sent_at", "received_at")
CONTENT = ("snippet", "body")
HASHED: Mapping[str, tuple[str, ...]] = {
    "categories": ("categories",),
    "subject": ("subject",),
    "envelope": ENVELOPE,
    "content": CONTENT,
}


class Prefixes:
    """Beginnings of message ids, in the order in which this account first showed them; grows, never reorders."""

    def __init__(self, prefixes: Iterable[str] = ()) -> None:
        self.prefixes = list(prefixes)
        self.grown = False

    def dump(self) -> str:
        return orjson.dumps(self.prefixes).decode()

    def pack(self, message_id: str) -> str:
        known = self.known(message_id)
        if known is not None:
            return known
        self.prefixes.append(message_id[:-REST_CHARACTERS])
        self.grown = True
        return self.pack(message_id)

    def known(self, message_id: str) -> str | None:
        """The same, where no new prefix is needed for it; None: the index can't have the message."""
        for number, prefix in enumerate(self.prefixes):
            if message_id.startswith(prefix):
                return CODES[number] + message_id[len(prefix) :]
        short = len(message_id) < ID_CHARACTERS_MIN or len(self.prefixes) >= len(CODES)
        return "~" + message_id if short else None

    def unpack(self, packed: str) -> str:
        if packed.startswith("~"):
            return packed[1:]
        try:
            return self.prefixes[CODES.index(packed[0])] + packed[1:]
        except (ValueError, IndexError) as error:
            raise ContractBroken("an index entry can't be read") from error


@dataclass(frozen=True, slots=True)
class Known:
    """`folder` is its code in the account's folder table."""

    folder: int
    unread: bool
    flagged: bool
    draft: bool
    has_attachments: bool
    modified_ms: int
    categories: str = NOTHING
    subject: str = NOTHING
    envelope: str = NOTHING
    content: str = NOTHING


def known(said: Mapping[str, Any], folder: int, modified_ms: int) -> Known:
    """Of a whole message, or of as many of its fields as there are."""
    flags: dict[str, Any] = {name: bool(said.get(name)) for name in FLAGS}
    hashes: dict[str, Any] = digests(said, draft=flags["draft"])
    return Known(folder, modified_ms=modified_ms, **flags, **hashes)


def digests(said: Mapping[str, Any], *, draft: bool) -> dict[str, str]:
    """The hashes that `said` is enough for."""
    return {
        name: _digest([said[each] for each in of])
        for name, of in HASHED.items()
        if all(each in said for each in of) and (name != "content" or draft)
    }


def difference(
    before: Known, said: Mapping[str, Any], folder: int | None, modified_ms: int
) -> tuple[dict[str, Any], Known]:
    """The message fields in which `said` differs from the entry, and the entry after them."""
    changed: dict[str, Any] = {}
    after: dict[str, Any] = {}
    if folder is not None and folder != before.folder:
        changed["folder_id"], after["folder"] = said["folder_id"], folder
    for name in FLAGS:
        if name in said and said[name] != getattr(before, name):
            changed[name] = after[name] = said[name]
    for name, digest in digests(said, draft=before.draft or bool(said.get("draft"))).items():
        if digest != getattr(before, name):
            after[name] = digest
            changed |= {each: said[each] for each in HASHED[name]}
    return changed, replace(before, **after, modified_ms=max(before.modified_ms, modified_ms))


def pack(entry: Known) -> str:
    flags = sum(1 << n for n, name in enumerate(FLAGS) if getattr(entry, name))
    folder = CODES[entry.folder // len(CODES)] + CODES[entry.folder % len(CODES)]
    seconds, ms = divmod(entry.modified_ms, 1000)
    modified = _in_codes(seconds) if not ms else "." + _in_codes(entry.modified_ms)
    hashes = entry.categories + entry.subject + entry.envelope + entry.content
    return f"{folder}{CODES[flags]}{hashes}{modified}"


def unpack(value: str) -> Known:
    try:
        high, low, flags = (CODES.index(each) for each in value[:3])
        hashes, rest = [value[at : at + 4] for at in range(3, VALUE_HEAD, 4)], value[VALUE_HEAD:]
        if len(hashes[-1]) < 4:
            raise ValueError("cut short")
        modified_ms = _from_codes(rest[1:]) if rest.startswith(".") else _from_codes(rest) * 1000
        told: dict[str, Any] = {name: bool(flags >> n & 1) for n, name in enumerate(FLAGS)}
        told |= zip(HASHED, hashes, strict=True)
        return Known(high * len(CODES) + low, modified_ms=modified_ms, **told)
    except ValueError as error:
        raise ContractBroken("an index entry can't be read") from error


def _digest(values: list[Any]) -> str:
    """Nothing but empty values have no hash, so that an entry is easily seen to have none."""
    if not any(values):
        return NOTHING
    return urlsafe_b64encode(hashlib.blake2b(orjson.dumps(values), digest_size=3).digest()).decode()


def _in_codes(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(CODES))
        digits = CODES[digit] + digits
    return digits


def _from_codes(text: str) -> int:
    number = 0
    for each in text:
        number = number * len(CODES) + CODES.index(each)
    return number
