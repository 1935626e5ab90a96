"""Keeping a provider's promise to push alive, and what a grant died of.

    due (core/watch.py)          the plan of the provider's protocol is carried out, inside the mailbox's lease
    it worked                    the account knows until when; the sync that follows proves that nothing fell in between
    it failed                    noted, tried again in a quarter of an hour; `watch_lapsing` once, when little is left

Before the sync, never after it: what came between the end of the old watch and the new one is read by that sync. A
failure is never more than a note: the mailbox is polled by every ping all the same.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Protocol, TypeVar

from shared.core import change, watch
from shared.core.errors import LeaseLost, StoreDown, TidemarkError
from shared.core.watch import Watch, WatchFailed
from shared.protocol.wire import Request, Response
from shared.sync.ports import Clock

TESTING_LIFE_S = 7 * 86_400.0  # facts/gmail.md §6: grants of an unverified app ("Testing")
TESTING_EARLY_S, TESTING_LATE_S = 3 * 3600.0, 12 * 3600.0  # clocks differ; it is noticed at the next refresh
TESTING_REASON = "testing_app_7_days"

Send = Callable[[Request], Awaitable[Response]]
Result = TypeVar("Result")


class Watched(Protocol):
    async def watched(self, account_id: str, fields: Mapping[str, str], asked: str, event: str) -> None: ...


async def carry_out(plan: Generator[Request, Response, Result], send: Send) -> Result:
    """The plan's result. What `send` or the plan raises ends it."""
    try:
        request = next(plan)
        while True:
            request = plan.send(await send(request))
    except StopIteration as end:
        result: Result = end.value
        return result


async def renew(
    account_id: str,
    fields: Mapping[str, str],
    plan: Generator[Request, Response, Watch],
    send: Send,
    store: Watched,
    clock: Clock,
    lapsing_s: float,
) -> str:
    """Begins or renews the watch; "" or why it failed. Raises StoreDown and LeaseLost only."""
    asked = fields.get("watch_ask", "")
    try:
        kept = await carry_out(plan, send)
    except (StoreDown, LeaseLost):
        raise
    except TidemarkError as error:
        reason = error.reason if isinstance(error, WatchFailed) else error.slug
        now_s = clock.now_s()
        told = watch.lapsing(fields, now_s, lapsing_s)
        event = change.entry("account.watch_lapsing", {"reason": reason}) if told else ""
        await store.watched(account_id, watch.failed(reason, now_s, told=told), "", event)
        return reason
    await store.watched(account_id, watch.kept(kept, clock.now_s()), asked, "")
    return ""


def why_lost(fields: Mapping[str, str], reason: str, now_s: float) -> str:
    """The reason as the provider says it, or the one that a person can do something about."""
    if fields.get("provider") == "gmail" and reason == "invalid_grant" and "granted_s" in fields:
        age_s = now_s - float(fields["granted_s"])
        if TESTING_LIFE_S - TESTING_EARLY_S <= age_s <= TESTING_LIFE_S + TESTING_LATE_S:
            return TESTING_REASON
    return reason
