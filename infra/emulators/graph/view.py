"""How a stored message or folder looks on the wire: one function per property, so that a row costs what it selects.

`internetMessageHeaders` and `uniqueBody` come only when selected. The id is in the format the request prefers.
Source: https://learn.microsoft.com/en-us/graph/api/resources/message#properties
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from infra.emulators.graph.convert import Content
from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.mailbox import Folder, Mailbox, Message
from infra.emulators.graph.odata import BodyType, instant

MESSAGE_TYPE = "microsoft.graph.message"
FOLDER_TYPE = "microsoft.graph.mailFolder"
ON_SELECT_ONLY = ("internetMessageHeaders", "uniqueBody")


@dataclass(frozen=True, slots=True)
class Seen:
    """A message with all that its properties are made from."""

    message: Message
    content: Content
    mailbox: Mailbox
    knobs: Knobs
    body_type: BodyType

    def patched(self, name: str, otherwise: Any) -> Any:
        return self.message.patched.get(name, otherwise)


def _thread(seen: Seen, size: int) -> bytes:
    key = f"{seen.mailbox.user_id}\x00{seen.content.thread_key}"
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=size).digest()


def _conversation_id(seen: Seen) -> str:
    prefix = bytes.fromhex("00042400") + seen.mailbox.user_id.encode()
    return base64.urlsafe_b64encode(prefix + bytes.fromhex("001000") + _thread(seen, 16) + b"\0").decode()


def _body(seen: Seen) -> dict[str, str]:
    body = seen.patched("body", None)
    if body is not None:
        return {"contentType": body["contentType"], "content": body["content"]}
    content = seen.content.text if seen.body_type == "text" else seen.content.markup
    return {"contentType": seen.body_type, "content": content}


def _sent(seen: Seen) -> str:
    said = seen.content.date_s
    return instant(seen.message.received_s if said is None else said)


def _web_link(seen: Seen) -> str:
    item = quote(seen.message.mutable_id, safe="")
    return f"https://outlook.office365.com/owa/?ItemID={item}&exvsurl=1&viewmodel=ReadMessageItem"


def _people(name: str, of: Callable[[Content], Any]) -> Callable[[Seen], Any]:
    return lambda seen: seen.patched(name, of(seen.content))


PROPERTIES: dict[str, Callable[[Seen], Any]] = {
    "createdDateTime": lambda seen: instant(seen.message.created_s),
    "lastModifiedDateTime": lambda seen: instant(seen.message.modified_s, seen.knobs.last_modified_precision_s),
    "changeKey": lambda seen: seen.message.change_key,
    "categories": lambda seen: list(seen.message.categories),
    "receivedDateTime": lambda seen: instant(seen.message.received_s),
    "sentDateTime": _sent,
    "hasAttachments": lambda seen: seen.content.has_attachments,
    "internetMessageId": lambda seen: seen.content.internet_message_id,
    "subject": lambda seen: seen.patched("subject", seen.content.subject),
    "bodyPreview": lambda seen: seen.content.preview,
    "importance": lambda seen: seen.patched("importance", seen.content.importance),
    "parentFolderId": lambda seen: seen.message.folder_id,
    "conversationId": _conversation_id,
    "conversationIndex": lambda seen: base64.b64encode(b"\x01\x01" + _thread(seen, 20)).decode(),
    "isDeliveryReceiptRequested": lambda seen: None if seen.message.is_draft else False,
    "isReadReceiptRequested": lambda seen: seen.content.read_receipt,
    "isRead": lambda seen: seen.message.is_read,
    "isDraft": lambda seen: seen.message.is_draft,
    "webLink": _web_link,
    "inferenceClassification": lambda seen: seen.patched(
        "inferenceClassification", "other" if seen.content.bulk else "focused"
    ),
    "body": _body,
    "sender": lambda seen: seen.content.sender,
    "from": lambda seen: seen.content.from_,
    "toRecipients": _people("toRecipients", lambda content: content.to),
    "ccRecipients": _people("ccRecipients", lambda content: content.cc),
    "bccRecipients": _people("bccRecipients", lambda content: content.bcc),
    "replyTo": _people("replyTo", lambda content: content.reply_to),
    "flag": lambda seen: seen.message.flag,
    "internetMessageHeaders": lambda seen: seen.content.headers,
    "uniqueBody": _body,
}
SELECTABLE = {name.lower(): name for name in ("id", *PROPERTIES)}
_ALL = tuple(name for name in PROPERTIES if name not in ON_SELECT_ONLY)

FOLDER_PROPERTIES: dict[str, Callable[[Mailbox, Folder], Any]] = {
    "displayName": lambda mailbox, folder: folder.name,
    "parentFolderId": lambda mailbox, folder: folder.parent_id,
    "childFolderCount": lambda mailbox, folder: len(mailbox.children(folder.id)),
    "unreadItemCount": lambda mailbox, folder: folder.unread,
    "totalItemCount": lambda mailbox, folder: len(folder.members),
    "sizeInBytes": lambda mailbox, folder: sum(len(mailbox.messages[id_].raw) for id_ in folder.members),
    "isHidden": lambda mailbox, folder: folder.hidden,
}
FOLDER_SELECTABLE = {name.lower(): name for name in ("id", *FOLDER_PROPERTIES)}
_FOLDER_ALL = tuple(name for name in FOLDER_PROPERTIES if name != "sizeInBytes")


def shown_id(message: Message, immutable: bool) -> str:
    return message.immutable_id if immutable else message.mutable_id


def message_row(seen: Seen, select: tuple[str, ...] | None, immutable: bool, always_typed: bool) -> dict[str, Any]:
    """`always_typed`: delta rows name their type, others only where it is derived from `message`."""
    row: dict[str, Any] = {}
    odata_type = seen.content.odata_type
    if always_typed or odata_type != f"#{MESSAGE_TYPE}":
        row["@odata.type"] = odata_type
    row["@odata.etag"] = f'W/"{seen.message.change_key}"'
    row["id"] = shown_id(seen.message, immutable)
    for name in _ALL if select is None else select:
        if name != "id":
            row[name] = PROPERTIES[name](seen)
    if select is None and seen.content.meeting is not None:
        row |= {"meetingMessageType": seen.content.meeting, "isOutOfDate": False, "isAllDay": False}
    return row


def removed_row(kind: str, item_id: str) -> dict[str, Any]:
    return {"@odata.type": f"#{kind}", "id": item_id, "@removed": {"reason": "deleted"}}


def folder_row(mailbox: Mailbox, folder: Folder, select: tuple[str, ...] | None, typed: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"@odata.type": f"#{FOLDER_TYPE}"} if typed else {}
    row["id"] = folder.id
    for name in _FOLDER_ALL if select is None else select:
        if name != "id":
            row[name] = FOLDER_PROPERTIES[name](mailbox, folder)
    return row
