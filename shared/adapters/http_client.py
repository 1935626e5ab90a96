"""THE HTTP client: one keep-alive httpx.AsyncClient per event loop, and the one place where httpx's errors are mapped.

    httpx error, any of them           ProviderDown    (a test goes over httpx's exceptions: none is forgotten)
    no answer within `timeout_s`       ProviderDown    the whole exchange counts: httpx's own time-outs are per read
    body over `body_bytes_max`         ProviderDown    counted while it is unpacked: a gzip bomb stops at the limit
    gzip cut short, another coding     ProviderDown
    link to another origin             ContractBroken  before anything is sent: a token never goes elsewhere
    URL or header that can't be sent   ContractBroken

* No redirects, no cookies (one mailbox's must not reach another), no retries: who calls decides.
* `trust_env=False`: proxies, netrc and SSL_CERT_FILE of the environment are not in CONTRACT §2, and what carries every
  token is not to be redirected by a variable that nobody set for it. Behind a proxy, set GMAIL_API_URL and the like.
* Gmail compresses only for a User-Agent that holds "gzip"; the body is unpacked here, since httpx unpacks a chunk
  whole (64 KiB can be 64 MiB) and takes a truncated gzip stream for a complete one.
* Libraries that block (google-auth, msal) run in a thread and hand their requests back to the loop (`Blocking`), so
  that there is no second client, no second mapping, and their I/O is limited, counted and numbered like any other.
* httpx is frozen since 2024: replacing it by httpx2 is a matter of this module.

`on_io` is told "before …" and "after …" of each request: crash tests kill the process there.
"""

import asyncio
import concurrent.futures
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from copy import copy
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self
from urllib.parse import quote, urlencode

import certifi
import httpx

from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.wire import Request, Response

KEEPALIVE_S = 120.0  # httpx's default is 5: every quiet mailbox would pay a TLS handshake
CONNECTIONS_MAX = 100
HEADERS = {"user-agent": "tidemark/0.1 (gzip)", "accept": "*/*", "accept-encoding": "gzip"}
QUERY_SAFE = "$,/:()"  # as the providers' own documents write it: $select, fields=a,b/c(d)
FAILURES = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, httpx.CookieConflict, OSError, zlib.error)
OnIo = Callable[[str], None]

_lives: dict[asyncio.AbstractEventLoop, AsyncGenerator[httpx.AsyncClient, None]] = {}
_clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}


@lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    """One for the process: loading the certificates takes 18 ms."""
    return ssl.create_default_context(cafile=certifi.where())


async def _life(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client until its loop ends: loops close the generators begun on them, so connections end without any hook."""
    client = httpx.AsyncClient(
        verify=ssl_context(),
        trust_env=False,
        follow_redirects=False,
        headers=HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_S),
    )
    try:
        yield client
    finally:
        del _clients[loop], _lives[loop]
        await client.aclose()


async def _client() -> httpx.AsyncClient:
    """The running loop's, made at its first request."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _lives[loop] = _life(loop)
        _clients[loop] = await anext(_lives[loop])  # runs to its yield without giving way to another task
    return _clients[loop]


class HttpClient:
    """A view of the loop's client: cheap, any number may exist. `requests` counts what was sent, also in vain."""

    def __init__(self, on_io: OnIo | None = None) -> None:
        self._on_io = on_io
        self.requests = 0

    def counted(self) -> Self:
        """The same with a count of its own, for one invocation."""
        view = copy(self)
        view.requests = 0
        return view

    async def send(
        self,
        base_url: str,
        request: Request,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        body_bytes_max: int,
        tls_name: str = "",
        status_only: bool = False,
    ) -> Response:
        """The answer, whatever its status. `base_url` decides where the request may go; `headers` win over its own.

        `tls_name`: whose certificate is asked for and checked, where `base_url` names an address. `status_only`: the
        body is no matter here; of a longer one the rest is not read.
        """
        client = await _client()
        built = _built(client, base_url, request, headers or {}, timeout_s)
        if tls_name:
            built.extensions = {**built.extensions, "sni_hostname": tls_name}
        label = f"{request.method} {built.url.host}{built.url.path}"
        self._io(f"before {label}")
        self.requests += 1
        try:
            async with asyncio.timeout(timeout_s):
                exchange = _status if status_only else _exchange
                answer = await exchange(client, built, body_bytes_max)
        except TimeoutError as error:
            raise ProviderDown(f"no answer within {timeout_s:g} s") from error
        except FAILURES as error:
            raise ProviderDown(f"no answer ({type(error).__name__})") from error
        self._io(f"after {label}")
        return answer

    def _io(self, step: str) -> None:
        if self._on_io is not None:
            self._on_io(step)


async def aclose() -> None:
    """Closes the running loop's connections; the next request opens new ones."""
    life = _lives.get(asyncio.get_running_loop())
    if life is not None:
        await life.aclose()


async def _exchange(client: httpx.AsyncClient, request: httpx.Request, body_bytes_max: int) -> Response:
    response = await client.send(request, stream=True)
    try:
        body = _Body(response.headers.get("content-encoding", ""), body_bytes_max)
        async for chunk in response.aiter_raw():
            body.feed(chunk)
        return Response(response.status_code, dict(response.headers), body.end())
    finally:
        await response.aclose()


async def _status(client: httpx.AsyncClient, request: httpx.Request, body_bytes_max: int) -> Response:
    """Reads what there is of the body only so that the connection can be used again."""
    response = await client.send(request, stream=True)
    try:
        left = body_bytes_max
        with suppress(*FAILURES):
            async for chunk in response.aiter_raw():
                left -= len(chunk)
                if left < 0:
                    break
        return Response(response.status_code, dict(response.headers), b"")
    finally:
        await response.aclose()


def _built(
    client: httpx.AsyncClient, base_url: str, request: Request, headers: Mapping[str, str], timeout_s: float
) -> httpx.Request:
    merged = {**HEADERS, **_lower(request.headers), **_lower(headers), "accept-encoding": HEADERS["accept-encoding"]}
    if any(set(value) & {"\r", "\n", "\0"} or not value.isascii() for value in merged.values()):
        raise ContractBroken("a header cannot be sent")
    url = target(base_url, request)
    return client.build_request(request.method, url, headers=merged, content=request.body, timeout=timeout_s)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def target(base_url: str, request: Request) -> httpx.URL:
    """Where the request goes: below `base_url`, or to its absolute path if that has the same scheme, host and port.

    A link of the provider is sent as it came: its query is opaque, and `request.query` is added to it.
    """
    text = base_url.rstrip("/") + request.path if request.path.startswith("/") else request.path
    if request.query:
        text += ("&" if "?" in text else "?") + urlencode(request.query, quote_via=quote, safe=QUERY_SAFE)
    try:
        base, url = httpx.URL(base_url), httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ContractBroken("a URL cannot be read") from error
    if _origin(url) != _origin(base) or url.userinfo or url.fragment:
        raise ContractBroken("a link leads to another origin")
    return url


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme)


class _Body:
    """The body as it arrives, unpacked and counted. Of gzip every member has to be whole."""

    def __init__(self, coding: str, bytes_max: int) -> None:
        coding = coding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip"):
            raise ProviderDown("the body has a coding that was not asked for")
        self._gzip = zlib.decompressobj(wbits=31) if coding.endswith("gzip") else None
        self._bytes_max = bytes_max
        self._kept: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, chunk: bytes) -> None:
        if self._gzip is None:
            return self._keep(chunk)
        while chunk:
            if self._gzip.eof:
                self._gzip = zlib.decompressobj(wbits=31)
            self._begun = True
            self._keep(self._gzip.decompress(chunk, self._bytes_max - self._size + 1))
            chunk = self._gzip.unused_data
        return None

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._bytes_max:
            raise ProviderDown(f"the body is larger than {self._bytes_max} bytes")
        self._kept.append(data)

    def end(self) -> bytes:
        if self._gzip is not None and self._begun and not self._gzip.eof:
            raise ProviderDown("the body was cut short")
        return b"".join(self._kept)


class Blocking:
    """The client for a library that blocks in a thread of its own: sends on the loop, for `blocked_max_s` in all."""

    def __init__(self, http: HttpClient, blocked_max_s: float, timeout_s: float, body_bytes_max: int) -> None:
        """To be made on the loop, before the thread starts."""
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._ends_s = time.monotonic() + blocked_max_s
        self._timeout_s = timeout_s
        self._body_bytes_max = body_bytes_max

    def send(self, base_url: str, request: Request) -> Response:
        timeout_s = min(self._timeout_s, self._ends_s - time.monotonic())
        if timeout_s <= 0:
            raise ProviderDown("no time is left for another request")
        sending = self._http.send(base_url, request, timeout_s=timeout_s, body_bytes_max=self._body_bytes_max)
        future = asyncio.run_coroutine_threadsafe(sending, self._loop)
        try:
            return future.result(timeout_s + 1)
        except (concurrent.futures.CancelledError, TimeoutError) as error:
            future.cancel()  # the loop is stopping, or too busy to end the request itself
            raise ProviderDown("the request was given up") from error
