"""The HTTP edge that every function shares: reading requests within limits, and answering errors as problems.

    raised                           answer
    BadRequest                       its status and slug (401 with WWW-Authenticate, 405 with Allow)
    StoreDown                        503 + Retry-After, the only 503 there is
    Throttled, ProviderDown          502 + Retry-After where the provider named a time
    ContractBroken                   502, logged as an error: the provider refuses us, or answers outside its contract
    NeedsUser                        409: the account waits for a person
    the time-out of the request      504
    anything else                    500 `internal`: logged without its words, nothing of it in the answer

Every answer is `nosniff` and `no-store` unless the handler said otherwise. A client that hangs up does not cancel its
handler under functions-framework, and nothing else limits a request there: head, body and time are bounded here.

A body that is refused (413, 408) is answered at once, and what is still sent of it is thrown away for a while: a server
that closes with bytes unread resets the connection, and the reset takes the answer from a client that sends first and
reads then, as most do. Other answers keep their connection, and the server itself discards what comes before the next.

Source: https://www.rfc-editor.org/rfc/rfc9457 (problem details), facts/platform.md §1 (what the framework leaves open).
"""

import asyncio
import hashlib
import hmac
import math
import re
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.core.errors import BadRequest, ContractBroken, NeedsUser, NotFound, RetryLater, StoreDown
from shared.log import install, log

if TYPE_CHECKING:
    from shared.config import Settings

BODY_BYTES_MAX = 1024 * 1024  # CONTRACT §3
HEAD_BYTES_MAX = 32 * 1024  # all header names and values together; a push's OIDC token is about 1.2 KB
HEADERS_MAX = 100
TARGET_BYTES_MAX = 16 * 1024  # path and query: a validationToken is at most 4 KiB, 12 KiB when every byte is escaped
DEPTH_MAX = 64
REQUEST_TIMEOUT_S = 60.0
BODY_TIMEOUT_S = 20.0  # 1 MiB at 0.4 Mbit/s; a sync's request may take minutes, its body not
DISCARD_BYTES_MAX = 64 * 1024 * 1024
DISCARD_TIMEOUT_S, DISCARD_SILENCE_S = 10.0, 2.0  # in all, and without a byte: a stranger holds no more than a socket
STORE_RETRY_AFTER_S = 5
HOST = re.compile(r"([A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")
PROBLEM = "application/problem+json"

Handler = Callable[[Request], Awaitable[Response]]
Guarded = Callable[[Request], Coroutine[Any, Any, Response]]


class MethodNotAllowed(BadRequest):
    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(405, "method_not_allowed", f"allowed: {', '.join(allowed)}")
        self.allowed = allowed


def guarded(handler: Handler, *, timeout_s: float | None = REQUEST_TIMEOUT_S) -> Guarded:
    """The handler behind the table above; a plain function, as functions-framework wants it."""
    install()

    @wraps(handler)
    async def answered(request: Request) -> Response:
        limit = asyncio.timeout(timeout_s)
        try:
            _check_head(request)
            async with limit:
                response = await handler(request)
        except Exception as error:
            response = _timed_out(error) if limit.expired() else _answer(error)
        response.headers.setdefault("x-content-type-options", "nosniff")
        response.headers.setdefault("cache-control", "no-store")
        return response

    return answered


class _Discarding(Response):
    """Sent at once, whole by its Content-Length; ended once the request's body is, or a limit is reached."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_TIMEOUT_S):
                await _discard(receive)
        await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    size, more = 0, True
    while more and size < DISCARD_BYTES_MAX:
        async with asyncio.timeout(DISCARD_SILENCE_S):
            message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)  # a disconnect has none


def json_answer(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


def problem(status: int, slug: str, detail: str, **extra: object) -> Response:
    """An RFC 9457 answer. `detail` and `extra` are shown to the caller: nothing that CONTRACT §3 forbids is in them."""
    body = {
        **extra,
        "type": f"urn:tidemark:problem:{slug}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "slug": slug,
    }
    return Response(orjson.dumps(body), status_code=status, media_type=PROBLEM)


def _timed_out(error: Exception) -> Response:
    log("request_timed_out", level="error", error=error)
    return problem(504, "timed_out", "the request took too long")


def _answer(error: Exception) -> Response:
    match error:
        case BadRequest():
            response = problem(error.status, error.slug, str(error))
            if error.status == HTTPStatus.UNAUTHORIZED:
                response.headers["www-authenticate"] = 'Bearer realm="tidemark"'
            elif error.status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT):
                response = _Discarding(response.body, response.status_code, {"connection": "close"}, PROBLEM)
            if isinstance(error, MethodNotAllowed):
                response.headers["allow"] = ", ".join(error.allowed)
            return response
        case ClientDisconnect():
            return problem(400, "disconnected", "the request ended early")
        case StoreDown():
            log("store_down", level="error", error=error)
            response = problem(503, error.slug, "Redis is out of reach")
            response.headers["retry-after"] = whole_seconds(error.after_s) or str(STORE_RETRY_AFTER_S)
            return response
        case RetryLater():
            log("provider_failed", level="warning", error=error)
            response = problem(502, error.slug, "the provider does not answer now")
            if after := whole_seconds(error.after_s):
                response.headers["retry-after"] = after
            return response
        case ContractBroken() if not isinstance(error, NotFound):
            log("contract_broken", level="error", error=error)
            return problem(502, error.slug, "the provider refuses the request, or answers outside its contract")
        case NeedsUser():
            return problem(409, error.slug, "the account has to be connected again")
        case _:
            log("request_failed", level="error", error=error)
            return problem(500, "internal", "something went wrong here; it has been logged")


def whole_seconds(after_s: float | None) -> str | None:
    return None if after_s is None or not math.isfinite(after_s) else str(max(1, math.ceil(after_s)))


def _raw_path(request: Request) -> bytes:
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw.split(b"?")[0]


def _check_head(request: Request) -> None:
    if len(_raw_path(request)) + len(request.scope["query_string"]) > TARGET_BYTES_MAX:
        raise BadRequest(414, "uri_too_long", f"path and query are limited to {TARGET_BYTES_MAX} bytes")
    if not (_raw_path(request) + request.scope["query_string"]).isascii():
        raise BadRequest(400, "malformed", "path and query are ASCII, the rest of it escaped")
    if not HOST.fullmatch(request.headers.get("host", "")):  # Starlette and urllib raise for what is none
        raise BadRequest(400, "malformed", "the Host header is no host")
    headers = request.headers.raw
    if len(headers) > HEADERS_MAX or sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES_MAX:
        raise BadRequest(431, "headers_too_large", f"at most {HEADERS_MAX} headers of {HEAD_BYTES_MAX} bytes in all")


def segments(request: Request, function: str) -> tuple[str, ...]:
    """The path below the function, decoded by segment (an id may hold an escaped slash), without a trailing slash.

    `/accounts/connect` and `/connect` are both ("connect",): a function alone answers with or without its name.
    """
    parts = _raw_path(request).strip(b"/").split(b"/")
    try:
        found = tuple(unquote_to_bytes(part).decode() for part in parts if parts != [b""])
    except UnicodeDecodeError:
        raise BadRequest(400, "malformed", "the path is not UTF-8") from None
    return found[1:] if found[:1] == (function,) else found


def require_method(request: Request, *allowed: str) -> None:
    """HEAD is allowed where GET is."""
    methods = (*allowed, "HEAD") if "GET" in allowed else allowed
    if request.method not in methods:
        raise MethodNotAllowed(methods)


def is_key(given: str, settings: "Settings") -> bool:
    """Constant time, whatever the lengths."""
    mine, theirs = (
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (settings.tidemark_api_key, given)
    )
    return hmac.compare_digest(mine, theirs)


def require_key(request: Request, settings: "Settings") -> None:
    """`Authorization: Bearer KEY`, or 401; the answer does not say which part was wrong."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not is_key(given.strip(), settings):
        raise BadRequest(401, "unauthorized", "an Authorization header with the bearer key is needed")


async def read_body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The whole body, or 413: unread where Content-Length says so, else as soon as the limit is passed.

    408 where it does not come: a slow client holds its request for BODY_TIMEOUT_S at most.
    """
    too_large = BadRequest(413, "body_too_large", f"the body is limited to {bytes_max} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > bytes_max):
        raise too_large
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > bytes_max:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise BadRequest(408, "body_too_slow", f"the body did not come within {BODY_TIMEOUT_S:g} s") from None
    return b"".join(chunks)


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; an empty one is `{}` (CONTRACT: no body or `{}`). Else 400 `malformed`.

    Of a repeated name the last value counts, here and everywhere: nothing in front of Tidemark reads bodies, so there
    is no second parser to disagree with. Nesting is limited, since what is read may be walked by recursion later.
    """
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)  # refuses NaN, lone surrogates, invalid UTF-8 and more than 1,024 levels
    except orjson.JSONDecodeError:
        raise BadRequest(400, "malformed", "the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest(400, "malformed", "the body is not a JSON object")
    if _is_deeper_than(value, DEPTH_MAX):
        raise BadRequest(400, "malformed", f"the body is nested more than {DEPTH_MAX} levels deep")
    return value


def _is_deeper_than(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            child
            for parent in layer
            for child in (parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ())
            if isinstance(child, dict | list)
        ]
        if not layer:
            return False
    return True
