"""Messages whose folder is owed a proof: they left one folder, and no other has named them yet.

    a folder says that a message left it        debt: it may be deleted, or moved
    a folder names the message                  settled: it is there, and that folder will say when it leaves
    a read at the end of the round says 404     settled: deleted
    a read says that it is in folder F          stays: F has not named it, so F need not say when it leaves again

A debt is read again after each of the next rounds, then after 8, 16, 32 …: under immutable ids a message that went and
came back between two rounds is never named again (microsoft-graph-docs-contrib#72), and would cost a read for ever.
Stored with the account, in the same step as the index entries that it is about.
"""

import orjson

ROUNDS_EACH = 4
ROUNDS_MAX = 1024


class Debts:
    """Packed ids, with the number of rounds at whose end they were read."""

    def __init__(self, stored: str | None = None) -> None:
        self._rounds: dict[str, int] = orjson.loads(stored or "{}")
        self.changed = False

    def dump(self) -> str:
        return orjson.dumps(self._rounds).decode()

    def owe(self, packed: str) -> None:
        if packed not in self._rounds:
            self._rounds[packed] = 0
            self.changed = True

    def settle(self, packed: str) -> None:
        if self._rounds.pop(packed, None) is not None:
            self.changed = True

    def rounds(self, packed: str) -> int:
        """How often the message was read at a round's end since it left; 0 for one that is owed nothing."""
        return self._rounds.get(packed, 0)

    def any(self) -> bool:
        return bool(self._rounds)

    def collect(self) -> list[str]:
        """A round ends: the debts to be read now. One that is never settled is given up at last."""
        self.changed = self.changed or bool(self._rounds)
        self._rounds = {packed: rounds + 1 for packed, rounds in self._rounds.items() if rounds < ROUNDS_MAX}
        return [
            packed for packed, rounds in self._rounds.items() if rounds <= ROUNDS_EACH or rounds & (rounds - 1) == 0
        ]
