"""Puts the parts together: the process's clients once per event loop, and one sync's objects per invocation.

    functions/*.py ──> Wiring.current() ──> sync(provider, account) | sweep(provider) | accounts | log

The clients are made at the first request, never at import: gunicorn imports in the parent and forks.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from starlette.responses import Response

from shared.adapters import http_client
from shared.adapters.access import Access, Refreshed
from shared.adapters.clock import SystemClock
from shared.adapters.consents import Consents
from shared.adapters.gmail import Gmail
from shared.adapters.graph import Graph
from shared.adapters.http_client import HttpClient
from shared.adapters.provider import Provider
from shared.adapters.redis_accounts import RedisAccounts
from shared.adapters.redis_client import RedisClient
from shared.adapters.redis_store import RedisStore
from shared.adapters.rekey import rekeyed
from shared.adapters.sealing import Sealer
from shared.adapters.sessions import Sessions
from shared.bodies import Sync, parsed
from shared.config import Settings
from shared.config import settings_or_exit as settings_or_exit
from shared.connecting import Connecting
from shared.consent import Consent
from shared.core import watch
from shared.core.errors import BadRequest
from shared.delivering import Delivering
from shared.edge import json_answer
from shared.log import log
from shared.overview import Overview
from shared.reading import Reading
from shared.sync import alerts
from shared.sync.calls import Calls, Limits
from shared.sync.connect import Connected
from shared.sync.hydrate import Hydrator
from shared.sync.intake import follow
from shared.sync.looks import Looks
from shared.sync.outcome import Objectives, Outcome
from shared.sync.ports import Begun, Clock, Refused
from shared.sync.renew import renew
from shared.sync.run import Run
from shared.sync.step import Patience, Steps
from shared.sync.sweep import sweep
from shared.warming import Warming

INVOCATION_SLACK_S = 60.0  # requests that are in flight when the budget ends, and the last append
GONE = frozenset({"unknown", "deleting"})


def invocation_timeout_s(settings: Settings) -> float:
    return settings.max_sync_duration + INVOCATION_SLACK_S


class Wiring:
    _of_loop: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, Wiring]"] = WeakKeyDictionary()

    def __init__(
        self, settings: Settings, clock: Clock | None = None, on_io: Callable[[str], None] | None = None
    ) -> None:
        """`on_io` is told before and after every request to Redis or a provider (crash tests end the process there)."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self._on_io = on_io

    @classmethod
    def current(cls) -> "Wiring":
        """The running loop's: its clients keep their connections alive over requests."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls(settings_or_exit())
        return cls._of_loop[loop]

    @cached_property
    def http(self) -> HttpClient:
        return HttpClient(self._on_io)

    @cached_property
    def redis(self) -> RedisClient:
        s = self.settings
        return RedisClient(s.upstash_redis_rest_url, s.upstash_redis_rest_token, self.clock, self._on_io)

    @cached_property
    def sealer(self) -> Sealer:
        return Sealer(self.settings.token_encryption_keys)

    @cached_property
    def accounts(self) -> RedisAccounts:
        return RedisAccounts(self.redis, self.clock)

    @cached_property
    def connecting(self) -> Connecting:
        return Connecting(self.redis, self.accounts, self.sealer, self.clock)

    @cached_property
    def reading(self) -> Reading:
        return Reading(self.settings, self.redis, self.providers, self.sealer, self.clock)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.redis, self.settings.tidemark_api_key)

    @cached_property
    def delivering(self) -> Delivering:
        return Delivering(self.settings, self.redis, self.http, self.clock)

    @cached_property
    def overview(self) -> Overview:
        return Overview(self.accounts, self.providers, self.delivering, self.clock)

    @cached_property
    def warming(self) -> Warming:
        return Warming(self.settings, self.redis, self.reading, self.sealer, self.clock)

    def consent(self, public_url: str) -> Consent:
        return Consent(self.settings, self.http, Consents(self.redis, self.sealer, self.clock), public_url)

    @cached_property
    def providers(self) -> Mapping[str, Provider]:
        of = (self.settings, self.http, self.clock)
        made: tuple[Provider, ...] = (Gmail(*of), Graph(*of))
        return {provider.name: provider for provider in made}

    async def close(self) -> None:
        """Ends this loop's connections; a process that ends needs none of this."""
        await self.redis.close()
        await http_client.aclose()

    async def answer_sync(self, provider: str, path: tuple[str, ...], body: dict[str, Any]) -> Response:
        """The sync functions' answer: one account, or a ping over all of the provider's."""
        if path:
            raise BadRequest(404, "not_found", "there is nothing at this path")
        asked = parsed(Sync, body)
        deadline_s = self.clock.now_s() + self.settings.max_sync_duration
        if not asked.model_fields_set:
            ids = await self.accounts.due(provider)
            work = partial(self._swept, provider, deadline_s)
            swept = await sweep(ids, work, _tell_failed, deadline_s, self.clock)
            await self.delivering.due(deadline_s)
            return json_answer(swept)
        result = await self.sync(provider, asked.account_id, deadline_s)
        if result["status"] in GONE:
            raise _unknown()
        return json_answer(result)

    async def _swept(self, provider: str, deadline_s: float, account_id: str) -> dict[str, Any] | None:
        """One account of a ping, None for one that is gone; what a killed deletion left is cleared away."""
        result = await self.sync(provider, account_id, deadline_s, ping=True)
        if result["status"] == "deleting":
            await self._forget(account_id, await self.accounts.fields(account_id))
        return None if result["status"] in GONE else result

    async def import_account(
        self, provider: str, email: str, user_id: str, refresh_token: str, account_id: str | None
    ) -> Connected:
        """POST /accounts: the token is tried, the profile read, the cursor pinned; no sync is run."""
        return await self.connecting.by_token(self._provider(provider), email, user_id, refresh_token, account_id)

    async def connect_consented(self, provider: str, user_id: str, tokens: Refreshed) -> Connected:
        return await self.connecting.by_consent(self._provider(provider), user_id, tokens)

    def _provider(self, name: str) -> Provider:
        if name not in self.providers:
            raise BadRequest(400, "provider_off", "this provider is not served here")
        return self.providers[name]

    async def _known(self, account_id: str) -> dict[str, str]:
        """The account's fields; one that is being deleted is gone for everyone but DELETE."""
        fields = await self.accounts.fields(account_id)
        if not fields or fields["state"] == "deleting":
            raise _unknown()
        return fields

    async def show_account(self, account_id: str) -> dict[str, Any]:
        (shown,) = await self.overview.shown({account_id: await self._known(account_id)})
        return shown

    async def delete_account(self, account_id: str) -> None:
        """Marked first, so that what still runs is refused; then revoked and forgotten. A second call finds nothing."""
        fields = await self.accounts.fields(account_id)
        if not fields:
            raise _unknown()
        await self.accounts.mark_deleted(account_id, fields["provider"])
        await self._forget(account_id, await self.accounts.fields(account_id))

    async def _forget(self, account_id: str, fields: Mapping[str, str]) -> None:
        if not fields:
            return
        await self.delivering.disconnected(account_id, fields)
        await self.connecting.forget(self._provider(fields["provider"]), account_id, fields)

    async def ask_resync(self, account_id: str, *, content: bool) -> None:
        fields = await self._known(account_id)
        if not await self.accounts.ask_resync(account_id, fields["provider"], content=content):
            raise _unknown()

    async def redeliver(self, account_id: str, after: str | None) -> None:
        await self._known(account_id)
        await self.delivering.redeliver(account_id, after)

    async def sync(
        self, provider: str, account_id: str, deadline_s: float, *, ping: bool = False, woken: bool = False
    ) -> dict[str, Any]:
        """One sync, as CONTRACT §3 answers it; a ping's also renews the watch. Raises StoreDown.

        What it has appended is delivered to the webhook then: by a ping when it has swept, after a push in a task.
        """
        started_s = self.clock.now_s()
        redis = self.redis.counted()
        store = RedisStore(redis, self.clock, self.settings, provider)
        begun = await store.begin(account_id, owner=self.clock.token(), as_hint=False)
        if isinstance(begun, Refused):
            outcome = Outcome(begun.status, retry_after_s=begun.retry_after_s, reason=begun.reason)
            outcome.more = begun.status in ("lease_held", "cooling_down", "breaker_open")
            return self._answer(account_id, outcome, started_s, redis, None)
        of = self.providers[provider]
        begun.fields = fields = await rekeyed(account_id, provider, begun.fields, self.sealer, redis)
        refresh = partial(of.refresh, deadline_s=deadline_s)
        access = Access(account_id, provider, redis, self.sealer, self.clock, refresh)
        access.remember(fields.get("access"), fields.get("access_until_s"))
        stream, transport = of.stream(fields), of.transport(access)
        s = self.settings
        limits = Limits(deadline_s, s.max_retries, s.rate_limit_backoff_factor, s.lease_ttl)
        calls = Calls(begun, store, transport, stream, self.clock, limits, of.governor)
        if (ping or fields.get("watch_ask")) and watch.due(fields, started_s):
            await self._renew_watch(of, begun, calls)
        hydrator = Hydrator(calls, stream, self.clock, of.window(fields))
        patience = Patience(s.max_retries, s.quarantine_after)
        steps = Steps(fields, store, stream, hydrator, self.clock, patience, of.cache_tag)
        cursor = of.cursor(begun, stream)
        objectives = Objectives(s.slow_sync_threshold, s.freshness_objective)
        looks = Looks.of(begun, store, calls, self.clock)
        of_run = (begun, cursor, store, stream, calls, hydrator, steps, self.clock, started_s)
        run = Run(*of_run, objectives, looks, alerts.load(fields.get("alerts")), s.log_retention_bytes // 2)
        run.take_up(fields)
        outcome = await run.to_the_end()
        answer = self._answer(account_id, outcome, started_s, redis, calls)
        if store.undelivered and woken:
            self.delivering.start(account_id)
        elif store.undelivered and not ping:
            await self.delivering.account(account_id, deadline_s)
        await self.warming.after(of, begun, outcome, deadline_s)
        return answer

    async def _renew_watch(self, of: Provider, begun: Begun, calls: Calls) -> None:
        plan = of.watch(begun.account_id, begun.fields)
        if plan is not None:
            await renew(begun.account_id, begun.fields, plan, calls.plainly, self.accounts, self.clock, of.lapsing_s)

    async def woken(self, provider: str, account_id: str) -> None:
        """What a push has called for."""

        async def sync() -> dict[str, Any]:
            deadline_s = self.clock.now_s() + self.settings.max_sync_duration
            return await self.sync(provider, account_id, deadline_s, woken=True)

        await follow(sync, self.clock.sleep)

    def _answer(
        self, account_id: str, outcome: Outcome, started_s: float, redis: RedisClient, calls: Calls | None
    ) -> dict[str, Any]:
        spent = {"api_calls": calls.api_calls, "quota_units": calls.units} if calls else {}
        answer = outcome.answer(account_id, self.clock.now_s() - started_s, redis_requests=redis.requests, **spent)
        log(
            "sync_finished",
            level="warning" if outcome.reason else "info",
            **{k: v for k, v in answer.items() if k != "changes"},
            **answer["changes"],
        )
        return answer


def _tell_failed(account_id: str, error: Exception) -> None:
    log("sync_failed", level="error", error=error, account_id=account_id)


def _unknown() -> BadRequest:
    return BadRequest(404, "unknown_account", "there is no such account")
