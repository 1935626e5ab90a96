"""Row, read and index entry side by side: whole patches, the entry after them, and what is owed then."""

from dataclasses import replace
from typing import Any

import pytest

from shared.protocol.graph import known
from shared.protocol.graph.message import parse
from shared.protocol.graph.stream import GraphStream
from shared.protocol.step import Fact, Fetched, Patch, Want
from tests.protocol.graph.test_message import ROW
from tests.protocol.graph.test_stream import ID, entry, fetched, row, shown, stream

NEWER = "2026-11-24T11:00:00Z"
NEWER_MS = 1_795_518_000_000
ROW_MS = 1_795_514_402_000


def owed(at: GraphStream) -> bool:
    """And nothing but the message may be."""
    assert at.box.debts.collect() in ([], [at.pack_id(ID)])
    return at.box.debts.any()


def owing(at: GraphStream) -> str:
    packed = at.pack_id(ID)
    at.box.debts.owe(packed)
    return packed


def after(value: str, **changed: Any) -> str:
    return known.pack(replace(known.unpack(value), **changed))


# --- rows


def test_a_newer_row_is_a_patch_and_the_entry_after_it() -> None:
    at = stream()
    value = entry(at)
    at.named, packed = {}, owing(at)
    found = at.judge(shown(row(isRead=True, lastModifiedDateTime=NEWER)), value)
    assert found == Patch({"unread": False}, after(value, unread=False, modified_ms=NEWER_MS))
    assert (at.named, owed(at)) == ({packed: "F"}, False)


def test_a_row_of_another_folder_is_a_move_there() -> None:
    at = stream()
    value = entry(at)
    moved = shown(row(parentFolderId="G", lastModifiedDateTime=NEWER), "G")
    assert at.judge(moved, value) == Patch({"folder_id": "G"}, after(value, folder=1, modified_ms=NEWER_MS))
    assert at.named == {at.pack_id(ID): "G"}
    sparse = shown({"id": ID, "parentFolderId": None, "isRead": True, "lastModifiedDateTime": NEWER})
    assert at.judge(sparse, value) == Patch({"unread": False}, after(value, unread=False, modified_ms=NEWER_MS))


def test_a_row_that_has_to_be_read_settles_nothing() -> None:
    at = stream()
    value = entry(at)
    owing(at)
    assert at.judge(shown(row(isRead=True)), value) == Want(ID, content=False)
    assert owed(at)


@pytest.mark.parametrize(
    ("draft", "modified", "read"), [(True, NEWER, True), (True, None, False), (False, NEWER, False)]
)
def test_only_a_newer_draft_without_its_body_is_read(draft: bool, modified: str | None, read: bool) -> None:
    at = stream()
    value = entry(at, isDraft=draft)
    light = {name: said for name, said in row(isDraft=draft).items() if name != "body"}
    found = at.judge(shown({**light, "lastModifiedDateTime": modified or ROW["lastModifiedDateTime"]}), value)
    assert found == (Want(ID, content=True) if read else None)


def test_a_departure_names_nothing_and_is_owed_by_the_folder_that_has_it() -> None:
    at = stream()
    value = entry(at)
    at.named = {}
    assert at.judge(Fact(ID, gone=True, row={"left": ("G",)}), value) is None
    assert not owed(at)
    assert at.judge(Fact(ID, gone=True, row={"left": ("G", "F")}), value) is None
    assert owed(at)
    assert at.named == {}


def test_a_departure_without_a_row_is_read() -> None:
    at = stream()
    assert at.judge(Fact(ID, gone=True), entry(at)) == Want(ID, content=False)


def test_a_row_of_an_unknown_message_names_its_folder_only_where_it_is_said() -> None:
    at = stream()
    assert at.judge(shown(row(), emit=False), None) is None
    assert at.named == {}
    assert at.judge(shown(row(), "G"), None) == parse(row(), at.box.asking.reading)
    assert at.named == {at.pack_id(ID): "G"}
    assert at.judge(Fact(ID, version="7"), None) == Want(ID, version="7")


# --- reads


def test_a_message_that_is_named_for_the_first_time_owes_a_proof_unless_its_folder_named_it() -> None:
    at = stream()
    whole = fetched(at, parentFolderId="G")
    assert at.created(whole) == known.pack(known.known(whole.message, 1, ROW_MS))
    assert owed(at)
    at.named = {at.pack_id(ID): "F"}
    at.created(whole)
    assert owed(at)
    at.named = {at.pack_id(ID): "G"}
    at.created(whole)
    assert not owed(at)


def test_a_read_elsewhere_is_a_move_and_owed_until_that_folder_names_it() -> None:
    at = stream()
    value = entry(at)
    moved = fetched(at, parentFolderId="G", lastModifiedDateTime=NEWER)
    patch = Patch({"folder_id": "G"}, after(value, folder=1, modified_ms=NEWER_MS))
    for named, owes in (({}, True), ({at.pack_id(ID): "G"}, False), ({at.pack_id(ID): "F"}, True)):
        at.named = dict(named)
        assert at.compare(value, moved) == patch
        assert owed(at) is owes


def test_a_read_where_it_was_changes_no_debt_unless_a_row_named_it() -> None:
    at = stream()
    value = entry(at)
    at.named = {}
    for owes in (False, True):
        if owes:
            owing(at)
        assert at.compare(value, fetched(at, isRead=True)) == Patch({"unread": False}, after(value, unread=False))
        assert owed(at) is owes
    at.named = {at.pack_id(ID): "F"}
    assert at.compare(value, fetched(at)) is None
    assert not owed(at)
    at.named = {at.pack_id(ID): "G"}
    assert at.compare(value, fetched(at)) is None
    assert owed(at)


def test_a_read_that_tells_no_folder_is_no_move() -> None:
    at = stream()
    value = entry(at)
    at.named = {}
    assert at.compare(value, fetched(at, parentFolderId=None)) is None
    assert not owed(at)


def test_a_folder_that_nothing_has_shown_yet_is_waited_for_while_it_is_owed() -> None:
    at = stream()
    value = entry(at)
    at.named, packed = {}, at.pack_id(ID)
    strange = fetched(at, parentFolderId="new")
    for rounds in range(2):
        assert at.box.debts.rounds(packed) == rounds
        assert at.compare(value, strange) is None
        assert owed(at)
    assert at.compare(value, strange) == Patch({"folder_id": "new"}, None)
    assert not owed(at)


def test_a_strange_folder_in_which_the_message_is_known_to_be_is_no_move() -> None:
    at = stream()
    value = entry(at, parentFolderId="new")
    at.named = {}
    found = at.compare(value, fetched(at, parentFolderId="new", isRead=True))
    assert found == Patch({"unread": False}, after(value, unread=False))
    assert not owed(at)


def test_a_message_that_is_named_again_is_named_by_its_folder_where_it_has_not_moved() -> None:
    at = stream()
    value = entry(at)
    held, moved, nowhere = fetched(at), fetched(at, parentFolderId="G"), fetched(at, parentFolderId=None)
    at.named = {}
    assert at.newer(value, moved) is moved
    assert at.named == {}
    assert at.newer(value, held) is held
    assert at.named == {at.pack_id(ID): "F"}
    at.newer(known.pack(replace(known.unpack(value), folder=at.box.folders.code(None))), nowhere)
    assert at.named == {at.pack_id(ID): ""}


def test_a_cached_message_is_shown_with_the_flags_folder_and_version_of_the_entry() -> None:
    at = stream()
    held = fetched(at)
    value = entry(at, isRead=True, flag=None, hasAttachments=False, parentFolderId="G", lastModifiedDateTime=NEWER)
    state = {"unread": False, "flagged": False, "has_attachments": False, "draft": False, "folder_id": "G"}
    assert at.current(value, held) == Fetched({**held.message, **state}, str(NEWER_MS))  # type: ignore[typeddict-item]


@pytest.mark.parametrize(("version", "serves"), [("", False), ("5", True), ("6", True), ("7", False)])
def test_a_cached_message_serves_where_it_is_not_older_than_the_row(version: str, serves: bool) -> None:
    at = stream()
    assert at.serves(Fetched(fetched(at).message, "6"), Want(ID, version=version)) is serves


def test_what_may_be_in_a_folder_that_is_followed_is_tracked() -> None:
    at = stream()
    at.box.folders.named("recoverableitemsdeletions", {"id": "dumpster", "displayName": "Deletions"})
    assert [at.tracks(fetched(at, parentFolderId=each)) for each in ("F", "new", "dumpster")] == [True, True, False]
