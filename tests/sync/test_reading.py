"""One read over a store and a provider in memory: what is answered, what is kept of it, and what is not."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.core.errors import (
    AuthorizationLost,
    BadRequest,
    BreakerOpen,
    LeaseLost,
    ProviderDown,
    StoreDown,
    Throttled,
    TidemarkError,
)
from shared.core.message import Folder
from shared.core.quota import PRICES, Governor, Window
from shared.protocol import cached
from shared.protocol.gmail.known import Known, LabelTable, pack_id
from shared.protocol.gmail.message import FULL
from shared.protocol.gmail.message import Reading as Asked
from shared.protocol.gmail.reading import GmailReading
from shared.protocol.step import Fetched, Members, Want
from shared.protocol.wire import Request, Response
from shared.sync import reading
from shared.sync.asking import Asking
from shared.sync.hydrate import Hydrator
from shared.sync.ports import Admitted, Keeping, Kept, Looked, Refused
from shared.sync.reading import FOLDERS_TTL_S, PERMIT_WAIT_S, Answer, Mailbox, Reader
from tests.protocol.gmail.answers import answer, resource
from tests.sync.desk import Desk, batched, refusal

FIELDS = {"provider": "gmail"}
ADMITTED = Admitted({"admitted": "1"}, 7, held=False)
GONE = refusal(404, "notFound")
BUSY = refusal(429, "rateLimitExceeded")
INBOX = Folder(id="INBOX", name="INBOX", kind="system", parent_id=None, hidden=False)


class Stream(GmailReading):
    """Ids with an f at their end can't be in the index, and nobody follows these messages."""

    def known_id(self, message_id: str) -> str | None:
        return None if message_id.endswith("f") else pack_id(message_id)

    def tracks(self, fetched: Fetched) -> bool:
        return not fetched.message["id"].endswith("f")


class Endless(Stream):
    """A conversation that is not read to its end."""

    def thread(self, thread_id: str) -> Generator[Request, Response, Members | None]:
        members = yield from super().thread(thread_id)
        return members and replace(members, whole=False)


class Shelf:
    """A store for one account: its cache and index, what a reader is admitted with, and what was to be kept."""

    def __init__(self, *admissions: Admitted | Refused, alone: bool = False) -> None:
        self.admissions = list(admissions or [ADMITTED])
        self.alone = alone
        self.texts: dict[str, str] = {}
        self.entries: dict[str, str] = {}
        self.members: Sequence[str] | None = None
        self.named: str | None = None
        self.ttl_s = 0.0
        self.kept: list[Kept] = []

    async def look(self, account_id: str, message_ids: Sequence[str]) -> Looked:
        assert account_id == "a1"
        entries = [self.entries.get(pack_id(each)) for each in message_ids]
        return Looked(FIELDS, [self.texts.get(each) for each in message_ids], entries)

    async def thread(self, account_id: str, thread_id: str) -> Looked:
        assert (account_id, thread_id) == ("a1", "1a")
        return Looked(FIELDS, thread=self.members)

    async def admit(self, account_id: str, provider: str, *, alone: bool) -> Admitted | Refused:
        assert (account_id, provider, alone) == ("a1", "gmail", self.alone)
        return self.admissions.pop(0) if len(self.admissions) > 1 else self.admissions[0]

    async def keep(self, account_id: str, kept: Kept) -> None:
        assert account_id == "a1"
        self.kept.append(kept)

    async def labels(self, account_id: str, text: str = "", ttl_s: float = 0) -> tuple[Looked, str | None]:
        assert account_id == "a1"
        if text:
            self.named, self.ttl_s = text, ttl_s
        return Looked(FIELDS), self.named

    def hold(self, message_id: str, **given: Any) -> None:
        message: Any = {"id": message_id, "thread_id": "1a", "labels": ["INBOX"], "received_at": None, **given}
        self.texts[message_id] = cached.pack(Fetched(message, "50"), "r", pack_id(message_id))


def no_folders() -> Generator[Request, Response, list[Folder]]:
    yield from ()
    return [INBOX]


def one_call() -> Generator[Request, Response, list[Folder]]:
    response = yield Request("GET", "/labels", units=1)
    return [INBOX] if response.status == 200 else []


class Room:
    """A mailbox to read: `answers` of its provider."""

    def __init__(
        self, shelf: Shelf, *answers: Any, plan: Callable[[], Any] = one_call, of: Any = Stream, **desk: Any
    ) -> None:
        self.desk = Desk(answers, attempts=1, **desk)
        self.stream = of(PRICES["2026"], Asked("id", FULL, 100, for_readers=True), LabelTable(["INBOX"]), 20)
        hydrator = Hydrator(self.desk.calls, self.stream, self.desk.clock, Window(20, 20, 20))
        asking = Asking(self.stream, self.desk.calls, hydrator)

        def ask(admitted: Admitted) -> Asking:
            assert admitted is ADMITTED
            return asking

        def opened(fields: Mapping[str, str]) -> Mailbox:
            assert fields is FIELDS
            return Mailbox("gmail", self.stream, "r", shelf.alone, ask, plan)

        self.reader = Reader(shelf, self.desk.clock, opened, "a1")


async def thread(shelf: Shelf, *answers: Any) -> Answer | None:
    return await Room(shelf, *answers).reader.thread("1a")


def of(*rows: Mapping[str, Any]) -> Any:
    return answer({"id": "1a", "messages": rows})


def ids(kept: Sequence[Any]) -> list[str]:
    return [each.message_id for each in kept]


def parts(**responses: Response) -> Callable[[Request], Response]:
    """By message id; what is not named can be read."""
    return batched(lambda key: responses.get(key[2:]) or answer(resource(key[2:], ["INBOX"], 50, thread="1a")))


async def test_what_was_read_is_kept_with_the_thread_and_the_version_of_its_admission() -> None:
    shelf = Shelf()
    found = await thread(shelf, of(resource("m1", [], 5), resource("m2", [], 6)))
    (kept,) = shelf.kept
    assert found is not None
    assert (list(found.found), ids(kept.messages), kept.thread) == (["m1", "m2"], ["m1", "m2"], ("m1", "m2"))
    assert (kept.version, kept.hold_s, all(each.unnamed for each in kept.messages)) == (7, 0.0, True)
    assert (kept.thread_id, kept.noted, found.provider_calls, found.whole) == ("1a", False, 1, True)


async def test_an_id_that_no_list_can_hold_is_answered_and_not_kept() -> None:
    shelf = Shelf()
    found = await thread(shelf, of(resource("m,2", [], 6), resource("m1", [], 5)))
    (kept,) = shelf.kept
    assert found is not None
    assert (list(found.found), ids(kept.messages), kept.thread) == (["m,2", "m1"], ["m1"], ())


async def test_a_thread_of_which_a_part_could_not_be_read_is_not_kept_but_its_messages_are() -> None:
    shelf = Shelf()
    with pytest.raises(ProviderDown):
        await thread(shelf, of(resource("m1", [], 5), {"id": "m2"}), refusal(503, "backendError"))
    (kept,) = shelf.kept
    assert (ids(kept.messages), kept.thread) == (["m1"], ())


async def test_an_account_that_is_deleted_meanwhile_is_not_found() -> None:
    def gone(request: Request) -> None:
        raise LeaseLost("the account is gone")

    with pytest.raises(BadRequest) as refused:
        await thread(Shelf(), gone)
    assert (refused.value.status, refused.value.slug) == (404, "unknown_account")
    assert str(refused.value) == "There is no such account."


async def test_of_what_is_asked_for_the_cached_is_answered_and_the_rest_is_read() -> None:
    shelf = Shelf()
    for each in ("1a", "1b"):
        shelf.hold(each)
    room = Room(shelf, parts(**{"1d": GONE}), governor=Governor.per_minute(6000))
    shelf.entries[pack_id("1b")] = room.stream.labels.pack(Known(60, frozenset({"STARRED"})))
    found = await room.reader.messages(["1a", "1b", "1c", "1d", "X"])
    assert {each: message["labels"] for each, message in found.found.items()} == {
        "1a": ["INBOX"],
        "1b": ["STARRED"],
        "1c": ["INBOX"],
    }
    assert (found.missing, found.unavailable, found.error) == (["X", "1d"], [], None)
    assert (found.provider_calls, found.whole, found.empty) == (1, True, False)
    (kept,) = shelf.kept
    text = kept.messages[0].text
    assert kept == Kept(7, [Keeping("1c", pack_id("1c"), text, unnamed=True), Keeping("1d", pack_id("1d"), None)], 0.4)
    assert cached.unpack(text, "r") == Fetched(found.found["1c"], "50")
    assert text is not None
    assert text.split(":")[2] == pack_id("1c")


async def test_what_is_all_cached_costs_nobody_anything() -> None:
    shelf = Shelf()
    shelf.hold("1a")
    room = Room(shelf, parts())
    found = await room.reader.messages(["1a"])
    assert (list(found.found), found.provider_calls, room.desk.provider.requests, shelf.kept) == (["1a"], 0, 0, [])


async def test_messages_of_one_thread_are_read_as_a_thread() -> None:
    room = Room(Shelf(), batched(lambda key: of(*(resource(f"1{n}", [], 5) for n in "abc")) if key == "t-1a" else None))
    assert list((await room.reader.messages(["1a", "1b", "1c"], "1a")).found) == ["1a", "1b", "1c"]


async def test_what_the_index_cannot_have_is_kept_without_a_text_and_named_by_nobody() -> None:
    shelf = Shelf()
    found = await Room(shelf, parts(**{"2f": GONE})).reader.messages(["1f", "2f"])
    assert (list(found.found), found.missing) == (["1f"], ["2f"])
    assert shelf.kept[0].messages == [Keeping("1f", "", ""), Keeping("2f", "", None)]


async def test_what_is_no_id_to_the_provider_is_missing_and_what_it_refuses_otherwise_is_unavailable() -> None:
    malformed, refused = refusal(400, "ErrorInvalidIdMalformed"), refusal(400, "invalidArgument")
    found = await Room(Shelf(), parts(**{"1a": malformed, "1b": refused})).reader.messages(["1a", "1b", "1c"])
    assert (found.missing, found.unavailable, list(found.found)) == (["1a"], ["1b"], ["1c"])
    assert (type(found.error), str(found.error)) == (ProviderDown, "a message could not be read")


async def test_a_pause_that_the_provider_asks_for_is_kept_for_everybody() -> None:
    shelf = Shelf()
    busy = answer({"error": {"code": 429, "errors": [{"reason": "rateLimitExceeded"}]}}, 429)
    busy.headers["retry-after"] = "900"  # type: ignore[index]
    found = await Room(shelf, busy).reader.messages(["1a", "1b"])
    assert (found.unavailable, found.empty, type(found.error)) == (["1a", "1b"], True, Throttled)
    assert (found.provider_calls, shelf.kept) == (1, [Kept(7, [], 0.0, 900.0)])
    down = Shelf()
    assert type((await Room(down, None).reader.messages(["1a"])).error) is ProviderDown
    assert down.kept == [Kept(7, [], 0.0, 0.0)]


@pytest.mark.parametrize(
    ("refused", "error", "text"),
    [
        (Refused("breaker_open", 30.0), BreakerOpen, "the provider failed too often"),
        (Refused("cooling_down", 20.0), Throttled, "the provider asks for a pause, or others read the mailbox"),
    ],
)
async def test_where_the_provider_may_not_be_asked_what_is_cached_is_answered(
    refused: Refused, error: type[TidemarkError], text: str
) -> None:
    shelf = Shelf(refused)
    shelf.hold("1a")
    room = Room(shelf, parts())
    found = await room.reader.messages(["1a", "1b"])
    assert (list(found.found), found.unavailable, type(found.error)) == (["1a"], ["1b"], error)
    assert found.error is not None
    assert str(found.error) == text
    assert (found.error.after_s, room.desk.clock.slept, shelf.kept) == (refused.retry_after_s, [], [])  # type: ignore[attr-defined]


async def test_other_readers_are_waited_for_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Refused("reading", 1.5)
    soon = Room(Shelf(busy, busy, ADMITTED, alone=True), parts())
    assert list((await soon.reader.messages(["1a"])).found) == ["1a"]
    assert soon.desk.clock.slept == [0.1, 0.1]
    monkeypatch.setattr(reading, "PERMIT_POLL_S", 0.5)
    never = Room(Shelf(busy, alone=True), parts())
    error = (await never.reader.messages(["1a"])).error
    assert isinstance(error, Throttled)
    assert error.after_s == 1.5
    assert never.desk.waited_s == PERMIT_WAIT_S


@pytest.mark.parametrize("error", [StoreDown("gone"), AuthorizationLost("invalid_grant")])
async def test_what_ends_a_read_is_raised(error: TidemarkError) -> None:
    def broken(request: Request) -> None:
        raise error

    with pytest.raises(type(error)):
        await Room(Shelf(), broken).reader.messages(["1a"])


async def test_the_warmer_reads_into_the_cache_and_counts_what_it_read() -> None:
    shelf = Shelf(alone=True)
    wants = [Want("1a"), Want("1b")]
    assert await Room(shelf, parts(**{"1b": GONE})).reader.ahead(FIELDS, wants) == 1
    (kept,) = shelf.kept
    assert (ids(kept.messages), kept.version, kept.noted) == (["1a", "1b"], 7, False)
    busy = Shelf(Refused("reading", 1.5))
    room = Room(busy, parts())
    assert (await room.reader.ahead(FIELDS, wants), room.desk.clock.slept, busy.kept) == (0, [], [])


async def test_folders_that_need_no_request_are_told_at_once() -> None:
    shelf = Shelf(Refused("cooling_down", 20.0))
    assert await Room(shelf, plan=no_folders).reader.folders() == [INBOX]


async def test_folders_are_asked_for_once_and_kept() -> None:
    shelf = Shelf(alone=True)
    room = Room(shelf, answer({}), governor=Governor.per_minute(6000))
    for _ in range(2):
        assert await room.reader.folders() == [INBOX]
    assert (room.desk.provider.requests, shelf.kept) == (1, [Kept(7, (), 0.01, 0.0)])
    assert (shelf.named, shelf.ttl_s) == (orjson.dumps([INBOX]).decode(), FOLDERS_TTL_S)


async def test_folders_that_cannot_be_told_are_not_kept_but_the_pause_is() -> None:
    shelf = Shelf()
    with pytest.raises(Throttled) as caught:
        await Room(shelf, BUSY).reader.folders()
    assert (caught.value.after_s, shelf.named) == (1.0, None)
    assert shelf.kept == [Kept(7, (), 0.0, 1.0)]


async def test_a_refusal_without_a_time_holds_nobody_up() -> None:
    def refused() -> Generator[Request, Response, list[Folder]]:
        yield Request("GET", "/labels", units=1)
        raise Throttled("the provider refuses for rate")

    shelf = Shelf()
    with pytest.raises(Throttled):
        await Room(shelf, answer({}), plan=refused).reader.folders()
    assert shelf.kept == [Kept(7, (), 0.0, 0.0)]


async def test_a_cached_thread_is_answered_by_the_time_of_arrival() -> None:
    shelf = Shelf()
    for each, at in (("1d", "2"), ("1c", "1"), ("1b", "2"), ("1e", None)):
        shelf.hold(each, received_at=at)
    shelf.members = list(shelf.texts)
    room = Room(shelf)
    found = await room.reader.thread("1a")
    assert found is not None
    assert (list(found.found), found.whole, room.desk.provider.requests) == (["1e", "1c", "1b", "1d"], True, 0)


async def test_what_is_not_cached_any_more_of_a_cached_thread_is_read_as_one() -> None:
    def read(request: Request) -> Response:
        keys.append(request.body or b"")
        return batched(lambda key: of(*(resource(each, [], 50, thread="1a") for each in ("1b", "1c", "1d"))))(request)

    keys: list[bytes] = []
    shelf = Shelf()
    shelf.members = ["1b", "1c", "1d"]
    found = await thread(shelf, read)
    assert found is not None
    assert (list(found.found), [b"<t-1a>" in body for body in keys]) == (["1b", "1c", "1d"], [True])


async def test_a_thread_that_has_lost_a_message_is_asked_for_anew_and_seen_once() -> None:
    shelf = Shelf()
    shelf.hold("1b")
    shelf.members = ["1b", "1c"]
    found = await thread(shelf, parts(**{"1c": GONE}), of(resource("1b", [], 50)))
    assert found is not None
    assert (list(found.found), found.missing) == (["1b"], [])
    assert [(kept.thread_id, kept.thread, kept.noted) for kept in shelf.kept] == [
        ("", (), False),
        ("1a", ("1b",), True),
    ]


async def test_of_a_thread_that_was_not_read_to_its_end_the_messages_are_kept_alone() -> None:
    shelf = Shelf()
    found = await Room(shelf, of(resource("1b", [], 50)), of=Endless).reader.thread("1a")
    assert found is not None
    assert (list(found.found), found.whole) == (["1b"], False)
    assert [(ids(kept.messages), kept.thread_id, kept.thread) for kept in shelf.kept] == [(["1b"], "", ())]


async def test_a_thread_that_the_provider_does_not_know_is_none() -> None:
    shelf = Shelf()
    assert await thread(shelf, GONE) is None
    assert shelf.kept == [Kept(7, [], 0.0, 0.0, "1a", ())]


async def test_a_thread_that_cannot_be_read_is_no_empty_one() -> None:
    with pytest.raises(Throttled):
        await thread(Shelf(), BUSY)
    with pytest.raises(BreakerOpen):
        await thread(Shelf(Refused("breaker_open", 30.0)))
