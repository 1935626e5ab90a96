"""Upstash's REST API over a real Valkey, as strict as the suites of its two official clients demand.

    request                                answer
    POST /            ["SET","k","v"]      200 {"result":"OK"} | 400 {"error":"ERR …"} with the server's own text
    POST /pipeline    [[…],[…]]            200, an item each; not atomic
    POST /multi-exec  [[…],[…]]            200, an item each; 400 {"error":"EXECABORT …"} when one could not be queued
    any  /set/k?EX=9  v                    the path, then the body, then the query without `_token`
    any  /subscribe/c, /psubscribe/p       server-sent events `subscribe,c,1`, `message,c,text`; also /monitor
    any  /_admin/…                         faults and counters, see `_admin`; no token, not counted

Every answer carries a new `Upstash-Sync-Token`. `Upstash-Encoding: base64` encodes every string but the status `OK`;
otherwise what is not UTF-8 becomes U+FFFD. Commands that block or change a connection are refused, as Upstash does.
A raw ASGI callable, not Starlette's routing: the bridge must cost less than the client that is measured through it.

Not there: `Upstash-Response-Format: resp2`, read-only tokens, ACL RESTTOKEN, JSON and search commands, size limits.

Source: https://upstash.com/docs/redis/features/restapi
"""

import argparse
import asyncio
import base64
import contextlib
import hmac
import itertools
import secrets
import signal
import sys
from typing import Any

import orjson

from infra.emulators.resp import Connection, ConnectionLost, Reply, ReplyError
from infra.emulators.server import Server
from infra.emulators.upstash_faults import BEFORE_RUNNING, Fault, Kind, Match, Stats
from infra.emulators.upstash_lua import Scripts
from infra.emulators.upstash_request import Answer, Refused, Request, read_body, refusal, refuse
from infra.emulators.valkey import Valkey

METHODS = frozenset({"GET", "HEAD", "POST", "PUT"})
STREAMS = frozenset({b"subscribe", b"psubscribe", b"monitor"})
UNAUTHORIZED = (
    "WRONGPASS invalid or missing auth token. See https://upstash.com/docs/redis/troubleshooting/http_unauthorized"
)
HTML = b"<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head><body>upstream</body></html>"
HTML_TYPE = b"text/html; charset=utf-8"


class Bridge:
    """The ASGI app. It belongs to one event loop; attributes may be set from any thread between two requests."""

    def __init__(self, valkey_port: int, token: str, latency_ms: float = 0.0) -> None:
        self.valkey_port, self.token, self.latency_ms = valkey_port, token, latency_ms
        self.faults: list[Fault] = []
        self.stats = Stats()
        self._scripts = Scripts()
        self._connection: Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._sync_tokens = (f"{secrets.token_urlsafe(6)}={n}".encode() for n in itertools.count(1))

    def inject(self, kind: Kind, *, times: int = 1, nth: int = 1, match: Match = "", hang_s: float = 30.0) -> Fault:
        """Arms a fault and returns it, with its counters; `faults.clear()` disarms all."""
        fault = Fault(kind, times=times, nth=nth, match=match, hang_s=hang_s)
        self.faults.append(fault)
        return fault

    def reset(self) -> None:
        """No faults, no latency, counters at zero; the data stays."""
        self.faults, self.latency_ms, self.stats = [], 0.0, Stats()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        if body is None:
            return
        request = Request(scope, body)
        answer: Answer | None
        try:
            if request.endpoint == b"_admin":
                answer = await self._admin(request)
            else:
                answer = await self._redis(request, receive, send)
        except Refused as refused:
            answer = refused.answer
        except ConnectionLost:
            answer = Answer(503, HTML, HTML_TYPE)
        if answer is not None:
            self.stats.bytes_out += len(answer.body)
            await self._send(send, answer, answer.body)

    async def _redis(self, request: Request, receive: Any, send: Any) -> Answer | None:
        """None if the connection was cut or the answer was streamed."""
        self.stats.requests += 1
        self.stats.bytes_in += len(request.body)
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        if request.method not in METHODS:
            raise Refused(Answer(405, b""))
        if not hmac.compare_digest(request.token, self.token.encode()):
            refuse(401, UNAUTHORIZED)
        if request.endpoint in STREAMS:
            await self._stream(request, receive, send)
            return None
        commands = request.commands()
        fault = self._due(commands)
        if fault is not None and fault.kind in BEFORE_RUNNING:
            return await self._strike(fault, Answer(200, b""), receive, send)
        answer = await self._run(request, commands)
        return answer if fault is None else await self._strike(fault, answer, receive, send)

    async def _run(self, request: Request, commands: list[list[bytes]]) -> Answer:
        self.stats.count(commands)
        if request.endpoint == b"multi-exec" and request.is_batch:
            replies = await self._transaction(commands)
        else:
            replies = await self._each(commands)
        items = [_item(reply, request.base64) for reply in replies]
        if request.is_batch:
            return Answer(200, orjson.dumps(items))
        return Answer(400 if "error" in items[0] else 200, orjson.dumps(items[0]))

    async def _each(self, commands: list[list[bytes]]) -> list[Reply]:
        """A reply a command; a refused one is not sent, and its neighbours run all the same."""
        refused = [refusal(command) for command in commands]
        allowed = [command for command, error in zip(commands, refused, strict=True) if error is None]
        valkey = await self._valkey()
        replies = iter(await valkey.call([self._scripts.outgoing(command) for command in allowed]))
        return [
            self._scripts.incoming(command, next(replies)) if error is None else error
            for command, error in zip(commands, refused, strict=True)
        ]

    async def _transaction(self, commands: list[list[bytes]]) -> list[Reply]:
        if any(refusal(command) for command in commands):
            refuse(400, "EXECABORT Transaction discarded because of previous errors.")
        valkey = await self._valkey()
        queued = [self._scripts.outgoing(command) for command in commands]
        *_, result = await valkey.call([[b"MULTI"], *queued, [b"EXEC"]])
        if not isinstance(result, list):
            refuse(400, str(result))
        return [self._scripts.incoming(command, reply) for command, reply in zip(commands, result, strict=True)]

    async def _valkey(self) -> Connection:
        if self._connection is None or not self._connection.usable:
            async with self._opening:  # concurrent requests must not open one each
                if self._connection is None or not self._connection.usable:
                    self._connection = await Connection.open(self.valkey_port)
                    if self._keeper is not None:
                        self._keeper.cancel()
                    self._keeper = asyncio.create_task(_keep(self._connection))
        return self._connection

    def _due(self, commands: list[list[bytes]]) -> Fault | None:
        for fault in self.faults:
            if fault.strikes(commands):
                return fault
        return None

    async def _strike(self, fault: Fault, answer: Answer, receive: Any, send: Any) -> Answer | None:
        if fault.kind == "unauthorized":
            refuse(401, UNAUTHORIZED)
        if fault.kind == "refuse":
            raise Refused(Answer(503, HTML, HTML_TYPE))
        if fault.kind == "garbage":
            return Answer(200, HTML, HTML_TYPE)
        if fault.kind == "hang":
            await asyncio.sleep(fault.hang_s)
            return answer
        if fault.kind == "truncate":
            await self._send(send, answer, answer.body[: len(answer.body) // 2], more=True)
        await _cut(receive, send)
        return None

    async def _send(self, send: Any, answer: Answer, body: bytes, *, more: bool = False) -> None:
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            (b"upstash-sync-token", next(self._sync_tokens)),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def _stream(self, request: Request, receive: Any, send: Any) -> None:
        """Server-sent events until the client goes, on a connection of their own."""
        replies: asyncio.Queue[Reply] = asyncio.Queue()
        connection = await Connection.open(self.valkey_port, replies.put_nowait)
        connection.write([request.segments])
        self.stats.count([request.segments])
        gone = asyncio.ensure_future(_client_gone(receive))
        gone.add_done_callback(lambda _: replies.put_nowait(None))
        headers = [(b"content-type", b"text/event-stream"), (b"upstash-sync-token", next(self._sync_tokens))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while (reply := await replies.get()) is not None:
                event = b"data: %b\n\n" % _event(reply)
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            connection.close()

    async def _admin(self, request: Request) -> Answer:
        """What a test in another process does:

        GET  /_admin/stats                                     requests, commands, bytes_in, bytes_out, by_command
        GET  /_admin/faults                                    the armed ones, with `seen` and `struck`
        POST /_admin/faults    {"kind", "times", "nth", "match", "hang_s"}
        POST /_admin/latency   {"ms"}
        POST /_admin/reset     disarms, counts from zero, no latency
        POST /_admin/flush     empties the store
        POST /_admin/delete    {"key"}
        """
        what = (request.method, b"/".join(request.segments[1:]))
        try:
            given = orjson.loads(request.body) if request.body else {}
            if what == ("GET", b"stats"):
                return Answer(200, orjson.dumps(vars(self.stats)))
            if what == ("POST", b"faults"):
                self.inject(given.pop("kind"), **given)
            elif what == ("POST", b"latency"):
                self.latency_ms = float(given["ms"])
            elif what == ("POST", b"reset"):
                self.reset()
            elif what == ("POST", b"flush"):
                await (await self._valkey()).call([[b"FLUSHALL"]])
            elif what == ("POST", b"delete"):
                await (await self._valkey()).call([[b"DEL", given["key"].encode()]])
            elif what != ("GET", b"faults"):
                refuse(404, "there is no such switch")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            refuse(400, f"{type(error).__name__}: {error}")
        return Answer(200, orjson.dumps([vars(fault) for fault in self.faults], default=str))


def create_app(valkey_port: int, token: str, latency_ms: float = 0.0) -> Bridge:
    return Bridge(valkey_port, token, latency_ms)


def _item(reply: Reply, as_base64: bool) -> dict[str, Any]:
    if isinstance(reply, ReplyError):
        return {"error": str(reply)}
    return {"result": _result(reply, as_base64)}


def _result(reply: Reply, as_base64: bool) -> Any:
    if isinstance(reply, list):
        return [_result(item, as_base64) for item in reply]
    if isinstance(reply, bytes):
        return base64.b64encode(reply).decode() if as_base64 else reply.decode("utf-8", "replace")
    if isinstance(reply, ReplyError):  # inside an array: only a script can do that
        reply = str(reply)
    if isinstance(reply, str) and as_base64 and reply != "OK":
        return base64.b64encode(reply.encode()).decode()
    return reply


def _event(reply: Reply) -> bytes:
    if isinstance(reply, list):
        return b",".join(part if isinstance(part, bytes) else str(part).encode() for part in reply)
    return b'"OK"' if reply == "OK" else str(reply).encode()


async def _keep(connection: Connection) -> None:
    """Closes the connection when the server's loop ends: no lifespan event says so, but every task is cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        connection.close()


async def _client_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cut(receive: Any, send: Any) -> None:
    """Closes the client's connection. ASGI has no word for it: this reaches for uvicorn's transport behind `send`."""
    send.__self__.transport.abort()
    await _client_gone(receive)


def main() -> None:
    parser = argparse.ArgumentParser(description="An Upstash-compatible REST API over an embedded Valkey.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", required=True)
    options = parser.parse_args()
    with Valkey() as valkey, Server(create_app(valkey.port, options.token), options.port) as server:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # leaves the `with`, as Ctrl-C does
        print(f"UPSTASH_REDIS_REST_URL={server.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
