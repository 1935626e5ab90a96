"""What a test or an operator does to mailboxes by hand, and the truth about them.

Folders are named by id, well-known name, or path of display names ("Projects/2026"). Message ids may be immutable or
mutable; those that come back are immutable.
"""

from typing import Any

from infra.emulators.clock import Clock
from infra.emulators.graph.chains import Chains
from infra.emulators.graph.ids import IdMint
from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.mailbox import ROOT, Folder, Mailbox, flag
from infra.emulators.graph.messages import checked
from infra.emulators.graph.notifier import Notifier
from infra.emulators.graph.view import SELECTABLE, Seen, message_row
from infra.emulators.graph.world import World
from infra.emulators.microsoft_identity import MicrosoftIdentity

_DRAFT_FIELDS = ("subject", "body", "toRecipients", "ccRecipients", "bccRecipients")


class Stage:
    clock: Clock
    identity: MicrosoftIdentity
    knobs: Knobs
    _world: World
    _notifier: Notifier

    # --- mailboxes and folders

    def add_mailbox(self, address: str, name: str | None = None) -> str:
        """With Outlook's own folders; the user's id. A second call changes nothing."""
        with self._world.lock:
            user = self.identity.add_user(address, name)
            if address.lower() not in self._world.by_user:
                mailbox = Mailbox(address, user.oid, self.clock, IdMint(self._world.seed, address))
                mailbox.on_change = self._notifier.on_change
                mailbox.counts_are_changes = self.knobs.folder_counts_in_delta
                self._world.by_user[address.lower()] = self._world.by_user[user.oid] = mailbox
                self._world.chains[mailbox.address] = Chains(self._world.seed, address, self.knobs)
            return user.oid

    def add_folder(
        self, address: str, name: str, parent: str | None = None, well_known: str | None = None, hidden: bool = False
    ) -> str:
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            return mailbox.add_folder(name, self._folder(mailbox, parent or ROOT).id, well_known, hidden).id

    def rename_folder(self, address: str, folder: str, name: str) -> None:
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            mailbox.rename_folder(self._folder(mailbox, folder), name)

    def move_folder(self, address: str, folder: str, parent: str) -> None:
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            mailbox.move_folder(self._folder(mailbox, folder), self._folder(mailbox, parent))

    def delete_folder(self, address: str, folder: str) -> None:
        """For good, with its messages and the folders below it."""
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            mailbox.delete_folder(self._folder(mailbox, folder))

    def folders(self, address: str) -> dict[str, dict[str, Any]]:
        """Every folder by id, hidden ones too: name, path, parent_id, well_known, hidden, total, unread."""
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            return {
                folder.id: {
                    "name": folder.name,
                    "path": _path(mailbox, folder),
                    "parent_id": folder.parent_id,
                    "well_known": folder.well_known,
                    "hidden": folder.hidden,
                    "total": len(folder.members),
                    "unread": folder.unread,
                }
                for folder in mailbox.folders.values()
            }

    def folder_id(self, address: str, folder: str) -> str:
        with self._world.lock:
            return self._folder(self._world.mailbox(address), folder).id

    def _folder(self, mailbox: Mailbox, reference: str) -> Folder:
        try:
            return mailbox.folder(reference)
        except KeyError:
            found = [folder for folder in mailbox.folders.values() if _path(mailbox, folder) == reference]
        if not found:
            raise KeyError(f"no folder {reference!r} in {mailbox.address}")
        return found[0]

    # --- messages

    def deliver(
        self,
        address: str,
        raw: bytes,
        folder: str = "inbox",
        is_read: bool = False,
        received_at_s: float | None = None,
        is_draft: bool = False,
    ) -> str:
        """The immutable id. `received_at_s` is now on the clock unless given."""
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            return mailbox.deliver(raw, self._folder(mailbox, folder), is_read, is_draft, received_at_s).immutable_id

    def move(self, address: str, message_id: str, folder: str) -> None:
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            mailbox.move(mailbox.message(message_id), self._folder(mailbox, folder))

    def update(self, address: str, message_id: str, **changes: Any) -> None:
        """`is_read`, `flag` (notFlagged, flagged, complete), `categories`, `importance`; a draft's `subject`."""
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            message = mailbox.message(message_id)
            values = {{"is_read": "isRead"}.get(name, name): value for name, value in changes.items()}
            if any(name in _DRAFT_FIELDS for name in values) and not message.is_draft:
                raise ValueError("only a draft's content changes")
            if isinstance(values.get("flag"), str):
                values["flag"] = flag(values["flag"])
            mailbox.update(message, checked(values))

    def hard_delete(self, address: str, message_id: str) -> None:
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            mailbox.purge(mailbox.message(message_id))

    def save_draft(self, address: str, raw: bytes) -> str:
        return self.deliver(address, raw, "drafts", is_read=True, is_draft=True)

    def send(self, address: str, draft_id: str) -> str:
        """The draft goes, an Outbox id comes and goes, a new message is in Sent Items: its immutable id."""
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            return mailbox.send(mailbox.message(draft_id)).immutable_id

    def mutable_id(self, address: str, message_id: str) -> str:
        with self._world.lock:
            return self._world.mailbox(address).message(message_id).mutable_id

    def snapshot(self, address: str, visible_only: bool = False) -> dict[str, dict[str, Any]]:
        """The truth, by immutable id. `visible_only` leaves out what is in hidden folders (the dumpster)."""
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            return {
                message.immutable_id: {
                    "folder_id": message.folder_id,
                    "folder": _path(mailbox, mailbox.folders[message.folder_id]),
                    "is_read": message.is_read,
                    "flag": message.flag["flagStatus"],
                    "categories": list(message.categories),
                    "subject": message.patched.get("subject", self._world.contents.of(message.raw).subject),
                    "is_draft": message.is_draft,
                    "received_at_s": message.received_s,
                    "change_key": message.change_key,
                    "mutable_id": message.mutable_id,
                }
                for message in mailbox.messages.values()
                if not (visible_only and mailbox.folders[message.folder_id].hidden)
            }

    def resource(self, address: str, message_id: str, body_type: str = "html") -> dict[str, Any]:
        """The message as Graph would show it under immutable ids, every property."""
        with self._world.lock:
            mailbox = self._world.mailbox(address)
            message = mailbox.message(message_id)
            content = self._world.contents.of(message.raw)
            seen = Seen(message, content, mailbox, self.knobs, "text" if body_type == "text" else "html")
            return message_row(seen, tuple(SELECTABLE.values()), immutable=True, always_typed=True)

    def date_s(self, raw: bytes) -> float | None:
        """The Date header of a message; reading it converts the message once for all."""
        with self._world.lock:
            return self._world.contents.of(raw).date_s

    def set_mailbox_full(self, address: str, full: bool = True) -> None:
        """Over quota: delta alone fails, with 403 ErrorQuotaExceeded."""
        with self._world.lock:
            self._world.mailbox(address).full = full


def _path(mailbox: Mailbox, folder: Folder) -> str:
    names = [folder.name]
    while folder.parent_id is not None and mailbox.folders[folder.parent_id].well_known != ROOT:
        folder = mailbox.folders[folder.parent_id]
        names.append(folder.name)
    return "/".join(reversed(names))
