"""The local stack: every part a process of its own on 127.0.0.1, stopped by pid whatever happens.

    redis       Valkey behind the Upstash REST bridge    infra.emulators.upstash_rest
    gmail       Gmail, Google's token endpoint           infra.emulators.gmail
    functions   every function, under functions-framework --asgi

Providers reach the functions on loopback, so consent comes back and pushes arrive as they would at a public address;
only Pub/Sub's push subscription is made by who runs the stack, when it wants pushes to begin.

The stand-ins choose their port themselves and say it on their first line. functions-framework cannot: it is given a
free one, and another if somebody else was faster; what answers there is ours only if it knows our key.
A part has a session of its own, so Ctrl-C reaches only who started it; on Linux it ends with its parent.
"""

import base64
import os
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from infra.emulators.gmail.settings import Settings as GmailSettings
from infra.emulators.graph import grants
from infra.emulators.pubsub import Subscription
from infra.emulators.valkey import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
PORTS_TRIED = 3
POLL_S = 0.05
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONUNBUFFERED", "VIRTUAL_ENV")
NOT_YET = "http://127.0.0.1:1"
TOPIC = "projects/tidemark-local/topics/gmail"
PUSH_PATH = "/push-webhook/gmail"


class PartFailed(RuntimeError):
    """A part did not start: which one, and how it ended. What it said itself is on stderr above."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the stack is set up: real milliseconds of latency, the emulators' clock rate, where the mail comes from."""

    mail: str | None = None
    clock_rate: float = 60.0
    latency_ms: float = 100.0
    part_latency_ms: float = 3.0  # 25 parts in 175 ms: facts/gmail.md 1.2
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    process: "subprocess.Popen[bytes]"

    def raise_if_ended(self) -> None:
        if (code := self.process.poll()) is not None:
            raise PartFailed(f"{self.name} ended with {code}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stack:
    """`url` of the functions, `gmail_url`, `redis_url`; `key` opens the functions. A context manager."""

    def __init__(self, shape: Shape, gmail_mailboxes: tuple[str, ...], graph_mailboxes: tuple[str, ...] = ()) -> None:
        self.shape = shape
        self.key = secrets.token_urlsafe(16)
        self._redis_token = secrets.token_urlsafe(16)
        self._gmail_mailboxes = gmail_mailboxes
        self._graph_mailboxes = graph_mailboxes
        self._parts: list[Part] = []
        self.redis_url = self.gmail_url = self.graph_url = self.url = NOT_YET

    def __enter__(self) -> Self:
        try:
            redis = self._run("redis", "-m", "infra.emulators.upstash_rest", f"--token={self._redis_token}")
            gmail = self._run("gmail", "-m", "infra.emulators.gmail", *self._gmail_options())
            graph = self._run("graph", "-m", "infra.emulators.graph", *self._graph_options())
            self.redis_url, self.gmail_url, self.graph_url = map(_said_url, (redis, gmail, graph))
            self._functions()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def settings(self) -> dict[str, str]:
        """The functions' environment: what the user set, and what the stack has to say."""
        gmail = GmailSettings()
        return {
            "GMAIL_UNITS_PER_MINUTE": f"{6000 * self.shape.clock_rate:.0f}",
            "LOG_RETENTION_BYTES": str(256 * 1024 * 1024),
            **self.shape.settings,
            "UPSTASH_REDIS_REST_URL": self.redis_url,
            "UPSTASH_REDIS_REST_TOKEN": self._redis_token,
            "TIDEMARK_API_KEY": self.key,
            "TOKEN_ENCRYPTION_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
            "PUBLIC_URL": self.url,
            "GMAIL_PUBSUB_TOPIC": TOPIC,
            "PUBSUB_AUDIENCE": f"{self.url}{PUSH_PATH}",
            "PUBSUB_SERVICE_ACCOUNT": Subscription("", TOPIC, "").service_account,
            "GOOGLE_CLIENT_ID": gmail.client_id,
            "GOOGLE_CLIENT_SECRET": gmail.client_secret,
            "GMAIL_API_URL": self.gmail_url,
            "GOOGLE_AUTH_URL": f"{self.gmail_url}/o/oauth2/v2/auth",
            "GOOGLE_TOKEN_URL": f"{self.gmail_url}/token",
            "GOOGLE_CERTS_URL": f"{self.gmail_url}/oauth2/v1/certs",
            "GOOGLE_REVOKE_URL": f"{self.gmail_url}/revoke",
            "MICROSOFT_CLIENT_ID": grants.CLIENT_ID,
            "MICROSOFT_CLIENT_SECRET": grants.CLIENT_SECRET,
            "GRAPH_API_URL": self.graph_url,
            "MICROSOFT_AUTHORITY_URL": self.graph_url,
        }

    def raise_if_a_part_ended(self) -> None:
        for part in self._parts:
            part.raise_if_ended()

    def stop(self) -> None:
        """SIGTERM to all, the last first; SIGKILL for what does not listen. Only processes that were started here."""
        for part in reversed(self._parts):
            part.process.terminate()
        while self._parts:
            self._end(self._parts[-1])

    def _end(self, part: Part) -> None:
        part.process.terminate()
        try:
            part.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            part.process.kill()
            part.process.wait()
        if part.process.stdout:
            part.process.stdout.close()
        self._parts.remove(part)

    def _gmail_options(self) -> tuple[str, ...]:
        shape = self.shape
        return (
            *(("--mail", shape.mail) if shape.mail else ()),
            *(word for address in self._gmail_mailboxes for word in ("--mailbox", address)),
            *("--latency-ms", str(shape.latency_ms), "--part-latency-ms", str(shape.part_latency_ms)),
            *("--clock-rate", str(shape.clock_rate)),
        )

    def _graph_options(self) -> tuple[str, ...]:
        shape = self.shape
        return (
            *(("--mail", shape.mail) if shape.mail else ()),
            *(word for address in self._graph_mailboxes for word in ("--mailbox", address)),
            *("--latency-ms", str(shape.latency_ms), "--rate", str(shape.clock_rate)),
        )

    def _functions(self) -> None:
        framework = str(Path(sys.executable).with_name("functions-framework"))
        source = str(ROOT / "functions" / "app.py")
        for last in (False,) * (PORTS_TRIED - 1) + (True,):
            port = free_port()
            self.url = f"http://127.0.0.1:{port}"
            address = ("--host", "127.0.0.1", "--port", str(port))
            part = self._run(
                "functions", framework, "--source", source, "--target", "app", "--asgi", *address, **self.settings()
            )
            try:
                return self._until_answering(part)
            except PartFailed:
                self._end(part)
                if last or not _is_taken(port):
                    raise
        raise AssertionError("unreachable")

    def _until_answering(self, part: Part) -> None:
        """Until the part answers at `url` to our key."""
        ends_s = time.monotonic() + START_TIMEOUT_S
        with httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=10.0) as client:
            while time.monotonic() < ends_s:
                self.raise_if_a_part_ended()
                try:
                    if client.get("/accounts").status_code == httpx.codes.OK:
                        return
                    break
                except httpx.HTTPError:
                    time.sleep(POLL_S)
        raise PartFailed(f"{part.name} does not answer as ours")

    def _run(self, name: str, *arguments: str, **settings: str) -> Part:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, *arguments],
            env={**environment, "PYTHONPATH": str(ROOT), **settings},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self._parts.append(Part(name, process))
        return self._parts[-1]


def _said_url(part: Part) -> str:
    """Where a stand-in serves, from its first line."""
    out = part.process.stdout
    assert out is not None
    if not select.select([out], [], [], START_TIMEOUT_S)[0]:
        raise PartFailed(f"{part.name} does not say where it serves")
    found = re.search(rb"http://127\.0\.0\.1:\d+", out.readline())
    if found is None:
        part.process.wait(STOP_TIMEOUT_S)
        part.raise_if_ended()
        raise PartFailed(f"{part.name} does not say where it serves")
    return found[0].decode()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
