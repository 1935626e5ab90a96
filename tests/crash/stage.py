"""What a crash is played on: a real Valkey behind the bridge, both stand-ins, and the functions in real processes.

    with Stage() as stage:
        victim = stage.victim(kill_at=7)     a process that dies at its seventh step of I/O
        victim.post("/gmail-sync", …)        None: it died
        stage.healthy                        one that lives, and does what is left

Each play has a mailbox of its own and an empty Redis.
"""

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from standardwebhooks import Webhook
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from infra.emulators.clock import Clock
from infra.emulators.gmail import GmailEmulator
from infra.emulators.gmail.settings import Settings as GmailSettings
from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET
from infra.emulators.pubsub import Subscription
from infra.emulators.server import Server
from infra.emulators.upstash_rest import create_app
from infra.emulators.valkey import Valkey
from infra.local.stack import free_port
from tests.world import KEY

ROOT = Path(__file__).parents[2]
API_KEY = "api-key"
TOPIC = "projects/tidemark-local/topics/gmail"
AUDIENCE = "https://tidemark.example/push-webhook/gmail"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"w" * 32).decode()
START_TIMEOUT_S = 30.0
QUIET_S = 1.6  # a look follows a push a second later
PINGS_MAX = 60


class Process:
    """One process of the functions. `post` and the like answer None if it died over them."""

    def __init__(self, stage: "Stage", kill_at: int) -> None:
        port = free_port()
        self._steps = stage.folder / f"steps-{port}-{time.monotonic_ns()}"
        self._steps.touch()
        self.pid = stage.fork(port, kill_at, str(self._steps))
        key = {"authorization": f"Bearer {API_KEY}"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=key, timeout=60, trust_env=False)
        wait_until(self._serves)

    def _serves(self) -> bool:
        try:
            return self.http.get("/status/health").status_code == 200
        except httpx.HTTPError:
            assert self.lives(), "the functions ended"
            return False

    def send(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        try:
            return self.http.request(method, path, **request)
        except httpx.TransportError:
            return None

    def lives(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def steps(self) -> list[str]:
        return self._steps.read_text().splitlines()

    def settle(self, quiet_s: float) -> None:
        """Until it has died, or has taken no step for so long: what it does after its answer is done."""
        taken, since_s = -1, time.monotonic()
        while self.lives() and time.monotonic() - since_s < quiet_s:
            if len(self.steps()) != taken:
                taken, since_s = len(self.steps()), time.monotonic()
            time.sleep(0.01)

    def stop(self) -> None:
        self.http.close()
        if self.lives():
            os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.lives())
        self._steps.unlink()


def wait_until(true: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + START_TIMEOUT_S
    while not true():
        assert time.monotonic() < ends_s, "waited in vain"
        time.sleep(0.005)


class Receiver:
    """The app's endpoint: it takes what is signed, and keeps it in the order in which it came."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.events += Webhook(WEBHOOK_SECRET).verify(await request.body(), dict(request.headers))
        await Response(status_code=204)(scope, receive, send)


class Stage:
    """`delivers`: whether the log is pushed to `receiver` too."""

    def __init__(self, *, delivers: bool = False) -> None:
        self._delivers = delivers
        self._numbers = itertools.count(1)
        self.receiver = Receiver()

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.valkey = Valkey().start()
        self.bridge = create_app(self.valkey.port, "token")
        self.gmail = GmailEmulator(GmailSettings(quota_enforced=False))
        self.graph = GraphEmulator(Clock(), 1)
        apps = (self.bridge, self.gmail.app, self.graph.app, _notified, self.receiver)
        self._servers = [Server(app).start() for app in apps]
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.victim"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self._environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()
        self.healthy = Process(self, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.healthy.stop()
        with self._zygote:  # closes its input, at whose end it ends
            pass
        for server in self._servers:
            server.stop()
        self.gmail.close()
        self.graph.close()
        self.valkey.stop()
        self._folder.cleanup()

    def _environment(self) -> dict[str, str]:
        redis, gmail, graph, notified, receiver = (server.url for server in self._servers)
        webhook = {
            "WEBHOOK_URL": f"{receiver}/events",
            "WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "WEBHOOK_ALLOW_PRIVATE": "true",
        }
        return {
            "UPSTASH_REDIS_REST_URL": redis,
            "UPSTASH_REDIS_REST_TOKEN": "token",
            "TIDEMARK_API_KEY": API_KEY,
            "TOKEN_ENCRYPTION_KEYS": KEY,
            "PUBLIC_URL": notified,
            "GOOGLE_CLIENT_ID": self.gmail.settings.client_id,
            "GOOGLE_CLIENT_SECRET": self.gmail.settings.client_secret,
            "GMAIL_PUBSUB_TOPIC": TOPIC,
            "PUBSUB_AUDIENCE": AUDIENCE,
            "PUBSUB_SERVICE_ACCOUNT": Subscription("", "", "").service_account,
            "GMAIL_API_URL": gmail,
            "GOOGLE_TOKEN_URL": f"{gmail}/token",
            "GOOGLE_CERTS_URL": f"{gmail}/oauth2/v1/certs",
            "GOOGLE_REVOKE_URL": f"{gmail}/revoke",
            "GMAIL_UNITS_PER_MINUTE": "1000000",
            "MICROSOFT_CLIENT_ID": CLIENT_ID,
            "MICROSOFT_CLIENT_SECRET": CLIENT_SECRET,
            "GRAPH_API_URL": graph,
            "MICROSOFT_AUTHORITY_URL": graph,
            "INITIAL_SYNC_MESSAGES": "all",
            "OUTLOOK_PAGE_SIZE": "10",
            **(webhook if self._delivers else {}),
        }

    def fork(self, port: int, kill_at: int, steps: str) -> int:
        assert self._zygote.stdin
        self._zygote.stdin.write(json.dumps({"port": port, "kill_at": kill_at, "steps": steps}) + "\n")
        self._zygote.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        assert self._zygote.stdout
        return int(json.loads(self._zygote.stdout.readline())["pid"])

    def victim(self, kill_at: int) -> Process:
        return Process(self, kill_at)

    def address(self) -> str:
        """A new mailbox at both providers; the Redis is emptied, the receiver has seen nothing."""
        self.valkey.call("FLUSHALL")
        self.receiver.events.clear()
        address = f"owner{next(self._numbers)}@example.com"
        self.gmail.add_mailbox(address)
        self.graph.add_mailbox(address)
        return address

    def push_token(self) -> str:
        """A genuine one, as Pub/Sub would send it."""
        return self.gmail.pubsub._token(Subscription("", TOPIC, AUDIENCE, audience=AUDIENCE))

    def set_field(self, account_id: str, name: str, value: str) -> None:
        self.valkey.call("HSET", f"td:{account_id}:account", name, value)

    def field(self, account_id: str, name: str) -> str:
        value = self.valkey.call("HGET", f"td:{account_id}:account", name)
        return value.decode() if isinstance(value, bytes) else ""

    def keys_naming(self, account_id: str) -> list[str]:
        keys = self.valkey.call("KEYS", "*")
        assert isinstance(keys, list)
        return [key.decode() for key in keys if isinstance(key, bytes) and account_id in key.decode()]

    def forget_event(self, account_id: str, number: int) -> None:
        log = f"td:{account_id}:log"
        rows = self.valkey.call("XRANGE", log, "-", "+", "COUNT", number)
        assert isinstance(rows, list)
        assert isinstance(rows[-1], list)
        assert isinstance(rows[-1][0], bytes)
        self.valkey.call("XDEL", log, rows[-1][0])

    def pass_time(self) -> None:
        """So long that everything in Redis that has a TTL has ended: leases, hints under way, what is cached."""
        keys = self.valkey.call("KEYS", "*")
        assert isinstance(keys, list)
        for key in keys:
            assert isinstance(key, bytes)
            if isinstance(ttl := self.valkey.call("PTTL", key), int) and ttl > 0:
                self.valkey.call("DEL", key)

    def mend(self, provider: str) -> None:
        """What a living instance does with what a dead one has left: pings, until there is nothing more to do."""
        for _ in range(PINGS_MAX):
            self.pass_time()
            answer = self.healthy.http.post(f"/{provider}-sync").raise_for_status().json()
            if not answer["more"] and all(each["status"] == "no_new_messages" for each in answer["results"]):
                return
        raise AssertionError(f"not dry after {PINGS_MAX} pings: {answer}")


async def _notified(scope: Any, receive: Any, send: Any) -> None:
    """Where Graph's notifications go: the handshake is answered, the rest is for the flows to send."""
    token = Request(scope, receive).query_params.get("validationToken")
    response = Response(status_code=202) if token is None else PlainTextResponse(token)
    await response(scope, receive, send)
