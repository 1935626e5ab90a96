"""Pushing the change log to the app: what an answer means, how long to wait, when to give a batch up.

    answer                          the batch                                     the target's breaker
    2xx                             delivered; the next one                       closed
    410 Gone                        kept; nothing is sent any more until          closed; the target is paused
                                    somebody asks for a redelivery
    5xx, no answer, or an address   tried again, by back-off                      counts; open, nothing is sent, and
    that may not be connected to                                                  one probe at a time finds out
    429, any other                  tried again, by back-off                      closed: somebody is there

A batch is a range of the log, and its id names the range: the same events come under the same id, however often. What
is behind it waits, so that the app gets an account's events in their order. Only when a batch has failed for
GIVEN_UP_AFTER_S, in at least GIVEN_UP_ATTEMPTS attempts, is it noted as a dead letter and passed over. A redirect is
an answer like any other that is not 2xx: events go where the owner said, nowhere else.

Back-off: full jitter below 10 s, 20 s, 40 s … one hour, and never before what Retry-After asks for, six hours at most.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (410, Retry-After,
jitter, days of retries); https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
"""

from dataclasses import dataclass
from typing import Literal

BATCH_EVENTS_MAX = 100
BATCH_BYTES_MAX = 512 * 1024  # as stored; one event may be larger, and goes alone
BASE_S, WAIT_MAX_S, ASKED_MAX_S = 10.0, 3_600.0, 6 * 3_600.0
WAIT_MIN_S = 1.0
RESOLVE_TIMEOUT_S, REQUEST_TIMEOUT_S = 5.0, 15.0
LEASE_S = 45.0  # of one account's deliveries: an attempt ends before it does
GIVEN_UP_AFTER_S, GIVEN_UP_ATTEMPTS = 86_400.0, 8
TAKEN_MAX_S = LEASE_S - RESOLVE_TIMEOUT_S - REQUEST_TIMEOUT_S  # a batch that was taken before is not sent any more
assert TAKEN_MAX_S > 0
assert GIVEN_UP_AFTER_S > 6 * 3_600 > WAIT_MAX_S  # a receiver that is down for six hours misses nothing

Verdict = Literal["delivered", "gone", "down", "refused"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: none came, and `reason` says why, as a slug."""

    status: int
    reason: str = ""
    retry_after_s: float | None = None

    @property
    def verdict(self) -> Verdict:
        if 200 <= self.status < 300:
            return "delivered"
        if self.status == 410:
            return "gone"
        return "down" if self.status == 0 or self.status >= 500 else "refused"

    @property
    def said(self) -> str:
        """For the status page."""
        return self.reason or f"http_{self.status}"


def batch_id(account_id: str, epoch: str, first: int, last: int) -> str:
    """Without a full stop, which is what parts id, time and body where they are signed."""
    return f"{account_id}_{epoch}_{first}-{last}"


def wait_s(attempts: int, random: float, asked_s: float | None) -> float:
    """Seconds before the next attempt after `attempts` that failed; `random` is uniform in [0, 1)."""
    own = random * min(WAIT_MAX_S, BASE_S * float(2 ** min(attempts - 1, 16)))
    return max(WAIT_MIN_S, own, min(asked_s or 0.0, ASKED_MAX_S))


def is_given_up(attempts: int, failing_for_s: float) -> bool:
    return attempts >= GIVEN_UP_ATTEMPTS and failing_for_s >= GIVEN_UP_AFTER_S
