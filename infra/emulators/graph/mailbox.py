"""What Exchange stores of one mailbox: folders, messages, and per folder the log that delta chains read.

    operation      log of the source folder    log of the target    told to subscriptions
    deliver        -                           arrived              created
    update         changed(properties)         -                    updated
    move           left                        arrived              deleted, created
    purge          left                        -                    deleted
    folder gone    left, for every message     -                    deleted

A move gives a new mutable id; the immutable one stays. Every change gives a new change key and modification time.
The caller holds the emulator's lock.
Source: https://learn.microsoft.com/en-us/graph/api/resources/mailfolder
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.emulators.clock import Clock
from infra.emulators.graph.ids import IdMint

ROOT = "msgfolderroot"
VISIBLE = {
    "inbox": "Inbox",
    "drafts": "Drafts",
    "sentitems": "Sent Items",
    "deleteditems": "Deleted Items",
    "junkemail": "Junk Email",
    "archive": "Archive",
    "outbox": "Outbox",
    "conversationhistory": "Conversation History",
}
HIDDEN = {"clutter": "Clutter", "scheduled": "Scheduled", "syncissues": "Sync Issues"}
SYNC_ISSUES = {"conflicts": "Conflicts", "localfailures": "Local Failures", "serverfailures": "Server Failures"}
OUTSIDE = {"recoverableitemsdeletions": "Deletions", "searchfolders": "Finder"}  # not below the root
FLAGS = ("notFlagged", "flagged", "complete")

EventKind = Literal["arrived", "changed", "left"]
ChangeKind = Literal["created", "updated", "deleted"]


@dataclass(slots=True)
class Message:
    immutable_id: str
    mutable_id: str
    raw: bytes
    folder_id: str
    received_s: float
    created_s: float
    modified_s: float
    change_key: str
    is_read: bool = False
    is_draft: bool = False
    flag: dict[str, Any] = field(default_factory=lambda: {"flagStatus": "notFlagged"})
    categories: tuple[str, ...] = ()
    patched: dict[str, Any] = field(default_factory=dict)  # subject, importance, … written over what `raw` says


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a folder's log."""

    kind: EventKind
    at_s: float
    immutable_id: str
    mutable_id: str
    properties: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FolderEvent:
    kind: EventKind
    at_s: float
    folder_id: str


@dataclass(slots=True)
class Folder:
    id: str
    name: str
    parent_id: str | None
    well_known: str | None
    hidden: bool
    log: list[Event] = field(default_factory=list)
    members: dict[str, None] = field(default_factory=dict)  # immutable ids, in order of arrival
    unread: int = 0
    version: int = 0  # raised when members change


@dataclass(frozen=True, slots=True)
class Change:
    """What a subscription may be told."""

    kind: ChangeKind
    mailbox: "Mailbox"
    folder_id: str
    immutable_id: str
    mutable_id: str
    change_key: str
    is_draft: bool


class Mailbox:
    def __init__(self, address: str, user_id: str, clock: Clock, ids: IdMint) -> None:
        self.address = address
        self.user_id = user_id
        self.ids = ids
        self.folders: dict[str, Folder] = {}
        self.well_known: dict[str, str] = {}
        self.messages: dict[str, Message] = {}
        self.by_mutable: dict[str, str] = {}
        self.folder_log: list[FolderEvent] = []
        self.full = False  # over quota: delta alone fails
        self.counts_are_changes = False
        self.on_change: Callable[[Change], None] = lambda change: None
        self._clock = clock
        self._ordered: dict[str | None, tuple[int, list[Message]]] = {}
        self._version = 0
        self.add_folder("Top of Information Store", None, ROOT)
        for names, parent, hidden in (
            (VISIBLE, ROOT, False),
            (HIDDEN, ROOT, True),
            (SYNC_ISSUES, "syncissues", True),
            (OUTSIDE, None, True),
        ):
            for well_known, name in names.items():
                self.add_folder(name, self.well_known[parent] if parent else None, well_known, hidden)

    # --- folders

    def add_folder(
        self, name: str, parent_id: str | None, well_known: str | None = None, hidden: bool = False
    ) -> Folder:
        folder = Folder(self.ids.folder(), name, parent_id, well_known, hidden)
        self.folders[folder.id] = folder
        if well_known:
            self.well_known[well_known] = folder.id
        self.folder_changed("arrived", folder.id)
        return folder

    def folder(self, reference: str) -> Folder:
        """By id or well-known name; KeyError if there is none."""
        return self.folders.get(reference) or self.folders[self.well_known[reference.lower()]]

    def children(self, parent_id: str) -> list[Folder]:
        return [folder for folder in self.folders.values() if folder.parent_id == parent_id]

    def below(self, folder: Folder) -> list[Folder]:
        """The folder and everything under it, parents first."""
        found = [folder]
        for child in self.children(folder.id):
            found += self.below(child)
        return found

    def rename_folder(self, folder: Folder, name: str) -> None:
        folder.name = name
        self.folder_changed("changed", folder.id)

    def move_folder(self, folder: Folder, parent: Folder) -> None:
        if parent in self.below(folder):
            raise ValueError("a folder cannot move below itself")
        folder.parent_id = parent.id
        self.folder_changed("changed", folder.id)

    def delete_folder(self, folder: Folder) -> None:
        """For good, with everything below it."""
        for doomed in reversed(self.below(folder)):
            for message_id in list(doomed.members):
                self.purge(self.messages[message_id])
            del self.folders[doomed.id]
            self._ordered.pop(doomed.id, None)
            if doomed.well_known:
                del self.well_known[doomed.well_known]
            self.folder_changed("left", doomed.id)

    def folder_changed(self, kind: EventKind, folder_id: str) -> None:
        self.folder_log.append(FolderEvent(kind, self._clock.now_s(), folder_id))

    # --- messages

    def message(self, reference: str) -> Message:
        """By immutable or current mutable id; KeyError if there is none."""
        return self.messages.get(reference) or self.messages[self.by_mutable[reference]]

    def deliver(
        self, raw: bytes, folder: Folder, is_read: bool = False, is_draft: bool = False, received_s: float | None = None
    ) -> Message:
        now = self._clock.now_s()
        message = Message(
            immutable_id=self.ids.immutable(),
            mutable_id="",
            raw=raw,
            folder_id="",
            received_s=now if received_s is None else received_s,
            created_s=now,
            modified_s=now,
            change_key="",
            is_read=is_read,
            is_draft=is_draft,
        )
        self.messages[message.immutable_id] = message
        self._enter(message, folder)
        return message

    def move(self, message: Message, folder: Folder) -> None:
        """Into its own folder too: that is a new mutable id, and nothing else, as in Exchange."""
        self._leave(message)
        self._enter(message, folder)

    def purge(self, message: Message) -> None:
        self._leave(message)
        del self.messages[message.immutable_id]

    def send(self, draft: Message) -> Message:
        """A draft on its way: through the Outbox under an id that is gone a moment later, then as a new message."""
        raw, patched = draft.raw, draft.patched
        self.purge(draft)
        passing = self.deliver(raw, self.folder("outbox"), is_read=True)
        self.purge(passing)
        sent = self.deliver(raw, self.folder("sentitems"), is_read=True)
        sent.patched = patched
        return sent

    def update(self, message: Message, values: dict[str, Any]) -> bool:
        """`values` by Graph's names, already checked; False if nothing is different."""
        changed = {name for name, value in values.items() if self.value(message, name) != value}
        if not changed:
            return False
        folder = self.folders[message.folder_id]
        if "isRead" in changed:
            folder.unread += 1 if message.is_read else -1
            message.is_read = values["isRead"]
        if "flag" in changed:
            message.flag = values["flag"]
        if "categories" in changed:
            message.categories = tuple(values["categories"])
        message.patched |= {name: values[name] for name in changed - {"isRead", "flag", "categories"}}
        self._stamp(message)
        self._log(folder, "changed", message, frozenset(changed))
        self._tell("updated", message)
        return True

    def value(self, message: Message, name: str) -> Any:
        known = {"isRead": message.is_read, "flag": message.flag, "categories": list(message.categories)}
        return known[name] if name in known else message.patched.get(name)

    def ordered(self, folder: Folder | None) -> list[Message]:
        """Newest first; of one folder, or of the whole mailbox."""
        key, version = (folder.id, folder.version) if folder else (None, self._version)
        kept = self._ordered.get(key)
        if kept is None or kept[0] != version:
            pool = (self.messages[id_] for id_ in folder.members) if folder else iter(self.messages.values())
            kept = (version, sorted(pool, key=lambda message: -message.received_s))
            self._ordered[key] = kept
        return kept[1]

    def _enter(self, message: Message, folder: Folder) -> None:
        message.folder_id = folder.id
        message.mutable_id = self.ids.mutable()
        self.by_mutable[message.mutable_id] = message.immutable_id
        folder.members[message.immutable_id] = None
        folder.unread += not message.is_read
        self._stamp(message)
        self._log(folder, "arrived", message)
        self._tell("created", message)

    def _leave(self, message: Message) -> None:
        folder = self.folders[message.folder_id]
        del folder.members[message.immutable_id]
        del self.by_mutable[message.mutable_id]
        folder.unread -= not message.is_read
        self._log(folder, "left", message)
        self._tell("deleted", message)

    def _stamp(self, message: Message) -> None:
        message.modified_s = self._clock.now_s()
        message.change_key = self.ids.change_key()

    def _log(self, folder: Folder, kind: EventKind, message: Message, properties: frozenset[str] = frozenset()) -> None:
        folder.log.append(Event(kind, self._clock.now_s(), message.immutable_id, message.mutable_id, properties))
        if kind != "changed":
            folder.version += 1
            self._version += 1
        if self.counts_are_changes and (kind != "changed" or "isRead" in properties):
            self.folder_changed("changed", folder.id)

    def _tell(self, kind: ChangeKind, message: Message) -> None:
        self.on_change(
            Change(
                kind,
                self,
                message.folder_id,
                message.immutable_id,
                message.mutable_id,
                message.change_key,
                message.is_draft,
            )
        )


def flag(status: str) -> dict[str, Any]:
    if status not in FLAGS:
        raise ValueError(f"a flag is one of {', '.join(FLAGS)}, not {status!r}")
    return {"flagStatus": status}


def same_folder(folder: Folder, reference: str) -> bool:
    return reference in (folder.id, folder.name) or reference.lower() == folder.well_known
