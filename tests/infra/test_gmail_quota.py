"""The stand-in refuses: units by the price list, parts in flight, lock-outs; and it counts what it refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.emulators.clock import Clock
from tests.infra.gmail_client import ADDRESS, ME, Part, Stand, StillClock, standing


def statuses(parts: list[Part]) -> list[int]:
    return [part.status for part in parts]


def gets(stand: Stand, count: int) -> list[str]:
    ids = list(stand.gmail.truth(ADDRESS))
    return [f"{ME}/messages/{ids[number % len(ids)]}?format=minimal" for number in range(count)]


@pytest.mark.parametrize(
    ("quota", "get", "thread", "metric"),
    [
        ("2026", 20, 40, "'Total Query Cost' and limit 'Units per minute"),
        ("legacy", 5, 10, "'Queries' and limit 'Queries"),
    ],
)
def test_units_are_charged_by_the_price_list_and_end(quota: Any, get: int, thread: int, metric: str) -> None:
    with standing(StillClock(), messages=1, quota=quota, burst_units=get * 3 + thread) as stand:
        message_id = next(iter(stand.gmail.truth(ADDRESS)))
        stand.get(f"threads/{message_id}")
        assert statuses(stand.batch(gets(stand, 4))) == [200, 200, 200, 403]
        error = stand.get(f"messages/{message_id}", 403)["error"]
        assert (error["status"], error["errors"][0]["reason"]) == ("PERMISSION_DENIED", "rateLimitExceeded")
        assert error["errors"][0]["domain"] == "usageLimits"
        assert metric in error["message"]
        counted = stand.gmail.counters(ADDRESS)
        assert (counted["units"], counted["refused_quota"]) == (get * 3 + thread, 2)


def test_the_bucket_refills_on_the_emulators_clock() -> None:
    clock = StillClock()
    with standing(clock, messages=1, burst_units=20) as stand:
        assert statuses(stand.batch(gets(stand, 2))) == [200, 403]
        clock.advance(0.19)
        assert statuses(stand.batch(gets(stand, 1))) == [403]
        clock.advance(0.02)
        assert statuses(stand.batch(gets(stand, 1))) == [200]


def test_the_2026_burst_is_2900_units() -> None:
    with standing(StillClock(), messages=1, concurrency_max=100) as stand:
        answered = statuses(stand.batch(gets(stand, 100)) + stand.batch(gets(stand, 100)))
        assert answered.count(200) == 2_900 // 20


def test_parts_beyond_the_limit_are_refused_and_the_limit_falls_for_three_seconds() -> None:
    clock = StillClock()
    with standing(clock, messages=1, quota_enforced=False) as stand:
        parts = stand.batch(gets(stand, 30))
        assert statuses(parts) == [200] * 25 + [429] * 5
        assert json.loads(parts[-1].body)["error"] == {
            "code": 429,
            "message": "Too many concurrent requests for user.",
            "errors": [
                {
                    "message": "Too many concurrent requests for user.",
                    "domain": "global",
                    "reason": "rateLimitExceeded",
                }
            ],
            "status": "RESOURCE_EXHAUSTED",
        }
        assert "Retry-After" not in parts[-1].headers
        assert statuses(stand.batch(gets(stand, 20))).count(429) == 8
        clock.advance(3.1)
        assert statuses(stand.batch(gets(stand, 25))) == [200] * 25
        counted = stand.gmail.counters(ADDRESS)
        assert counted["refused_concurrency"] == counted["refused_parts"] == 13
        assert counted["parts_in_flight_max"] == 25
        assert counted["units"] == (30 + 20 + 25) * 20


def test_two_clients_share_the_slots_of_a_mailbox_while_their_requests_last() -> None:
    with standing(messages=1, quota_enforced=False, latency_ms=150) as stand, ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: statuses(stand.batch(gets(stand, 20))), range(2)))
        assert sorted(each.count(200) for each in both) == [5, 20]
        assert statuses(stand.batch(gets(stand, 10))) == [200] * 10


def test_latency_is_real_time_and_grows_with_the_parts() -> None:
    with standing(Clock(60), messages=1, latency_ms=40, part_latency_ms=4) as stand:
        answer = stand.http.get(f"{ME}/profile")
        assert 0.04 <= answer.elapsed.total_seconds() < 0.12
        before = stand.gmail.clock.now_s()
        stand.batch(gets(stand, 20))
        assert stand.gmail.clock.now_s() - before > 60 * 0.11


def test_a_lock_out_lasts_until_the_time_in_its_text() -> None:
    clock = StillClock(start_s=1_790_000_000)
    with standing(clock, messages=1) as stand:
        stand.gmail.set_fault("locked_out", times=1, seconds=900)
        message = json.loads(stand.batch(gets(stand, 1))[0].body)["error"]["message"]
        assert message == "User-rate limit exceeded.  Retry after 2026-09-21T14:28:20.000Z"
        clock.advance(899)
        assert statuses(stand.batch(gets(stand, 2))) == [429, 429]
        clock.advance(2)
        assert statuses(stand.batch(gets(stand, 2))) == [200, 200]


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("daily_limit", 403, "dailyLimitExceeded"),
        ("domain_policy", 403, "domainPolicy"),
        ("user_rate_limit", 403, "userRateLimitExceeded"),
        ("insufficient_scope", 403, "insufficientPermissions"),
        ("failed_precondition", 400, "failedPrecondition"),
        ("exhausted", 429, "rateLimitExceeded"),
        ("too_many", 429, "rateLimitExceeded"),
        ("backend_error", 500, "backendError"),
        ("unauthenticated", 401, "authError"),
        ("not_found", 404, "notFound"),
        ("quota_exceeded", 403, "rateLimitExceeded"),
    ],
)
def test_each_error_on_order_has_googles_shape(kind: str, status: int, reason: str) -> None:
    with standing(messages=0) as stand:
        stand.gmail.set_fault(kind, times=1)
        error = stand.get("profile", status)["error"]
        assert error["errors"][0]["reason"] == reason
        assert error["code"] == status
        stand.get("profile")
        paid = {"failed_precondition", "too_many", "backend_error", "not_found"}
        counted = stand.gmail.counters(ADDRESS)
        assert (counted["units"], counted["units_asked"]) == (2 if kind in paid else 1, 2)


def test_retry_after_stands_on_a_single_answer_only() -> None:
    with standing(messages=1) as stand:
        stand.gmail.set_fault("too_many", times=2, retry_after=9)
        assert stand.http.get(f"{ME}/profile").headers["retry-after"] == "9"
        assert "retry-after" not in stand.batch(gets(stand, 1))[0].headers.lower()


def test_requests_are_logged_and_counted_for_each_mailbox() -> None:
    with standing(messages=2) as stand:
        stand.gmail.add_mailbox("other@example.com")
        stand.get("messages")
        stand.batch(gets(stand, 2))
        counted = stand.gmail.counters()
        assert (counted["http_requests"], counted["inner_requests"], counted["batches"]) == (2, 2, 1)
        assert counted["calls"] == {"messages.list": 1, "messages.get": 2}
        assert counted["mailboxes"][ADDRESS]["units"] == 45
        assert [(entry.kind, entry.call, entry.status, entry.units) for entry in stand.gmail.log(ADDRESS)] == [
            ("http", "messages.list", 200, 5),
            ("part", "messages.get", 200, 20),
            ("part", "messages.get", 200, 20),
            ("http", "batch", 200, 40),
        ]
        assert stand.gmail.log("other@example.com") == []
        stand.gmail.reset_counters()
        assert stand.gmail.counters()["http_requests"] == 0
