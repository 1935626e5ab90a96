"""Proof that a notification URL is the subscriber's: it echoes a token within 10 seconds, or there is no subscription.

    POST {url}&validationToken=Validation%3a+Testing+…   on the wire: `+` for blanks, lower-case hex, own query kept
    answer 200, text/plain, the decoded token            proven
    anything else                                        400 ValidationError, with the status if it was one
    nothing in time                                      400 InvalidRequest

Source: https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks#notificationurl-validation
"""

import time
import uuid

import httpx

from infra.emulators.graph.errors import GraphError, bad_request
from infra.emulators.graph.world import World

_FAILED = "Subscription validation request failed."
_MUST = "Notification endpoint must respond with 200 OK to validation request."


class Handshake:
    def __init__(self, world: World) -> None:
        self._world = world
        self._proven: set[str] = set()

    def validate(self, url: str) -> None:
        """Blocks until the endpoint has answered; GraphError 400 if it did not prove itself."""
        if self._world.knobs.skip_validated_urls and url in self._proven:
            return
        request_id = uuid.uuid4()
        token = f"Validation: Testing client application reachability for subscription Request-Id: {request_id}"
        coded = token.replace(":", "%3a").replace(" ", "+")
        separator = "&" if "?" in url else "?"
        limit_s = self._world.knobs.validation_timeout_real_s
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": "0"}
        started = time.monotonic()
        try:
            response = self._world.client.post(
                f"{url}{separator}validationToken={coded}", headers=headers, timeout=limit_s
            )
        except httpx.TimeoutException:
            raise bad_request("Subscription validation request timed out.", "InvalidRequest") from None
        except httpx.HTTPError:
            raise bad_request(f"{_FAILED} {_MUST}", "ValidationError") from None
        took_s = time.monotonic() - started
        self._world.validations.append({"url": url, "status": response.status_code, "took_ms": took_s * 1000})
        if took_s > limit_s:
            raise bad_request("Subscription validation request timed out.", "InvalidRequest")
        fault = _fault(response, token)
        if fault is not None:
            raise fault
        self._proven.add(url)


def _fault(response: httpx.Response, token: str) -> GraphError | None:
    if response.status_code != 200:
        phrase = response.reason_phrase.replace(" ", "")
        return bad_request(f"{_FAILED} HTTP status code is '{phrase}'. {_MUST}", "ValidationError")
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/plain":
        return bad_request(f"{_FAILED} Notification endpoint must respond with text/plain.", "ValidationError")
    if response.text != token:
        return bad_request(f"{_FAILED} Notification endpoint must echo the validation token.", "ValidationError")
    return None
