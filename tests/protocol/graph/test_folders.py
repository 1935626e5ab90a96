"""The folder table: who is tracked, and numbers that stay."""

import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph import folders
from shared.protocol.graph.folders import Folder, FolderTable


def row(folder_id: str, **fields: object) -> dict[str, object]:
    return {"id": folder_id, "displayName": folder_id.upper(), "isHidden": False, "totalItemCount": 3, **fields}


def test_numbers_stay_when_folders_go_and_are_stored() -> None:
    table = FolderTable(None, None)
    for name in ("a", "b", "c"):
        table.shown(row(name, parentFolderId="root"))
    table.shown({"id": "a", "@removed": {"reason": "deleted"}})
    table.lost("b")
    again = FolderTable(table.dump(), None)
    assert [again.code(name) for name in ("a", "b", "c", "d")] == [0, 1, 2, 3]
    assert [again.id_of(code) for code in range(4)] == ["a", "b", "c", "d"]
    assert [folder.id for folder in again.all_tracked()] == ["c"]
    assert table.changed
    assert not FolderTable(table.dump(), None).changed
    with pytest.raises(ContractBroken, match=r"^an index entry can't be read$"):
        again.id_of(99)


def test_a_row_is_the_folder_and_a_sparse_one_changes_only_what_it_says() -> None:
    table = FolderTable(None, None)
    table.shown(row("a", parentFolderId="root"))
    assert table.get("a") == Folder("a", "A", "root", total=3)
    table.shown({"id": "a", "displayName": "New", "isHidden": True})
    assert table.get("a") == Folder("a", "New", "root", hidden=True, total=3)
    table.shown({"id": "a", "displayName": None, "parentFolderId": 7, "totalItemCount": "9"})
    assert table.get("a") == Folder("a", "New", "root", total=3)
    table.shown({"id": "a", "totalItemCount": 9, "@removed": {"reason": "deleted"}})
    assert table.get("a") == Folder("a", "New", "root", gone=True, total=9)
    table.shown({"id": "b", "isHidden": "yes"})
    assert table.get("b") == Folder("b")


def test_a_well_known_name_is_kept_with_what_the_folder_chain_shows() -> None:
    table = FolderTable(None, None)
    for name in ("i", "unseen", "other", "msgfolderroot"):
        known = "inbox" if name == "i" else "archive"
        table.named(
            name if name == "msgfolderroot" else known,
            row(name, isHidden=None if name == "unseen" else False, parentFolderId="root"),
        )
    assert [table.get(name) for name in ("i", "unseen", "other", "msgfolderroot")] == [
        Folder("i", "I", "root", "inbox"),
        Folder("unseen", "UNSEEN", "root", "archive", hidden=True),
        Folder("other", "OTHER", "root", "archive"),
        Folder("msgfolderroot", "MSGFOLDERROOT", "root", "msgfolderroot", hidden=True),
    ]
    table.shown(row("unseen"))
    table.named("archive", {"id": "unseen", "isHidden": True})
    assert table.get("unseen") == Folder("unseen", "UNSEEN", "root", "archive", total=3)


def test_a_folder_that_is_lost_is_gone_and_keeps_the_rest() -> None:
    table = FolderTable(None, None)
    table.shown(row("a", parentFolderId="root"))
    table.lost("a")
    assert table.get("a") == Folder("a", "A", "root", gone=True, total=3)
    assert list(table.present()) == []


def test_only_what_changes_is_stored_again() -> None:
    table = FolderTable(None, None)
    assert (table.changed, table.dump()) == (False, "[]")
    table.shown(row("a"))
    table.shown(row("a"))
    assert table.changed
    again = FolderTable(table.dump(), None)
    again.shown(row("a"))
    again.code("a")
    assert not again.changed
    again.code("b")
    assert again.changed


def test_a_message_without_a_folder_is_in_one_that_has_no_name() -> None:
    table = FolderTable(None, None)
    assert (table.get(None), table.code(None), table.id_of(0)) == (None, 0, "")
    assert table.get(None) == table.get("") == Folder("", hidden=True)
    assert table.code("") == 0
    table.shown(row("XXXX"))
    assert table.get(None) == Folder("", hidden=True)


def test_readers_see_what_is_there_and_has_a_name() -> None:
    table = FolderTable(None, ("i",))
    table.named("inbox", row("i", parentFolderId="root"))
    table.shown(row("h", isHidden=True))
    table.shown(row("gone"))
    table.lost("gone")
    table.code("never shown")
    assert table.for_readers() == [
        {"id": "i", "name": "I", "kind": "inbox", "parent_id": "root", "hidden": False},
        {"id": "h", "name": "H", "kind": "user", "parent_id": None, "hidden": True},
    ]


def test_all_is_what_is_shown_and_not_hidden() -> None:
    table = FolderTable(None, None)
    table.named("inbox", row("i"))
    table.named("recoverableitemsdeletions", row("r"))
    table.named("syncissues", row("s", isHidden=True))
    table.named("msgfolderroot", {"id": "root"})
    table.shown(row("h", isHidden=True))
    table.shown(row("a"))
    assert [folder.id for folder in table.all_tracked()] == ["i", "a"]
    assert {folder.id for folder in table.present()} == {"i", "a"}
    assert not table.tracked(None)


def test_listed_folders_are_tracked_by_name_or_id_hidden_or_not() -> None:
    table = FolderTable(None, ("Inbox", "AbC="))
    table.named("inbox", row("i"))
    table.shown(row("AbC=", isHidden=True))
    table.shown(row("other"))
    table.shown(row("abc=", isHidden=True))
    table.lost("abc=")
    assert [folder.id for folder in table.all_tracked()] == ["i", "AbC="]


def test_a_name_that_no_folder_has_tracks_none() -> None:
    table = FolderTable(None, ("-",))
    table.shown(row("a"))
    assert not table.tracked("a")


def test_a_folder_that_nothing_has_shown_is_strange() -> None:
    table = FolderTable(None, None)
    assert table.strange("x")
    table.code("x")
    assert table.strange("x")
    assert not table.tracked("x")
    assert table.may_hold("x")
    table.shown(row("x"))
    assert not table.strange("x")
    assert table.tracked("x")
    assert table.may_hold("x")


def test_a_name_or_being_shown_is_enough_not_to_be_strange() -> None:
    table = FolderTable(None, None)
    table.shown(row("hidden", isHidden=True))
    table.shown({"id": "nameless"})
    table.named("archive", {"id": "well known"})
    names = ("hidden", "nameless", "well known")
    assert [table.strange(each) for each in names] == [False] * 3
    assert [table.may_hold(each) for each in names] == [False, True, False]


def test_there_are_not_more_numbers_than_an_entry_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "FOLDERS_MAX", 1)
    table = FolderTable(None, None)
    table.code("a")
    with pytest.raises(ContractBroken, match=r"^the mailbox shows more folders than the index has numbers for$"):
        table.code("b")
    assert table.code("a") == 0
