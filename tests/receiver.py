"""An app that takes deliveries: it checks each signature with the standardwebhooks library and keeps what came.

with Receiver() as receiver:
    GmailWorld(redis, **receiver.environment)
    receiver.answers = [503]        then answers in turn, the last one for ever
    receiver.events                 of the batches that it answered with 2xx, in order, each event once
"""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import orjson
from standardwebhooks import Webhook

from infra.emulators.server import Server
from infra.local.fold import apply

SECRET, OLD_SECRET = ("whsec_" + base64.b64encode(each * 32).decode() for each in (b"n", b"o"))


@dataclass(frozen=True)
class Delivered:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(orjson.loads(self.body))


@dataclass
class Receiver:
    answers: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    requests: list[Delivered] = field(default_factory=list)
    secret: str = SECRET

    def __post_init__(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._answer(scope, receive, send)

        self._server = Server(app)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return f"{self._server.url}/hook"

    @property
    def environment(self) -> dict[str, str]:
        return {"WEBHOOK_URL": self.url, "WEBHOOK_SECRETS": SECRET, "WEBHOOK_ALLOW_PRIVATE": "true"}

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body += part.get("body", b"")
            more = part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if not signed(headers, body, self.secret):
            status = 401
        query = scope["query_string"].decode()
        self.requests.append(Delivered(scope["path"] + (f"?{query}" if query else ""), headers, body, status))
        told = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": self.body})

    @property
    def taken(self) -> list[Delivered]:
        return [each for each in self.requests if 200 <= each.status < 300]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Each once, where it came first: an app that forgets no id."""
        found = [event for each in self.taken for event in each.events]
        return list({event["id"]: event for event in reversed(found)}.values())[::-1]

    def of(self, account_id: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["data"]["account_id"] == account_id]

    def folded(self, account_id: str) -> dict[str, dict[str, Any]]:
        state: dict[str, dict[str, Any]] = {}
        named: set[str] | None = None
        for event in self.of(account_id):
            named = apply(state, event, named)
        return state


def signed(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """As the library signs it; its `verify` also compares the time with the real one, which worlds run ahead of."""
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(headers["webhook-id"], at, body.decode()) in headers["webhook-signature"].split(" ")
