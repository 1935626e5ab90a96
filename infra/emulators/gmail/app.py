"""The Gmail paths over HTTP: single calls, `/batch/gmail/v1`, `/batch`; everything else goes to `rest`.

A raw ASGI app, since three things need the connection itself: a reset, an answer cut short, gzip by Google's own rule
(Accept-Encoding has gzip *and* User-Agent contains "gzip").
Source: facts/gmail.md 2 and (b) 1-12; https://developers.google.com/workspace/gmail/api/guides/performance
"""

import asyncio
import contextlib
import gzip
import random
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from infra.emulators.gmail import batch, errors
from infra.emulators.gmail.counters import Entry
from infra.emulators.gmail.engine import Admitted, ApiAnswer, ApiRequest, Engine
from infra.emulators.gmail.faults import HTTP_KINDS, Fault, Target

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_BYTES_MAX = 40 * 1024 * 1024
BATCH_PATHS = ("/batch/gmail/v1", "/batch")
_VARY = [(b"vary", b"Origin"), (b"vary", b"X-Origin"), (b"vary", b"Referer")]
_JSON = b"application/json; charset=UTF-8"
_HTML_503 = (
    b"<!DOCTYPE html>\n<html lang=en>\n  <title>Error 503 (Service Unavailable)!!1</title>\n"
    b"  <p><b>503.</b> <ins>That\xe2\x80\x99s an error.</ins>\n"
)
_HALF_A_JSON = b'{\n  "id": "18c0ffee'


@dataclass(slots=True)
class Http:
    """One HTTP request on its way through."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    address: str | None = None
    call: str = "unknown"
    units: int = 0
    retry_after: str | None = None

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(slots=True)
class Answer:
    status: int
    content_type: bytes
    body: bytes


class GmailApp:
    def __init__(self, engine: Engine, rest: Any) -> None:
        self._engine, self._rest = engine, rest
        self._rng = random.Random(f"boundary:{engine.settings.seed}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        _send_at_once(send)
        if scope["type"] != "http" or not path.startswith(("/gmail/", "/batch")):
            await self._rest(scope, receive, send)
            return
        http = Http(
            method=scope["method"],
            path=scope.get("raw_path", path.encode()).decode("ascii", "replace"),
            query=scope.get("query_string", b"").decode("ascii", "replace"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        )
        too_large = not await _read(http, receive)
        fault, answer = await self._answer(http, too_large)
        if fault is not None and fault.kind == "reset":
            self._count(http, 0)
            _abort(send)
            return
        assert answer is not None
        self._count(http, answer.status)
        await self._send(http, answer, fault, send)

    async def _answer(self, http: Http, too_large: bool) -> tuple[Fault | None, Answer | None]:
        engine = self._engine
        access = engine.identity.access(http.headers.get("authorization", "").partition(" ")[2].strip())
        http.address = access.address if access else None
        is_batch = http.path in BATCH_PATHS
        http.call = "batch" if is_batch else "unknown"
        if too_large:
            return None, _error(errors.ApiError(413, "Request Entity Too Large", "uploadTooLarge"))
        if not is_batch:
            single = ApiRequest(http.method, http.target, http.headers.get("authorization", ""), http.body)
            http.call = _call_name(engine, single)
        with engine.lock:
            fault = engine.faults.hit(HTTP_KINDS, Target(http.address, http.call, http.target, False))
        latency_s = engine.settings.latency_ms / 1000
        if fault is not None and fault.kind == "slow":
            latency_s += float(fault.params.get("seconds", 1.0))
        if fault is not None and fault.kind in ("reset", "unavailable", "rate_limited", "outer_locked_out"):
            await asyncio.sleep(latency_s)
            return fault, _refusal(engine, http, fault)
        if is_batch:
            return fault, await self._batch(http, fault, latency_s)
        return fault, await self._single(http, single, latency_s)

    async def _single(self, http: Http, request: ApiRequest, latency_s: float) -> Answer:
        [admitted] = self._engine.admit([request])
        http.units = admitted.units
        await asyncio.sleep(latency_s + admitted.wait_s)
        answer = self._engine.run(admitted)
        if answer.fault is not None:
            if "retry_after" in answer.fault.params:
                http.retry_after = str(answer.fault.params["retry_after"])
            if answer.fault.kind in ("garbled", "drop"):
                return Answer(200, _JSON, _HALF_A_JSON)
        return Answer(answer.status, _JSON, answer.body)

    async def _batch(self, http: Http, fault: Fault | None, latency_s: float) -> Answer:
        engine = self._engine
        try:
            if http.method != "POST":
                raise errors.ApiError(404, "Not Found", "notFound")
            inner = batch.read(http.headers.get("content-type", ""), http.body)
            outer_params = parse_qs(http.query, keep_blank_values=True)
            if engine.settings.outer_401:
                engine.authorize(http.headers.get("authorization", ""), outer_params)
        except errors.ApiError as refused:
            await asyncio.sleep(latency_s)
            return _error(refused)
        outer_authorization = http.headers.get("authorization", "")
        runnable = [
            ApiRequest(
                each.method,
                each.target,
                each.headers.get("authorization", outer_authorization),
                each.body,
                in_batch=True,
                outer_params=outer_params,
            )
            for each in inner
            if each.problem is None
        ]
        admitted = engine.admit(runnable)
        http.units = sum(each.units for each in admitted)
        part_latency_s = engine.settings.part_latency_ms / 1000 * len(admitted)
        await asyncio.sleep(latency_s + part_latency_s + max((each.wait_s for each in admitted), default=0.0))
        return self._batch_answer(inner, admitted, fault)

    def _batch_answer(self, inner: list[batch.InnerRequest], admitted: list[Admitted], fault: Fault | None) -> Answer:
        running = iter(admitted)
        parts: list[bytes] = []
        for each in inner:
            if each.problem is None:
                answer = self._engine.run(next(running))
            else:
                answer = ApiAnswer(400, orjson.dumps(errors.ApiError(400, each.problem, "badRequest").body))
            kind = answer.fault.kind if answer.fault else ""
            if kind == "drop":
                continue
            body = _HALF_A_JSON if kind == "garbled" else answer.body
            parts.append(batch.render_part(batch.InnerAnswer(each.content_id, answer.status, body)))
        self._disturb(parts, fault)
        boundary = f"batch_{self._rng.getrandbits(96):024x}"
        body = batch.render(boundary, parts, self._engine.settings.leading_empty_line)
        return Answer(200, f"multipart/mixed; boundary={boundary}".encode(), body)

    def _disturb(self, parts: list[bytes], fault: Fault | None) -> None:
        if fault is None or not parts:
            return
        chosen = int(fault.params.get("index", self._rng.randrange(len(parts)))) % len(parts)
        if fault.kind == "drop_part":
            del parts[chosen]
        elif fault.kind == "duplicate_part":
            parts.insert(self._rng.randrange(len(parts) + 1), parts[chosen])
        elif fault.kind == "shuffle_parts":
            self._rng.shuffle(parts)

    async def _send(self, http: Http, answer: Answer, fault: Fault | None, send: Send) -> None:
        body = answer.body
        if fault is not None and fault.kind == "garbage":
            body = b"<<<" + self._rng.randbytes(200)
        elif fault is not None and fault.kind == "oversized":
            body = b" " * int(fault.params.get("bytes", 64 * 1024 * 1024)) + body
        headers = [*_VARY, (b"cache-control", b"private"), (b"server", b"ESF")]
        if body:
            headers.append((b"content-type", answer.content_type))
        if http.retry_after is not None:
            headers.append((b"retry-after", http.retry_after.encode()))
        if body and "gzip" in http.headers.get("accept-encoding", "") and "gzip" in http.headers.get("user-agent", ""):
            body = gzip.compress(body, 1)
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        whole = len(body)
        cut = fault is not None and fault.kind == "truncate_body"
        if cut and fault is not None:
            body = body[: int(whole * float(fault.params.get("keep", 0.5)))]
        breaks = cut and fault is not None and bool(fault.params.get("cut"))
        if answer.status != 204:
            headers.append((b"content-length", str(whole if breaks else len(body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": breaks})
        if breaks:
            await asyncio.sleep(0.01)
            _abort(send, gently=True)

    def _count(self, http: Http, status: int) -> None:
        engine = self._engine
        with engine.lock:
            for tally in engine.counters.tallies(http.address):
                tally.http_requests += 1
                tally.batches += http.call == "batch"
            engine.counters.log.append(
                Entry(
                    http.method, http.target, status, "http", http.call, http.address, http.units, engine.clock.now_s()
                )
            )


def _call_name(engine: Engine, request: ApiRequest) -> str:
    found = engine.find_route(request)
    return found.name if found is not None else "unknown"


async def _read(http: Http, receive: Receive) -> bool:
    """The body into `http`; False if it is too large."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= BODY_BYTES_MAX:
            chunks.append(chunk)
        more = message.get("more_body", False)
    http.body = b"".join(chunks)
    return size <= BODY_BYTES_MAX


def _error(refused: errors.ApiError) -> Answer:
    return Answer(refused.code, _JSON, orjson.dumps(refused.body, option=orjson.OPT_INDENT_2))


def _refusal(engine: Engine, http: Http, fault: Fault) -> Answer | None:
    if "retry_after" in fault.params:
        http.retry_after = str(fault.params["retry_after"])
    if fault.kind == "unavailable":
        return Answer(int(fault.params.get("code", 503)), b"text/html; charset=UTF-8", _HTML_503)
    code = int(fault.params.get("code", 429))
    if fault.kind == "outer_locked_out":
        until_s = engine.clock.now_s() + float(fault.params.get("seconds", 900))
        return _error(errors.locked_out(until_s, code))
    if fault.kind == "rate_limited":
        return _error(errors.exhausted() if code == 429 else errors.user_rate_limit())
    return None


def _transport(send: Send) -> Any:
    """The connection under the request (uvicorn's `send` is a method of the object that holds it); None elsewhere."""
    return getattr(getattr(send, "__self__", None), "transport", None)


def _send_at_once(send: Send) -> None:
    """No Nagle: head and body go out in two writes, and the second would wait 40 ms for a delayed ACK."""
    transport = _transport(send)
    raw = transport.get_extra_info("socket") if transport is not None else None
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _abort(send: Send, gently: bool = False) -> None:
    """Ends the connection under the request: a reset, or with `gently` a plain close."""
    transport = _transport(send)
    if transport is None:
        raise RuntimeError("this server does not let the stand-in reset connections")
    if gently:
        transport.close()
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
