"""What the Graph stand-in's tests share: a served emulator, a plain client, a subscriber that listens."""

import asyncio
import atexit
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson

from infra.emulators.clock import Clock
from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.server import Server

ADDRESS = "ada@example.com"
ME = "/v1.0/me"
TLS = ssl.create_default_context()  # read once: it takes longer than most tests
ALL_SCOPES = ("Mail.Read", "Mail.ReadWrite", "Mail.Send", "User.Read")
IMMUTABLE = 'IdType="ImmutableId"'


class StillClock(Clock):
    """A clock that moves only by `advance`."""

    def now_s(self) -> float:
        return self._start_s


def plain(subject: str, **headers: str) -> bytes:
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"Subject: {subject}\r\nFrom: Bob <bob@example.org>\r\nTo: {ADDRESS}\r\n{extra}"
    return f"{head}\r\nbody of {subject}\r\n".encode()


class Walk:
    """One round of a delta chain, read to its deltaLink."""

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for page in self.pages for row in page["value"]]

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self.rows]

    @property
    def sizes(self) -> list[int]:
        return [len(page["value"]) for page in self.pages]

    @property
    def link(self) -> str:
        return str(self.pages[-1]["@odata.deltaLink"])

    @property
    def removed(self) -> list[str]:
        return [row["id"] for row in self.rows if "@removed" in row]

    @property
    def present(self) -> list[str]:
        return [row["id"] for row in self.rows if "@removed" not in row]


class Stand:
    def __init__(self, graph: GraphEmulator, url: str) -> None:
        self.graph, self.url = graph, url
        self.http = httpx.Client(base_url=url, headers=self.bearer(), trust_env=False, timeout=10, verify=TLS)

    def bearer(self, address: str | None = ADDRESS) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.graph.mint_access_token(address, ALL_SCOPES)}"}

    def deliver(self, *subjects: str, folder: str = "inbox") -> list[str]:
        return [self.graph.deliver(ADDRESS, plain(subject), folder) for subject in subjects]

    def ask(self, method: str, path: str, prefer: str | None = None, **given: Any) -> httpx.Response:
        url = path if path.startswith("http") else f"{ME}/{path}"
        headers = given.pop("headers", {}) | ({"Prefer": prefer} if prefer else {})
        return self.http.request(method, url, headers=headers, **given)

    def get(self, path: str, prefer: str | None = None, status: int = 200) -> dict[str, Any]:
        answer = self.ask("GET", path, prefer)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def error(self, path: str, prefer: str | None = None) -> tuple[int, str, str]:
        answer = self.ask("GET", path, prefer)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["message"]

    def walk(self, start: str = "mailFolders/inbox/messages/delta", prefer: str | None = IMMUTABLE) -> Walk:
        walk, url = Walk(), start
        while url:
            page = self.get(url, prefer)
            assert ("@odata.nextLink" in page) != ("@odata.deltaLink" in page)
            walk.pages.append(page)
            url = page.get("@odata.nextLink", "")
        return walk

    def batch(self, *parts: dict[str, Any]) -> dict[str, dict[str, Any]]:
        requests = [{"id": str(number), "method": "GET"} | part for number, part in enumerate(parts, 1)]
        answer = self.http.post("/v1.0/$batch", json={"requests": requests})
        assert answer.status_code == 200, answer.text
        return {part["id"]: part for part in answer.json()["responses"]}


class _Switch:
    """One server for all tests, since stopping one takes a tenth of a second: what it serves is changed instead."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


_switches: dict[str, tuple[_Switch, Server]] = {}


def serve(name: str, app: Any) -> str:
    if name not in _switches:
        switch = _Switch()
        _switches[name] = (switch, Server(switch).start())
        atexit.register(_switches[name][1].stop)
    _switches[name][0].app = app
    return _switches[name][1].url


@contextmanager
def standing(clock: Clock | None = None, messages: int = 0, **knobs: Any) -> Iterator[Stand]:
    with GraphEmulator(clock, seed=7, **knobs) as graph:
        graph.add_mailbox(ADDRESS)
        stand = Stand(graph, serve("graph", graph.app))
        stand.deliver(*(f"n{number}" for number in range(messages)))
        try:
            yield stand
        finally:
            stand.http.close()


class Subscriber:
    """A webhook that writes down what it is sent. `behave` may answer for it: (status, content type, body)."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, bytes]] = []  # path, raw query, body
        self.validations: list[str] = []  # raw queries
        self.content_types: list[str] = []
        self.behave: Any = None
        self.delay_s = 0.0
        self._lock = threading.Lock()

    @property
    def items(self) -> list[dict[str, Any]]:
        return [item for _, _, body in self.posts for item in orjson.loads(body)["value"]]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"")
        query = scope["query_string"].decode()
        token = parse_qs(query).get("validationToken")
        status, kind, answer = (200, "text/plain", token[0]) if token else (202, "text/plain", "")
        with self._lock:
            headers = dict(scope["headers"])
            self.content_types.append(headers.get(b"content-type", b"").decode())
            if token:
                self.validations.append(query)
            else:
                self.posts.append((scope["path"], query, body))
            if self.behave is not None:
                status, kind, answer = self.behave(query) or (status, kind, answer)
        await asyncio.sleep(self.delay_s)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": answer.encode()})


@contextmanager
def subscriber() -> Iterator[tuple[Subscriber, str]]:
    hook = Subscriber()
    yield hook, serve("hook", hook)
