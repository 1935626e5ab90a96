"""The mailbox's folders: which there are, which are tracked, and a number for each that the index can hold.

    known from                         says
    mailFolders/delta                  name, parent, hidden, item count; `@removed` where a folder is gone
    $batch of the well-known names     which folder is the inbox, the dumpster, …, in any language; hidden ones too

A folder keeps its number for ever, gone or not. Tracked is what is there and, with OUTLOOK_FOLDERS=all, not hidden,
else what is listed by well-known name or id. What is in no table may be a new folder or one that is never shown: that
is told by the folder chain, before a message is said to have left.

Source: https://learn.microsoft.com/en-us/graph/api/resources/mailfolder
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from shared.core import message
from shared.core.errors import ContractBroken
from shared.protocol.graph.known import FOLDERS_MAX

SELECT = "id,displayName,parentFolderId,isHidden,totalItemCount"
# https://learn.microsoft.com/en-us/graph/api/resources/mailfolder; all of them fit into one batch
WELL_KNOWN = (
    *("inbox", "drafts", "sentitems", "deleteditems", "junkemail", "archive", "outbox", "conversationhistory"),
    *("clutter", "conflicts", "localfailures", "msgfolderroot", "recoverableitemsdeletions", "scheduled"),
    *("searchfolders", "serverfailures", "syncissues"),
)
# Below the root but no place of mail, or outside of it.
NEVER_TRACKED = frozenset({"msgfolderroot", "recoverableitemsdeletions", "searchfolders"})


@dataclass(frozen=True, slots=True)
class Folder:
    """`total` counts items of all kinds when the folder was last shown: good for an estimate."""

    id: str
    name: str | None = None
    parent: str | None = None
    well_known: str = ""
    hidden: bool = False
    gone: bool = False
    total: int = 0


class FolderTable:
    """Folders by the order in which they were first shown; never reorders. `asked`: OUTLOOK_FOLDERS, None = all."""

    def __init__(self, stored: str | None, asked: Sequence[str] | None) -> None:
        stored_folders = (Folder(**fields) for fields in orjson.loads(stored or "[]"))
        self._folders = {folder.id: folder for folder in stored_folders}
        self._codes = {folder_id: code for code, folder_id in enumerate(self._folders)}
        self._ids = list(self._folders)
        self._asked = None if asked is None else frozenset(asked) | {each.lower() for each in asked}
        self.changed = False

    def dump(self) -> str:
        """For the account's field `folders`."""
        return orjson.dumps([asdict(folder) for folder in self._folders.values()]).decode()

    def get(self, folder_id: str | None) -> Folder | None:
        return self._folders.get(folder_id or "")

    def code(self, folder_id: str | None) -> int:
        """The folder's number; a folder never seen gets one, and is as good as hidden until it is shown."""
        name = folder_id or ""
        if name not in self._codes:
            if len(self._codes) >= FOLDERS_MAX:
                raise ContractBroken("the mailbox shows more folders than the index has numbers for")
            self._put(Folder(name, hidden=True))
        return self._codes[name]

    def id_of(self, code: int) -> str:
        try:
            return self._ids[code]
        except IndexError as error:
            raise ContractBroken("an index entry can't be read") from error

    def strange(self, folder_id: str | None) -> bool:
        """Neither the folder chain nor a well-known name has shown it: it may be new, or one that is never shown."""
        folder = self.get(folder_id)
        return folder is None or (folder.name is None and folder.hidden and not folder.well_known)

    def tracked(self, folder_id: str | None) -> bool:
        folder = self.get(folder_id)
        if folder is None or folder.gone or folder.well_known in NEVER_TRACKED:
            return False
        if self._asked is None:
            return not folder.hidden
        return folder.id in self._asked or folder.well_known in self._asked

    def may_hold(self, folder_id: str | None) -> bool:
        """Whether what the log follows may be in it: tracked, or perhaps a new one."""
        return self.tracked(folder_id) or self.strange(folder_id)

    def all_tracked(self) -> Iterator[Folder]:
        return (folder for folder in self._folders.values() if self.tracked(folder.id))

    def present(self) -> Iterator[Folder]:
        """Those that the folder chain shows."""
        return (folder for folder in self._folders.values() if not folder.gone and not folder.hidden)

    def gone(self) -> Iterator[str]:
        """The ids of those that are not there any more."""
        return (folder.id for folder in self._folders.values() if folder.gone)

    def for_readers(self) -> list[message.Folder]:
        """Those that are there and that somebody has named."""
        return [
            message.Folder(
                id=folder.id,
                name=folder.name,
                kind=folder.well_known or "user",
                parent_id=folder.parent,
                hidden=folder.hidden,
            )
            for folder in self._folders.values()
            if not folder.gone and folder.name is not None
        ]

    def shown(self, row: Mapping[str, Any]) -> None:
        """A row of the folder chain; a sparse one changes only what it says."""
        known = self.get(row["id"]) or Folder(row["id"])
        self._put(
            replace(
                known,
                gone=row.get("@removed") is not None,
                hidden=row.get("isHidden") is True,
                name=_text(row, "displayName", known.name),
                parent=_text(row, "parentFolderId", known.parent),
                total=row["totalItemCount"] if isinstance(row.get("totalItemCount"), int) else known.total,
            )
        )

    def lost(self, folder_id: str) -> None:
        """A folder that a whole reading of the folder chain did not show."""
        self._put(replace(self._folders[folder_id], gone=True))

    def named(self, name: str, row: Mapping[str, Any]) -> None:
        """The folder of a well-known name. One that the folder chain has not shown is hidden, for all we know."""
        known = self.get(row["id"]) or Folder(
            row["id"], hidden=row.get("isHidden") is not False or name in NEVER_TRACKED
        )
        parent = _text(row, "parentFolderId", known.parent)
        self._put(replace(known, well_known=name, name=_text(row, "displayName", known.name), parent=parent))

    def _put(self, folder: Folder) -> None:
        if folder.id not in self._codes:
            self._codes[folder.id] = len(self._ids)
            self._ids.append(folder.id)
        self.changed = self.changed or self._folders.get(folder.id) != folder
        self._folders[folder.id] = folder


def _text(row: Mapping[str, Any], key: str, otherwise: str | None) -> str | None:
    value = row.get(key)
    return value if isinstance(value, str) else otherwise
