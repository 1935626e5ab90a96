"""JSON `$batch`: up to 20 GETs in one request, answers in any order, each with a status of its own.

Parts are matched by id, never by place; a missing one is missing, a double one counts once. Each is read by itself: one
that can't be read is as good as missing, and a header that is neither text nor number as not sent. URLs are relative to
the service root (`/v1.0` is cut off), headers belong to each part: `Prefer` is not inherited.

Source: https://learn.microsoft.com/en-us/graph/json-batching
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from shared.core.errors import ContractBroken
from shared.protocol.graph.document import read_json, write_json
from shared.protocol.wire import Request, Response

PARTS_MAX = 20  # https://learn.microsoft.com/en-us/graph/json-batching
ROOT = "/v1.0"
PATH = f"{ROOT}/$batch"


class _Part(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    status: int
    headers: dict[str, Any] | None = None
    body: Any = None


def build(parts: Sequence[tuple[str, Request]], origin: str, *, in_turn: bool = False) -> Request:
    """`origin` is cut off of absolute links, which the caller has checked.

    `in_turn`: one part after the other, so that the batch is one request in flight; else four at a time. A part that
    waits for one that fails is not tried (424).
    """
    asked: list[dict[str, Any]] = [
        {"id": key, "method": "GET", "url": _relative(request, origin), "headers": dict(request.headers)}
        for key, request in parts
    ]
    for before, part in zip(asked, asked[1:] if in_turn else (), strict=False):
        part["dependsOn"] = [before["id"]]
    headers = {"content-type": "application/json", "accept": "application/json"}
    return Request("POST", PATH, headers=headers, body=orjson.dumps({"requests": asked}))


def _relative(request: Request, origin: str) -> str:
    path = request.path.removeprefix(origin).removeprefix(ROOT)
    query = "&".join(f"{name}={value}" for name, value in request.query)
    return f"{path}?{query}" if query else path


def parse(response: Response) -> Mapping[str, Response]:
    """Every part as a response of its own; raises ContractBroken for what is no batch answer."""
    try:
        answer = read_json(response.body)
    except ValueError as error:
        raise ContractBroken("a batch answer can't be read") from error
    parts = answer.get("responses") if isinstance(answer, dict) else None
    if not isinstance(parts, list):
        raise ContractBroken("a batch answer can't be read")
    return dict(filter(None, map(_part, parts)))


def _part(said: object) -> tuple[str, Response] | None:
    try:
        part = _Part.model_validate(said)
        body = write_json(part.body)
    except ValueError:
        return None
    headers = {name.lower(): str(value) for name, value in (part.headers or {}).items() if _is_header(value)}
    return part.id, Response(part.status, headers, body)


def _is_header(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
