"""What one sync hands to its store: each append whole, over a store and a provider in memory."""

from copy import deepcopy
from typing import Any

import pytest

from shared.core import change
from shared.core.message import instant
from shared.core.quota import Window
from shared.protocol.gmail.cursor import Cursor, Reading
from shared.protocol.gmail.known import Known, pack_id
from shared.sync.hydrate import Hydrator
from shared.sync.looks import Looks
from shared.sync.outcome import Objectives, Outcome
from shared.sync.ports import Append, Appended, Begun
from shared.sync.run import Run
from shared.sync.step import Patience, Steps
from tests.protocol.gmail.answers import answer, history, record, resource
from tests.sync.desk import START_S, Desk, batched, refusal

QUIET = history(history_id=90)
NEWS = history(record(80, added=["m"]), history_id=90)


class Mailbox:
    """A Gmail mailbox that was read up to 77; `refused`: so many appends find the log full; `hints` come with one."""

    def __init__(self, *answers: Any, grant: bool = True, **fields: str) -> None:
        self.desk = Desk(answers, fields=fields)
        self.appended: list[Append] = []
        self.full, self.hints, self.grant = 0, 0, grant
        self.lost: list[str] = []
        self.index: dict[str, str] = {}
        d = self.desk
        hydrator = Hydrator(d.calls, d.stream, d.clock, Window(8, 60, 60))
        steps = Steps(fields, self, d.stream, hydrator, d.clock, Patience(3, 600), "tag")  # type: ignore[arg-type]
        looks = Looks.of(d.begun, self, d.calls, d.clock)  # type: ignore[arg-type]
        cursor = Cursor(Reading(77))
        of = (d.begun, cursor, self, d.stream, d.calls, hydrator, steps, d.clock, START_S)
        self.run = Run(*of, Objectives(30.0, 300.0), looks)  # type: ignore[arg-type]
        self.run.take_up(fields)

    async def renew(self, begun: Begun) -> None:
        await self.desk.lease.renew(begun)

    async def read(self, account_id: str, ids: Any) -> Any:
        return [self.index.get(packed) for packed, _ in ids], [None for _ in ids]

    async def lose_grant(self, begun: Begun, reason: str) -> bool:
        self.lost.append(reason)
        return self.grant

    async def append(self, begun: Begun, step: Append) -> Appended:
        assert begun is self.desk.begun
        self.appended.append(deepcopy(step))
        if self.full:
            self.full -= 1
            return Appended(False, log_full=True)
        self.index |= {packed: value for packed, value in step.index.items() if value is not None}
        if step.release and self.hints:
            begun.hints, self.hints = begun.hints + self.hints, 0
            return Appended(False)
        return Appended(step.release or step.let_go)

    async def sync(self) -> Outcome:
        return await self.run.to_the_end()


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
    box = Mailbox(NEWS, batched(lambda key: answer(resource(key[2:], ["INBOX"], 80))), asked="r1", lost="", settled="")
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
    box = Mailbox(NEWS, batched(lambda key: answer(resource(key[2:], ["INBOX"], 80))), asked="r1")
    box.full = 1
    outcome = await box.sync()
    assert (outcome.status, outcome.reason, outcome.more, outcome.count) == ("partial", "budget_spent", True, 0)
    _, release = box.appended
    assert (release.step_id, release.let_go, release.events, release.taken) == ("1.2", True, [], {})
    assert "cursor" not in release.fields
