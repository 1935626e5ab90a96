"""The Graph stand-in's folders: the root's children only, well-known names, the folder chain, soft and hard ends."""

from infra.emulators.graph.mailbox import HIDDEN, OUTSIDE, ROOT, SYNC_ISSUES, VISIBLE
from tests.infra.graph_client import ADDRESS, standing

DELTA = "mailFolders/delta"


def test_a_new_mailbox_has_outlooks_eight_visible_folders() -> None:
    with standing() as stand:
        page = stand.get("mailFolders?$top=100")
        assert [folder["displayName"] for folder in page["value"]] == list(VISIBLE.values())
        assert set(page["value"][0]) == {
            "id",
            "displayName",
            "parentFolderId",
            "childFolderCount",
            "unreadItemCount",
            "totalItemCount",
            "isHidden",
        }


def test_every_well_known_name_stands_for_an_id() -> None:
    with standing() as stand:
        for name in (ROOT, *VISIBLE, *HIDDEN, *SYNC_ISSUES, *OUTSIDE):
            folder = stand.get(f"mailFolders/{name}")
            assert stand.get(f"mailFolders('{folder['id']}')")["id"] == folder["id"]
        assert stand.get("mailFolders/Inbox")["displayName"] == "Inbox"
        assert stand.error("mailFolders/nonsense")[:2] == (404, "ErrorItemNotFound")


def test_the_list_has_the_roots_children_only_and_hides_the_hidden() -> None:
    with standing() as stand:
        outer = stand.graph.add_folder(ADDRESS, "Outer")
        inner = stand.graph.add_folder(ADDRESS, "Inner", "Outer")
        secret = stand.graph.add_folder(ADDRESS, "Secret", hidden=True)
        shown = [folder["id"] for folder in stand.get("mailFolders?$top=100")["value"]]
        assert outer in shown
        assert inner not in shown
        assert secret not in shown
        everything = stand.get("mailFolders?$top=100&includeHiddenFolders=true")["value"]
        assert {folder["id"] for folder in everything} - set(shown) >= {secret}
        assert [folder["id"] for folder in stand.get(f"mailFolders/{outer}/childFolders")["value"]] == [inner]
        assert stand.get(f"mailFolders/{outer}")["childFolderCount"] == 1
        assert stand.get(f"mailFolders/{outer}/childFolders/{inner}")["displayName"] == "Inner"


def test_folders_come_ten_to_a_page_with_a_next_link() -> None:
    with standing() as stand:
        for number in range(5):
            stand.graph.add_folder(ADDRESS, f"F{number}")
        first = stand.get("mailFolders?$select=displayName&$count=true")
        second = stand.get(first["@odata.nextLink"])
        assert (len(first["value"]), len(second["value"]), first["@odata.count"]) == (10, 3, 13)
        assert set(second["value"][0]) == {"id", "displayName"}


def test_counters_follow_the_messages() -> None:
    with standing(messages=3) as stand:
        message = next(iter(stand.graph.snapshot(ADDRESS)))
        stand.graph.update(ADDRESS, message, is_read=True)
        inbox = stand.get("mailFolders/inbox")
        assert (inbox["totalItemCount"], inbox["unreadItemCount"]) == (3, 2)
        stand.graph.move(ADDRESS, message, "archive")
        assert stand.get("mailFolders/archive")["totalItemCount"] == 1
        assert stand.get("mailFolders/inbox")["unreadItemCount"] == 2


def test_the_folder_chain_names_every_visible_folder_at_any_depth_and_then_changes() -> None:
    with standing() as stand:
        outer = stand.graph.add_folder(ADDRESS, "Outer")
        inner = stand.graph.add_folder(ADDRESS, "Inner", "Outer")
        walk = stand.walk(DELTA, "odata.maxpagesize=4")
        assert max(walk.sizes) == 4
        assert {outer, inner} < set(walk.ids)
        assert stand.graph.folder_id(ADDRESS, "syncissues") not in walk.ids
        assert walk.rows[0]["@odata.type"] == "#microsoft.graph.mailFolder"
        stand.graph.rename_folder(ADDRESS, inner, "Renamed")
        stand.graph.move_folder(ADDRESS, inner, "archive")
        later = stand.walk(walk.link)
        (row,) = later.rows
        assert (row["displayName"], row["parentFolderId"]) == ("Renamed", stand.graph.folder_id(ADDRESS, "archive"))
        stand.graph.delete_folder(ADDRESS, outer)
        assert stand.walk(later.link).removed == [outer]


def test_arriving_mail_is_no_change_of_the_folder_unless_the_knob_says_so() -> None:
    with standing() as stand:
        link = stand.walk(DELTA).link
        stand.deliver("m")
        assert stand.walk(link).rows == []
        stand.graph.set_knobs(folder_counts_in_delta=True)
        stand.deliver("m")
        assert stand.walk(link).ids == [stand.graph.folder_id(ADDRESS, "inbox")]


def test_the_folder_chain_expires_like_any_other() -> None:
    with standing() as stand:
        link = stand.walk(DELTA).link
        stand.graph.expire_delta("hierarchy")
        assert stand.error(link)[:2] == (410, "SyncStateNotFound")


def test_deleting_a_folder_puts_it_below_deleted_items_with_its_id_and_mail() -> None:
    with standing() as stand:
        folder = stand.graph.add_folder(ADDRESS, "Old")
        (message,) = stand.deliver("m", folder="Old")
        assert stand.ask("DELETE", f"mailFolders/{folder}").status_code == 204
        assert stand.graph.folders(ADDRESS)[folder]["path"] == "Deleted Items/Old"
        assert stand.graph.snapshot(ADDRESS)[message]["folder_id"] == folder
        assert stand.ask("POST", f"mailFolders/{folder}/permanentDelete").status_code == 204
        assert message not in stand.graph.snapshot(ADDRESS)
        assert stand.error(f"mailFolders/{folder}")[0] == 404


def test_folders_are_made_renamed_and_moved_over_http() -> None:
    with standing() as stand:
        made = stand.ask("POST", "mailFolders", json={"displayName": "New"})
        assert made.status_code == 201
        folder = made.json()["id"]
        assert (
            stand.ask("POST", "mailFolders", json={"displayName": "New"}).json()["error"]["code"] == "ErrorFolderExists"
        )
        assert (
            stand.ask("PATCH", f"mailFolders/{folder}", json={"displayName": "Newer"}).json()["displayName"] == "Newer"
        )
        moved = stand.ask("POST", f"mailFolders/{folder}/move", json={"destinationId": "archive"})
        assert moved.json()["parentFolderId"] == stand.graph.folder_id(ADDRESS, "archive")
        child = stand.ask("POST", f"mailFolders/{folder}/childFolders", json={"displayName": "Child"}).json()
        assert child["parentFolderId"] == folder
        assert stand.ask("DELETE", "mailFolders/inbox").status_code == 403
