"""Every method of the Gmail API that the stand-in speaks, as a table.

Source: discovery document gmail v1, revision 20261005
"""

from collections.abc import Callable

from infra.emulators.gmail import account_api as account
from infra.emulators.gmail import call as may
from infra.emulators.gmail import fields
from infra.emulators.gmail import messages_api as messages
from infra.emulators.gmail.call import Answer, Call, Route
from infra.emulators.gmail.fields import Shape

GLOBAL_PARAMS = frozenset(
    [
        "$.xgafv",
        "$alt",
        "$callback",
        "$fields",
        "$prettyPrint",
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    ]
)
_LIST = "maxResults pageToken q labelIds includeSpamTrash"
_GET = "format metadataHeaders"
_HISTORY = "startHistoryId maxResults pageToken labelId historyTypes"
_INSERT = "internalDateSource deleted"
_IMPORT = f"{_INSERT} neverMarkSpam processForCalendar"


def _route(
    name: str,
    method: str,
    path: str,
    handler: Callable[[Call], Answer],
    scopes: frozenset[str],
    shape: Shape,
    params: str = "",
) -> Route:
    return Route(name, method, path, handler, scopes, frozenset(params.split()), shape)


ROUTES = [
    _route("getProfile", "GET", "profile", account.get_profile, may.PROFILE, fields.PROFILE),
    _route("watch", "POST", "watch", account.watch, may.READ, fields.WATCH),
    _route("stop", "POST", "stop", account.stop, may.READ, fields.EMPTY),
    _route("history.list", "GET", "history", account.list_history, may.READ, fields.HISTORY_PAGE, _HISTORY),
    _route("messages.list", "GET", "messages", messages.list_messages, may.READ, fields.MESSAGE_PAGE, _LIST),
    _route("messages.get", "GET", "messages/{}", messages.get_message, may.READ, fields.MESSAGE, _GET),
    _route("attachments.get", "GET", "messages/{}/attachments/{}", messages.get_attachment, may.CONTENT, fields.BODY),
    _route("messages.modify", "POST", "messages/{}/modify", messages.modify_message, may.MODIFY, fields.MESSAGE),
    _route("messages.trash", "POST", "messages/{}/trash", messages.trash_message, may.MODIFY, fields.MESSAGE),
    _route("messages.untrash", "POST", "messages/{}/untrash", messages.untrash_message, may.MODIFY, fields.MESSAGE),
    _route("messages.delete", "DELETE", "messages/{}", messages.delete_message, may.FULL, fields.EMPTY),
    _route("messages.batchModify", "POST", "messages/batchModify", messages.batch_modify, may.MODIFY, fields.EMPTY),
    _route("messages.batchDelete", "POST", "messages/batchDelete", messages.batch_delete, may.FULL, fields.EMPTY),
    _route("messages.insert", "POST", "messages", messages.insert_message, may.INSERT, fields.MESSAGE, _INSERT),
    _route("messages.import", "POST", "messages/import", messages.insert_message, may.INSERT, fields.MESSAGE, _IMPORT),
    _route("messages.send", "POST", "messages/send", messages.send_message, may.SEND, fields.MESSAGE),
    _route("threads.list", "GET", "threads", messages.list_threads, may.READ, fields.THREAD_PAGE, _LIST),
    _route("threads.get", "GET", "threads/{}", messages.get_thread, may.READ, fields.THREAD, _GET),
    _route("threads.modify", "POST", "threads/{}/modify", messages.modify_thread, may.MODIFY, fields.THREAD),
    _route("threads.trash", "POST", "threads/{}/trash", messages.trash_thread, may.MODIFY, fields.THREAD),
    _route("threads.untrash", "POST", "threads/{}/untrash", messages.untrash_thread, may.MODIFY, fields.THREAD),
    _route("threads.delete", "DELETE", "threads/{}", messages.delete_thread, may.FULL, fields.EMPTY),
    _route("labels.list", "GET", "labels", account.list_labels, may.LABELS, fields.LABELS),
    _route("labels.get", "GET", "labels/{}", account.get_label, may.LABELS, fields.LABEL),
    _route("labels.create", "POST", "labels", account.create_label, may.EDIT_LABELS, fields.LABEL),
    _route("labels.update", "PUT", "labels/{}", account.update_label, may.EDIT_LABELS, fields.LABEL),
    _route("labels.update", "PATCH", "labels/{}", account.update_label, may.EDIT_LABELS, fields.LABEL),
    _route("labels.delete", "DELETE", "labels/{}", account.delete_label, may.EDIT_LABELS, fields.EMPTY),
    _route(
        "drafts.list",
        "GET",
        "drafts",
        account.list_drafts,
        may.DRAFTS,
        fields.DRAFT_PAGE,
        "maxResults pageToken q includeSpamTrash",
    ),
    _route("drafts.get", "GET", "drafts/{}", account.get_draft, may.DRAFTS, fields.DRAFT, "format"),
    _route("drafts.create", "POST", "drafts", account.create_draft, may.COMPOSE, fields.DRAFT),
    _route("drafts.update", "PUT", "drafts/{}", account.update_draft, may.COMPOSE, fields.DRAFT),
    _route("drafts.delete", "DELETE", "drafts/{}", account.delete_draft, may.COMPOSE, fields.EMPTY),
    _route("drafts.send", "POST", "drafts/send", account.send_draft, may.COMPOSE, fields.MESSAGE),
]
_EXACT = {(route.method, route.path): route for route in ROUTES}


def find(method: str, segments: list[str]) -> tuple[Route, tuple[str, ...]] | None:
    """The route for the path segments after {userId}, and the ids in them."""
    exact = _EXACT.get((method, "/".join(segments)))
    if exact is not None:
        return exact, ()
    pattern = "/".join("{}" if place % 2 else segment for place, segment in enumerate(segments))
    found = _EXACT.get((method, pattern))
    return None if found is None else (found, tuple(segments[1::2]))
