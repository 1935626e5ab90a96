"""Gmail's error answers, in the wording of production where somebody published it.

    letter  status  reason                      made by
    A       429     rateLimitExceeded           too_many_concurrent   (inside a batch, no Retry-After)
    B       403     rateLimitExceeded           quota_exceeded        (status PERMISSION_DENIED)
    C       429     rateLimitExceeded           exhausted
    D       429     rateLimitExceeded           locked_out            (the deadline stands in the text)
    E       403     dailyLimitExceeded, …       daily_limit, domain_policy
    F       404     notFound                    not_found
    G       401     authError                   unauthenticated
    H       400     failedPrecondition          failed_precondition
    I       400     invalidArgument             invalid_id
    J       400     badRequest                  invalid_value
    K       500     backendError                backend_error
    M       403     insufficientPermissions     insufficient_scope

Source: facts/gmail.md 1.3
"""

from datetime import UTC, datetime
from typing import Any

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class ApiError(Exception):
    """An error answer: status and JSON body, as a part or alone."""

    def __init__(
        self,
        code: int,
        message: str,
        reason: str | None,
        domain: str = "global",
        status: str | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        error: dict[str, Any] = {"code": code, "message": message}
        if reason is not None:
            error["errors"] = [{"message": message, "domain": domain, "reason": reason, **(extra or {})}]
        error["status"] = status or _STATUS_NAMES.get(code, "UNKNOWN")
        self.body = {"error": error}


def too_many_concurrent() -> ApiError:
    return ApiError(429, "Too many concurrent requests for user.", "rateLimitExceeded")


def quota_exceeded(price_list: str, project_number: str) -> ApiError:
    metric, limit = (
        ("Total Query Cost", "Units per minute per user")
        if price_list == "2026"
        else ("Queries", "Queries per minute per user")
    )
    return ApiError(
        403,
        f"Quota exceeded for quota metric '{metric}' and limit '{limit}' of service 'gmail.googleapis.com' "
        f"for consumer 'project_number:{project_number}'.",
        "rateLimitExceeded",
        "usageLimits",
    )


def exhausted() -> ApiError:
    return ApiError(429, "Resource has been exhausted (e.g. check quota).", "rateLimitExceeded")


def locked_out(until_s: float, code: int = 429) -> ApiError:
    until = datetime.fromtimestamp(until_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return ApiError(code, f"User-rate limit exceeded.  Retry after {until}", "rateLimitExceeded", "usageLimits")


def user_rate_limit() -> ApiError:
    return ApiError(403, "User Rate Limit Exceeded", "userRateLimitExceeded", "usageLimits")


def daily_limit() -> ApiError:
    return ApiError(403, "Daily Limit Exceeded", "dailyLimitExceeded", "usageLimits")


def domain_policy() -> ApiError:
    return ApiError(403, "The domain administrators have disabled Gmail apps.", "domainPolicy")


def not_found() -> ApiError:
    return ApiError(404, "Requested entity was not found.", "notFound")


def unauthenticated(missing: bool = False) -> ApiError:
    message = (
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
        if missing
        else "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    return ApiError(
        401,
        message,
        "required" if missing else "authError",
        extra={"locationType": "header", "location": "Authorization"},
    )


def failed_precondition(message: str = "Precondition check failed.") -> ApiError:
    return ApiError(400, message, "failedPrecondition", status="FAILED_PRECONDITION")


def invalid_id() -> ApiError:
    return ApiError(400, "Invalid id value", "invalidArgument")


def invalid_argument(message: str) -> ApiError:
    return ApiError(400, message, "invalidArgument")


def invalid_value(field: str, type_name: str, value: str) -> ApiError:
    return ApiError(400, f"Invalid value at '{field}' ({type_name}), \"{value}\"", "badRequest")


def unknown_name(name: str) -> ApiError:
    return ApiError(
        400,
        f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
        f"Field '{name}' could not be found in request message.",
        "badRequest",
    )


def backend_error(code: int = 500) -> ApiError:
    return ApiError(code, "Backend Error" if code == 500 else "The service is currently unavailable.", "backendError")


def insufficient_scope() -> ApiError:
    return ApiError(403, "Request had insufficient authentication scopes.", "insufficientPermissions")


def metadata_scope(what: str) -> ApiError:
    return ApiError(403, f"Metadata scope {what}", "forbidden")


def delegation_denied(address: str) -> ApiError:
    return ApiError(403, f"Delegation denied for {address}", "forbidden")
