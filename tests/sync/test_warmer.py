"""One look of the warmer over a store in memory: what it learns of the log and of the reads, and what it takes."""

from collections.abc import Sequence
from typing import Any

import pytest

from shared.core import change
from shared.core.interest import Interest, Likely, load
from shared.core.message import Message, instant, whole
from shared.core.quota import Governor
from shared.protocol.step import Fetched, Want
from shared.sync.warm import OLD_MAX, READER_S, Looked, Price, Warmer, Wish, due, price
from tests.sync.desk import START_S

PRICE = Price(2.0, 20.0, 0.2, 10.0)
EVERYTHING = Wish(9, everything=True, followed=frozenset())


def mail(message_id: str, **given: Any) -> Message:
    sender = {"name": None, "address": "Friend@Example.org"}
    found = {"id": message_id, "thread_id": f"t-{message_id}", "from": sender, "received_at": instant(START_S - 60)}
    return whole(found | given)  # type: ignore[return-value]


def arrival(message_id: str, **given: Any) -> str:
    return change.created("live", mail(message_id, **given))


class Shelf:
    """`held`: the cache. `took`: what was taken, of which nothing is cached."""

    def __init__(self, *entries: str, reads: Sequence[tuple[float, Sequence[str]]] = (), model: str = "") -> None:
        self.looked: Looked | None = Looked(1, model, reads, entries, "0-0", "e1.0")
        self.held: dict[str, Message] = {}
        self.asked: list[Sequence[str]] = []
        self.took: list[tuple[Interest, list[str]]] = []
        self.read_ids: list[str] = []

    async def look(self, account_id: str) -> Looked | None:
        assert account_id == "a1"
        return self.looked

    async def cached(self, account_id: str, message_ids: Sequence[str]) -> Sequence[Fetched | None]:
        assert account_id == "a1"
        self.asked.append(message_ids)
        return [Fetched(self.held[each], "1") if each in self.held else None for each in message_ids]

    async def take(
        self, account_id: str, looked: Looked, model: str, likely: Sequence[Likely], price: Price
    ) -> Sequence[Want]:
        assert (account_id, looked, price) == ("a1", self.looked, PRICE)
        self.took.append((load(model), [each.of.message_id for each in likely]))
        return [Want(each.of.message_id) for each in likely if each.worth]

    async def read(self, wants: Sequence[Want]) -> int:
        assert wants, "nothing is no reason to ask"
        self.read_ids += [want.message_id for want in wants]
        return len(wants)

    async def warm(self, wish: Wish = EVERYTHING, now_s: float = START_S) -> int:
        return await Warmer(self, self.read, "#{}".format, 3600.0, PRICE).warm("a1", wish, now_s)

    async def learnt(self) -> Interest:
        await self.warm()
        ((model, _),) = self.took
        return model


def test_what_a_message_costs_is_its_share_of_the_rate() -> None:
    governor = Governor.per_minute(6000)
    assert price(governor, 20.0, 0.1, metered=True) == PRICE
    assert price(governor, 20.0, 0.1, metered=False) == Price(2.0, 20.0, 0.0, 10.0)


@pytest.mark.parametrize(
    ("read_s", "looked_s", "expected"),
    [(READER_S, 3.0, True), (READER_S + 1, 3.0, False), (200, 200, True), (3000, 900, True), (3000, 899, False)],
)
def test_a_mailbox_is_looked_at_in_time_and_no_earlier(read_s: float, looked_s: float, expected: bool) -> None:
    fields = {"read_ms": f"{(START_S - read_s) * 1000:.0f}", "warmed_ms": f"{(START_S - looked_s) * 1000:.0f}"}
    news = read_s >= READER_S
    assert due(fields, START_S, 3600.0, news=news) is expected


async def test_an_account_that_is_gone_is_not_warmed() -> None:
    shelf = Shelf(arrival("m"))
    shelf.looked = None
    assert (await shelf.warm(), shelf.took) == (0, [])


async def test_where_nothing_is_known_and_nothing_has_happened_nothing_is_stored() -> None:
    shelf = Shelf()
    assert (await shelf.warm(), shelf.took, shelf.asked) == (0, [], [])


async def test_what_was_learnt_is_stored_although_nothing_is_likely() -> None:
    nobody = Wish(9, everything=False, followed=frozenset())
    for shelf in (Shelf(change.deleted("x")), Shelf(reads=[(START_S, ("x",))])):
        assert await shelf.warm(nobody) == 0
        assert [taken for _, taken in shelf.took] == [[]]


async def test_what_has_arrived_is_known_with_its_thread_its_sender_and_its_time() -> None:
    found = (await Shelf(arrival("m"), arrival("n", thread_id=None, **{"from": None})).learnt()).candidates
    assert [(c.message_id, c.thread_id, c.sender, c.at_s) for c in found.values()] == [
        ("m", "t-m", "#friend@example.org", START_S - 60),
        ("n", "n", "", START_S - 60),
    ]
    nameless = {"from": {"name": "Nobody", "address": None}}
    assert (await Shelf(arrival("m", **nameless)).learnt()).candidates["m"].sender == ""


@pytest.mark.parametrize("received_at", [None, instant(START_S + 60)])
async def test_what_arrived_later_than_now_has_arrived_now(received_at: str | None) -> None:
    assert (await Shelf(arrival("m", received_at=received_at)).learnt()).candidates["m"].at_s == START_S


@pytest.mark.parametrize(
    "entry",
    [
        *(arrival("m", labels=[label]) for label in ("SPAM", "TRASH", "DRAFT")),
        arrival("m", draft=True),
        change.created("backfill", mail("m")),
        change.quarantined("m", "garbled", 3),
        change.updated("m", {"labels": ["INBOX"]}),
    ],
)
async def test_what_nobody_will_read_or_was_there_before_tells_nothing(entry: str) -> None:
    shelf = Shelf(entry, arrival("n"))
    assert list((await shelf.learnt()).candidates) == ["n"]


@pytest.mark.parametrize(
    "entry",
    [change.deleted("m"), *(change.updated("m", {"labels": ["INBOX", label]}) for label in ("SPAM", "TRASH", "DRAFT"))],
)
async def test_what_is_gone_or_in_the_bin_is_no_candidate(entry: str) -> None:
    assert list((await Shelf(arrival("m"), entry, arrival("n")).learnt()).candidates) == ["n"]


async def test_a_change_that_is_not_of_labels_leaves_a_candidate() -> None:
    kept = (change.updated("m", {"unread": False}), change.updated("m", {"labels": ["STARRED"]}))
    assert list((await Shelf(arrival("m"), *kept).learnt()).candidates) == ["m"]


async def test_a_view_counts_for_what_has_arrived_and_for_old_mail_that_is_cached() -> None:
    shelf = Shelf(arrival("m"), reads=[(START_S - 9, ("m", "old", "unknown")), (START_S - 5, ("old", "bare"))])
    shelf.held = {"old": mail("old"), "bare": mail("bare", thread_id=None, **{"from": None})}
    model = await shelf.learnt()
    assert shelf.asked == [["old", "unknown", "bare"]]
    known = [(c.message_id, c.thread_id, c.sender, c.at_s, c.was_read) for c in model.candidates.values()]
    assert known == [
        ("m", "t-m", "#friend@example.org", START_S - 60, True),
        ("old", "t-old", "#friend@example.org", START_S - 9, True),
        ("bare", "bare", "", START_S - 5, True),
    ]
    assert {name: round(tally.views, 2) for name, tally in model.threads.items()} == {
        "t-m": 1.0,
        "t-old": 2.0,
        "bare": 1.0,
    }
    assert sum(model.hours) == pytest.approx(2.0, abs=0.01)


async def test_of_much_old_mail_the_latest_that_was_read_is_looked_up() -> None:
    many = [f"m{n}" for n in range(OLD_MAX + 5)]
    shelf = Shelf(reads=[(START_S, many)])
    await shelf.warm()
    assert shelf.asked == [many[5:]]


async def test_of_what_is_wished_for_the_newest_is_taken_and_read() -> None:
    shelf = Shelf(*(arrival(f"m{n}", received_at=instant(START_S - 60 + n)) for n in range(4)))
    assert await shelf.warm(Wish(2, everything=True, followed=frozenset())) == 2
    assert (shelf.took[0][1], shelf.read_ids) == (["m3", "m2"], ["m3", "m2"])


async def test_what_just_arrived_in_a_thread_that_the_user_has_named_is_worth_a_read() -> None:
    shelf = Shelf(arrival("m"), arrival("n"))
    assert await shelf.warm(Wish(9, everything=False, followed=frozenset({"t-n"}))) == 1
    assert shelf.read_ids == ["n"]
    assert shelf.took[0][0].at_s == START_S // 3600 * 3600, "as of the hour"


async def test_what_just_arrived_in_a_thread_that_is_read_is_worth_a_read() -> None:
    stranger = {"from": {"name": None, "address": "stranger@example.org"}}
    shelf = Shelf(arrival("m"), arrival("n", thread_id="t-m", **stranger), reads=[(START_S, ("m",))])
    assert await shelf.warm(Wish(9, everything=False, followed=frozenset())) == 2
    assert sorted(shelf.read_ids) == ["m", "n"]


async def test_what_was_passed_over_is_counted_before_it_is_asked_what_is_likely() -> None:
    """A day later the message still lies unread."""
    first = Shelf(arrival("m"))
    model = await first.learnt()
    later = Shelf(change.deleted("x"), model=model.dump())
    await later.warm(now_s=START_S + 86_400)
    assert (model.candidates["m"].decided, later.took[0][0].candidates["m"].decided) == (False, True)
