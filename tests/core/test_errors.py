"""Errors, grouped by what the caller should do about them."""

import pytest

from shared.core import errors


def test_each_error_has_a_slug_of_its_own() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    kinds = [each for each in found if issubclass(each, errors.TidemarkError)]
    slugs = [each.slug for each in kinds if each is not errors.BadRequest]
    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize(
    "kind", [errors.Throttled, errors.ProviderDown, errors.StoreDown, errors.BreakerOpen, errors.BudgetSpent]
)
def test_what_passes_by_itself_says_when_to_come_back(kind: type[errors.RetryLater]) -> None:
    assert (str(kind("text", 3.0)), kind("text", 3.0).after_s) == ("text", 3.0)
    assert (str(kind("text")), kind("text").after_s) == ("text", None)


def test_a_dead_grant_says_why() -> None:
    error = errors.AuthorizationLost("invalid_grant")
    assert error.reason == "invalid_grant"
    assert str(error).endswith(": invalid_grant")
    assert isinstance(error, errors.NeedsUser)


def test_a_bad_request_is_told_by_status_and_slug() -> None:
    error = errors.BadRequest(409, "address_mismatch", "the token belongs to another mailbox")
    assert (error.status, error.slug, str(error)) == (409, "address_mismatch", "the token belongs to another mailbox")
