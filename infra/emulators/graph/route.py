"""Which path means which operation, and what a token must allow for it.

A message below a folder is the message, provided it is in that folder; a child folder by its id is the folder.
Source: https://learn.microsoft.com/en-us/graph/api/resources/mail-api-overview
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.emulators.graph import folders, messages
from infra.emulators.graph.asgi import Response, json_response
from infra.emulators.graph.context import Context
from infra.emulators.graph.delta import folders_delta, messages_delta
from infra.emulators.graph.errors import GraphError, bad_request
from infra.emulators.graph.mailbox import ROOT, Folder, Message
from infra.emulators.graph.odata import segments

READ = frozenset({"Mail.Read", "Mail.ReadWrite"})
WRITE = frozenset({"Mail.ReadWrite"})
SEND = frozenset({"Mail.Send"})
PROFILE = frozenset({"User.Read", "User.ReadWrite", "User.ReadBasic.All", "User.Read.All"})

Keys = list[str]
Run = Callable[[Context, Keys], Response]


@dataclass(frozen=True, slots=True)
class Route:
    endpoint: str
    scopes: frozenset[str]
    run: Run


@dataclass(frozen=True, slots=True)
class Target:
    """A path that means something. `user` None is `me`."""

    route: Route
    user: str | None
    keys: Keys
    folder: str | None
    message: str | None


def _on_message(run: Callable[[Context, Message], Response]) -> Run:
    return lambda context, keys: run(context, context.message(keys[0]))


def _on_folder(run: Callable[[Context, Folder], Response]) -> Run:
    return lambda context, keys: run(context, context.folder(keys[0]))


def _profile(context: Context, keys: Keys) -> Response:
    mailbox = context.mailbox
    name = mailbox.address.partition("@")[0].replace(".", " ").title()
    given, _, surname = name.partition(" ")
    value: dict[str, Any] = {
        "businessPhones": [],
        "displayName": name,
        "givenName": given,
        "jobTitle": None,
        "mail": mailbox.address,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "surname": surname or None,
        "userPrincipalName": mailbox.address,
        "id": mailbox.user_id,
    }
    chosen = context.options.select({key.lower(): key for key in value}, "microsoft.graph.user")
    if chosen is not None:
        value = {key: value[key] for key in chosen}
    return json_response({"@odata.context": f"{context.request.origin}/v1.0/$metadata#users/$entity", **value})


def _no_mailbox_delta(context: Context, keys: Keys) -> Response:
    raise bad_request("Unsupported request: Change tracking is not supported against 'microsoft.graph.message'.")


def _count(context: Context, keys: Keys) -> Response:
    folder = context.folder(keys[0])
    return Response(200, str(len(folder.members)).encode(), {"Content-Type": "text/plain"})


def _send(context: Context, keys: Keys) -> Response:
    message = context.message(keys[0])
    if not message.is_draft:
        raise bad_request("The item is not a draft.", "ErrorInvalidRequest")
    context.mailbox.send(message)
    return Response(202)


_MESSAGE = ("messages", "*")
_FOLDER = ("mailfolders", "*")
_TABLE: dict[tuple[str, tuple[str, ...]], Route] = {
    ("GET", ()): Route("me", PROFILE, _profile),
    ("GET", ("messages",)): Route("messages.list", READ, lambda c, keys: messages.list_messages(c, None)),
    ("GET", ("messages", "delta")): Route("messages.mailbox_delta", READ, _no_mailbox_delta),
    ("GET", _MESSAGE): Route("messages.get", READ, _on_message(messages.get_message)),
    ("PATCH", _MESSAGE): Route("messages.update", WRITE, _on_message(messages.patch_message)),
    ("DELETE", _MESSAGE): Route("messages.delete", WRITE, _on_message(messages.delete_message)),
    ("GET", (*_MESSAGE, "$value")): Route("messages.raw", READ, _on_message(messages.get_raw)),
    ("POST", (*_MESSAGE, "move")): Route("messages.move", WRITE, _on_message(messages.move_message)),
    ("POST", (*_MESSAGE, "permanentdelete")): Route(
        "messages.purge", WRITE, _on_message(messages.permanently_delete_message)
    ),
    ("POST", (*_MESSAGE, "send")): Route("messages.send", SEND, _send),
    ("GET", (*_MESSAGE, "attachments")): Route("attachments.list", READ, _on_message(messages.list_attachments)),
    ("GET", (*_MESSAGE, "attachments", "*")): Route(
        "attachments.get", READ, lambda c, keys: messages.get_attachment(c, c.message(keys[0]), keys[1])
    ),
    ("GET", (*_MESSAGE, "attachments", "*", "$value")): Route(
        "attachments.raw", READ, lambda c, keys: messages.get_attachment(c, c.message(keys[0]), keys[1], raw=True)
    ),
    ("POST", ("translateexchangeids",)): Route("translate", READ, lambda c, keys: messages.translate_ids(c)),
    ("GET", ("mailfolders",)): Route("folders.list", READ, lambda c, keys: folders.list_folders(c, ROOT)),
    ("POST", ("mailfolders",)): Route("folders.create", WRITE, lambda c, keys: folders.create_folder(c, ROOT)),
    ("GET", ("mailfolders", "delta")): Route("folders.delta", READ, lambda c, keys: json_response(folders_delta(c))),
    ("GET", _FOLDER): Route("folders.get", READ, _on_folder(folders.get_folder)),
    ("PATCH", _FOLDER): Route("folders.update", WRITE, _on_folder(folders.rename_folder)),
    ("DELETE", _FOLDER): Route("folders.delete", WRITE, _on_folder(folders.delete_folder)),
    ("POST", (*_FOLDER, "move")): Route("folders.move", WRITE, _on_folder(folders.move_folder)),
    ("POST", (*_FOLDER, "permanentdelete")): Route(
        "folders.purge", WRITE, _on_folder(folders.permanently_delete_folder)
    ),
    ("GET", (*_FOLDER, "childfolders")): Route(
        "folders.children", READ, lambda c, keys: folders.list_folders(c, keys[0])
    ),
    ("POST", (*_FOLDER, "childfolders")): Route(
        "folders.create", WRITE, lambda c, keys: folders.create_folder(c, keys[0])
    ),
    ("GET", (*_FOLDER, "messages")): Route("messages.list", READ, lambda c, keys: messages.list_messages(c, keys[0])),
    ("GET", (*_FOLDER, "messages", "$count")): Route("messages.count", READ, _count),
    ("GET", (*_FOLDER, "messages", "delta")): Route(
        "messages.delta", READ, lambda c, keys: json_response(messages_delta(c, keys[0]))
    ),
}
_SHAPES = {shape for _, shape in _TABLE}


def target(method: str, path: str) -> Target:
    """`path` without its version; GraphError 400 or 405 for what means nothing."""
    shape, keys = segments(path)
    user: str | None = None
    if shape[:1] == ("me",):
        shape = shape[1:]
    elif shape[:2] == ("users", "*"):
        shape, user, keys = shape[2:], keys[0], keys[1:]
    else:
        raise bad_request(f"Resource not found for the segment '{shape[0] if shape else ''}'.")
    while shape[:4] == ("mailfolders", "*", "childfolders", "*"):
        shape, keys = ("mailfolders", *shape[3:]), keys[1:]
    folder = keys[0] if shape[:2] == _FOLDER else None
    message = keys[0] if shape[:2] == _MESSAGE else None
    within: str | None = None
    if shape[:4] == ("mailfolders", "*", "messages", "*"):
        within, shape, keys = keys[0], shape[2:], keys[1:]
        message = keys[0]
    route = _TABLE.get((method, shape))
    if route is None:
        if shape in _SHAPES:
            raise GraphError(405, "BadRequest", "Specified HTTP method is not allowed for the request target.")
        raise bad_request(f"Resource not found for the segment '{shape[-1]}'.")
    if within is not None:
        route = Route(route.endpoint, route.scopes, _only_within(within, route.run))
    return Target(route, user, keys, folder, message)


def _only_within(folder: str, run: Run) -> Run:
    def checked(context: Context, keys: Keys) -> Response:
        if context.message(keys[0]).folder_id != context.folder(folder).id:
            raise GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return run(context, keys)

    return checked
