"""What a mailbox's requests to Graph leave behind when its sync ends: nothing under way, and no refusal unheard."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from infra.emulators.server import Server
from shared.adapters.clock import SystemClock
from shared.adapters.graph_http import GraphTransport
from shared.adapters.http_client import HttpClient
from shared.protocol.wire import Request
from tests.world import settings

PAGED = {"prefer": "odata.maxpagesize=50"}


class Pages:
    """A first page that names a second; the second is slow, and answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.under_way = 0
        self.answered: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.under_way += 1
        first = scope["path"] == "/v1.0/first"
        link = f"http://127.0.0.1:{scope['server'][1]}/v1.0/second"
        response: Response = JSONResponse({"value": [], "@odata.nextLink": link} if first else {"value": []})
        if not first:
            await asyncio.sleep(0.05)
            response = JSONResponse({}, self.status, {"retry-after": "7"} if self.status == 429 else None)
        self.under_way -= 1  # before it is sent: who has the answer may look at once
        self.answered.append(scope["path"])
        await response(scope, receive, send)


class Grant:
    async def token(self) -> str:
        return "token"


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def transport(pages: Pages) -> Iterator[GraphTransport]:
    with Server(pages) as server:
        yield GraphTransport(HttpClient(), settings(GRAPH_API_URL=server.url), Grant(), SystemClock(), 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "left_s"), [(200, 0.0), (429, 7.0)])
async def test_a_page_fetched_ahead_has_ended_and_was_heard(
    transport: GraphTransport, pages: Pages, status: int, left_s: float
) -> None:
    pages.status = status
    assert (await transport.send(Request("GET", "/v1.0/first", headers=PAGED), timeout_s=5)).status == 200
    assert await transport.settle() == pytest.approx(left_s, abs=0.5)
    assert (pages.under_way, pages.answered, transport.requests) == (0, ["/v1.0/first", "/v1.0/second"], 2)


async def test_where_nothing_is_under_way_there_is_nothing_to_wait_for(transport: GraphTransport) -> None:
    assert await transport.settle() == 0.0
    assert transport.requests == 0
