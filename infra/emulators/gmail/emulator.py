"""The stand-in as one object: `app` for a server, and what happens in a mailbox as methods, from any thread."""

from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette

from infra.emulators import google_consent, pubsub_api
from infra.emulators.clock import Clock
from infra.emulators.gmail import admin
from infra.emulators.gmail.app import GmailApp
from infra.emulators.gmail.counters import Entry
from infra.emulators.gmail.engine import Engine
from infra.emulators.gmail.mailbox import Mailbox
from infra.emulators.gmail.message import parsed
from infra.emulators.gmail.settings import Settings
from infra.emulators.gmail.watch import Watches
from infra.emulators.google_identity import GoogleIdentity
from infra.emulators.google_keys import GoogleKeys
from infra.emulators.pubsub import PubSub, Subscription

ARRIVED = ("INBOX", "UNREAD")


class GmailEmulator:
    def __init__(self, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self.settings: Settings = settings or Settings()
        self.clock: Clock = clock or Clock()
        self.keys: GoogleKeys = GoogleKeys()
        self.identity: GoogleIdentity = GoogleIdentity(self.settings, self.clock, self.keys)
        self.pubsub: PubSub = PubSub(self.clock, self.keys, self.settings.seed)
        self.watches: Watches = Watches(self.settings, self.clock, self.pubsub.publish)
        self.engine: Engine = Engine(self.settings, self.clock, self.identity, self.watches)
        sides = (google_consent.routes(self.identity), pubsub_api.routes(self.pubsub), admin.routes(self))
        rest = Starlette(routes=[route for side in sides for route in side])
        self.app = GmailApp(self.engine, rest)

    def close(self) -> None:
        self.pubsub.stop()

    # -- mailboxes

    def add_mailbox(self, address: str) -> None:
        with self.engine.lock:
            if address in self.engine.mailboxes:
                raise ValueError(f"{address} is there already")
            mailbox = Mailbox(address, self.settings, self.clock)
            mailbox.on_change = self.watches.notify
            self.engine.mailboxes[address] = mailbox
            self.identity.addresses.append(address)

    def remove_mailbox(self, address: str) -> None:
        with self.engine.lock:
            del self.engine.mailboxes[address]
            self.identity.addresses.remove(address)

    def mailbox(self, address: str) -> Mailbox:
        found = self.engine.mailboxes.get(address)
        if found is None:
            raise ValueError(f"no mailbox {address}")
        return found

    def load(self, address: str, messages: Iterable[bytes]) -> list[str]:
        """Old mail: dated by its Date header where that is believable, else just after the message before.

        Every third is unread, every seventh archived without any label, every twentieth starred;
        none is in SPAM or TRASH.
        """
        now_s = self.clock.now_s()
        last_s = now_s - 86_400
        ids = []
        for number, raw in enumerate(messages):
            date_s = parsed(raw).date_s
            if date_s is None or not 0 <= date_s <= now_s:
                date_s = min(last_s + 1, now_s)
            last_s = date_s
            labels = set() if number % 7 == 6 else {"INBOX"}
            labels |= ({"UNREAD"} if number % 3 == 2 and labels else set()) | (
                {"STARRED"} if number % 20 == 5 else set()
            )
            ids.append(self.deliver(address, raw, labels, date_s))
        return ids

    def deliver(
        self,
        address: str,
        raw: bytes,
        labels: Iterable[str] = ARRIVED,
        internal_date_s: float | None = None,
        thread_id: str | None = None,
    ) -> str:
        """A message arrives, with the labels its filters gave it; returns its id."""
        with self.engine.lock:
            return self.mailbox(address).add(raw, labels, internal_date_s, thread_id).id

    def delete(self, address: str, *message_ids: str) -> None:
        with self.engine.lock:
            self.mailbox(address).remove(message_ids)

    def trash(self, address: str, *message_ids: str) -> None:
        self.relabel(address, *message_ids, add=["TRASH"])

    def untrash(self, address: str, *message_ids: str) -> None:
        self.relabel(address, *message_ids, remove=["TRASH"])

    def relabel(self, address: str, *message_ids: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        with self.engine.lock:
            self.mailbox(address).relabel(message_ids, add, remove)

    def save_draft(self, address: str, raw: bytes, draft_id: str | None = None) -> tuple[str, str]:
        """(draft id, message id): the first stays over saves, the second does not."""
        with self.engine.lock:
            made, stored = self.mailbox(address).save_draft(raw, draft_id)
            return made, stored.id

    def send_draft(self, address: str, draft_id: str) -> str:
        with self.engine.lock:
            return self.mailbox(address).send_draft(draft_id).id

    def add_label(self, address: str, name: str) -> str:
        with self.engine.lock:
            return self.mailbox(address).add_label(name)

    def remove_label(self, address: str, label_id: str) -> None:
        with self.engine.lock:
            self.mailbox(address).remove_label(label_id)

    def expire_history(self, address: str) -> None:
        """Every history id given out so far is too old from now on."""
        with self.engine.lock:
            self.mailbox(address).history.expire()

    def forget_page_tokens(self, address: str) -> None:
        """Those given out so far are refused with 400 from now on."""
        with self.engine.lock:
            self.mailbox(address).tokens += 1

    def history_id(self, address: str) -> int:
        with self.engine.lock:
            return self.mailbox(address).history.current

    def truth(self, address: str) -> dict[str, dict[str, Any]]:
        """What is in the mailbox, by message id: the `metadata` resource, without asking or costing anything."""
        with self.engine.lock:
            return {each.id: each.resource("metadata") for each in self.mailbox(address).messages.values()}

    # -- tokens

    def refresh_token(self, address: str, scopes: list[str] | None = None) -> str:
        self.mailbox(address)
        return self.identity.mint_refresh_token(address, scopes)

    def access_token(self, address: str, scopes: list[str] | None = None, client_id: str | None = None) -> str:
        self.mailbox(address)
        return self.identity.mint_access_token(address, scopes, client_id)

    def revoke(self, address: str) -> int:
        return self.identity.revoke_address(address)

    # -- faults, quotas, figures

    def set_fault(self, kind: str, **given: Any) -> int:
        """See `faults`: selectors, rates and the fault's own parameters by name. Returns its id."""
        with self.engine.lock:
            return self.engine.faults.add(kind, **given).id

    def clear_faults(self, fault_id: int | None = None) -> None:
        """That one, or all of them and every lock-out."""
        with self.engine.lock:
            self.engine.faults.clear(fault_id)
            if fault_id is None:
                self.engine.locked_until_s.clear()

    def refill_quota(self) -> None:
        with self.engine.lock:
            self.engine.quota.refill()

    def counters(self, address: str | None = None) -> dict[str, Any]:
        """In all, with `mailboxes` by address; or of one mailbox."""
        with self.engine.lock:
            figures = self.engine.counters.as_json(address)
            requests = self.identity.token_requests
            figures["token_requests"] = sum(requests.values()) if address is None else requests.get(address, 0)
            return figures

    def reset_counters(self) -> None:
        with self.engine.lock:
            self.engine.counters.reset()
            self.identity.token_requests.clear()
            for gate in self.engine.gates.values():
                gate.in_flight_max = gate.in_flight

    def log(self, address: str | None = None, kind: str | None = None) -> list[Entry]:
        """The last requests, oldest first: `kind` is "http" or "part"."""
        with self.engine.lock:
            return self.engine.counters.entries(address, kind)

    # -- pushes

    def subscribe(self, topic: str, endpoint: str, **knobs: Any) -> Subscription:
        """See `pubsub.Subscription` for the knobs; the same name again replaces it."""
        return self.pubsub.subscribe(topic, endpoint, **knobs)

    def rotate_keys(self, keep_old: bool = True) -> str:
        self.pubsub.renew_tokens()
        return self.keys.rotate(keep_old)
