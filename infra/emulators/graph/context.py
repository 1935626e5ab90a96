"""One request on its way through an operation: who asks, of which mailbox, with which options and preferences."""

import random
from dataclasses import dataclass
from typing import Any

import orjson

from infra.emulators.graph.asgi import Request
from infra.emulators.graph.chains import Chains
from infra.emulators.graph.convert import Content
from infra.emulators.graph.errors import bad_request, item_not_found, unknown_error
from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.mailbox import Folder, Mailbox, Message
from infra.emulators.graph.odata import BodyType, Options, Prefer
from infra.emulators.graph.view import Seen


class Contents:
    """Converted messages by their bytes, so that a thousand copies of one mail are read once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Content] = {}

    def of(self, raw: bytes) -> Content:
        found = self._known.get(raw)
        if found is None:
            found = self._known[raw] = Content(raw)
        return found


@dataclass(slots=True)
class Context:
    request: Request
    mailbox: Mailbox
    principal: str  # as links spell it
    options: Options
    prefer: Prefer
    chains: Chains
    contents: Contents
    knobs: Knobs
    now_s: float
    rng: random.Random
    body_type: BodyType = "html"

    def seen(self, message: Message) -> Seen:
        return Seen(message, self.contents.of(message.raw), self.mailbox, self.knobs, self.body_type)

    def message(self, reference: str) -> Message:
        try:
            return self.mailbox.message(reference)
        except KeyError:
            raise item_not_found() from None

    def folder(self, reference: str) -> Folder:
        try:
            return self.mailbox.folder(reference)
        except KeyError:
            raise item_not_found() from None

    def json_object(self) -> dict[str, Any]:
        try:
            value = self.request.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise bad_request("Unable to read JSON request payload. Please ensure Content-Type header is set.")
        return value

    def arguments(self) -> dict[str, Any]:
        """An action's arguments by lower-case name: the SDKs write `DestinationId`, the docs `destinationId`."""
        return {name.lower(): value for name, value in self.json_object().items()}

    def check_page(self, rows: list[dict[str, Any]]) -> None:
        """The gateway gives up on pages that are too big; one item alone always gets through."""
        if len(rows) > 1 and len(orjson.dumps(rows)) > self.knobs.page_bytes_max:
            raise unknown_error(504)

    def applied(self) -> str | None:
        """The `Preference-Applied` header."""
        said = []
        if self.prefer.page_size is not None:
            said.append(f"odata.maxpagesize={self.prefer.page_size}")
        if self.prefer.immutable_ids:
            said.append("IdType=ImmutableId")
        if self.prefer.body is not None and self.prefer.body == self.body_type:
            said.append(f'outlook.body-content-type="{self.body_type}"')
        return ", ".join(said) or None


def body_type(prefer: Prefer, knobs: Knobs, rng: random.Random) -> BodyType:
    """HTML unless text is preferred, and sometimes even then (a knob): the echo tells."""
    if prefer.body != "text":
        return "html"
    ignored = knobs.ignore_body_preference_probability
    return "html" if ignored and rng.random() < ignored else "text"
