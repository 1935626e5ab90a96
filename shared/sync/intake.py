"""From pushes to hints: what a request of a provider amounts to, once it has proven itself.

    Gmail      one push, one mailbox, found by the HMAC of its address; the history id says how far it is to be read
    Graph      up to 1,000 items: those whose client state is ours, one hint an account, the strongest ask of all

Everything is stored by one script a request before it is acknowledged. A hint carries no data: what it starts is
always the same sync, from the stored cursor.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from shared.core.errors import StoreDown
from shared.protocol.gmail import push
from shared.protocol.graph import notification

FOLLOWED_MAX = 3
WAITED_MAX_S = 90.0
_RANK = {"": 0, "reauthorize": 1, "recreate": 2}

Hint = tuple[str, str, str]  # account, ask, subscription


class Hints(Protocol):
    """Both return the accounts that somebody has to wake. Raise StoreDown."""

    async def gmail(self, lookups: Sequence[str], history_id: int | None) -> list[str]: ...
    async def outlook(self, hints: Sequence[Hint]) -> list[str]: ...


async def gmail(body: bytes, lookup: Callable[[str], Sequence[str]], hints: Hints) -> list[str]:
    """Stores the push's hint; returns the accounts to be woken. Raises StoreDown."""
    found = push.read(body)
    if found is None:
        return []
    return await hints.gmail(lookup(found.address.strip().casefold()), found.history_id)


async def outlook(body: bytes, keys: Sequence[bytes], hints: Hints) -> list[str]:
    """Stores the hints of the proven items; costs nothing where there are none. Raises StoreDown."""
    proven = coalesced(notification.read(body), keys)
    return await hints.outlook(proven) if proven else []


def coalesced(items: Sequence[notification.Item], keys: Sequence[bytes]) -> list[Hint]:
    """One hint an account. Items with the same client state are proven once."""
    accounts = {state: notification.account_of(state, keys) for state in {item.client_state for item in items}}
    strongest: dict[str, Hint] = {}
    for item in items:
        account_id = accounts[item.client_state]
        if account_id is None:
            continue
        before = strongest.get(account_id)
        if before is None or _RANK[item.ask] > _RANK[before[1]]:
            strongest[account_id] = (account_id, item.ask, item.subscription_id)
    return list(strongest.values())


async def follow(
    sync: Callable[[], Awaitable[dict[str, Any]]], sleep: Callable[[float], Awaitable[None]]
) -> dict[str, Any]:
    """Syncs a woken mailbox; what asks for a short wait is tried again, a few times. The rest is the next ping's."""
    wait_s = 0.0
    for _ in range(FOLLOWED_MAX):
        if wait_s:
            await sleep(wait_s)
        try:
            result = await sync()
        except StoreDown as error:
            result = {"status": error.slug, "more": True, "retry_after_s": 1.0}
        wait_s = result.get("retry_after_s") or 0.0
        if not result["more"] or wait_s > WAITED_MAX_S:
            break
    return result
