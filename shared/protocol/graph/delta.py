"""Graph's delta chains on the wire: the first request, links used verbatim, pages as rows, rows as facts.

    first request     $select, $orderby=receivedDateTime desc; never $top, which caps the whole round (facts A1-10)
    any request       Prefer: page size, immutable ids, body type; none of them outlives the request that carries it
    a link            to the configured scheme, host and port below /v1.0, else ContractBroken: no token elsewhere
    the same again    a page whose nextLink was just asked for is no answer, else it is read until the budget is spent
    over quota        delta is refused, since it writes to the mailbox; the folder's list of what came since is read

    rows of one message in one answer          fact
    one row, or several of the same folder     row (of two whole ones the newer)
    removed here, row in another folder        row: a move
    removed, in one folder or several          left: owed a proof, unless another folder names it
    row and removed in the same folder,
    rows in several folders, sparse ones
    beside whole ones                          content: nobody can tell in which order, so it is read

Source: https://learn.microsoft.com/en-us/graph/delta-query-messages; https://learn.microsoft.com/en-us/graph/paging
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from shared.core.errors import ContractBroken, ProviderDown
from shared.core.message import instant
from shared.protocol.graph import message
from shared.protocol.graph.cursor import FIRST, Chain
from shared.protocol.graph.document import read_json
from shared.protocol.graph.folders import SELECT as FOLDER_SELECT
from shared.protocol.graph.message import Reading
from shared.protocol.step import Fact
from shared.protocol.wire import Request, Response

ROOT = "/v1.0/me"
ID_CHARACTERS_MAX = 1024
LINK_CHARACTERS_MAX = 16384
NEWEST_FIRST = "receivedDateTime desc"
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Asking:
    """How this mailbox is asked. `origin`: scheme, host and port of Graph, without a path."""

    origin: str
    page_size: int
    reading: Reading

    @property
    def prefer(self) -> str:
        wishes = [f"odata.maxpagesize={self.page_size}", 'IdType="ImmutableId"']
        if self.reading.with_body:
            wishes.append(f'outlook.body-content-type="{self.reading.asked}"')
        return ", ".join(wishes)

    def get(self, path: str, *query: tuple[str, str]) -> Request:
        return Request("GET", path, query, {"prefer": self.prefer})


def request(asking: Asking, chain: Chain) -> Request:
    """The chain's next request, whatever state it is in."""
    if chain.listing == FIRST:
        return _listing(asking, chain)
    if link := chain.listing or chain.link:
        return asking.get(link)
    if not chain.folder:
        return asking.get(f"{ROOT}/mailFolders/delta", ("$select", FOLDER_SELECT))
    return asking.get(f"{_messages(chain)}/delta", ("$select", _select(asking, chain)), ("$orderby", NEWEST_FIRST))


def _listing(asking: Asking, chain: Chain) -> Request:
    """Mail that came at or after the newest one shown so far, the newest first.

    What is in $orderby has to come first in $filter, else the request is refused as inefficient.
    """
    query = [("$select", _select(asking, chain)), ("$orderby", NEWEST_FIRST), ("$top", str(asking.page_size))]
    if chain.received_s:
        query.insert(1, ("$filter", f"receivedDateTime ge {instant(chain.received_s)}"))
    return asking.get(_messages(chain), *query)


def _messages(chain: Chain) -> str:
    return f"{ROOT}/mailFolders/{quote(chain.folder, safe='=')}/messages"


def _select(asking: Asking, chain: Chain) -> str:
    return message.select(asking.reading.with_body and not chain.light)


@dataclass(frozen=True, slots=True)
class Page:
    """`ended`: `link` is a deltaLink (of a list: there is none). `unreadable`: it has a row without an id, too."""

    rows: tuple[Mapping[str, Any], ...]
    link: str
    ended: bool
    unreadable: bool = False


def read_page(asking: Asking, response: Response, asked: str, *, of_list: bool = False) -> Page:
    """Raises ContractBroken for what is no page: without rows, or without exactly one link; ProviderDown where the next
    page is the one that was `asked` for."""
    try:
        document = read_json(response.body)
    except ValueError as error:
        raise ContractBroken("a page can't be read") from error
    said = document.get("value") if isinstance(document, dict) else None
    if not isinstance(said, list):
        raise ContractBroken("a page has no rows")
    rows = tuple(filter(_has_id, said))
    unreadable = len(rows) < len(said)
    following, delta = document.get("@odata.nextLink"), document.get("@odata.deltaLink")
    if following and following == asked:
        raise ProviderDown("a page leads to itself")
    if of_list:
        return Page(rows, checked(asking, following) if following else "", not following, unreadable)
    if bool(following) == bool(delta):
        raise ContractBroken("a delta page needs either a nextLink or a deltaLink")
    return Page(rows, checked(asking, following or delta), bool(delta), unreadable)


def _has_id(row: object) -> bool:
    found = row.get("id") if isinstance(row, dict) else None
    return isinstance(found, str) and 0 < len(found) <= ID_CHARACTERS_MAX


def checked(asking: Asking, link: object) -> str:
    """The link as it came, if it leads to where we are configured to go."""
    if not isinstance(link, str) or not 0 < len(link) <= LINK_CHARACTERS_MAX or not link.isascii():
        raise ContractBroken("a link can't be read")
    try:
        url, home = urlsplit(link), urlsplit(asking.origin)
        same = (url.scheme, url.hostname, url.port or PORTS.get(url.scheme)) == (
            *(home.scheme, home.hostname),
            home.port or PORTS.get(home.scheme),
        )
    except ValueError as error:
        raise ContractBroken("a link can't be read") from error
    if not same or url.username is not None or url.fragment or not url.path.startswith("/v1.0/"):
        raise ContractBroken("a link leads to another origin")
    return link


def left(row: Mapping[str, Any]) -> bool:
    return row.get("@removed") is not None


def facts(shown: Iterable[tuple[str, Mapping[str, Any], bool]]) -> tuple[Fact, ...]:
    """Of (folder, row, emit) as they came; `emit`: the message is named although nobody has named it before."""
    found: dict[str, Fact] = {}
    for folder, row, emit in shown:
        fact = _left(row["id"], folder) if left(row) else _row(folder, row, emit)
        found[fact.message_id] = _both(found[fact.message_id], fact) if fact.message_id in found else fact
    return tuple(found.values())


def _left(message_id: str, folder: str) -> Fact:
    return Fact(message_id, gone=True, row={"left": (folder,)})


def _row(folder: str, row: Mapping[str, Any], emit: bool) -> Fact:
    said = {"folder": folder, "emit": emit, "said": row}
    return Fact(row["id"], version=str(message.modified_ms(row)), row=said)


def _both(one: Fact, other: Fact) -> Fact:
    """What rows about the same message, and one more, say together."""
    before, after = one.row, other.row
    assert after is not None  # it is of one row
    if before is None:
        return one
    if one.gone and other.gone:
        return replace(one, row={"left": (*before["left"], *after["left"])})
    if one.gone or other.gone:
        row, gone = (after, before) if one.gone else (before, after)
        if row["folder"] not in gone["left"]:
            return other if one.gone else one
    elif before["folder"] == after["folder"]:
        if before["said"] == after["said"]:
            return other if after["emit"] else one
        if one.version != other.version and "0" not in (one.version, other.version):
            newer = max(one, other, key=lambda fact: int(fact.version))
            return replace(newer, row={**(newer.row or {}), "emit": before["emit"] or after["emit"]})
    return _unclear(one.message_id, bool(before.get("emit") or after.get("emit")))


def _unclear(message_id: str, emit: bool) -> Fact:
    """It is read; if nobody has named it, only where it is to be named."""
    return Fact(message_id, content=True) if emit else Fact(message_id, gone=True)
