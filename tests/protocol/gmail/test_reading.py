"""A Gmail mailbox as it is read for an app: threads, ids, and cached messages beside the index."""

from typing import Any

import pytest

from shared.core.errors import ContractBroken
from shared.core.quota import PRICES
from shared.protocol.gmail.known import Known, LabelTable
from shared.protocol.gmail.message import FULL, Reading
from shared.protocol.gmail.reading import GmailReading
from shared.protocol.step import Fetched, Members
from shared.protocol.wire import Response
from tests.protocol.gmail.answers import answer, google_error, resource


def reading() -> GmailReading:
    return GmailReading(PRICES["2026"], Reading("id", FULL, 65536, for_readers=True), LabelTable(), 20)


def told(response: Response) -> Members | None:
    plan = reading().thread("1a")
    request = next(plan)
    assert (request.path, request.units) == ("/gmail/v1/users/me/threads/1a", 40)
    assert dict(request.query) == {
        "format": "full",
        "fields": "id,messages(id,threadId,labelIds,snippet,historyId,internalDate,sizeEstimate,payload)",
    }
    with pytest.raises(StopIteration) as ended:
        plan.send(response)
    found: Members | None = ended.value.value
    return found


def test_a_thread_is_its_messages_and_those_to_be_read_alone() -> None:
    rows = [resource("m1", ["INBOX"], 7), {"id": "m2", "payload": "broken"}, {"payload": {}}]
    members = told(answer({"id": "1a", "messages": rows}))
    assert members is not None
    assert members.whole
    assert {each: bool(found) for each, found in members.found.items()} == {"m1": True, "m2": False}


@pytest.mark.parametrize("status", [404, 410])
def test_a_thread_that_gmail_does_not_find_is_none(status: int) -> None:
    assert told(google_error(status, "notFound")) is None


def test_what_is_no_thread_s_id_is_not_asked_for() -> None:
    with pytest.raises(StopIteration) as ended:
        next(reading().thread("x"))
    assert ended.value.value is None


@pytest.mark.parametrize("body", [[], {"messages": {}}, {"messages": [{"id": 5}]}])
@pytest.mark.parametrize("status", [200, 405, 411])
def test_what_is_no_thread_breaks_the_contract(status: int, body: object) -> None:
    with pytest.raises(ContractBroken, match=r"^a thread can't be read$"):
        told(answer(body, status))


@pytest.mark.parametrize(
    ("identity", "possible"),
    [("1a2b", True), ("1" * 16, True), ("1A2B", False), ("x", False), ("1" * 17, False), ("..", False)],
)
def test_an_id_is_hexadecimal(identity: str, possible: bool) -> None:
    assert reading().could_exist(identity) is possible


def test_a_message_is_known_by_its_packed_id() -> None:
    assert reading().known_id("19ac3f00deadbeef") == "Gaw_AN6tvu8"


def test_the_newer_of_cache_and_index_is_shown() -> None:
    stream = reading()
    message: Any = {"id": "m1", "labels": ["INBOX"]}
    value = stream.labels.pack(Known(20, frozenset({"STARRED"})))
    shown: Any = {"id": "m1", "labels": ["STARRED"], "unread": False, "flagged": True, "draft": False}
    assert stream.followed(value, Fetched(message, "19")) == Fetched(shown, "20")
    for version in ("20", "30"):
        assert stream.followed(value, Fetched(message, version)) == Fetched(message, version)
