"""From facts to effects: what is said, what the index says afterwards, what is cached."""

from typing import Any

import pytest

from shared.core import change
from shared.core.errors import Throttled
from shared.core.message import whole
from shared.protocol import cached
from shared.protocol.gmail.known import Known, pack_id
from shared.protocol.gmail.stream import GmailStream
from shared.protocol.step import Fact, Fetched, Step
from shared.sync import step as steps
from shared.sync.ports import Append
from shared.sync.step import Effect, Effects, fill
from tests.protocol.gmail.answers import answer, resource
from tests.sync.desk import refusal
from tests.sync.table import BACKFILL, BROKEN, GONE, LIVE, NAMING, RECEIVED_S, TAG, Table, event, said


async def test_an_unknown_message_is_read_and_said_as_created() -> None:
    table = Table()
    effects = await table.come_to(Fact("m", version="40", content=True))
    (effect,) = effects.of
    kind, data = event(effect)
    assert (kind, data["origin"], data["message"]["id"]) == ("message.created", "live", "m")
    assert effect.index == table.desk.stream.labels.pack(Known(50, frozenset({"INBOX"})))
    assert (effect.message_id, effect.packed, effect.said, effect.thread_id) == ("m", pack_id("m"), "created", "t-m")
    assert cached.unpack(effect.cache, TAG) == Fetched(whole(data["message"]), "50")  # type: ignore[arg-type]
    assert effect.cache is not None
    assert effect.cache.split(":")[2] == pack_id("m")
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
    known = table.desk.stream.labels.pack(Known(50, frozenset({"INBOX", "STARRED"})))
    assert effect == Effect("m", pack_id("m"), "updated", effect.event, known)
    assert table.asked == []


async def test_a_known_message_that_may_be_gone_is_confirmed_by_a_read() -> None:
    table = Table({"c-m": GONE, "c-n": answer({"id": "n", "historyId": "60", "labelIds": ["UNREAD"]})})
    for message_id in ("m", "n", "o"):
        table.know(message_id, 40, "INBOX")
    effects = await table.come_to(*(Fact(each, version="50", gone=True) for each in ("m", "n", "o")))
    assert sorted(said(effects)) == [("deleted", "m"), ("updated", "n")]
    updated = next(each for each in effects.of if each.said == "updated")
    known = table.desk.stream.labels.pack(Known(60, frozenset({"UNREAD"})))
    assert updated == Effect("n", pack_id("n"), "updated", updated.event, known)
    assert effects.settled == ["m", "n", "o"]
    deleted = next(each for each in effects.of if each.said == "deleted")
    assert deleted == Effect("m", pack_id("m"), "deleted", change.deleted("m"))


async def test_a_cached_message_serves_if_it_is_new_enough() -> None:
    table = Table()
    table.hold("m", 50)
    effects = await table.come_to(Fact("m", version="50", content=True))
    assert (said(effects), table.asked) == ([("created", "m")], [])
    assert effects.of[0].packed == pack_id("m")
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
    epoch = Table({"m-c": answer(resource("c", [], 50, received_ms=0))})
    assert (await epoch.come_to(Fact("c", content=True), Fact("d", content=True), step=BACKFILL)).oldest_s == 0.0
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
    assert dropped == Effect("m", pack_id("m"))
    assert list(table.steps.parked) == ["m"]
    assert sorted(effects.settled) == ["m", "n"]


async def test_a_known_message_that_is_named_anew_only_gets_its_difference() -> None:
    """Two instances: the other one has said it between our reading of the index and of the message."""
    table = Table()
    table.know("m", 40, "STARRED")
    effects = Effects()
    message: Any = {"id": "m", "labels": ["INBOX"], "received_at": None}
    for version in ("50", "30"):
        table.steps._named(LIVE, "packed", Fetched(message, version), table.index[pack_id("m")], effects)
    assert [(effect.said, effect.packed) for effect in effects.of] == [("updated", "packed")]


class Elsewhere(GmailStream):
    """The log follows no message whose id begins with an x."""

    def tracks(self, fetched: Fetched) -> bool:
        return not fetched.message["id"].startswith("x")


async def test_what_the_log_does_not_follow_is_not_named_and_dropped_from_a_snapshot() -> None:
    table = Table()
    of = table.desk.stream
    table.steps._stream = Elsewhere(of.prices, of.reading, of.labels, of.parts_max)
    assert (await table.come_to(Fact("xm", content=True))).of == []
    table.know("xm", 40, "INBOX")
    table.know("n", 40, "INBOX")
    effects = await table.come_to(Fact("n", content=True), Fact("xm", content=True), step=NAMING)
    assert said(effects) == [("created", "n"), ("", "xm")]
    assert effects.of[1] == Effect("xm", pack_id("xm"))


async def test_a_snapshot_reads_a_thread_at_once_too() -> None:
    rows = [resource(each, ["INBOX"], 50, thread="t") for each in "abc"]
    table = Table({"t-t": answer({"id": "t", "messages": rows})})
    for each in "abc":
        table.know(each, 40, "INBOX")
    effects = await table.come_to(*(Fact(each, "t", content=True) for each in "abc"), step=NAMING)
    assert (said(effects), table.asked) == ([("created", "a"), ("created", "b"), ("created", "c")], ["t-t"])


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
    assert list(effects.groups(1 << 40)) == [[small, small], [wide], [wide], [small]]
    assert [len(group) for group in effects.groups(500)] == [1, 1, 1, 1, 1]
    assert list(Effects().groups(500)) == []
    assert [len(group) for group in Effects([small] * 6).groups(800)] == [2, 2, 2]
    assert [len(group) for group in Effects([small] * 6).groups(799)] == [1] * 6


def test_an_effect_is_as_large_as_what_is_stored_of_it() -> None:
    assert Effect("a", "a", event="ü").size_bytes == 102
    assert Effect("a", "a", event="ü", cache="text").size_bytes == 106


def test_a_step_is_filled_with_events_index_and_cache() -> None:
    created = Effect("a", "pa", "created", "event-a", "index-a", "text-a", "thread-a")
    alone = Effect("d", "pd", "created", "event-d", "index-d", "")
    patched = Effect("b", "pb", "updated", "event-b", "index-b")
    dropped = Effect("c", "pc")
    append = fill(Append("1.1"), [created, patched, dropped, alone])
    assert append.events == ["event-a", "event-b", "event-d"]
    assert append.index == {"pa": "index-a", "pb": "index-b", "pc": None, "pd": "index-d"}
    assert append.cache == {"a": "text-a", "c": None, "d": ""}
    assert append.threads == [("thread-a", "a")]
