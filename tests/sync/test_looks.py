"""When a mailbox is looked at again, by the arithmetic alone: what is waited for, and what is noted of it."""

from typing import Any

import pytest

from shared.sync import looks
from shared.sync.looks import GAP_S, LATE_MAX_S, TRIES_MAX, Looks
from shared.sync.ports import Begun
from tests.sync.desk import START_S, Desk, Lease


class Pushed(Lease):
    """Each renewal shows what has come: the next of `news`, as values of the fields of what was begun."""

    news: list[dict[str, int]]

    async def renew(self, begun: Begun) -> None:
        await super().renew(begun)
        for name, value in (self.news.pop(0) if self.news else {}).items():
            setattr(begun, name, value)


class Mailbox:
    """One that was begun now, with these `fields`, and with what is `given` of its pushes."""

    def __init__(
        self, fields: dict[str, str] | None = None, *news: dict[str, int], budget_s: float = 300.0, **given: Any
    ) -> None:
        self.desk = Desk([], budget_s=budget_s, fields=fields or {})
        self.store = Pushed(self.desk.clock)
        self.store.news = list(news)
        for name, value in given.items():
            setattr(self.desk.begun, name, value)
        self.looks = Looks.of(self.desk.begun, self.store, self.desk.calls, self.desk.clock)  # type: ignore[arg-type]

    @property
    def slept(self) -> list[float]:
        return [round(seconds, 3) for seconds in self.desk.clock.slept]

    @property
    def began_s(self) -> float:
        return self.looks.began_s - START_S


def test_what_was_served_and_how_many_pushes_there_are_is_known_from_the_begin() -> None:
    found = Mailbox({"pushes_served": "3"}, pushes=5).looks
    assert (found.served, found.pushes, found.noticed_s, found.began_s, found.tries) == (3, 5, START_S, 0.0, 0)
    assert Mailbox().looks.served == 0


@pytest.mark.parametrize(
    ("fields", "given", "waited"),
    [
        ({"looked_s": f"{START_S - 0.4}"}, {"hints": 1}, []),  # a ping
        ({}, {"pushed": True}, [1.0]),  # about nothing new, in an account that was never hinted at
        ({"served": "1", "looked_s": f"{START_S - 60}"}, {"pushed": True, "hints": 1}, [1.0]),
        ({"served": "1", "looked_s": f"{START_S - 60}"}, {"pushed": True, "hints": 2}, []),
        ({"looked_s": f"{START_S - 0.4}"}, {"pushed": True, "hints": 1}, [0.6]),
        ({"looked_s": f"{START_S}"}, {"pushed": True, "hints": 1}, [1.0]),
        ({"looked_s": f"{START_S - GAP_S}"}, {"pushed": True, "hints": 1}, []),
        ({"looked_s": f"{START_S + 0.4}"}, {"pushed": True, "hints": 1}, []),  # by another clock
        ({"looked_s": f"{START_S - 0.4}"}, {"pushed": True, "hints": 1, "hint_history": 9}, []),  # is new
        ({}, {"pushed": True, "hints": 1}, []),  # never looked at
    ],
)
async def test_the_first_look_waits_for_a_push_about_nothing_new_and_for_its_second(
    fields: dict[str, str], given: dict[str, Any], waited: list[float]
) -> None:
    box = Mailbox(fields, **given)
    await box.looks.first()
    assert (box.slept, round(box.began_s, 3)) == (waited, sum(waited))
    assert box.store.renewals == (2 if waited else 0)


async def test_a_first_look_that_was_put_off_serves_the_pushes_before_it() -> None:
    box = Mailbox(pushed=True, pushes=4)
    await box.looks.first()
    assert box.looks.noted() == {"looked_s": f"{START_S + 1:.3f}", "pushes_served": "4"}
    soon = Mailbox(pushed=True, pushes=4, hints=1)
    await soon.looks.first()
    assert soon.looks.noted() == {"looked_s": f"{START_S:.3f}", "pushes_served": "0"}


async def test_a_first_look_for_another_push_about_nothing_waits_as_long_as_these_keep_coming() -> None:
    box = Mailbox({}, {"pushes": 5}, {"pushes": 6}, pushed=True, pushes=4)
    await box.looks.first()
    assert (box.slept, box.looks.served) == ([1.0, 1.0, 1.0], 6)


@pytest.mark.parametrize(
    ("given", "budget_s", "owed"),
    [
        ({}, 300.0, False),
        ({"pushes": 1}, 300.0, True),
        ({"hint_history": 10}, 300.0, False),
        ({"hint_history": 11}, 300.0, True),
        ({"hint_history": 11}, GAP_S, True),
        ({"hint_history": 11, "pushes": 1}, GAP_S - 0.5, False),
    ],
)
def test_a_look_is_owed_to_pushes_and_to_history_that_is_not_reached_while_there_is_time(
    given: dict[str, int], budget_s: float, owed: bool
) -> None:
    assert Mailbox({}, budget_s=budget_s, **given).looks.owed(10) is owed


def test_a_push_is_noticed_when_it_is_asked_whether_a_look_is_owed() -> None:
    box = Mailbox()
    box.desk.clock.at_s += 5
    assert not box.looks.owed(10)
    assert box.looks.noticed_s == START_S
    box.desk.begun.pushes = 1
    assert box.looks.owed(10)
    assert (box.looks.pushes, box.looks.noticed_s) == (1, START_S + 5)


async def test_history_that_is_not_shown_is_looked_for_a_few_times_a_second_apart() -> None:
    box = Mailbox(hint_history=11)
    await box.looks.first()
    for _ in range(TRIES_MAX):
        assert box.looks.owed(10)
        assert box.looks.settle(10) == ({}, {"reached": "10"})
        await box.looks.again(0, 10)
    assert (box.slept, box.looks.tries, box.looks.owed(10)) == ([1.0, 1.0, 1.0], 3, False)
    assert box.looks.settle(10) == ({"hint_history": "11"}, {"reached": "10", "hint_given_up": "11"})


@pytest.mark.parametrize(
    ("wanted", "reached", "settled"),
    [
        (0, 0, ({}, {})),
        (0, 10, ({}, {"reached": "10"})),
        (10, 10, ({"hint_history": "10"}, {"reached": "10"})),
        (9, 10, ({"hint_history": "9"}, {"reached": "10"})),
        (11, 10, ({}, {"reached": "10"})),
    ],
)
def test_what_is_reached_is_noted_and_what_was_asked_for_is_done(wanted: int, reached: int, settled: Any) -> None:
    assert Mailbox(hint_history=wanted).looks.settle(reached) == settled


@pytest.mark.parametrize(
    ("given", "since_s", "waited"),
    [
        ({}, 0.5, [0.5]),  # a second after the last push, which was noticed when the look began
        ({"pushes": 1}, 0.5, [1.0]),  # noticed now
        ({"pushes": 1}, LATE_MAX_S - 0.5, [0.5]),
        ({"pushes": 1}, LATE_MAX_S + 1, []),
        ({"pushes": 1, "hints": 1}, 0.5, [0.5]),  # news: a second after the last look
        ({"pushes": 1, "hints": 1}, 3.0, []),
        ({"pushes": 1, "hint_history": 11}, 0.5, [0.5]),  # history that is not reached, likewise
    ],
)
async def test_the_next_look_waits_for_a_second_without_pushes_but_not_for_ever_and_with_news_not_at_all(
    given: dict[str, int], since_s: float, waited: list[float]
) -> None:
    box = Mailbox()
    await box.looks.first()
    box.desk.clock.at_s += since_s
    for name, value in given.items():
        setattr(box.desk.begun, name, value)
    await box.looks.again(0, 10)
    assert (box.slept, box.began_s) == (waited, since_s + sum(waited))
    assert box.looks.tries == (1 if "hint_history" in given else 0)


async def test_a_wait_that_is_all_but_over_is_not_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "SLACK_S", 0.25)
    box = Mailbox({}, pushes=7)
    await box.looks.first()
    box.desk.clock.at_s += 0.75
    await box.looks.again(0, 10)
    assert (box.slept, box.store.renewals, box.looks.served) == ([], 1, 7)
    short = Mailbox({}, pushes=7)
    await short.looks.first()
    short.desk.clock.at_s += 0.5
    await short.looks.again(1, 10)
    assert (short.slept, short.looks.served) == ([0.5], 7)
