"""The way of a request through Graph: token, mailbox, faults, limits, operation, headers; written down as it goes.

    step                refuses with
    path                400, 405
    token               401
    scopes, mailbox     403, 404
    fault on order      whatever was ordered
    limits              429, 403
    operation           400 to 504

The slot is held through the latency and the operation. All state is touched under one lock, never across an await.
Source: https://learn.microsoft.com/en-us/graph/best-practices-concept
"""

import asyncio
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from infra.emulators.graph import errors
from infra.emulators.graph.asgi import Breakage, Request, Response, json_response
from infra.emulators.graph.batch import run_batch
from infra.emulators.graph.context import Context, body_type
from infra.emulators.graph.errors import GraphError
from infra.emulators.graph.faults import Place
from infra.emulators.graph.grants import Access
from infra.emulators.graph.mailbox import Mailbox
from infra.emulators.graph.odata import options, prefer
from infra.emulators.graph.record import Line
from infra.emulators.graph.route import Target, target
from infra.emulators.graph.subscriptions import Subscriptions
from infra.emulators.graph.world import World

VERSION = "/v1.0"
_DIAGNOSTIC = (
    '{"ServerInfo":{"DataCenter":"Emulator","Slice":"E","Ring":"0","ScaleUnit":"000","RoleInstance":"TM0EPF00000000"}}'
)


@dataclass(slots=True)
class GraphApi:
    world: World
    subscriptions: Subscriptions

    async def answer(self, request: Request) -> Response:
        line = self._begin(request)
        started = time.perf_counter()
        try:
            response = await self._operate(request, line)
        except GraphError as error:
            response = self._refusal(request, error)
        self._finish(request, response)
        if request.in_batch and response.breakage is not None:
            response = self._refusal(request, errors.unknown_error(502))
        line.took_ms = (time.perf_counter() - started) * 1000
        self.world.record.end(line, response.status, len(response.body))
        return response

    def _begin(self, request: Request) -> Line:
        headers = request.headers
        return self.world.record.begin(
            at_s=self.world.clock.now_s(),
            method=request.method,
            url=f"{request.path}?{urlencode(request.query)}" if request.query else request.path,
            endpoint="unknown",
            app_id=None,
            mailbox=None,
            prefer=headers.get("prefer"),
            client_request_id=headers.get("client-request-id") or None,
            user_agent=headers.get("user-agent"),
            in_batch=request.in_batch,
        )

    async def _operate(self, request: Request, line: Line) -> Response:
        path = request.path[len(VERSION) :]
        first = path.strip("/").partition("/")[0].lower()
        if first == "$batch":
            self._name(line, "batch")
            return await self._batch(request)
        if first.partition("(")[0] == "subscriptions":
            self._name(line, self.subscriptions.endpoint(request.method, path))
            access = self._access(request)
            line.app_id, line.mailbox = access.app_id, access.address
            breakage = await self._latency_and_faults(request, Place(line.endpoint, request.method, access.address))
            response = await self.subscriptions.answer(request, path, access)
            response.breakage = breakage
            return response
        found = target(request.method, path)
        self._name(line, found.route.endpoint)
        return await self._mail(request, found, line)

    def _name(self, line: Line, endpoint: str) -> None:
        endpoints = self.world.record.endpoints
        endpoints[line.endpoint] -= 1
        if not endpoints[line.endpoint]:
            del endpoints[line.endpoint]
        line.endpoint = endpoint
        endpoints[endpoint] += 1

    async def _batch(self, request: Request) -> Response:
        if request.method != "POST":
            raise GraphError(405, "BadRequest", "Specified HTTP method is not allowed for the request target.")
        access = self._access(request)
        breakage = await self._latency_and_faults(request, Place("batch", "POST", access.address))
        response = await run_batch(request, self.answer, self.world.rng)
        response.breakage = breakage
        return response

    async def _latency_and_faults(self, request: Request, place: Place) -> Breakage | None:
        """Waits, refuses by raising, or names how an answer that is yet to be made will be broken."""
        world = self.world
        breakage: Breakage | None = None
        delay_s = world.knobs.latency_ms / 1000 * (world.knobs.part_latency_share if request.in_batch else 1.0)
        refusal: GraphError | None = None
        with world.lock:
            struck = world.faults.strike(place)
        for fault in struck:
            world.record.faults[fault.kind] += 1
            delay_s += fault.delay_s
            refusal = refusal or fault.refusal()
            breakage = breakage or fault.breakage()
        await asyncio.sleep(delay_s)
        if refusal is not None:
            raise refusal
        return breakage

    async def _mail(self, request: Request, found: Target, line: Line) -> Response:
        world = self.world
        access = self._access(request)
        line.app_id = access.app_id
        mailbox = self._mailbox(access, found)
        line.mailbox = mailbox.address
        if not access.scopes & found.route.scopes:
            raise errors.access_denied()
        limited = found.route.endpoint != "me"
        if limited:
            with world.lock:
                world.throttle.enter(access.app_id, mailbox.address)
        try:
            breakage = await self._latency_and_faults(request, self._place(request, found, mailbox))
            with world.lock:
                response = self._run(request, found, mailbox)
            response.breakage = breakage
            return response
        finally:
            if limited:
                with world.lock:
                    world.throttle.leave(access.app_id, mailbox.address)

    def _run(self, request: Request, found: Target, mailbox: Mailbox) -> Response:
        world = self.world
        if mailbox.full and found.route.endpoint in ("messages.delta", "folders.delta"):
            raise errors.quota_exceeded()
        wishes = prefer(request.headers.get("prefer", ""))
        context = Context(
            request=request,
            mailbox=mailbox,
            principal="me" if found.user is None else f"users('{found.user.replace(chr(39), chr(39) * 2)}')",
            options=options(request.query),
            prefer=wishes,
            chains=world.chains[mailbox.address],
            contents=world.contents,
            knobs=world.knobs,
            now_s=world.clock.now_s(),
            rng=world.rng,
            body_type=body_type(wishes, world.knobs, world.rng),
        )
        response = found.route.run(context, found.keys)
        applied = context.applied()
        if applied is not None:
            response.headers["Preference-Applied"] = applied
        return response

    def _access(self, request: Request) -> Access:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise errors.unauthorized("Access token is empty.")
        access = self.world.identity.access(token.strip())
        if access is None:
            raise errors.unauthorized()
        return access

    def _mailbox(self, access: Access, found: Target) -> Mailbox:
        world = self.world
        if found.user is None and access.address is None:
            raise errors.bad_request("/me request is only valid with delegated authentication flow.")
        wanted = (found.user or access.address or "").lower()
        mailbox = world.by_user.get(wanted)
        if mailbox is not None:
            if access.address is not None and mailbox.address.lower() != access.address.lower():
                raise errors.access_denied()
            return mailbox
        if found.user is None or wanted in world.identity.grants.users:
            raise errors.no_mailbox()
        raise errors.invalid_user(found.user)

    def _place(self, request: Request, found: Target, mailbox: Mailbox) -> Place:
        folder: set[str] = set()
        message: set[str] = set()
        try:
            if found.message is not None:
                item = mailbox.message(found.message)
                message = {item.immutable_id, item.mutable_id}
                folder.add(item.folder_id)
            elif found.folder is not None:
                folder.add(mailbox.folder(found.folder).id)
        except KeyError:
            pass
        for folder_id in list(folder):
            known = mailbox.folders[folder_id]
            folder |= {known.name, known.well_known or ""}
        return Place(
            found.route.endpoint,
            request.method,
            mailbox.address,
            frozenset(folder),
            frozenset(message),
            request.in_batch,
        )

    def _refusal(self, request: Request, error: GraphError) -> Response:
        request_id = str(uuid.uuid4())
        date = f"{datetime.fromtimestamp(self.world.clock.now_s(), UTC):%Y-%m-%dT%H:%M:%S}"
        body = error.body(request_id, request.headers.get("client-request-id") or request_id, date)
        return json_response(body, error.status, {**error.headers, "request-id": request_id})

    def _finish(self, request: Request, response: Response) -> None:
        headers = response.headers
        request_id = headers.setdefault("request-id", str(uuid.uuid4()))
        headers["client-request-id"] = request.headers.get("client-request-id") or request_id
        headers.setdefault("Cache-Control", "private")
        if not request.in_batch:
            headers["x-ms-ags-diagnostic"] = _DIAGNOSTIC
            headers["Strict-Transport-Security"] = "max-age=31536000"
