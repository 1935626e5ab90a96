"""One mailbox: messages, threads, labels, drafts, and the history every change leaves.

    what happens     records
    delivery         messagesAdded, the labels of a filter inside it
    relabel          labelsAdded and labelsRemoved in one record; only what really changes
    trash            labelsAdded TRASH + labelsRemoved INBOX; untrash: labelsRemoved TRASH
    delete           messagesDeleted
    save a draft     messagesDeleted of the old, messagesAdded of the new message; the draft id stays
    send a draft     messagesDeleted, messagesAdded with SENT: a third message id

A message joins a thread if it names one of its Message-IDs and shares its subject, as in Gmail.
Nothing here locks: the emulator does, once for each request.
"""

import random
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

from infra.emulators import mime
from infra.emulators.clock import Clock
from infra.emulators.gmail import errors, message, payload
from infra.emulators.gmail.history import Change, History
from infra.emulators.gmail.message import Message
from infra.emulators.gmail.settings import Settings

CATEGORIES = ("PERSONAL", "SOCIAL", "PROMOTIONS", "UPDATES", "FORUMS")
SYSTEM_LABELS = (
    *("CHAT", "SENT", "INBOX", "IMPORTANT", "TRASH", "DRAFT", "SPAM", "STARRED", "UNREAD"),
    *(f"CATEGORY_{name}" for name in CATEGORIES),
)
FIXED_LABELS = frozenset({"SENT", "DRAFT", "CHAT"})  # nobody may put them on or take them off
_EXCLUDED_BY = (("TRASH", {"INBOX", "SPAM"}), ("SPAM", {"INBOX", "TRASH"}), ("INBOX", {"TRASH", "SPAM"}))


class Mailbox:
    def __init__(self, address: str, settings: Settings, clock: Clock) -> None:
        self.address, self.settings, self.clock = address, settings, clock
        self.rng = random.Random(f"{settings.seed}:{address}")
        self.history = History(settings, clock, self.rng)
        self.messages: dict[str, Message] = {}
        self.threads: dict[str, dict[str, None]] = {}
        self.labels: dict[str, str] = {name: name for name in SYSTEM_LABELS}  # id -> name
        self.drafts: dict[str, str] = {}  # draft id -> message id
        self.order: list[tuple[int, int, str]] = []  # oldest first
        self.version = 0  # raised by every change
        self.tokens = 0  # page tokens of an earlier number are not known any more
        self.listings: dict[object, list[str]] = {}  # of this version
        self.on_change: Callable[[Mailbox, set[str]], None] = lambda mailbox, labels: None
        self._by_message_id: dict[str, tuple[str, str]] = {}  # header -> thread, subject
        self._sequence = 0
        self._labels_made = 0

    def get(self, message_id: str) -> Message:
        """404 for one that is not there, 400 for what cannot be an id."""
        found = self.messages.get(message_id)
        if found is not None:
            return found
        if not 0 < len(message_id) <= 16 or not all(digit in "0123456789abcdefABCDEF" for digit in message_id):
            raise errors.invalid_id()
        raise errors.not_found()

    def thread(self, thread_id: str) -> list[Message]:
        if thread_id not in self.threads:
            self.get(thread_id)
            raise errors.not_found()
        return [self.messages[each] for each in self.threads[thread_id]]

    def add(
        self,
        raw: bytes,
        labels: Iterable[str] = (),
        internal_s: float | None = None,
        thread_id: str | None = None,
    ) -> Message:
        """Stores a message and its record. No `internal_s`: now."""
        now_s = self.clock.now_s()
        parsed = message.parsed(raw)
        message_id = self._new_id(now_s)
        internal_ms = int((now_s if internal_s is None else internal_s) * 1000)
        self._sequence += 1
        stored = Message(
            id=message_id,
            thread_id=self._thread_for(parsed, message_id, thread_id),
            labels=set(labels),
            internal_ms=internal_ms,
            delivered_at_s=now_s,
            index_internal=self.settings.index_date == "internal",
            order=(internal_ms, self._sequence, message_id),
            raw=raw,
            size=len(raw),
            snippet=payload.snippet(parsed),
            metadata=payload.metadata_payload(parsed),
            attachments=[name or "attachment" for name, _, _ in parsed.attachments],
        )
        self.messages[message_id] = stored
        insort(self.order, stored.order)
        self.threads.setdefault(stored.thread_id, {})[message_id] = None
        self._record([Change("messageAdded", message_id, stored.thread_id, tuple(sorted(stored.labels)))])
        return stored

    def remove(self, message_ids: Iterable[str]) -> None:
        """For good, all in one record."""
        changes = []
        for message_id in message_ids:
            stored = self.messages.pop(message_id)
            changes.append(Change("messageDeleted", message_id, stored.thread_id, tuple(sorted(stored.labels))))
            del self.order[bisect_left(self.order, stored.order)]
            del self.threads[stored.thread_id][message_id]
            if not self.threads[stored.thread_id]:
                del self.threads[stored.thread_id]
            for draft_id in [draft for draft, of in self.drafts.items() if of == message_id]:
                del self.drafts[draft_id]
        self._record(changes)

    def relabel(self, message_ids: Iterable[str], add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """All in one record; none if nothing changes. TRASH, SPAM and INBOX push each other out."""
        added, removed = set(add), set(remove)
        for label in added | removed:
            if label not in self.labels:
                raise errors.invalid_argument(f"Invalid label: {label}")
        for label, others in _EXCLUDED_BY:
            if label in added:
                removed |= others - added
                break
        changes: list[Change] = []
        for message_id in message_ids:
            stored = self.messages[message_id]
            gained, lost = added - stored.labels, (removed - added) & stored.labels
            stored.labels |= gained
            stored.labels -= lost
            now = tuple(sorted(stored.labels))
            if gained:
                changes.append(Change("labelAdded", message_id, stored.thread_id, now, tuple(sorted(gained))))
            if lost:
                changes.append(Change("labelRemoved", message_id, stored.thread_id, now, tuple(sorted(lost))))
        self._record(changes)

    def save_draft(self, raw: bytes, draft_id: str | None = None, thread_id: str | None = None) -> tuple[str, Message]:
        """A new draft, or a new message under the old draft id."""
        if draft_id is not None:
            old = self.draft(draft_id)
            thread_id = thread_id or old.thread_id
            others = [each for each in self.threads[old.thread_id] if each != old.id]
            self.remove([old.id])
            thread_id = thread_id if others else None
        stored = self.add(raw, ["DRAFT"], thread_id=thread_id)
        if draft_id is None:
            draft_id = f"r{self.rng.randrange(10**18, 9 * 10**18)}"
        self.drafts[draft_id] = stored.id
        return draft_id, stored

    def send_draft(self, draft_id: str) -> Message:
        old = self.draft(draft_id)
        others = [each for each in self.threads[old.thread_id] if each != old.id]
        self.remove([old.id])
        return self.add(old.raw, self.sent_labels(old.raw), thread_id=old.thread_id if others else None)

    def draft(self, draft_id: str) -> Message:
        if draft_id not in self.drafts:
            raise errors.not_found()
        return self.messages[self.drafts[draft_id]]

    def sent_labels(self, raw: bytes) -> set[str]:
        """SENT; a message to oneself is one message, unread in the inbox too."""
        parsed = message.parsed(raw)
        to = " ".join(value for name in ("to", "cc", "bcc") for value in parsed.all(name)).lower()
        return {"SENT", "UNREAD", "INBOX"} if self.address.lower() in to else {"SENT"}

    def add_label(self, name: str) -> str:
        self._labels_made += 1
        label_id = f"Label_{self._labels_made}"
        self.labels[label_id] = name
        return label_id

    def remove_label(self, label_id: str) -> None:
        """Takes it off every message too, as Gmail does."""
        self.relabel([each.id for each in self.messages.values() if label_id in each.labels], remove=[label_id])
        del self.labels[label_id]

    def _record(self, changes: list[Change]) -> None:
        if not changes:
            return
        record_id = self.history.append(changes)
        touched: set[str] = set()
        for change in changes:
            touched.update(change.labels, change.changed)
            if change.message_id in self.messages:
                self.messages[change.message_id].history_id = record_id
        self.version += 1
        self.listings.clear()
        self.on_change(self, touched)

    def _new_id(self, now_s: float) -> str:
        while True:
            made = f"{(int(now_s * 1000) << 20) | self.rng.getrandbits(20):016x}"
            if made not in self.messages:
                return made

    def _thread_for(self, parsed: mime.Mime, message_id: str, wanted: str | None) -> str:
        subject = message.thread_subject(parsed)
        found = wanted if wanted in self.threads else None
        if found is None:
            for reference in message.references(parsed):
                thread_id, its_subject = self._by_message_id.get(reference, ("", ""))
                if thread_id in self.threads and its_subject == subject:
                    found = thread_id
                    break
        own = (parsed.header("message-id") or "").strip()
        if own:
            known = self._by_message_id.get(own)
            if known is None or known[0] not in self.threads:
                self._by_message_id[own] = (found or message_id, subject)
        return found or message_id
