"""One stored account, over the real bridge or in memory: what the store's contract is tried on."""

from typing import Any

import orjson

from shared.adapters.redis_accounts import RedisAccounts
from shared.adapters.redis_client import RedisClient
from shared.adapters.redis_standing import standings
from shared.adapters.redis_store import RedisStore
from shared.core.change import entry
from shared.sync.ports import Append, Appended, Begun, Refused
from tests.conftest import RedisRest
from tests.simulation.memory import MemoryClient
from tests.simulation.rest import MemoryRest
from tests.sync.desk import START_S, SleepingClock
from tests.world import settings

ACCOUNT = "a1"
PROVIDER = "gmail"
EVENT = entry("message.deleted", {"message_id": "m"})
ENTRY_BYTES = len(EVENT) + 32
NEW = {
    "provider": PROVIDER,
    "user_id": "u1",
    "state": "active",
    "reason": "",
    "created_s": f"{START_S:.3f}",
    "epoch": "e1",
    "cursor": "c0",
    **dict.fromkeys(("fence", "version", "hints", "served", "index_n", "step_released"), "0"),
    "grant": "1",
    "step": "",
    "refresh": "sealed-refresh",
    "access": "sealed-access",
    "access_until_s": f"{START_S + 3600:.0f}",
}
KNOWN = {"refresh": "sealed-refresh-2", "access": "sealed-access-2", "access_until_s": "0"}


class Stored:
    """Instances share the clock and Redis; each `store()` is one invocation's."""

    def __init__(self, redis: RedisRest | MemoryRest, **environment: str) -> None:
        self.redis = redis
        self.clock = SleepingClock()
        self.settings = settings(**environment)
        self.client = (
            MemoryClient(redis.wire, self.clock)
            if isinstance(redis, MemoryRest)
            else RedisClient(redis.url, redis.token, self.clock)
        )
        self.accounts = RedisAccounts(self.client, self.clock)
        self.store = self.another()

    def another(self) -> RedisStore:
        return RedisStore(self.client, self.clock, self.settings, PROVIDER)

    async def connect(
        self, account_id: str = ACCOUNT, address: str = "gmail|h1", expected: str = "", **new: str
    ) -> str:
        return await self.accounts.connect(account_id, PROVIDER, address, expected, NEW | new, KNOWN)

    async def begin(self, store: RedisStore | None = None, owner: str = "o1", **given: Any) -> Begun:
        begun = await (store or self.store).begin(ACCOUNT, owner=owner, **given)
        assert isinstance(begun, Begun)
        return begun

    async def refused(self, store: RedisStore | None = None, owner: str = "o2", **given: Any) -> Refused:
        refused = await (store or self.another()).begin(ACCOUNT, owner=owner, **given)
        assert isinstance(refused, Refused)
        return refused

    async def append(self, begun: Begun, step_id: str, **step: Any) -> Appended:
        return await self.store.append(begun, Append(step_id, **step))

    async def breaker(self) -> str:
        return (await standings(self.client, [PROVIDER]))[PROVIDER].breaker

    def of(self, name: str, account_id: str = ACCOUNT) -> str:
        return f"td:{account_id}:{name}"

    def call(self, *command: str | int) -> Any:
        return self.redis.valkey.call(*command)

    def field(self, name: str) -> str | None:
        found = self.call("HGET", self.of("account"), name)
        return None if found is None else found.decode()

    def hash(self, name: str) -> dict[str, str]:
        flat = [part.decode() for part in self.call("HGETALL", self.of(name))]
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def log(self) -> list[tuple[int, str]]:
        """(seq, kind) of every entry."""
        rows = self.call("XRANGE", self.of("log"), "-", "+")
        return [(int(row[0].split(b"-")[0]), orjson.loads(row[1][1])[0]) for row in rows]
