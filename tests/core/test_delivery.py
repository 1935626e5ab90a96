"""What an app's answer means, how long the next attempt waits, and when a batch is given up."""

import pytest

from shared.core import delivery
from shared.core.delivery import Answer, Verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, "delivered") for status in (200, 202, 204, 299)),
        (410, "gone"),
        *((status, "down") for status in (0, 500, 503, 599)),
        *((status, "refused") for status in (100, 301, 302, 307, 400, 401, 404, 413, 429)),
    ],
)
def test_an_answer_means_one_of_four_things(status: int, verdict: Verdict) -> None:
    assert Answer(status).verdict == verdict


def test_what_was_said_is_the_status_or_the_reason_why_there_is_none() -> None:
    assert Answer(503).said == "http_503"
    assert Answer(0, "no_answer").said == "no_answer"


def test_a_batch_is_named_by_its_range() -> None:
    assert delivery.batch_id("a1", "e1", 5, 9) == "a1_e1_5-9"


def test_waits_double_up_to_an_hour_with_full_jitter() -> None:
    longest = [delivery.wait_s(attempts, 1.0, None) for attempts in range(1, 60)]
    assert longest[:4] == [10, 20, 40, 80]
    assert longest[9:] == [3600.0] * 50
    assert delivery.wait_s(5, 0.25, None) == 40.0
    assert delivery.wait_s(1, 0.0, None) == delivery.WAIT_MIN_S


def test_retry_after_is_kept_to_but_not_for_days() -> None:
    assert delivery.wait_s(1, 0.5, 120.0) == 120.0
    assert delivery.wait_s(9, 1.0, 5.0) == 2560.0
    assert delivery.wait_s(1, 0.5, 1e9) == delivery.ASKED_MAX_S


def test_a_batch_is_given_up_after_a_day_and_several_attempts() -> None:
    assert not delivery.is_given_up(100, 86_399.0)
    assert not delivery.is_given_up(7, 1e6)
    assert delivery.is_given_up(8, 86_400.0)
