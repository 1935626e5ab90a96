"""Reading messages in batches: so many parts in flight as the mailbox bears, and the failed parts alone again."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from shared.core.errors import AccessExpired, AuthorizationLost, BudgetSpent, ProviderDown, Throttled
from shared.core.quota import Governor, Window
from shared.protocol.gmail.stream import GmailStream
from shared.protocol.status import Kind, Status
from shared.protocol.step import Failed, Fetched, Gone, Want
from shared.protocol.wire import Response
from shared.sync.hydrate import Hydrator, Read
from tests.protocol.gmail.answers import answer, resource
from tests.sync.desk import Desk, batched, refusal

Of = Callable[[str], Response | None]
BUSY = refusal(429, "rateLimitExceeded")
QUOTA = refusal(403, "rateLimitExceeded", "usageLimits")
BROKEN = refusal(500, "backendError")
EXPIRED = refusal(401, "authError")

WIDE = Window(60, 60, 60)


def fine(key: str) -> Response:
    return answer(resource(key.partition("-")[2], ["INBOX"], 50))


class Room:
    """A mailbox to read from: `of` answers for each part, and is told how often it was asked for."""

    def __init__(self, *of: Of, window: Window = WIDE, **desk: Any) -> None:
        self.asked: Counter[str] = Counter()
        self.batches: list[int] = []
        self.of = list(of)
        self.desk = Desk([self.respond], **desk)
        self.hydrator = Hydrator(self.desk.calls, self.desk.stream, self.desk.clock, window)

    def respond(self, request: Any) -> Response:
        before = self.asked.total()
        response = batched(self.part)(request)
        self.batches.append(self.asked.total() - before)
        return response

    def part(self, key: str) -> Response | None:
        self.asked[key] += 1
        return self.of[min(self.asked[key], len(self.of)) - 1](key)

    async def read(self, *wants: Want | str) -> Read:
        return await self.hydrator.read([Want(want) if isinstance(want, str) else want for want in wants])


def only(key: str, response: Response | None) -> Of:
    return lambda asked: response if asked == key else fine(asked)


async def test_messages_are_read_in_whole_batches_side_by_side() -> None:
    room = Room(fine)
    read = await room.read(*(f"m{n}" for n in range(50)))
    assert room.batches == [20, 20, 10]
    assert all(isinstance(each, Fetched) for each in read.results.values())
    assert (len(read.results), read.error) == (50, None)


async def test_nothing_to_read_asks_nothing() -> None:
    room = Room(fine)
    assert (await room.read()).results == {}
    assert room.desk.calls.api_calls == 0


async def test_a_missing_message_is_gone() -> None:
    room = Room(only("m-m1", refusal(404, "notFound")))
    assert (await room.read("m0", "m1")).results["m1"] == Gone()


async def test_a_failed_part_is_retried_alone() -> None:
    room = Room(only("m-m1", BROKEN), fine)
    read = await room.read("m0", "m1", "m2")
    assert isinstance(read.results["m1"], Fetched)
    assert room.asked == {"m-m0": 1, "m-m1": 2, "m-m2": 1}
    assert room.desk.clock.slept == [1.0]


async def test_a_part_that_is_missing_from_the_answer_is_asked_for_again() -> None:
    room = Room(only("m-m1", None), fine)
    assert isinstance((await room.read("m0", "m1")).results["m1"], Fetched)


async def test_what_fails_for_good_is_told_with_its_reason_after_three_attempts() -> None:
    room = Room(lambda key: {"m-m1": BROKEN, "m-m2": None}.get(key, fine(key)))
    read = await room.read("m0", "m1", "m2")
    assert read.results["m1"] == Failed("backendError", counts=True)
    assert read.results["m2"] == Failed("missing", counts=True)
    assert (room.asked["m-m1"], room.hydrator.attempts("m1"), read.error) == (3, 3, None)


async def test_a_part_that_is_refused_for_itself_fails_at_once() -> None:
    room = Room(only("m-m1", refusal(400, "invalidArgument")))
    assert (await room.read("m0", "m1")).results["m1"] == Failed("invalidArgument", counts=True)
    assert room.asked["m-m1"] == 1


async def test_failed_parts_do_not_wait_while_others_are_still_to_be_read() -> None:
    room = Room(only("m-m0", BROKEN), fine, window=Window(2, 2, 2))
    await room.read("m0", "m1", "m2", "m3")
    assert room.desk.clock.slept == []


async def test_a_part_refused_for_concurrency_halves_the_window_and_never_counts_as_failed() -> None:
    room = Room(only("m-m1", BUSY), fine)
    read = await room.read(*(f"m{n}" for n in range(8)))
    assert isinstance(read.results["m1"], Fetched)
    assert room.hydrator.attempts("m1") == 0
    assert room.hydrator.window == Window(4, 7, 60)


async def test_of_a_wave_all_that_was_refused_narrows_the_window() -> None:
    refused = {"m-m1": BUSY, "m-m2": BUSY}
    room = Room(lambda key: refused.get(key) or fine(key), fine)
    await room.read(*(f"m{n}" for n in range(8)))
    assert room.hydrator.window == Window(4, 6, 60)
    exact = Room(only("m-m29", BUSY), fine, window=Window(30, 60, 60))
    await exact.read(*(f"m{n}" for n in range(30)))
    assert exact.hydrator.window == Window(15, 29, 60), "all thirty were in flight"


async def test_of_a_window_that_is_no_whole_number_of_batches_the_rest_stays_empty() -> None:
    room = Room(only("m-m0", BUSY), fine, window=Window(30, 60, 60))
    await room.read(*(f"m{n}" for n in range(50)))
    assert room.batches[:2] == [20, 10], "refused for concurrency, the next wave is half as wide"


async def test_a_part_refused_for_quota_says_nothing_of_the_window() -> None:
    room = Room(only("m-m1", QUOTA), fine)
    await room.read("m0", "m1")
    assert room.hydrator.window == Window(60, 60, 60)
    assert room.desk.clock.slept == [1.0]


async def test_refusals_without_any_progress_come_to_an_end() -> None:
    room = Room(lambda key: BUSY)
    read = await room.read("m0", "m1")
    assert isinstance(read.error, Throttled)
    assert (read.results, read.error.after_s) == ({}, 16.0)
    assert (len(room.batches), room.desk.clock.slept) == (4, [2.0, 4.0, 8.0])


def pause(until: str) -> Response:
    said = {"error": {"code": 429, "message": f"Retry after {until}", "errors": [{"reason": "rateLimitExceeded"}]}}
    return answer(said, 429)


LATE = pause("2025-11-25T00:00:09.000Z")


@pytest.mark.parametrize(("response", "slept"), [(BUSY, []), (QUOTA, [1.0]), (LATE, [9.0])])
async def test_the_rest_waits_for_a_refused_part_only_where_a_pause_is_named_or_the_quota_is_spent(
    response: Response, slept: list[float]
) -> None:
    room = Room(only("m-m0", response), fine, window=Window(2, 2, 2))
    assert len((await room.read("m0", "m1", "m2", "m3")).results) == 4
    assert room.desk.clock.slept == slept


@pytest.mark.parametrize(
    ("first", "second", "slept"),
    [(QUOTA, BUSY, [1.0]), (BUSY, BUSY, []), (BUSY, pause("2025-11-25T00:00:01.000Z"), [1.0])],
)
async def test_of_two_refusals_the_one_that_names_a_pause_counts_else_the_first(
    first: Response, second: Response, slept: list[float]
) -> None:
    refusals = {"m-m0": first, "m-m1": second}
    room = Room(lambda key: refusals.get(key) or fine(key), fine, window=Window(3, 3, 3))
    assert len((await room.read(*(f"m{n}" for n in range(6)))).results) == 6
    assert room.desk.clock.slept == slept


async def test_the_rest_waits_for_a_refused_part_where_nothing_else_got_through() -> None:
    room = Room(only("m-m0", BUSY), fine, window=Window(1, 1, 1))
    assert len((await room.read("m0", "m1")).results) == 2
    assert room.desk.clock.slept == [2.0]


async def test_of_several_refusals_the_longest_wait_counts() -> None:
    early = pause("2025-11-25T00:00:04.000Z")
    room = Room(lambda key: {"m-m0": BUSY, "m-m1": LATE, "m-m2": early}[key], fine)
    await room.read("m0", "m1", "m2")
    assert room.desk.clock.slept == [9.0]


async def test_parts_with_an_old_token_are_read_again_with_a_new_one() -> None:
    room = Room(only("m-m1", EXPIRED), fine)
    assert isinstance((await room.read("m0", "m1")).results["m1"], Fetched)
    assert room.desk.provider.refreshed == 1


async def test_parts_that_refuse_a_new_token_end_it() -> None:
    room = Room(only("m-m1", EXPIRED))
    read = await room.read("m0", "m1")
    assert isinstance(read.error, AccessExpired)
    assert list(read.results) == ["m0"]


async def test_a_part_that_the_grant_does_not_cover_ends_it() -> None:
    room = Room(only("m-m1", refusal(403, "insufficientPermissions")))
    read = await room.read("m0", "m1")
    assert isinstance(read.error, AuthorizationLost)
    assert (read.error.reason, list(read.results)) == ("insufficientPermissions", ["m0"])


class Wordless(GmailStream):
    """Forbids every part, and does not say why (Graph: a 403 without a code)."""

    def part(self, *asked: Any) -> tuple[Status, dict[str, Any]]:
        return Status(Kind.FORBIDDEN, 403), {}


async def test_a_part_that_is_forbidden_without_a_word_is_forbidden() -> None:
    room = Room(fine)
    of = room.desk.stream
    stream = Wordless(of.prices, of.reading, of.labels, of.parts_max)
    read = await Hydrator(room.desk.calls, stream, room.desk.clock, WIDE).read([Want("m")])
    assert isinstance(read.error, AuthorizationLost)
    assert read.error.reason == "forbidden"


async def test_what_was_read_before_an_error_is_kept() -> None:
    room = Room(fine)
    answers = room.desk.provider.answers
    room.desk.provider.answers = [*answers, None, None, None]
    read = await room.read(*(f"m{n}" for n in range(25)))
    assert isinstance(read.error, ProviderDown)
    assert len(read.results) == 20


async def test_of_two_errors_the_one_that_only_a_person_can_mend_counts() -> None:
    room = Room(fine)
    dead = refusal(403, "insufficientPermissions")
    for answers in ([None, dead, None, None], [dead, None, None, None]):
        room.desk.provider.requests = 0
        room.desk.provider.answers = answers
        read = await room.read(*(f"m{n}" for n in range(25)))
        assert isinstance(read.error, AuthorizationLost)


async def test_what_is_no_error_of_ours_is_not_swallowed() -> None:
    room = Room(fine)

    def bug(request: Any) -> Response:
        raise ZeroDivisionError

    room.desk.provider.answers = [bug]
    try:
        await room.read("m0")
    except ZeroDivisionError:
        return
    raise AssertionError("swallowed")


async def test_the_window_grows_only_when_it_was_full() -> None:
    room = Room(fine, window=Window(4, 60, 60))
    await room.read("m0", "m1")
    assert room.hydrator.window.size == 4
    await room.read(*(f"n{n}" for n in range(10)))
    assert room.hydrator.window.size == 8
    assert room.batches == [2, 4, 6]


async def test_a_wave_costs_no_more_than_a_burst() -> None:
    room = Room(fine, governor=Governor.per_minute(600))
    await room.read(*(f"m{n}" for n in range(14)))
    assert room.batches == [10, 4]
    tiny = Room(fine, governor=Governor.per_minute(30))
    await tiny.read("m0", "m1")
    assert tiny.batches == [1, 1]


async def test_a_wave_beyond_the_budget_is_left_for_the_next_invocation() -> None:
    room = Room(fine, governor=Governor.per_minute(600), budget_s=3.0)
    read = await room.read(*(f"m{n}" for n in range(14)))
    assert isinstance(read.error, BudgetSpent)
    assert len(read.results) == 10


class Slow(Room):
    """Each batch takes four seconds."""

    def respond(self, request: Any) -> Response:
        self.desk.clock.at_s += 4
        return super().respond(request)


NARROW = Window(2, 2, 2)


@pytest.mark.parametrize(("budget_s", "batches"), [(0.0, 1), (3.0, 1), (4.9, 1), (5.1, 2), (300.0, 3)])
async def test_when_the_budget_is_spent_what_is_left_is_not_tried(budget_s: float, batches: int) -> None:
    room = Slow(fine, window=NARROW, budget_s=budget_s)
    read = await room.read(*(f"m{n}" for n in range(6)))
    assert (room.batches, len(read.results)) == ([2] * batches, 2 * batches)
    assert (read.error is None) is (batches == 3)
    if read.error:
        assert isinstance(read.error, BudgetSpent)
        assert str(read.error) == "the time of this invocation is spent"


async def test_the_last_of_what_is_read_ends_in_no_error_however_late() -> None:
    room = Slow(fine, window=NARROW, budget_s=3.0)
    assert (await room.read("m0", "m1")).error is None


@pytest.mark.parametrize("content", [True, False])
async def test_what_leaves_no_trace_is_read_to_the_first_message_that_does(content: bool) -> None:
    """Else each invocation would read the same, and none would get any further."""
    room = Slow(lambda key: fine(key) if key == "m-m3" or not content else refusal(404, "notFound"), window=NARROW)
    room.desk.clock.at_s += 300
    read = await room.read(*(Want(f"m{n}", content=content) for n in range(6)))
    assert (len(read.results), read.error is None) == ((4, False) if content else (6, True))


async def test_a_message_is_a_trace_also_where_it_was_read_before_the_time_was_spent() -> None:
    room = Slow(lambda key: fine(key) if key == "m-m0" else refusal(404, "notFound"), window=NARROW, budget_s=8.0)
    assert len((await room.read(*(f"m{n}" for n in range(6)))).results) == 4


async def test_what_has_failed_when_the_budget_is_spent_is_parked_and_holds_up_nothing() -> None:
    room = Slow(only("m-m1", BROKEN), budget_s=3.0)
    read = await room.read("m0", "m1")
    assert (read.results["m1"], read.error) == (Failed("backendError", counts=True), None)
    assert (room.hydrator.attempts("m1"), room.desk.clock.slept) == (1, [])


def thread(*message_ids: str) -> Response:
    return answer({"id": "t", "messages": [resource(each, [], 50, thread="t") for each in message_ids]})


THREAD = [Want(f"m{n}", "t") for n in range(3)]


async def test_a_thread_is_one_part() -> None:
    room = Room(lambda key: thread("m0", "m1", "m2"))
    assert len((await room.read(*THREAD)).results) == 3
    assert room.asked == {"t-t": 1}


async def test_of_a_thread_that_failed_each_message_is_read_alone() -> None:
    room = Room(lambda key: BROKEN if key == "t-t" else fine(key))
    assert len((await room.read(*THREAD)).results) == 3
    assert room.asked == {"t-t": 1, "m-m0": 1, "m-m1": 1, "m-m2": 1}


async def test_a_message_that_its_thread_does_not_show_is_asked_for_itself() -> None:
    room = Room(lambda key: thread("m0", "m1") if key == "t-t" else refusal(404, "notFound"))
    read = await room.read(*THREAD)
    assert read.results["m2"] == Gone()
    assert room.asked == {"t-t": 1, "m-m2": 1}


async def test_a_thread_that_is_missing_from_the_answer_is_read_message_by_message() -> None:
    room = Room(lambda key: None if key == "t-t" else fine(key))
    assert len((await room.read(*THREAD)).results) == 3
