"""The stand-in's mailbox by API: listings, tokens, formats, masks, searches, threads, labels, drafts, scopes."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.emulators import mail
from infra.emulators.gmail.settings import SCOPE_METADATA, SCOPE_READONLY
from tests.infra.gmail_client import ADDRESS, ME, Stand, StillClock, batch_body, plain, standing

REAL_MAIL = Path("/work/shared/mail")


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


def test_each_format_holds_what_it_should(stand: Stand) -> None:
    raw = b"Subject: it's <b> & \"q\"\r\nX-A: 1\r\nx-a: 2\r\nFrom: a@b\r\n\r\nDon't & <stop>\r\n"
    message_id = stand.gmail.deliver(ADDRESS, raw, [], 1_700_000_000.5)
    minimal = stand.get(f"messages/{message_id}", format="minimal")
    assert minimal == {
        "id": message_id,
        "threadId": message_id,
        "snippet": "Don&#39;t &amp; &lt;stop&gt;",
        "sizeEstimate": len(raw),
        "historyId": str(stand.gmail.history_id(ADDRESS)),
        "internalDate": "1700000000500",
    }
    metadata = stand.get(f"messages/{message_id}", format="metadata")["payload"]
    assert metadata.keys() == {"mimeType", "headers"}
    assert [header["name"] for header in metadata["headers"]] == ["Subject", "X-A", "x-a", "From"]
    chosen = stand.get(f"messages/{message_id}", format="metadata", metadataHeaders=["from", "X-A"])["payload"]
    assert [header["value"] for header in chosen["headers"]] == ["1", "2", "a@b"]
    full = stand.get(f"messages/{message_id}")
    assert base64.urlsafe_b64decode(full["payload"]["body"]["data"]) == b"Don't & <stop>\r\n"
    assert base64.urlsafe_b64decode(stand.get(f"messages/{message_id}", format="raw")["raw"]) == raw
    stand.get(f"messages/{message_id}", 400, format="FULL")


def test_attachments_are_fetched_by_id_and_text_is_utf8_whatever_its_charset(stand: Stand) -> None:
    raw = (
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nr\xe4k\r\n"
        b"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC/w==\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n--b--\r\n"
    )
    message_id = stand.gmail.deliver(ADDRESS, raw)
    payload = stand.get(f"messages/{message_id}")["payload"]
    text, pdf, attached = payload["parts"]
    assert [part["partId"] for part in payload["parts"]] == ["0", "1", "2"]
    assert base64.urlsafe_b64decode(text["body"]["data"]).decode() == "räk"
    assert (pdf["filename"], pdf["body"]["size"]) == ("a.pdf", 4)
    body = stand.get(f"messages/{message_id}/attachments/{pdf['body']['attachmentId']}")
    assert base64.urlsafe_b64decode(body["data"]) == b"\x00\x01\x02\xff"
    assert attached["parts"][0]["partId"] == "2.0"
    stand.get(f"messages/{message_id}/attachments/nonsense", 400)
    other = stand.gmail.deliver(ADDRESS, raw)
    stand.get(f"messages/{other}/attachments/{pdf['body']['attachmentId']}", 400)


@pytest.mark.parametrize(
    ("mask", "answer"),
    [
        ("emailAddress", {"emailAddress": ADDRESS}),
        ("emailAddress,messagesTotal", {"emailAddress": ADDRESS, "messagesTotal": 0}),
        ("*", None),
        (" emailAddress , threadsTotal", {"emailAddress": ADDRESS, "threadsTotal": 0}),
        ("nonsense", 400),
        ("emailAddress/x", 400),
        ("emailAddress(", 400),
        ("emailAddress,", 400),
        ("(", 400),
        ("a b", 400),
        ("emailAddress)", 400),
    ],
)
def test_a_mask_selects_or_is_refused(stand: Stand, mask: str, answer: Any) -> None:
    if answer == 400:
        assert "Invalid field selection" in stand.get("profile", 400, fields=mask)["error"]["message"]
    else:
        assert stand.get("profile", fields=mask) == (answer or stand.get("profile"))


def test_masks_reach_into_lists_and_leave_an_empty_object_if_nothing_is_there(stand: Stand) -> None:
    message_id = stand.gmail.deliver(ADDRESS, plain("x"), [])
    answer = stand.get(f"messages/{message_id}", fields="id,payload/headers(name),labelIds")
    assert answer == {"id": message_id, "payload": {"headers": [{"name": name} for name in ("Subject", "From", "To")]}}
    assert stand.get(f"messages/{message_id}", fields="labelIds") == {}
    assert stand.get("messages", fields="messages/id") == {"messages": [{"id": message_id}]}


def test_ids_are_told_apart_as_unknown_and_malformed(stand: Stand) -> None:
    assert stand.get("messages/18c0ffee12345678", 404)["error"]["message"] == "Requested entity was not found."
    assert stand.get("messages/not-an-id", 400)["error"]["message"] == "Invalid id value"
    stand.get("threads/18c0ffee12345678", 404)
    assert len(stand.gmail.deliver(ADDRESS, plain("x"))) == 16


def test_strangers_parameters_paths_and_users_are_refused(stand: Stand) -> None:
    assert "Unknown name" in stand.get("messages", 400, max_results="3")["error"]["message"]
    stand.get("messages", 400, maxResults=["1", "2"])
    stand.get("nowhere", 404)
    assert stand.http.get(f"/gmail/v1/users/{ADDRESS}/profile").status_code == 200
    denied = stand.http.get("/gmail/v1/users/other@example.com/profile")
    assert (denied.status_code, denied.json()["error"]["message"]) == (403, "Delegation denied for other@example.com")
    assert stand.http.get(f"{ME}/profile", headers={"Authorization": ""}).status_code == 401
    assert stand.http.get(f"{ME}/profile", headers={"Authorization": "Basic x"}).status_code == 401


def test_scopes_are_enforced(stand: Stand) -> None:
    message_id = stand.gmail.deliver(ADDRESS, plain("x"))

    def status(scope: str, path: str, method: str = "GET") -> int:
        token = stand.gmail.access_token(ADDRESS, [scope])
        return stand.http.request(method, f"{ME}/{path}", headers={"Authorization": f"Bearer {token}"}).status_code

    assert status(SCOPE_METADATA, "messages") == 200
    assert status(SCOPE_METADATA, "messages?q=x") == 403
    assert status(SCOPE_METADATA, f"messages/{message_id}") == 200
    assert status(SCOPE_METADATA, f"messages/{message_id}?format=full") == 403
    assert status(SCOPE_METADATA, f"messages/{message_id}?format=raw") == 403
    assert status(SCOPE_READONLY, f"messages/{message_id}?format=raw") == 200
    assert status(SCOPE_READONLY, f"messages/{message_id}/trash", "POST") == 403
    assert status("openid", "profile") == 403


def test_a_thread_needs_a_reference_and_the_same_subject(stand: Stand) -> None:
    first = stand.gmail.deliver(ADDRESS, plain("Roof", Message_ID="<1@x>"))
    answer = stand.gmail.deliver(ADDRESS, plain("Re: roof", Message_ID="<2@x>", In_Reply_To="<1@x>"))
    deeper = stand.gmail.deliver(ADDRESS, plain("RE: Fwd: Roof", References="<0@x> <2@x>"))
    other = stand.gmail.deliver(ADDRESS, plain("Cellar", In_Reply_To="<1@x>"))
    lonely = stand.gmail.deliver(ADDRESS, plain("Roof"))
    threads = {each["id"]: each["threadId"] for each in stand.get("messages")["messages"]}
    assert threads == {first: first, answer: first, deeper: first, other: other, lonely: lonely}
    thread = stand.get(f"threads/{first}", format="minimal")
    assert [each["id"] for each in thread["messages"]] == [first, answer, deeper]
    assert len(stand.get("threads")["threads"]) == 3
    stand.gmail.delete(ADDRESS, first)
    assert [each["id"] for each in stand.get(f"threads/{first}", format="minimal")["messages"]] == [answer, deeper]


def test_labels_live_and_die(stand: Stand) -> None:
    made = stand.call("POST", "labels", json={"name": "Trip"})
    assert made["id"] == "Label_1"
    stand.call("POST", "labels", 409, json={"name": "trip"})
    message_id = stand.gmail.deliver(ADDRESS, plain("x"))
    stand.call("POST", f"messages/{message_id}/modify", json={"addLabelIds": ["Label_1"], "removeLabelIds": ["UNREAD"]})
    counts = stand.get("labels/Label_1")
    assert (counts["messagesTotal"], counts["messagesUnread"], counts["threadsTotal"]) == (1, 0, 1)
    assert {"INBOX", "SENT", "Label_1"} <= {each["id"] for each in stand.get("labels")["labels"]}
    stand.call("DELETE", "labels/Label_1", 204)
    stand.get("labels/Label_1", 404)
    assert stand.get(f"messages/{message_id}", format="minimal")["labelIds"] == ["INBOX"]
    stand.call("POST", f"messages/{message_id}/modify", 400, json={"addLabelIds": ["SENT"]})
    stand.call("POST", f"messages/{message_id}/modify", 400, json={"addLabelIds": ["Label_1"]})
    stand.call("POST", f"messages/{message_id}/modify", 400, content=b"{")
    stand.call("POST", f"messages/{message_id}/modify", 400, json={"colour": "red"})


def test_a_message_to_oneself_is_one_message(stand: Stand) -> None:
    raw = base64.urlsafe_b64encode(plain("self")).decode()
    sent = stand.call("POST", "messages/send", json={"raw": raw})
    assert sent["labelIds"] == ["INBOX", "SENT", "UNREAD"]
    assert stand.get("profile")["messagesTotal"] == 1


def test_the_admin_api_does_over_http_what_the_methods_do(stand: Stand) -> None:
    def admin(name: str, status: int = 200, **given: Any) -> Any:
        answer = stand.http.post(f"/_admin/{name}", json=given)
        assert answer.status_code == status, answer.text
        return answer.json()

    message_id = admin("deliver", address=ADDRESS, raw="Subject: x\r\n\r\n", labels=["INBOX"])["id"]
    admin("relabel", address=ADDRESS, ids=[message_id], add=["STARRED"])
    admin("trash", address=ADDRESS, ids=[message_id])
    assert stand.http.get("/_admin/mailbox", params={"address": ADDRESS}).json()[message_id]["labelIds"] == [
        "STARRED",
        "TRASH",
    ]
    admin("delete", address=ADDRESS, ids=[message_id])
    admin("delete", 400, address=ADDRESS, ids=[message_id])
    draft = admin("save_draft", address=ADDRESS, raw="Subject: d\r\n\r\n")
    assert admin("send_draft", address=ADDRESS, draft_id=draft["draft_id"])["id"] != draft["id"]
    assert len(admin("load", address=ADDRESS)["ids"]) == 120
    before = stand.http.get("/_admin/health").json()["now_s"]
    admin("advance", seconds=60)
    assert stand.http.get("/_admin/health").json()["now_s"] >= before + 60
    admin("settings", latency_ms=0, quota="legacy")
    admin("settings", 400, quota="free")
    admin("settings", 400, no_such_knob=1)
    fault = admin("fault", kind="backend_error", times=1)["id"]
    assert stand.http.get("/_admin/faults").json()[0]["kind"] == "backend_error"
    admin("clear_faults", id=fault)
    admin("fault", 400, kind="earthquake")
    admin("no_such_thing", 404)
    admin("deliver", 400, address="nobody@example.com", raw="x")
    token = admin("refresh_token", address=ADDRESS)["token"]
    assert token.startswith("1//0")
    assert admin("revoke", address=ADDRESS)["revoked"] >= 1
    for name in ("counters", "log", "mailboxes", "pubsub", "settings"):
        assert stand.http.get(f"/_admin/{name}").status_code == 200


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
