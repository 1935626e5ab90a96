"""Warming put together: after a sync that has read everything, what its user is likely to read next.

    wiring.sync ──> Warming.after ──> sync/warm.py over adapters/redis_shelf.py, and Reading for what is to be read

Its requests are its own: they are in no sync's count, and there are none for a mailbox that nobody reads from. Nothing
that goes wrong here makes a sync look failed that is done.
"""

from collections.abc import Mapping
from functools import partial

from shared.adapters.preferences import Preferences, UserPreferences
from shared.adapters.provider import Provider
from shared.adapters.redis_client import RedisClient
from shared.adapters.redis_shelf import RedisShelf
from shared.adapters.sealing import Sealer
from shared.config import Settings
from shared.core.errors import TidemarkError
from shared.core.quota import Governor
from shared.log import log
from shared.reading import AHEAD_BUDGET_S, Reading
from shared.sync.outcome import Outcome
from shared.sync.ports import Begun, Clock
from shared.sync.sweep import FINE
from shared.sync.warm import Price, Warmer, Wish, due, price

SENDER = "sender"
NAME_DIGITS = 12  # 48 bits: of some hundred senders no two are alike
# https://learn.microsoft.com/en-us/graph/throttling-limits: 10,000 requests in 10 minutes, of an app and mailbox
GRAPH = Governor.per_minute(1000)


class Warming:
    def __init__(
        self,
        settings: Settings,
        redis: RedisClient,
        reading: Reading,
        sealer: Sealer,
        clock: Clock,
    ) -> None:
        self._settings, self._redis, self._reading, self._sealer, self._clock = settings, redis, reading, sealer, clock
        self.preferences = UserPreferences(redis, sealer, clock, settings.cache_user_preferences_ttl)

    async def after(self, of: Provider, begun: Begun, outcome: Outcome, deadline_s: float) -> None:
        """Nothing where the sync has more to do, or could do nothing; and where its time is over."""
        account_id, fields = begun.account_id, begun.fields
        now_s, ttl_s = self._clock.now_s(), float(self._settings.cache_message_ttl)
        if outcome.status not in FINE or outcome.more or now_s + AHEAD_BUDGET_S > deadline_s:
            return
        if not due(fields, now_s, ttl_s, news=outcome.count > 0):
            return
        redis = self._redis.counted()
        try:
            wanted = await self.preferences.cached(fields["user_id"])
            share = self._share(wanted)
            if wanted.warm == "off" or not share:
                return
            shelf = RedisShelf(redis, self._clock, of.name, of.reading_tag, ttl_s)
            read = partial(self._reading.ahead, account_id, fields, redis)
            warmer = Warmer(shelf, read, partial(self._named, account_id), ttl_s, _price(of, fields, share))
            count = await warmer.warm(account_id, _wish(wanted), now_s)
            log("warmed", account_id=account_id, count=count, redis_requests=redis.requests)
        except TidemarkError as error:
            log("warming_failed", level="warning", error=error, account_id=account_id)
        except Exception as error:  # whatever it is: the sync is done, and must not look failed
            log("warming_failed", level="error", error=error, account_id=account_id)

    def _share(self, wanted: Preferences) -> float:
        most = self._settings.warm_quota_share
        return most if wanted.quota_share is None else min(most, wanted.quota_share)

    def _named(self, account_id: str, address: str) -> str:
        """Of the same sender in another mailbox it is another name."""
        return self._sealer.names(SENDER, f"{account_id}|{address}")[0][:NAME_DIGITS]


def _wish(wanted: Preferences) -> Wish:
    return Wish(wanted.messages_max, wanted.warm == "all_recent", frozenset(wanted.followed_threads))


def _price(of: Provider, fields: Mapping[str, str], share: float) -> Price:
    if of.governor is None:
        return price(GRAPH, 1, share, metered=False)
    return price(of.governor, of.reading(fields).read_units, share, metered=True)
