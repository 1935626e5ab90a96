"""Refusals of the token endpoint, in Entra's words.

    kind                   error                  AADSTS     what a client should do
    refresh_expired        invalid_grant          700082     reconnect
    inactive               invalid_grant          70008      reconnect
    revoked                invalid_grant          50173      reconnect
    mfa, mfa_setup         interaction_required   50076, 50079
    conditional_access     interaction_required   50158
    consent                invalid_grant          65001      reconnect, with consent
    spa                    invalid_grant          700084     fix the registration
    bad_secret             invalid_client         7000215    alarm, blame no account
    secret_expired         invalid_client         7000222
    temporarily_unavailable, throttled, server_error         503, 429 with Retry-After, 500

`invalid_client` is answered with 401 as RFC 6749 §5.2 has it and Entra does, the rest with 400.
Source: https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.emulators.graph.asgi import Response, json_response


@dataclass(frozen=True, slots=True)
class Refusal:
    error: str
    number: int
    text: str
    status: int = 400
    suberror: str = ""


KINDS: dict[str, Refusal] = {
    "refresh_expired": Refusal("invalid_grant", 700082, "The refresh token has expired due to inactivity."),
    "inactive": Refusal("invalid_grant", 70008, "The provided authorization code or refresh token has expired."),
    "revoked": Refusal(
        "invalid_grant",
        50173,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
        suberror="bad_token",
    ),
    "mfa": Refusal(
        "interaction_required",
        50076,
        "Due to a configuration change made by your administrator, or because you moved to a new location, "
        "you must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.",
        suberror="basic_action",
    ),
    "mfa_setup": Refusal(
        "interaction_required", 50079, "You must enroll in multi-factor authentication.", suberror="basic_action"
    ),
    "conditional_access": Refusal(
        "interaction_required", 50158, "External security challenge not satisfied.", suberror="additional_action"
    ),
    "consent": Refusal(
        "invalid_grant",
        65001,
        "The user or administrator has not consented to use the application.",
        suberror="consent_required",
    ),
    "spa": Refusal("invalid_grant", 700084, "The refresh token was issued to a single page app (SPA)."),
    "bad_secret": Refusal("invalid_client", 7000215, "Invalid client secret provided.", 401),
    "secret_expired": Refusal("invalid_client", 7000222, "The provided client secret keys for app are expired.", 401),
    "unknown_client": Refusal("unauthorized_client", 700016, "Application was not found in the directory."),
    "malformed": Refusal("invalid_request", 900144, "The request body must contain the required parameters."),
    "grant_type": Refusal("unsupported_grant_type", 70003, "The app requested an unsupported grant type."),
    "bad_scope": Refusal("invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid."),
    "bad_token": Refusal("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid."),
    "code_used": Refusal("invalid_grant", 54005, "OAuth2 Authorization code was already redeemed."),
    "redirect": Refusal("invalid_grant", 500112, "The reply address does not match the one provided before."),
    "verifier": Refusal("invalid_grant", 501481, "The Code_Verifier does not match the code_challenge supplied."),
    "no_verifier": Refusal("invalid_grant", 50148, "The code_verifier does not match the code_challenge supplied."),
    "rotated": Refusal("invalid_grant", 70000, "The refresh token was already used.", suberror="bad_token"),
    "temporarily_unavailable": Refusal("temporarily_unavailable", 90033, "A transient error has occurred.", 503),
    "throttled": Refusal("temporarily_unavailable", 90055, "Server is terminating the request: too many of them.", 429),
    "server_error": Refusal("server_error", 90006, "A transient error has occurred.", 500),
}


class TokenRefused(Exception):
    def __init__(self, kind: str, retry_after_s: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.retry_after_s = retry_after_s


def refusal_response(refused: TokenRefused, now_s: float, correlation_id: str | None) -> Response:
    refusal = KINDS[refused.kind]
    trace, correlation = str(uuid.uuid4()), correlation_id or str(uuid.uuid4())
    stamp = f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%d %H:%M:%SZ}"
    description = f"AADSTS{refusal.number}: {refusal.text} Trace ID: {trace} Correlation ID: {correlation}"
    value: dict[str, Any] = {
        "error": refusal.error,
        "error_description": f"{description} Timestamp: {stamp}",
        "error_codes": [refusal.number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={refusal.number}",
    }
    if refusal.suberror:
        value["suberror"] = refusal.suberror
    headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "Pragma": "no-cache"}
    if refused.retry_after_s is not None:
        headers["Retry-After"] = f"{refused.retry_after_s:g}"
    return json_response(value, refusal.status, headers)
