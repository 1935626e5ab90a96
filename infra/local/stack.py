"""The local stack: every part a process of its own on 127.0.0.1, started in order, stopped by pid whatever happens.

redis      Valkey behind the Upstash REST bridge    infra.emulators.upstash_rest
gmail      Gmail, Google's token endpoint           infra.emulators.gmail
functions  every function, under functions-framework --asgi
"""

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from infra.emulators.gmail.settings import Settings as GmailSettings

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONUNBUFFERED", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the stack is set up: real milliseconds of latency, the emulators' clock rate, where the mail comes from."""

    mail: str | None = None
    clock_rate: float = 60.0
    latency_ms: float = 100.0
    part_latency_ms: float = 1.0
    settings: Mapping[str, str] = field(default_factory=dict)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stack:
    """`url` of the functions, `gmail_url`, `redis_url`; `key` opens the functions. A context manager."""

    def __init__(self, shape: Shape, mailboxes: tuple[str, ...]) -> None:
        self.shape = shape
        self.key = secrets.token_urlsafe(16)
        self._redis_token = secrets.token_urlsafe(16)
        self._mailboxes = mailboxes
        self._processes: list[subprocess.Popen[bytes]] = []
        self.redis_url, self.gmail_url, self.url = (f"http://127.0.0.1:{free_port()}" for _ in range(3))

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        shape = self.shape
        self._run("-m", "infra.emulators.upstash_rest", "--port", _port(self.redis_url), "--token", self._redis_token)
        mail = ["--mail", shape.mail] if shape.mail else []
        boxes = [part for address in self._mailboxes for part in ("--mailbox", address)]
        self._run(
            *("-m", "infra.emulators.gmail", "--port", _port(self.gmail_url), *mail, *boxes),
            *("--latency-ms", str(shape.latency_ms), "--part-latency-ms", str(shape.part_latency_ms)),
            *("--clock-rate", str(shape.clock_rate)),
        )
        self._run(
            *(
                str(Path(sys.executable).with_name("functions-framework")),
                "--source",
                str(ROOT / "functions" / "app.py"),
                "--target",
                "app",
            ),
            *("--asgi", "--host", "127.0.0.1", "--port", _port(self.url)),
            extra=self.settings(),
        )
        self._wait(f"{self.gmail_url}/_admin/health")
        self._wait(f"{self.redis_url}/_admin/faults")
        self._wait(f"{self.url}/status/health")

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
            "GOOGLE_CLIENT_ID": gmail.client_id,
            "GOOGLE_CLIENT_SECRET": gmail.client_secret,
            "GMAIL_API_URL": self.gmail_url,
            "GOOGLE_AUTH_URL": f"{self.gmail_url}/o/oauth2/v2/auth",
            "GOOGLE_TOKEN_URL": f"{self.gmail_url}/token",
            "GOOGLE_CERTS_URL": f"{self.gmail_url}/oauth2/v1/certs",
            "GOOGLE_REVOKE_URL": f"{self.gmail_url}/revoke",
        }

    def _run(self, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {"PYTHONPATH": str(ROOT), **(extra or {})}
        self._processes.append(
            subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, *arguments],
                env=environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def _wait(self, url: str) -> None:
        """Until the part answers; a part that ended says so."""
        transport = httpx.HTTPTransport(retries=0)
        waited_s = 0.0
        with httpx.Client(transport=transport, timeout=2.0) as client:
            while waited_s < START_TIMEOUT_S:
                for process in self._processes:
                    if process.poll() is not None:
                        raise RuntimeError(f"{' '.join(map(str, process.args))} ended with {process.returncode}")  # type: ignore[arg-type]
                try:
                    client.get(url).raise_for_status()
                    return
                except httpx.HTTPError:
                    self._processes[0].poll()
                    waited_s += 0.05
                    _nap(0.05)
        raise RuntimeError(f"{url} does not answer")

    def stop(self) -> None:
        """SIGTERM in the reverse order, SIGKILL for what does not listen; only processes that were started here."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _nap(seconds: float) -> None:
    import time

    time.sleep(seconds)
