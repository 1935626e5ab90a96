"""A plain OAuth server in Microsoft's place: what RFC 6749 leaves open, and what such a server has never heard of."""

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as Received
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.emulators.server import Server
from shared.adapters.clock import SystemClock
from shared.adapters.graph import Graph
from shared.adapters.http_client import HttpClient
from shared.adapters.microsoft_auth import acquire, finish_flow, start_flow
from shared.config import Settings
from shared.core.errors import AuthorizationLost, ContractBroken, ProviderDown
from tests.adapters.test_microsoft_auth import BACK, pointing_at
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS

LEAST = {"access_token": "a1", "token_type": "Bearer"}
NOT_FOUND = Response("nothing here", 404)


class PlainServer:
    """`document` for everything that is asked with GET; `token` and `status` for every POST."""

    def __init__(self) -> None:
        routes = [Route("/{path:path}", self._token, methods=["POST"]), Route("/{path:path}", self._document)]
        self.server = Server(Starlette(routes=routes))
        self.url = self.server.url
        self._tenants = itertools.count()

    def saying(self, document: Any = NOT_FOUND, token: Any = LEAST, status: int = 200) -> Settings:
        """To be told to Tidemark: of a tenant of its own, as documents are kept."""
        self.document, self.token, self.status = document, token, status
        self.posted: list[tuple[str, dict[str, str]]] = []
        tenant = f"tenant{next(self._tenants)}"
        return replace(pointing_at(self.url), graph_api_url=self.url, microsoft_tenant=tenant)

    async def _document(self, request: Received) -> Response:
        if isinstance(self.document, Response):
            return self.document
        tenant = request.url.path.split("/")[1]
        return JSONResponse(json.loads(json.dumps(self.document).replace("{own}", f"{self.url}/{tenant}")))

    async def _token(self, request: Received) -> Response:
        self.posted.append((request.url.path, dict(parse_qsl((await request.body()).decode()))))
        return self.token if isinstance(self.token, Response) else JSONResponse(self.token, self.status)


@pytest.fixture(scope="module")
def server() -> Iterator[PlainServer]:
    plain = PlainServer()
    with plain.server:
        yield plain


def endpoints(base: str) -> dict[str, str]:
    return {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token", "issuer": base}


# -- discovery


@pytest.mark.parametrize(
    "document",
    [
        NOT_FOUND,
        Response("Unsupported method ('GET')", 501),
        JSONResponse({"error": {"code": "InvalidAuthenticationToken"}}, 401),
        Response("<html>welcome</html>"),
        {},
        {"issuer": "{own}", "token_endpoint": None},
        endpoints("{own}/oauth2/v2.0"),
        endpoints("https://login.microsoftonline.com/common/oauth2/v2.0"),
    ],
    ids=["404", "501", "401", "page", "empty", "issuer", "own", "microsoft"],
)
async def test_a_stand_in_is_asked_at_its_own_origin_with_its_own_document_with_microsofts_and_without_one(
    server: PlainServer, document: Any
) -> None:
    settings = server.saying(document)
    assert (await acquire(settings, None, "r0")).token == "a1"
    tenant = "common" if "common" in str(document) else settings.microsoft_tenant
    assert [path for path, _ in server.posted] == [f"/{tenant}/oauth2/v2.0/token"]
    flow = await start_flow(settings, BACK)
    assert flow.url.startswith(f"{server.url}/{tenant}/oauth2/v2.0/authorize?")


async def test_a_token_endpoint_at_another_path_is_found_by_the_document(server: PlainServer) -> None:
    settings = server.saying(endpoints("{own}/sts"))
    await acquire(settings, None, "r0")
    assert [path for path, _ in server.posted] == [f"/{settings.microsoft_tenant}/sts/token"]


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:9", "https://127.0.0.1", "http://evil.example", "http://["])
async def test_a_document_that_names_another_origin_is_refused_before_a_token_is_sent(
    server: PlainServer, elsewhere: str
) -> None:
    http = HttpClient()
    with pytest.raises((ContractBroken, ProviderDown), match=r"leads elsewhere|ValueError"):
        await acquire(server.saying(endpoints(elsewhere)), None, "r0", http)
    assert (http.requests, server.posted) == (1, [])


async def test_a_person_is_not_sent_to_another_origin(server: PlainServer) -> None:
    document = endpoints("{own}") | {"authorization_endpoint": "https://evil.example/authorize"}
    with pytest.raises(ContractBroken, match="leads elsewhere"):
        await start_flow(server.saying(document), BACK)


# -- token answers


async def test_the_least_token_answer_starts_a_mailbox_and_goes_on_refreshing_it(server: PlainServer) -> None:
    settings = server.saying()
    first = await acquire(settings, None, "r0")
    server.token = LEAST | {"access_token": "a2"}
    second = await acquire(settings, first.cache_blob, None, force_refresh=True)
    server.token = LEAST | {"access_token": "a3", "refresh_token": "r1", "scope": "Mail.Read User.Read"}
    third = await acquire(settings, second.cache_blob, None, force_refresh=True)
    kept = await acquire(settings, third.cache_blob, None)
    await acquire(settings, third.cache_blob, None, force_refresh=True)
    assert [first.token, second.token, third.token, kept.token] == ["a1", "a2", "a3", "a3"]
    assert [posted["refresh_token"] for _, posted in server.posted] == ["r0", "r0", "r0", "r1"]
    assert 3590 < first.expires_at_s - time.time() <= 3600


@pytest.mark.parametrize(
    "more",
    [
        {"expires_in": "1800"},
        {"expires_in": None, "scope": None, "refresh_token": None, "client_info": None, "id_token": None},
        {"refresh_token": "", "scope": "", "id_token": ""},
        {"id_token": "no JWT"},
    ],
    ids=["text", "null", "empty", "id_token"],
)
async def test_what_is_null_or_empty_or_not_needed_in_a_token_answer_is_passed_over(
    server: PlainServer, more: dict[str, Any]
) -> None:
    settings = server.saying(token=LEAST | more)
    first = await acquire(settings, None, "r0")
    assert (await acquire(settings, first.cache_blob, None, force_refresh=True)).token == "a1"


async def test_a_consent_needs_no_identity_in_the_token_answer(server: PlainServer) -> None:
    settings = server.saying(token=LEAST | {"refresh_token": "r1"})
    flow = await start_flow(settings, BACK)
    found = await finish_flow(settings, flow.data, {"code": "c", "state": flow.state})
    await acquire(settings, found.cache_blob, None, force_refresh=True)
    assert [(posted["grant_type"], posted.get("refresh_token")) for _, posted in server.posted] == [
        ("authorization_code", None),
        ("refresh_token", "r1"),
    ]


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"token_type": "Bearer", "expires_in": 3600, "refresh_token": "another"},
        {"access_token": 5},
        {"error": {"code": "InvalidAuthenticationToken"}},
        {"error": ""},
        {"error": "server_error"},
        Response("<html>"),
        Response("<html>", 400),
    ],
    ids=["empty", "list", "no_token", "number", "object", "blank", "server_error", "page", "page_400"],
)
async def test_an_answer_that_does_not_refuse_the_grant_does_not_end_it(
    server: PlainServer, answer: Any, status: int
) -> None:
    settings = server.saying()
    blob = (await acquire(settings, None, "r0")).cache_blob
    server.token, server.status = answer, status
    for known, bare in ((blob, None), (None, "r0")):
        with pytest.raises(ProviderDown):
            await acquire(settings, known, bare, force_refresh=True)


@pytest.mark.parametrize("error", ["invalid_grant", "interaction_required"])
async def test_the_least_refusal_ends_the_grant(server: PlainServer, error: str) -> None:
    with pytest.raises(AuthorizationLost) as lost:
        await acquire(server.saying(token={"error": error}, status=400), None, "r0")
    assert lost.value.reason == error


# -- a mailbox


async def test_a_mailbox_of_a_plain_server_outlives_its_token_and_its_servers_nonsense(
    redis: RedisRest, server: PlainServer
) -> None:
    origin = server.saying().microsoft_authority_url
    async with OutlookWorld(redis, MICROSOFT_AUTHORITY_URL=origin) as world:
        identity = world.graph.identity
        world.fill(1)
        server.token = {"access_token": identity.mint_access_token(ADDRESS)}
        account_id = await world.connect()
        await world.dry(account_id)
        identity.expire_access_tokens(ADDRESS)
        server.token = {}
        for server.status in (200, 400):
            assert (await world.sync(account_id))["status"] == "partial"
        server.token, server.status = {"access_token": identity.mint_access_token(ADDRESS)}, 200
        world.fill(1, first=1)
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)
        types = {event["type"] for event in await world.events(account_id)}
    assert "tidemark.account.reauth_required" not in types


@pytest.mark.parametrize(
    ("me", "address"),
    [
        ({"mail": "a@example.com", "userPrincipalName": "b@example.com"}, "a@example.com"),
        ({"mail": None, "userPrincipalName": "b@example.com"}, "b@example.com"),
        ({"mail": "", "userPrincipalName": "b@example.com"}, "b@example.com"),
        ({"mail": ["a@example.com"], "userPrincipalName": "b@example.com"}, "b@example.com"),
        ({"userPrincipalName": "b@example.com"}, "b@example.com"),
        ({"mail": "a@example.com"}, "a@example.com"),
    ],
)
async def test_a_profile_without_mail_is_known_by_its_principal_name(
    server: PlainServer, me: dict[str, Any], address: str
) -> None:
    assert (await Graph(server.saying(me), HttpClient(), SystemClock()).profile("a1"))[0] == address


async def test_a_profile_without_an_address_is_none(server: PlainServer) -> None:
    for me in ({"mail": None}, {"id": "1"}):
        with pytest.raises(ContractBroken, match="no address"):
            await Graph(server.saying(me), HttpClient(), SystemClock()).profile("a1")
