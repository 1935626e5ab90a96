"""How a hint becomes a sync: in this process, by calling the sync function, or through a queue (DISPATCH).

    inline    a task of this process, which has to keep running after the answer; begun when the answer has been sent
    http      POST {"account_id"} to GMAIL_SYNC_URL or OUTLOOK_SYNC_URL; what it answers is nobody's matter here
    pubsub    {"account_id"} published to DISPATCH_PUBSUB_TOPIC with attributes provider and account_id, under the
              environment's Google credentials

Nothing is lost where this fails: the hint is stored, and the next push or ping finds it. `http` and `pubsub` go out
before the answer (a process may be frozen after it), and are waited for as long as the answer may wait, WAIT_MAX_S at
most: a call that has been sent goes on without being waited for. Tasks are kept by reference, else the loop may drop
them; a mailbox is called for once in ten seconds at most (`redis_hints.py`), so there are no more of them than
mailboxes.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import orjson

from shared.config import Settings
from shared.core.errors import ProviderDown
from shared.log import log
from shared.protocol.wire import Response

WAIT_MAX_S = 1.0
PUBSUB_URL = "https://pubsub.googleapis.com/v1"
PUBSUB_SCOPE = "https://www.googleapis.com/auth/pubsub"
PUBLISH_TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 1024 * 1024
AT_ONCE = (
    32  # mostly waiting for providers: a backfill may take MAX_SYNC_DURATION, and new mail is not to wait behind a few
)

Wake = Callable[[str, str], Awaitable[object]]  # provider, account


class Http(Protocol):
    async def send(
        self, method: str, url: str, headers: dict[str, str], body: bytes, *, timeout_s: float, body_bytes_max: int
    ) -> Response: ...


class Dispatch:
    """One per event loop. `wake` is what `inline` does; `token` gives an access token for Pub/Sub."""

    def __init__(self, settings: Settings, http: Http, wake: Wake, token: Callable[[], Awaitable[str]]) -> None:
        self._settings, self._http, self._wake, self._token = settings, http, wake, token
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    @property
    def under_way(self) -> int:
        return len(self._tasks)

    async def before_the_answer(self, provider: str, account_ids: Sequence[str], within_s: float) -> None:
        """Sends what has to go out while the process is sure to run; waits for it `within_s` at most."""
        if self._settings.dispatch == "inline" or not account_ids:
            return
        send = self._publish if self._settings.dispatch == "pubsub" else self._call
        tasks = [self._start(send(provider, account_id)) for account_id in account_ids]
        await asyncio.wait(tasks, timeout=min(WAIT_MAX_S, within_s))

    async def after_the_answer(self, provider: str, account_ids: Sequence[str]) -> None:
        if self._settings.dispatch == "inline":
            for account_id in account_ids:
                self._start(self._inline(provider, account_id))

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(self._limited(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _limited(self, work: Awaitable[object]) -> None:
        async with self._at_once:
            try:
                await work
            except Exception as error:  # whatever it is: nobody waits for this task
                log("dispatch_failed", level="error", error=error)

    async def _inline(self, provider: str, account_id: str) -> None:
        await self._wake(provider, account_id)

    async def _call(self, provider: str, account_id: str) -> None:
        settings = self._settings
        url = settings.gmail_sync_url if provider == "gmail" else settings.outlook_sync_url
        if url is None:
            return
        headers = {"authorization": f"Bearer {settings.tidemark_api_key}", "content-type": "application/json"}
        timeout_s = settings.max_sync_duration + PUBLISH_TIMEOUT_S
        body = orjson.dumps({"account_id": account_id})
        answer = await self._http.send("POST", url, headers, body, timeout_s=timeout_s, body_bytes_max=ANSWER_BYTES_MAX)
        _accepted(answer)

    async def _publish(self, provider: str, account_id: str) -> None:
        data = b64encode(orjson.dumps({"account_id": account_id})).decode()
        message = {"data": data, "attributes": {"provider": provider, "account_id": account_id}}
        headers = {"authorization": f"Bearer {await self._token()}", "content-type": "application/json"}
        url = f"{PUBSUB_URL}/{self._settings.dispatch_pubsub_topic}:publish"
        body = orjson.dumps({"messages": [message]})
        _accepted(
            await self._http.send(
                "POST", url, headers, body, timeout_s=PUBLISH_TIMEOUT_S, body_bytes_max=ANSWER_BYTES_MAX
            )
        )


def _accepted(answer: Response) -> None:
    if answer.status >= 300:
        raise ProviderDown(f"the dispatch was answered with {answer.status}")
