"""The folder chain: folders that come, go, are missing or come back, and the chains that they have."""

from dataclasses import replace

import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph.chains import Answered, answered, reconciled
from shared.protocol.graph.cursor import BACKFILL, LIVE, RESYNC, Chain, Cursor, Job
from tests.protocol.graph.answers import (
    FOLDERS,
    NEXT,
    OLD,
    box,
    cursor,
    folder,
    page,
    resting,
    told,
)


def test_the_first_walk_of_the_folders_gives_each_a_walk() -> None:
    at = box("F")
    of = Cursor(Chain("", origin=BACKFILL))
    begun = told(of, page(folder("G"), {"id": "F", "@removed": {}}, ended=False), at).cursor
    assert begun == Cursor(Chain("", NEXT, origin=BACKFILL), shown=(1,))
    found = told(begun, page(folder("H")), at)
    walks = (Chain("G", origin=BACKFILL), Chain("H", origin=BACKFILL))
    assert found == Answered(Cursor(Chain("", NEXT, resting=True), walks, walked=0))


def test_a_folder_that_appears_while_live_is_live_from_its_first_message_on() -> None:
    rest = (resting("E"), resting("F"), resting("G"))
    after = Cursor(Chain("", NEXT, resting=True, read=True), rest, walked=3)
    found = answered(box(), cursor(*rest, since_s=5.0), FOLDERS, page(folder("H")))
    assert found == Answered(replace(after, since_s=5.0).put(Chain("H", origin=LIVE, floor_s=0.0)))
    some = answered(box(), cursor(*rest, wanted=7, since_s=5.0), FOLDERS, page(folder("H"))).cursor
    assert some.chain("H") == Chain("H", origin=LIVE, floor_s=0.0)


def test_a_row_without_an_id_may_be_any_folder_s() -> None:
    with pytest.raises(ContractBroken, match=r"^a row has no id$"):
        told(cursor(), page(folder("H"), {"displayName": "x"}))


def test_a_live_page_of_the_folders_does_not_count_what_it_shows() -> None:
    rest = (resting("E"), resting("F"), resting("G"))
    found = answered(box(), cursor(*rest), FOLDERS, page(folder("E"), ended=False)).cursor
    assert found == replace(cursor(*rest), folders=replace(FOLDERS, link=NEXT, resting=False))


def test_what_a_whole_walk_of_the_folders_again_has_not_shown_is_gone() -> None:
    at = box()
    at.folders.named("inbox", {"id": "E"})
    again = Chain("", OLD, origin=RESYNC, pass_=1)
    of = replace(cursor(resting("E"), resting("F"), resting("G"), shown=(2,)), folders=again)
    found = answered(at, of, again, page())
    folders = replace(again, link=NEXT, resting=True, origin="")
    assert found == Answered(replace(cursor(resting("E"), resting("G"), sweeps=("F",)), folders=folders))
    assert [each.id for each in at.folders.all_tracked()] == ["E", "G"]


@pytest.mark.parametrize(
    ("again", "ended"),
    [(Chain("", OLD, origin=RESYNC, pass_=1), False), (Chain("", OLD, origin=BACKFILL), True), (FOLDERS, True)],
)
def test_nothing_is_gone_before_the_walk_has_ended_or_where_it_is_the_first(again: Chain, ended: bool) -> None:
    at = box()
    answered(at, replace(cursor(), folders=again), again, page(ended=ended))
    assert [each.id for each in at.folders.all_tracked()] == ["E", "F", "G"]


def test_after_a_whole_walk_what_is_gone_is_swept_whenever_it_went() -> None:
    at = box()
    at.folders.lost("G")
    again = Chain("", OLD, origin=BACKFILL, pass_=1)
    of = Cursor(again, (), shown=tuple(map(at.folders.code, ("E",))), job=Job("cursor_lost"))
    after = answered(at, of, again, page(ended=True)).cursor
    assert (sorted(after.sweeps), list(at.folders.gone())) == (["F", "G"], ["F", "G"])


def test_a_folder_that_was_missing_but_is_there_is_walked_again() -> None:
    missing = resting("F", missing=True, read=True)
    of = cursor(resting("E"), missing, resting("G"))
    after = Cursor(Chain("", NEXT, resting=True, read=True), of.chains, walked=3)
    walked = after.put(missing.again())
    assert answered(box(), of, FOLDERS, page()).cursor == replace(walked, job=Job("delta_expired"))
    asked = answered(box(), replace(of, job=Job("asked_for")), FOLDERS, page()).cursor
    assert asked == replace(walked, job=Job("asked_for"))


def test_only_what_is_tracked_has_a_chain_and_only_what_is_gone_is_swept() -> None:
    at = box("F", "G", "H", "I", asked=("f", "i", "I", "F"))
    at.folders.lost("G")
    at.folders.lost("I")
    of = cursor(Chain("never shown", OLD), resting("F"), resting("G"), resting("H"), resting("I"))
    assert reconciled(at, of) == cursor(resting("F"), sweeps=("G", "I"))


def test_a_new_chain_has_no_bodies_where_few_of_many_are_wanted() -> None:
    def light(total: int, wanted: int | None) -> bool:
        return reconciled(box("F", total=total), cursor(wanted=wanted)).chains[0].light

    assert [light(10, 5), light(11, 5), light(11, None)] == [False, True, False]


def test_after_the_cursor_was_lost_the_walks_are_stored_and_resyncs() -> None:
    at = box("F", "G", total=3)
    chains = [Chain(each, origin=RESYNC, light=True, pass_=1) for each in "FG"]
    lost = cursor(job=Job("cursor_lost"), wanted=1)
    assert reconciled(at, lost) == replace(lost, chains=tuple(chains))
    snapshot = cursor(job=Job("", content=True), wanted=1)
    first = [Chain(each, origin=BACKFILL, light=True) for each in "FG"]
    assert reconciled(at, snapshot) == replace(snapshot, chains=tuple(first))


def test_what_was_tracked_before_and_has_no_chain_is_walked() -> None:
    at = box("F", "G")
    found = reconciled(at, cursor(), {"F"})
    assert found == cursor(Chain("F", origin=BACKFILL), Chain("G", origin=LIVE, floor_s=0.0))
