"""Delta chains of the fake Outlook mailbox: rounds made from logs, pages cut from rounds, links that die.

    link           a chain and a generation: every page read makes a new one, the last three are alive
    a point        a place in a round, or the place in the log from which the next round is made

Source: facts/graph.md A1-13 to 25
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shared.core.message import instant

if TYPE_CHECKING:
    from tests.simulation.graph import Folder, GraphBox, Mail

Log = list[tuple[str, str, tuple[str, ...], float]]  # arrived, changed or left; id; properties; when
Entry = tuple[str, str, bool]  # row or removed; id; sparse
GENERATIONS = 3
FOLDERS = ""


class Dead(Exception):
    """410: the link leads nowhere any more."""


class NoFolder(Exception):
    """404: the folder is gone."""


@dataclass(frozen=True, slots=True)
class Point:
    """`entries` are what is left of a round; None: the next round begins at `position` of the log."""

    position: int
    entries: tuple[Entry, ...] | None = None


@dataclass(slots=True)
class Chain:
    folder_id: str
    generation: int = 0
    points: dict[int, Point] = field(default_factory=dict)


class Chains:
    def __init__(self, box: "GraphBox") -> None:
        self._box = box
        self._chains: list[Chain] = []

    def expire(self, folder_id: str | None) -> None:
        for chain in self._chains:
            if folder_id is None or chain.folder_id == folder_id:
                chain.points.clear()

    def page(self, folder_id: str, token: str, size: int, with_body: bool) -> tuple[list[dict[str, Any]], str, bool]:
        """Rows, the next token, and whether the round ended. "" begins a chain. Raises Dead, NoFolder."""
        if folder_id and folder_id not in self._box.folders:
            raise NoFolder
        if token:
            number, _, generation = token.partition(".")
            chain = self._chains[int(number)]
            point = chain.points.get(int(generation))
            if point is None or chain.folder_id != folder_id:
                raise Dead
        else:
            chain = Chain(folder_id, self._box.noise.randint(100, 900))
            point = Point(0, None)
            self._chains.append(chain)
        rows, after = self._cut(chain, point, size, with_body, first=not token)
        chain.generation += 1
        chain.points[chain.generation] = after
        chain.points.pop(chain.generation - GENERATIONS, None)
        return rows, f"{self._chains.index(chain)}.{chain.generation}", after.entries is None

    def _cut(
        self, chain: Chain, point: Point, size: int, with_body: bool, *, first: bool
    ) -> tuple[list[dict[str, Any]], Point]:
        knobs, noise = self._box.knobs, self._box.noise
        entries, position = point.entries, point.position
        if entries is None:
            entries, position = self._round(chain.folder_id, point.position, first=first)
        if noise.random() < knobs.empty_pages:
            return [], Point(position, entries)
        if noise.random() < knobs.short_pages:
            size = noise.randint(1, size)
        rows: list[dict[str, Any]] = []
        if chain.folder_id and noise.random() < knobs.replays:
            rows += self._replayed(chain.folder_id, position, with_body)
        for entry in entries[:size]:
            row = self._row(chain.folder_id, entry, with_body)
            if row is not None:
                rows += [row, row] if noise.random() < knobs.doubles else [row]
        rest = entries[size:]
        return rows, Point(position, rest if rest else None)

    def _round(self, folder_id: str, position: int, *, first: bool) -> tuple[tuple[Entry, ...], int]:
        box = self._box
        log = box.folders[folder_id].log if folder_id else box.folder_log
        until_s = box.now_s() - box.knobs.late_s
        end = len(log)
        while box.knobs.late_s and end > position and log[end - 1][3] > until_s:
            end -= 1
        if not first:
            return tuple(_net(log[position:end])), end
        if not folder_id:
            return tuple(("row", each.id, False) for each in box.folders.values() if not each.hidden), end
        there: dict[str, bool] = {}
        for kind, name, _, _ in log[:end]:
            there[name] = there.get(name, False) if kind == "changed" else kind == "arrived"
        inside = [box.mails[name] for name, here in there.items() if here and name in box.mails]
        inside.sort(key=lambda mail: -mail.received_s)
        return tuple(("row", mail.id, False) for mail in inside), end

    def _replayed(self, folder_id: str, end: int, with_body: bool) -> list[dict[str, Any]]:
        """One earlier change again, as the message is now."""
        log = self._box.folders[folder_id].log[:end]
        if not log:
            return []
        name = self._box.noise.choice(log)[1]
        mail = self._box.mails.get(name)
        here = mail is not None and mail.folder_id == folder_id
        row = self._row(folder_id, ("row" if here else "removed", name, False), with_body)
        return [] if row is None else [row]

    def _row(self, folder_id: str, entry: Entry, with_body: bool) -> dict[str, Any] | None:
        kind, name, sparse = entry
        if kind == "removed":
            return {"id": name, "@removed": {"reason": "deleted"}}
        if not folder_id:
            folder = self._box.folders.get(name)
            return None if folder is None or folder.hidden else folder_row(self._box, folder)
        mail = self._box.mails.get(name)
        if mail is None or (mail.folder_id != folder_id and not self._leaves_late(folder_id, mail)):
            return None  # left since the round began: the next one says so
        if sparse:
            return {"id": mail.id, "isRead": mail.read, "parentFolderId": mail.folder_id}
        return message_row(replace(mail, folder_id=folder_id), with_body)

    def _leaves_late(self, folder_id: str, mail: "Mail") -> bool:
        """It has left, and that does not show yet."""
        until_s = self._box.now_s() - self._box.knobs.late_s
        log = self._box.folders[folder_id].log
        left_s = next((at_s for kind, name, _, at_s in reversed(log) if (kind, name) == ("left", mail.id)), 0.0)
        return self._box.knobs.late_s > 0 and left_s > until_s


def _net(log: Log) -> list[Entry]:
    """Each message once, with its net change."""
    net: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for kind, name, properties, _ in log:
        net.setdefault(name, []).append((kind, properties))
    entries: list[Entry] = []
    for name, events in net.items():
        kinds = [kind for kind, _ in events]
        was_here = kinds[0] != "arrived"
        is_here = next((kind for kind in reversed(kinds) if kind != "changed"), "arrived") == "arrived"
        if "left" in kinds and (was_here or not is_here):
            entries.append(("removed", name, False))
            continue
        said = {each for kind, properties in events for each in properties}
        entries.append(("row", name, "arrived" not in kinds and said == {"isRead"}))
    return entries


def folder_row(box: "GraphBox", folder: "Folder") -> dict[str, Any]:
    return {
        "id": folder.id,
        "displayName": folder.name,
        "parentFolderId": None,
        "isHidden": folder.hidden,
        "totalItemCount": sum(mail.folder_id == folder.id for mail in box.mails.values()),
    }


def message_row(mail: "Mail", with_body: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": mail.id,
        "conversationId": None,
        "internetMessageId": None,
        "subject": mail.subject,
        "from": None,
        "toRecipients": [],
        "ccRecipients": [],
        "bccRecipients": [],
        "replyTo": [],
        "sentDateTime": None,
        "receivedDateTime": instant(mail.received_s),
        "bodyPreview": mail.text,
        "parentFolderId": mail.folder_id,
        "categories": list(mail.categories),
        "isRead": mail.read,
        "flag": {"flagStatus": "flagged" if mail.flagged else "notFlagged"},
        "isDraft": mail.draft,
        "hasAttachments": False,
        "lastModifiedDateTime": instant(mail.modified_s),
    }
    return row | {"body": {"contentType": "text", "content": mail.text}} if with_body else row
