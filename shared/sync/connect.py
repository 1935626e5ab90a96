"""Connecting a mailbox with a refresh token: the provider's profile is the truth, and the cursor is pinned by it.

refresh the token ──> profile: address, history id ──> find the address ──> one script: new, or known again

address given, another one read   409 `address_mismatch`
known address                     its token is replaced, it goes on from its cursor under its old id
new address, `account_id` given   a lost Redis is rebuilt: the old name, a new epoch, the first sync as a snapshot
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.core.errors import BadRequest, RetryLater
from shared.sync.ports import Clock

ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
TRIES = 3


class Sealing(Protocol):
    def seal(self, plaintext: str, *, account_id: str, provider: str, purpose: str) -> str: ...
    def lookup(self, address: str) -> Sequence[str]: ...


class Accounts(Protocol):
    async def find(self, provider: str, lookups: Sequence[str]) -> tuple[str, str]: ...
    async def connect(
        self,
        account_id: str,
        provider: str,
        address: str,
        expected: str,
        new: dict[str, str],
        known: dict[str, str],
    ) -> str: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What the provider said: tokens, the address, where its change stream stands (`reached`: as pushes name it)."""

    refresh_token: str
    access_token: str
    access_until_s: float
    address: str
    cursor: Callable[[str], str]
    reached: str = ""


@dataclass(frozen=True, slots=True)
class Connected:
    account_id: str
    created: bool


def same_address(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


async def connect(
    provider: str,
    user_id: str,
    account_id: str | None,
    grant: Grant,
    accounts: Accounts,
    sealing: Sealing,
    clock: Clock,
    epoch: Callable[[float], str],
) -> Connected:
    """Raises BadRequest (409) for an id that another mailbox has, and while the mailbox is being deleted."""
    lookups = sealing.lookup(grant.address.strip().casefold())
    for _ in range(TRIES):
        found, address = await accounts.find(provider, lookups)
        chosen = found or account_id or f"acct_{clock.token()[:20]}"

        def sealed(purpose: str, text: str, of: str = chosen) -> str:
            return sealing.seal(text, account_id=of, provider=provider, purpose=purpose)

        now_s = clock.now_s()
        known = {
            "refresh": sealed("refresh", grant.refresh_token),
            "access": sealed("access", grant.access_token),
            "access_until_s": f"{grant.access_until_s:.0f}",
            "email": sealed("email", grant.address),
            "granted_s": f"{now_s:.3f}",
        }
        new = known | {
            "provider": provider,
            "user_id": user_id,
            "state": "active",
            "reason": "",
            "created_s": f"{now_s:.3f}",
            "epoch": epoch(now_s),
            "cursor": grant.cursor(f"s{clock.token()[:12]}" if account_id and not found else ""),
            **dict.fromkeys(("fence", "version", "hints", "served", "index_n", "step_released"), "0"),
            "grant": "1",
            "step": "",
            **({"reached": grant.reached} if grant.reached else {}),
        }
        match await accounts.connect(chosen, provider, address, found, new, known):
            case "new":
                return Connected(chosen, created=True)
            case "known":
                return Connected(chosen, created=False)
            case "taken":
                raise BadRequest(409, "account_id_taken", "this account_id belongs to another mailbox")
            case "deleting":
                raise BadRequest(409, "deleting", "this account is being deleted; connect it again when it is gone")
    raise RetryLater("the mailbox is being connected elsewhere", 1.0)
