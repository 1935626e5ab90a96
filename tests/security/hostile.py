"""A provider that lies: the stand-in's answers with one value in them replaced by what no parser expects.

lies = hostile(world)                   before the world is entered
lies.tell(seed)                         one of the next answers is a lie, decided by the seed
"""

import json
import random
import re
from typing import Any

from infra.emulators.server import Server
from tests.outlook_world import OutlookWorld
from tests.world import GmailWorld

RAW = "\x7fraw"  # stands for a token that json.dumps would not write
DEEP = "[" * 3000 + "]" * 3000
TOKENS = (
    "1" + "0" * 400,
    "-1e999",
    "1e308",
    "NaN",
    '"\\ud800"',
    DEEP,
    '{"a":' * 900 + "1" + "}" * 900,
    "18446744073709551616",
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**53,
        2**63,
        "",
        " ",
        "0",
        "-1",
        "9" * 400,
        "x" * 100_000,
        "\0",
        "a|b,c;d:e/f",
        "é" * 300,
    ),
    *(
        [],
        {},
        [None],
        [[]],
        [{}],
        {"": None},
        {"a": [1]},
        ["x"] * 5000,
        "https://evil.example/x",
        "//evil.example",
        "../..",
        "*",
    ),
    *("2026-99-99T99:99:99Z", "9999-12-31T23:59:59Z", '<x@y>, "z" <', "=?utf-8?b?////?=", "\r\nX-Evil: 1"),
)
BODIES = (
    b"",
    b"null",
    b"[]",
    b"0",
    b'"x"',
    b"{",
    b"\xff\xfe",
    b"<html>",
    b"{}",
    DEEP.encode(),
    b"{" * 100_000,
    b'{"value":[{}]}',
)
PART = re.compile(rb"\r\n\r\n(\{.*?\})\s*(?=\r\n--)", re.DOTALL)


def mutated(body: bytes, chance: random.Random) -> bytes:
    """One value replaced, removed or doubled; sometimes the whole body, or only its beginning."""
    if chance.random() < 0.1:
        return chance.choice((*BODIES, body[: chance.randrange(len(body) + 1)], body * 2))
    spans = [match.span(1) for match in PART.finditer(body)] or [(0, len(body))]
    start, end = chance.choice(spans)
    try:
        document = json.loads(body[start:end])
    except ValueError:
        return chance.choice(BODIES)
    places = list(_places(document))
    if not places:
        return chance.choice(BODIES)
    holder, key = chance.choice(places)
    token = None
    if chance.random() < 0.15:
        del holder[key]
    elif chance.random() < 0.3:
        token = chance.choice(TOKENS)
        holder[key] = RAW
    else:
        holder[key] = chance.choice(VALUES)
    text = json.dumps(document)
    if token is not None:
        text = text.replace(json.dumps(RAW), token)
    return body[:start] + text.encode() + body[end:]


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key, child in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            yield value, key
            yield from _places(child)


class Lies:
    """ASGI around the stand-in's app."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._chance: random.Random | None = None
        self._wait = 0
        self.replace: dict[str, str] = {}  # members of every answer, as long as they are in here
        self.told: list[str] = []  # of those, what has been told

    def tell(self, seed: int, within: int = 5) -> None:
        self._chance = random.Random(seed)
        self._wait = self._chance.randrange(within)

    def stop(self) -> None:
        self._chance = None
        self.replace = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not self._lies_now():
            await self._app(scope, receive, send)
            return
        chance, self._chance = self._chance, None
        start: dict[str, Any] = {}
        chunks: list[bytes] = []

        async def keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                chunks.append(message.get("body", b""))

        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self._app({**scope, "headers": plain}, receive, keep)
        body = b"".join(chunks)
        body = mutated(body, chance) if chance else self._replaced(body)
        start["headers"] = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        start["headers"].append((b"content-length", str(len(body)).encode()))
        await send(start)
        await send({"type": "http.response.body", "body": body})

    def _lies_now(self) -> bool:
        self._wait -= 1
        return bool(self.replace) or (self._chance is not None and self._wait < 0)

    def _replaced(self, body: bytes) -> bytes:
        document = json.loads(body) if body.startswith(b"{") else None
        for holder, name in list(_places(document)):
            if name in self.replace:
                holder[name] = self.replace[name]
                self.told.append(self.replace[name])
        return body if document is None else json.dumps(document).encode()


def hostile(world: GmailWorld | OutlookWorld) -> Lies:
    lies = Lies(world.gmail.app if isinstance(world, GmailWorld) else world.graph.app)
    world._server._listener.close()  # it has not been started
    world._server = Server(lies)
    return lies
