"""How a mailbox comes and goes: by a refresh token or a consent, with its watch; and by DELETE.

    comes    tokens ──> profile: address, pin ──> one script (sync/connect.py) ──> watch or subscription
    goes     marked ──> watch stopped ──> grant revoked ──> every key deleted; what fails on the way is logged, and the
             deletion goes on

The cursor is pinned before the watch begins, so what its first notification is about is never older than the cursor.
A watch that can't be begun fails no connection: the next ping tries again.
"""

from collections.abc import Mapping
from functools import partial

from shared.adapters import redis_store
from shared.adapters.access import Access, Refreshed
from shared.adapters.oauth import AppMisconfigured
from shared.adapters.provider import Provider
from shared.adapters.redis_accounts import RedisAccounts
from shared.adapters.redis_client import RedisClient
from shared.adapters.sealing import Sealer
from shared.core.errors import AuthorizationLost, BadRequest, StoreDown, TidemarkError
from shared.log import log
from shared.protocol.wire import Request, Response
from shared.sync.connect import Connected, Grant, connect, same_address
from shared.sync.ports import Clock
from shared.sync.renew import Send, carry_out, renew

WATCH_TIMEOUT_S = 15.0  # Graph calls back for up to 10 s before it answers


class Connecting:
    def __init__(self, redis: RedisClient, accounts: RedisAccounts, sealer: Sealer, clock: Clock) -> None:
        self._redis, self._accounts, self._sealer, self._clock = redis, accounts, sealer, clock

    async def by_token(
        self, of: Provider, email: str, user_id: str, refresh_token: str, account_id: str | None
    ) -> Connected:
        """POST /accounts: the token is tried, the profile read, the cursor pinned; no sync is run."""
        try:
            tokens = await of.refresh(refresh_token)
            address, pin = await of.profile(tokens.access_token)
        except AppMisconfigured as error:
            raise BadRequest(422, "app_misconfigured", "the token is not one of this application's client") from error
        except AuthorizationLost as error:
            raise BadRequest(422, "grant_refused", f"the provider does not accept the token: {error.reason}") from error
        if not same_address(address, email):
            raise BadRequest(409, "address_mismatch", "the token belongs to another mailbox than the e-mail says")
        grant = self._grant(of, tokens, refresh_token, address, pin)
        return await self._connected(of, user_id, account_id, grant)

    async def by_consent(self, of: Provider, user_id: str, tokens: Refreshed) -> Connected:
        """After a consent, whose tokens are known to work for this application."""
        try:
            address, pin = await of.profile(tokens.access_token)
        except AuthorizationLost as error:
            raise BadRequest(400, "grant_refused", f"the mailbox can't be read: {error.reason}") from error
        return await self._connected(of, user_id, None, self._grant(of, tokens, "", address, pin))

    def _grant(self, of: Provider, tokens: Refreshed, refresh_token: str, address: str, pin: object) -> Grant:
        return Grant(
            tokens.refresh_token or refresh_token,
            tokens.access_token,
            tokens.expires_at_s,
            address,
            partial(of.first_cursor, pin),
            reached=str(pin) if isinstance(pin, int) else "",
        )

    async def _connected(self, of: Provider, user_id: str, account_id: str | None, grant: Grant) -> Connected:
        accounts, sealer, clock = self._accounts, self._sealer, self._clock
        found = await connect(of.name, user_id, account_id, grant, accounts, sealer, clock, redis_store.new_epoch)
        try:
            await self._begin_watch(of, found.account_id)
        except StoreDown as error:  # the mailbox is connected: what is missing is the next ping's
            log("watch_failed", level="warning", error=error, account_id=found.account_id)
        return found

    async def _begin_watch(self, of: Provider, account_id: str) -> None:
        fields = await self._accounts.fields(account_id)
        plan = of.watch(account_id, fields) if fields else None
        if plan is None:
            return
        send = self._send(of, account_id, fields)
        reason = await renew(account_id, fields, plan, send, self._accounts, self._clock, 0.0)
        if reason:
            log("watch_failed", level="warning", account_id=account_id, reason=reason)

    def _send(self, of: Provider, account_id: str, fields: Mapping[str, str]) -> Send:
        """Requests outside a sync, with the mailbox's token."""
        access = Access(account_id, of.name, self._redis, self._sealer, self._clock, of.refresh)
        access.remember(fields.get("access"), fields.get("access_until_s"))
        transport = of.transport(access)

        async def send(request: Request) -> Response:
            response = await transport.send(request, timeout_s=WATCH_TIMEOUT_S)
            if response.status == 401:
                await transport.refresh()
                response = await transport.send(request, timeout_s=WATCH_TIMEOUT_S)
            return response

        return send

    async def forget(self, of: Provider, account_id: str, fields: Mapping[str, str]) -> None:
        """Of a marked account: stops its watch while the grant lives, revokes it, deletes every key."""
        try:
            plan = of.unwatch(fields)
            if plan is not None:
                await carry_out(plan, self._send(of, account_id, fields))
        except TidemarkError as error:
            log("watch_not_stopped", level="warning", error=error, account_id=account_id)
        try:
            sealed = fields["refresh"]
            await of.revoke(self._sealer.open(sealed, account_id=account_id, provider=of.name, purpose="refresh"))
        except TidemarkError as error:
            log("revocation_failed", level="warning", error=error, account_id=account_id)
        await self._accounts.forget(account_id, of.name, fields["address"])
