"""What an answer does to the cursor, as whole values: links, rows shown, floors, ids to store, folders that change."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.graph.chains import PIN_S, Answered, Row, table
from shared.protocol.graph.cursor import BACKFILL, FIRST, LIVE, RESYNC, Chain, Cursor, Job, resumed
from shared.protocol.wire import Response
from tests.protocol.graph.answers import (
    CHANGED_S,
    FOLDERS,
    NEXT,
    OLD,
    REMOVED,
    SPARSE,
    box,
    came,
    cursor,
    listed,
    page,
    refused,
    resting,
    told,
)


def walk(**fields: Any) -> Chain:
    return Chain("F", **{"origin": BACKFILL, **fields})


def emitted(chain: Chain, *rows: Row, **fields: Any) -> list[bool]:
    return [emit for _, _, emit in told(cursor(chain, **fields), page(*rows)).shown]


def test_what_comes_of_the_parts_of_a_batch_is_taken_together() -> None:
    one: Row = {"id": "a"}
    other: Row = {"id": "b"}
    found = Answered(cursor(), [("F", one, True)], {"0.1/0": ["a"]}, "first")
    found.add(Answered(cursor(resting("F")), [("G", other, False)], {"1.1/0": ["b"]}, "", said=True))
    both: dict[str, Any] = {
        "shown": [("F", one, True), ("G", other, False)],
        "pages": {"0.1/0": ["a"], "1.1/0": ["b"]},
        "said": True,
    }
    assert found == Answered(cursor(resting("F")), **both, reason="first")
    found.add(Answered(cursor(), reason="second", said=False))
    assert found == Answered(cursor(), **both, reason="second")


# --- message chains


def test_a_live_page_moves_the_link_and_shows_its_rows() -> None:
    chain = resting("F", pass_=2, alone=True)
    rows = (came("a", 20), REMOVED, SPARSE, came("b", 10))
    after = replace(chain, link=NEXT, rows=3, oldest_s=10.0, seen_s=CHANGED_S, received_s=20.0, alone=False, read=True)
    shown = [("F", rows[0], True), ("F", REMOVED, False), ("F", SPARSE, True), ("F", rows[3], True)]
    found = told(cursor(chain, resting("G")), page(*rows))
    assert found == Answered(cursor(after, resting("G")), shown)


def test_a_live_page_with_more_behind_it_is_read_on_from() -> None:
    chain = resting("F", rows=5, oldest_s=7.0, seen_s=1e12, received_s=99.0)
    after = replace(chain, link=NEXT, resting=False, rows=6)
    assert told(cursor(chain), page(came("a", 20), ended=False)).cursor == cursor(after)


def test_what_has_no_time_moves_none() -> None:
    found = told(cursor(resting("F")), page(SPARSE)).cursor.chains[0]
    assert (found.rows, found.oldest_s, found.seen_s, found.received_s) == (1, None, 0.0, 0.0)


def test_a_folder_that_appeared_while_live_is_read_like_a_walk_but_counts_as_live() -> None:
    chain = walk(origin=LIVE, floor_s=5.0)
    found = told(cursor(chain, wanted=1, pins=("p",)), page(came("a", 20), came("b", 10), ended=False))
    assert [emit for _, _, emit in found.shown] == [True, True]
    assert (found.cursor.walked, found.cursor.chains[0].origin) == (3, LIVE)
    ended = told(found.cursor, page()).cursor
    assert (ended.chains[0].origin, ended.chains[0].read, ended.walked, ended.pins) == ("", True, 3, ("p",))


def test_a_walk_that_is_to_be_swept_stores_the_ids_that_it_shows() -> None:
    at = box()
    chain = walk(pass_=2, pages=4, rows=1)
    rows = (came("a", 30), REMOVED, came("b", 10), came("c", 5))
    found = told(cursor(chain, wanted=3), page(*rows, ended=False), at)
    after = replace(chain, link=NEXT, rows=4, pages=5, oldest_s=10.0, received_s=30.0)
    shown = [("F", rows[0], True), ("F", REMOVED, False), ("F", rows[2], True), ("F", rows[3], False)]
    ids = [at.ids.pack(each) for each in "abc"]
    assert found == Answered(cursor(after, wanted=3, walked=4), shown, {"1.2/4": ids})
    assert table(at, chain) == "1.2"


def test_a_first_walk_stores_no_ids_and_a_live_page_neither() -> None:
    assert told(cursor(walk()), page(came("a", 1))).pages == {}
    assert told(cursor(resting("F", pass_=2)), page(came("a", 1))).pages == {}


def test_at_its_end_a_walk_rests_and_leaves_its_floor() -> None:
    found = told(cursor(walk(), wanted=5, pins=("p",)), page(came("a", 30), came("b", 10)))
    after = Chain("F", NEXT, resting=True, rows=2, oldest_s=10.0, floor_s=10.0, seen_s=CHANGED_S, received_s=30.0)
    assert found.cursor == cursor(after, wanted=5, walked=4)


def test_the_pins_are_kept_while_anything_walks() -> None:
    other = Chain("G", origin=BACKFILL)
    assert told(cursor(walk(), other, wanted=0, pins=("p",)), page()).cursor.pins == ("p",)


@pytest.mark.parametrize(
    ("chain", "fields", "floor_s"),
    [
        (walk(oldest_s=7.0), {"since_s": 9.0}, 0.0),
        (walk(oldest_s=7.0), {"since_s": 9.0, "wanted": 5}, 7.0),
        (walk(), {"since_s": 9.0, "wanted": 5}, 9.0),
        (walk(origin=RESYNC, floor_s=3.0, oldest_s=7.0), {"since_s": 9.0, "wanted": 5}, 3.0),
    ],
)
def test_a_floor_is_the_oldest_named_or_the_connection_and_then_stays(
    chain: Chain, fields: dict[str, Any], floor_s: float
) -> None:
    assert told(cursor(chain, **fields), page()).cursor.chains[0].floor_s == floor_s


@pytest.mark.parametrize(("pass_", "sweeps"), [(0, ()), (1, ("F",))])
def test_a_walk_whose_ids_were_stored_is_swept(pass_: int, sweeps: tuple[str, ...]) -> None:
    assert told(cursor(walk(pass_=pass_)), page()).cursor.sweeps == sweeps


def test_all_is_named_where_all_is_wanted() -> None:
    assert emitted(walk(), came("a", 9), SPARSE) == [True, True]


def test_a_first_walk_names_the_newest() -> None:
    assert emitted(walk(rows=1), *(came(each, 9) for each in "abc"), wanted=3) == [True, True, False]
    resync = walk(origin=RESYNC)  # a first walk that was lost with the cursor
    assert emitted(resync, came("a", 9), came("b", 9), wanted=1) == [True, False]


def test_from_now_on_names_what_came_since_but_for_what_was_there() -> None:
    since_s = 400.0
    at = int(since_s - PIN_S)
    rows = (came("a", at), came("b", at - 1), came("pin", at + 50), SPARSE)
    assert emitted(walk(), *rows, wanted=0, since_s=since_s, pins=("pin",)) == [True, False, False, False]


def test_a_resync_names_what_is_above_the_floor_or_changed_since() -> None:
    chain = walk(origin=RESYNC, floor_s=100.0, seen_s=CHANGED_S, oldest_s=100.0)
    rows = (
        came("floor", 100),
        came("below", 99, "2026-01-01T11:45:00Z"),
        came("changed", 99, "2026-01-01T12:00:01Z"),
        came("same second", 99),
        came("late", 99, "2026-01-01T11:45:01Z"),
        SPARSE,
    )
    found = told(cursor(chain, wanted=5), page(*rows))
    assert [emit for _, _, emit in found.shown] == [True, False, True, True, True, True]
    assert found.cursor.chains[0].seen_s == CHANGED_S
    assert found.cursor.chains[0].oldest_s == 99.0
    connected = CHANGED_S + PIN_S + 1.0
    assert emitted(chain, *rows[1:], wanted=5, since_s=connected - 1.0) == [False, True, False, False, True]
    assert emitted(chain, rows[2], wanted=5, since_s=connected) == [False]


@pytest.mark.parametrize(
    ("chain", "seen_s"),
    [
        (walk(), CHANGED_S),
        (walk(link=OLD), CHANGED_S),  # behind a page without rows
        (walk(link=OLD, rows=1), 0.0),
        (walk(listing=FIRST), CHANGED_S),
        (walk(origin=RESYNC), 0.0),
        (walk(origin=LIVE), 0.0),
        (resting("F"), CHANGED_S),
        (replace(resting("F"), resting=False), 0.0),
        (resting("F", listing=FIRST), 0.0),
    ],
)
def test_only_what_begins_says_what_has_been_seen(chain: Chain, seen_s: float) -> None:
    """What changed while later pages were read, they need not show; a list shows no change."""
    assert told(cursor(chain, over_quota=True), page(came("a", 1))).cursor.chains[0].seen_s == seen_s


def test_a_round_that_is_not_over_may_still_show_what_is_older() -> None:
    """And its link may die before."""
    for answer in (page(came("a", 1), ended=False), page(came("a", 1), {})):
        assert told(cursor(resting("F", seen_s=5.0)), answer).cursor.chains[0].seen_s == 5.0


# --- rows without an id


def test_a_live_row_without_an_id_is_made_good_by_a_walk_once_an_invocation() -> None:
    at, chain = box(), resting("F", seen_s=5.0, pass_=1)
    found = told(cursor(chain), page(came("a", 20), {"subject": "x"}), at)
    walks = Chain("F", origin=RESYNC, oldest_s=20.0, floor_s=0.0, seen_s=5.0, received_s=20.0, pass_=2)
    after = cursor(walks, job=Job("delta_unreadable"))
    assert found == Answered(after, [("F", came("a", 20), True)])
    assert at.put_off == set()
    again = told(cursor(chain), page({}), at).cursor
    assert again == cursor(replace(chain, link=NEXT, read=True, odd=True))
    assert at.put_off == {"F"}
    assert told(cursor(resting("G"), job=Job("x")), page({}), at).cursor.job == Job("x")


def test_a_walk_that_passed_a_row_over_goes_on_and_is_made_again_by_the_next_invocation() -> None:
    at = box()
    first = told(cursor(walk(pass_=1)), page(came("a", 20), {}, ended=False), at).cursor
    assert (first.chains[0].link, first.chains[0].odd, at.put_off) == (NEXT, True, {"F"})
    assert resumed(first).chains == first.chains
    second = told(first, page(came("b", 10)), at).cursor
    assert (second.chains[0].resting, second.chains[0].odd, second.sweeps) == (True, True, ("F",))
    begun = Chain("F", origin=RESYNC, oldest_s=10.0, floor_s=0.0, seen_s=CHANGED_S, received_s=20.0, pass_=2)
    assert resumed(second).chains == (begun,)
    ended = told(resumed(second), page(came("b", 10)), at).cursor
    assert (ended.chains[0].resting, ended.chains[0].odd, ended.sweeps) == (True, False, ("F",))


def test_a_list_s_row_without_an_id_is_told_by_the_chain_that_is_kept() -> None:
    chain = resting("F", listing=FIRST)
    found = told(cursor(chain, over_quota=True), listed({}, came("a", 20)))
    assert found.cursor.chains[0] == replace(chain, listing="", read=True, rows=1, oldest_s=20.0, received_s=20.0)


# --- over quota


def test_over_quota_the_list_is_read_and_it_is_said_once() -> None:
    answer = refused(403, "ErrorQuotaExceeded")
    chain = resting("F")
    listing = cursor(replace(chain, listing=FIRST, alone=True), over_quota=True)
    reason = "mailbox_over_quota"
    assert told(cursor(chain), answer) == Answered(listing, reason=reason, said=True)
    assert told(cursor(chain, over_quota=True), answer) == Answered(listing, reason=reason)


def test_the_folder_chain_and_a_list_that_is_refused_are_put_off() -> None:
    answer = refused(403, "ErrorQuotaExceeded")
    assert told(cursor(), answer).cursor == replace(cursor(over_quota=True), folders=replace(FOLDERS, read=True))
    found = told(cursor(resting("F", listing=NEXT), over_quota=True), answer)
    assert found.cursor == cursor(resting("F", read=True), over_quota=True)


def test_a_list_is_read_page_by_page_and_then_waits_with_its_old_link() -> None:
    chain = resting("F", listing=FIRST)
    of = cursor(chain, over_quota=True)
    found = told(of, listed(came("a", 20), ended=False))
    more = replace(chain, listing=NEXT, alone=True, rows=1, oldest_s=20.0, received_s=20.0)
    assert found == Answered(cursor(more, over_quota=True), [("F", came("a", 20), True)])
    found = told(found.cursor, listed())
    assert found == Answered(cursor(replace(more, listing="", alone=False, read=True), over_quota=True))


def test_a_list_in_place_of_a_walk_ends_with_what_is_wanted_and_leaves_a_floor() -> None:
    chain = walk(listing=FIRST, rows=1)
    of = cursor(chain, over_quota=True, wanted=3)
    found = told(of, listed(came("a", 20), ended=False)).cursor
    assert (found.chains[0].listing, found.chains[0].origin, found.walked) == (NEXT, BACKFILL, 4)
    found = told(found, listed(came("b", 10), link=NEXT + "0")).cursor
    after = Chain("F", origin=RESYNC, oldest_s=10.0, floor_s=10.0, received_s=20.0, pass_=1, read=True)
    assert found == cursor(after, over_quota=True, wanted=3, walked=5)
    everything = told(replace(of, wanted=None), listed(came("a", 20), ended=False)).cursor
    assert everything.chains[0].listing == NEXT
    live = told(cursor(resting("F", listing=FIRST), wanted=0), listed(ended=False)).cursor
    assert live.chains[0].listing == NEXT


def test_the_first_delta_page_says_that_there_is_room_again() -> None:
    found = told(cursor(resting("F"), over_quota=True), page())
    assert (found.said, found.cursor.over_quota) == (False, False)
    assert told(cursor(resting("F")), page()).said is None


# --- dead links and missing folders


def test_a_dead_link_walks_its_folder_again_as_a_resync() -> None:
    chain = resting("F", rows=4, seen_s=5.0, pass_=1)
    after = Chain("F", origin=RESYNC, floor_s=0.0, seen_s=5.0, pass_=2)
    dead = refused(410, "SyncStateNotFound")
    assert told(cursor(chain), dead) == Answered(cursor(after, job=Job("delta_expired")))
    assert told(cursor(chain, job=Job("asked_for")), dead) == Answered(cursor(after, job=Job("asked_for")))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "SyncStateNotFound"}'])
def test_a_link_that_is_gone_is_dead_whatever_the_answer_says(body: bytes) -> None:
    after = Chain("F", origin=RESYNC, pass_=1, floor_s=0.0)
    assert told(cursor(resting("F")), Response(410, {}, body)).cursor == cursor(after, job=Job("delta_expired"))


def test_a_list_s_link_can_be_dead_too() -> None:
    found = told(cursor(walk(listing=OLD)), refused(410, "Gone"))
    assert found.cursor == cursor(walk(pass_=1))


@pytest.mark.parametrize(
    ("of", "answer"),
    [
        (cursor(), page(ended=False)),
        (cursor(Chain("F", NEXT, origin=BACKFILL)), page(ended=False)),
        (cursor(resting("F", listing=NEXT)), listed(ended=False)),
    ],
)
def test_a_page_that_leads_to_itself_moves_nothing(of: Cursor, answer: Response) -> None:
    of = of if of.chains else replace(of, folders=replace(of.folders, link=NEXT))
    with pytest.raises(ProviderDown):
        told(of, answer)


def test_a_first_walk_whose_link_is_dead_begins_again_and_is_no_resync() -> None:
    found = told(cursor(walk(link=OLD)), refused(410, "SyncStateNotFound"))
    assert found == Answered(cursor(walk(pass_=1)))


def test_a_dead_folder_chain_forgets_what_it_has_shown() -> None:
    found = told(cursor(shown=(1, 2)), refused(410, "SyncStateNotFound"))
    assert found == Answered(replace(cursor(), folders=Chain("", origin=RESYNC, pass_=1)))


@pytest.mark.parametrize(
    ("of", "answer", "text"),
    [
        (cursor(walk()), refused(410, "Gone"), "the provider says that a first request has expired"),
        (cursor(walk(listing=FIRST)), refused(410, "Gone"), "the provider says that a first request has expired"),
        (cursor(), refused(404, "ErrorItemNotFound"), "the provider does not find the folder chain"),
    ],
)
def test_what_can_not_be_is_outside_the_contract(of: Cursor, answer: Response, text: str) -> None:
    with pytest.raises(ContractBroken, match=f"^{text}$"):
        told(of, answer)


@pytest.mark.parametrize(
    ("chain", "folders_read"),
    [(resting("F", listing=NEXT), False), (walk(link=OLD), True), (walk(), True), (walk(origin=LIVE), True)],
)
def test_a_folder_that_is_not_found_waits_for_the_folder_chain(chain: Chain, folders_read: bool) -> None:
    """Which is read again only where the folder was there before."""
    of = replace(cursor(chain), folders=replace(FOLDERS, read=True))
    after = replace(of, folders=replace(FOLDERS, read=folders_read))
    found = told(of, refused(404, "ErrorItemNotFound"))
    assert found == Answered(after.put(replace(chain, missing=True, read=True, listing="")))
