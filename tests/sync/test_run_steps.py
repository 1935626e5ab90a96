"""What one sync hands to its store: each append whole, over a store and a provider in memory."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core import change
from shared.core.errors import AuthorizationLost
from shared.core.message import instant
from shared.core.quota import Governor
from shared.protocol.gmail.cursor import Cursor, Reading
from shared.protocol.gmail.known import Known, pack_id
from shared.protocol.graph.stream import GraphStream
from shared.sync import parked
from shared.sync.outcome import Outcome
from shared.sync.ports import Append
from tests.protocol.gmail.answers import history, record
from tests.protocol.graph import answers as graph
from tests.sync.desk import START_S, refusal
from tests.sync.mailbox import QUIET, Mailbox, news, readable


def said_goodbye(cursor: str) -> dict[str, str]:
    at = f"{START_S:.3f}"
    let_go = {"window": "8,60", "last_sync_s": at, "looked_s": at, "pushes_served": "0"}
    return let_go | {"cursor": cursor, "confirmed_s": at, "reached": "90"}


def figures(count: int, api_calls: int, units: int) -> dict[str, str]:
    return {
        "message_count": str(count),
        "duration": "0.000",
        "messages_per_second": "0.00",
        "timestamp": str(instant(START_S)),
        "api_calls": str(api_calls),
        "quota_units": str(units),
    }


async def test_where_nothing_is_new_the_cursor_goes_with_the_lease() -> None:
    box = Mailbox(QUIET, confirmed_s=f"{START_S - 60}")
    cursor = box.desk.stream.encode(Cursor(Reading(90)))
    assert await box.sync() == Outcome("no_new_messages")
    (release,) = box.appended
    tables = box.desk.stream.tables()
    assert release == Append(
        "1.1",
        fields=said_goodbye(cursor) | tables,
        release=True,
        served=True,
        healthy=True,
        perf=figures(0, 1, 2),
    )


async def test_what_is_new_is_appended_with_the_cursor_and_the_lease_is_given_back_with_it() -> None:
    box = Mailbox(news("m"), readable(), asked="r1", lost="", settled="")
    cursor = box.desk.stream.encode(Cursor(Reading(90)))
    assert await box.sync() == Outcome("synced", created=1)
    (step,) = box.appended
    kind, data = change.parts(step.events[0])
    assert (kind, data["message"]["id"], len(step.events)) == ("message.created", "m", 1)
    assert step.index == {pack_id("m"): box.desk.stream.labels.pack(Known(80, frozenset({"INBOX"})))}
    assert (list(step.cache), step.threads, step.taken) == (["m"], [("t-m", "m")], {"asked": "r1"})
    assert (step.fields["cursor"], step.release, step.let_go, step.served, step.pausable) == (
        cursor,
        True,
        False,
        True,
        False,
    )
    assert (step.step_id, step.healthy, step.perf) == ("1.1", True, figures(1, 2, 22))


async def test_what_an_answer_said_that_nobody_waited_for_is_held_to() -> None:
    box = Mailbox(QUIET)
    box.desk.provider.told_s = 7.0
    await box.sync()
    assert [each.hold_s for each in box.appended] == [7.0]
    longer = Mailbox(refusal(429, "rateLimitExceeded"))
    longer.desk.provider.told_s = 3.0
    await longer.sync()
    assert [each.hold_s for each in longer.appended] == [4.0]


async def test_a_hint_that_came_meanwhile_is_served_by_another_round() -> None:
    box = Mailbox(QUIET)
    box.hints = 2
    assert (await box.sync()).status == "no_new_messages"
    first, second = box.appended
    assert (first.step_id, first.hints, first.release, first.served) == ("1.1", 0, True, True)
    assert (second.step_id, second.hints, second.release, second.served) == ("1.2", 2, True, True)
    assert (box.desk.clock.slept, box.desk.provider.requests) == ([1.0], 2)
    assert second.fields["looked_s"] == f"{START_S + 1:.3f}"


@pytest.mark.parametrize(
    ("response", "status", "reason", "hold_s"),
    [
        (refusal(429, "rateLimitExceeded"), "cooling_down", "throttled", 4.0),
        (refusal(503, "backendError"), "partial", "provider_down", 0.0),
        (refusal(400, "invalidArgument"), "partial", "contract_broken", 0.0),
    ],
)
async def test_what_stops_a_sync_is_told_and_the_lease_is_given_back(
    response: Any, status: str, reason: str, hold_s: float
) -> None:
    box = Mailbox(response)
    outcome = await box.sync()
    assert (outcome.status, outcome.reason, outcome.more, outcome.count) == (status, reason, True, 0)
    assert outcome.retry_after_s == (None if reason == "contract_broken" else 4.0)
    (step,) = box.appended
    assert (step.step_id, step.release, step.let_go, step.hold_s) == ("1.1", False, True, hold_s)
    assert (step.served, step.healthy) == (False, False)
    assert "cursor" not in step.fields
    assert "confirmed_s" not in step.fields


@pytest.mark.parametrize("grant", [True, False])
async def test_a_grant_that_is_lost_is_told_to_the_store(grant: bool) -> None:
    box = Mailbox(refusal(403, "insufficientPermissions"), grant=grant)
    outcome = await box.sync()
    assert box.lost == ["insufficientPermissions"]
    told = Outcome("reauth_required", reason="insufficientPermissions")
    assert outcome == (told if grant else Outcome("partial", more=True, reason="reauth_required"))
    assert [step.let_go for step in box.appended] == ([] if grant else [True])


async def test_of_a_step_that_the_log_has_no_room_for_nothing_is_stored_with_the_release() -> None:
    box = Mailbox(news("m"), readable(), asked="r1")
    box.refused = {1}
    outcome = await box.sync()
    assert (outcome.status, outcome.reason, outcome.more, outcome.count) == ("partial", "budget_spent", True, 0)
    _, release = box.appended
    assert (release.step_id, release.let_go, release.events, release.taken) == ("1.2", True, [], {})
    assert "cursor" not in release.fields


async def test_after_a_refused_step_what_was_spent_is_stored_and_the_next_sync_can_do_it_again() -> None:
    governor = Governor(0.001, 200.0)
    box = Mailbox(news("m"), readable(b=refusal(404, "notFound")), governor=governor, confirmed_s=f"{START_S - 301}")
    box.refused, box.run.started_s = {1}, START_S - 31
    await box.sync()
    assert [step.spent_s for step in box.appended] == [22_000.0, 22_000.0]
    assert box.said == [["created m", "alert.raised"], ["alert.raised", "alert.raised"]]
    assert [step.fields["alerts"] for step in box.appended] == ['["slow_sync"]', '["slow_sync","stale"]']


@pytest.mark.parametrize("asked", [{"asked": "r1", "lost": "1"}, {"asked": "r1"}, {"lost": "1"}])
async def test_what_an_account_asks_for_is_taken_up_by_the_cursor_even_of_a_sync_that_was_stopped(asked: Any) -> None:
    box = Mailbox(refusal(429, "rateLimitExceeded"), **asked)
    await box.sync()
    (release,) = box.appended
    assert (box.cursors, release.taken) == ([Cursor(Reading(77))], asked)


async def test_what_was_taken_up_is_not_taken_again() -> None:
    box = Mailbox(readable(), QUIET, asked="r1", unnamed="u ")
    await box.sync()
    assert [step.taken for step in box.appended] == [{"asked": "r1"}, {"unnamed": "u "}]


async def test_a_lease_that_is_lost_ends_the_sync_and_there_is_more_to_do() -> None:
    box = Mailbox(news("m"), readable())
    box.desk.lease.taken = True
    assert await box.sync() == Outcome("lease_held", more=True)
    assert len(box.appended) == 1


async def test_a_lease_that_is_lost_in_the_end_is_told_instead_of_what_stopped_the_sync() -> None:
    box = Mailbox(refusal(429, "rateLimitExceeded"))
    box.desk.lease.taken = True
    assert (await box.sync()).status == "lease_held"


async def test_a_breaker_that_opens_ends_the_sync() -> None:
    box = Mailbox(refusal(503, "backendError"))
    box.desk.lease.threshold = 1
    assert await box.sync() == Outcome("breaker_open", more=True, retry_after_s=60.0, reason="breaker_open")
    assert [(step.let_go, step.hold_s) for step in box.appended] == [(True, 0.0)]


async def test_the_figures_of_a_sync_are_of_all_that_it_has_said() -> None:
    changes = history(record(80, added=["m"], plus={"u": ["STARRED"]}, deleted=["d"]), history_id=90)
    box = Mailbox(readable(), changes, readable(d=refusal(404, "notFound")), unnamed="first ")
    box.know("u", "d")
    assert await box.sync() == Outcome("synced", created=2, updated=1, deleted=1)
    _, release = box.appended
    assert (box.said[0], sorted(box.said[1])) == (["created first"], ["created m", "deleted d", "updated u"])
    assert release.perf == figures(4, 3, 62)


async def test_a_sync_begins_with_the_hints_that_it_serves() -> None:
    box = Mailbox(news("m", token="p"), readable(), QUIET)
    box.desk.begun.hints = 3
    box.desk.begun.pushes = box.run.looks.pushes = 2
    await box.sync()
    assert [(step.hints, step.pushes, step.served) for step in box.appended][:2] == [(3, 2, False), (3, 2, True)]


async def test_alerts_are_told_when_a_mailbox_is_let_go_and_once() -> None:
    slow = Mailbox(QUIET)
    slow.run.started_s = START_S - 31
    await slow.sync()
    assert (slow.said, slow.appended[0].fields["alerts"]) == ([["alert.raised"]], '["slow_sync"]')
    again = Mailbox(QUIET)
    again.run.started_s, again.run.raised = START_S - 31, frozenset({"slow_sync"})
    await again.sync()
    assert (again.said, "alerts" in again.appended[0].fields) == ([[]], False)
    over = Mailbox(QUIET)
    over.run.raised = frozenset({"slow_sync"})
    await over.sync()
    assert (over.said, over.appended[0].fields["alerts"]) == ([["alert.cleared"]], "[]")


async def test_what_was_waited_for_does_not_make_a_sync_slow() -> None:
    box = Mailbox(QUIET)
    box.run.started_s, box.desk.calls.waited_s = START_S - 31, 2.0
    await box.sync()
    assert box.said == [[]]


@pytest.mark.parametrize(("response", "raised"), [(QUIET, []), (refusal(400, "invalidArgument"), ["alert.raised"])])
async def test_a_mailbox_is_stale_unless_this_sync_confirms_it(response: Any, raised: list[str]) -> None:
    box = Mailbox(response, confirmed_s=f"{START_S - 301}")
    await box.sync()
    assert box.said == [raised]
    fresh = Mailbox(response)
    fresh.run.started_s = START_S - 30
    await fresh.sync()
    assert fresh.said == [[]], "a mailbox that was never confirmed is as old as its first sync"


async def test_history_that_a_push_has_named_and_nobody_shows_is_looked_for_before_the_mailbox_is_let_go() -> None:
    box = Mailbox(QUIET)
    box.desk.begun.hint_history = 95
    await box.sync()
    assert (box.desk.clock.slept, box.desk.provider.requests) == ([1.0, 1.0, 1.0], 4)
    (release,) = box.appended
    assert (release.taken, release.fields["hint_given_up"]) == ({"hint_history": "95"}, "95")


async def test_a_push_about_nothing_new_is_followed_by_a_look_a_second_after_it_was_noticed() -> None:
    box = Mailbox()

    def pushed(request: Any) -> Any:
        box.desk.clock.at_s, box.desk.begun.pushes = START_S + 0.5, 1
        return QUIET

    box.desk.provider.answers = (pushed, QUIET)
    await box.sync()
    assert (box.desk.clock.slept, box.desk.provider.requests) == ([1.0], 2)


BROKEN = refusal(500, "backendError")


async def test_what_cannot_be_read_is_parked_with_the_step_and_stored_once() -> None:
    box = Mailbox(news("m", "bad", token="p"), readable(bad=BROKEN), readable(bad=BROKEN), readable(bad=BROKEN), QUIET)
    await box.sync()
    assert [parked.load(step.fields.get("parked")).keys() for step in box.appended] == [{"bad"}, set()]
    assert ["outage" in step.fields for step in box.appended] == [False, False]
    full = Mailbox(news("m", "bad"), readable(bad=BROKEN))
    full.refused = {1}
    await full.sync()
    assert ["parked" in step.fields for step in full.appended] == [True, False]


async def test_an_outage_is_noted_when_a_mailbox_is_let_go() -> None:
    names = [f"m{n}" for n in range(5)]
    box = Mailbox(news(*names), readable({}, **dict.fromkeys(names, BROKEN)))
    assert (await box.sync()).reason == "provider_down"
    assert [parked.load_outage(step.fields["outage"]) for step in box.appended][-1] == parked.Outage(START_S + 3)


async def test_a_grant_that_dies_of_age_is_told_so() -> None:
    box = Mailbox(QUIET, provider="gmail", granted_s=f"{START_S - 7 * 86_400}")

    async def refused() -> None:
        raise AuthorizationLost("invalid_grant")

    box.desk.provider.answers, box.desk.provider.refresh = (refusal(401, "authError"),), refused  # type: ignore[method-assign]
    assert (await box.sync()).reason == "testing_app_7_days"


async def test_a_refusal_without_a_time_holds_nobody_up() -> None:
    cursor = replace(graph.cursor(), names=("inbox",))
    box = Mailbox(graph.answers(inbox=graph.refused(429, "x")), cursor=cursor, stream=GraphStream(graph.box("F")))
    assert await box.sync() == Outcome("cooling_down", more=True, reason="throttled")
    assert [step.hold_s for step in box.appended] == [0.0]
