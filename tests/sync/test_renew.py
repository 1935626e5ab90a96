"""Carrying out a plan: what a failure leaves behind, what ends the sync, and what a grant died of."""

from collections.abc import Generator, Mapping
from typing import Any

import pytest

from shared.adapters.clock import SystemClock
from shared.core.errors import LeaseLost, ProviderDown, StoreDown, TidemarkError
from shared.core.watch import Watch, WatchFailed
from shared.protocol.wire import Request, Response
from shared.sync.renew import TESTING_LIFE_S, TESTING_REASON, carry_out, renew, why_lost


class Watched:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], str, str]] = []

    async def watched(self, account_id: str, fields: Mapping[str, str], asked: str, event: str) -> None:
        self.told.append((dict(fields), asked, event))


def plan(failure: TidemarkError | None = None) -> Generator[Request, Response, Watch]:
    first = yield Request("POST", "/one")
    second = yield Request("POST", "/two")
    if failure:
        raise failure
    return Watch(float(first.status + second.status))


async def fine(request: Request) -> Response:
    return Response(200, {}, b"")


async def test_a_plan_is_carried_out_to_its_result() -> None:
    assert await carry_out(plan(), fine) == Watch(400.0)


async def test_a_success_is_kept_and_takes_what_was_asked_for() -> None:
    store = Watched()
    assert await renew("a1", {"watch_ask": "recreate"}, plan(), fine, store, SystemClock(), 10.0) == ""
    ((fields, asked, event),) = store.told
    assert (fields["watch_until_s"], asked, event) == ("400.000", "recreate", "")


@pytest.mark.parametrize(
    ("error", "reason"), [(WatchFailed("forbidden"), "forbidden"), (ProviderDown(""), "provider_down")]
)
async def test_a_failure_is_noted_and_told_once(error: TidemarkError, reason: str) -> None:
    store = Watched()
    assert await renew("a1", {}, plan(error), fine, store, SystemClock(), 10.0) == reason
    await renew("a1", {"watch_lapsing": "1"}, plan(error), fine, store, SystemClock(), 10.0)
    (first, _, event), (second, _, silent) = store.told
    assert first["watch_reason"] == second["watch_reason"] == reason
    assert ("watch_lapsing" in event, silent) == (True, "")


@pytest.mark.parametrize("error", [StoreDown("gone"), LeaseLost("gone")])
async def test_what_ends_the_sync_is_not_caught(error: TidemarkError) -> None:
    async def broken(request: Request) -> Response:
        raise error

    with pytest.raises(type(error)):
        await renew("a1", {}, plan(), broken, Watched(), SystemClock(), 10.0)


@pytest.mark.parametrize(
    ("changes", "reason", "age_s", "said"),
    [
        ({}, "invalid_grant", TESTING_LIFE_S, TESTING_REASON),
        ({}, "invalid_grant", TESTING_LIFE_S + 6 * 3600, TESTING_REASON),
        ({}, "invalid_grant", TESTING_LIFE_S - 6 * 3600, "invalid_grant"),
        ({}, "invalid_grant", TESTING_LIFE_S + 24 * 3600, "invalid_grant"),
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
