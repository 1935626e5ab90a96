"""The cursor: stored exactly, never guessed."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph.cursor import (
    BACKFILL,
    FIRST,
    LIVE,
    LIVE_EVERY,
    READING,
    RESYNC,
    STARTING,
    Chain,
    Cursor,
    Job,
    decode,
    encode,
    first,
    lost,
    resumed,
)
from shared.protocol.graph.folders import WELL_KNOWN

LINK = "https://graph.microsoft.com/v1.0/me/mailfolders('A')/messages/delta?$deltatoken=x"
FULL = Cursor(
    Chain("", LINK, resting=True, pass_=2),
    (
        Chain("A", LINK, resting=True, floor_s=5.5, light=True, seen_s=7.0, read=True, alone=True),
        Chain("B", origin=RESYNC, rows=3, oldest_s=1.0, pass_=1, pages=2, missing=True, listing="first"),
    ),
    100,
    12.5,
    ("id1", "id2"),
    ("inbox",),
    (0, 3),
    Job("asked_for", True, "s1", READING, 2, 5),
    ("B",),
    "0abc",
    3,
    True,
    True,
)


@pytest.mark.parametrize(
    "cursor", [FULL, first(None, 10.0), first(0, 10.0, ("a",), "s1"), lost(100, 10.0, "cursor_lost")]
)
def test_a_cursor_comes_back_as_it_was(cursor: Cursor) -> None:
    assert decode(encode(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "x", "eJw=", encode(FULL)[:-8], "eJyLjgUAARUAuQ==", '["pinning"]', "é", encode(FULL) + "\n"]
)
def test_a_cursor_that_cannot_be_read_is_lost_state(text: str) -> None:
    with pytest.raises(ContractBroken, match=r"^the stored cursor can't be read$"):
        decode(text)


def test_the_links_of_eight_folders_are_stored_in_two_kilobytes() -> None:
    ids = ["AQMkADAwATMwMAItMjk5NC1hN2M1LTAwAi0wMAoALgAAA" + f"{n:075d}" for n in range(8)]
    chains = tuple(Chain(each, LINK.replace("A", each) + f"{hash(each):064x}" * 2, resting=True) for each in ids)
    assert len(encode(Cursor(Chain("", LINK, resting=True), chains))) < 2048


def test_an_invocation_begins_with_a_round_of_its_own() -> None:
    of = FULL.put(replace(FULL.folders, read=True, alone=True))
    chains = (replace(FULL.chains[0], read=False, alone=False), FULL.chains[1])
    after = replace(FULL, chains=chains, walked=LIVE_EVERY, settling=False)
    assert resumed(of) == after


def test_a_new_account_and_a_lost_cursor_begin_with_the_names_and_the_folders() -> None:
    folders = Chain("", origin=BACKFILL)
    assert first(5, 10.0) == Cursor(folders, wanted=5, since_s=10.0, names=WELL_KNOWN)
    assert first(0, 10.0, ("a",)) == Cursor(folders, wanted=0, since_s=10.0, pins=("a",), names=WELL_KNOWN)
    walked = Chain("", origin=BACKFILL, pass_=1)  # what it does not show is gone
    begun = Cursor(walked, wanted=5, since_s=10.0, names=WELL_KNOWN, job=Job("cursor_lost"))
    assert lost(5, 10.0, "cursor_lost") == begun


def test_a_first_walk_whose_first_page_may_have_been_named_in_part_is_swept_at_its_end() -> None:
    begun = first(None, 10.0).put(Chain("A", origin=BACKFILL)).put(Chain("B", LINK, origin=BACKFILL))
    assert [chain.pass_ for chain in resumed(begun).chains] == [1, 0]
    assert resumed(resumed(begun)) == resumed(begun)
    for other in (Chain("A", origin=BACKFILL, pass_=2), Chain("A", origin=RESYNC), Chain("A", LINK)):
        assert resumed(first(None, 10.0).put(other)).chains == (other,)


def test_chains_are_put_found_and_taken_away() -> None:
    cursor = first(None, 10.0)
    assert cursor.folders.origin == BACKFILL
    both = cursor.put(Chain("A")).put(Chain("B"))
    assert [chain.folder for chain in both.put(Chain("A", LINK)).chains] == ["A", "B"]
    assert both.put(Chain("A", LINK)).chain("A") == Chain("A", LINK)
    assert both.put(Chain("", LINK)).folders.link == LINK
    assert both.without("A").chain("A") is None
    assert both.sweep("A").sweep("A").sweeps == ("A",)
    assert [chain.folder for chain in replace(both, folders=Chain("")).live()] == ["", "A", "B"]


def test_a_folder_is_walked_again_under_a_new_pass_and_a_first_walk_stays_one() -> None:
    kept: dict[str, Any] = {"oldest_s": 1.0, "floor_s": 2.0, "light": True, "seen_s": 3.0, "received_s": 4.0}
    shown: dict[str, Any] = {"resting": True, "rows": 5, "pages": 2, "read": True, "alone": True, "missing": True}
    for origin, after in (("", RESYNC), (RESYNC, RESYNC), (BACKFILL, BACKFILL)):
        of = Chain("A", LINK, origin=origin, pass_=1, listing=FIRST, **kept, **shown)
        assert of.again() == Chain("A", origin=after, pass_=2, **kept)


def test_a_live_round_reads_what_neither_walks_nor_is_missing() -> None:
    cursor = Cursor(Chain("", LINK), (Chain("A", LINK), Chain("B", origin=BACKFILL), Chain("C", missing=True)))
    cursor = cursor.put(Chain("D", origin=LIVE)).put(Chain("E", origin=RESYNC))
    assert [chain.folder for chain in cursor.live()] == ["", "A", "D"]
    assert [chain.folder for chain in cursor.walking()] == ["B", "E"]
    changed = cursor.each(lambda chain: replace(chain, rows=7))
    assert [chain.rows for chain in (changed.folders, *changed.chains)] == [7] * 6
    assert cursor.sweep("A").sweep("B").sweeps == ("A", "B")
    assert cursor.without("B").chains == tuple(chain for chain in cursor.chains if chain.folder != "B")


def test_a_rebuilt_account_begins_with_a_snapshot() -> None:
    job = first(None, 10.0, snapshot_id="s1").job
    assert job == Job("", True, "s1", STARTING)
