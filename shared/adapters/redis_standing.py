"""How each provider stands: its breaker, and the figures of its last syncs; all of them in one request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.adapters import redis_account_scripts as scripts
from shared.adapters import redis_keys as keys
from shared.adapters.redis_client import RedisClient
from shared.core.errors import StoreDown

SYNCS_MAX = 100  # the last ones of each provider


@dataclass(frozen=True, slots=True)
class Standing:
    """`breaker`: "closed", "open" or "half_open"; `syncs`: entries of `sync_perf`, the newest first."""

    breaker: str
    syncs: Sequence[Mapping[str, str]]


async def standings(redis: RedisClient, providers: Sequence[str]) -> dict[str, Standing]:
    asked = [key for name in providers for key in (*keys.breaker(name)[:2], keys.perf(name))]
    answer = await redis.run(scripts.STANDINGS, asked, [SYNCS_MAX])
    match answer:
        case list() if len(answer) == len(providers):
            return {name: _standing(found) for name, found in zip(providers, answer, strict=True)}
    raise StoreDown("Redis answered something that the script does not return")


def _standing(found: object) -> Standing:
    match found:
        case [str(breaker), list(rows)]:
            return Standing(breaker, [dict(zip(row[::2], row[1::2], strict=True)) for row in rows])
    raise StoreDown("Redis answered something that the script does not return")
