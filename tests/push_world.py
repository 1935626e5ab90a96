"""A world that pushes: the functions in a process of their own, Gmail's stand-in with its Pub/Sub, and the REST bridge.

with PushWorld(redis) as world:
    account_id = world.connect()
    world.deliver()                     the stand-in pushes, the functions sync by themselves
    world.until(lambda: world.created(account_id) == 1)
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from infra.emulators.gmail import GmailEmulator
from infra.emulators.gmail.settings import Settings as GmailSettings
from infra.emulators.pubsub import Subscription
from infra.emulators.server import Server
from infra.local.stack import free_port
from tests.conftest import RedisRest
from tests.world import ADDRESS, KEY, raw

ROOT = Path(__file__).parents[1]
TOPIC = "projects/tidemark-local/topics/gmail"
AUDIENCE = "https://tidemark.example/push-webhook/gmail"
API_KEY = "api-key"
START_TIMEOUT_S = 30.0
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


class Functions:
    """Every function in a process of its own, on a free port of 127.0.0.1; `log` is what it wrote to stderr."""

    def __init__(self, environment: Mapping[str, str], log_path: Path | None = None) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._environment |= {"PYTHONPATH": str(ROOT), **environment}
        self._log_path = log_path
        self.http = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=60)

    def __enter__(self) -> Self:
        self._log = self._log_path.open("ab") if self._log_path else subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, "-m", "functions.app", "--port", self.url.rpartition(":")[2]],
            env=self._environment,
            cwd=ROOT,
            stderr=self._log,
        )
        ends_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.http.get("/status/health").raise_for_status()
                return self
            except httpx.HTTPError:
                assert self._process.poll() is None, "the functions ended"
                assert time.monotonic() < ends_s, "the functions do not answer"
                time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not isinstance(self._log, int):
            self._log.close()


class PushWorld:
    def __init__(
        self,
        redis: RedisRest,
        *,
        emulator: GmailSettings | None = None,
        log_path: Path | None = None,
        **environment: str,
    ) -> None:
        self.redis = redis
        self.gmail = GmailEmulator(emulator or GmailSettings())
        self.gmail.add_mailbox(ADDRESS)
        self.certificate_fetches = 0
        self.pusher = httpx.Client(timeout=30, trust_env=False)

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            self.certificate_fetches += scope.get("path") == "/oauth2/v1/certs"
            await self.gmail.app(scope, receive, send)

        self._server = Server(counted).start()
        given = {**self.environment(), "INITIAL_SYNC_MESSAGES": "all", **environment}
        self.functions = Functions({name: value for name, value in given.items() if value}, log_path)
        self._number = 0

    def environment(self) -> dict[str, str]:
        url = self._server.url
        return {
            "UPSTASH_REDIS_REST_URL": self.redis.url,
            "UPSTASH_REDIS_REST_TOKEN": self.redis.token,
            "TIDEMARK_API_KEY": API_KEY,
            "TOKEN_ENCRYPTION_KEYS": KEY,
            "GOOGLE_CLIENT_ID": self.gmail.settings.client_id,
            "GOOGLE_CLIENT_SECRET": self.gmail.settings.client_secret,
            "GMAIL_PUBSUB_TOPIC": TOPIC,
            "PUBSUB_AUDIENCE": AUDIENCE,
            "PUBSUB_SERVICE_ACCOUNT": Subscription("", "", "").service_account,
            "GMAIL_API_URL": url,
            "GOOGLE_AUTH_URL": f"{url}/o/oauth2/v2/auth",
            "GOOGLE_TOKEN_URL": f"{url}/token",
            "GOOGLE_CERTS_URL": f"{url}/oauth2/v1/certs",
            "GOOGLE_REVOKE_URL": f"{url}/revoke",
            "GMAIL_UNITS_PER_MINUTE": "600000",
            "LOG_RETENTION_BYTES": "1000000000",
        }

    def __enter__(self) -> Self:
        try:
            self.functions.__enter__()
        except BaseException:
            self._stop()
            raise
        self.endpoint = f"{self.functions.url}/push-webhook/gmail"
        self.subscription = self.subscribe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.functions.__exit__(kind, error, trace)
        self._stop()

    def _stop(self) -> None:
        self.pusher.close()
        self._server.stop()
        self.gmail.close()

    def subscribe(self, **knobs: Any) -> Subscription:
        self.subscription = self.gmail.subscribe(TOPIC, self.endpoint, audience=AUDIENCE, **knobs)
        return self.subscription

    def token(self, forge: str | None = None) -> str:
        """A push's OIDC token, genuine or forged."""
        made = Subscription("", TOPIC, self.endpoint, audience=AUDIENCE, forge=forge)
        return self.gmail.pubsub._token(made)

    def push(self, body: bytes, token: str | None) -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return self.pusher.post(self.endpoint, content=body, headers=headers)

    def connect(self) -> str:
        asked = {
            "provider": "gmail",
            "email": ADDRESS,
            "user_id": "user-1",
            "refresh_token": self.gmail.refresh_token(ADDRESS),
        }
        account_id: str = self.functions.http.post("/accounts", json=asked).raise_for_status().json()["account_id"]
        self.until(lambda: self.gmail.pubsub.pending() == 0)  # the new watch says so at once
        return account_id

    def deliver(self) -> str:
        self._number += 1
        return self.gmail.deliver(ADDRESS, raw(self._number))

    def changes(self, account_id: str, after: str | None = None) -> list[dict[str, Any]]:
        asked = {"account_id": account_id, "limit": "1000"} | ({"after": after} if after else {})
        return list(self.functions.http.get("/mailbox/changes", params=asked).raise_for_status().json()["changes"])

    def created(self, account_id: str) -> set[str]:
        """Ids of the messages in the log."""
        said = [each for each in self.changes(account_id) if each["type"] == "tidemark.message.created"]
        return {each["subject"] for each in said}

    def history_calls(self) -> int:
        return int(self.gmail.counters(ADDRESS)["by_endpoint"].get("history.list", 0))

    def syncs(self) -> int:
        """Syncs that ran to an end."""
        return int(str(self.redis.valkey.call("XLEN", "sync_perf:gmail")))

    def until(self, true: Callable[[], bool], timeout_s: float = 60.0) -> float:
        """Seconds until it was so."""
        began_s = time.monotonic()
        while not true():
            assert time.monotonic() - began_s < timeout_s, f"it was not so within {timeout_s} s"
            time.sleep(0.02)
        return time.monotonic() - began_s
