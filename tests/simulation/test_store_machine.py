"""A state machine over lease, fence, cursor and breaker: three clients and a store, against a model of a page.

    model      who holds the lease, the newest fence, cursor, log length, failures, whether the breaker is open
    rules      begin, append, append again after a lost reply, renew, a late write, a lease that ran out, a provider's
               failure, a success, a cool-down that is over

It is run over the memory and over Valkey behind the bridge: both answer as the model says, or one of them is wrong.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from shared.core.errors import LeaseLost
from shared.sync.ports import Append, Begun, Refused
from tests.adapters.stored import ACCOUNT, EVENT, Stored
from tests.conftest import RedisRest
from tests.simulation.rest import MemoryRest

pytestmark = pytest.mark.whole
CLIENTS = ("o1", "o2", "o3")
THRESHOLD = 2
Result = TypeVar("Result")


class StoreMachine(RuleBasedStateMachine):
    """`rest` and `loop` are set by the test."""

    rest: RedisRest | MemoryRest
    loop: asyncio.AbstractEventLoop
    holdings = Bundle("holdings")

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)

    @initialize()
    def connected(self) -> None:
        self.rest.valkey.call("FLUSHALL")
        self.rest.bridge.reset()
        self.stored = Stored(self.rest, CIRCUIT_BREAKER_FAILURE_THRESHOLD=str(THRESHOLD))
        self.do(self.stored.connect())
        self.stores = {owner: self.stored.another() for owner in CLIENTS}
        self.holder = ""
        self.fence = self.version = self.steps = self.failures = 0
        self.cursor, self.entries = "c0", 1
        self.half_open = self.open = False
        self.probe = ""

    def teardown(self) -> None:
        if hasattr(self, "stored"):
            self.do(self.stored.client.close())

    @rule(target=holdings, owner=st.sampled_from(CLIENTS), lost_reply=st.booleans())
    def begin(self, owner: str, lost_reply: bool) -> Any:
        if lost_reply:
            self.rest.bridge.inject("drop_reply")
        found = self.do(self.stores[owner].begin(ACCOUNT, owner=owner))
        refused = ""
        if self.holder not in ("", owner):
            refused = "lease_held"
        elif self.open or (self.half_open and self.probe not in ("", owner)):
            refused = "breaker_open"
        if refused:
            assert isinstance(found, Refused)
            assert found.status == refused
            return multiple()
        assert isinstance(found, Begun)
        self.fence += 1 + lost_reply
        assert (int(found.fence), found.version) == (self.fence, self.version)
        assert (found.fields["cursor"], found.probe) == (self.cursor, self.half_open)
        self.holder, self.probe = owner, owner if self.half_open else ""
        return owner, found

    @rule(target=holdings, holding=holdings, owner=st.sampled_from(CLIENTS))
    def overtake(self, holding: Any, owner: str) -> Any:
        """The lease ran out, and another begins; the first does not know."""
        self.run_out()
        return self.begin(owner, lost_reply=False)

    @rule(target=holdings, holding=holdings)
    def remember(self, holding: Any) -> Any:
        """The same instance, as it was before the steps that follow."""
        return holding[0], replace(holding[1])

    @rule(holding=holdings, lost_reply=st.booleans(), events=st.integers(0, 2), release=st.booleans(), ok=st.booleans())
    def append(self, holding: Any, lost_reply: bool, events: int, release: bool, ok: bool) -> None:
        owner, begun = holding
        self.steps += 1
        step = Append(f"{begun.fence}.{self.steps}", events=[EVENT] * events, fields={"cursor": f"c{self.steps}"})
        step.let_go, step.healthy = release, ok
        late = int(begun.fence) != self.fence or begun.version != self.version
        if lost_reply:
            self.rest.bridge.inject("drop_reply")
        if late:
            with pytest.raises(LeaseLost):
                self.do(self.stores[owner].append(begun, step))
            return
        assert self.do(self.stores[owner].append(begun, step)).released == release
        self.version += 1
        self.cursor, self.entries = f"c{self.steps}", self.entries + events
        self.holder = "" if release else owner
        if ok and not self.open and (not self.half_open or self.probe == owner):
            self.failures, self.half_open, self.probe = 0, False, ""

    @rule(holding=holdings)
    def renew(self, holding: Any) -> None:
        owner, begun = holding
        if int(begun.fence) != self.fence:
            with pytest.raises(LeaseLost):
                self.do(self.stores[owner].renew(begun))
            return
        self.do(self.stores[owner].renew(begun))
        self.holder = owner

    @rule(holding=consumes(holdings))
    def die(self, holding: Any) -> None:
        """An instance that writes nothing any more; its lease runs out."""
        if self.holder == holding[0]:
            self.run_out()

    @rule()
    def run_out(self) -> None:
        self.stored.call("DEL", self.stored.of("lease"))
        self.holder = ""

    @rule()
    def fail(self) -> None:
        open_s = self.do(self.stored.store.provider_failed(ACCOUNT))
        if not self.open:
            self.failures += 1
            self.open = self.half_open or self.failures >= THRESHOLD
            if self.open:
                self.half_open, self.probe = True, ""
        assert (open_s > 0) == self.open

    @rule()
    def cool_down(self) -> None:
        self.stored.call("DEL", "td:breaker:gmail:open")
        self.open = False

    @rule()
    def probe_dies(self) -> None:
        self.stored.call("DEL", "td:breaker:gmail:probe")
        self.probe = ""

    @rule()
    def look(self) -> None:
        """What is stored is what the accepted steps have written, once each and in order."""
        assert self.stored.field("cursor") == self.cursor
        assert [seq for seq, _ in self.stored.log()] == list(range(1, self.entries + 1))
        lease = self.stored.call("GET", self.stored.of("lease"))
        assert (lease or b"").decode() == self.holder
        expected = "open" if self.open else "half_open" if self.half_open else "closed"
        assert self.do(self.stored.breaker()) == expected


@pytest.mark.parametrize("kind", ["memory", "valkey"])
def test_the_store_does_as_the_model_says(kind: str, request: pytest.FixtureRequest) -> None:
    loop = asyncio.new_event_loop()

    class Machine(StoreMachine):
        pass

    Machine.loop = loop
    Machine.rest = MemoryRest() if kind == "memory" else request.getfixturevalue("redis")
    try:
        few = settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Machine, settings=few)
    finally:
        loop.close()
