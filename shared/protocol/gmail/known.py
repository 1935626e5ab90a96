"""The index entry of a Gmail message: what was last emitted of it, in about 30 bytes.

    index field   11 characters: the 16 hex digits of an id as base64url; any other id as "~" + id
    index value   "<version in hex>:<label codes>", e.g. "1f3c20:0ah"

Of a Gmail message only the labels change, so version and labels are all that a difference needs. Labels are codes into
the account's label table (order of first appearance): one character for the first 62, "." and four digits after that.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from shared.core.errors import ContractBroken

CODES = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
LABELS_MAX = 10_000  # https://developers.google.com/workspace/gmail/api/guides/labels
HEX = frozenset("0123456789abcdef")


def pack_id(message_id: str) -> str:
    if len(message_id) == 16 and HEX.issuperset(message_id):
        return urlsafe_b64encode(bytes.fromhex(message_id)).rstrip(b"=").decode()
    return "~" + message_id


def unpack_id(packed: str) -> str:
    if packed.startswith("~"):
        return packed[1:]
    return urlsafe_b64decode(packed + "=").hex()


@dataclass(frozen=True, slots=True)
class Known:
    version: int
    labels: frozenset[str]


class LabelTable:
    """Label ids by the order in which this account first showed them; grows, never reorders."""

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self.labels = list(labels)
        self.grown = False
        self._code = {label: _code(i) for i, label in enumerate(self.labels)}

    def pack(self, known: Known) -> str:
        return f"{known.version:x}:{''.join(sorted(self._code_of(label) for label in known.labels))}"

    def unpack(self, value: str) -> Known:
        try:
            version, _, codes = value.partition(":")
            labels = set()
            i = 0
            while i < len(codes):
                if codes[i] == ".":
                    labels.add(self.labels[int(f"{codes[i + 1 : i + 5]:x<4}")])
                    i += 5
                else:
                    labels.add(self.labels[CODES.index(codes[i])])
                    i += 1
            return Known(int(version, 16), frozenset(labels))
        except (ValueError, IndexError) as error:
            raise ContractBroken("an index entry can't be read") from error

    def _code_of(self, label: str) -> str:
        code = self._code.get(label)
        if code is None:
            if len(self.labels) >= LABELS_MAX:
                raise ContractBroken("the mailbox shows more labels than Gmail allows")
            code = _code(len(self.labels))
            self.labels.append(label)
            self.grown = True
            self._code[label] = code
        return code


def _code(number: int) -> str:
    return CODES[number] if number < len(CODES) else f".{number:04d}"
