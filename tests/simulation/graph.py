"""An Outlook mailbox in memory: what facts/graph.md says of it, as hostile as it allows.

    delta        a chain a folder, and one of the folders; links are generations of a chain, the last three are alive
    a round      what is in the folder, or the net change since the last one; made when it begins, cut into pages that
                 may be short, empty, hold a row twice or an earlier change again; what has left by then is skipped
    rows         whole, or sparse where only isRead changed; `@removed` for what left, into whatever folder
    A→B→A        within a round, only `@removed` (microsoft-graph-docs-contrib#72)
    times        whole seconds, as Exchange keeps them; a change may show late
    $batch       parts in any order, each with a status of its own

How it answers faults is in graph_wire.py.
Source: facts/graph.md A1, A5; B 8-25
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from shared.core.message import instant
from tests.simulation.graph_chains import Chains, Log

WELL_KNOWN = ("inbox", "drafts", "sentitems", "deleteditems", "junkemail", "archive")
HIDDEN_NAME = "recoverableitemsdeletions"


@dataclass(frozen=True, slots=True)
class Knobs:
    """How this mailbox behaves, for as long as it is simulated."""

    short_pages: float
    empty_pages: float
    replays: float
    doubles: float
    late_s: float


@dataclass(slots=True)
class Folder:
    id: str
    name: str
    well_known: str = ""
    hidden: bool = False
    log: Log = field(default_factory=list)


@dataclass(slots=True)
class Mail:
    id: str
    folder_id: str
    subject: str
    received_s: int
    modified_s: int
    read: bool = False
    flagged: bool = False
    draft: bool = False
    categories: tuple[str, ...] = ()
    text: str = "text"


@dataclass(slots=True)
class GraphBox:
    """`now_s` is the provider's clock; `dice` decide what a person does, `noise` what the mailbox leaves open."""

    knobs: Knobs
    now_s: Callable[[], float]
    dice: Random
    noise: Random
    mails: dict[str, Mail] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)
    folder_log: Log = field(default_factory=list)
    ever_hidden: set[str] = field(default_factory=set)
    chains: Chains = field(init=False)
    _names: set[str] = field(default_factory=set)
    _count: int = 0

    provider = "outlook"
    address = "robin@example.com"

    def __post_init__(self) -> None:
        for name in (*WELL_KNOWN, HIDDEN_NAME):
            self._folder(name, well_known=name, hidden=name == HIDDEN_NAME)
        self.chains = Chains(self)

    # --- what happens in the mailbox

    def fill(self, count: int) -> None:
        for _ in range(count):
            self._add(self._place(), age_s=self.dice.uniform(10, 90_000))

    def deliver(self) -> None:
        for _ in range(self.dice.choice((1, 1, 2, 4))):
            self._add(self.folders[self.dice.choice((*(self._well("inbox").id,) * 3, self._place().id))])

    def import_old(self) -> None:
        self._add(self._place(), age_s=self.dice.uniform(1000, 200_000))

    def change(self) -> None:
        for _ in range(self.dice.choice((1, 1, 3))):
            if mail := self._any():
                match self.dice.choice(("read", "read", "flag", "category")):
                    case "read":
                        mail.read = not mail.read
                        self._changed(mail, "isRead")
                    case "flag":
                        mail.flagged = not mail.flagged
                        self._changed(mail, "flag")
                    case _:
                        mail.categories = () if mail.categories else (self.dice.choice(("Red", "Blue")),)
                        self._changed(mail, "categories")

    def move(self) -> None:
        if mail := self._any():
            self._move(mail, self._place())

    def there_and_back(self) -> None:
        if mail := self._any():
            home = self.folders[mail.folder_id]
            self._move(mail, self._place())
            if mail.folder_id != home.id:
                self._move(mail, home)

    def draft(self) -> None:
        """Written, written on, or sent."""
        drafts = [mail for mail in self.mails.values() if mail.draft]
        if not drafts or self.dice.random() < 0.3:
            mail = self._add(self._well("drafts"), draft=True)
            return
        mail = self.dice.choice(drafts)
        self._count += 1
        if self.dice.random() < 0.5:
            mail.draft, mail.subject = False, f"Sent {self._count}"
            self._changed(mail, "isDraft", "subject")
            self._move(mail, self._well("sentitems"))
        else:
            mail.subject = mail.text = f"Draft {self._count}"
            self._changed(mail, "subject", "body")

    def delete(self) -> None:
        if mail := self._any():
            gone = mail.folder_id == self._well("deleteditems").id or self.dice.random() < 0.6
            if gone:
                self._left(mail)
                del self.mails[mail.id]
            else:
                self._move(mail, self._well("deleteditems"))

    def hide(self) -> None:
        """Into the hidden dumpster, or back from it."""
        hidden = [mail for mail in self.mails.values() if self.folders[mail.folder_id].hidden]
        if hidden and self.dice.random() < 0.5:
            self._move(self.dice.choice(hidden), self._well("inbox"))
        elif mail := self._any():
            self._move(mail, self._well(HIDDEN_NAME))

    def churn_folders(self) -> None:
        """Made, renamed, or thrown away with everything that is in it."""
        own = [each for each in self.folders.values() if not each.well_known]
        self._count += 1
        if not own or self.dice.random() < 0.4:
            made = self._folder(f"Folder {self._count}")
            for _ in range(self.dice.choice((0, 1, 2))):
                if mail := self._any():
                    self._move(mail, made)
            return
        folder = self.dice.choice(own)
        if self.dice.random() < 0.5:
            folder.name = f"Folder {self._count}"
            self.folder_log.append(("changed", folder.id, (), self.now_s()))
            return
        for mail in [each for each in self.mails.values() if each.folder_id == folder.id]:
            if self.dice.random() < 0.5:
                self._move(mail, self._well("inbox"))
            else:
                self._left(mail)
                del self.mails[mail.id]
        del self.folders[folder.id]
        self.folder_log.append(("left", folder.id, (), self.now_s()))

    def expire(self) -> None:
        """The links of one folder's chains, or of all."""
        self.chains.expire(self.dice.choice((None, "", self._place().id)))

    HAPPENINGS = (
        *("deliver", "deliver", "deliver", "change", "change", "change", "move", "move", "delete", "delete"),
        *("draft", "there_and_back", "import_old", "hide", "churn_folders"),
    )

    def truth(self) -> dict[str, dict[str, Any]]:
        """What the log has to say of every message in the tracked folders."""
        return {
            mail.id: {
                "subject": mail.subject,
                "folder_id": mail.folder_id,
                "unread": not mail.read,
                "flagged": mail.flagged,
                "categories": sorted(mail.categories),
                "draft": mail.draft,
                "received_at": instant(mail.received_s),
            }
            for mail in self.mails.values()
            if not self.folders[mail.folder_id].hidden
        }

    def exists(self, message_id: str) -> bool:
        return message_id in self.mails

    def existed(self, message_id: str) -> bool:
        return message_id in self._names

    def floor_s(self, wanted: int | None, connected_s: float, oldest_s: float, *, lost: bool) -> float:
        """The floor is each folder's own. Where few are wanted, what came before a folder's first walk may be too much;
        with the cursor the time of connection is lost."""
        return float("inf") if lost or wanted == 3 else connected_s

    def ends_promise(self, folder_id: str) -> bool:
        """A patch into this folder is the last one: it is hidden."""
        return folder_id == self._well(HIDDEN_NAME).id

    def _well(self, name: str) -> Folder:
        return next(each for each in self.folders.values() if each.well_known == name)

    def _place(self) -> Folder:
        return self.dice.choice([each for each in self.folders.values() if not each.hidden])

    def _any(self) -> Mail | None:
        found = [mail for mail in self.mails.values() if not self.folders[mail.folder_id].hidden]
        return self.dice.choice(found) if found else None

    def _folder(self, name: str, *, well_known: str = "", hidden: bool = False) -> Folder:
        self._count += 1
        made = Folder(f"AAMkF{self._count:04}", name, well_known, hidden)
        self.folders[made.id] = made
        self.folder_log.append(("arrived", made.id, (), self.now_s()))
        return made

    def _add(self, folder: Folder, *, age_s: float = 0.0, draft: bool = False) -> Mail:
        self._count += 1
        now_s = int(self.now_s())
        mail = Mail(f"AAMkM{self._count:06}=", folder.id, f"Message {self._count}", int(now_s - age_s), now_s)
        mail.draft = draft
        self.mails[mail.id] = mail
        self._names.add(mail.id)
        folder.log.append(("arrived", mail.id, (), self.now_s()))
        return mail

    def _changed(self, mail: Mail, *properties: str) -> None:
        mail.modified_s = int(self.now_s())
        self.folders[mail.folder_id].log.append(("changed", mail.id, properties, self.now_s()))

    def _left(self, mail: Mail) -> None:
        self.folders[mail.folder_id].log.append(("left", mail.id, (), self.now_s()))

    def _move(self, mail: Mail, folder: Folder) -> None:
        if folder.id == mail.folder_id:
            return
        self._left(mail)
        mail.folder_id, mail.modified_s = folder.id, int(self.now_s())
        folder.log.append(("arrived", mail.id, (), self.now_s()))
        if folder.hidden:
            self.ever_hidden.add(mail.id)
