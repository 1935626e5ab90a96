"""Every refusal of Graph that mail sync has been seen to meet, in the words the service uses.

    status  code                                   said by
    400     BadRequest, ErrorInvalidUrlQuery, …    query parsing
    401     InvalidAuthenticationToken             authorization, with WWW-Authenticate
    403     ErrorAccessDenied, ErrorQuotaExceeded  scopes, bursts, full mailbox
    404     ErrorItemNotFound, ResourceNotFound …  ids
    410     SyncStateNotFound, …                   dead delta links
    429     ApplicationThrottled, TooManyRequests  limits
    5xx     UnknownError with an empty message     gateway trouble

Source: https://learn.microsoft.com/en-us/graph/errors
"""

from typing import Any

AADSTS_REALM = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'


class GraphError(Exception):
    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None, inner_code: str | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.inner_code = inner_code

    def body(self, request_id: str, client_request_id: str, date: str) -> dict[str, Any]:
        inner: dict[str, Any] = {"date": date, "request-id": request_id, "client-request-id": client_request_id}
        if self.inner_code is not None:
            inner = {"code": self.inner_code, "status": self.inner_code, "message": "Please retry after", **inner}
        return {"error": {"code": self.code, "message": self.message, "innerError": inner}}


def bad_request(message: str, code: str = "BadRequest") -> GraphError:
    return GraphError(400, code, message)


def unauthorized(message: str = "Access token has expired or is not yet valid.") -> GraphError:
    challenge = f'{AADSTS_REALM}, error="invalid_token", error_description="{message}"'
    return GraphError(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": challenge})


def access_denied(message: str = "Access is denied. Check credentials and try again.") -> GraphError:
    return GraphError(403, "ErrorAccessDenied", message)


def burst_denied() -> GraphError:
    """What 47 parallel reads were answered with instead of 429."""
    return access_denied(
        "Access is denied. Check credentials and try again., The store ID provided isn't an ID of an item."
    )


def quota_exceeded() -> GraphError:
    return GraphError(403, "ErrorQuotaExceeded", "Mailbox has exceeded maximum mailbox size.")


def item_not_found() -> GraphError:
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def sync_folder_not_found() -> GraphError:
    return GraphError(404, "ErrorSyncFolderNotFound", "The specified folder could not be found in the store.")


def resource_not_found(message: str = "The object was not found.") -> GraphError:
    return GraphError(404, "ResourceNotFound", message)


def invalid_user(user: str) -> GraphError:
    return GraphError(404, "ErrorInvalidUser", f"The requested user '{user}' is invalid.")


def no_mailbox() -> GraphError:
    return GraphError(
        404,
        "MailboxNotEnabledForRESTAPI",
        "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    )


def sync_state_not_found(generation: int, highest: int, location: str | None = None) -> GraphError:
    live = f"[highest={highest}][{highest}][{highest - 2}][{highest - 1}]"
    message = f"The sync state generation is not found; generation={generation};{live}."
    return GraphError(410, "SyncStateNotFound", message, {"Location": location} if location else None)


def sync_state_invalid(status: int = 410) -> GraphError:
    return GraphError(status, "SyncStateInvalid", "The sync state is invalid.")


def resync_required(location: str | None = None) -> GraphError:
    headers = {"Location": location} if location else None
    return GraphError(410, "ResyncRequired", "Resync required. Replace any local items with the server's.", headers)


def throttled(retry_after_s: float | None) -> GraphError:
    message = "Application is over its MailboxConcurrency limit."
    return GraphError(429, "ApplicationThrottled", message, _retry_after(retry_after_s))


def too_many_requests(retry_after_s: float | None) -> GraphError:
    headers = _retry_after(retry_after_s)
    return GraphError(429, "TooManyRequests", "Please retry again later.", headers, inner_code="429")


def unknown_error(status: int, retry_after_s: float | None = None) -> GraphError:
    """The gateway's 5xx, and the old Outlook 429: no message at all."""
    return GraphError(status, "UnknownError", "", _retry_after(retry_after_s))


def unavailable(retry_after_s: float | None) -> GraphError:
    return GraphError(503, "serviceNotAvailable", "Service unavailable.", _retry_after(retry_after_s))


def _retry_after(seconds: float | None) -> dict[str, str] | None:
    return None if seconds is None else {"Retry-After": f"{seconds:g}"}
