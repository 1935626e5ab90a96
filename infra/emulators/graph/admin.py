"""The admin API: `POST /_admin/{method}` with the arguments of a `GraphEmulator` method as a JSON object.

    deliver takes `raw_base64` (or `raw`, text) in place of bytes
    GET  /_admin/counters | requests?since= | snapshot?address= | folders?address= | subscriptions | deliveries | knobs
    GET  /_admin/clock → {"now_s"}; POST /_admin/clock {"advance_s", "rate"}
    answers: 200 {"result": …}; 400 {"error": "…"} for what does not fit, 404 for no such method

No key: it binds to loopback. It is not part of Graph, and nothing in it is counted.
"""

import asyncio
import base64
import binascii
import inspect
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from infra.emulators.graph.asgi import Request, Response, json_response
from infra.emulators.graph.errors import GraphError

if TYPE_CHECKING:
    from infra.emulators.graph.emulator import GraphEmulator

READS = (
    "counters",
    "requests",
    "snapshot",
    "folders",
    "folder_id",
    "subscriptions",
    "deliveries",
    "resource",
    "mutable_id",
)
ACTIONS = (
    "add_mailbox",
    "add_folder",
    "rename_folder",
    "move_folder",
    "delete_folder",
    "deliver",
    "move",
    "update",
    "hard_delete",
    "save_draft",
    "send",
    "set_mailbox_full",
    "expire_delta",
    "set_fault",
    "clear_faults",
    "set_knobs",
    "mint_refresh_token",
    "mint_access_token",
    "revoke",
    "lifecycle",
    "notify",
    "settle",
    "reset_counters",
)
IDENTITY = (
    "register_app",
    "expire_access_tokens",
    "set_strict_rotation",
    "set_auto_approve",
    "set_fault",
    "clear_faults",
    "revoke",
)
_JSON = {"Content-Type": "application/json; charset=utf-8"}


class Admin:
    def __init__(self, emulator: "GraphEmulator") -> None:
        self._emulator = emulator

    async def answer(self, request: Request) -> Response:
        name = request.path.removeprefix("/_admin/").strip("/")
        try:
            arguments = self._arguments(request)
            result = await asyncio.to_thread(self._call, request.method, name, arguments)
        except LookupError as error:
            status = 404 if isinstance(error, _NoSuchMethod) else 400
            return json_response({"error": str(error.args[0] if error.args else error)}, status, _JSON)
        except (ValueError, TypeError, GraphError) as error:
            return json_response({"error": str(error)}, 400, _JSON)
        return json_response({"result": result}, 200, _JSON)

    def _arguments(self, request: Request) -> dict[str, Any]:
        arguments: dict[str, Any] = dict(request.query)
        if "since" in arguments:
            arguments["since"] = int(arguments["since"])
        if request.body:
            body = request.json()
            if not isinstance(body, dict):
                raise ValueError("the body is a JSON object of arguments")
            arguments |= body
        if "raw_base64" in arguments:
            try:
                arguments["raw"] = base64.b64decode(arguments.pop("raw_base64"), validate=True)
            except binascii.Error as error:
                raise ValueError(f"raw_base64: {error}") from error
        elif isinstance(arguments.get("raw"), str):
            arguments["raw"] = arguments["raw"].encode()
        for listed in ("scopes", "redirect_uris"):
            if isinstance(arguments.get(listed), list):
                arguments[listed] = tuple(arguments[listed])
        return arguments

    def _call(self, method: str, name: str, arguments: dict[str, Any]) -> Any:
        emulator = self._emulator
        if name == "knobs":
            emulator.set_knobs(**arguments)
            return emulator.knobs.as_dict()
        if name == "clock":
            emulator.clock.advance(float(arguments.get("advance_s", 0)))
            emulator.clock.run_at(float(arguments.get("rate", emulator.clock.rate)))
            return {"now_s": emulator.clock.now_s(), "rate": emulator.clock.rate}
        if name.startswith("identity/") and name.removeprefix("identity/") in IDENTITY and method == "POST":
            result = self._bound(getattr(emulator.identity, name.removeprefix("identity/")), arguments)
            return asdict(result) | {"roles": sorted(result.roles)} if hasattr(result, "client_id") else result
        if name in READS or (name in ACTIONS and method == "POST"):
            return self._bound(getattr(emulator, name), arguments)
        raise _NoSuchMethod(f"no admin method {method} {name}; there are {', '.join((*READS, *ACTIONS))}")

    def _bound(self, call: Any, arguments: dict[str, Any]) -> Any:
        inspect.signature(call).bind(**arguments)
        return call(**arguments)


class _NoSuchMethod(LookupError):
    pass
