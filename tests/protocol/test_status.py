"""What an answer's status means, and the harmless words and waits taken from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import errors
from shared.protocol.status import REASON_CHARACTERS_MAX, RETRY_AFTER_S_MAX, Kind, Status, retry_after_s, safe_reason

NOW_S = 1_764_028_800.0  # Tue, 25 Nov 2025 00:00:00 GMT


def test_an_accepted_answer_raises_nothing() -> None:
    Status(Kind.OK, 200).raise_unless_ok()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.NOT_FOUND, errors.NotFound),
        (Kind.EXPIRED, errors.AccessExpired),
        (Kind.THROTTLED, errors.Throttled),
        (Kind.DOWN, errors.ProviderDown),
        (Kind.FORBIDDEN, errors.AuthorizationLost),
        (Kind.REFUSED, errors.ContractBroken),
    ],
)
def test_every_other_kind_is_an_error_that_says_what_to_do(kind: Kind, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"403 domainPolicy|domainPolicy"):
        Status(kind, 403, "domainPolicy").raise_unless_ok()


@pytest.mark.parametrize(("kind", "http"), [(Kind.THROTTLED, 429), (Kind.DOWN, 503)])
def test_the_wait_goes_with_the_error(kind: Kind, http: int) -> None:
    with pytest.raises(errors.RetryLater) as caught:
        Status(kind, http, retry_after_s=7.0).raise_unless_ok()
    assert (caught.value.slug, caught.value.after_s) == (kind.value, 7.0)
    assert str(caught.value).endswith(f" {http}")


def test_a_forbidden_answer_without_a_reason_is_still_told() -> None:
    with pytest.raises(errors.AuthorizationLost) as caught:
        Status(Kind.FORBIDDEN, 403).raise_unless_ok()
    assert caught.value.reason == "forbidden"


def test_a_reason_keeps_harmless_characters_only() -> None:
    assert safe_reason("rateLimitExceeded") == "rateLimitExceeded"
    assert safe_reason("robin@example.com says\n<b>no</b>") == "robinexample.comsaysbnob"
    assert safe_reason(None) == safe_reason(403) == ""


def test_only_so_much_of_a_reason_is_looked_at() -> None:
    assert safe_reason("é" * 127 + "ab") == "a"
    assert safe_reason("a" * 65) == "a" * 64


@given(st.text())
def test_no_reason_is_long_or_can_break_a_line(text: str) -> None:
    found = safe_reason(text)
    assert len(found) <= REASON_CHARACTERS_MAX
    assert all(c.isascii() and (c.isalnum() or c in "_.-") for c in found)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Tue, 25 Nov 2025 00:01:30 GMT", 90.0),
        ("Mon, 24 Nov 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("86399", 86_399.0),
        ("86401", 86_400.0),
        ("9" * 5000, 86_400.0),
        ("Wed, 26 Nov 2025 00:00:01 GMT", 86_400.0),
        ("Tue, 99 Nov 2025 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW_S) == seconds


def test_where_nobody_knows_the_time_a_date_is_no_wait() -> None:
    assert retry_after_s("Tue, 25 Nov 2025 00:01:30 GMT", None) is None
    assert retry_after_s("7", None) == 7.0


@given(st.text())
def test_no_header_can_raise_or_ask_for_less_than_nothing_or_more_than_a_day(text: str) -> None:
    found = retry_after_s(text, NOW_S)
    assert found is None or 0 <= found <= RETRY_AFTER_S_MAX
