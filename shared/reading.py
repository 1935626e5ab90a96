"""The read side put together: one mailbox's protocol, calls and cache for one request of an app.

    functions/mailbox.py ──> Reading ──> sync/reading.py over adapters/redis_reads.py and the provider's adapter

What a read may wait for (quota, other readers, a second attempt) ends READ_BUDGET_S after it began: somebody is looking
at a screen. Its requests have no lease to end before; they end with the request that wants them.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from shared.adapters.access import Access
from shared.adapters.provider import Provider
from shared.adapters.redis_client import RedisClient
from shared.adapters.redis_reads import RedisReads
from shared.adapters.redis_store import RedisStore
from shared.adapters.sealing import Sealer
from shared.config import Settings
from shared.core.errors import BadRequest
from shared.core.message import Folder
from shared.log import log
from shared.protocol.step import Want
from shared.sync.asking import Asking
from shared.sync.calls import Calls, Limits
from shared.sync.hydrate import Hydrator
from shared.sync.ports import Admitted, Begun, Clock
from shared.sync.reading import Answer, Mailbox, Reader

READ_BUDGET_S = 12.0
AHEAD_BUDGET_S = 4.0  # of what nobody waits for
NO_LEASE_S = 3600.0  # longer than any request lives, so that nothing is ever renewed


class Reading:
    def __init__(
        self,
        settings: Settings,
        redis: RedisClient,
        providers: Mapping[str, Provider],
        sealer: Sealer,
        clock: Clock,
    ) -> None:
        self._settings, self._redis, self._providers = settings, redis, providers
        self._sealer, self._clock = sealer, clock

    async def messages(self, account_id: str, message_ids: Sequence[str]) -> Answer:
        """Raises BadRequest, AuthorizationLost, StoreDown; all else is in the answer."""
        redis = self._redis.counted()
        answer = await self._reader(account_id, redis).messages(message_ids)
        _tell("messages_read", account_id, answer, redis)
        return answer

    async def thread(self, account_id: str, thread_id: str) -> Answer:
        """Raises TidemarkError; BadRequest 404 where there is no such thread."""
        redis = self._redis.counted()
        answer = await self._reader(account_id, redis).thread(thread_id)
        if answer is None:
            raise BadRequest(404, "unknown_thread", "There is no such thread.")
        _tell("thread_read", account_id, answer, redis)
        return answer

    async def ahead(self, account_id: str, fields: Mapping[str, str], redis: RedisClient, wants: Sequence[Want]) -> int:
        """For the warmer: how many messages were read into the cache, by one attempt each."""
        return await self._reader(account_id, redis, AHEAD_BUDGET_S, attempts=1).ahead(fields, wants)

    async def folders(self, account_id: str) -> list[Folder]:
        return await self._reader(account_id, self._redis).folders()

    def _reader(
        self, account_id: str, redis: RedisClient, budget_s: float = READ_BUDGET_S, attempts: int = 0
    ) -> Reader:
        """`attempts`: 0 for MAX_RETRIES."""
        settings = self._settings
        deadline_s, tries = self._clock.now_s() + budget_s, attempts or settings.max_retries
        limits = Limits(deadline_s, tries, settings.rate_limit_backoff_factor, NO_LEASE_S)

        def opened(fields: Mapping[str, str]) -> Mailbox:
            return self._mailbox(account_id, fields, redis, limits)

        store = RedisReads(redis, self._clock, self._settings.cache_message_ttl)
        return Reader(store, self._clock, opened, account_id)

    def _mailbox(self, account_id: str, fields: Mapping[str, str], redis: RedisClient, limits: Limits) -> Mailbox:
        of = self._providers.get(fields["provider"])
        if of is None:
            raise BadRequest(400, "provider_off", "this provider is not served here")

        def ask(admitted: Admitted) -> Asking:
            return self._asking(of, account_id, fields, admitted, redis, limits)

        return Mailbox(of.name, of.reading(fields), of.reading_tag, of.readers_alone, ask, lambda: of.folders(fields))

    def _asking(
        self,
        of: Provider,
        account_id: str,
        fields: Mapping[str, str],
        admitted: Admitted,
        redis: RedisClient,
        limits: Limits,
    ) -> Asking:
        settings, clock = self._settings, self._clock
        refresh = partial(of.refresh, deadline_s=limits.deadline_s)
        access = Access(account_id, of.name, redis, self._sealer, clock, refresh)
        access.remember(admitted.fields.get("access"), admitted.fields.get("access_until_s"))
        stream = of.reading(fields, in_turn=admitted.held)
        now_s = clock.now_s()
        unled = Begun(account_id, "", admitted.fields, admitted.version, 0, renewed_at_s=now_s)
        store = RedisStore(redis, clock, settings, of.name)
        transport = of.transport(access, for_readers=True)
        calls = Calls(unled, store, transport, stream, clock, limits, of.governor)
        return Asking(stream, calls, Hydrator(calls, stream, clock, of.window(fields)))


def _tell(event: str, account_id: str, answer: Answer, redis: RedisClient) -> None:
    log(
        event,
        level="warning" if answer.error else "info",
        account_id=account_id,
        count=len(answer.found),
        pending=len(answer.unavailable),
        reason=answer.error.slug if answer.error else None,
        api_calls=answer.provider_calls,
        redis_requests=redis.requests,
    )
