"""A cron ping: every account of a provider, the longest untouched first, several at a time, within the budget.

    one account's work ends with       the ping
    a result                           has it among its own
    an error nobody has foreseen       has "failed" for it, with the error's slug as the reason, and goes on: what is
                                       wrong with one mailbox must not hide what became of the others
    a store that is out of reach       begins nothing more, and raises it when what has begun is done

`more` says that something is left to do; where it can't be done at once, the result of the mailbox says when. A failed
account does not ask for another ping: what nobody has foreseen is not mended by asking at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from shared.core.errors import StoreDown, TidemarkError
from shared.sync.outcome import Outcome
from shared.sync.ports import Clock

MAILBOXES_AT_ONCE = 8
RESULTS_MAX = 100
FINE = frozenset({"synced", "no_new_messages"})


async def sweep(
    account_ids: Sequence[str],
    work: Callable[[str], Awaitable[dict[str, Any] | None]],
    tell: Callable[[str, Exception], None],
    deadline_s: float,
    clock: Clock,
) -> dict[str, Any]:
    """`work` syncs one account; None: it is gone. `tell` is told of every account that failed.

    What the time did not reach is left for the next ping (`more`). Raises StoreDown.
    """
    waiting = list(reversed(account_ids))
    results: list[dict[str, Any]] = []
    down: list[StoreDown] = []

    async def worker() -> None:
        while waiting and clock.now_s() < deadline_s:
            account_id, began_s = waiting.pop(), clock.now_s()
            try:
                result = await work(account_id)
            except StoreDown as error:
                down.append(error)
                waiting.clear()
                return
            except Exception as error:  # whatever it is: the others go on, and the ping tells of it
                tell(account_id, error)
                result = _failed(account_id, error, clock.now_s() - began_s)
            results.extend([result] if result else [])

    await asyncio.gather(*(worker() for _ in range(min(MAILBOXES_AT_ONCE, len(waiting)))))
    if down:
        raise down[0]
    results.sort(key=lambda result: result["status"] in FINE)
    return {
        "status": "swept",
        "accounts": len(results),
        "results": results[:RESULTS_MAX],
        "more": bool(waiting) or any(result["more"] for result in results),
    }


def _failed(account_id: str, error: Exception, duration_s: float) -> dict[str, Any]:
    """What it had done until then is in the log, and counted nowhere."""
    reason = error.slug if isinstance(error, TidemarkError) else "internal"
    return Outcome("failed", reason=reason).answer(account_id, duration_s)
