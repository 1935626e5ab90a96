"""The stand-in's history: records, pages, and a window that really closes."""

from typing import Any

import pytest

from tests.infra.gmail_client import ADDRESS, Stand, StillClock, plain, standing

DAY_S = 86_400


def history(stand: Stand, start: int | str, **params: Any) -> dict[str, Any]:
    return stand.get("history", startHistoryId=start, **params)


def kinds(answer: dict[str, Any]) -> list[list[str]]:
    return [sorted(record.keys() - {"id", "messages"}) for record in answer.get("history", [])]


def test_no_change_is_an_answer_without_history() -> None:
    with standing(StillClock(), messages=1) as stand:
        now = stand.get("profile")["historyId"]
        assert history(stand, now) == {"historyId": now}


def test_each_change_leaves_its_record_after_the_start_and_not_at_it() -> None:
    with standing(StillClock()) as stand:
        gmail = stand.gmail
        start = gmail.history_id(ADDRESS)
        message_id = gmail.deliver(ADDRESS, plain("x"), ["INBOX", "UNREAD", "CATEGORY_UPDATES"])
        gmail.relabel(ADDRESS, message_id, add=["STARRED"], remove=["UNREAD"])
        gmail.relabel(ADDRESS, message_id, add=["STARRED"])
        gmail.trash(ADDRESS, message_id)
        gmail.untrash(ADDRESS, message_id)
        gmail.delete(ADDRESS, message_id)
        answer = history(stand, start)
        assert kinds(answer) == [
            ["messagesAdded"],
            ["labelsAdded", "labelsRemoved"],
            ["labelsAdded", "labelsRemoved"],
            ["labelsRemoved"],
            ["messagesDeleted"],
        ]
        added, starred, trashed, *_ = answer["history"]
        assert added["messagesAdded"][0]["message"]["labelIds"] == ["CATEGORY_UPDATES", "INBOX", "UNREAD"]
        assert added["messages"] == [{"id": message_id, "threadId": message_id}]
        assert (starred["labelsAdded"][0]["labelIds"], starred["labelsRemoved"][0]["labelIds"]) == (
            ["STARRED"],
            ["UNREAD"],
        )
        assert (trashed["labelsAdded"][0]["labelIds"], trashed["labelsRemoved"][0]["labelIds"]) == (
            ["TRASH"],
            ["INBOX"],
        )
        ids = [int(record["id"]) for record in answer["history"]]
        assert ids == sorted(ids)
        assert start < ids[0]
        assert str(ids[-1]) == answer["historyId"]
        assert kinds(history(stand, ids[0])) == kinds(answer)[1:]
        stand.get(f"messages/{message_id}", 404)


def test_types_and_labels_filter_and_bad_ones_are_refused() -> None:
    with standing(StillClock()) as stand:
        start = stand.gmail.history_id(ADDRESS)
        first = stand.gmail.deliver(ADDRESS, plain("a"))
        stand.gmail.deliver(ADDRESS, plain("b"), [])
        stand.gmail.relabel(ADDRESS, first, add=["STARRED"])
        assert kinds(history(stand, start, historyTypes=["labelAdded", "messageDeleted"])) == [["labelsAdded"]]
        assert len(history(stand, start, labelId="INBOX")["history"]) == 2
        error = stand.get("history", 400, startHistoryId=start, historyTypes="labelsAdded")["error"]
        assert "Invalid value at 'history_types'" in error["message"]
        stand.get("history", 404, startHistoryId=start, labelId="Label_99")


@pytest.mark.parametrize("start", ["", "0", "abc", "-5", "1.5", "9" * 30])
def test_a_start_that_is_no_id_is_a_400(start: str) -> None:
    with standing() as stand:
        stand.get("history", 400, startHistoryId=start)
        stand.get("history", 400)


def test_pages_walk_to_their_end_and_what_happens_meanwhile_shows_in_the_current_id_only() -> None:
    with standing(StillClock()) as stand:
        start = stand.gmail.history_id(ADDRESS)
        ids = [stand.gmail.deliver(ADDRESS, plain(f"n{number}")) for number in range(5)]
        first = history(stand, start, maxResults=2)
        late = stand.gmail.deliver(ADDRESS, plain("late"))
        second = history(stand, start, maxResults=2, pageToken=first["nextPageToken"])
        third = history(stand, start, maxResults=2, pageToken=second["nextPageToken"])
        seen = [record["messages"][0]["id"] for page in (first, second, third) for record in page["history"]]
        assert seen == ids
        assert "nextPageToken" not in third
        assert int(third["historyId"]) > int(first["historyId"])
        assert [record["messages"][0]["id"] for record in history(stand, first["historyId"])["history"]] == [late]
        stand.get("history", 400, startHistoryId=start + 1, pageToken=first["nextPageToken"])
        stand.gmail.settings.history_pages = "live"
        last = history(stand, start, maxResults=2, pageToken=second["nextPageToken"])
        assert [record["messages"][0]["id"] for record in last["history"]] == [ids[4], late]


def test_pages_may_be_empty_and_still_come_to_an_end() -> None:
    with standing(StillClock(), history_empty_page_probability=0.5) as stand:
        start = stand.gmail.history_id(ADDRESS)
        ids = [stand.gmail.deliver(ADDRESS, plain(f"n{number}")) for number in range(30)]
        seen: list[str] = []
        empty = 0
        token: dict[str, str] = {}
        for _ in range(200):
            page = history(stand, start, maxResults=2, **token)
            empty += "history" not in page
            seen += [record["messages"][0]["id"] for record in page.get("history", [])]
            if "nextPageToken" not in page:
                break
            token = {"pageToken": page["nextPageToken"]}
        assert seen == ids
        assert empty > 0


def test_a_week_old_start_is_gone_and_a_young_one_is_not() -> None:
    clock = StillClock()
    with standing(clock) as stand:
        start = stand.gmail.history_id(ADDRESS)
        stand.gmail.deliver(ADDRESS, plain("a"))
        clock.advance(6.9 * DAY_S)
        young = stand.get("profile")["historyId"]
        history(stand, start)
        clock.advance(0.2 * DAY_S)
        error = stand.get("history", 404, startHistoryId=start)["error"]
        assert error["errors"][0]["reason"] == "notFound"
        history(stand, young)


def test_in_a_quiet_mailbox_the_newest_messages_own_id_never_works_and_the_profiles_does() -> None:
    """lieer#301: taking the message's id as the cursor means a full sync for ever."""
    clock = StillClock()
    with standing(clock, messages=1) as stand:
        message_id = stand.get("messages")["messages"][0]["id"]
        clock.advance(8 * DAY_S)
        for _ in range(3):
            own = stand.get(f"messages/{message_id}", format="minimal")["historyId"]
            stand.get("history", 404, startHistoryId=own)
            assert history(stand, stand.get("profile")["historyId"]).keys() == {"historyId"}
            clock.advance(DAY_S)


def test_a_client_that_reads_a_quiet_mailbox_daily_keeps_its_cursor() -> None:
    clock = StillClock()
    with standing(clock, messages=1) as stand:
        cursor = stand.get("profile")["historyId"]
        for _ in range(30):
            clock.advance(DAY_S)
            cursor = history(stand, cursor)["historyId"]


def test_history_expires_by_order_and_by_number_of_records() -> None:
    with standing(StillClock(), messages=1) as stand:
        old = stand.get("profile")["historyId"]
        stand.gmail.expire_history(ADDRESS)
        stand.get("history", 404, startHistoryId=old)
        cursor = stand.gmail.history_id(ADDRESS)
        stand.gmail.settings.retention_records = 3
        for number in range(3):
            stand.gmail.deliver(ADDRESS, plain(f"n{number}"))
        assert len(history(stand, cursor)["history"]) == 3
        stand.gmail.deliver(ADDRESS, plain("fourth"))
        stand.gmail.deliver(ADDRESS, plain("fifth"))
        stand.get("history", 404, startHistoryId=cursor)


def test_history_can_show_late_and_never_says_an_id_it_does_not_show_yet() -> None:
    clock = StillClock()
    with standing(clock, history_visible_after_s=2.0) as stand:
        clock.advance(10)
        cursor = stand.get("profile")["historyId"]
        stand.gmail.deliver(ADDRESS, plain("late"))
        assert history(stand, cursor) == {"historyId": cursor}
        clock.advance(2.1)
        answer = history(stand, cursor)
        assert len(answer["history"]) == 1
        assert int(answer["historyId"]) > int(cursor)


@pytest.mark.parametrize(
    ("mode", "labels"), [("then", ["INBOX", "UNREAD"]), ("now", ["INBOX", "STARRED", "UNREAD"]), ("absent", None)]
)
def test_labels_in_records_are_as_the_knob_says(mode: Any, labels: list[str] | None) -> None:
    with standing(StillClock(), history_labels=mode) as stand:
        start = stand.gmail.history_id(ADDRESS)
        message_id = stand.gmail.deliver(ADDRESS, plain("x"))
        stand.gmail.relabel(ADDRESS, message_id, add=["STARRED"])
        record = history(stand, start)["history"][0]
        assert record["messagesAdded"][0]["message"].get("labelIds") == labels


def test_a_start_ahead_of_the_mailbox_is_empty_or_missing() -> None:
    with standing(StillClock()) as stand:
        ahead = stand.gmail.history_id(ADDRESS) + 1000
        assert history(stand, ahead) == {"historyId": str(ahead - 1000)}
        stand.gmail.settings.history_future = "missing"
        stand.get("history", 404, startHistoryId=ahead)


def test_saving_and_sending_a_draft_changes_the_message_id_each_time() -> None:
    with standing(StillClock()) as stand:
        start = stand.gmail.history_id(ADDRESS)
        draft_id, first = stand.gmail.save_draft(ADDRESS, b"Subject: one\r\n\r\n")
        same, second = stand.gmail.save_draft(ADDRESS, b"Subject: two\r\n\r\n", draft_id)
        sent = stand.gmail.send_draft(ADDRESS, draft_id)
        assert same == draft_id
        assert len({first, second, sent}) == 3
        answer = history(stand, start)
        assert [names[0] for names in kinds(answer)] == ["messagesAdded"] + ["messagesDeleted", "messagesAdded"] * 2
        assert answer["history"][-1]["messagesAdded"][0]["message"]["labelIds"] == ["SENT"]
        stand.get(f"messages/{second}", 404)
        stand.get(f"drafts/{draft_id}", 404)
