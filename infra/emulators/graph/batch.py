"""`POST /v1.0/$batch`: up to 20 requests in one, each with an answer of its own, in any order.

    without dependsOn     at most 4 parts of a mailbox at a time
    with dependsOn        after the parts it names; 424 if one of them failed
    > 20, no or double id, unknown parent     400 for the whole batch
    absolute URL, nested batch                400 for that part

Source: https://learn.microsoft.com/en-us/graph/json-batching
"""

import asyncio
import base64
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from infra.emulators.graph.asgi import Request, Response, json_response
from infra.emulators.graph.errors import GraphError, bad_request

PARTS_MAX = 20  # https://learn.microsoft.com/en-us/graph/json-batching
WORKERS = 4  # https://learn.microsoft.com/en-us/graph/throttling-limits#outlook-service-limits

RunPart = Callable[[Request], Awaitable[Response]]
Part = dict[str, Any]


async def run_batch(request: Request, run_part: RunPart, rng: random.Random) -> Response:
    parts = _parts(request)
    workers: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(WORKERS))
    tasks: dict[str, asyncio.Task[Part]] = {}

    async def answer(part: Part) -> Part:
        parents = [await tasks[parent] for parent in part.get("dependsOn") or ()]
        if any(parent["status"] >= 400 for parent in parents):
            return _refused(part["id"], GraphError(424, "FailedDependency", "A dependent request has failed."))
        try:
            made = _part_request(request, part)
        except GraphError as error:
            return _refused(part["id"], error)
        async with workers[_mailbox(made.path)]:
            return _part_answer(part["id"], await run_part(made))

    for part in parts:
        tasks[part["id"]] = asyncio.create_task(answer(part))
    answers = list(await asyncio.gather(*tasks.values()))
    rng.shuffle(answers)
    return json_response({"responses": answers})


def _mailbox(path: str) -> str:
    """`me`, or `users/…`: whose workers a part waits for."""
    first, *rest = path.lower().split("/")[2:4]
    return first if first == "me" else "/".join((first, *rest))


def _parts(request: Request) -> list[Part]:
    try:
        value = request.json()
    except ValueError:
        value = None
    parts = value.get("requests") if isinstance(value, dict) else None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise bad_request("Invalid batch payload format.")
    if len(parts) > PARTS_MAX:
        raise bad_request(
            f"Number of batch request steps exceeds the maximum value of {PARTS_MAX}.", "MaximumValueExceeded"
        )
    ids = [part.get("id") for part in parts]
    if not all(isinstance(id_, str) and id_ for id_ in ids):
        raise bad_request("Invalid batch payload format: every request needs an id.")
    if len(set(ids)) != len(ids):
        raise bad_request("Request id has to be unique in a batch.")
    for part in parts:
        if not isinstance(part.get("method"), str) or not isinstance(part.get("url"), str):
            raise bad_request("Invalid batch payload format: every request needs a method and a url.")
    _check_dependencies(parts)
    return parts


def _check_dependencies(parts: list[Part]) -> None:
    """Every parent exists and comes before: so there is no circle."""
    seen: set[str] = set()
    for part in parts:
        parents = part.get("dependsOn") or []
        if not isinstance(parents, list) or not all(parent in seen for parent in parents):
            raise bad_request(f"Invalid dependsOn of request '{part['id']}'.")
        seen.add(part["id"])


def _part_request(outer: Request, part: Part) -> Request:
    url = part["url"]
    if "://" in url or url.startswith("//"):
        raise bad_request("Invalid request url: it must be relative to the service root.")
    path, _, query = url.partition("?")
    path = f"/v1.0/{path.lstrip('/')}"
    if path.lower().rstrip("/").endswith("$batch"):
        raise bad_request("A batch cannot contain a batch.")
    headers = {str(name).lower(): str(value) for name, value in (part.get("headers") or {}).items()}
    headers.setdefault("authorization", outer.headers.get("authorization", ""))
    headers.setdefault("client-request-id", outer.headers.get("client-request-id", ""))
    body = part.get("body")
    if body is not None and "content-type" not in headers:
        raise bad_request(f"Write request id : {part['id']} does not contain Content-Type header or body.")
    return Request(
        method=part["method"].upper(),
        path=path,
        query=parse_qsl(query, keep_blank_values=True),
        headers=headers,
        body=b"" if body is None else orjson.dumps(body),
        origin=outer.origin,
        in_batch=True,
    )


def _part_answer(part_id: str, response: Response) -> Part:
    part: Part = {"id": part_id, "status": response.status, "headers": response.headers}
    if response.body:
        try:
            part["body"] = orjson.loads(response.body)
        except ValueError:
            part["body"] = base64.b64encode(response.body).decode()
    return part


def _refused(part_id: str, error: GraphError) -> Part:
    body = {"error": {"code": error.code, "message": error.message}}
    return {"id": part_id, "status": error.status, "headers": {"Content-Type": "application/json"}, "body": body}
