"""The emulator as one object: `.app` for a server, methods for a test; both may be used at once, from any thread.

    emulator = GraphEmulator(seed=7)
    emulator.add_mailbox("ada@example.com")
    with Server(emulator.app) as server:
        token = emulator.mint_access_token("ada@example.com")
        httpx.get(f"{server.url}/v1.0/me/mailFolders", headers={"Authorization": f"Bearer {token}"})

`.app` answers Graph below /v1.0, the admin API below /_admin and Microsoft's identity platform everywhere else.
Methods on mailboxes are in `stage`, the rest is here.
"""

from typing import Any, Self

from infra.emulators.clock import Clock
from infra.emulators.graph.admin import Admin
from infra.emulators.graph.asgi import Receive, Response, Scope, Send, read_request, send_response
from infra.emulators.graph.grants import CLIENT_ID, MAIL_SCOPES
from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.lifecycle import LIFECYCLE_EVENTS
from infra.emulators.graph.mailbox import ChangeKind
from infra.emulators.graph.notifier import Notifier
from infra.emulators.graph.service import VERSION, GraphApi
from infra.emulators.graph.stage import Stage
from infra.emulators.graph.subscriptions import Subscriptions
from infra.emulators.graph.world import new_world
from infra.emulators.microsoft_identity import MicrosoftIdentity


class GraphEmulator(Stage):
    def __init__(
        self, clock: Clock | None = None, seed: int = 0, identity: MicrosoftIdentity | None = None, **knobs: Any
    ) -> None:
        self.clock = clock or (identity.clock if identity else Clock())
        self.identity = identity or MicrosoftIdentity(self.clock, seed)
        self.knobs = Knobs()
        self._world = new_world(seed, self.clock, self.knobs, self.identity)
        self._subscriptions = Subscriptions(self._world)
        self._notifier = Notifier(self._world, self._subscriptions)
        self._service = GraphApi(self._world, self._subscriptions)
        self._admin = Admin(self)
        self.set_knobs(**knobs)

    @property
    def app(self) -> Any:
        async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                request = await read_request(scope, receive)
            except ConnectionError:
                return
            response: Response
            if request.path.startswith(f"{VERSION}/"):
                response = await self._service.answer(request)
            elif request.path.startswith("/_admin/"):
                response = await self._admin.answer(request)
            else:
                response = await self.identity.answer(request)
            await send_response(response, request, send)

        return asgi

    def close(self) -> None:
        self._notifier.stop()
        self._world.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- trouble

    def expire_delta(self, folder: str = "all", address: str | None = None) -> int:
        """Kills every delta link of a folder ("hierarchy": of mailFolders/delta), or all; how many chains it hit."""
        with self._world.lock:
            hit = 0
            for owner, chains in self._world.chains.items():
                if address is not None and owner.lower() != address.lower():
                    continue
                mailbox = self._world.mailbox(owner)
                named = None if folder in ("all", "hierarchy") else self._folder(mailbox, folder).id
                hit += chains.expire(named, everything=folder == "all")
            return hit

    def set_fault(self, kind: str, **where: Any) -> int:
        """See `faults` for kinds and places; the fault's id. `times` is 1 unless given."""
        with self._world.lock:
            return self._world.faults.set(kind, **where)

    def clear_faults(self, fault_id: int | None = None) -> None:
        with self._world.lock:
            self._world.faults.clear(fault_id)

    def set_knobs(self, **values: Any) -> None:
        with self._world.lock:
            self.knobs.turn(**values)
            for mailbox in self._world.by_user.values():
                mailbox.counts_are_changes = self.knobs.folder_counts_in_delta

    # --- tokens

    def mint_refresh_token(
        self, address: str, scopes: tuple[str, ...] = MAIL_SCOPES, client_id: str = CLIENT_ID
    ) -> str:
        return self.identity.mint_refresh_token(address, scopes, client_id)

    def mint_access_token(
        self, address: str | None, scopes: tuple[str, ...] = MAIL_SCOPES, client_id: str = CLIENT_ID
    ) -> str:
        return self.identity.mint_access_token(address, scopes, client_id)

    def revoke(self, address: str, remove_subscriptions: bool = False) -> int:
        """Ends the user's grants; a password reset also removes subscriptions, telling their lifecycle URLs."""
        ended = self.identity.revoke(address)
        if remove_subscriptions:
            for subscription in self.subscriptions(address):
                self.lifecycle(subscription["id"], "subscriptionRemoved")
        return ended

    # --- push

    def subscriptions(self, address: str | None = None) -> list[dict[str, Any]]:
        with self._world.lock:
            live = self._subscriptions.live()
            return [item.as_dict() for item in live if address is None or item.mailbox.lower() == address.lower()]

    def lifecycle(self, subscription_id: str, event: str) -> None:
        """reauthorizationRequired (unanswered, it ends in lost deliveries), subscriptionRemoved (it is), missed."""
        if event not in LIFECYCLE_EVENTS:
            raise ValueError(f"a lifecycle event is one of {', '.join(LIFECYCLE_EVENTS)}")
        with self._world.lock:
            subscription = self._subscriptions.all[subscription_id]
            self._notifier.lifecycle(subscription, event)
            if event == "subscriptionRemoved":
                del self._subscriptions.all[subscription_id]
            elif event == "reauthorizationRequired":
                subscription.reauthorize_by_s = self.clock.now_s() + self.knobs.reauthorize_every_s

    def notify(self, subscription_id: str, message_id: str, change: ChangeKind = "updated") -> None:
        """A notification out of nowhere: a repeat, or a change that never was."""
        with self._world.lock:
            subscription = self._subscriptions.all[subscription_id]
            self._notifier.invent(subscription, message_id, change)

    def deliveries(self) -> list[dict[str, Any]]:
        """Every POST to a subscriber: url, status, ack_ms, attempt, items."""
        with self._world.lock:
            return list(self._notifier.log)

    def settle(self, timeout_real_s: float = 5.0) -> bool:
        """Waits until every notification due by now has been tried; False if time ran out."""
        return self._notifier.settle(timeout_real_s)

    # --- what happened

    def counters(self) -> dict[str, Any]:
        with self._world.lock:
            world = self._world
            acks = [entry["ack_ms"] for entry in self._notifier.log]
            return {
                **world.record.counters(),
                "max_in_flight": dict(world.throttle.seen_max),
                "refused_by_limits": world.throttle.refused,
                "identity_requests": dict(self.identity.requests),
                "notifications": {**self._notifier.counts, "ack_ms_max": max(acks, default=0.0)},
                "validations": list(world.validations),
            }

    def reset_counters(self) -> None:
        with self._world.lock:
            self._world.record.reset()
            self._world.throttle.reset()
            self._world.validations.clear()
            self.identity.requests.clear()
            self._notifier.counts.clear()
            self._notifier.log.clear()

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """One line per request and batch part, with `prefer` and `client_request_id`, after line number `since`."""
        with self._world.lock:
            return self._world.record.since(since)
