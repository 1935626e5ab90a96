"""The stand-in's listings: order, pages, page tokens that shift, what is hidden, searches, and speed."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.emulators import mail
from tests.infra.gmail_client import ADDRESS, ME, Stand, StillClock, batch_body, plain, standing

REAL_MAIL = Path(__file__).resolve().parents[3] / "shared" / "mail"


@pytest.fixture
def stand() -> Iterator[Stand]:
    with standing(StillClock(start_s=1_790_000_000), quota_enforced=False) as made:
        yield made


def listed(stand: Stand, **params: Any) -> list[str]:
    return [each["id"] for each in stand.get("messages", **params).get("messages", [])]


def found(stand: Stand, q: str) -> list[str]:
    names = {
        message_id: each["payload"]["headers"][0]["value"] for message_id, each in stand.gmail.truth(ADDRESS).items()
    }
    return sorted(names[each] for each in listed(stand, q=q))


def fill(stand: Stand, count: int) -> list[str]:
    """Ids, newest first."""
    made = [stand.gmail.deliver(ADDRESS, plain(f"n{n}"), internal_date_s=1_700_000_000 + n) for n in range(count)]
    return made[::-1]


def test_an_empty_mailbox_lists_nothing_not_an_empty_list(stand: Stand) -> None:
    assert stand.get("messages") == {"resultSizeEstimate": 0}
    assert stand.get("threads") == {"resultSizeEstimate": 0}
    assert stand.get("drafts") == {"resultSizeEstimate": 0}
    assert stand.get("profile")["messagesTotal"] == 0


def test_messages_come_newest_first_a_hundred_a_page_five_hundred_at_most(stand: Stand) -> None:
    ids = fill(stand, 620)
    first = stand.get("messages")
    assert [each["id"] for each in first["messages"]] == ids[:100]
    assert first["messages"][0] == {"id": ids[0], "threadId": ids[0]}
    big = stand.get("messages", maxResults=9999)
    assert len(big["messages"]) == 500
    assert listed(stand, maxResults=500, pageToken=big["nextPageToken"]) == ids[500:]
    stand.get("messages", 400, maxResults="many")
    stand.get("messages", 400, pageToken="nonsense")
    stand.get("messages", 400, pageToken=big["nextPageToken"], q="other")


def test_a_deletion_while_paging_shifts_positional_tokens_and_not_anchored_ones(stand: Stand) -> None:
    ids = fill(stand, 10)
    token = stand.get("messages", maxResults=4)["nextPageToken"]
    stand.gmail.delete(ADDRESS, ids[0])
    assert listed(stand, pageToken=token) == ids[5:], "the fifth is never seen"
    stand.gmail.settings.page_tokens = "anchored"
    token = stand.get("messages", maxResults=4)["nextPageToken"]
    stand.gmail.delete(ADDRESS, ids[1])
    assert listed(stand, pageToken=token) == ids[5:]
    token = stand.get("messages", maxResults=2)["nextPageToken"]
    stand.gmail.deliver(ADDRESS, plain("new"))
    assert listed(stand, pageToken=token) == ids[4:]


def test_spam_and_trash_are_hidden_unless_asked_for(stand: Stand) -> None:
    spam, trash, kept = fill(stand, 3)
    stand.gmail.relabel(ADDRESS, spam, add=["SPAM"])
    stand.gmail.trash(ADDRESS, trash)
    assert listed(stand) == [kept]
    assert listed(stand, includeSpamTrash="true") == [spam, trash, kept]
    assert listed(stand, q="in:trash") == [trash]
    assert listed(stand, q="in:anywhere") == [spam, trash, kept]
    assert listed(stand, labelIds="SPAM") == [spam]
    stand.get("messages", 400, includeSpamTrash="maybe")


def test_label_ids_are_anded_and_unknown_ones_refused(stand: Stand) -> None:
    ids = fill(stand, 3)
    stand.gmail.relabel(ADDRESS, ids[1], add=["STARRED"])
    assert listed(stand, labelIds=["INBOX", "STARRED"]) == [ids[1]]
    stand.get("messages", 400, labelIds="Label_77")


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("after:1699000000 before:1700000000", ["old"]),
        ("after:1700000000", ["new", "old"]),
        ("before:1699999999", []),
        ("after:2023/11/14 before:2023/11/15", ["old"]),
        ("newer_than:1d", ["new"]),
        ("older_than:1y", ["old"]),
        ("from:a@example.org", ["new", "old"]),
        ("subject:new", ["new"]),
        ("-subject:new", ["old"]),
        ("subject:(new)", ["new"]),
        ("subject:{new old}", ["new", "old"]),
        ("rfc822msgid:<one@example.org>", ["old"]),
        ("rfc822msgid:two@example.org", ["new"]),
        ("label:work", ["old"]),
        ('label:"work stuff"', ["old"]),
        ("label:work-stuff", ["old"]),
        ("label:Label_1", []),
        ("in:inbox is:unread", ["new"]),
        ("is:read", ["old"]),
        ("{subject:new subject:old}", ["new", "old"]),
        ("subject:new OR subject:old", ["new", "old"]),
        ("-{subject:new subject:old}", []),
        ('"body of new"', ["new"]),
        ("has:attachment", []),
        ("-in:chats", ["new", "old"]),
        ("larger:1M", []),
        ("smaller:1M", ["new", "old"]),
    ],
)
def test_the_search_operators_clients_use(stand: Stand, q: str, expected: list[str]) -> None:
    work, stuff = stand.gmail.add_label(ADDRESS, "Work"), stand.gmail.add_label(ADDRESS, "Work stuff")
    stand.gmail.deliver(ADDRESS, plain("old", Message_ID="<one@example.org>"), [work, stuff], 1_700_000_000)
    stand.gmail.deliver(ADDRESS, plain("new", Message_ID="<two@example.org>"))
    assert found(stand, q) == expected


def test_twenty_thousand_messages_load_and_list_quickly() -> None:
    with standing(quota_enforced=False) as stand:
        began_s = time.monotonic()
        for number in range(20_000):
            stand.gmail.deliver(ADDRESS, b"Subject: n%d\r\n\r\nx" % number)
        loaded_s = time.monotonic()
        token: dict[str, Any] = {}
        seen = 0
        while True:
            page = stand.get("messages", maxResults=500, **token)
            seen += len(page["messages"])
            if "nextPageToken" not in page:
                break
            token = {"pageToken": page["nextPageToken"]}
        assert seen == 20_000
        assert loaded_s - began_s < 15
        assert time.monotonic() - loaded_s < 5


def test_all_real_mail_is_served_in_every_format() -> None:
    if not REAL_MAIL.is_dir():
        pytest.skip(f"{REAL_MAIL} is not on this machine")
    with standing(quota_enforced=False, concurrency_max=100) as stand:
        ids = stand.gmail.load(ADDRESS, mail.load(str(REAL_MAIL)))
        assert len(set(ids)) == 2641
        for form, wanted in (("metadata", ids), ("full", ids), ("raw", ids[::20])):
            for at in range(0, len(wanted), 100):
                targets = [f"{ME}/messages/{each}?format={form}" for each in wanted[at : at + 100]]
                answer = stand.http.post(
                    "/batch", content=batch_body(targets), headers={"Content-Type": "multipart/mixed; boundary=b1"}
                )
                assert answer.content.count(b"\r\n\r\nHTTP/1.1 200 OK\r\n") == len(targets)
