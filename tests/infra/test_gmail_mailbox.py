"""The stand-in's mailbox by API: formats, masks, refusals, threads, labels, drafts, scopes."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from infra.emulators.gmail.settings import SCOPE_METADATA, SCOPE_READONLY
from tests.infra.gmail_client import ADDRESS, ME, Stand, StillClock, plain, standing


@pytest.fixture
def stand() -> Iterator[Stand]:
    with standing(StillClock(start_s=1_790_000_000), quota_enforced=False) as made:
        yield made


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
