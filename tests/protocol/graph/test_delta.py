"""Delta chains on the wire: requests, links that lead elsewhere, pages, and rows of one message taken together."""

from typing import Any

import orjson
import pytest

from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.graph import delta
from shared.protocol.graph.cursor import FIRST, Chain
from shared.protocol.graph.delta import Asking, Page
from shared.protocol.graph.message import Reading, select
from shared.protocol.step import Fact
from shared.protocol.wire import Request, Response

ORIGIN = "https://graph.microsoft.com"
ASKING = Asking(ORIGIN, 50, Reading("text", 1000))
LINK = f"{ORIGIN}/v1.0/me/mailfolders('A')/messages/delta?$skiptoken=x%2B"


PREFER = {"prefer": 'odata.maxpagesize=50, IdType="ImmutableId", outlook.body-content-type="text"'}
SELECT, LIGHT = ("$select", select(with_body=True)), ("$select", select(with_body=False))
NEWEST = ("$orderby", "receivedDateTime desc")


def test_a_first_request_selects_and_sorts_and_never_limits() -> None:
    path = "/v1.0/me/mailFolders/A=b%2Fc/messages/delta"
    assert delta.request(ASKING, Chain("A=b/c")) == Request("GET", path, (SELECT, NEWEST), PREFER)
    assert delta.request(ASKING, Chain("A=b/c", light=True)) == Request("GET", path, (LIGHT, NEWEST), PREFER)
    none = Asking(ORIGIN, 50, Reading("none", 1000))
    assert delta.request(none, Chain("A")).query == (LIGHT, NEWEST)
    fields = ("$select", "id,displayName,parentFolderId,isHidden,totalItemCount")
    assert delta.request(ASKING, Chain("")) == Request("GET", "/v1.0/me/mailFolders/delta", (fields,), PREFER)


def test_a_link_is_used_as_it_came_with_every_preference() -> None:
    assert delta.request(ASKING, Chain("A", LINK)) == Request("GET", LINK, (), PREFER)
    without = Asking(ORIGIN, 7, Reading("none", 1000))
    assert without.prefer == 'odata.maxpagesize=7, IdType="ImmutableId"'
    for_readers = Asking(ORIGIN, 7, Reading("none", 1000, for_readers=True))
    assert for_readers.prefer == 'odata.maxpagesize=7, IdType="ImmutableId", outlook.body-content-type="html"'


def test_over_quota_a_list_is_asked_for_from_the_newest_on() -> None:
    path = "/v1.0/me/mailFolders/A/messages"
    since = ("$filter", "receivedDateTime ge 1970-01-01T00:16:40.000Z")
    request = delta.request(ASKING, Chain("A", LINK, listing=FIRST, received_s=1000.0))
    assert request == Request("GET", path, (SELECT, since, NEWEST, ("$top", "50")), PREFER)
    light = delta.request(ASKING, Chain("A", listing=FIRST, light=True))
    assert light == Request("GET", path, (LIGHT, NEWEST, ("$top", "50")), PREFER)
    assert delta.request(ASKING, Chain("A", LINK, listing=LINK + "2")) == Request("GET", LINK + "2", (), PREFER)


@pytest.mark.parametrize(
    "link",
    [
        "http://graph.microsoft.com/v1.0/me",
        "http://graph.microsoft.com:443/v1.0/me",
        "https://graph.microsoft.com.evil.example/v1.0/me",
        "https://evil.example/v1.0/me",
        "https://graph.microsoft.com:8443/v1.0/me",
        "https://user@graph.microsoft.com/v1.0/me",
        "https://@graph.microsoft.com/v1.0/me",
        "https://graph.microsoft.com/v1.0/me#fragment",
        "https://graph.microsoft.com/beta/me",
        "https://graph.microsoft.com/v1.0",
        "/v1.0/me",
        "x",
    ],
)
def test_a_link_that_leads_elsewhere_is_not_followed(link: str) -> None:
    with pytest.raises(ContractBroken, match=r"^a link leads to another origin$"):
        delta.checked(ASKING, link)


LONGEST = f"{ORIGIN}/v1.0/".ljust(16_384, "x")


@pytest.mark.parametrize(
    "link", ["https://graph.microsoft.com:port/v1.0/me", f"{ORIGIN}/v1.0/ü", "", LONGEST + "x", 7, None, ["x"]]
)
def test_a_link_that_can_not_be_read_is_not_followed(link: object) -> None:
    with pytest.raises(ContractBroken, match=r"^a link can't be read$"):
        delta.checked(ASKING, link)


@pytest.mark.parametrize(
    ("origin", "link"),
    [
        (ORIGIN, LINK),
        (ORIGIN, LINK.replace(ORIGIN, ORIGIN + ":443")),
        (ORIGIN, LONGEST),
        (ORIGIN + ":443", LINK),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1.0/me/x"),
        ("http://localhost", "http://localhost:80/v1.0/me/x"),
        ("http://localhost:80", "http://localhost/v1.0/me/x"),
    ],
)
def test_a_link_to_the_configured_place_is(origin: str, link: str) -> None:
    assert delta.checked(Asking(origin, 50, Reading("text", 1)), link) == link


BEFORE = LINK + "before"


def page(document: Any) -> Response:
    return Response(200, {}, orjson.dumps(document))


def test_a_page_has_rows_and_exactly_one_link() -> None:
    rows: list[dict[str, Any]] = [{"id": "a"}, {"id": "x" * 1024, "@removed": {"reason": "deleted"}}]
    following, last = {"value": rows, "@odata.nextLink": LINK}, {"value": rows, "@odata.deltaLink": LINK}
    assert delta.read_page(ASKING, page(last), LINK) == Page(tuple(rows), LINK, ended=True)
    assert delta.read_page(ASKING, page(following), BEFORE) == Page(tuple(rows), LINK, ended=False)
    assert delta.read_page(ASKING, page(following), BEFORE, of_list=True) == Page(tuple(rows), LINK, ended=False)
    assert delta.read_page(ASKING, page({"value": rows}), BEFORE, of_list=True) == Page(tuple(rows), "", ended=True)


@pytest.mark.parametrize("odd", [7, None, [], {}, {"id": None}, {"id": 7}, {"id": ""}, {"id": "x" * 1025}])
@pytest.mark.parametrize("of_list", [False, True])
def test_a_row_without_an_id_is_passed_over_and_noted(odd: object, of_list: bool) -> None:
    said = {"value": [{"id": "a"}, odd, {"id": "b"}], "@odata.nextLink": LINK}
    rows = ({"id": "a"}, {"id": "b"})
    found = delta.read_page(ASKING, page(said), "", of_list=of_list)
    assert found == Page(rows, LINK, ended=False, unreadable=True)


ELSEWHERE = "https://evil.example/v1.0/me"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "a page has no rows"),
        ({}, "a page has no rows"),
        ({"value": {}}, "a page has no rows"),
        ({"value": []}, "a delta page needs either a nextLink or a deltaLink"),
        (
            {"value": [], "@odata.nextLink": LINK, "@odata.deltaLink": LINK},
            "a delta page needs either a nextLink or a deltaLink",
        ),
        ({"value": [], "@odata.nextLink": ELSEWHERE}, "a link leads to another origin"),
        ({"value": [], "@odata.deltaLink": ELSEWHERE}, "a link leads to another origin"),
    ],
)
def test_what_is_no_page_breaks_the_contract(document: Any, text: str) -> None:
    with pytest.raises(ContractBroken, match=f"^{text}$"):
        delta.read_page(ASKING, page(document), BEFORE)


def test_a_list_s_link_is_looked_at_too() -> None:
    with pytest.raises(ContractBroken, match=r"^a link leads to another origin$"):
        delta.read_page(ASKING, page({"value": [], "@odata.nextLink": ELSEWHERE}), BEFORE, of_list=True)


@pytest.mark.parametrize("of_list", [False, True])
def test_a_page_that_leads_to_itself_is_no_answer(of_list: bool) -> None:
    with pytest.raises(ProviderDown, match=r"^a page leads to itself$"):
        delta.read_page(ASKING, page({"value": [], "@odata.nextLink": LINK}), LINK, of_list=of_list)


def test_a_page_that_is_no_json_breaks_the_contract() -> None:
    with pytest.raises(ContractBroken, match=r"^a page can't be read$"):
        delta.read_page(ASKING, Response(200, {}, b"<html>"), BEFORE)


GONE: dict[str, object] = {"id": "m", "@removed": {"reason": "deleted"}}


def full(at: int, **fields: object) -> dict[str, object]:
    return {"id": "m", "lastModifiedDateTime": f"2026-11-24T10:00:{at:02d}Z", **fields}


def taken(*shown: tuple[str, dict[str, object], bool]) -> Fact:
    (fact,) = delta.facts(shown)
    return fact


def of_row(at: int, folder: str = "A", emit: bool = True, **fields: object) -> Fact:
    version = str(1_795_514_400_000 + 1000 * at)
    return Fact("m", version=version, row={"folder": folder, "emit": emit, "said": full(at, **fields)})


def test_one_row_is_a_row_and_one_removal_a_departure() -> None:
    assert taken(("A", full(1), True)) == of_row(1)
    assert taken(("A", full(1), False)) == of_row(1, emit=False)
    assert taken(("A", {"id": "m"}, True)) == Fact(
        "m", version="0", row={"folder": "A", "emit": True, "said": {"id": "m"}}
    )
    assert taken(("A", GONE, False)) == Fact("m", gone=True, row={"left": ("A",)})


def test_messages_are_told_in_the_order_in_which_they_came() -> None:
    shown: list[tuple[str, dict[str, object], bool]] = [
        ("A", full(1), True),
        ("A", {"id": "n", "@removed": {}}, False),
        ("B", {**GONE, "id": "m"}, False),
    ]
    assert delta.facts(shown) == (of_row(1), Fact("n", gone=True, row={"left": ("A",)}))


def test_removals_of_several_folders_are_told_together() -> None:
    gone = taken(("A", GONE, False), ("B", GONE, False), ("C", GONE, False))
    assert gone == Fact("m", gone=True, row={"left": ("A", "B", "C")})
    assert taken(("A", GONE, False), ("B", GONE, False), ("C", full(1), True)) == of_row(1, "C")


@pytest.mark.parametrize("turned", [False, True])
def test_a_removal_here_and_a_row_there_is_a_move(turned: bool) -> None:
    shown = [("A", GONE, False), ("B", full(1), True)]
    assert taken(*(reversed(shown) if turned else shown)) == of_row(1, "B")


@pytest.mark.parametrize("emit", [False, True])
def test_a_removal_and_a_row_of_the_same_folder_have_to_be_read(emit: bool) -> None:
    fact = taken(("A", GONE, False), ("A", full(1), emit))
    assert fact == (Fact("m", content=True) if emit else Fact("m", gone=True))
    assert taken(("A", full(1), emit), ("A", GONE, False), ("B", full(2), emit)) == fact
    assert taken(("B", full(1), emit), ("A", full(1), emit), ("A", GONE, False)) == fact


@pytest.mark.parametrize(("first", "then"), [(False, False), (False, True), (True, False), (True, True)])
def test_the_newer_of_two_whole_rows_wins_in_any_order_and_either_may_name_it(first: bool, then: bool) -> None:
    for one, other in ((1, 2), (2, 1), (9, 10), (10, 9)):
        fact = taken(("A", full(one), first), ("A", full(other), then))
        assert fact == of_row(max(one, other), emit=first or then)


def test_versions_are_numbers() -> None:
    long_ago: dict[str, object] = {"id": "m", "lastModifiedDateTime": "1970-01-01T00:00:09Z"}
    assert taken(("A", long_ago, True), ("A", full(1), True)) == of_row(1)
    assert taken(("A", full(1), True), ("A", long_ago, True)) == of_row(1)


def test_the_same_row_twice_is_one_row() -> None:
    for first, then in ((True, False), (False, True), (False, False)):
        assert taken(("A", full(1), first), ("A", full(1), then)) == of_row(1, emit=first or then)


@pytest.mark.parametrize(("first", "then"), [(False, False), (False, True), (True, False), (True, True)])
def test_rows_that_nobody_can_order_have_to_be_read(first: bool, then: bool) -> None:
    read = Fact("m", content=True) if first or then else Fact("m", gone=True)
    sparse: dict[str, object] = {"id": "m", "isRead": True}
    assert taken(("A", sparse, first), ("A", full(1), then)) == read
    assert taken(("A", full(1), first), ("A", sparse, then)) == read
    assert taken(("A", full(1), first), ("A", full(1, isRead=True), then)) == read
    assert taken(("A", full(1), first), ("B", full(2), then)) == read
    assert taken(("A", full(1), first), ("B", full(1), then), ("C", full(3), True)) == read


@pytest.mark.parametrize(("removed", "left"), [({"reason": "changed"}, True), ({}, True), (None, False)])
def test_a_removal_that_is_null_is_none(removed: object, left: bool) -> None:
    assert delta.left({"id": "m", "@removed": removed}) is left
    assert not delta.left({"id": "m"})
