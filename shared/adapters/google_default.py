"""An access token of the environment's own Google identity, for publishing to Pub/Sub (DISPATCH=pubsub).

google-auth finds it (metadata server, service account, workload identity) and refreshes it, in a thread: it blocks.
Source: https://cloud.google.com/docs/authentication/application-default-credentials
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from shared.adapters.dispatch import PUBSUB_SCOPE
from shared.adapters.http_client import Blocking, HttpClient
from shared.adapters.oauth import BLOCKED_MAX_S, BODY_BYTES_MAX, TIMEOUT_S
from shared.core.errors import ProviderDown
from shared.protocol.wire import Request

_kept: list[Any] = []  # the credentials, found once


class _Answer:
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status, self.headers, self.data = status, headers, data


async def access_token() -> str:
    """Raises ProviderDown."""
    blocking = Blocking(HttpClient(), BLOCKED_MAX_S, TIMEOUT_S, BODY_BYTES_MAX)
    return await asyncio.to_thread(_token, blocking)


def _token(blocking: Blocking) -> str:
    from google.auth import default
    from google.auth.exceptions import GoogleAuthError, TransportError

    failed: Any = TransportError  # untyped

    def transport(
        url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> _Answer:
        parts = urlsplit(url)
        try:
            answer = blocking.send(
                f"{parts.scheme}://{parts.netloc}", Request(method, url, headers=headers or {}, body=body)
            )
        except ProviderDown as error:
            raise failed(str(error)) from error
        return _Answer(answer.status, answer.headers, answer.body)

    try:
        if not _kept:
            credentials, _ = default(scopes=[PUBSUB_SCOPE], request=cast(Any, transport))
            _kept.append(credentials)
        if not _kept[0].valid:
            _kept[0].refresh(transport)
    except GoogleAuthError as error:
        raise ProviderDown(f"no credentials of this environment ({type(error).__name__})") from error
    return str(_kept[0].token)
