"""How a sync ended, as its caller is told, as `sync_perf:<provider>` keeps it; and what is expected of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.core.message import instant
from shared.sync import alerts


@dataclass(slots=True)
class Outcome:
    """How a sync ended; the counters are of what was appended."""

    status: str = "no_new_messages"
    created: int = 0
    updated: int = 0
    deleted: int = 0
    more: bool = False
    retry_after_s: float | None = None
    reason: str = ""

    @property
    def count(self) -> int:
        return self.created + self.updated + self.deleted

    def add(self, said: Mapping[str, int]) -> None:
        self.created += said.get("created", 0)
        self.updated += said.get("updated", 0)
        self.deleted += said.get("deleted", 0)

    def answer(
        self, account_id: str, duration_s: float, *, api_calls: int = 0, quota_units: int = 0, redis_requests: int = 0
    ) -> dict[str, Any]:
        """As CONTRACT §3 has it."""
        answer: dict[str, Any] = {
            "status": self.status,
            "account_id": account_id,
            "count": self.count,
            "changes": {"created": self.created, "updated": self.updated, "deleted": self.deleted},
            "api_calls": api_calls,
            "quota_units": quota_units,
            "redis_requests": redis_requests,
            "duration_s": round(duration_s, 3),
            "more": self.more,
        }
        if self.retry_after_s is not None:
            answer["retry_after_s"] = round(self.retry_after_s, 3)
        if self.reason:
            answer["reason"] = self.reason
        return answer


@dataclass(frozen=True, slots=True)
class Objectives:
    """What raises an alert: a sync of more than `slow_s` (without waits), a mailbox not confirmed for `fresh_s`."""

    slow_s: float
    fresh_s: float

    def missed(self, worked_s: float, confirmed_s: float, now_s: float) -> dict[str, str | None]:
        """Alert -> detail; None where the objective is met."""
        slow = f"the sync took {worked_s:.0f} s" if worked_s > self.slow_s else None
        late = now_s - confirmed_s > self.fresh_s
        stale = f"not confirmed current since {instant(confirmed_s)}" if late else None
        return {alerts.SLOW: slow, alerts.STALE: stale}


def performance(count: int, duration_s: float, now_s: float, api_calls: int, quota_units: int) -> dict[str, str]:
    return {
        "message_count": str(count),
        "duration": f"{duration_s:.3f}",
        "messages_per_second": f"{count / duration_s if duration_s > 0 else 0:.2f}",
        "timestamp": instant(now_s) or "",
        "api_calls": str(api_calls),
        "quota_units": str(quota_units),
    }


def totals(fields: Mapping[str, str]) -> dict[str, float]:
    """What the syncs of an account have come to so far, as its hash has them summed up."""
    sums = {"syncs": "syncs", "messages": "message_count", "duration_s": "duration"}
    sums |= {"api_calls": "api_calls", "quota_units": "quota_units"}
    found = {name: float(fields.get(f"sum:{figure}", 0)) for name, figure in sums.items()}
    return {name: int(value) if value.is_integer() else round(value, 3) for name, value in found.items()}
