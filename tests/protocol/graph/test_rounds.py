"""Which request is next, whose answer it is, and what a round leaves behind: as whole values."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph import batch, delta, rounds
from shared.protocol.graph.chains import Answered, Mailbox, answered
from shared.protocol.graph.cursor import (
    BACKFILL,
    FIRST,
    LIVE,
    LIVE_EVERY,
    NAMING,
    READING,
    RESYNC,
    STARTING,
    Chain,
    Cursor,
    Job,
)
from shared.protocol.step import Call, Compare, Note, Walk
from shared.protocol.wire import Request, Response
from tests.protocol.graph.answers import FOLDERS, NEXT, OLD, ORIGIN, answers, box, came, folder, page, refused, resting

GONE = refused(404, "ErrorItemNotFound")
RETRY_LATE = "Fri, 01 Jan 1971 00:00:00 GMT"


def cursor(*chains: Chain, **fields: Any) -> Cursor:
    return Cursor(FOLDERS, chains, **fields)


def batched(at: Mailbox, **chains: Chain) -> Request:
    return batch.build([(key.strip("_"), delta.request(at.asking, chain)) for key, chain in chains.items()], ORIGIN)


def alone(at: Mailbox, *chains: Chain) -> Call:
    return Call(tuple(delta.request(at.asking, chain) for chain in chains))


# --- which request is next


def test_the_folder_chain_s_walk_comes_before_all_else_until_it_is_put_off() -> None:
    at, opening = box(), Chain("", OLD, origin=RESYNC)
    of = Cursor(opening, (resting("F"),))
    assert rounds.task(at, of, confirmed=True) == alone(at, opening)
    put_off = replace(of, folders=replace(opening, read=True))
    assert rounds.task(at, put_off, confirmed=False) == alone(at, resting("F"))


def test_a_round_is_due_after_so_many_pages_or_with_nothing_else_to_do() -> None:
    walks = Chain("G", origin=BACKFILL)
    assert rounds.due(cursor(walks, walked=LIVE_EVERY))
    assert not rounds.due(cursor(walks, walked=LIVE_EVERY - 1))
    assert rounds.due(cursor(walks, walked=0, settling=True))
    assert rounds.due(cursor(replace(walks, read=True), replace(walks, missing=True), walked=0))
    assert not rounds.due(cursor(walked=0, sweeps=("F",)))
    assert not rounds.due(cursor(walked=0, job=Job("x")))
    assert rounds.due(cursor(walked=0))
    assert rounds.left(cursor(sweeps=("F",)))
    assert rounds.left(cursor()) is False


def test_a_due_round_reads_what_is_unread_then_settles_and_only_where_it_is_unconfirmed() -> None:
    at = box()
    walks = Chain("E", OLD, origin=BACKFILL)
    of = cursor(walks, resting("F"), resting("G", read=True))
    live = Call((batched(at, folders=FOLDERS, _1=of.chains[1]),))
    assert rounds.task(at, of, confirmed=False) == live
    assert rounds.task(at, replace(of, walked=0), confirmed=False) == alone(at, walks)
    assert rounds.task(at, of, confirmed=True) == alone(at, walks)
    read = cursor(walks, resting("F", read=True), settling=True).put(replace(FOLDERS, read=True))
    assert rounds.task(at, read, confirmed=False) == Note()
    assert rounds.task(at, read, confirmed=True) == alone(at, walks)
    assert rounds.task(at, replace(read, settling=False), confirmed=False) == alone(at, walks)


def test_what_is_within_a_round_or_failed_is_read_two_side_by_side() -> None:
    at = box()
    within = [resting(each, alone=True) for each in "EF"] + [replace(resting("G"), resting=False)]
    assert rounds.task(at, cursor(*within).put(replace(FOLDERS, alone=True)), confirmed=False) == alone(
        at, replace(FOLDERS, alone=True), within[0]
    )
    one_rests = cursor(*within)
    assert rounds.task(at, one_rests, confirmed=False) == alone(at, FOLDERS, within[0])


def test_behind_live_changes_a_job_begins_names_walks_sweeps_and_ends() -> None:
    at = box()
    walks, rest = Chain("E", OLD, origin=RESYNC), resting("F")

    def behind(*chains: Chain, phase: str = READING, **fields: Any) -> Any:
        return rounds.task(at, cursor(*chains, job=Job("x", True, "s", phase, 2, 3), **fields), confirmed=True)

    assert behind(walks, sweeps=("F",), phase=STARTING) == Note()
    assert behind(walks, sweeps=("F",), phase=NAMING) == Walk("known", 2, 3, unknown=False)
    assert behind(walks, rest, sweeps=("F",)) == alone(at, walks)
    assert behind(rest, sweeps=("F",)) == Compare()
    assert behind(rest) == Note()
    assert behind(replace(walks, read=True), rest) is None
    assert rounds.task(at, cursor(rest, walked=0), confirmed=True) is None


@pytest.mark.parametrize(
    "later", [{"link": OLD}, {"listing": FIRST}, {"alone": True}, {"origin": RESYNC}], ids=lambda each: next(iter(each))
)
def test_only_walks_of_one_origin_that_have_not_begun_begin_together(later: dict[str, str]) -> None:
    at = box()
    one, other = Chain("E", origin=BACKFILL), Chain("F", origin=BACKFILL)
    assert rounds.task(at, cursor(one, other), confirmed=True) == Call((batched(at, _0=one, _1=other),))
    begun = replace(other, **later)  # type: ignore[arg-type]
    assert rounds.task(at, cursor(one, begun), confirmed=True) == alone(at, one, begun)


@pytest.mark.parametrize(
    ("totals", "together"),
    [((50, 50, 1), "01"), ((51, 49, 1), "12"), ((50, 49, 1), "012"), ((50, 49, 2, 1), "013"), ((51, 50, 51), "")],
)
def test_first_pages_are_of_folders_of_one_page_and_two_pages_in_all(totals: tuple[int, ...], together: str) -> None:
    at = box("0", "1", "2", "3")
    for number, total in enumerate(totals):
        at.folders.shown(folder(str(number), totalItemCount=total))
    walks = [Chain(str(number), origin=BACKFILL) for number in range(len(totals))]
    parts = {f"_{number}": walks[int(number)] for number in together}
    expected = Call((batched(at, **parts),)) if parts else alone(at, *walks[:2])
    assert rounds.task(at, cursor(*walks), confirmed=True) == expected


def test_a_folder_that_no_table_has_counts_nothing_and_a_batch_is_not_overfilled() -> None:
    names = [f"{number:02d}" for number in range(25)]
    at = box(*names, total=0)
    walks = [Chain(name, origin=BACKFILL) for name in (*names[:21], "unknown")]
    (request,) = rounds.task(at, cursor(*walks), confirmed=True).requests  # type: ignore[union-attr]
    assert [part["id"] for part in orjson.loads(request.body or b"")["requests"]] == [str(n) for n in range(20)]
    two = [Chain("unknown", origin=BACKFILL), walks[0]]
    assert rounds.task(at, cursor(*two), confirmed=True) == Call((batched(at, _25=two[0], _0=two[1]),))
    full = box("full", total=50)
    full.folders.shown(folder("other", totalItemCount=50))
    three = [Chain(each, origin=BACKFILL) for each in ("full", "other", "unknown")]
    (request,) = rounds.task(full, cursor(*three), confirmed=True).requests  # type: ignore[union-attr]
    assert len(orjson.loads(request.body or b"")["requests"]) == 3


# --- whose answer it is


def test_the_pages_of_a_batch_are_those_of_the_chains_one_after_the_other() -> None:
    at = box()
    of = cursor(resting("F"), resting("G"), walked=3)
    request = batched(at, folders=FOLDERS, _1=of.chains[0], _2=of.chains[1])
    response = answers(_2=page(came("b", 5)), folders=page(), _1=page(came("a", 5)))
    after = of
    for chain, rows in ((FOLDERS, ()), (of.chains[0], (came("a", 5),)), (of.chains[1], (came("b", 5),))):
        after = answered(box(), after, chain, page(*rows)).cursor
    shown = [("F", came("a", 5), True), ("G", came("b", 5), True)]
    # E is tracked and had no chain, so the folder chain gives it one
    found, origin = rounds.received(at, of, request, response)
    assert (found, origin) == (Answered(after, shown), LIVE)


def test_first_pages_come_back_as_their_walks() -> None:
    at = box()
    walks = [Chain(each, origin=RESYNC, pass_=1) for each in "EF"]
    of = cursor(*walks, resting("G"), walked=3)
    request = batched(at, _0=walks[0], _1=walks[1])
    found, origin = rounds.received(at, of, request, answers(_0=page(came("a", 5)), _1=page(came("b", 5))))
    assert origin == RESYNC
    assert found.pages == {"0.1/0": [at.ids.pack("a")], "1.1/0": [at.ids.pack("b")]}
    assert (found.cursor.walked, found.cursor.sweeps) == (5, ("E", "F"))
    live = batched(at, folders=FOLDERS, _2=of.chains[2])
    found, origin = rounds.received(at, of, live, answers(folders=page(), _2=page()))
    assert (origin, [each.read for each in (found.cursor.folders, *found.cursor.chains)]) == (
        LIVE,
        [True, False, False, True],
    )


def test_a_part_that_is_missing_or_refused_is_asked_for_by_itself() -> None:
    at = box()
    of = cursor(resting("E"), resting("F"), resting("G"))
    request = batched(at, folders=FOLDERS, _0=of.chains[0], _1=of.chains[1], _2=of.chains[2])
    response = answers(folders=page(), _0=refused(429, "x"), _2=GONE)
    found, origin = rounds.received(at, of, request, response)
    after = (
        replace(of.chains[0], alone=True),
        replace(of.chains[1], alone=True),
        replace(of.chains[2], missing=True, read=True),
    )
    assert (found.cursor.chains, origin) == (after, LIVE)
    assert not found.cursor.folders.read  # to be read again, since a folder is missing


@pytest.mark.parametrize("name", ["folders", "_0", "_1"])
def test_a_page_that_can_not_be_read_is_asked_for_by_itself_and_then_put_off(name: str) -> None:
    at = box()
    chains = {"folders": FOLDERS, "_0": resting("E"), "_1": resting("F")}
    of = cursor(chains["_0"], chains["_1"], resting("G", read=True))
    odd = Response(200, {}, b"{}")
    found, _ = rounds.received(at, of, batched(at, **chains), answers(**{key: page() for key in chains} | {name: odd}))
    failed = replace(chains[name], alone=True)
    assert rounds.waiting(found.cursor) == [failed]
    assert rounds.task(at, found.cursor, confirmed=False) == alone(at, failed)
    found, origin = rounds.received(at, found.cursor, delta.request(at.asking, failed), odd)
    assert (rounds.waiting(found.cursor), origin, at.put_off) == ([], LIVE, {failed.folder})
    assert rounds.task(at, rounds.ended(found.cursor), confirmed=True) == Note()


def test_a_walk_that_can_not_be_read_waits_for_the_next_invocation_while_others_go_on() -> None:
    at = box()
    walks, other = Chain("E", NEXT, origin=RESYNC), Chain("F", NEXT + "2", origin=RESYNC)
    of = cursor(walks, other, walked=0)
    found, origin = rounds.received(at, of, delta.request(at.asking, walks), Response(200, {}, b"[]"))
    assert (found, origin) == (Answered(of.put(replace(walks, read=True))), RESYNC)
    assert rounds.task(at, found.cursor, confirmed=True) == alone(at, other)


def test_an_answer_to_one_chain_is_of_its_origin() -> None:
    at = box()
    of = cursor(resting("E"), Chain("F", origin=BACKFILL), Chain("G", NEXT, origin=LIVE))
    for chain, origin in zip((FOLDERS, *of.chains), (LIVE, LIVE, BACKFILL, LIVE), strict=True):
        found = rounds.received(at, of, delta.request(at.asking, chain), page())
        assert found == (answered(box(), of, chain, page()), origin)
    with pytest.raises(ContractBroken, match=r"^an answer to nothing that was asked$"):
        rounds.received(at, of, Request("GET", "/v1.0/me"), page())


def test_a_first_walk_of_the_folders_that_is_over_quota_follows_those_known_by_name() -> None:
    at = box("F")
    of = Cursor(Chain("", origin=BACKFILL))
    full = refused(403, "ErrorQuotaExceeded")
    found, origin = rounds.received(at, of, delta.request(at.asking, of.folders), full)
    followed = Cursor(replace(of.folders, read=True), (Chain("F", origin=BACKFILL),), over_quota=True)
    assert (found, origin) == (Answered(followed, reason="mailbox_over_quota", said=True), BACKFILL)
    live, _ = rounds.received(at, cursor(), delta.request(at.asking, FOLDERS), full)
    assert live.cursor.chains == ()
    one = cursor(Chain("F", OLD, origin=RESYNC)).put(replace(of.folders, read=True))
    of_message, _ = rounds.received(box("F", "G"), one, delta.request(at.asking, one.chains[0]), page())
    assert [chain.folder for chain in of_message.cursor.chains] == ["F"]


def test_a_round_that_is_over_is_forgotten_but_for_walks_that_are_put_off() -> None:
    put_off = Chain("F", origin=RESYNC, read=True, alone=True)
    of = cursor(resting("E", read=True, alone=True), put_off, walked=7, settling=True)
    of = of.put(replace(FOLDERS, read=True, alone=True))
    assert rounds.ended(of) == cursor(resting("E"), put_off, walked=0)
