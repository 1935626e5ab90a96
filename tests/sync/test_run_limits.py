"""What bounds one sync: its time, the quota, the room in the log, the size of a step."""

import re
from dataclasses import replace
from typing import Any

import pytest

from shared.core.quota import Governor
from shared.protocol.gmail.cursor import CANDIDATES, IDS, Cursor, Listing, Reading
from shared.sync import run
from shared.sync.outcome import Outcome
from shared.sync.parked import Parked, dump
from tests.protocol.gmail.answers import listed
from tests.sync.desk import START_S, refusal
from tests.sync.mailbox import ENDLESS, QUIET, Mailbox, news, readable
from tests.sync.test_run_backfill import JOB, JUDGED, WALKING, at

ALMOST_NOTHING = 0.001  # units a second


async def test_one_step_reads_what_the_quota_can_bear_and_leaves_the_rest_to_the_next_invocation() -> None:
    box = Mailbox(QUIET, readable(), QUIET, cursor=at(WALKING), governor=Governor(ALMOST_NOTHING, 102.0))
    box.store("ids/0", "a", "b", "c", "d")
    assert await box.sync() == Outcome("partial", created=2, more=True, reason="budget_spent")
    assert (box.limits, box.said) == ([2], [["created a", "created b"], []])
    assert box.cursors[0] == at(replace(WALKING, offset=2), 90)
    assert [round(step.spent_s * ALMOST_NOTHING) for step in box.appended] == [42, 2]
    poor = Mailbox(QUIET, readable(), QUIET, cursor=at(WALKING), governor=Governor(ALMOST_NOTHING, 62.0))
    poor.store("ids/0", "a", "b")
    assert (await poor.sync()).created == 1


async def test_what_one_page_of_history_says_is_appended_in_parts_that_the_quota_can_bear() -> None:
    box = Mailbox(news("a", "b", "c"), readable(), governor=Governor(ALMOST_NOTHING, 42.0))
    outcome = await box.sync()
    assert outcome == Outcome("partial", created=2, more=True, retry_after_s=20_000.0, reason="budget_spent")
    assert box.said == [["created a", "created b"], []]
    assert [step.fields.keys() & {"cursor", "settled"} for step in box.appended] == [set(), set()]


async def test_the_cursor_goes_with_the_last_part_of_what_one_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STEP_MESSAGES_MAX", 2)
    box = Mailbox(news("a", "b", "c"), readable())
    assert await box.sync() == Outcome("synced", created=3)
    assert box.said == [["created a", "created b"], ["created c"]]
    assert box.cursors == [None, Cursor(Reading(90))]


@pytest.mark.parametrize(("budget_s", "slept"), [(3.9, []), (4.0, [3.0])])
async def test_a_note_that_would_end_too_late_is_left_to_the_next_invocation(budget_s: float, slept: Any) -> None:
    box = Mailbox(news("u"), readable(), QUIET, QUIET, QUIET, cursor=at(JUDGED), budget_s=budget_s)
    assert (await box.sync()).reason == ("" if slept else "budget_spent")
    assert box.desk.clock.slept == slept
    waited = at(replace(JUDGED, waited=True), 90)
    assert box.cursors[:2] == [at(JUDGED, 90), waited if slept else None]


@pytest.mark.parametrize(("budget_s", "created"), [(0.9, 1), (1.0, 2)])
async def test_one_step_is_always_made_and_the_next_one_only_in_time(budget_s: float, created: int) -> None:
    box = Mailbox(QUIET, readable(), QUIET, readable(), cursor=at(WALKING), budget_s=budget_s)
    box.store("ids/0", "a")
    box.store("ids/1", "b")
    assert (await box.sync()).created == created


def slowly(seconds: float, box: Mailbox, asked: list[str]) -> Any:
    def respond(request: Any) -> Any:
        box.desk.clock.at_s += seconds
        asked.extend(re.findall(r"Content-ID: <m-(\w+)>", request.body.decode(), re.IGNORECASE))
        return readable()(request)

    return respond


async def test_a_step_ends_with_the_budget_and_the_next_invocation_reads_only_what_is_left() -> None:
    names = [f"m{n:02}" for n in range(30)]
    index: dict[str, str] = {}
    counts = []
    for _ in range(ENDLESS):
        box, asked = Mailbox(budget_s=3.0), list[str]()
        box.desk.provider.answers = (news(*names), slowly(4.0, box, asked), slowly(4.0, box, asked), QUIET)
        box.index |= index
        outcome = await box.sync()
        index = box.index
        counts.append(outcome.created)
        assert len(asked) == outcome.created, "what was appended is not read again"
        if outcome.status == "synced":
            break
        assert outcome == Outcome("partial", created=8, more=True, reason="budget_spent")
        assert (box.cursors, box.desk.waited_s) == ([None, None], 4.0)
    assert counts == [8, 8, 8, 6]
    assert box.cursors == [Cursor(Reading(90))]


async def test_what_is_parked_is_not_all_that_an_invocation_without_time_does() -> None:
    parked_a = dump({"a": Parked(None, START_S - 60, "backendError")})
    box = Mailbox(cursor=at(None), budget_s=3.0, parked=parked_a)

    def slow(request: Any) -> Any:
        box.desk.clock.at_s += 4
        return readable(a=refusal(500, "backendError"))(request)

    box.desk.provider.answers = (slow, news("b"), slow)
    assert (await box.sync()).created == 1


async def test_a_page_of_history_without_news_counts_as_a_step() -> None:
    box = Mailbox(news(token="p"), QUIET, cursor=at(None), budget_s=0.5)
    assert await box.sync() == Outcome("partial", more=True, reason="budget_spent")
    (release,) = box.appended
    assert (release.let_go, release.served, box.desk.provider.requests) == (True, False, 1)
    assert box.cursors == [Cursor(Reading(77, page_token="p", upto=90), None, None, 0.0)]


async def test_an_invocation_that_could_read_nothing_does_not_begin() -> None:
    full_at = str(int(START_S + 1_000_000) * 1000)
    box = Mailbox(QUIET, governor=Governor(ALMOST_NOTHING, 60.0), full_at_ms=full_at)
    outcome = await box.sync()
    assert (outcome.status, outcome.reason, box.desk.provider.requests) == ("partial", "budget_spent", 0)


async def test_while_the_log_has_no_room_only_live_changes_are_read() -> None:
    box = Mailbox(news("a"), readable(), cursor=at(Listing(JOB, IDS)))
    box.desk.begun.log_waits = True
    assert await box.sync() == Outcome("partial", created=1, more=True, reason="budget_spent")
    assert (box.said, box.desk.provider.requests) == ([["created a"], []], 2)


async def test_a_listing_that_finds_the_log_full_reads_no_message() -> None:
    box = Mailbox(cursor=at(Listing(JOB, IDS)))

    def filled(request: Any) -> Any:
        box.desk.begun.log_waits = True
        return listed("a")

    box.desk.provider.answers = (QUIET, filled)
    assert await box.sync() == Outcome("partial", more=True, reason="budget_spent")
    assert box.desk.provider.requests == 2


async def test_the_place_of_a_listing_is_stored_though_the_log_is_full() -> None:
    box = Mailbox(cursor=at(Listing(JOB, CANDIDATES)))

    def filled(request: Any) -> Any:
        box.desk.begun.log_waits = True
        return listed("a", token="p")

    box.desk.provider.answers = (QUIET, filled, QUIET)
    await box.sync()
    assert [bool(step.pages) for step in box.appended] == [True, False]
