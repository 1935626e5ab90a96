"""A provider whose answers are wrong, deep, huge, cut short or point elsewhere: a sync has an outcome all the same.

More seeds: LIES=500 python -m pytest tests/security/test_lies.py
"""

import os
import random
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from infra.emulators.server import Server
from shared.core.errors import TidemarkError
from shared.protocol.gmail.resource import Unreadable, read_object, whole
from shared.protocol.graph.document import read_json
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.security.hostile import DEEP, Lies, hostile
from tests.world import ADDRESS, GmailWorld

LIES = int(os.environ.get("LIES", "6"))
OUTCOMES = {"synced", "no_new_messages", "partial", "cooling_down", "breaker_open", "reauth_required", "lease_held"}


async def connected(world: GmailWorld | OutlookWorld) -> str | None:
    """None: the lie kept it from being connected, and was told as an error of ours."""
    try:
        return await world.connect()
    except TidemarkError:
        return None


async def lied_to(world: GmailWorld | OutlookWorld, lies: Lies, seed: int) -> None:
    chance = random.Random(seed)
    ids = world.fill(4)
    when = chance.choice(("connecting", "first", "later", "later"))
    if when == "connecting":
        lies.tell(seed, 3)
    account_id = await connected(world)
    if account_id is None:
        return
    if when == "later":
        await world.dry(account_id)
        world.fill(2, first=50)
        (world.gmail.delete if isinstance(world, GmailWorld) else world.graph.hard_delete)(ADDRESS, ids[0])
    if when != "connecting":
        lies.tell(seed, 6)
    for _ in range(2):
        assert (await world.sync(account_id))["status"] in OUTCOMES
    lies.stop()
    if (await world.wiring.accounts.fields(account_id))["state"] == "active":
        await world.dry(account_id)
    await world.wiring.show_account(account_id)
    await world.events(account_id)


@pytest.mark.parametrize("seed", range(LIES))
async def test_whatever_gmail_says_a_sync_has_an_outcome(redis: RedisRest, seed: int) -> None:
    world = GmailWorld(redis, INITIAL_SYNC_MESSAGES="all", GMAIL_FORMAT="full")
    lies = hostile(world)
    async with world:
        await lied_to(world, lies, seed)


@pytest.mark.parametrize("seed", range(LIES))
async def test_whatever_graph_says_a_sync_has_an_outcome(redis: RedisRest, seed: int) -> None:
    world = OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all")
    lies = hostile(world)
    async with world:
        await lied_to(world, lies, seed)


@pytest.fixture
async def elsewhere() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that is not the provider: its URL, and what it was sent."""
    heard: list[str] = []

    async def hear(request: Request) -> JSONResponse:
        heard.append(f"{request.url} {request.headers}")
        return JSONResponse({"value": [], "@odata.deltaLink": "x"})

    with Server(Starlette(routes=[Route("/{path:path}", hear, methods=["GET", "POST"])])) as server:
        yield server.url, heard


LINKS = (
    "{evil}/v1.0/me/mailFolders/delta?$skiptoken=x",
    "//{evil_netloc}/v1.0/me",
    "http://{graph_netloc}@{evil_netloc}/v1.0/me",
    "http://{graph_netloc}:80@{evil_netloc}/v1.0/me",
    "https://{graph_netloc}/v1.0/me",
    "http://127.0.0.1/v1.0/me",
    "http://localhost:1/v1.0/me",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "gopher://{evil_netloc}/",
    "http://{graph_netloc}\\@{evil_netloc}/",
    "http://{graph_netloc}#@{evil_netloc}/",
    "\t{evil}/",
    "",
)


async def test_a_link_of_graph_leads_nowhere_else(redis: RedisRest, elsewhere: tuple[str, list[str]]) -> None:
    evil, heard = elsewhere
    world = OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all")
    lies = hostile(world)
    netlocs = {"evil_netloc": evil.removeprefix("http://"), "graph_netloc": world._server.url.removeprefix("http://")}
    async with world:
        account_id = await world.connect()
        for n, link in enumerate(LINKS):
            world.fill(1, first=n)
            told = link.format(evil=evil, **netlocs)
            lies.replace = {"@odata.nextLink": told, "@odata.deltaLink": told}
            for _ in range(2):
                assert (await world.sync(account_id))["status"] in OUTCOMES
                world.expire_locks(account_id)
            assert lies.told.pop() == told
            assert heard == []
            lies.stop()
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id)


@pytest.mark.parametrize("half", ["", '"subject": "\\ud800", '], ids=["", "read leniently"])
@pytest.mark.parametrize("number", ["1" + "0" * 5000, "1" + "0" * 400, "1e999", "-1e999", "NaN", str(2**64), DEEP])
def test_numbers_and_nesting_without_an_end_are_unreadable(number: str, half: str) -> None:
    body = f'{{{half}"historyId": {number}}}'.encode()
    with pytest.raises(Unreadable):
        whole(read_object(body), "historyId")
    try:
        assert isinstance(read_json(body), dict)
    except ValueError:
        return
