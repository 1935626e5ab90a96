"""One batch of events to the app's endpoint: signed as Standard Webhooks, connected only to a checked address.

    body         CloudEvents in batch mode (`application/cloudevents-batch+json`)
    webhook-id   names the range of the log: a repeat has the same
    signature    of the attempt's time, one for each of WEBHOOK_SECRETS, newest first: a receiver may be changed before
                 or after Tidemark

The host is resolved once an attempt, *every* address has to be public (core/egress.py), and the request goes to one of
them by number, with the name in Host and in TLS, whose certificate is checked against the name. So a name that resolves
to something else a moment later (DNS rebinding) changes nothing. Another attempt takes another address. No redirects.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md;
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md (batched mode)
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from standardwebhooks import Webhook

from shared.adapters.http_client import HttpClient
from shared.config import Settings
from shared.core.delivery import REQUEST_TIMEOUT_S, RESOLVE_TIMEOUT_S, Answer
from shared.core.egress import is_public
from shared.core.errors import ContractBroken, ProviderDown
from shared.protocol.status import retry_after_s
from shared.protocol.wire import Request
from shared.sync.ports import Clock

ANSWER_BYTES_MAX = 64 * 1024
CONTENT_TYPE = "application/cloudevents-batch+json"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolved(host: str, port: int) -> list[str]:
    """The addresses in the order in which they are to be tried."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class WebhookSink:
    def __init__(self, settings: Settings, http: HttpClient, clock: Clock, resolve: Resolve = resolved) -> None:
        self._url = settings.webhook_url or ""
        self._allow_private = settings.webhook_allow_private
        self._signers = [Webhook(secret) for secret in settings.webhook_secrets]
        self._http, self._clock, self._resolve = http, clock, resolve

    async def send(self, batch_id: str, events: Sequence[Mapping[str, Any]], attempt: int) -> Answer:
        """Whatever happens is an answer; `attempt` counts from 0."""
        parts = urlsplit(self._url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError, TimeoutError):
            return Answer(0, "name_not_resolved")
        if not addresses:
            return Answer(0, "name_not_resolved")
        if not self._allow_private and not all(map(is_public, addresses)):
            return Answer(0, "address_forbidden")
        address = addresses[attempt % len(addresses)]
        literal = f"[{address}]" if ":" in address else address
        body = orjson.dumps(events)
        headers = {**self._signed(batch_id, body), "host": parts.netloc, "content-type": CONTENT_TYPE}
        try:
            answer = await self._http.send(
                f"{parts.scheme}://{literal}:{port}",
                Request(
                    "POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers, body=body
                ),
                timeout_s=REQUEST_TIMEOUT_S,
                body_bytes_max=ANSWER_BYTES_MAX,
                tls_name=host if parts.scheme == "https" else "",
                status_only=True,
            )
        except (ProviderDown, ContractBroken):
            return Answer(0, "no_answer")
        return Answer(
            answer.status, retry_after_s=retry_after_s(answer.headers.get("retry-after"), self._clock.now_s())
        )

    def _signed(self, batch_id: str, body: bytes) -> dict[str, str]:
        at = datetime.fromtimestamp(int(self._clock.now_s()), UTC)
        signatures = [signer.sign(batch_id, at, body.decode()) for signer in self._signers]
        return {
            "webhook-id": batch_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
