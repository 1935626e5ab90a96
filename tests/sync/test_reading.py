"""One read over a store and a provider in memory: what is kept of it, and what is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.core.errors import BadRequest, LeaseLost, ProviderDown
from shared.core.quota import PRICES, Window
from shared.protocol.gmail.known import LabelTable
from shared.protocol.gmail.message import FULL
from shared.protocol.gmail.message import Reading as Asked
from shared.protocol.gmail.reading import GmailReading
from shared.protocol.wire import Request
from shared.sync.asking import Asking
from shared.sync.hydrate import Hydrator
from shared.sync.ports import Admitted, Kept, Looked
from shared.sync.reading import Answer, Mailbox, Reader
from tests.protocol.gmail.answers import answer, resource
from tests.sync.desk import Desk, refusal


@dataclass
class Shelf:
    """A cache in which nothing is, and what was to be kept."""

    kept: list[Kept] = field(default_factory=list)

    async def thread(self, account_id: str, thread_id: str) -> Looked:
        return Looked({})

    async def admit(self, account_id: str, provider: str, *, alone: bool) -> Admitted:
        return Admitted({}, 7, held=False)

    async def keep(self, account_id: str, kept: Kept) -> None:
        self.kept.append(kept)


async def thread(shelf: Shelf, *answers: Any) -> Answer | None:
    desk = Desk(answers, attempts=1)
    stream = GmailReading(PRICES["2026"], Asked("id", FULL, 100, for_readers=True), LabelTable(), 20)
    asking = Asking(stream, desk.calls, Hydrator(desk.calls, stream, desk.clock, Window(20, 20, 20)))

    def opened(fields: Mapping[str, str]) -> Mailbox:
        return Mailbox("gmail", stream, "r", False, lambda admitted: asking, lambda: iter(()))  # type: ignore[arg-type, return-value]

    reader = Reader(shelf, desk.clock, opened, "a1")  # type: ignore[arg-type]
    return await reader.thread("1a")


def of(*rows: Mapping[str, Any]) -> Any:
    return answer({"id": "1a", "messages": rows})


def ids(kept: Sequence[Any]) -> list[str]:
    return [each.message_id for each in kept]


async def test_what_was_read_is_kept_with_the_thread_and_the_version_of_its_admission() -> None:
    shelf = Shelf()
    found = await thread(shelf, of(resource("m1", [], 5), resource("m2", [], 6)))
    (kept,) = shelf.kept
    assert found is not None
    assert (list(found.found), ids(kept.messages), kept.thread) == (["m1", "m2"], ["m1", "m2"], ("m1", "m2"))
    assert (kept.version, kept.hold_s, all(each.unnamed for each in kept.messages)) == (7, 0.0, True)


async def test_an_id_that_no_list_can_hold_is_answered_and_not_kept() -> None:
    shelf = Shelf()
    found = await thread(shelf, of(resource("m1", [], 5), resource("m,2", [], 6)))
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
