"""Ids as Exchange shapes them: long, opaque, case-sensitive, alike for most of their length within one mailbox.

    kind        begins with    length   lives
    immutable   AAkALgAA…      152      as long as the message is in the mailbox
    mutable     AAMkA…         152      until the next move
    folder      AQMkA… / AAMkA 120      as long as the folder
    change key  CQAAABYAAA…    40       until the next change

Source: https://learn.microsoft.com/en-us/graph/outlook-immutable-id
"""

import hashlib
import itertools
import uuid
from base64 import b64encode, urlsafe_b64encode


def stable_guid(*parts: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256("\x00".join(parts).encode()).digest()[:16], version=4))


class IdMint:
    """All ids of one mailbox; the same seed and the same calls give the same ids."""

    def __init__(self, seed: int, address: str) -> None:
        digest = hashlib.sha512(f"{seed}\x00{address}".encode()).digest()
        guid = str(uuid.UUID(bytes=digest[:16], version=4)).encode()
        self._immutable_prefix = (
            bytes.fromhex("0009002e00000000001d840311aa6611cdbc82") + digest[:8] + guid + digest[16:40]
        )
        self._mutable_prefix = bytes.fromhex("00032400") + guid + digest[16:62]
        self._change_prefix = bytes.fromhex("0900000016000000") + digest[40:56]
        self._scatter = digest[56:64]
        self._count = itertools.count(0x2A31)
        self._changes = itertools.count(0x51F0)

    def immutable(self) -> str:
        return self._message_id(self._immutable_prefix)

    def mutable(self) -> str:
        return self._message_id(self._mutable_prefix)

    def folder(self) -> str:
        return urlsafe_b64encode(self._mutable_prefix[:72] + self._tail(18)).decode()

    def attachment(self, message_id: str, index: int) -> str:
        raw = hashlib.sha256(f"{message_id}\x00{index}".encode()).digest()
        return message_id.rstrip("=")[:120] + urlsafe_b64encode(raw[:24]).decode()

    def change_key(self) -> str:
        return b64encode(self._change_prefix + next(self._changes).to_bytes(6, "big")).decode()

    def _message_id(self, prefix: bytes) -> str:
        return urlsafe_b64encode(prefix + self._tail(113 - len(prefix))).decode()

    def _tail(self, size: int) -> bytes:
        count = next(self._count).to_bytes(6, "big")
        scatter = hashlib.blake2b(self._scatter + count, digest_size=8).digest()
        return (scatter + count).rjust(size, b"\x00")
