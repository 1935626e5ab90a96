"""What a user wants to be warmed, and how much: stored for good, cached for CACHE_USER_PREFERENCES_TTL.

    field               default   meaning
    warm                auto      `auto`: what the user is likely to read; `all_recent`: the newest; `off`: nothing
    messages_max        100       most messages of a mailbox that are kept warm
    quota_share         null      most of a mailbox's quota that warming may use; never more than WARM_QUOTA_SHARE
    followed_threads    []        threads that are warm whether the user has read them or not

Who says nothing has the defaults, for which nothing is stored. The rest is under the HMAC of the user id, which is the
app's and may be an address. A process caches what its warmer asks for: a PUT is seen at once by the process that took
it, by others when their copy ends. GET asks Redis, so that a person sees what they have just set.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.adapters import redis_keys as keys
from shared.adapters import redis_warm_scripts as scripts
from shared.adapters.redis_client import RedisClient
from shared.adapters.sealing import Sealer
from shared.core.errors import StoreDown
from shared.core.interest import CANDIDATES_MAX
from shared.sync.ports import Clock

USER = "user"
CACHED_MAX = 1000


class Preferences(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    warm: Literal["auto", "all_recent", "off"] = "auto"
    messages_max: Annotated[int, Field(ge=0, le=CANDIDATES_MAX)] = 100
    quota_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    followed_threads: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(max_length=50, strict=False)
    ] = ()


class UserPreferences:
    """One per event loop."""

    def __init__(self, redis: RedisClient, sealer: Sealer, clock: Clock, ttl_s: float) -> None:
        self._redis, self._sealer, self._clock, self._ttl_s = redis, sealer, clock, ttl_s
        self._cached: dict[str, tuple[Preferences, float]] = {}

    async def cached(self, user_id: str) -> Preferences:
        found = self._cached.get(self._names(user_id)[0])
        if found and self._clock.now_s() < found[1]:
            return found[0]
        return await self.read(user_id)

    async def read(self, user_id: str) -> Preferences:
        names = self._names(user_id)
        answer = await self._redis.once(["HMGET", keys.PREFERENCES, *names])
        if not isinstance(answer, list):
            raise StoreDown("Redis answered something else than a list")
        stored = next((text for text in answer if text), "{}")
        try:
            found = Preferences.model_validate_json(stored)
        except ValidationError:  # of another version
            found = Preferences()
        return self._remember(names[0], found)

    async def write(self, user_id: str, wanted: Preferences) -> None:
        names = self._names(user_id)
        text = "" if wanted == Preferences() else wanted.model_dump_json(exclude_defaults=True)
        await self._redis.run(scripts.PREFER, [keys.PREFERENCES], [text, *names])
        self._remember(names[0], wanted)

    def _names(self, user_id: str) -> Sequence[str]:
        """Under every key, as for addresses: written under the first, found under any."""
        return self._sealer.names(USER, user_id)

    def _remember(self, name: str, found: Preferences) -> Preferences:
        self._cached.pop(name, None)
        self._cached[name] = (found, self._clock.now_s() + self._ttl_s)
        if len(self._cached) > CACHED_MAX:
            del self._cached[next(iter(self._cached))]
        return found
