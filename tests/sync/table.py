"""Index, cache and provider of one step, in memory, with the real protocol between them."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.core.message import instant
from shared.core.quota import Window
from shared.protocol import cached
from shared.protocol.gmail.known import Known, pack_id
from shared.protocol.step import Fact, Fetched, Step
from shared.protocol.wire import Response
from shared.sync.hydrate import Hydrator
from shared.sync.parked import Outage, Parked, dump, dump_outage
from shared.sync.step import Effect, Effects, Patience, Steps
from tests.protocol.gmail.answers import answer, resource
from tests.sync.desk import Desk, batched, refusal

TAG = "m65536"
BROKEN = refusal(500, "backendError")
GONE = refusal(404, "notFound")
RECEIVED_S = 1_764_028_800.0
LIVE = Step("cursor")
BACKFILL = Step("cursor", origin="backfill")
NAMING = Step("cursor", origin="resync", name_again=True)


@dataclass
class Table:
    """Index and cache, and the provider's `parts` by key ("m-…", "c-…"); a message that is not there can be read."""

    parts: dict[str, Response] = field(default_factory=dict)
    parked: dict[str, Parked] = field(default_factory=dict)
    outage: Outage | None = None
    unnamed: str = ""

    def __post_init__(self) -> None:
        self.desk = Desk([batched(self.part)])
        self.index: dict[str, str] = {}
        self.cache: dict[str, str] = {}
        self.asked: list[str] = []
        hydrator = Hydrator(self.desk.calls, self.desk.stream, self.desk.clock, Window(60, 60, 60))
        patience = Patience(3, 600)
        left = {"parked": dump(self.parked), "outage": dump_outage(self.outage), "unnamed": self.unnamed}
        self.steps = Steps(left, self, self.desk.stream, hydrator, self.desk.clock, patience, TAG)  # type: ignore[arg-type]

    def part(self, key: str) -> Response:
        self.asked.append(key)
        return self.parts.get(key) or answer(resource(key[2:], ["INBOX"], 50, received_ms=int(RECEIVED_S * 1000)))

    async def read(self, account_id: str, ids: Any) -> Any:
        assert account_id == "a1"
        return [self.index.get(packed) for packed, _ in ids], [self.cache.get(each) for _, each in ids]

    def know(self, message_id: str, version: int, *labels: str) -> str:
        value = self.desk.stream.labels.pack(Known(version, frozenset(labels)))
        self.index[pack_id(message_id)] = value
        return value

    def hold(self, message_id: str, version: int) -> None:
        message: Any = {"id": message_id, "thread_id": None, "labels": [], "received_at": instant(RECEIVED_S)}
        self.cache[message_id] = cached.pack(Fetched(message, str(version)), TAG, pack_id(message_id))

    async def come_to(self, *facts: Fact, step: Step[Any] = LIVE) -> Effects:
        return await self.steps.effects(self.desk.begun, step, facts)


def said(effects: Effects) -> list[tuple[str, str]]:
    return [(effect.said, effect.message_id) for effect in effects.of]


def event(effect: Effect) -> Any:
    return orjson.loads(effect.event)
