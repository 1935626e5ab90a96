"""How things stand, as /accounts and /status show it: never a token, never an address.

a mailbox    its account's hash, and how far the webhook is in its log (None where there is no webhook)
status       all of them, the breakers of the providers and, as `webhook`, that of the webhook's target
"""

from collections.abc import Mapping
from typing import Any

from shared.adapters.provider import Provider
from shared.adapters.redis_accounts import RedisAccounts
from shared.core.message import instant
from shared.delivering import Delivering
from shared.sync import alerts, parked
from shared.sync.outcome import totals
from shared.sync.ports import Clock


class Overview:
    def __init__(
        self, accounts: RedisAccounts, providers: Mapping[str, Provider], delivering: Delivering, clock: Clock
    ) -> None:
        self._accounts, self._providers, self._delivering, self._clock = accounts, providers, delivering, clock

    async def accounts(self) -> list[dict[str, Any]]:
        ids = await self._accounts.all_ids()
        found = zip(ids, await self._accounts.fields_of(ids), strict=True)
        return await self.shown({each: fields for each, fields in found if fields and fields["state"] != "deleting"})

    async def shown(self, accounts: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
        """Of accounts by id, with their fields."""
        webhooks = await self._delivering.shown(accounts)
        return [
            self._mailbox(account_id, fields) | {"webhook": webhook}
            for (account_id, fields), webhook in zip(accounts.items(), webhooks, strict=True)
        ]

    def _mailbox(self, account_id: str, fields: Mapping[str, str]) -> dict[str, Any]:
        confirmed_s = float(fields.get("confirmed_s", fields["created_s"]))
        return {
            "account_id": account_id,
            "provider": fields["provider"],
            "user_id": fields["user_id"],
            "state": fields["state"],
            "reason": fields.get("reason") or None,
            "connected_at": instant(float(fields["created_s"])),
            "last_sync_at": instant(float(fields["last_sync_s"])) if "last_sync_s" in fields else None,
            "cursor_age_s": round(max(0.0, self._clock.now_s() - confirmed_s), 3),
            "watch_expires_at": instant(float(fields["watch_until_s"])) if "watch_until_s" in fields else None,
            "backfill": self._providers[fields["provider"]].progress(fields),
            "messages": int(fields["index_n"]),
            "parked": len(parked.load(fields.get("parked"))),
            "alerts": sorted(alerts.load(fields.get("alerts"))),
            "totals": totals(fields),
        }
