"""How a sync ended, and what is expected of one."""

from shared.sync import alerts
from shared.sync.outcome import Objectives, Outcome, performance, totals


def test_an_outcome_counts_what_was_appended() -> None:
    assert Outcome(created=3, updated=2, deleted=1).count == 6


def test_what_is_appended_adds_up_by_what_it_says() -> None:
    outcome = Outcome(created=1, updated=1, deleted=1)
    outcome.add({"created": 3, "updated": 2, "quarantined": 9})
    outcome.add({"deleted": 4})
    assert (outcome.created, outcome.updated, outcome.deleted) == (4, 3, 5)


def test_an_outcome_is_answered_as_the_contract_has_it() -> None:
    answer = {
        "status": "no_new_messages",
        "account_id": "a1",
        "count": 0,
        "changes": {"created": 0, "updated": 0, "deleted": 0},
        "api_calls": 0,
        "quota_units": 0,
        "redis_requests": 0,
        "duration_s": 1.235,
        "more": False,
    }
    assert Outcome().answer("a1", 1.23456) == answer
    ended = Outcome("cooling_down", 3, 2, 1, more=True, retry_after_s=0.12345, reason="throttled")
    assert ended.answer("a1", 2, api_calls=4, quota_units=50, redis_requests=6) == answer | {
        "status": "cooling_down",
        "count": 6,
        "changes": {"created": 3, "updated": 2, "deleted": 1},
        "api_calls": 4,
        "quota_units": 50,
        "redis_requests": 6,
        "duration_s": 2,
        "more": True,
        "retry_after_s": 0.123,
        "reason": "throttled",
    }


def test_a_sync_within_its_objectives_misses_none() -> None:
    assert Objectives(30, 300).missed(30, 1000, 1300) == {alerts.SLOW: None, alerts.STALE: None}


def test_a_slow_sync_and_a_stale_mailbox_are_told() -> None:
    missed = Objectives(30, 300).missed(45.4, 1000, 1301)
    assert missed == {
        alerts.SLOW: "the sync took 45 s",
        alerts.STALE: "not confirmed current since 1970-01-01T00:16:40.000Z",
    }


def test_the_performance_of_a_sync_is_told_in_figures() -> None:
    assert performance(50, 2.0, 1_764_028_800.0, 4, 1010) == {
        "message_count": "50",
        "duration": "2.000",
        "messages_per_second": "25.00",
        "timestamp": "2025-11-25T00:00:00.000Z",
        "api_calls": "4",
        "quota_units": "1010",
    }
    assert performance(0, 0.0, 0.0, 1, 2)["messages_per_second"] == "0.00"
    assert performance(1, 0.5, 0.0, 1, 2)["messages_per_second"] == "2.00"
    assert performance(0, 0.0, 1e18, 1, 2)["timestamp"] == "", "no calendar holds it"


def test_the_totals_of_an_account_are_numbers_and_begin_at_nothing() -> None:
    assert totals({}) == {"syncs": 0, "messages": 0, "duration_s": 0, "api_calls": 0, "quota_units": 0}
    names = ("syncs", "message_count", "duration", "api_calls", "quota_units")
    found = totals({f"sum:{name}": value for name, value in zip(names, ("2", "7", "1.2345", "3", "40"), strict=True)})
    assert found == {"syncs": 2, "messages": 7, "duration_s": 1.234, "api_calls": 3, "quota_units": 40}
    assert all(isinstance(found[name], int) for name in ("syncs", "messages", "api_calls", "quota_units"))
