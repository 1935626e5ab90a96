"""The change log folded, strictly: any event that CONTRACT §4 excludes is a fault, and names itself.

    created    of a message that is in the state    only inside a snapshot, once
    updated    of a message that is not             never; nor one that changes nothing
    deleted    of a message that is not             only of one that was said to be quarantined

A reader whose cursor was refused goes on from what is left of the log: it has missed events, so what does not fit its
state is passed over until a snapshot has been read whole (`missed`).
"""

from collections.abc import Callable
from typing import Any

import orjson

from shared.core.message import whole


class Excluded(Exception):
    """An event that the contract excludes."""


class Fold:
    def __init__(
        self, *, whole: bool = True, ends: Callable[[str, str], bool] = lambda message_id, folder_id: False
    ) -> None:
        self.whole = whole  # it sees every entry that is ever appended
        self._ends = ends  # whether a message's patch into a folder ends the promise: it is not tracked any more
        self._moved: set[str] = set()
        self.state: dict[str, dict[str, Any]] = {}
        self.named: set[str] | None = None
        self.quarantined: set[str] = set()
        self.alerts: set[str] = set()
        self.missed = False

    def begin_epoch(self) -> None:
        """A log that begins anew: what it does not name again is gone; its snapshot says so."""
        self.named, self.missed = None, True

    def apply(self, stored: str) -> tuple[str, str]:
        """One entry as it is stored; its kind and the message's id. Raises Excluded."""
        kind, data = orjson.loads(stored)
        return kind, self.tell(kind, data)

    def tell(self, kind: str, data: dict[str, Any]) -> str:
        """The same of what it says; the message's id."""
        match kind:
            case "message.created":
                return self._created(whole(data["message"]))
            case "message.updated":
                return self._updated(data["message_id"], data["patch"])
            case "message.deleted":
                return self._deleted(data["message_id"])
            case "message.quarantined":
                self.quarantined.add(data["message_id"])
                return str(data["message_id"])
            case "snapshot.began":
                self.named = set()
            case "snapshot.ended" if self.named is not None:
                for gone in self.state.keys() - self.named:
                    del self.state[gone]
                self.named, self.missed = None, False
            case "alert.raised" | "alert.cleared":
                self._alert(data["alert"], raised=kind == "alert.raised")
        return ""

    def _created(self, message: dict[str, Any]) -> str:
        message_id: str = message["id"]
        again = message_id in self.state and (self.named is None or message_id in self.named)
        if not self.whole and message_id in self._moved:
            again = False  # into a folder that was not tracked, for all that a reader knows
        self._moved.discard(message_id)
        if again and not (self.missed and self.named is None):
            raise Excluded(f"{message_id} was created twice")
        self.state[message_id] = message
        self.quarantined.discard(message_id)
        if self.named is not None:
            self.named.add(message_id)
        return message_id

    def _updated(self, message_id: str, patch: dict[str, Any]) -> str:
        known = self.state.get(message_id)
        if known is None:
            if not self.missed:
                raise Excluded(f"{message_id} was updated before it was created")
            return message_id
        idle = [name for name, value in patch.items() if known[name] == value]
        if len(idle) == len(patch) and not self.missed:
            raise Excluded(f"{message_id} was updated in what it is already: {idle}")
        known.update(patch)
        if patch.get("folder_id"):
            self._moved.add(message_id)
            if self._ends(message_id, patch["folder_id"]):
                del self.state[message_id]
                (self.named or set()).discard(message_id)
        return message_id

    def _deleted(self, message_id: str) -> str:
        known = self.state.pop(message_id, None) is not None or message_id in self.quarantined
        if not known and not self.missed:
            raise Excluded(f"{message_id} was deleted, and nobody had named it")
        (self.named or set()).discard(message_id)
        self.quarantined.discard(message_id)
        return message_id

    def _alert(self, alert: str, *, raised: bool) -> None:
        if (alert in self.alerts) == raised and self.whole:
            raise Excluded(f"the alert {alert} was {'raised' if raised else 'cleared'} twice")
        (self.alerts.add if raised else self.alerts.discard)(alert)
