"""The warmer's side of Redis: scripts called with the right keys, and their answers read.

The model lies in td:<id>:interest, deflated, with its number and its position in the log, and is forgotten when nothing
was read for as long as makes no reader any more.
"""

from collections.abc import Sequence

from shared.adapters import redis_keys as keys
from shared.adapters import redis_warm_scripts as scripts
from shared.adapters.redis_client import RedisClient
from shared.core.errors import StoreDown
from shared.core.interest import Candidate, Likely
from shared.protocol import cached
from shared.protocol.step import Fetched, Want
from shared.sync.ports import Clock
from shared.sync.warm import READER_S, Looked, Price

ENTRIES_MAX = 128
BYTES_MAX = 512 * 1024


class RedisShelf:
    """Of one provider; `tag` is how messages are read for readers."""

    def __init__(self, redis: RedisClient, clock: Clock, provider: str, tag: str, ttl_s: float) -> None:
        self._redis, self._clock, self._provider = redis, clock, provider
        self._tag, self._ttl_ms = tag, int(ttl_s * 1000)

    async def look(self, account_id: str) -> Looked | None:
        of = [keys.of(account_id, name) for name in ("account", "interest", "reads", "log")]
        match await self._redis.run(scripts.LOOK, of, [self._now_ms(), ENTRIES_MAX, BYTES_MAX]):
            case ["gone"]:
                return None
            case ["ok", str(number), str(model), list(reads), list(entries), str(epoch), str(seq)]:
                views = [(float(str(at).partition("-")[0]) / 1000, row[1].split(",")) for at, row in reads]
                reads_end = str(reads[-1][0]) if reads else ""
                return Looked(int(number), model, views, entries, reads_end, f"{epoch}.{seq}")
        raise _unlike_a_script()

    async def cached(self, account_id: str, message_ids: Sequence[str]) -> Sequence[Fetched | None]:
        found = await self._redis.once(["MGET", *(keys.message(account_id, each) for each in message_ids)])
        if not isinstance(found, list):
            raise _unlike_a_script()
        return [cached.unpack(text, self._tag) for text in found]

    async def take(
        self, account_id: str, looked: Looked, model: str, likely: Sequence[Likely], price: Price
    ) -> Sequence[Want]:
        """Of the likely messages those to be read now: worth it, not cached, and paid for."""
        names = ("account", "interest", "reads", "lease", "hold")
        _, opened, _ = keys.breaker(self._provider)
        epoch, _, seq = looked.position.partition(".")
        answer = await self._redis.run(
            scripts.TAKE,
            [
                *(keys.of(account_id, name) for name in names),
                opened,
                *(key for each in likely for key in _keys(account_id, each.of)),
            ],
            [
                *(self._clock.token(), looked.number, model, int(READER_S * 1000), epoch, seq, looked.reads_end),
                *(self._now_ms(), f"{self._tag}:", self._ttl_ms, "".join(str(int(each.worth)) for each in likely)),
                *(int(each * 1000) for each in (price.warm_s, price.warm_most_s, price.live_s, price.live_most_s)),
            ],
        )
        match answer:
            case ["gone" | "late"]:
                return ()
            case ["ok", list(wanted)]:
                found = [likely[int(n) - 1].of for n in wanted]
                return [Want(each.message_id, each.thread_id) for each in found]
        raise _unlike_a_script()

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * 1000)


def _keys(account_id: str, of: Candidate) -> tuple[str, str]:
    return keys.message(account_id, of.message_id), keys.thread(account_id, of.thread_id)


def _unlike_a_script() -> StoreDown:
    return StoreDown("Redis answered something that the script does not return")
