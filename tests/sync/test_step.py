"""From facts to effects: what is said, what the index says afterwards, what is cached, what is parked."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from shared.core.errors import ProviderDown, Throttled
from shared.core.quota import Window
from shared.protocol import cached
from shared.protocol.gmail.known import Known, pack_id
from shared.protocol.step import Fact, Fetched, Step
from shared.protocol.wire import Response
from shared.sync import step as steps
from shared.sync.hydrate import Hydrator
from shared.sync.parked import Outage, Parked
from shared.sync.ports import Append
from shared.sync.step import Effect, Effects, Patience, Steps, fill
from tests.protocol.gmail.answers import answer, resource
from tests.sync.desk import START_S, Desk, batched, refusal

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

    def __post_init__(self) -> None:
        self.desk = Desk([batched(self.part)])
        self.index: dict[str, str] = {}
        self.cache: dict[str, str] = {}
        self.asked: list[str] = []
        hydrator = Hydrator(self.desk.calls, self.desk.stream, self.desk.clock, Window(60, 60, 60))
        patience = Patience(3, 600)
        self.steps = Steps(
            self,  # type: ignore[arg-type]
            self.desk.stream,
            self.desk.calls,
            hydrator,
            self.desk.clock,
            patience,
            TAG,
            self.parked,
            self.outage,
        )

    def part(self, key: str) -> Response:
        self.asked.append(key)
        return self.parts.get(key) or answer(resource(key[2:], ["INBOX"], 50, received_ms=int(RECEIVED_S * 1000)))

    async def read(self, account_id: str, ids: Any) -> Any:
        return [self.index.get(packed) for packed, _ in ids], [self.cache.get(each) for _, each in ids]

    def know(self, message_id: str, version: int, *labels: str) -> str:
        value = self.desk.stream.labels.pack(Known(version, frozenset(labels)))
        self.index[pack_id(message_id)] = value
        return value

    def hold(self, message_id: str, version: int) -> None:
        message: Any = {"id": message_id, "labels": [], "received_at": None, "subject": "Held"}
        self.cache[message_id] = cached.pack(Fetched(message, str(version)), TAG)

    async def come_to(self, *facts: Fact, step: Step[Any] = LIVE) -> Effects:
        return await self.steps.effects(self.desk.begun, step, facts)


def said(effects: Effects) -> list[tuple[str, str]]:
    return [(effect.said, effect.message_id) for effect in effects.of]


def event(effect: Effect) -> Any:
    return orjson.loads(effect.event)


async def test_an_unknown_message_is_read_and_said_as_created() -> None:
    table = Table()
    effects = await table.come_to(Fact("m", version="40", content=True))
    (effect,) = effects.of
    kind, data = event(effect)
    assert (kind, data["origin"], data["message"]["id"]) == ("message.created", "live", "m")
    assert effect.index == table.desk.stream.labels.pack(Known(50, frozenset({"INBOX"})))
    assert cached.unpack(effect.cache, TAG) == Fetched(data["message"], "50")
    assert (effects.settled, effects.oldest_s, effects.error) == (["m"], RECEIVED_S, None)


async def test_an_unknown_message_that_is_gone_was_never_named() -> None:
    effects = await Table({"m-m": GONE}).come_to(Fact("m", content=True), Fact("n", gone=True))
    assert (effects.of, sorted(effects.settled)) == ([], ["m", "n"])


async def test_labels_of_a_known_message_are_said_without_a_read() -> None:
    table = Table()
    table.know("m", 40, "INBOX")
    (effect,) = (await table.come_to(Fact("m", version="50", labels={"STARRED": (True, 50)}))).of
    assert event(effect) == [
        "message.updated",
        {"message_id": "m", "patch": {"labels": ["INBOX", "STARRED"], "flagged": True}},
    ]
    assert (table.asked, effect.cache) == ([], None)


async def test_a_known_message_that_may_be_gone_is_confirmed_by_a_read() -> None:
    table = Table({"c-m": GONE, "c-n": answer({"id": "n", "historyId": "60", "labelIds": ["UNREAD"]})})
    for message_id in ("m", "n", "o"):
        table.know(message_id, 40, "INBOX")
    effects = await table.come_to(*(Fact(each, version="50", gone=True) for each in ("m", "n", "o")))
    assert sorted(said(effects)) == [("deleted", "m"), ("updated", "n")]
    assert effects.settled == ["m", "n", "o"]
    assert next(each for each in effects.of if each.said == "deleted").index is None


async def test_a_cached_message_serves_if_it_is_new_enough() -> None:
    table = Table()
    table.hold("m", 50)
    effects = await table.come_to(Fact("m", version="50", content=True))
    assert (said(effects), table.asked) == ([("created", "m")], [])
    table.hold("n", 49)
    await table.come_to(Fact("n", version="50", content=True))
    assert table.asked == ["m-n"]


async def test_what_is_older_than_the_floor_and_unknown_is_not_said() -> None:
    table = Table()
    late, early = Step("cursor", floor_s=RECEIVED_S + 1), Step("cursor", floor_s=RECEIVED_S)
    assert said(await table.come_to(Fact("m", content=True), step=late)) == []
    assert said(await table.come_to(Fact("m", content=True), step=early)) == [("created", "m")]


async def test_the_oldest_message_of_a_part_is_told() -> None:
    table = Table(
        {"m-a": answer(resource("a", [], 50, received_ms=7000)), "m-b": answer(resource("b", [], 50, received_ms=9000))}
    )
    assert (await table.come_to(Fact("a", content=True), Fact("b", content=True), step=BACKFILL)).oldest_s == 7.0
    undated = answer({**resource("c", [], 50), "internalDate": None})
    assert (await Table({"m-c": undated}).come_to(Fact("c", content=True))).oldest_s is None


async def test_a_snapshot_names_what_is_known_from_the_cache_or_by_a_read() -> None:
    table = Table()
    table.know("held", 60, "INBOX", "STARRED")
    table.know("read", 40, "INBOX")
    table.know("newer", 90, "STARRED")
    table.hold("held", 50)
    effects = await table.come_to(
        *(Fact(each, content=True) for each in ("held", "read", "newer", "unknown")), step=NAMING
    )
    assert said(effects) == [("created", "held"), ("created", "read"), ("created", "newer")]
    assert event(effects.of[0])[1]["message"]["labels"] == ["INBOX", "STARRED"]
    assert event(effects.of[2])[1]["message"]["labels"] == ["STARRED"]
    assert (table.asked, effects.oldest_s) == (["m-read", "m-newer"], None)
    assert sorted(effects.settled) == ["held", "newer", "read", "unknown"]


async def test_what_a_snapshot_cannot_name_is_unknown_from_then_on() -> None:
    table = Table({"m-m": BROKEN})
    table.know("m", 40, "INBOX")
    table.know("n", 40, "INBOX")
    effects = await table.come_to(Fact("m", content=True), Fact("n", content=True), step=NAMING)
    dropped = next(effect for effect in effects.of if effect.message_id == "m")
    assert (dropped.said, dropped.event, dropped.index) == ("", "", None)
    assert list(table.steps.parked) == ["m"]


async def test_a_known_message_that_is_named_anew_only_gets_its_difference() -> None:
    """Two instances: the other one has said it between our reading of the index and of the message."""
    table = Table()
    table.know("m", 40, "STARRED")
    effects = Effects()
    message: Any = {"id": "m", "labels": ["INBOX"], "received_at": None}
    for version in ("50", "30"):
        table.steps._named(LIVE, "packed", Fetched(message, version), table.index[pack_id("m")], effects)
    assert said(effects) == [("updated", "m")]


async def test_what_could_not_be_read_is_parked_and_the_rest_goes_on() -> None:
    table = Table({"m-m": BROKEN})
    effects = await table.come_to(Fact("m", "t", content=True), Fact("n", content=True))
    assert said(effects) == [("created", "n")]
    assert table.steps.parked == {"m": Parked("t", START_S + 3, "backendError", 3, 1, others_read=True)}
    assert (table.steps.parked_changed, sorted(effects.settled)) == (True, ["m", "n"])


async def test_a_message_is_counted_once_an_invocation() -> None:
    table = Table({"m-m": BROKEN})
    await table.come_to(Fact("m", content=True))
    await table.come_to(Fact("m", content=True))
    assert table.steps.parked["m"].invocations == 1


PARKED = Parked("t", START_S - 700, "backendError", attempts=6, invocations=2, others_read=True)


async def test_a_message_that_has_failed_for_long_is_said_to_be_quarantined_once() -> None:
    table = Table({"m-m": BROKEN}, {"m": PARKED})
    (effect,) = (await table.come_to(*table.steps.parked_facts())).of
    assert event(effect) == ["message.quarantined", {"message_id": "m", "reason": "backendError", "attempts": 9}]
    assert (effect.said, effect.index, table.steps.parked["m"].said) == ("quarantined", None, True)
    again = Table({"m-m": BROKEN}, {"m": table.steps.parked["m"]})
    assert (await again.come_to(*again.steps.parked_facts())).of == []


async def test_a_parked_message_leaves_when_it_can_be_read() -> None:
    table = Table(parked={"m": PARKED})
    assert said(await table.come_to(*table.steps.parked_facts())) == [("created", "m")]
    assert (table.steps.parked, table.steps.parked_changed) == ({}, True)


@pytest.mark.parametrize(("was_said", "says"), [(True, [("deleted", "m")]), (False, [])])
async def test_a_parked_message_that_is_gone_is_deleted_if_it_was_said(was_said: bool, says: list[Any]) -> None:
    entry = Parked("t", START_S, "backendError", said=was_said)
    table = Table({"m-m": GONE}, {"m": entry})
    assert said(await table.come_to(*table.steps.parked_facts())) == says
    assert table.steps.parked == {}


async def test_a_cached_message_is_no_proof_that_a_parked_one_can_be_read() -> None:
    table = Table(parked={"m": PARKED})
    table.hold("m", 99)
    await table.come_to(*table.steps.parked_facts())
    assert table.asked == ["m-m"]


async def test_each_of_many_parked_messages_gets_its_turn() -> None:
    kept = {f"m{n}": Parked(None, START_S, "backendError") for n in range(130)}
    table = Table({f"m-m{n}": BROKEN for n in range(130)}, kept)
    first = [fact.message_id for fact in table.steps.parked_facts()]
    await table.come_to(*table.steps.parked_facts())
    second = [fact.message_id for fact in table.steps.parked_facts()]
    assert first == [f"m{n}" for n in range(100)]
    assert second == [f"m{n}" for n in (*range(100, 130), *range(70))]


MANY = {f"m-m{n}": BROKEN for n in range(5)}
FACTS = tuple(Fact(f"m{n}", content=True) for n in range(5))


async def test_an_outage_parks_nothing() -> None:
    table = Table(MANY)
    effects = await table.come_to(*FACTS)
    assert isinstance(effects.error, ProviderDown)
    assert (effects.of, effects.settled, table.steps.parked) == ([], [], {})
    assert (table.steps.outage, table.steps.outage_changed) == (Outage(START_S + 3), True)


async def test_an_outage_is_counted_once_an_invocation() -> None:
    table = Table(MANY, outage=Outage(START_S - 100, 1))
    for _ in range(2):
        await table.come_to(*FACTS)
    assert table.steps.outage == Outage(START_S - 100, 2)


async def test_an_outage_that_lasts_parks_what_cannot_be_read() -> None:
    table = Table(MANY, outage=Outage(START_S - 700, 3))
    effects = await table.come_to(*FACTS)
    assert (effects.error, len(table.steps.parked)) == (None, 5)


async def test_one_message_that_can_be_read_ends_an_outage() -> None:
    table = Table(MANY, outage=Outage(START_S - 100, 2))
    await table.come_to(*FACTS, Fact("n", content=True))
    assert (table.steps.outage, table.steps.outage_changed, len(table.steps.parked)) == (None, True, 5)


async def test_messages_that_were_parked_before_are_no_outage() -> None:
    table = Table(MANY, {f"m{n}": PARKED for n in range(5)})
    assert (await table.come_to(*table.steps.parked_facts())).error is None


async def test_what_was_read_before_an_error_counts_and_what_failed_is_not_parked() -> None:
    table = Table({"m-m": BROKEN, "m-n": refusal(429, "rateLimitExceeded")})
    effects = await table.come_to(Fact("m", content=True), Fact("n", content=True), Fact("o", content=True))
    assert isinstance(effects.error, Throttled)
    assert said(effects) == [("created", "o")]
    assert (effects.settled, table.steps.parked) == (["o"], {})


def test_effects_are_grouped_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STEP_BYTES_MAX", 1000)
    small, wide = Effect("a", "a", event="x" * 300), Effect("b", "b", event="ü" * 300)
    effects = Effects([small, small, wide, wide, small])
    assert [len(group) for group in effects.groups()] == [2, 1, 1, 1]
    assert list(Effects().groups()) == []


def test_a_step_is_filled_with_events_index_and_cache() -> None:
    created = Effect("a", "pa", "created", "event-a", "index-a", "text-a")
    patched = Effect("b", "pb", "updated", "event-b", "index-b")
    dropped = Effect("c", "pc")
    append = fill(Append("1.1"), [created, patched, dropped])
    assert append.events == ["event-a", "event-b"]
    assert append.index == {"pa": "index-a", "pb": "index-b", "pc": None}
    assert append.cache == {"a": "text-a", "c": None}
