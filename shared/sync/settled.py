"""What the parts of an unfinished walk have settled: not asked again and, in a snapshot, not named again.

A walk's place is stored once all its messages are appended. What stops it in between leaves messages that were named,
and some that are gone and leave no trace: their ids are kept with the account until the place moves on.
"""

from collections.abc import Iterable

import orjson


class Settled:
    def __init__(self, text: str | None) -> None:
        self._ids: set[str] = set(orjson.loads(text or "[]"))

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._ids

    def passed(self, message_ids: Iterable[str]) -> None:
        """The walk's place is behind these."""
        self._ids.difference_update(message_ids)

    def dump(self, more: Iterable[str] = ()) -> str:
        return orjson.dumps(sorted(self._ids.union(more))).decode()
