"""How things stand, as data: what /status/status.json answers, and what the page and the metrics are made of.

Costs two Redis requests, and one more for each hundred mailboxes; where there is a webhook, as many more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shared.adapters.redis_standing import standings
from shared.core.message import instant
from shared.wiring import Wiring


async def standing(wiring: Wiring) -> dict[str, Any]:
    mailboxes = await wiring.overview.accounts()
    found = await standings(wiring.redis, list(wiring.providers))
    states = Counter(mailbox["state"] for mailbox in mailboxes)
    return {
        "status": "ok",
        "time": instant(wiring.clock.now_s()),
        "accounts": {"total": len(mailboxes), **states},
        "mailboxes": mailboxes,
        "breakers": {name: of.breaker for name, of in found.items()},
        "webhook": await wiring.delivering.target(),
        "performance": {name: performance(of.syncs) for name, of in found.items() if of.syncs},
    }


def performance(syncs: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What the last syncs came to, the newest first. `messages_per_second`: of those that found any."""
    took = sorted(float(sync["duration"]) for sync in syncs)
    messages = sum(int(sync["message_count"]) for sync in syncs)
    busy_s = sum(float(sync["duration"]) for sync in syncs if int(sync["message_count"]))
    return {
        "syncs": len(syncs),
        "since": syncs[-1]["timestamp"],
        "last_at": syncs[0]["timestamp"],
        "messages": messages,
        "messages_per_second": round(messages / busy_s, 2) if busy_s else 0.0,
        "api_calls": _sum(syncs, "api_calls"),
        "quota_units": _sum(syncs, "quota_units"),
        "duration_s": {"p50": _quantile(took, 0.5), "p95": _quantile(took, 0.95), "max": took[-1]},
    }


def _sum(syncs: Sequence[Mapping[str, str]], name: str) -> float:
    return round(sum(float(sync.get(name, 0)) for sync in syncs), 3)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
