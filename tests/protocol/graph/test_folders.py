"""The folder table: who is tracked, and numbers that stay."""

import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph import folders
from shared.protocol.graph.folders import FolderTable


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
    with pytest.raises(ContractBroken):
        again.id_of(99)


def test_a_sparse_row_changes_only_what_it_says() -> None:
    table = FolderTable(None, None)
    table.shown(row("a", parentFolderId="root"))
    table.shown({"id": "a", "displayName": "New"})
    folder = table.get("a")
    assert folder is not None
    assert (folder.name, folder.parent, folder.total) == ("New", "root", 3)


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
    assert [folder.id for folder in table.all_tracked()] == ["i", "AbC="]


def test_a_folder_that_nothing_has_shown_is_strange() -> None:
    table = FolderTable(None, None)
    assert table.strange("x")
    table.code("x")
    assert table.strange("x")
    assert not table.tracked("x")
    table.shown(row("x"))
    assert not table.strange("x")
    assert table.tracked("x")


def test_there_are_not_more_numbers_than_an_entry_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "FOLDERS_MAX", 1)
    table = FolderTable(None, None)
    table.code("a")
    with pytest.raises(ContractBroken):
        table.code("b")
