"""The Graph stand-in's messages: lists, one message, changes, ids in two formats, headers on every answer."""

import gzip
import re

import pytest

from tests.infra.graph_client import ADDRESS, IMMUTABLE, StillClock, plain, standing

INBOX = "mailFolders/inbox/messages"


def test_a_list_is_newest_first_ten_to_a_page() -> None:
    with standing() as stand:
        ids = [stand.graph.deliver(ADDRESS, plain(f"n{at}"), received_at_s=1.7e9 + at) for at in range(12)]
        first = stand.get(INBOX, IMMUTABLE)
        second = stand.get(first["@odata.nextLink"], IMMUTABLE)
        assert [row["id"] for row in first["value"] + second["value"]] == ids[::-1]
        assert "@odata.nextLink" not in second
        assert len(stand.get("messages?$top=12")["value"]) == 12


@pytest.mark.parametrize("top", ["0", "1001", "ten", "-1"])
def test_top_is_one_to_a_thousand(top: str) -> None:
    with standing() as stand:
        assert stand.error(f"{INBOX}?$top={top}")[0] == 400


def test_skip_in_a_link_is_no_page_number() -> None:
    with standing(messages=30, skip_stride=3) as stand:
        link = stand.get(INBOX)["@odata.nextLink"]
        assert "$skip=30" in link
        seen = [row["id"] for row in stand.get(INBOX)["value"]]
        while link:
            page = stand.get(link)
            seen += [row["id"] for row in page["value"]]
            link = page.get("@odata.nextLink", "")
        assert len(seen) == len(set(seen)) == 30
        by_hand = {row["id"] for row in stand.get(f"{INBOX}?$skip=10")["value"]}
        assert by_hand & set(seen[:10])


def test_time_windows_are_disjoint_lists() -> None:
    with standing() as stand:
        for at in range(6):
            stand.graph.deliver(ADDRESS, plain(f"n{at}"), received_at_s=1_700_000_000 + at * 3600)
        window = "receivedDateTime ge 2023-11-14T23:00:00Z and receivedDateTime lt 2023-11-15T02:00:00Z"
        page = stand.get(f"{INBOX}?$filter={window}&$orderby=receivedDateTime desc&$select=subject&$count=true")
        assert [row["subject"] for row in page["value"]] == ["n3", "n2", "n1"]
        assert page["@odata.count"] == 3


def test_what_is_ordered_by_must_be_filtered_on_first() -> None:
    with standing(messages=1) as stand:
        inefficient = f"{INBOX}?$filter=isRead eq false&$orderby=receivedDateTime desc"
        words = "The restriction or sort order is too complex for this operation."
        assert stand.error(inefficient) == (400, "InefficientFilter", words)
        fine = inefficient.replace("isRead", "receivedDateTime ge 1900-01-01T00:00:00Z and isRead")
        assert len(stand.get(fine)["value"]) == 1


def test_lists_filter_by_the_usual_properties() -> None:
    with standing() as stand:
        (message,) = stand.deliver("it's")
        stand.deliver("other")
        for text in ("subject eq 'it''s'", "from/emailAddress/address eq 'BOB@example.org' and subject eq 'it''s'"):
            assert [row["id"] for row in stand.get(f"{INBOX}?$filter={text}", IMMUTABLE)["value"]] == [message]
        assert stand.error(f"{INBOX}?$filter=nonsense eq 1")[0] == 400
        assert stand.error(f"{INBOX}?$filter=isRead eq maybe")[0] == 400


def test_one_message_has_every_property_and_headers_only_when_selected() -> None:
    with standing() as stand:
        (message,) = stand.deliver("hello")
        row = stand.get(f"messages/{message}", IMMUTABLE)
        assert row["id"] == message
        assert row["subject"] == "hello"
        assert row["from"] == {"emailAddress": {"name": "Bob", "address": "bob@example.org"}}
        assert row["toRecipients"][0]["emailAddress"]["address"] == ADDRESS
        assert row["body"]["contentType"] == "html"
        assert "body of hello" in row["body"]["content"]
        assert row["parentFolderId"] == stand.graph.folder_id(ADDRESS, "inbox")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["receivedDateTime"])
        assert row["@odata.etag"] == f'W/"{row["changeKey"]}"'
        assert "internetMessageHeaders" not in row
        assert "uniqueBody" not in row
        selected = stand.get(f"messages/{message}?$select=internetMessageHeaders")
        assert {"name": "Subject", "value": "hello"} in selected["internetMessageHeaders"]


def test_a_message_that_is_not_there_is_not_in_the_store() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        words = "The specified object was not found in the store."
        assert stand.error("messages/AAMkAnonsense") == (404, "ErrorItemNotFound", words)
        assert stand.error(f"messages/{message.swapcase()}")[0] == 404
        assert stand.error(f"mailFolders/drafts/messages/{message}")[0] == 404


def test_ids_are_long_alike_and_accepted_in_both_formats() -> None:
    with standing() as stand:
        first, second = stand.deliver("a", "b")
        assert 140 <= len(first) <= 160
        assert first[:100] == second[:100]
        assert first != second
        mutable = stand.get(f"messages/{first}")["id"]
        assert mutable != first
        assert stand.get(f"messages/{mutable}", IMMUTABLE)["id"] == first


def test_text_is_preferred_per_request_and_acknowledged() -> None:
    with standing() as stand:
        html = b"Subject: h\r\nContent-Type: text/html\r\n\r\n<p>one</p><script>x</script><p>t&amp;wo</p>"
        message = stand.graph.deliver(ADDRESS, html)
        answer = stand.ask("GET", f"messages/{message}", f'outlook.body-content-type="text", {IMMUTABLE}')
        assert answer.json()["body"] == {"contentType": "text", "content": "one\r\nt&wo"}
        applied = answer.headers["Preference-Applied"]
        assert 'outlook.body-content-type="text"' in applied
        assert "IdType=ImmutableId" in applied
        assert stand.get(f"messages/{message}")["body"]["contentType"] == "html"
        stand.graph.set_knobs(ignore_body_preference_probability=1.0)
        ignored = stand.ask("GET", f"messages/{message}", 'outlook.body-content-type="text"')
        assert ignored.json()["body"]["contentType"] == "html"
        assert "Preference-Applied" not in ignored.headers


def test_every_answer_names_the_request() -> None:
    with standing(messages=1) as stand:
        for path in (INBOX, "messages/nonsense", "nonsense"):
            answer = stand.ask("GET", path, headers={"client-request-id": "c-1"})
            assert answer.headers["client-request-id"] == "c-1"
            assert len(answer.headers["request-id"]) == 36
            assert "ServerInfo" in answer.headers["x-ms-ags-diagnostic"]
            assert "Date" in answer.headers
            if answer.status_code >= 400:
                inner = answer.json()["error"]["innerError"]
                assert inner["request-id"] == answer.headers["request-id"]
                assert inner["client-request-id"] == "c-1"


def test_answers_are_gzipped_only_when_asked_for() -> None:
    with standing(messages=10) as stand:
        assert stand.ask("GET", INBOX, headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
        bare = stand.ask("GET", INBOX, headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in bare.headers
        assert gzip.compress(bare.content)


def test_a_change_over_http_gives_a_new_change_key_and_needs_the_right_kind() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        before = stand.get(f"messages/{message}", IMMUTABLE)
        changes = {"isRead": True, "flag": {"flagStatus": "flagged"}, "categories": ["Red"]}
        after = stand.ask("PATCH", f"messages/{message}", IMMUTABLE, json=changes).json()
        assert changes.items() <= after.items()
        assert after["changeKey"] != before["changeKey"]
        assert stand.graph.snapshot(ADDRESS)[message]["flag"] == "flagged"
        for bad in ({"isRead": "yes"}, {"flag": "flagged"}, {"categories": "Red"}, {"subject": "s"}, {"id": "x"}):
            assert stand.ask("PATCH", f"messages/{message}", json=bad).status_code == 400
        stale = {"If-Match": before["@odata.etag"]}
        assert stand.ask("PATCH", f"messages/{message}", json={"isRead": False}, headers=stale).status_code == 412


def test_two_changes_within_a_second_share_their_modification_time() -> None:
    clock = StillClock(start_s=1_700_000_000.2)
    with standing(clock) as stand:
        (message,) = stand.deliver("m")
        times, keys = set(), set()
        for read in (True, False):
            clock.advance(0.3)
            stand.graph.update(ADDRESS, message, is_read=read)
            row = stand.get(f"messages/{message}")
            times.add(row["lastModifiedDateTime"])
            keys.add(row["changeKey"])
        assert times == {"2023-11-14T22:13:20Z"}
        assert len(keys) == 2
        stand.graph.set_knobs(last_modified_precision_s=0.0)
        assert stand.get(f"messages/{message}")["lastModifiedDateTime"] == "2023-11-14T22:13:20.800000Z"


def test_a_move_answers_with_the_new_id_and_the_old_one_is_gone() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        old = stand.graph.mutable_id(ADDRESS, message)
        answer = stand.ask("POST", f"messages/{old}/move", json={"destinationId": "archive"})
        assert answer.status_code == 201
        assert answer.json()["id"] != old
        assert answer.json()["parentFolderId"] == stand.graph.folder_id(ADDRESS, "archive")
        assert stand.error(f"messages/{old}")[0] == 404
        assert stand.ask("POST", f"messages/{message}/move", json={"destinationId": "nowhere"}).status_code == 404


def test_delete_is_soft_twice_before_it_is_final() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        for folder in ("Deleted Items", "Deletions"):
            assert stand.ask("DELETE", f"messages/{message}").status_code == 204
            assert stand.graph.snapshot(ADDRESS)[message]["folder"] == folder
        assert stand.get("messages")["value"] == []
        assert message not in stand.graph.snapshot(ADDRESS, visible_only=True)
        assert stand.ask("DELETE", f"messages/{message}").status_code == 204
        assert stand.error(f"messages/{message}")[0] == 404


def test_permanent_delete_is_final_at_once() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        assert stand.ask("POST", f"messages/{message}/permanentDelete").status_code == 204
        assert stand.graph.snapshot(ADDRESS) == {}


def test_only_a_drafts_content_changes_and_sending_it_makes_another_message() -> None:
    with standing() as stand:
        draft = stand.graph.save_draft(ADDRESS, b"Subject: d\r\n\r\nx")
        row = stand.get(f"messages/{draft}")
        assert (row["from"], row["isDraft"], row["isRead"]) == (None, True, True)
        assert stand.ask("PATCH", f"messages/{draft}", json={"subject": "new"}).json()["subject"] == "new"
        assert stand.ask("POST", f"messages/{draft}/send").status_code == 202
        ((sent, truth),) = stand.graph.snapshot(ADDRESS).items()
        assert sent != draft
        assert (truth["folder"], truth["subject"], truth["is_draft"]) == ("Sent Items", "new", False)


def test_attachments_are_listed_and_inline_ones_do_not_count() -> None:
    with standing() as stand:
        raw = (
            b"Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
            b"--b\r\nContent-Type: image/png\r\nContent-ID: <i@x>\r\n"
            b'Content-Disposition: inline; filename="i.png"\r\n\r\nP\r\n'
            b"--b\r\nContent-Type: text/csv\r\n"
            b'Content-Disposition: attachment; filename="t.csv"\r\n\r\na,b\r\n--b--\r\n'
        )
        message = stand.graph.deliver(ADDRESS, raw)
        inline, other = stand.get(f"messages/{message}/attachments")["value"]
        assert (inline["name"], inline["isInline"], inline["contentId"]) == ("i.png", True, "i@x")
        assert (other["name"], other["isInline"], other["size"]) == ("t.csv", False, 3)
        assert stand.get(f"messages/{message}")["hasAttachments"] is True
        assert "attachments" not in stand.get(f"messages/{message}")
        beside = stand.get(f"messages/{message}?$select=subject&$expand=attachments($select=id,name,size)")
        assert [each["name"] for each in beside["attachments"]] == ["i.png", "t.csv"]
        assert all("contentBytes" not in each for each in beside["attachments"])
        assert stand.get(f"{INBOX}?$expand=attachments")["value"][0]["attachments"][1]["contentBytes"] == "YSxi"
        assert stand.error(f"messages/{message}?$expand=extensions")[0] == 400
        (chosen,) = {*stand.get(f"messages/{message}/attachments/{other['id']}?$select=size")} & {"name", "size"}
        assert chosen == "size"
        assert stand.get(f"messages/{message}/attachments/{other['id']}")["contentBytes"] == "YSxi"
        assert stand.ask("GET", f"messages/{message}/attachments/{other['id']}/$value").content == b"a,b"
        assert stand.ask("GET", f"messages/{message}/$value").content == raw


def test_a_calendar_part_makes_an_event_message() -> None:
    with standing() as stand:
        raw = b"Subject: m\r\nContent-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
        message = stand.graph.deliver(ADDRESS, raw)
        row = stand.get(f"messages/{message}")
        assert row["@odata.type"] == "#microsoft.graph.eventMessageRequest"
        assert row["meetingMessageType"] == "meetingRequest"
        assert stand.walk().rows[0]["@odata.type"] == "#microsoft.graph.eventMessageRequest"


def test_a_thread_shares_its_conversation() -> None:
    with standing() as stand:
        stand.graph.deliver(ADDRESS, plain("a", Message_ID="<1@x>"))
        stand.graph.deliver(ADDRESS, plain("Re: a", Message_ID="<2@x>", In_Reply_To="<1@x>", References="<1@x>"))
        stand.graph.deliver(ADDRESS, plain("b", Message_ID="<3@x>"))
        rows = stand.get("messages?$select=subject,conversationId")["value"]
        by_subject = {row["subject"]: row["conversationId"] for row in rows}
        assert by_subject["a"] == by_subject["Re: a"] != by_subject["b"]


def test_ids_are_translated_a_thousand_at_a_time() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        asked = {"inputIds": [message, "nonsense"], "sourceIdType": "restImmutableEntryId", "targetIdType": "restId"}
        first, second = stand.ask("POST", "translateExchangeIds", json=asked).json()["value"]
        assert first["targetId"] == stand.graph.mutable_id(ADDRESS, message)
        assert second["errorDetails"]["code"] == "ErrorItemNotFound"
        many = asked | {"inputIds": [message] * 1001}
        assert stand.ask("POST", "translateExchangeIds", json=many).status_code == 400


def test_paths_that_mean_nothing_are_refused() -> None:
    with standing() as stand:
        assert stand.error("nonsense")[:2] == (400, "BadRequest")
        assert stand.ask("POST", "messages/delta").status_code == 405
        assert stand.http.get("/v1.0/nonsense").status_code == 400


def test_the_profile_is_the_users() -> None:
    with standing() as stand:
        me = stand.http.get("/v1.0/me?$select=mail,id").json()
        assert (me["mail"], me["id"]) == (ADDRESS, stand.graph.add_mailbox(ADDRESS))


def test_a_delegated_token_opens_its_own_mailbox_only() -> None:
    with standing(messages=1) as stand:
        stand.graph.add_mailbox("eve@example.com")
        stand.graph.identity.add_user("new@example.com")
        assert stand.http.get("/v1.0/users/eve@example.com/messages").status_code == 403
        headers = stand.bearer("new@example.com")
        code = stand.http.get("/v1.0/me/messages", headers=headers).json()["error"]["code"]
        assert code == "MailboxNotEnabledForRESTAPI"


def test_an_app_only_token_opens_any_mailbox_but_no_me() -> None:
    with standing(messages=1) as stand:
        headers = stand.bearer(None)
        assert len(stand.http.get(f"/v1.0/users/{ADDRESS}/messages", headers=headers).json()["value"]) == 1
        assert stand.http.get("/v1.0/me/messages", headers=headers).status_code == 400
        answer = stand.http.get("/v1.0/users/nobody@example.com/messages", headers=headers)
        assert answer.json()["error"]["code"] == "ErrorInvalidUser"


def test_scopes_are_needed() -> None:
    with standing(messages=1) as stand:
        token = stand.graph.mint_access_token(ADDRESS, ("Mail.Read",))
        headers = {"Authorization": f"Bearer {token}"}
        assert stand.http.get("/v1.0/me/messages", headers=headers).status_code == 200
        assert stand.http.get("/v1.0/me", headers=headers).status_code == 403
        message = next(iter(stand.graph.snapshot(ADDRESS)))
        answer = stand.http.patch(f"/v1.0/me/messages/{message}", json={"isRead": True}, headers=headers)
        assert answer.json()["error"]["code"] == "ErrorAccessDenied"


def test_an_expired_or_absent_token_is_401_with_a_challenge() -> None:
    clock = StillClock()
    with standing(clock) as stand:
        clock.advance(3601)
        answer = stand.ask("GET", "messages")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        bare = stand.ask("GET", "messages", headers={"Authorization": ""})
        assert bare.json()["error"]["message"] == "Access token is empty."


def test_a_conversation_is_a_filter_over_all_folders() -> None:
    with standing() as stand:
        ids = [
            stand.graph.deliver(ADDRESS, plain("one").replace(b"\r\n\r\n", b"\r\nReferences: <o@x>\r\n\r\n"), folder)
            for folder in ("inbox", "archive")
        ]
        stand.graph.deliver(ADDRESS, plain("other"))
        conversation = stand.get(f"messages/{ids[0]}", IMMUTABLE)["conversationId"]
        rows = stand.get(f"messages?$filter=conversationId eq '{conversation}'", IMMUTABLE)["value"]
        assert {row["id"] for row in rows} == set(ids)
        ordered = f"messages?$filter=conversationId eq '{conversation}'&$orderby=receivedDateTime desc"
        assert stand.error(ordered)[:2] == (400, "InefficientFilter")
