"""Errors, grouped by what the caller should do about them.

    TidemarkError
    ├── RetryLater            nothing is lost; the same call will do later (`after_s`: not before, None = own back-off)
    │   ├── Throttled         the provider refuses for rate or concurrency; never counts as a failure of the provider
    │   ├── ProviderDown      time-out, connection, 5xx, a body that can't be read: counts for the breaker
    │   ├── StoreDown         Redis did not answer, or answered something else
    │   ├── BreakerOpen       the provider failed too often; one probe is let through after the cool-down
    │   └── BudgetSpent       this invocation's time is over (or the log waits for a reader); the next one resumes
    ├── NeedsUser             only a person can mend it
    │   └── AuthorizationLost the grant is dead (`reason`): the account becomes `reauth_required`
    ├── ContractBroken        the provider refuses the request itself, or answers outside its contract
    │   ├── NotFound          404/410 where it has a meaning (history expired, delta token dead, message gone)
    │   └── AccessExpired     401: the access token is refreshed once
    ├── LeaseLost             another instance holds the mailbox now, or the account is gone: stop, write nothing
    └── BadRequest            the caller's mistake, told as problem+json (`status`, `slug`)

Each class has a stable `slug`, which is what logs, results and problem+json show; messages never hold a token, an
address or message content. There is one mapping point per library: adapters/http_client.py for httpx,
adapters/redis_store.py for upstash-redis, adapters/google_auth.py and microsoft_auth.py for theirs.
"""


class TidemarkError(Exception):
    slug = "error"


class RetryLater(TidemarkError):
    slug = "retry_later"

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Throttled(RetryLater):
    slug = "throttled"


class ProviderDown(RetryLater):
    slug = "provider_down"


class StoreDown(RetryLater):
    slug = "store_down"


class BreakerOpen(RetryLater):
    slug = "breaker_open"


class BudgetSpent(RetryLater):
    slug = "budget_spent"


class NeedsUser(TidemarkError):
    slug = "needs_user"


class AuthorizationLost(NeedsUser):
    slug = "reauth_required"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the grant is not usable any more: {reason}")
        self.reason = reason


class ContractBroken(TidemarkError):
    slug = "contract_broken"


class NotFound(ContractBroken):
    slug = "not_found"


class AccessExpired(ContractBroken):
    slug = "access_expired"


class LeaseLost(TidemarkError):
    slug = "lease_lost"


class BadRequest(TidemarkError):
    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
