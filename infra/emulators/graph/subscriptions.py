"""`/subscriptions`: made only after both URLs have proven themselves, kept until they expire, found by their owner.

    POST                    validation of both URLs, then 201
    PATCH                   expirationDateTime, notificationUrl: 200; over the limit 400 ErrorInvalidParameter
    POST …/reauthorize      204
    DELETE                  204
    gone or expired         404 ResourceNotFound, and no notification said so

Source: https://learn.microsoft.com/en-us/graph/api/subscription-post-subscriptions
"""

import asyncio
import re
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from infra.emulators.graph import errors
from infra.emulators.graph.asgi import Request, Response, json_response
from infra.emulators.graph.errors import GraphError, bad_request
from infra.emulators.graph.grants import Access
from infra.emulators.graph.handshake import Handshake
from infra.emulators.graph.mailbox import Mailbox
from infra.emulators.graph.odata import instant, instant_s, prefer, segments
from infra.emulators.graph.rich import certificate_fault
from infra.emulators.graph.route import READ
from infra.emulators.graph.world import World

CLIENT_STATE_MAX = 128  # https://learn.microsoft.com/en-us/graph/api/resources/subscription#properties
CERTIFICATE_ID_MAX = 128
PAGE_SIZE = 20
_KINDS = frozenset({"created", "updated", "deleted"})
_TLS = ("v1_0", "v1_1", "v1_2", "v1_3")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NOT_DRAFT = re.compile(r"^\s*isDraft\s+eq\s+(true|false)\s*$", re.IGNORECASE)
_NOT_RICH = re.compile(r"(?:^|,)\s*(?:body|uniquebody)\s*(?:,|$)", re.IGNORECASE)


@dataclass(slots=True)
class Subscription:
    id: str
    app_id: str
    owner: str | None  # address, None for the app itself
    creator_id: str
    mailbox: str
    folder_id: str | None
    drafts: bool | None  # only drafts, only others, or both
    kinds: frozenset[str]
    immutable_ids: bool
    expires_s: float
    body: dict[str, Any]  # as the client wrote it
    rich_select: tuple[str, ...] | None = None
    reauthorize_by_s: float | None = None  # unanswered reauthorizationRequired; after it deliveries are lost
    reminded_s: float = 0.0

    @property
    def lifecycle_url(self) -> str | None:
        return self.body.get("lifecycleNotificationUrl")

    @property
    def rich(self) -> bool:
        return bool(self.body.get("includeResourceData"))

    def expiration(self) -> str:
        return instant(self.expires_s, 1.0 if self.expires_s == int(self.expires_s) else 0.0)

    def as_dict(self, with_client_state: bool = True) -> dict[str, Any]:
        body = self.body
        return {
            "id": self.id,
            "resource": body["resource"],
            "applicationId": self.app_id,
            "changeType": body["changeType"],
            "clientState": body.get("clientState") if with_client_state else None,
            "notificationUrl": body["notificationUrl"],
            "notificationQueryOptions": None,
            "notificationContentType": None,
            "lifecycleNotificationUrl": self.lifecycle_url,
            "expirationDateTime": self.expiration(),
            "creatorId": self.creator_id,
            "includeResourceData": body.get("includeResourceData"),
            "latestSupportedTlsVersion": body.get("latestSupportedTlsVersion") or "v1_2",
            "encryptionCertificate": body.get("encryptionCertificate"),
            "encryptionCertificateId": body.get("encryptionCertificateId"),
            "notificationUrlAppId": None,
        }


class Subscriptions:
    def __init__(self, world: World) -> None:
        self._world = world
        self._handshake = Handshake(world)
        self.all: dict[str, Subscription] = {}

    def live(self) -> list[Subscription]:
        """Drops what has expired, silently as Graph does."""
        now = self._world.clock.now_s()
        for subscription in list(self.all.values()):
            if subscription.expires_s <= now:
                self.all.pop(subscription.id, None)
        return list(self.all.values())

    def endpoint(self, method: str, path: str) -> str:
        shape, _ = segments(path)
        named = {("POST", 1): "create", ("GET", 1): "list", ("PATCH", 2): "update", ("DELETE", 2): "delete"}
        named |= {("GET", 2): "get", ("POST", 3): "reauthorize"}
        return f"subscriptions.{named.get((method, len(shape)), 'unknown')}"

    async def answer(self, request: Request, path: str, access: Access) -> Response:
        shape, keys = segments(path)
        match (request.method, *shape):
            case ("POST", "subscriptions"):
                return await self._create(request, access)
            case ("GET", "subscriptions"):
                return self._list(request, access)
            case ("GET", "subscriptions", "*"):
                return self._one(request, self._own(keys[0], access))
            case ("PATCH", "subscriptions", "*"):
                return await self._update(request, self._own(keys[0], access))
            case ("DELETE", "subscriptions", "*"):
                with self._world.lock:
                    del self.all[self._own(keys[0], access).id]
                return Response(204)
            case ("POST", "subscriptions", "*", "reauthorize"):
                self._own(keys[0], access).reauthorize_by_s = None
                return Response(204)
        raise GraphError(405, "BadRequest", "Specified HTTP method is not allowed for the request target.")

    def _own(self, subscription_id: str, access: Access) -> Subscription:
        with self._world.lock:
            found = {item.id: item for item in self.live()}.get(subscription_id)
        if found is None or found.app_id != access.app_id or access.address not in (None, found.owner):
            raise errors.resource_not_found()
        return found

    def _list(self, request: Request, access: Access) -> Response:
        at = int(dict(request.query).get("$skiptoken", "0") or 0)
        with self._world.lock:
            own = [item for item in self.live() if item.app_id == access.app_id]
        own = [item for item in own if access.address in (None, item.owner)]
        shown = self._world.knobs.client_state_in_get
        value: dict[str, Any] = {"@odata.context": f"{request.origin}/v1.0/$metadata#subscriptions"}
        if at + PAGE_SIZE < len(own):
            value["@odata.nextLink"] = f"{request.origin}/v1.0/subscriptions?$skiptoken={at + PAGE_SIZE}"
        return json_response(value | {"value": [item.as_dict(shown) for item in own[at : at + PAGE_SIZE]]})

    def _one(self, request: Request, subscription: Subscription, status: int = 200) -> Response:
        context = f"{request.origin}/v1.0/$metadata#subscriptions/$entity"
        shown = status == 201 or self._world.knobs.client_state_in_get
        return json_response({"@odata.context": context, **subscription.as_dict(shown)}, status)

    async def _create(self, request: Request, access: Access) -> Response:
        body = _json_object(request)
        with self._world.lock:
            subscription = self._checked(request, access, body)
        for name in ("notificationUrl", "lifecycleNotificationUrl"):
            if body.get(name):
                await asyncio.to_thread(self._handshake.validate, body[name])
        with self._world.lock:
            self.all[subscription.id] = subscription
        return self._one(request, subscription, 201)

    def _checked(self, request: Request, access: Access, body: dict[str, Any]) -> Subscription:
        for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise bad_request(f"The property '{name}' is required.", "InvalidRequest")
        kinds = frozenset(kind.strip().lower() for kind in body["changeType"].split(","))
        if not kinds <= _KINDS:
            raise bad_request("ChangeType must be created, updated or deleted.", "InvalidRequest")
        for name in ("notificationUrl", "lifecycleNotificationUrl"):
            _check_url(name, body.get(name))
        state = body.get("clientState")
        if state is not None and (not isinstance(state, str) or len(state) > CLIENT_STATE_MAX):
            raise bad_request(f"clientState is a string of at most {CLIENT_STATE_MAX} characters.", "InvalidRequest")
        if body.get("latestSupportedTlsVersion") not in (None, *_TLS):
            raise bad_request("latestSupportedTlsVersion is not known.", "InvalidRequest")
        mailbox, folder_id, drafts, select = self._resource(access, body["resource"])
        if body.get("includeResourceData"):
            _check_rich(body, select)
        user = self._world.identity.grants.users.get((access.address or "").lower())
        return Subscription(
            id=str(uuid.uuid4()),
            app_id=access.app_id,
            owner=access.address,
            creator_id=user.oid if user else access.app_id,
            mailbox=mailbox.address,
            folder_id=folder_id,
            drafts=drafts,
            kinds=kinds,
            immutable_ids=prefer(request.headers.get("prefer", "")).immutable_ids,
            expires_s=self._expiry(body, "ExtensionError"),
            body=body,
            rich_select=tuple(select.split(",")) if select else None,
        )

    def _expiry(self, body: dict[str, Any], code: str) -> float:
        knobs, now = self._world.knobs, self._world.clock.now_s()
        minutes = (
            knobs.rich_subscription_minutes_max if body.get("includeResourceData") else knobs.subscription_minutes_max
        )
        expires_s = instant_s(str(body.get("expirationDateTime")))
        if expires_s <= now:
            raise bad_request("Subscription expiration must be in the future.", "InvalidRequest")
        if expires_s > now + minutes * 60:
            raise bad_request(f"Subscription expiration can only be {minutes} minutes in the future.", code)
        return expires_s

    def _resource(self, access: Access, resource: str) -> tuple[Mailbox, str | None, bool | None, str | None]:
        path, _, query = resource.partition("?")
        shape, keys = segments(path)
        wanted = access.address
        if shape[:1] == ("me",):
            shape = shape[1:]
        elif shape[:2] == ("users", "*"):
            shape, wanted, keys = shape[2:], keys[0], keys[1:]
        mailbox = self._world.by_user.get((wanted or "").lower())
        if shape not in (("messages",), ("mailfolders", "*", "messages")) or mailbox is None:
            raise bad_request(f"Unsupported resource '{resource}'.", "InvalidRequest")
        if not access.scopes & READ or (access.address is not None and mailbox.address != access.address):
            raise errors.access_denied()
        folder_id = None
        if keys:
            try:
                folder_id = mailbox.folder(keys[0]).id
            except KeyError:
                raise errors.item_not_found() from None
        options = {name.lower(): value for name, value in parse_qsl(query)}
        drafts = None
        if "$filter" in options:
            match = _NOT_DRAFT.match(options["$filter"])
            if match is None:
                raise bad_request("This stand-in filters notifications by isDraft only.", "InvalidRequest")
            drafts = match[1].lower() == "true"
        return mailbox, folder_id, drafts, options.get("$select")

    async def _update(self, request: Request, subscription: Subscription) -> Response:
        changes = _json_object(request)
        known = {"expirationDateTime", "notificationUrl", "encryptionCertificate", "encryptionCertificateId"}
        if not changes or not changes.keys() <= known:
            raise bad_request(
                "Only expirationDateTime, notificationUrl and the certificate can be updated.", "InvalidRequest"
            )
        body = subscription.body | changes
        expires_s = subscription.expires_s
        if "expirationDateTime" in changes:
            expires_s = self._expiry(body, "ErrorInvalidParameter")
        if "notificationUrl" in changes:
            _check_url("notificationUrl", changes["notificationUrl"])
            await asyncio.to_thread(self._handshake.validate, changes["notificationUrl"])
        if subscription.rich:
            _check_rich(body, ",".join(subscription.rich_select or ()))
        with self._world.lock:
            subscription.body = body
            subscription.expires_s = expires_s
            subscription.reauthorize_by_s = None
        return self._one(request, subscription)


def _json_object(request: Request) -> dict[str, Any]:
    try:
        value = request.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise bad_request("Unable to read JSON request payload.", "InvalidRequest")
    return value


def _check_url(name: str, url: Any) -> None:
    """https only; plain http is for loopback, which only this stand-in allows."""
    if url is None and name == "lifecycleNotificationUrl":
        return
    parts = urlsplit(url) if isinstance(url, str) else None
    if (
        parts is None
        or not parts.hostname
        or (parts.scheme, parts.hostname in _LOOPBACK)
        not in (
            ("https", True),
            ("https", False),
            ("http", True),
        )
    ):
        raise bad_request(f"{name} must be a well formed https URL.", "InvalidRequest")


def _check_rich(body: dict[str, Any], select: str | None) -> None:
    if not select or _NOT_RICH.search(select):
        raise bad_request("Resource data needs a $select without body and uniqueBody.", "InvalidRequest")
    if not body.get("encryptionCertificateId") or len(body["encryptionCertificateId"]) > CERTIFICATE_ID_MAX:
        raise bad_request("encryptionCertificateId is required.", "InvalidRequest")
    fault = certificate_fault(body.get("encryptionCertificate"))
    if fault is not None:
        raise bad_request(fault, "InvalidRequest")
    if not body.get("lifecycleNotificationUrl"):
        raise bad_request("lifecycleNotificationUrl is required with resource data.", "InvalidRequest")
