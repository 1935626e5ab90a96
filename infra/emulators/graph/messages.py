"""Operations on messages: list, read, change, move, delete, attachments, id translation.

    DELETE                in any folder: to Deleted Items; there: to the hidden Recoverable Items (a knob)
    permanentDelete       gone
    PATCH                 isRead, flag, categories, importance, inferenceClassification; a draft's subject, body, people
    $skip in a nextLink   what has been gone through, filtered-out items included; never the page number

Source: https://learn.microsoft.com/en-us/graph/api/user-list-messages
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from infra.emulators.graph.asgi import Response, json_response
from infra.emulators.graph.context import Context
from infra.emulators.graph.convert import Attachment
from infra.emulators.graph.errors import GraphError, bad_request, item_not_found
from infra.emulators.graph.filters import message_filter, message_order
from infra.emulators.graph.mailbox import FLAGS, Folder, Message
from infra.emulators.graph.odata import instant
from infra.emulators.graph.view import MESSAGE_TYPE, SELECTABLE, message_row

TOP_MAX = 1000  # https://learn.microsoft.com/en-us/graph/api/user-list-messages ("1 and 1000, inclusive")
TRANSLATED_MAX = 1000
SKIP_MAX = 2**40
_ANYWHERE = {"isRead", "flag", "categories", "importance", "inferenceClassification"}
_DRAFTS_ONLY = {"subject", "body", "toRecipients", "ccRecipients", "bccRecipients", "replyTo"}
_ID_FORMATS = {"entryid", "ewsid", "immutableentryid", "restid", "restimmutableentryid"}


def list_messages(context: Context, folder_reference: str | None) -> Response:
    folder = context.folder(folder_reference) if folder_reference is not None else None
    options, knobs = context.options, context.knobs
    if options.get("$search") is not None:
        raise bad_request("This stand-in does not search.", "ErrorInvalidUrlQuery")
    select = options.select(SELECTABLE, MESSAGE_TYPE)
    size = options.integer("$top", 1, TOP_MAX) or min(context.prefer.page_size or knobs.page_size_default, TOP_MAX)
    at = (options.integer("$skip", 0, SKIP_MAX) or 0) // knobs.skip_stride
    test, filtered = message_filter(options)
    pool = _pool(context, folder, filtered)
    rows: list[dict[str, Any]] = []
    while at < len(pool) and len(rows) < size:
        seen = context.seen(pool[at])
        at += 1
        if test is None or test(seen):
            row = message_row(seen, select, context.prefer.immutable_ids, always_typed=False)
            rows.append(row | _expanded(context, seen.message))
    context.check_page(rows)
    value: dict[str, Any] = {"@odata.context": _context_url(context, "messages")}
    if options.flag("$count"):
        value["@odata.count"] = sum(1 for message in pool if test is None or test(context.seen(message)))
    if at < len(pool):
        value["@odata.nextLink"] = _next_link(context, at * knobs.skip_stride)
    return json_response(value | {"value": rows})


def _pool(context: Context, folder: Folder | None, filtered: list[str]) -> list[Message]:
    keys = message_order(context.options, filtered)
    pool = context.mailbox.ordered(folder)
    if folder is None:
        folders = context.mailbox.folders
        pool = [message for message in pool if folders[message.folder_id].parent_id is not None]
    for key, descending in keys or ():
        pool = sorted(pool, key=lambda message: key(context.seen(message)), reverse=descending)
    return pool


def _next_link(context: Context, skip: int) -> str:
    kept = [(name, value) for name, value in context.request.query if name.lower() != "$skip"]
    query = "&".join(
        f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in [*kept, ("$skip", str(skip))]
    )
    return f"{context.request.origin}{context.request.path}?{query}"


def _context_url(context: Context, what: str) -> str:
    user = quote(context.mailbox.user_id, safe="")
    return f"{context.request.origin}/v1.0/$metadata#users('{user}')/{what}"


def get_message(context: Context, message: Message, status: int = 200) -> Response:
    select = context.options.select(SELECTABLE, MESSAGE_TYPE)
    row = message_row(context.seen(message), select, context.prefer.immutable_ids, always_typed=False)
    row |= _expanded(context, message)
    headers = {"ETag": row["@odata.etag"]}
    return json_response({"@odata.context": _context_url(context, "messages/$entity"), **row}, status, headers)


def get_raw(context: Context, message: Message) -> Response:
    return Response(200, message.raw, {"Content-Type": "text/plain"})


def patch_message(context: Context, message: Message) -> Response:
    wanted = context.request.headers.get("if-match")
    if wanted not in (None, "*", f'W/"{message.change_key}"'):
        raise GraphError(412, "ErrorIrresolvableConflict", "The send or update operation could not be performed.")
    values = {name: value for name, value in context.json_object().items() if not name.startswith("@")}
    for name in values:
        if name not in _ANYWHERE | _DRAFTS_ONLY:
            raise bad_request(f"Property '{name}' is read-only and cannot be set.", "ErrorInvalidPropertySet")
        if name in _DRAFTS_ONLY and not message.is_draft:
            raise bad_request(
                "The operation can't be performed on an item that isn't a draft.", "ErrorInvalidPropertySet"
            )
    context.mailbox.update(message, checked(values))
    return get_message(context, message)


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """Property values of the right kind; GraphError 400 otherwise."""
    if "isRead" in values and not isinstance(values["isRead"], bool):
        raise bad_request("Cannot convert a value to target type 'Edm.Boolean'.", "RequestBodyRead")
    if "categories" in values:
        names = values["categories"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise bad_request("Cannot convert a value to target type 'Collection(Edm.String)'.", "RequestBodyRead")
    if "flag" in values:
        flag = values["flag"]
        if not isinstance(flag, dict) or flag.get("flagStatus") not in FLAGS:
            raise bad_request(
                "Cannot convert a value to target type 'microsoft.graph.followupFlag'.", "RequestBodyRead"
            )
        values = values | {"flag": {name: value for name, value in flag.items() if not name.startswith("@")}}
    return values


def move_message(context: Context, message: Message) -> Response:
    target = context.arguments().get("destinationid")
    if not isinstance(target, str):
        raise bad_request("The request is missing destinationId.", "ErrorInvalidRequest")
    context.mailbox.move(message, context.folder(target))
    return get_message(context, message, status=201)


def delete_message(context: Context, message: Message) -> Response:
    soft_delete(context, message)
    return Response(204)


def soft_delete(context: Context, message: Message) -> None:
    mailbox = context.mailbox
    here = mailbox.folders[message.folder_id].well_known
    if here == "recoverableitemsdeletions" or (here == "deleteditems" and not context.knobs.recoverable_items):
        mailbox.purge(message)
    else:
        mailbox.move(message, mailbox.folder("recoverableitemsdeletions" if here == "deleteditems" else "deleteditems"))


def permanently_delete_message(context: Context, message: Message) -> Response:
    context.mailbox.purge(message)
    return Response(204)


def list_attachments(context: Context, message: Message) -> Response:
    found = context.seen(message).content.attachments
    names = _selected(context)
    rows = [_chosen(_attachment(context, message, index, item), names) for index, item in enumerate(found)]
    return json_response({"@odata.context": _context_url(context, "messages/attachments"), "value": rows})


def _expanded(context: Context, message: Message) -> dict[str, Any]:
    """The attachments beside the message, where `$expand` asks for them."""
    names = context.options.expanded()
    if names is None:
        return {}
    found = context.seen(message).content.attachments
    rows = [_chosen(_attachment(context, message, index, item), names) for index, item in enumerate(found)]
    return {"attachments": rows}


def get_attachment(context: Context, message: Message, attachment_id: str, raw: bool = False) -> Response:
    for index, item in enumerate(context.seen(message).content.attachments):
        if context.mailbox.ids.attachment(message.immutable_id, index) == attachment_id:
            if raw:
                return Response(200, item.body, {"Content-Type": item.content_type})
            return json_response(_chosen(_attachment(context, message, index, item), _selected(context)))
    raise item_not_found()


def _attachment(context: Context, message: Message, index: int, item: Attachment) -> dict[str, Any]:
    attachment_id = context.mailbox.ids.attachment(message.immutable_id, index)
    return item.as_dict(attachment_id, instant(message.created_s), with_content=True)


def _selected(context: Context) -> list[str]:
    return [name for name in (context.options.get("$select") or "").split(",") if name.strip()]


def _chosen(value: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Of an attachment, by the names of a `$select`; all of it for none."""
    wanted = {"id", *(name.strip() for name in names)}
    if wanted == {"id"}:
        return value
    return {name: part for name, part in value.items() if name in wanted or name.startswith("@odata.type")}


def translate_ids(context: Context) -> Response:
    asked = context.arguments()
    ids = asked.get("inputids")
    source, target = (str(asked.get(name, "")).lower() for name in ("sourceidtype", "targetidtype"))
    if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids) or len(ids) > TRANSLATED_MAX:
        raise bad_request(f"inputIds must be at most {TRANSLATED_MAX} strings.", "ErrorInvalidRequest")
    if source not in _ID_FORMATS or target not in _ID_FORMATS:
        raise bad_request("The id format is not known.", "ErrorInvalidRequest")
    rows: list[dict[str, Any]] = []
    for id_ in ids:
        try:
            message = context.mailbox.message(id_)
        except KeyError:
            rows.append({"sourceId": id_, "errorDetails": {"code": "ErrorItemNotFound", "message": "Id is not found."}})
            continue
        rows.append(
            {"sourceId": id_, "targetId": message.immutable_id if "immutable" in target else message.mutable_id}
        )
    return json_response({"@odata.context": _context_url(context, "translateExchangeIds"), "value": rows})
