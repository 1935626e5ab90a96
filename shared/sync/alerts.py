"""Alerts of a mailbox, as events of its log: raised once, cleared once, whatever the number of syncs in between.

slow_sync   a sync took longer than SLOW_SYNC_THRESHOLD, waiting for quota not counted
stale       the mailbox has not been confirmed current for longer than FRESHNESS_OBJECTIVE
"""

from collections.abc import Iterable, Mapping

import orjson

from shared.core import change

SLOW, STALE = "slow_sync", "stale"


def load(text: str | None) -> frozenset[str]:
    """The alerts that are raised, as the account's field has them."""
    return frozenset(orjson.loads(text or "[]"))


def dump(active: Iterable[str]) -> str:
    return orjson.dumps(sorted(active)).decode()


def changed(active: frozenset[str], now: Mapping[str, str | None]) -> tuple[list[str], frozenset[str]]:
    """Log entries for what `now` raises (alert -> detail) or clears (None), and the alerts that are raised after it."""
    entries = []
    for alert, detail in now.items():
        if detail is not None and alert not in active:
            entries.append(change.entry("alert.raised", {"alert": alert, "detail": detail}))
        elif detail is None and alert in active:
            entries.append(change.entry("alert.cleared", {"alert": alert, "detail": None}))
    raised = {alert for alert, detail in now.items() if detail is not None}
    return entries, (active - now.keys()) | raised
