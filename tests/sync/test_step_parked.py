"""Messages that can't be read: parked, said, tried again in turn; and what is an outage instead."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.errors import ProviderDown
from shared.protocol.gmail.known import pack_id
from shared.protocol.step import Fact
from shared.sync import parked
from shared.sync.parked import Outage, Parked
from shared.sync.step import READ_NAMED_MAX, Effect, Patience, Steps
from tests.sync.desk import START_S
from tests.sync.table import BROKEN, GONE, NAMING, TAG, Table, event, said


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
    table = Table({"c-m": BROKEN}, {"m": PARKED})
    known = table.know("m", 40, "INBOX")
    (effect,) = (await table.come_to(*table.steps.first_facts())).of
    assert event(effect) == ["message.quarantined", {"message_id": "m", "reason": "backendError", "attempts": 9}]
    assert effect == Effect("m", pack_id("m"), "quarantined", effect.event, known)
    assert table.steps.parked == {"m": replace(PARKED, attempts=9, invocations=3, said=True)}
    again = Table({"m-m": BROKEN}, {"m": table.steps.parked["m"]})
    assert (await again.come_to(*again.steps.first_facts())).of == []


async def test_a_snapshot_drops_what_is_quarantined() -> None:
    table = Table({"m-m": BROKEN}, {"m": PARKED})
    table.know("m", 40, "INBOX")
    dropped, effect = (await table.come_to(Fact("m", content=True), step=NAMING)).of
    assert dropped == Effect("m", pack_id("m"))
    assert effect == Effect("m", pack_id("m"), "quarantined", effect.event, None)


async def test_a_parked_message_leaves_when_it_can_be_read() -> None:
    table = Table(parked={"m": PARKED})
    assert said(await table.come_to(*table.steps.first_facts())) == [("created", "m")]
    assert (table.steps.parked, table.steps.parked_changed) == ({}, True)


@pytest.mark.parametrize(("was_said", "says"), [(True, [("deleted", "m")]), (False, [])])
async def test_a_parked_message_that_is_gone_is_deleted_if_it_was_said(was_said: bool, says: list[Any]) -> None:
    entry = Parked("t", START_S, "backendError", said=was_said)
    table = Table({"m-m": GONE}, {"m": entry})
    assert said(await table.come_to(*table.steps.first_facts())) == says
    assert table.steps.parked == {}


async def test_a_cached_message_is_no_proof_that_a_parked_one_can_be_read() -> None:
    table = Table(parked={"m": PARKED})
    table.hold("m", 99)
    await table.come_to(*table.steps.first_facts())
    assert table.asked == ["m-m"]


async def test_each_of_many_parked_messages_gets_its_turn() -> None:
    kept = {f"m{n}": Parked(None, START_S, "backendError") for n in range(130)}
    table = Table({f"m-m{n}": BROKEN for n in range(130)}, kept)
    first = [fact.message_id for fact in table.steps.first_facts()]
    await table.come_to(*table.steps.first_facts())
    second = [fact.message_id for fact in table.steps.first_facts()]
    assert first == [f"m{n}" for n in range(100)]
    assert second == [f"m{n}" for n in (*range(100, 130), *range(70))]


MANY = {f"m-m{n}": BROKEN for n in range(5)}
FACTS = tuple(Fact(f"m{n}", content=True) for n in range(5))


async def test_an_outage_parks_nothing() -> None:
    table = Table(MANY)
    effects = await table.come_to(*FACTS)
    assert isinstance(effects.error, ProviderDown)
    assert str(effects.error) == "no message could be read"
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


async def test_an_outage_has_lasted_after_three_invocations_and_ten_minutes() -> None:
    for since_s, invocations, error in ((597, 3, None), (596, 3, ProviderDown), (597, 2, ProviderDown)):
        table = Table(MANY, outage=Outage(START_S - since_s, invocations))
        found = (await table.come_to(*FACTS)).error
        assert type(found) is (error or type(None))


async def test_where_nothing_can_be_read_others_are_no_proof_that_a_message_is_bad() -> None:
    table = Table({"m-m": BROKEN})
    await table.come_to(Fact("m", content=True))
    assert table.steps.parked == {"m": Parked(None, START_S + 3, "backendError", 3, 1, others_read=False)}
    gone = Table({"m-m": BROKEN, "m-n": GONE})
    await gone.come_to(Fact("m", content=True), Fact("n", content=True))
    assert gone.steps.parked["m"].others_read
    later = Table({"m-m": BROKEN})
    await later.come_to(Fact("n", content=True))
    await later.come_to(Fact("m", content=True))
    assert later.steps.parked["m"].others_read


def test_what_is_parked_is_asked_for_as_the_newest_version_and_what_was_read_as_none() -> None:
    table = Table(parked={"m": PARKED}, unnamed="n m ")
    assert table.steps.first_facts() == (Fact("m", "t", version=table.desk.stream.newest, content=True), Fact("n"))
    assert table.steps.read_taken == {"unnamed": "n m "}
    assert Table().steps.read_taken == {}


def test_so_much_of_what_was_read_is_named_by_one_invocation() -> None:
    names = [f"m{n}" for n in range(READ_NAMED_MAX + 5)]
    steps = Table(unnamed=" ".join(names)).steps
    assert [fact.message_id for fact in steps.first_facts()] == names[:READ_NAMED_MAX]
    assert steps.read_taken == {"unnamed": "".join(f"{name} " for name in names[:READ_NAMED_MAX])}


@pytest.mark.parametrize(("unnamed", "dropped"), [("m ", [Effect("m", pack_id("m"))]), ("", [])])
async def test_a_message_that_was_read_and_is_gone_leaves_the_cache(unnamed: str, dropped: list[Effect]) -> None:
    table = Table({"m-m": GONE}, unnamed=unnamed)
    assert (await table.come_to(Fact("m", content=True))).of == dropped


async def test_what_is_left_from_before_is_in_the_accounts_fields() -> None:
    table = Table({"m-m": BROKEN})
    table.hold("n", 50)
    steps = table.steps
    kept, outage = {"m": PARKED}, Outage(START_S - 100, 2)
    fields = {"parked": parked.dump(kept), "outage": parked.dump_outage(outage), "unnamed": "n "}

    def resumed_from(fields: dict[str, str]) -> Steps:
        return Steps(fields, steps._store, steps._stream, steps._hydrator, steps._clock, Patience(3, 600), TAG)

    resumed = table.steps = resumed_from(fields)
    assert (resumed.parked, resumed.parked_changed) == (kept, False)
    assert (resumed.outage, resumed.outage_changed) == (outage, False)
    assert resumed.read_taken == {"unnamed": "n "}
    assert said(await table.come_to(Fact("n", version="50", content=True))) == [("created", "n")]
    resumed._read_any = True
    assert said(await table.come_to(*resumed.first_facts()[:1])) == [("quarantined", "m")]
    assert (resumed_from({}).parked, resumed_from({}).outage, resumed_from({}).first_facts()) == ({}, None, ())


async def test_messages_that_were_parked_before_are_no_outage() -> None:
    table = Table(MANY, {f"m{n}": PARKED for n in range(5)})
    assert (await table.come_to(*table.steps.first_facts())).error is None
