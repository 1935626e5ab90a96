"""A provider's promise to push (Gmail: a watch, Graph: a subscription): when it is renewed, and when that is told.

    due         never begun; a day old, or 2/5 of its life where that is less; asked for by the provider
    lapsing     below the provider's limit, and the renewal failed: told once, until one works again

A promise to push is never what correctness rests on: a failed one costs latency, and a silent mailbox is polled.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.core.errors import TidemarkError

RENEW_AFTER_MAX_S = 86_400.0
RENEW_SHARE = 0.4  # of its life: before the half of it is over, with hourly pings
RETRY_S = 900.0  # after a failure
ASKED = ("reauthorize", "recreate")  # what a lifecycle notification asks for, weakest first


class WatchFailed(TidemarkError):
    """The provider would not; `reason` is its own word for it. Never fails a connection or a sync."""

    slug = "watch_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the provider does not promise to push: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Watch:
    """`id` names it at the provider (Graph), `minutes_max` is the longest life that the provider was found to grant."""

    expires_at_s: float
    id: str = ""
    minutes_max: int | None = None


def due(fields: Mapping[str, str], now_s: float) -> bool:
    """Whether the account's watch is to be begun or renewed now, by what its hash says of it."""
    if fields.get("watch_ask"):
        return True
    if now_s < float(fields.get("watch_retry_s", "0")):
        return False
    if "watch_until_s" not in fields:
        return True
    renewed_s, until_s = float(fields["watch_renewed_s"]), float(fields["watch_until_s"])
    return now_s >= renewed_s + min(RENEW_AFTER_MAX_S, RENEW_SHARE * (until_s - renewed_s))


def lapsing(fields: Mapping[str, str], now_s: float, limit_s: float) -> bool:
    """After a failed renewal: whether that has to be told now. Told once a watch."""
    left_s = float(fields.get("watch_until_s", "0")) - now_s
    return left_s < limit_s and not fields.get("watch_lapsing")


def kept(watch: Watch, now_s: float) -> dict[str, str]:
    """The account's fields after a success."""
    fields = {
        "watch_until_s": f"{watch.expires_at_s:.3f}",
        "watch_renewed_s": f"{now_s:.3f}",
        "watch_retry_s": "0",
        "watch_id": watch.id,
        "watch_lapsing": "",
        "watch_reason": "",
    }
    return fields if watch.minutes_max is None else fields | {"watch_minutes_max": str(watch.minutes_max)}


def failed(reason: str, now_s: float, *, told: bool) -> dict[str, str]:
    """The account's fields after a failure."""
    fields = {"watch_retry_s": f"{now_s + RETRY_S:.3f}", "watch_reason": reason}
    return fields | {"watch_lapsing": "1"} if told else fields
