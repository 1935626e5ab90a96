"""What a read asks of its provider: parts that were not tried are asked for again, a thread's failed message alone."""

from typing import Any

from shared.core.errors import ProviderDown
from shared.core.quota import PRICES, Window
from shared.protocol.gmail.known import LabelTable
from shared.protocol.gmail.message import FULL, Reading
from shared.protocol.gmail.reading import GmailReading
from shared.protocol.status import Kind, Status
from shared.protocol.step import NOT_TRIED, Fetched, Members, Want
from shared.sync.asking import Asking
from shared.sync.hydrate import Hydrator, Read
from tests.protocol.gmail.answers import answer, resource
from tests.sync.desk import Desk, batched, refusal

GONE = refusal(404, "notFound")


class InTurn(GmailReading):
    """Parts one after the other, as Graph takes them: behind one that failed none is tried."""

    def part(self, key: str, wants: tuple[Want, ...], *given: Any) -> tuple[Status, dict[str, Any]]:
        response = given[0]
        if response.status == 424:
            return Status(Kind.REFUSED, 424, "not_tried"), {wants[0].message_id: NOT_TRIED}
        return super(GmailReading, self).part(key, wants, *given)


def asking(*answers: Any) -> tuple[Asking, Desk]:
    desk = Desk(answers, attempts=1)
    stream = InTurn(PRICES["2026"], Reading("id", FULL, 100, for_readers=True), LabelTable(), 20)
    return Asking(stream, desk.calls, Hydrator(desk.calls, stream, desk.clock, Window(20, 20, 20))), desk


def parts(**statuses: int) -> Any:
    """By message id; the rest can be read."""

    def part(key: str) -> Any:
        status = statuses.get(key[2:], 200)
        return answer(resource(key[2:], [], 5)) if status == 200 else refusal(status, "notFound")

    return batched(part)


def ids(read: Read) -> dict[str, str]:
    return {each: type(result).__name__ for each, result in read.results.items()}


async def test_what_was_not_tried_behind_a_failed_part_is_asked_for_again() -> None:
    reader, desk = asking(parts(**{"1b": 404, "1c": 424, "1d": 424}), parts(**{"1c": 404, "1d": 424}), parts())
    read = await reader.read([Want(each) for each in ("1a", "1b", "1c", "1d")])
    assert (ids(read), read.error) == ({"1a": "Fetched", "1b": "Gone", "1c": "Gone", "1d": "Fetched"}, None)
    assert desk.provider.requests == 3


async def test_where_nothing_gets_on_or_something_fails_it_is_asked_no_more() -> None:
    reader, desk = asking(parts(**{"1a": 424, "1b": 424}))
    read = await reader.read([Want("1a"), Want("1b")])
    assert (read.results, read.error, desk.provider.requests) == ({"1a": NOT_TRIED, "1b": NOT_TRIED}, None, 1)
    reader, desk = asking(parts(**{"1b": 424}), None)
    down = await reader.read([Want("1a"), Want("1b")])
    assert (ids(down)["1a"], type(down.error), desk.provider.requests) == ("Fetched", ProviderDown, 2)


async def test_a_message_that_its_thread_does_not_show_whole_is_read_alone() -> None:
    rows = [resource("1b", [], 5), {"id": "1c"}, {"id": "1d"}]
    reader, desk = asking(answer({"id": "1a", "messages": rows}), parts(**{"1d": 404}))
    members, read = await reader.thread("1a")
    assert isinstance(members, Members)
    assert ids(read) == {"1b": "Fetched", "1c": "Fetched", "1d": "Gone"}
    assert (list(read.results), read.error, desk.provider.requests) == (["1b", "1c", "1d"], None, 2)
    found = read.results["1c"]
    assert isinstance(found, Fetched)
    assert found.message["id"] == "1c"


async def test_of_a_thread_of_which_a_part_cannot_be_read_now_the_rest_is_told() -> None:
    reader, _ = asking(answer({"id": "1a", "messages": [resource("1b", [], 5), {"id": "1c"}]}), None)
    members, read = await reader.thread("1a")
    assert members is not None
    assert (ids(read), type(read.error)) == ({"1b": "Fetched"}, ProviderDown)


async def test_a_thread_that_is_none_or_unknown_or_cannot_be_read() -> None:
    reader, desk = asking(GONE)
    assert await reader.thread("X") == (None, Read())
    assert desk.provider.requests == 0
    assert await reader.thread("1a") == (None, Read())
    members, read = await asking(None)[0].thread("1a")
    assert (members, read.results, type(read.error)) == (None, {}, ProviderDown)
