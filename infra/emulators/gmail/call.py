"""One API call as its handler sees it, and how a route says who may call it with what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from infra.emulators.gmail import errors, payload
from infra.emulators.gmail.fields import Shape
from infra.emulators.gmail.mailbox import Mailbox
from infra.emulators.gmail.settings import (
    SCOPE_ALL,
    SCOPE_COMPOSE,
    SCOPE_INSERT,
    SCOPE_LABELS,
    SCOPE_METADATA,
    SCOPE_MODIFY,
    SCOPE_READONLY,
    SCOPE_SEND,
)

if TYPE_CHECKING:
    from infra.emulators.gmail.watch import Watches

MODIFY = frozenset({SCOPE_ALL, SCOPE_MODIFY})
CONTENT = MODIFY | {SCOPE_READONLY}
READ = CONTENT | {SCOPE_METADATA}
LABELS = READ | {SCOPE_LABELS}
EDIT_LABELS = MODIFY | {SCOPE_LABELS}
FULL = frozenset({SCOPE_ALL})
COMPOSE = MODIFY | {SCOPE_COMPOSE}
DRAFTS = COMPOSE | {SCOPE_READONLY}
SEND = COMPOSE | {SCOPE_SEND}
INSERT = MODIFY | {SCOPE_INSERT}
PROFILE = READ | {SCOPE_COMPOSE}

Answer = dict[str, Any] | None  # None: 204


@dataclass(slots=True)
class Call:
    mailbox: Mailbox
    ids: tuple[str, ...]  # from the path
    params: dict[str, list[str]]
    raw_body: bytes
    scopes: frozenset[str]
    watches: "Watches"

    def param(self, name: str, default: str = "") -> str:
        return self.params.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        value = self.param(name, "false")
        if value not in ("true", "false"):
            raise errors.invalid_value(name, "TYPE_BOOL", value)
        return value == "true"

    def sees_content(self) -> bool:
        return bool(self.scopes & CONTENT)

    def body(self, *names: str) -> dict[str, Any]:
        """The JSON body; 400 for anything but an object with no other fields than these."""
        if not self.raw_body.strip():
            return {}
        try:
            parsed = orjson.loads(self.raw_body)
        except orjson.JSONDecodeError:
            raise errors.ApiError(400, "Invalid JSON payload received. Parse error.", "parseError") from None
        if not isinstance(parsed, dict):
            raise errors.ApiError(400, "Invalid JSON payload received. Root element must be a message.", "badRequest")
        for name in parsed:
            if name not in names:
                raise errors.ApiError(
                    400,
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.',
                    "badRequest",
                )
        return parsed

    def strings(self, body: dict[str, Any], name: str) -> list[str]:
        value = body.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise errors.invalid_value(name, "TYPE_STRING", str(value))
        return value


def raw_message(resource: Any) -> tuple[bytes, str | None]:
    """(bytes, threadId) of a Message in a request."""
    if not isinstance(resource, dict) or not isinstance(resource.get("raw"), str) or not resource["raw"]:
        raise errors.invalid_argument(
            "'raw' RFC822 payload message string or uploading message via /upload/* URL required"
        )
    try:
        raw = payload.unbase64url(resource["raw"])
    except ValueError:
        raise errors.invalid_value("message.raw", "TYPE_BYTES", "Base64 decoding failed") from None
    thread_id = resource.get("threadId")
    return raw, thread_id if isinstance(thread_id, str) else None


@dataclass(frozen=True, slots=True)
class Route:
    name: str  # as in the price list
    method: str
    path: str  # below /gmail/v1/users/{userId}/, with {} for an id
    handler: Callable[[Call], Answer]
    scopes: frozenset[str]
    params: frozenset[str]
    shape: Shape
