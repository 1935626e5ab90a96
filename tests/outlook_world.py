"""A world to sync Outlook in: the Graph stand-in and the REST bridge over HTTP, the real wiring, a clock that skips.

async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
    account_id = await world.connect()
    result = await world.sync(account_id)
    await world.assert_log_equals_mailbox(account_id)
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from infra.emulators.clock import Clock as EmulatorClock
from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET
from infra.emulators.server import Server
from infra.local.fold import apply
from shared.adapters.redis_accounts import RedisAccounts
from shared.core import change
from shared.core.message import instant
from shared.protocol.graph.document import whole_text
from shared.wiring import Wiring
from tests.conftest import RedisRest
from tests.world import ADDRESS, Killed, SkippingClock, raw, settings

DRY_MAX = 200


class OutlookWorld:
    """`wiring` is one instance of the functions; `instance()` makes more of them over the same Redis and mailbox."""

    def __init__(self, redis: RedisRest, *, seed: int = 0, **environment: str) -> None:
        self.redis = redis
        self.graph = GraphEmulator(EmulatorClock(), seed)
        self.graph.add_mailbox(ADDRESS)
        self._server = Server(self.app())
        self._environment = environment
        self.clock = SkippingClock(self.graph.clock)
        self.steps: list[str] = []
        self.kill_at: int | None = None
        self.on_step: Callable[[int], None] = lambda number: None
        self._instances: list[Wiring] = []
        self.tracked: set[str] | None = None

    def app(self) -> Any:
        return self.graph.app

    async def __aenter__(self) -> Self:
        self._server.start()
        self.wiring = self.instance()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for wiring in self._instances:
            await wiring.close()
        self._server.stop()
        self.graph.close()

    def instance(self, **environment: str) -> Wiring:
        url = self._server.url
        given = {
            "UPSTASH_REDIS_REST_URL": self.redis.url,
            "UPSTASH_REDIS_REST_TOKEN": self.redis.token,
            "MICROSOFT_CLIENT_ID": CLIENT_ID,
            "MICROSOFT_CLIENT_SECRET": CLIENT_SECRET,
            "GRAPH_API_URL": url,
            "MICROSOFT_AUTHORITY_URL": url,
            "LOG_RETENTION_BYTES": "1000000000",
        }
        made = Wiring(settings(**(given | self._environment | environment)), self.clock, self._step)
        self._instances.append(made)
        return made

    def _step(self, name: str) -> None:
        self.steps.append(name)
        self.on_step(len(self.steps))
        if self.kill_at is not None and len(self.steps) == self.kill_at:
            self.kill_at = None
            raise Killed

    def fill(self, count: int, folder: str = "inbox", first: int = 0) -> list[str]:
        """Old mail, the later the newer."""
        now_s = self.graph.clock.now_s()
        return [
            self.graph.deliver(ADDRESS, raw(first + n), folder, received_at_s=now_s - 1000 - 60 * (count - n))
            for n in range(count)
        ]

    async def connect(self, account_id: str | None = None) -> str:
        token = self.graph.mint_refresh_token(ADDRESS)
        connected = await self.wiring.import_account("outlook", ADDRESS, "user-1", token, account_id)
        return connected.account_id

    async def sync(self, account_id: str, wiring: Wiring | None = None) -> dict[str, Any]:
        wiring = wiring or self.wiring
        return await wiring.sync("outlook", account_id, self.clock.now_s() + wiring.settings.max_sync_duration)

    async def dry(self, account_id: str) -> list[dict[str, Any]]:
        """Syncs until nothing new is found, waiting where it is told to."""
        results = []
        for _ in range(DRY_MAX):
            result = await self.sync(account_id)
            results.append(result)
            if result["status"] == "lease_held":
                self.expire_lease(account_id)
            elif result.get("retry_after_s"):
                self.expire_locks(account_id)
                self.clock.skip(result["retry_after_s"])
            elif result["status"] == "no_new_messages" and not result["more"]:
                return results
        raise AssertionError(f"not dry after {DRY_MAX} syncs: {results[-1]}")

    def expire_lease(self, account_id: str) -> None:
        """What an instance held that has died: as the TTLs do, without the waiting."""
        self.redis.valkey.call("DEL", f"td:{account_id}:lease", f"td:{account_id}:refreshing")

    def expire_locks(self, account_id: str) -> None:
        self.redis.valkey.call("DEL", f"td:{account_id}:hold", "td:breaker:outlook:open", "td:breaker:outlook:probe")

    async def events(self, account_id: str) -> list[dict[str, Any]]:
        """The whole log, as a reader gets it."""
        accounts = RedisAccounts(self.wiring.redis, self.clock)
        events: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = await accounts.changes(account_id, "tests", after, 1000)
            events += [
                change.cloud_event(account_id, page.user_id, page.provider, page.epoch, stream_id, stored)
                for stream_id, stored in page.entries
            ]
            after = change.cursor(page.epoch, page.position)
            if page.position >= page.end:
                return events

    async def folded(self, account_id: str) -> dict[str, dict[str, Any]]:
        """The mailbox as the log tells it; what has left the tracked folders is not promised, and is left out."""
        state: dict[str, dict[str, Any]] = {}
        named: set[str] | None = None
        events = await self.events(account_id)
        ids = [event["id"] for event in events]
        assert len(ids) == len(set(ids))
        for event in events:
            named = apply(state, event, named)
            folder = event["data"].get("patch", {}).get("folder_id")
            if folder and self.is_untracked(folder):
                del state[event["data"]["message_id"]]
        return state

    def is_untracked(self, folder_id: str) -> bool:
        folder = self.graph.folders(ADDRESS).get(folder_id)
        if folder is None:
            return False
        if self.tracked is not None:
            return folder["well_known"] not in self.tracked
        return bool(folder["hidden"] or folder["parent_id"] is None)

    def truth(self) -> dict[str, dict[str, Any]]:
        """What is in the tracked folders."""
        found = self.graph.snapshot(ADDRESS)
        return {id_: message for id_, message in found.items() if not self.is_untracked(message["folder_id"])}

    async def assert_log_equals_mailbox(self, account_id: str, only: set[str] | None = None) -> None:
        """Every message in the state that it has now; `only`: ids that are expected although the mailbox has more."""
        folded = await self.folded(account_id)
        truth = {k: v for k, v in self.truth().items() if only is None or k in only}
        assert folded.keys() == truth.keys()
        for message_id, resource in truth.items():
            message = folded[message_id]
            found = {
                "folder_id": message["folder_id"],
                "unread": message["unread"],
                "flagged": message["flagged"],
                "categories": message["categories"],
                "subject": message["subject"],
                "draft": message["draft"],
                "received_at": message["received_at"],
            }
            assert found == {
                "folder_id": resource["folder_id"],
                "unread": not resource["is_read"],
                "flagged": resource["flag"] == "flagged",
                "categories": sorted(resource["categories"]),
                "subject": resource["subject"] and whole_text(resource["subject"]),
                "draft": resource["is_draft"],
                "received_at": instant(resource["received_at_s"] // 1),
            }

    async def assert_nothing_that_exists_was_called_deleted(self, account_id: str) -> None:
        gone = {e["data"]["message_id"] for e in await self.events(account_id) if e["type"].endswith("message.deleted")}
        assert not gone & self.graph.snapshot(ADDRESS).keys()

    def counters(self) -> dict[str, Any]:
        return self.graph.counters()

    def start_counting(self) -> None:
        self.graph.reset_counters()
        self.redis.bridge.reset()
