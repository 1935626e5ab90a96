"""Carrying out a plan: what a failure leaves behind, what ends the sync, and what a grant died of."""

from collections.abc import Generator, Mapping
from typing import Any

import pytest

from shared.core.errors import LeaseLost, ProviderDown, StoreDown, TidemarkError
from shared.core.watch import RETRY_S, Watch, WatchFailed
from shared.protocol.wire import Request, Response
from shared.sync.renew import (
    TESTING_EARLY_S,
    TESTING_LATE_S,
    TESTING_LIFE_S,
    TESTING_REASON,
    carry_out,
    renew,
    why_lost,
)
from tests.sync.desk import START_S, SleepingClock


class Watched:
    """Keeps what it was told of its only account."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], str, str]] = []

    async def watched(self, account_id: str, fields: Mapping[str, str], asked: str, event: str) -> None:
        assert account_id == "a1"
        self.told.append((dict(fields), asked, event))


def plan(failure: TidemarkError | None = None) -> Generator[Request, Response, Watch]:
    first = yield Request("POST", "/one")
    second = yield Request("POST", "/two")
    if failure:
        raise failure
    return Watch(float(first.status + second.status))


async def fine(request: Request) -> Response:
    return Response({"/one": 200, "/two": 204}[request.path], {}, b"")


async def test_a_plan_is_carried_out_to_its_result() -> None:
    assert await carry_out(plan(), fine) == Watch(404.0)


async def test_a_success_is_kept_and_takes_what_was_asked_for() -> None:
    store = Watched()
    for fields in ({"watch_ask": "recreate"}, {}):
        assert await renew("a1", fields, plan(), fine, store, SleepingClock(), 10.0) == ""
    (kept, asked, event), (_, nothing, _) = store.told
    assert (kept["watch_until_s"], kept["watch_renewed_s"]) == ("404.000", f"{START_S:.3f}")
    assert (asked, nothing, event) == ("recreate", "", "")


@pytest.mark.parametrize(
    ("error", "reason"), [(WatchFailed("forbidden"), "forbidden"), (ProviderDown(""), "provider_down")]
)
async def test_a_failure_is_noted_and_told_once(error: TidemarkError, reason: str) -> None:
    store = Watched()
    soon = {"watch_until_s": str(START_S + 9), "watch_ask": "recreate"}
    assert await renew("a1", soon, plan(error), fine, store, SleepingClock(), 10.0) == reason
    for fields in (soon | {"watch_lapsing": "1"}, {"watch_until_s": str(START_S + 11)}):
        assert await renew("a1", fields, plan(error), fine, store, SleepingClock(), 10.0) == reason
    failed = {"watch_retry_s": f"{START_S + RETRY_S:.3f}", "watch_reason": reason}
    told = (failed | {"watch_lapsing": "1"}, "", f'["account.watch_lapsing",{{"reason":"{reason}"}}]')
    assert store.told == [told, (failed, "", ""), (failed, "", "")]


@pytest.mark.parametrize("error", [StoreDown("gone"), LeaseLost("gone")])
async def test_what_ends_the_sync_is_not_caught(error: TidemarkError) -> None:
    async def broken(request: Request) -> Response:
        raise error

    with pytest.raises(type(error)):
        await renew("a1", {}, plan(), broken, Watched(), SleepingClock(), 10.0)


@pytest.mark.parametrize(
    ("changes", "reason", "age_s", "said"),
    [
        ({}, "invalid_grant", TESTING_LIFE_S, TESTING_REASON),
        ({}, "invalid_grant", TESTING_LIFE_S - TESTING_EARLY_S, TESTING_REASON),
        ({}, "invalid_grant", TESTING_LIFE_S + TESTING_LATE_S, TESTING_REASON),
        ({}, "invalid_grant", TESTING_LIFE_S - TESTING_EARLY_S - 1, "invalid_grant"),
        ({}, "invalid_grant", TESTING_LIFE_S + TESTING_LATE_S + 1, "invalid_grant"),
        ({}, "invalid_rapt", TESTING_LIFE_S, "invalid_rapt"),
        ({"provider": "outlook"}, "invalid_grant", TESTING_LIFE_S, "invalid_grant"),
        ({"granted_s": None}, "invalid_grant", TESTING_LIFE_S, "invalid_grant"),
    ],
)
def test_a_grant_that_dies_after_seven_days_is_one_of_an_app_in_testing(
    changes: dict[str, Any], reason: str, age_s: float, said: str
) -> None:
    fields = {"provider": "gmail", "granted_s": "1000.0"} | changes
    known = {name: value for name, value in fields.items() if value is not None}
    assert why_lost(known, reason, 1000.0 + age_s) == said
