"""One folder's odd page holds up no other, a row without an id costs no change: Graph's answers, bent on their way."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS, raw

Document = dict[str, Any]


class BentWorld(OutlookWorld):
    """`bend` changes each page of messages and each part of a batch, in place."""

    def __init__(self, redis: RedisRest, **environment: str) -> None:
        super().__init__(redis, seed=0, **environment)
        self.bend: Callable[[Document], None] = lambda document: None

    def app(self) -> Any:
        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            await self._answer(scope, receive, send)

        return asgi

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        head: Document = {}
        chunks: list[bytes] = []

        async def through(event: Document) -> None:
            if event["type"] == "http.response.start":
                head.update(event)
                return
            chunks.append(event.get("body", b""))
            if event.get("more_body"):
                return
            body = self._changed(b"".join(chunks))
            headers = [(name, value) for name, value in head["headers"] if name.lower() != b"content-length"]
            await send({**head, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self.graph.app(scope, receive, through)

    def _changed(self, body: bytes) -> bytes:
        document = orjson.loads(body) if body.startswith(b"{") else {}
        for part in document.get("responses", ()):
            if isinstance(part["body"], dict):
                self.bend(part["body"])
            self.bend(part)
        self.bend(document)
        return orjson.dumps(document) if document else body


@pytest.fixture
async def world(redis: RedisRest) -> AsyncIterator[BentWorld]:
    async with BentWorld(redis, INITIAL_SYNC_MESSAGES="3", OUTLOOK_PAGE_SIZE="10") as made:
        yield made


def without_id(message: str, times: int) -> Callable[[Document], None]:
    left = [times]

    def bend(document: Document) -> None:
        for row in document.get("value", ()):
            if row.get("id") == message and left[0]:
                left[0] -= 1
                del row["id"]

    return bend


async def test_what_a_row_without_an_id_said_is_found_by_a_walk(world: BentWorld) -> None:
    ids = world.fill(12)
    world.clock.skip(3600)
    account_id = await world.connect()
    await world.dry(account_id)
    world.bend = without_id(ids[0], 1)
    world.graph.update(ADDRESS, ids[0], flag="flagged")
    new = world.graph.deliver(ADDRESS, raw(500))
    assert {result["status"] for result in await world.dry(account_id)} == {"synced", "no_new_messages"}
    await world.assert_log_equals_mailbox(account_id, only={ids[0], *ids[-3:], new})
    events = await world.events(account_id)
    assert [e["data"]["reason"] for e in events if e["type"].endswith("resynced")] == ["delta_unreadable"]


async def test_who_never_gives_a_row_an_id_walks_once_an_invocation_until_it_has_one(world: BentWorld) -> None:
    ids = world.fill(25)
    world.clock.skip(3600)
    account_id = await world.connect()
    world.bend = without_id(ids[-1], 100)
    named = set(ids[-4:-1])
    for number in range(3):
        result = await world.sync(account_id)
        assert (result["status"], result["reason"], result["more"]) == ("partial", "contract_broken", True)
        await world.assert_log_equals_mailbox(account_id, only=named)
        named.add(world.graph.deliver(ADDRESS, raw(500 + number), "archive"))
    world.graph.update(ADDRESS, ids[-1], is_read=True)  # a live page has it, too
    assert (await world.sync(account_id))["status"] == "partial"
    await world.assert_log_equals_mailbox(account_id, only=named)
    world.bend = lambda document: None
    await world.dry(account_id)
    await world.assert_log_equals_mailbox(account_id, only={*named, ids[-1]})


@pytest.mark.parametrize("first_sync", [True, False])
async def test_a_folder_whose_pages_can_not_be_read_holds_up_no_other(world: BentWorld, first_sync: bool) -> None:
    ids = world.fill(25)
    world.clock.skip(3600)
    account_id = await world.connect()
    inbox = next(id_ for id_, folder in world.graph.folders(ADDRESS).items() if folder["well_known"] == "inbox")

    def no_rows(document: Document) -> None:
        if any(row.get("parentFolderId") == inbox and "subject" in row for row in document.get("value", ())):
            document["value"] = {}

    if not first_sync:
        await world.dry(account_id)
    world.bend = no_rows
    expected = set() if first_sync else set(ids[-3:])
    for number in range(2):
        world.graph.deliver(ADDRESS, raw(500 + number))
        expected.add(world.graph.deliver(ADDRESS, raw(600 + number), "archive"))
        result = await world.sync(account_id)
        assert (result["status"], result["reason"], result["more"]) == ("partial", "contract_broken", True)
        await world.assert_log_equals_mailbox(account_id, only=expected)
    world.bend = lambda document: None
    await world.dry(account_id)
    assert len(await world.folded(account_id)) == (5 if first_sync else 7)


async def test_a_message_whose_part_can_not_be_read_fails_alone(redis: RedisRest) -> None:
    async with BentWorld(redis, INITIAL_SYNC_MESSAGES="3", OUTLOOK_PAGE_SIZE="10") as world:
        ids = world.fill(12)
        account_id = await world.connect()

        def no_status(document: Document) -> None:
            if isinstance(document.get("body"), dict) and document["body"].get("id") == ids[-1]:
                del document["status"]

        world.bend = no_status
        await world.sync(account_id)
        assert (await world.wiring.show_account(account_id))["parked"] == 1
        await world.assert_log_equals_mailbox(account_id, only=set(ids[-3:-1]))
        world.bend = lambda document: None
        await world.dry(account_id)
        await world.assert_log_equals_mailbox(account_id, only=set(ids[-3:]))
