"""Messages that could not be read: kept with the cursor that went on without them, tried again by every invocation.

    enters     a read failed MAX_RETRIES times (rate limits, 401 and time-outs never count)
    said       `quarantined`, once: after MAX_RETRIES attempts in at least 3 invocations and QUARANTINE_AFTER seconds,
               while other messages of the mailbox could be read
    leaves     by `created` (or a patch), or by `deleted` where it was said and is confirmed to be gone

An outage is not poison: where nothing at all could be read, nothing is parked and nothing advances; but when that has
gone on for as long as it takes to quarantine a message, what can't be read is parked: it holds up the rest no longer.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import orjson

INVOCATIONS_MIN = 3
PARKED_ALONE_MAX = 3  # so few failures may be poison even where nothing else was there to be read
RETRIED_MAX = 100


@dataclass(frozen=True, slots=True)
class Parked:
    thread_id: str | None
    first_failed_s: float
    reason: str
    attempts: int = 0
    invocations: int = 0
    others_read: bool = False
    said: bool = False

    def failed(self, reason: str, attempts: int, others_read: bool) -> "Parked":
        """After one more invocation in which it could not be read."""
        return replace(
            self,
            reason=reason,
            attempts=self.attempts + attempts,
            invocations=self.invocations + 1,
            others_read=self.others_read or others_read,
        )

    def due_to_be_said(self, now_s: float, attempts_min: int, after_s: float) -> bool:
        return (
            not self.said
            and self.others_read
            and self.attempts >= attempts_min
            and self.invocations >= INVOCATIONS_MIN
            and now_s - self.first_failed_s >= after_s
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """Invocations in a row that could read no message, although there were some to be read."""

    since_s: float
    invocations: int = 1

    def has_lasted(self, now_s: float, after_s: float) -> bool:
        return self.invocations >= INVOCATIONS_MIN and now_s - self.since_s >= after_s


def is_outage(failed: int, read: int) -> bool:
    """`failed`: messages that could not be read and had not been parked before."""
    return read == 0 and failed > PARKED_ALONE_MAX


def dump(parked: Mapping[str, Parked]) -> str:
    return orjson.dumps({message_id: asdict(entry) for message_id, entry in parked.items()}).decode()


def load(text: str | None) -> dict[str, Parked]:
    return {message_id: Parked(**fields) for message_id, fields in orjson.loads(text or "{}").items()}


def dump_outage(outage: Outage | None) -> str:
    return orjson.dumps(asdict(outage)).decode() if outage else ""


def load_outage(text: str | None) -> Outage | None:
    return Outage(**orjson.loads(text)) if text else None
