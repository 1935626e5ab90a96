"""What the Gmail stand-in's tests share: a served emulator, and a client with no opinion about Gmail."""

import atexit
import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from infra.emulators.clock import Clock
from infra.emulators.gmail import GmailEmulator, Settings
from infra.emulators.server import Server

ADDRESS = "robin@example.com"
ME = "/gmail/v1/users/me"


class StillClock(Clock):
    """A clock that moves only by `advance`, so that no bucket refills behind a test's back."""

    def now_s(self) -> float:
        return self._start_s


@dataclass(frozen=True)
class Part:
    content_id: str | None
    status: int
    headers: str
    body: bytes


class Stand:
    def __init__(self, gmail: GmailEmulator, url: str) -> None:
        self.gmail, self.url = gmail, url
        self.token = gmail.identity.mint_access_token(ADDRESS, life_s=1e9)
        self.http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=False,
            verify=False,  # noqa: S501 - plain http; loading certificates for each test takes longer than the test
        )

    def get(self, path: str, status: int = 200, **params: Any) -> dict[str, Any]:
        return self.call("GET", path, status, params=params)

    def call(self, method: str, path: str, status: int = 200, **given: Any) -> dict[str, Any]:
        answer = self.http.request(method, f"{ME}/{path}", **given)
        assert answer.status_code == status, answer.text
        return dict(answer.json()) if answer.content else {}

    def batch(self, targets: list[str], **headers: str) -> list[Part]:
        answer = self.http.post(
            "/batch/gmail/v1",
            content=batch_body(targets),
            headers={"Content-Type": 'multipart/mixed; boundary="b1"'} | headers,
        )
        assert answer.status_code == 200, answer.text
        return read_batch(answer)


def batch_body(targets: list[str]) -> bytes:
    parts = [
        f"--b1\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\nGET {target} HTTP/1.1\r\n\r\n\r\n"
        for number, target in enumerate(targets)
    ]
    return ("".join(parts) + "--b1--\r\n").encode()


def read_batch(answer: httpx.Response) -> list[Part]:
    """By the standard library, which knows nothing of the stand-in."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    whole = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    parts = []
    for each in whole.iter_parts():
        inner = each.get_payload(decode=True)
        assert isinstance(inner, bytes)
        top, _, body = inner.partition(b"\r\n\r\n")
        line, _, headers = top.decode().partition("\r\n")
        parts.append(Part(each["content-id"], int(line.split()[1]), headers, body))
    return parts


def plain(subject: str, **headers: str) -> bytes:
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"Subject: {subject}\r\nFrom: a@example.org\r\nTo: {ADDRESS}\r\n{extra}\r\nbody of {subject}\r\n".encode()


class _Switch:
    """One server for all tests, since stopping one takes a tenth of a second: what it serves is changed instead."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


_switch = _Switch()
_servers: list[Server] = []


def _serve(gmail: GmailEmulator) -> str:
    _switch.app = gmail.app
    if not _servers:
        _servers.append(Server(_switch).start())
        atexit.register(_servers[0].stop)
    return _servers[0].url


@contextmanager
def standing(clock: Clock | None = None, messages: int = 0, **knobs: Any) -> Iterator[Stand]:
    gmail = GmailEmulator(Settings(**knobs), clock or Clock())
    gmail.add_mailbox(ADDRESS)
    for number in range(messages):
        gmail.deliver(ADDRESS, plain(f"n{number}", Message_ID=f"<{number}@example.org>"))
    stand = Stand(gmail, _serve(gmail))
    try:
        yield stand
    finally:
        stand.http.close()
        gmail.close()
