"""The Graph stand-in's message delta: chains, generations, net changes, and every way in which they mislead."""

import re

import httpx
import pytest

from tests.infra.graph_client import ADDRESS, IMMUTABLE, StillClock, plain, standing

INBOX = "mailFolders/inbox/messages/delta"
BIG = f"odata.maxpagesize=100, {IMMUTABLE}"


def test_delta_of_a_folder_is_found_under_both_spellings_and_by_user() -> None:
    with standing(messages=1) as stand:
        inbox = stand.graph.folder_id(ADDRESS, "inbox")
        user = stand.graph.add_mailbox(ADDRESS)
        for path in (
            f"/v1.0/me/mailFolders/{inbox}/messages/delta",
            f"/v1.0/me/mailfolders('{inbox}')/messages/delta",
            "/v1.0/me/mailFolders('inbox')/messages/delta()",
            f"/v1.0/users/{user}/mailFolders/Inbox/messages/microsoft.graph.delta()",
            f"/v1.0/users('{ADDRESS}')/mailFolders/inbox/messages/delta",
        ):
            answer = stand.http.get(path)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["value"]) == 1


def test_the_mailbox_has_no_delta_of_its_own() -> None:
    with standing() as stand:
        message = "Unsupported request: Change tracking is not supported against 'microsoft.graph.message'."
        assert stand.error("messages/delta") == (400, "BadRequest", message)


def test_a_page_is_ten_unless_this_request_prefers_another_size() -> None:
    with standing(messages=40) as stand:
        first = stand.get(INBOX, "odata.maxpagesize=12")
        second = stand.get(first["@odata.nextLink"])
        third = stand.get(second["@odata.nextLink"], "odata.maxpagesize=15")
        assert [len(page["value"]) for page in (first, second, third)] == [12, 10, 15]


def test_a_page_is_never_over_a_thousand() -> None:
    with standing(messages=1005) as stand:
        assert stand.walk(f"{INBOX}?$select=id", "odata.maxpagesize=5000").sizes == [1000, 5]


def test_top_caps_the_whole_round_and_the_rest_is_never_delivered() -> None:
    with standing(messages=15) as stand:
        walk = stand.walk(f"{INBOX}?$top=2", None)
        assert walk.sizes == [2, 0]
        assert stand.walk(walk.link).rows == []
        assert stand.walk(f"{INBOX}?$top=12", None).sizes == [10, 2, 0]


def test_top_may_be_ignored_or_refused_instead() -> None:
    with standing(messages=15, top_on_delta="ignore") as stand:
        assert stand.walk(f"{INBOX}?$top=2", None).sizes == [10, 5]
        stand.graph.set_knobs(top_on_delta="reject400")
        assert stand.error(f"{INBOX}?$top=2")[0] == 400


def test_links_carry_the_callers_origin_and_an_opaque_token() -> None:
    with standing(messages=11) as stand:
        port = stand.url.rpartition(":")[2]
        page = httpx.get(f"http://localhost:{port}/v1.0/me/{INBOX}", headers=stand.bearer()).json()
        link = page["@odata.nextLink"]
        assert link.startswith(f"http://localhost:{port}/v1.0/me/mailfolders('")
        assert re.search(r"/messages/delta\?\$skiptoken=[\w-]{20,}$", link)


def test_a_continuation_keeps_the_first_calls_select_and_ignores_a_new_one() -> None:
    with standing(messages=11) as stand:
        link = stand.get(f"{INBOX}?$select=subject")["@odata.nextLink"]
        row = stand.get(f"{link}&$select=body")["value"][0]
        assert set(row) == {"@odata.type", "@odata.etag", "id", "subject"}


def test_a_continuation_without_prefer_loses_id_format_and_body_type() -> None:
    with standing(messages=2) as stand:
        first = stand.get(INBOX, f'odata.maxpagesize=1, {IMMUTABLE}, outlook.body-content-type="text"')
        second = stand.get(first["@odata.nextLink"])
        snapshot = stand.graph.snapshot(ADDRESS)
        assert first["value"][0]["id"] in snapshot
        assert first["value"][0]["body"]["contentType"] == "text"
        assert second["value"][0]["id"] not in snapshot
        assert second["value"][0]["body"]["contentType"] == "html"


def test_a_made_up_cut_or_carried_token_is_an_invalid_sync_state() -> None:
    with standing(messages=11) as stand:
        link = stand.get(INBOX)["@odata.nextLink"]
        drafts = stand.graph.folder_id(ADDRESS, "drafts")
        inbox = stand.graph.folder_id(ADDRESS, "inbox")
        for bad in (link[:-3], re.sub("skiptoken=.*", "skiptoken=abc", link), link.replace(inbox, drafts)):
            assert stand.error(bad)[:2] == (410, "SyncStateInvalid")
        assert stand.error(link.replace("skiptoken", "deltatoken"))[:2] == (410, "SyncStateInvalid")
        stand.graph.set_knobs(foreign_token="400")
        assert stand.error(link[:-3])[0] == 400


def test_three_generations_live_and_an_older_link_gets_410_in_the_services_words() -> None:
    with standing(messages=60) as stand:
        links = [INBOX]
        for _ in range(5):
            links.append(stand.get(links[-1])["@odata.nextLink"])
        stand.get(links[-3])
        status, code, message = stand.error(links[1])
        assert (status, code) == (410, "SyncStateNotFound")
        found = re.fullmatch(
            r"The sync state generation is not found; generation=(\d+);\[highest=(\d+)\]\[(\d+)\]\[(\d+)\]\[(\d+)\]\.",
            message,
        )
        assert found
        generation, highest, first, second, third = map(int, found.groups())
        assert (first, second, third) == (highest, highest - 2, highest - 1)
        assert generation == highest - 5


def test_reading_one_link_again_and_again_ages_it_to_death() -> None:
    with standing(messages=30) as stand:
        link = stand.get(INBOX)["@odata.nextLink"]
        for _ in range(3):
            stand.get(link)
        assert stand.error(link)[1] == "SyncStateNotFound"
        stand.graph.set_knobs(replay_makes_generation=False)
        link = stand.get(INBOX)["@odata.nextLink"]
        assert len({stand.get(link)["@odata.nextLink"] for _ in range(6)}) == 1


def test_an_expired_delta_says_410_and_only_on_that_folder() -> None:
    with standing(messages=1) as stand:
        inbox, drafts = stand.walk().link, stand.walk("mailFolders/drafts/messages/delta").link
        assert stand.graph.expire_delta("inbox") == 1
        assert stand.error(inbox)[1] == "SyncStateNotFound"
        assert stand.walk(drafts).rows == []
        stand.graph.expire_delta("all")
        assert stand.error(drafts)[1] == "SyncStateNotFound"


def test_410_may_point_to_the_beginning() -> None:
    with standing(messages=1, gone_location=True) as stand:
        link = stand.walk().link
        stand.graph.expire_delta()
        location = stand.ask("GET", link).headers["Location"]
        assert location.endswith("/messages/delta?$deltatoken=")
        assert len(stand.walk(location).rows) == 1


@pytest.mark.parametrize("kind", ["resync_required", "sync_state_invalid", "sync_state_not_found"])
def test_every_kind_of_dead_token_can_be_ordered(kind: str) -> None:
    with standing(messages=1) as stand:
        stand.graph.set_fault(kind, endpoint="messages.delta", folder="inbox")
        status, code, _ = stand.error(INBOX)
        assert (status, code.lower()) == (410, kind.replace("_", ""))
        assert len(stand.walk().rows) == 1


def test_the_first_round_shows_what_is_there_and_the_next_what_changed() -> None:
    with standing() as stand:
        first, second = stand.deliver("first", "second")
        stand.graph.hard_delete(ADDRESS, first)
        walk = stand.walk()
        assert walk.ids == [second]
        assert stand.walk(walk.link).rows == []
        (third,) = stand.deliver("third")
        later = stand.walk(walk.link)
        assert later.ids == [third]
        assert later.rows[0]["subject"] == "third"


def test_a_read_toggle_is_a_sparse_row() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        walk = stand.walk(f"{INBOX}?$select=subject,isRead,body")
        stand.graph.update(ADDRESS, message, is_read=True)
        (row,) = stand.walk(walk.link).rows
        assert set(row) == {"@odata.type", "@odata.etag", "id", "isRead", "parentFolderId"}
        assert row["isRead"] is True


def test_a_read_toggle_is_not_said_when_isread_is_not_selected() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        walk = stand.walk(f"{INBOX}?$select=subject")
        stand.graph.update(ADDRESS, message, is_read=True)
        assert stand.walk(walk.link).rows == []
        stand.graph.update(ADDRESS, message, flag="flagged")
        assert stand.walk(walk.link).rows[0]["subject"] == "m"


def test_another_change_is_the_full_selected_row_unless_the_knob_says_otherwise() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        walk = stand.walk(f"{INBOX}?$select=subject,flag,isRead")
        stand.graph.update(ADDRESS, message, flag="flagged", is_read=True)
        (row,) = stand.walk(walk.link).rows
        assert row["flag"] == {"flagStatus": "flagged"}
        assert row["subject"] == "m"
        stand.graph.set_knobs(sparse="all")
        assert "subject" not in stand.walk(walk.link).rows[0]
        stand.graph.set_knobs(sparse="never")
        assert "subject" in stand.walk(walk.link).rows[0]


def test_leaving_the_folder_is_removed_whether_deleted_or_moved() -> None:
    with standing() as stand:
        gone, moved = stand.deliver("gone", "moved")
        link = stand.walk().link
        stand.graph.hard_delete(ADDRESS, gone)
        stand.graph.move(ADDRESS, moved, "archive")
        walk = stand.walk(link)
        assert set(walk.removed) == {gone, moved}
        assert walk.present == []
        assert all(row["@removed"] == {"reason": "deleted"} for row in walk.rows)


def test_a_move_changes_the_default_id_and_keeps_the_immutable_one() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        before = stand.graph.mutable_id(ADDRESS, message)
        source, target = stand.walk(prefer=None), stand.walk("mailFolders/archive/messages/delta", None)
        stand.graph.move(ADDRESS, message, "archive")
        after = stand.graph.mutable_id(ADDRESS, message)
        assert before != after
        assert stand.walk(source.link, None).removed == [before]
        assert stand.walk(target.link, None).present == [after]
        assert stand.walk(source.link).removed == [message]
        assert stand.walk(target.link).present == [message]


def test_there_and_back_again_under_immutable_ids_is_only_removed() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        link, other = stand.walk().link, stand.walk("mailFolders/archive/messages/delta").link
        before = stand.graph.mutable_id(ADDRESS, message)
        stand.graph.move(ADDRESS, message, "archive")
        stand.graph.move(ADDRESS, message, "inbox")
        walk = stand.walk(link)
        assert (walk.removed, walk.present) == ([message], [])
        assert stand.walk(walk.link).rows == []
        assert stand.walk(other).removed == [message]
        default = stand.walk(link, None)
        assert default.removed == [before]
        assert default.present == [stand.graph.mutable_id(ADDRESS, message)]


def test_the_lost_return_can_be_switched_off() -> None:
    with standing(lost_return=False, report_unseen_removals=False) as stand:
        (message,) = stand.deliver("m")
        link, other = stand.walk().link, stand.walk("mailFolders/archive/messages/delta").link
        stand.graph.move(ADDRESS, message, "archive")
        stand.graph.move(ADDRESS, message, "inbox")
        assert (stand.walk(link).removed, stand.walk(link).present) == ([], [message])
        assert stand.walk(other).rows == []


def test_what_leaves_during_a_walk_is_said_by_the_next_round() -> None:
    with standing(messages=15) as stand:
        page = stand.get(INBOX, IMMUTABLE)
        shown = {row["id"] for row in page["value"]}
        late = next(id_ for id_ in stand.graph.snapshot(ADDRESS) if id_ not in shown)
        stand.graph.hard_delete(ADDRESS, late)
        rest = stand.walk(page["@odata.nextLink"])
        assert late not in rest.ids
        assert stand.walk(rest.link).removed == [late]


def test_earlier_changes_come_again_and_twice_on_a_page() -> None:
    with standing(messages=5, replay_probability=1.0, duplicate_probability=0.5) as stand:
        walk = stand.walk(prefer=BIG)
        assert len(walk.ids) > len(set(walk.ids)) == 5
        replayed = stand.walk(walk.link, BIG)
        assert len(replayed.rows) == 1
        assert replayed.ids[0] in walk.ids


def test_order_is_none_unless_newest_first_is_asked_for() -> None:
    with standing() as stand:
        ids = [stand.graph.deliver(ADDRESS, plain(f"n{at}"), received_at_s=1.7e9 + at * 60) for at in range(30)]
        assert stand.walk(prefer=BIG).ids not in (ids, ids[::-1])
        assert stand.walk(f"{INBOX}?$orderby=receivedDateTime desc", BIG).ids == ids[::-1]
        assert stand.error(f"{INBOX}?$orderby=receivedDateTime asc")[1] == "ErrorInvalidUrlQuery"
        assert stand.error(f"{INBOX}?$orderby=subject")[0] == 400


def test_a_change_may_show_late_and_never_out_of_order() -> None:
    clock = StillClock()
    with standing(clock, visibility_delay_s=30) as stand:
        link = stand.walk().link
        (message,) = stand.deliver("m")
        assert stand.walk().rows == []
        early = stand.walk(link)
        assert early.rows == []
        clock.advance(31)
        assert stand.walk(early.link).ids == [message]


def test_a_filter_on_the_time_of_arrival_stays_in_the_chain() -> None:
    with standing() as stand:
        old = stand.graph.deliver(ADDRESS, plain("old"), received_at_s=1.6e9)
        new = stand.graph.deliver(ADDRESS, plain("new"), received_at_s=1.7e9)
        walk = stand.walk(f"{INBOX}?$filter=receivedDateTime ge 2023-01-01T00:00:00Z")
        assert walk.ids == [new]
        stand.graph.deliver(ADDRESS, plain("older"), received_at_s=1.5e9)
        stand.graph.update(ADDRESS, old, is_read=True)
        assert stand.walk(walk.link).ids == [old]  # read changes and removals are not filtered
        assert stand.walk(f"{INBOX}?$filter=receivedDateTime gt 2023-11-14T22:13:20Z").ids == []


def test_a_filtered_delta_ends_at_its_cap() -> None:
    with standing(messages=30, filtered_delta_max=12) as stand:
        assert len(stand.walk(f"{INBOX}?$filter=receivedDateTime ge 2020-01-01T00:00:00Z").ids) == 12


def test_other_filters_and_search_are_refused() -> None:
    with standing() as stand:
        words = (
            "The '$filter' parameter value is not supported for 'Messages' resource; "
            "only a value of 'receivedDateTime ge value' is supported."
        )
        for text in ("isRead eq false", "receivedDateTime le 2020-01-01T00:00:00Z", "subject eq 'a'"):
            assert stand.error(f"{INBOX}?$filter={text}") == (400, "ErrorInvalidUrlQuery", words)
        assert stand.error(f"{INBOX}?$search=a")[0] == 400
        assert stand.error(f"{INBOX}?$select=nonsense")[0] == 400
        assert stand.error(f"{INBOX}?$nonsense=1")[0] == 400


def test_a_chain_can_be_narrowed_to_one_kind_of_change() -> None:
    with standing() as stand:
        first, second = stand.deliver("first", "second")
        links = {kind: stand.walk(f"{INBOX}?changeType={kind}").link for kind in ("created", "updated", "deleted")}
        (third,) = stand.deliver("third")
        stand.graph.update(ADDRESS, first, flag="flagged")
        stand.graph.hard_delete(ADDRESS, second)
        assert stand.walk(links["created"]).ids == [third]
        assert stand.walk(links["updated"]).ids == [first]
        assert stand.walk(links["deleted"]).removed == [second]
        assert stand.error(f"{INBOX}?changeType=moved")[0] == 400


def test_deltatoken_latest_is_ignored() -> None:
    with standing(messages=3) as stand:
        assert len(stand.walk(f"{INBOX}?$deltatoken=latest").rows) == 3


def test_empty_and_short_pages_come_with_a_next_link() -> None:
    with standing(messages=20, empty_page_probability=0.5, short_page_probability=0.5) as stand:
        walks = [stand.walk(prefer=f"odata.maxpagesize=20, {IMMUTABLE}") for _ in range(5)]
        assert all(len(set(walk.ids)) == 20 for walk in walks)
        assert any(0 in walk.sizes[:-1] for walk in walks)
        assert any(0 < size < 20 for walk in walks for size in walk.sizes)
        stand.graph.set_knobs(empty_page_probability=0.0, short_page_probability=0.0, trailing_empty_page=True)
        assert stand.walk(prefer=BIG).sizes == [20, 0]


def test_the_last_page_with_rows_has_the_delta_link() -> None:
    with standing(messages=20) as stand:
        assert stand.walk().sizes == [10, 10]
        assert stand.walk("mailFolders/drafts/messages/delta").sizes == [0]


def test_a_folder_that_is_gone_has_no_sync() -> None:
    with standing() as stand:
        folder = stand.graph.add_folder(ADDRESS, "Passing")
        link = stand.walk(f"mailFolders/{folder}/messages/delta").link
        stand.graph.delete_folder(ADDRESS, folder)
        assert stand.error(link)[:2] == (404, "ErrorSyncFolderNotFound")


def test_a_full_mailbox_refuses_delta_alone() -> None:
    with standing(messages=1) as stand:
        link = stand.walk().link
        stand.graph.set_mailbox_full(ADDRESS)
        for path in (link, INBOX, "mailFolders/delta"):
            assert stand.error(path)[:2] == (403, "ErrorQuotaExceeded")
        assert len(stand.get("mailFolders/inbox/messages")["value"]) == 1
        stand.graph.set_mailbox_full(ADDRESS, False)
        assert stand.walk(link).rows == []


def test_a_page_too_big_for_the_gateway_is_a_504_that_costs_no_link() -> None:
    with standing(page_bytes_max=3000) as stand:
        stand.deliver(*("x" * 800 + str(number) for number in range(6)))
        answer = stand.ask("GET", INBOX, "odata.maxpagesize=6")
        assert answer.status_code == 504
        assert (answer.json()["error"]["code"], answer.json()["error"]["message"]) == ("UnknownError", "")
        assert stand.walk(prefer="odata.maxpagesize=1").sizes == [1] * 6


def test_the_oldest_chain_is_forgotten_when_there_are_too_many() -> None:
    with standing(messages=1, chains_max=2) as stand:
        links = [stand.walk().link for _ in range(3)]
        assert stand.error(links[0])[1] == "SyncStateNotFound"
        assert stand.walk(links[1]).rows == []
