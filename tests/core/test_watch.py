"""When a promise to push is renewed, and when it is told that it lapses."""

from shared.core import watch
from shared.core.watch import Watch, WatchFailed

DAY_S = 86_400.0


def fields(life_s: float = 7 * DAY_S, begun_s: float = 0.0) -> dict[str, str]:
    return watch.kept(Watch(begun_s + life_s, "s-1"), begun_s)


def test_a_watch_that_was_never_begun_is_due() -> None:
    assert watch.due({}, 0.0)


def test_a_watch_is_renewed_daily_and_before_half_its_life() -> None:
    assert not watch.due(fields(), DAY_S - 1)
    assert watch.due(fields(), DAY_S)
    assert not watch.due(fields(DAY_S), 0.4 * DAY_S - 1)
    assert watch.due(fields(DAY_S), 0.4 * DAY_S)
    assert not watch.due(fields(DAY_S, 9 * DAY_S), 9.4 * DAY_S - 1)
    assert watch.due(fields(DAY_S, 9 * DAY_S), 9.4 * DAY_S)


def test_a_failure_is_tried_again_after_a_while_and_what_is_asked_for_at_once() -> None:
    failed = fields() | watch.failed("forbidden", 2 * DAY_S, told=False)
    assert not watch.due(failed, 2 * DAY_S + watch.RETRY_S - 1)
    assert watch.due(failed, 2 * DAY_S + watch.RETRY_S)
    assert watch.due(failed | {"watch_ask": "recreate"}, 2 * DAY_S + 1)


def test_lapsing_is_told_once_a_watch_when_little_is_left() -> None:
    limit_s = 2 * DAY_S
    assert not watch.lapsing(fields(), 5 * DAY_S, limit_s)
    assert watch.lapsing(fields(), 5 * DAY_S + 1, limit_s)
    told = fields() | watch.failed("forbidden", 5 * DAY_S + 1, told=True)
    assert not watch.lapsing(told, 6 * DAY_S, limit_s)
    assert not watch.lapsing(told | watch.kept(Watch(14 * DAY_S), 7 * DAY_S), 7 * DAY_S, limit_s)
    assert watch.lapsing({}, 0.0, limit_s)


def test_a_success_is_kept_and_clears_what_failed_before() -> None:
    assert watch.kept(Watch(90.0, "s-1"), 2.5) == {
        "watch_until_s": "90.000",
        "watch_renewed_s": "2.500",
        "watch_retry_s": "0",
        "watch_id": "s-1",
        "watch_lapsing": "",
        "watch_reason": "",
    }


def test_what_was_learned_of_the_longest_life_is_kept() -> None:
    assert watch.kept(Watch(1.0, "s", 4230), 0.0) == watch.kept(Watch(1.0, "s"), 0.0) | {"watch_minutes_max": "4230"}


def test_a_failure_says_why_when_to_try_again_and_whether_it_was_told() -> None:
    fields = {"watch_retry_s": f"{60 + watch.RETRY_S:.3f}", "watch_reason": "forbidden"}
    assert watch.failed("forbidden", 60.0, told=False) == fields
    assert watch.failed("forbidden", 60.0, told=True) == fields | {"watch_lapsing": "1"}


def test_a_refused_watch_says_the_providers_reason() -> None:
    error = WatchFailed("forbidden")
    assert (error.slug, error.reason) == ("watch_failed", "forbidden")
    assert str(error).endswith(": forbidden")
