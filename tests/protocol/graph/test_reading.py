"""An Outlook mailbox as an app reads it: conversations page by page, cached messages, one request in flight."""

import orjson
import pytest

from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.graph import known, message
from shared.protocol.graph.message import Reading
from shared.protocol.graph.reading import THREAD_PAGES_MAX, GraphReading
from shared.protocol.step import Fetched, Members
from shared.protocol.wire import Request, Response
from tests.protocol.graph.answers import NEXT, box, listed
from tests.protocol.graph.test_message import ROW
from tests.protocol.graph.test_stream import ID, entry, row, stream
from tests.protocol.plans import carried


def test_a_conversation_is_read_over_the_whole_mailbox_page_by_page() -> None:
    at = GraphReading(box("F"))
    rows = [{**ROW, "id": each} for each in "abc"]
    found, asked = carried(at.thread("it's"), listed(*rows[:2], ended=False), listed(rows[2]))
    query = (("$filter", "conversationId eq 'it''s'"), ("$select", message.select(True)), message.ATTACHED)
    headers = {"prefer": at.box.asking.prefer}
    assert asked == [Request("GET", "/v1.0/me/messages", query, headers), Request("GET", NEXT, (), headers)]
    whole = {each["id"]: message.parse(each, Reading("text", 1000)) for each in rows}
    assert found == Members(whole, whole=True)


def test_a_conversation_with_a_row_that_has_no_id_is_not_whole() -> None:
    found, _ = carried(GraphReading(box("F")).thread("c"), listed(ROW, {}, ended=False), listed())
    assert found == Members({ROW["id"]: message.parse(ROW, Reading("text", 1000))}, whole=False)


def test_a_conversation_that_is_nowhere_is_none_and_one_without_an_end_is_not_whole() -> None:
    at = GraphReading(box("F"))
    assert carried(at.thread("c"), listed())[0] is None
    pages = [listed(ROW, link=f"{NEXT}{number}") for number in range(THREAD_PAGES_MAX)]
    found, asked = carried(at.thread("c"), *pages)
    assert found == Members({ROW["id"]: message.parse(ROW, Reading("text", 1000))}, whole=False)
    assert len(asked) == THREAD_PAGES_MAX
    with pytest.raises(ContractBroken):
        carried(at.thread("c"), Response(200, {}, b"[]"))
    with pytest.raises(ProviderDown):
        carried(at.thread("c"), pages[0], pages[0])


@pytest.mark.parametrize("in_turn", [False, True])
def test_the_parts_of_a_batch_are_in_turn_where_others_read_too(in_turn: bool) -> None:
    at = GraphReading(box("F"), in_turn=in_turn)
    parts = [(each, Request("GET", f"/v1.0/me/messages/{each}")) for each in "abc"]
    request = at.batch(parts, "boundary")
    asked = orjson.loads(request.body or b"")["requests"]
    assert [part["url"] for part in asked] == ["/me/messages/a", "/me/messages/b", "/me/messages/c"]
    assert [part.get("dependsOn") for part in asked] == [None, *([["a"], ["b"]] if in_turn else [None, None])]
    assert not GraphReading(box("F")).in_turn


def test_any_id_could_exist_but_only_some_can_be_in_the_index() -> None:
    at = GraphReading(box("F"))
    assert at.could_exist("")
    assert (at.known_id("short"), at.known_id(ID)) == ("~short", None)
    packed = at.pack_id(ID)
    assert at.known_id(ID) == packed


@pytest.mark.parametrize(("newer_ms", "shown_unread"), [(-1, False), (0, False), (1, True)])
def test_the_newer_of_cache_and_index_is_followed(newer_ms: int, shown_unread: bool) -> None:
    at = GraphReading(stream().box)
    value = entry(at, isRead=True)
    held = Fetched(message.parse(row(), at.box.asking.reading).message, str(known.unpack(value).modified_ms + newer_ms))
    found = at.followed(value, held)
    assert found is not None
    assert found.message["unread"] is shown_unread
    assert at.followed(entry(at, subject="other"), held) == (held if newer_ms > 0 else None)
