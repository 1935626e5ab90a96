"""Operations on mail folders: list (children of the root only), read, create, rename, move, delete.

DELETE puts a folder below Deleted Items with its id kept; permanentDelete ends it and all that is in it.
Well-known folders refuse both.
Source: https://learn.microsoft.com/en-us/graph/api/user-list-mailfolders
"""

from typing import Any
from urllib.parse import quote

from infra.emulators.graph.asgi import Response, json_response
from infra.emulators.graph.context import Context
from infra.emulators.graph.errors import GraphError, access_denied, bad_request
from infra.emulators.graph.mailbox import Folder
from infra.emulators.graph.view import FOLDER_SELECTABLE, FOLDER_TYPE, folder_row

TOP_MAX = 1000


def list_folders(context: Context, parent_reference: str) -> Response:
    parent = context.folder(parent_reference)
    options = context.options
    select = options.select(FOLDER_SELECTABLE, FOLDER_TYPE)
    if options.get("$filter") is not None or options.get("$search") is not None:
        raise bad_request("This stand-in does not filter folders.", "ErrorInvalidUrlQuery")
    size = options.integer("$top", 1, TOP_MAX) or min(context.prefer.page_size or 10, TOP_MAX)
    at = options.integer("$skip", 0, 2**31) or 0
    with_hidden = options.get("includehiddenfolders") or ""
    found = [
        folder
        for folder in context.mailbox.children(parent.id)
        if not folder.hidden or with_hidden.lower() == "true" or parent.hidden
    ]
    value: dict[str, Any] = {"@odata.context": _context_url(context, "mailFolders")}
    if options.flag("$count"):
        value["@odata.count"] = len(found)
    if at + size < len(found):
        kept = [(name, text) for name, text in context.request.query if name.lower() != "$skip"]
        pairs = "&".join(f"{quote(name, safe='$')}={quote(text, safe='')}" for name, text in kept)
        joined = f"{pairs}&" if pairs else ""
        value["@odata.nextLink"] = f"{context.request.origin}{context.request.path}?{joined}$skip={at + size}"
    rows = [folder_row(context.mailbox, folder, select, typed=False) for folder in found[at : at + size]]
    return json_response(value | {"value": rows})


def get_folder(context: Context, folder: Folder, status: int = 200) -> Response:
    select = context.options.select(FOLDER_SELECTABLE, FOLDER_TYPE)
    row = folder_row(context.mailbox, folder, select, typed=False)
    return json_response({"@odata.context": _context_url(context, "mailFolders/$entity"), **row}, status)


def create_folder(context: Context, parent_reference: str) -> Response:
    parent = context.folder(parent_reference)
    asked = context.json_object()
    name = _name(context, parent, asked)
    folder = context.mailbox.add_folder(name, parent.id, hidden=bool(asked.get("isHidden")))
    return get_folder(context, folder, status=201)


def rename_folder(context: Context, folder: Folder) -> Response:
    _refuse_well_known(folder)
    parent = context.mailbox.folders[folder.parent_id or ""]
    context.mailbox.rename_folder(folder, _name(context, parent, context.json_object()))
    return get_folder(context, folder)


def move_folder(context: Context, folder: Folder) -> Response:
    _refuse_well_known(folder)
    target = context.arguments().get("destinationid")
    if not isinstance(target, str):
        raise bad_request("The request is missing destinationId.", "ErrorInvalidRequest")
    try:
        context.mailbox.move_folder(folder, context.folder(target))
    except ValueError as error:
        raise bad_request(str(error), "ErrorMoveCopyFailed") from error
    return get_folder(context, folder, status=201)


def delete_folder(context: Context, folder: Folder) -> Response:
    _refuse_well_known(folder)
    bin_ = context.folder("deleteditems")
    if folder in context.mailbox.below(bin_):
        context.mailbox.delete_folder(folder)
    else:
        context.mailbox.move_folder(folder, bin_)
    return Response(204)


def permanently_delete_folder(context: Context, folder: Folder) -> Response:
    _refuse_well_known(folder)
    context.mailbox.delete_folder(folder)
    return Response(204)


def _name(context: Context, parent: Folder, asked: dict[str, Any]) -> str:
    name = asked.get("displayName")
    if not isinstance(name, str) or not name.strip():
        raise bad_request("displayName is missing.", "ErrorInvalidRequest")
    if any(child.name == name for child in context.mailbox.children(parent.id)):
        raise GraphError(409, "ErrorFolderExists", "A folder with the specified name already exists.")
    return name


def _refuse_well_known(folder: Folder) -> None:
    if folder.well_known is not None or folder.parent_id is None:
        raise access_denied("A distinguished folder cannot be changed.")


def _context_url(context: Context, what: str) -> str:
    return f"{context.request.origin}/v1.0/$metadata#users('{context.mailbox.user_id}')/{what}"
