"""Delta chains on the wire: requests, links that lead elsewhere, pages, and rows of one message taken together."""

from typing import Any

import orjson
import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph import delta
from shared.protocol.graph.cursor import FIRST, Chain
from shared.protocol.graph.delta import Asking
from shared.protocol.graph.message import Reading
from shared.protocol.step import Fact
from shared.protocol.wire import Response

ORIGIN = "https://graph.microsoft.com"
ASKING = Asking(ORIGIN, 50, Reading("text", 1000))
LINK = f"{ORIGIN}/v1.0/me/mailfolders('A')/messages/delta?$skiptoken=x%2B"


def test_a_first_request_selects_and_sorts_and_never_limits() -> None:
    request = delta.request(ASKING, Chain("A=b/c"))
    query = dict(request.query)
    assert request.path == "/v1.0/me/mailFolders/A=b%2Fc/messages/delta"
    assert query["$orderby"] == "receivedDateTime desc"
    assert query["$select"].endswith(",body")
    assert "$top" not in query
    assert "isRead" in query["$select"]
    light = dict(delta.request(ASKING, Chain("A", light=True)).query)
    assert not light["$select"].endswith(",body")
    assert delta.request(ASKING, Chain("")).path == "/v1.0/me/mailFolders/delta"


def test_a_link_is_used_as_it_came_with_every_preference() -> None:
    request = delta.request(ASKING, Chain("A", LINK))
    assert (request.path, request.query) == (LINK, ())
    assert request.headers["prefer"] == 'odata.maxpagesize=50, IdType="ImmutableId", outlook.body-content-type="text"'
    without = Asking(ORIGIN, 7, Reading("none", 1000))
    assert without.prefer == 'odata.maxpagesize=7, IdType="ImmutableId"'


def test_over_quota_a_list_is_asked_for_from_the_newest_on() -> None:
    request = delta.request(ASKING, Chain("A", LINK, listing=FIRST, received_s=1000.0))
    assert request.path == "/v1.0/me/mailFolders/A/messages"
    assert list(dict(request.query)) == ["$select", "$filter", "$orderby", "$top"]
    assert dict(request.query)["$filter"] == "receivedDateTime ge 1970-01-01T00:16:40.000Z"
    assert "$filter" not in dict(delta.request(ASKING, Chain("A", listing=FIRST)).query)
    assert delta.request(ASKING, Chain("A", LINK, listing=LINK + "2")).path == LINK + "2"


@pytest.mark.parametrize(
    "link",
    [
        "http://graph.microsoft.com/v1.0/me",
        "https://graph.microsoft.com.evil.example/v1.0/me",
        "https://evil.example/v1.0/me",
        "https://graph.microsoft.com:8443/v1.0/me",
        "https://user@graph.microsoft.com/v1.0/me",
        "https://graph.microsoft.com/v1.0/me#fragment",
        "https://graph.microsoft.com/beta/me",
        "https://graph.microsoft.com:port/v1.0/me",
        "/v1.0/me",
        "https://graph.microsoft.com/v1.0/ü",
        "",
        "x" * 20_000,
        7,
    ],
)
def test_a_link_that_leads_elsewhere_is_not_followed(link: object) -> None:
    with pytest.raises(ContractBroken):
        delta.checked(ASKING, link)


def test_a_link_to_the_configured_place_is() -> None:
    assert delta.checked(ASKING, LINK) == LINK
    explicit = LINK.replace(ORIGIN, ORIGIN + ":443")
    assert delta.checked(ASKING, explicit) == explicit
    local = Asking("http://127.0.0.1:8080", 50, Reading("text", 1))
    assert delta.checked(local, "http://127.0.0.1:8080/v1.0/me/x") == "http://127.0.0.1:8080/v1.0/me/x"


def page(document: Any) -> Response:
    return Response(200, {}, orjson.dumps(document))


def test_a_page_has_rows_and_exactly_one_link() -> None:
    rows = [{"id": "a"}, {"id": "b", "@removed": {"reason": "deleted"}}]
    found = delta.read_page(ASKING, page({"value": rows, "@odata.deltaLink": LINK}))
    assert (found.rows, found.link, found.ended) == (tuple(rows), LINK, True)
    assert not delta.read_page(ASKING, page({"value": [], "@odata.nextLink": LINK})).ended
    listed = delta.read_page(ASKING, page({"value": []}), of_list=True)
    assert (listed.link, listed.ended) == ("", True)
    assert delta.read_page(ASKING, page({"value": [], "@odata.nextLink": LINK}), of_list=True).link == LINK


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"value": {}},
        {"value": []},
        {"value": [], "@odata.nextLink": LINK, "@odata.deltaLink": LINK},
        {"value": [7], "@odata.deltaLink": LINK},
        {"value": [{"id": ""}], "@odata.deltaLink": LINK},
        {"value": [{"id": "x" * 2000}], "@odata.deltaLink": LINK},
        {"value": [{"subject": "x"}], "@odata.deltaLink": LINK},
    ],
)
def test_what_is_no_page_breaks_the_contract(document: Any) -> None:
    with pytest.raises(ContractBroken):
        delta.read_page(ASKING, page(document))


def test_a_page_that_is_no_json_breaks_the_contract() -> None:
    with pytest.raises(ContractBroken):
        delta.read_page(ASKING, Response(200, {}, b"<html>"))


GONE: dict[str, object] = {"id": "m", "@removed": {"reason": "deleted"}}


def full(at: int, **fields: object) -> dict[str, object]:
    return {"id": "m", "lastModifiedDateTime": f"2026-11-24T10:00:{at:02d}Z", **fields}


def taken(*shown: tuple[str, dict[str, object], bool]) -> Fact:
    (fact,) = delta.facts(shown)
    return fact


def test_one_row_is_a_row_and_one_removal_a_departure() -> None:
    fact = taken(("A", full(1), True))
    assert fact.row == {"folder": "A", "emit": True, "said": full(1)}
    assert (fact.gone, fact.version) == (False, "1795514401000")
    assert taken(("A", GONE, False)) == Fact("m", gone=True, row={"left": ("A",)})


def test_removals_of_several_folders_are_told_together() -> None:
    assert taken(("A", GONE, False), ("B", GONE, False)).row == {"left": ("A", "B")}


@pytest.mark.parametrize("turned", [False, True])
def test_a_removal_here_and_a_row_there_is_a_move(turned: bool) -> None:
    shown = [("A", GONE, False), ("B", full(1), True)]
    fact = taken(*(reversed(shown) if turned else shown))
    assert not fact.gone
    assert fact.row is not None
    assert fact.row["folder"] == "B"


@pytest.mark.parametrize("emit", [False, True])
def test_a_removal_and_a_row_of_the_same_folder_have_to_be_read(emit: bool) -> None:
    fact = taken(("A", GONE, False), ("A", full(1), emit))
    assert fact == (Fact("m", content=True) if emit else Fact("m", gone=True))
    assert taken(("A", full(1), emit), ("A", GONE, False), ("B", full(2), emit)) == fact
    assert taken(("B", full(1), emit), ("A", full(1), emit), ("A", GONE, False)) == fact


def test_the_newer_of_two_whole_rows_wins_in_any_order() -> None:
    for one, other in ((1, 2), (2, 1)):
        fact = taken(("A", full(one), False), ("A", full(other), True))
        assert fact.row is not None
        assert fact.row["said"] == full(2)
        assert fact.row["emit"]


def test_the_same_row_twice_is_one_row() -> None:
    for shown in ([("A", full(1), True), ("A", full(1), False)], [("A", full(1), False), ("A", full(1), True)]):
        assert taken(*shown).row == {"folder": "A", "emit": True, "said": full(1)}


def test_rows_that_nobody_can_order_have_to_be_read() -> None:
    sparse: dict[str, object] = {"id": "m", "isRead": True}
    assert taken(("A", sparse, True), ("A", full(1), True)) == Fact("m", content=True)
    assert taken(("A", full(1), False), ("A", full(1, isRead=True), False)) == Fact("m", gone=True)
    assert taken(("A", full(1), True), ("B", full(2), True)) == Fact("m", content=True)
