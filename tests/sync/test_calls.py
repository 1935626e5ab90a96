"""One mailbox's calls to its provider: paced, inside the lease, tried again, told to the breaker."""

import asyncio
from dataclasses import replace

import pytest

from shared.core.errors import (
    AccessExpired,
    AuthorizationLost,
    BreakerOpen,
    BudgetSpent,
    ContractBroken,
    LeaseLost,
    ProviderDown,
    Throttled,
)
from shared.core.quota import Governor
from shared.protocol.status import Kind, Status
from shared.protocol.wire import Request, Response
from shared.sync.calls import FORGOTTEN_MAX
from tests.protocol.gmail.answers import answer
from tests.sync.desk import OK, REQUEST, START_S, Desk, refusal

SLOW_DOWN = refusal(429, "rateLimitExceeded")
QUOTA = refusal(403, "rateLimitExceeded", "usageLimits")
EXPIRED = refusal(401, "authError")
BROKEN = refusal(503, "backendError")


@pytest.mark.parametrize("response", [OK, refusal(404, "notFound")])
async def test_an_answer_that_the_protocol_understands_is_returned(response: object) -> None:
    desk = Desk([response])
    assert await desk.calls.ask(REQUEST) == response
    assert (desk.calls.api_calls, desk.calls.units, desk.calls.healthy) == (1, 2, True)


async def test_a_request_ends_before_the_lease_does() -> None:
    desk = Desk([OK])
    desk.clock.at_s += 19
    await desk.calls.ask(REQUEST)
    assert desk.provider.timeouts == [30.0]
    assert desk.lease.renewals == 0


async def test_a_lease_of_a_third_of_its_age_is_renewed_before_a_request() -> None:
    desk = Desk([OK])
    desk.clock.at_s += 20
    await desk.calls.ask(REQUEST)
    assert desk.lease.renewals == 1


async def test_without_the_lease_nothing_is_sent() -> None:
    desk = Desk([OK])
    desk.lease.taken = True
    desk.clock.at_s += 20
    with pytest.raises(LeaseLost):
        await desk.calls.ask(REQUEST)
    assert desk.provider.requests == 0


async def test_a_refused_access_token_is_refreshed_once() -> None:
    desk = Desk([EXPIRED, OK])
    await desk.calls.ask(REQUEST)
    assert (desk.provider.refreshed, desk.calls.api_calls) == (1, 2)


async def test_a_fresh_token_that_is_refused_is_not_a_matter_of_its_age() -> None:
    desk = Desk([EXPIRED])
    with pytest.raises(AccessExpired, match=r"^the provider refuses a fresh access token$"):
        await desk.calls.ask(REQUEST)
    assert (desk.provider.refreshed, desk.calls.refreshes) == (1, 1)


async def test_requests_that_were_sent_together_with_an_old_token_refresh_it_once() -> None:
    desk = Desk([EXPIRED, EXPIRED, EXPIRED, OK])
    await asyncio.gather(*(desk.calls.ask(REQUEST) for _ in range(3)))
    assert (desk.provider.refreshed, desk.calls.api_calls) == (1, 6)


async def test_a_refusal_for_rate_is_sat_out() -> None:
    desk = Desk([SLOW_DOWN, SLOW_DOWN, OK])
    await desk.calls.ask(REQUEST)
    assert desk.clock.slept == [1.0, 2.0]
    assert desk.lease.failures == 0


async def test_after_a_refusal_for_rate_a_second_passes_at_least() -> None:
    desk = Desk([SLOW_DOWN, OK], jitter=0.0)
    await desk.calls.ask(REQUEST)
    assert desk.clock.slept == [1.0]


async def test_the_provider_is_not_asked_more_often_than_allowed() -> None:
    desk = Desk([SLOW_DOWN])
    with pytest.raises(Throttled, match=r"^the provider refuses for rate$") as caught:
        await desk.calls.ask(REQUEST)
    assert desk.calls.api_calls == 3
    assert caught.value.after_s == 4.0


@pytest.mark.parametrize("budget_s", [300.0, 5.0])
async def test_a_wait_that_is_too_long_to_be_sat_out_is_told(budget_s: float) -> None:
    asked_s = 900 if budget_s == 300.0 else 6
    response = answer({"error": {"code": 429, "errors": [{"reason": "rateLimitExceeded"}]}}, 429)
    response.headers["retry-after"] = str(asked_s)  # type: ignore[index]
    desk = Desk([response], budget_s=budget_s)
    with pytest.raises(Throttled) as caught:
        await desk.calls.ask(REQUEST)
    assert (caught.value.after_s, desk.waited_s) == (asked_s, 0)


@pytest.mark.parametrize(("asked_s", "budget_s"), [("20", 300.0), ("5", 5.0)])
async def test_a_wait_of_a_third_of_the_lease_or_of_all_that_is_left_is_sat_out(asked_s: str, budget_s: float) -> None:
    response = answer({"error": {"code": 429, "errors": [{"reason": "rateLimitExceeded"}]}}, 429)
    response.headers["retry-after"] = asked_s  # type: ignore[index]
    desk = Desk([response, OK], budget_s=budget_s)
    await desk.calls.ask(REQUEST)
    assert desk.clock.slept == [float(asked_s)]
    down = answer({}, 503)
    down.headers["retry-after"] = asked_s  # type: ignore[index]
    desk = Desk([down, OK], budget_s=budget_s)
    await desk.calls.ask(REQUEST)
    assert desk.clock.slept == [float(asked_s)]


@pytest.mark.parametrize(("asked_s", "budget_s"), [("21", 300.0), ("6", 5.0)])
async def test_a_longer_pause_that_a_provider_names_is_a_cool_down_also_when_it_is_down(
    asked_s: str, budget_s: float
) -> None:
    down = answer({}, 503)
    down.headers["retry-after"] = asked_s  # type: ignore[index]
    desk = Desk([down], budget_s=budget_s)
    with pytest.raises(Throttled, match=r"^the provider is down, and names a time$") as caught:
        await desk.calls.ask(REQUEST)
    assert (caught.value.after_s, desk.calls.api_calls) == (float(asked_s), 1)
    assert desk.lease.failures == 1, "the breaker counts it all the same"


async def test_the_time_that_a_provider_names_at_the_last_attempt_is_kept() -> None:
    down = answer({}, 503)
    down.headers["retry-after"] = "5"  # type: ignore[index]
    desk = Desk([down])
    with pytest.raises(Throttled) as caught:
        await desk.calls.ask(REQUEST)
    assert (caught.value.after_s, desk.calls.api_calls, desk.waited_s) == (5.0, 3, 10.0)


@pytest.mark.parametrize(("budget_s", "timeout_s"), [(2.0, 10.0), (5.0, 10.0), (15.0, 15.0), (300.0, 30.0)])
async def test_a_request_may_take_what_is_left_of_the_budget_or_ten_seconds(budget_s: float, timeout_s: float) -> None:
    desk = Desk([OK], budget_s=budget_s)
    await desk.calls.ask(REQUEST)
    assert desk.provider.timeouts == [timeout_s]


@pytest.mark.parametrize("budget_s", [2.0, 5.0, 15.0])
async def test_a_provider_that_hangs_until_the_budget_is_spent_is_not_asked_again(budget_s: float) -> None:
    def hangs(request: Request) -> None:
        desk.clock.at_s += desk.provider.timeouts[-1]

    desk = Desk([hangs], budget_s=budget_s, jitter=0.001)
    with pytest.raises(ProviderDown):
        await desk.calls.ask(REQUEST)
    assert (desk.provider.requests, desk.waited_s) == (1, max(10.0, budget_s))


def test_a_task_that_begins_with_a_wait_is_late_if_a_second_is_not_left_behind_it() -> None:
    calls = Desk([OK], budget_s=5.0).calls
    assert calls.left_s() == 5.0
    assert [calls.late(wait_s) for wait_s in (0.0, 4.0, 4.5)] == [False, False, True]


async def test_a_500_counts_for_the_breaker_too() -> None:
    desk = Desk([refusal(500, "backendError"), OK])
    await desk.calls.ask(REQUEST)
    assert desk.lease.failures == 1


async def test_a_refusal_for_quota_empties_our_bucket_too() -> None:
    desk = Desk([QUOTA, OK], governor=Governor.per_minute(6000))
    await desk.calls.ask(REQUEST)
    assert desk.waited_s >= 0.02
    assert desk.calls.saved_s() == pytest.approx(20.02, abs=0.05)
    assert desk.calls.saved_s() == 0.0


async def test_no_answer_is_a_failure_that_is_tried_again_and_counted_by_the_breaker() -> None:
    desk = Desk([None, BROKEN, OK])
    await desk.calls.ask(REQUEST)
    assert desk.clock.slept == [1.0, 2.0]
    assert desk.lease.failures == 2


async def test_a_provider_that_stays_down_is_told_after_three_attempts() -> None:
    desk = Desk([None])
    with pytest.raises(ProviderDown, match=r"^the provider does not answer$") as caught:
        await desk.calls.ask(REQUEST)
    assert (desk.calls.api_calls, desk.calls.healthy, caught.value.after_s) == (3, False, 4.0)


async def test_an_answer_that_is_not_the_providers_word_is_asked_for_again_but_opens_no_breaker() -> None:
    desk = Desk([Response(404, {}, b"<html>a proxy's page</html>"), OK], threshold=1)
    assert await desk.calls.ask(REQUEST) == OK
    assert (desk.provider.requests, desk.lease.failures) == (2, 0)


async def test_a_failure_is_not_waited_for_beyond_the_budget() -> None:
    desk = Desk([None], budget_s=0.5)
    with pytest.raises(ProviderDown):
        await desk.calls.ask(REQUEST)
    assert desk.calls.api_calls == 1


async def test_an_open_breaker_ends_it() -> None:
    desk = Desk([None], threshold=2)
    with pytest.raises(BreakerOpen, match=r"^the provider failed too often$") as caught:
        await desk.calls.ask(REQUEST)
    assert (desk.calls.api_calls, caught.value.after_s) == (2, 60.0)


async def test_what_only_a_person_can_mend_is_not_tried_again() -> None:
    desk = Desk([refusal(403, "insufficientPermissions")])
    with pytest.raises(AuthorizationLost):
        await desk.calls.ask(REQUEST)
    assert desk.calls.api_calls == 1


async def test_a_request_that_is_refused_for_itself_is_not_tried_again() -> None:
    desk = Desk([refusal(400, "invalidArgument")])
    with pytest.raises(ContractBroken):
        await desk.calls.ask(REQUEST)
    assert desk.calls.api_calls == 1


BATCH = Request("POST", "/batch/gmail/v1", units=400)


async def test_what_the_provider_may_have_forgotten_is_answered_a_few_times_by_a_refusal() -> None:
    refused = refusal(400, "invalidArgument")
    desk = Desk([refused])
    paging = replace(REQUEST, perishable=True)
    for _ in range(FORGOTTEN_MAX):
        assert await desk.calls.ask(paging) == refused
    for request in (paging, REQUEST):
        with pytest.raises(ContractBroken):
            await desk.calls.ask(request)
    assert desk.calls.healthy


async def test_calls_are_paced_to_a_burst_and_the_rate() -> None:
    desk = Desk([OK], governor=Governor.per_minute(6000))
    for _ in range(10):
        await desk.calls.ask(BATCH)
    assert desk.waited_s == pytest.approx(20)
    assert desk.calls.waited_s == pytest.approx(20)
    assert desk.calls.saved_s() == pytest.approx(40)


async def test_calls_side_by_side_do_not_count_on_the_same_units() -> None:
    desk = Desk([OK], governor=Governor.per_minute(6000))
    await asyncio.gather(*(desk.calls.ask(BATCH) for _ in range(10)))
    assert desk.waited_s >= 20 - 0.001


async def test_what_other_invocations_have_spent_is_counted() -> None:
    desk = Desk([OK], governor=Governor.per_minute(6000), fields={"full_at_ms": str(int((START_S + 20) * 1000))})
    await desk.calls.ask(BATCH)
    assert desk.waited_s == pytest.approx(4)


async def test_nothing_is_waited_for_beyond_the_budget() -> None:
    desk = Desk([OK], governor=Governor.per_minute(6000), budget_s=3.0)
    for _ in range(5):
        await desk.calls.ask(BATCH)
    with pytest.raises(BudgetSpent, match=r"^the quota of this invocation's time is spent$") as caught:
        await desk.calls.ask(BATCH)
    assert desk.calls.api_calls == 5
    assert caught.value.after_s == pytest.approx(4)
    assert desk.calls.saved_s() == pytest.approx(20)


async def test_a_long_wait_is_slept_in_thirds_of_the_lease_which_is_renewed() -> None:
    desk = Desk([OK])
    await desk.calls.rest(50)
    assert desk.clock.slept == [20, 20, 10]
    assert desk.lease.renewals == 2
    await desk.calls.rest(0.5)
    await desk.calls.rest(0.0)
    assert (desk.clock.slept[3:], desk.calls.waited_s) == ([0.5], 50.5)


async def test_a_step_starts_no_more_reads_than_a_third_of_the_lease_lets_through() -> None:
    desk = Desk([OK], governor=Governor.per_minute(600))
    assert desk.calls.affordable(live=True, begun=True) == 20
    for _ in range(9):
        await desk.calls.pace(100)
    assert desk.calls.affordable(live=True, begun=True) == 10
    desk.calls.drain()
    desk.calls.drain()
    desk.calls.drain()
    assert desk.calls.affordable(live=True, begun=True) == 10
    assert Desk([OK]).calls.affordable(live=True, begun=True) == 1_000_000


async def test_a_step_starts_no_more_reads_than_the_rest_of_the_budget_lets_through() -> None:
    desk = Desk([OK], governor=Governor.per_minute(600), budget_s=4.0)
    assert desk.calls.affordable(live=True, begun=True) == (200 + 40) / 20
    desk.calls.drain()
    assert desk.calls.affordable(live=True, begun=True) == 2
    await desk.clock.sleep(5)
    desk.calls.drain()
    assert desk.calls.affordable(live=True, begun=True) == 1


async def test_what_is_not_live_leaves_the_next_invocation_its_first_reads() -> None:
    desk = Desk([OK], governor=Governor.per_minute(600), budget_s=4.0)
    assert desk.calls.affordable(live=False, begun=True) == (200 + 40) / 20 - 3
    desk.calls.drain()
    assert desk.calls.affordable(live=False, begun=False) == 1
    with pytest.raises(BudgetSpent, match=r"^what is left of the quota is for the next invocation's live changes$"):
        desk.calls.affordable(live=False, begun=True)


async def test_the_last_read_that_is_not_live_is_still_made() -> None:
    desk = Desk([OK], governor=Governor.per_minute(600), budget_s=8.0)
    desk.calls.drain()
    assert desk.calls.affordable(live=False, begun=True) == 1


async def test_when_the_time_is_over_only_what_is_there_is_spent() -> None:
    desk = Desk([OK], governor=Governor.per_minute(600), budget_s=0.0)
    await desk.calls.pace(10)
    assert desk.calls.affordable(live=True, begun=True) == 9
    desk.clock.at_s += 0.5
    assert desk.calls.affordable(live=True, begun=True) == 9
    await desk.calls.pace(10)


async def test_what_can_be_paid_for_when_the_time_is_just_over_is_still_waited_for() -> None:
    desk = Desk([OK], governor=Governor.per_minute(6000), budget_s=0.5)
    await desk.calls.pace(2000)
    await desk.calls.pace(50)
    assert desk.clock.slept == [0.5]
    short = Desk([OK], governor=Governor.per_minute(6000), budget_s=0.25)
    await short.calls.pace(2000)
    with pytest.raises(BudgetSpent):
        await short.calls.pace(50)


async def test_a_bucket_that_is_emptied_costs_what_was_left_in_it_and_once() -> None:
    desk = Desk([OK], governor=Governor.per_minute(6000))
    await desk.calls.pace(500)
    for _ in range(2):
        desk.calls.drain()
    assert desk.calls.saved_s() == pytest.approx(20)


async def test_nothing_is_begun_that_the_budget_cannot_pay_for() -> None:
    desk = Desk([OK], governor=Governor.per_minute(600), budget_s=5.0)
    desk.calls.begin()
    desk.calls.drain()
    with pytest.raises(BudgetSpent) as raised:
        desk.calls.begin()
    assert raised.value.after_s == pytest.approx(6.0)
    Desk([OK]).calls.begin()


async def test_without_a_governor_a_refusal_drains_nothing() -> None:
    desk = Desk([QUOTA, OK])
    await desk.calls.ask(REQUEST)
    assert desk.calls.saved_s() == 0.0


async def test_failed_parts_are_backed_off_for_within_the_budget() -> None:
    desk = Desk([OK], budget_s=10)
    await desk.calls.back_off(1)
    await desk.calls.back_off(3)
    assert desk.clock.slept == [1.0, 4.0]
    with pytest.raises(BudgetSpent, match=r"^the time of this invocation is spent$") as caught:
        await desk.calls.back_off(4)
    assert caught.value.after_s == 8.0
    exact = Desk([OK], budget_s=4)
    await exact.calls.back_off(3)
    assert exact.clock.slept == [4.0]


async def test_a_lock_out_without_a_time_is_waited_for_like_any_refusal() -> None:
    desk = Desk([OK])
    await desk.calls.sit_out(0, Status(Kind.THROTTLED, 429), last=False)
    assert desk.clock.slept == [1.0]


async def test_what_may_fail_is_asked_plainly() -> None:
    assert (await Desk([BROKEN]).calls.plainly(REQUEST)).status == 503
    desk = Desk([EXPIRED, OK])
    assert await desk.calls.plainly(REQUEST) == OK
    assert (desk.provider.refreshed, desk.calls.api_calls, desk.calls.units) == (1, 2, 4)
    with pytest.raises(ProviderDown):
        await Desk([None]).calls.plainly(REQUEST)
    assert (await Desk([EXPIRED]).calls.plainly(REQUEST)).status == 401


async def test_what_is_asked_plainly_is_paced_too() -> None:
    desk = Desk([OK], governor=Governor.per_minute(6000))
    await desk.calls.plainly(BATCH)
    assert desk.calls.saved_s() == pytest.approx(BATCH.units / 100)
