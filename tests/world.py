"""A world to sync in: the Gmail stand-in and the REST bridge over real HTTP, the real wiring, a clock that skips waits.

world = GmailWorld(redis, INITIAL_SYNC_MESSAGES="all")
account_id = await world.connect()
result = await world.sync(account_id)
await world.assert_log_equals_mailbox(account_id)
"""

import base64
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from infra.emulators.clock import Clock as EmulatorClock
from infra.emulators.gmail import GmailEmulator
from infra.emulators.gmail.settings import Settings as GmailSettings
from infra.emulators.server import Server
from infra.local.fold import apply
from shared.adapters.clock import SystemClock
from shared.adapters.redis_accounts import RedisAccounts
from shared.config import Settings, load
from shared.core import change
from shared.wiring import Wiring
from tests.conftest import RedisRest

ADDRESS = "robin@example.com"
KEY = base64.b64encode(b"k" * 32).decode()
DRY_MAX = 200


class Killed(BaseException):
    """The process ends here, as far as the code under test can tell."""


class SkippingClock(SystemClock):
    """Real time plus what was slept: nobody waits, and the provider's clock goes along."""

    def __init__(self, provider: EmulatorClock, jitter: float = 0.5) -> None:
        self.skipped_s = 0.0
        self.jitter = jitter
        self._provider = provider

    def now_s(self) -> float:
        return super().now_s() + self.skipped_s

    def random(self) -> float:
        return self.jitter

    async def sleep(self, seconds: float) -> None:
        self.skip(seconds)
        await super().sleep(0)

    def skip(self, seconds: float) -> None:
        self.skipped_s += seconds
        self._provider.advance(seconds)


def settings(**environment: str) -> Settings:
    return load(
        {
            "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:1",
            "UPSTASH_REDIS_REST_TOKEN": "token",
            "TIDEMARK_API_KEY": "api-key",
            "TOKEN_ENCRYPTION_KEYS": KEY,
            **environment,
        }
    )


def raw(number: int, subject: str | None = None, **headers: str) -> bytes:
    lines = {
        "From": f"Sender {number} <sender{number}@example.org>",
        "To": ADDRESS,
        "Subject": subject or f"Message {number}",
        "Message-ID": f"<m{number}@example.org>",
        "Date": "Tue, 24 Nov 2026 10:00:00 +0000",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{head}\r\nBody of message {number}.\r\n".encode()


class GmailWorld:
    """`wiring` is one instance of the functions; `instance()` makes more of them over the same Redis and mailbox."""

    def __init__(self, redis: RedisRest, *, emulator: GmailSettings | None = None, **environment: str) -> None:
        self.redis = redis
        self.gmail = GmailEmulator(emulator or GmailSettings())
        self.gmail.add_mailbox(ADDRESS)
        self._server = Server(self.gmail.app)
        self._environment = environment
        self.clock = SkippingClock(self.gmail.clock)
        self.steps: list[str] = []
        self.kill_at: int | None = None
        self.on_step: Callable[[int], object] | None = None  # told the number of every step of I/O
        self._instances: list[Wiring] = []

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
        self.gmail.close()

    def instance(self, **environment: str) -> Wiring:
        url = self._server.url
        given = {
            "UPSTASH_REDIS_REST_URL": self.redis.url,
            "UPSTASH_REDIS_REST_TOKEN": self.redis.token,
            "GOOGLE_CLIENT_ID": self.gmail.settings.client_id,
            "GOOGLE_CLIENT_SECRET": self.gmail.settings.client_secret,
            "GMAIL_API_URL": url,
            "GOOGLE_TOKEN_URL": f"{url}/token",
            "GOOGLE_REVOKE_URL": f"{url}/revoke",
            "LOG_RETENTION_BYTES": "1000000000",
        }
        made = Wiring(settings(**(given | self._environment | environment)), self.clock, self._step)
        self._instances.append(made)
        return made

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.on_step is not None:
            self.on_step(len(self.steps))
        if self.kill_at is not None and len(self.steps) == self.kill_at:
            self.kill_at = None
            raise Killed

    def fill(self, count: int, first: int = 0) -> list[str]:
        """Old mail, the later the newer; each its own thread."""
        now_s = self.gmail.clock.now_s()
        return [
            self.gmail.deliver(ADDRESS, raw(first + n), internal_date_s=now_s - 1000 - 60 * (count - n))
            for n in range(count)
        ]

    async def connect(self, account_id: str | None = None) -> str:
        token = self.gmail.refresh_token(ADDRESS)
        connected = await self.wiring.import_account("gmail", ADDRESS, "user-1", token, account_id)
        return connected.account_id

    async def sync(self, account_id: str, wiring: Wiring | None = None) -> dict[str, Any]:
        wiring = wiring or self.wiring
        return await wiring.sync("gmail", account_id, self.clock.now_s() + wiring.settings.max_sync_duration)

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
        self.redis.valkey.call("DEL", f"td:{account_id}:hold", "td:breaker:gmail:open", "td:breaker:gmail:probe")

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
        """The mailbox as the log tells it; fails for what the contract excludes."""
        state: dict[str, dict[str, Any]] = {}
        named: set[str] | None = None
        events = await self.events(account_id)
        ids = [event["id"] for event in events]
        assert len(ids) == len(set(ids))
        for event in events:
            named = apply(state, event, named)
        return state

    async def assert_log_equals_mailbox(self, account_id: str, only: set[str] | None = None) -> None:
        """Every message with the labels it has now; `only`: ids that are expected although the mailbox has more."""
        folded = await self.folded(account_id)
        truth = {k: v for k, v in self.gmail.truth(ADDRESS).items() if only is None or k in only}
        assert folded.keys() == truth.keys()
        for message_id, resource in truth.items():
            message = folded[message_id]
            labels = resource.get("labelIds", [])
            assert message["labels"] == sorted(labels)
            assert message["unread"] == ("UNREAD" in labels)
            assert message["flagged"] == ("STARRED" in labels)
            assert message["thread_id"] == resource["threadId"]

    def counters(self) -> dict[str, Any]:
        return self.gmail.counters(ADDRESS)
