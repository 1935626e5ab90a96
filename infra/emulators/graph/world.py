"""All state of one emulator, shared by its HTTP side, its Python side and its notifier; guarded by `lock`."""

import random
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.emulators.clock import Clock
from infra.emulators.graph.chains import Chains
from infra.emulators.graph.context import Contents
from infra.emulators.graph.faults import Faults
from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.mailbox import Mailbox
from infra.emulators.graph.record import Record
from infra.emulators.graph.throttle import Throttle
from infra.emulators.microsoft_identity import MicrosoftIdentity


@dataclass(slots=True)
class World:
    clock: Clock
    seed: int
    knobs: Knobs
    identity: MicrosoftIdentity
    rng: random.Random
    faults: Faults
    throttle: Throttle
    lock: Any = field(default_factory=threading.RLock)
    record: Record = field(default_factory=Record)
    contents: Contents = field(default_factory=Contents)
    by_user: dict[str, Mailbox] = field(default_factory=dict)  # by address and by user id, in lower case
    chains: dict[str, Chains] = field(default_factory=dict)  # by address
    validations: list[dict[str, Any]] = field(default_factory=list)
    _client: httpx.Client | None = None

    @property
    def client(self) -> httpx.Client:
        """Towards subscribers; made when first needed, since reading the CA bundle takes longer than most tests."""
        with self.lock:
            if self._client is None:
                limits = httpx.Limits(max_connections=32)
                self._client = httpx.Client(trust_env=False, follow_redirects=False, limits=limits)
            return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def mailbox(self, address: str) -> Mailbox:
        found = self.by_user.get(address.lower())
        if found is None:
            raise KeyError(f"no mailbox {address}")
        return found


def new_world(seed: int, clock: Clock, knobs: Knobs, identity: MicrosoftIdentity) -> World:
    return World(
        clock=clock,
        seed=seed,
        knobs=knobs,
        identity=identity,
        rng=random.Random(f"{seed}-graph"),
        faults=Faults(random.Random(f"{seed}-graph-faults")),
        throttle=Throttle(knobs, clock),
    )
