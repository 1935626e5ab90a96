"""A cron ping: every account of a provider, the longest untouched first, several at a time, within the budget.

One account's trouble is its own: the others are worked on all the same, and what was unforeseen is raised at the end.
Only a store that is out of reach ends the sweep at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from shared.core.errors import StoreDown
from shared.sync.ports import Clock

MAILBOXES_AT_ONCE = 8
RESULTS_MAX = 100
FINE = frozenset({"synced", "no_new_messages"})


async def sweep(
    account_ids: Sequence[str],
    work: Callable[[str], Awaitable[dict[str, Any] | None]],
    deadline_s: float,
    clock: Clock,
) -> dict[str, Any]:
    """`work` syncs one account; None: it is gone. What the time did not reach is left for the next ping (`more`)."""
    waiting = list(reversed(account_ids))
    results: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    async def worker() -> None:
        while waiting and clock.now_s() < deadline_s:
            done = await asyncio.gather(work(waiting.pop()), return_exceptions=True)
            for result in done:
                if not isinstance(result, BaseException):
                    results.extend([result] if result else [])
                    continue
                errors.append(result)
                if isinstance(result, StoreDown):
                    waiting.clear()

    await asyncio.gather(*(worker() for _ in range(min(MAILBOXES_AT_ONCE, len(waiting)))))
    if errors:
        raise errors[0]
    results.sort(key=lambda result: result["status"] in FINE)
    return {
        "status": "swept",
        "accounts": len(results),
        "results": results[:RESULTS_MAX],
        "more": bool(waiting) or any(result["more"] for result in results),
    }
