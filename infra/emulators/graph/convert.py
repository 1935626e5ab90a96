"""A raw message as the parts of a Graph `message` that never change: subject, people, bodies, attachments, thread.

    header missing or senseless     Graph property
    From                            from and sender null
    Subject                         subject null
    Date                            sentDateTime is the time of arrival
    Message-ID                      one is made up, as Exchange does
    text only, HTML asked for       "<!-- converted from text -->", as Exchange does
    a text/calendar part            the message is an eventMessage

Nothing raises, whatever the bytes. Bodies are converted when first read.
Source: https://learn.microsoft.com/en-us/graph/api/resources/message
"""

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from email.utils import getaddresses
from functools import cached_property
from typing import Any

from infra.emulators import mime
from infra.emulators.mime_text import decode_words

PREVIEW_MAX = 255
DATE_MIN_S, DATE_MAX_S = -2_208_988_800.0, 4_102_444_800.0  # 1900 to 2100: outside, a Date header is a lie
_GROUP = re.compile(r"^[^:\"<@,]*:\s*;?\s*|;\s*$")
_REFERENCE = re.compile(r"<[^<>\s]+>")
_REPLY_PREFIX = re.compile(r"^(?:\s*(?:re|fwd?|aw|wg|sv|antw)\s*(?:\[\d+\])?\s*:)+\s*", re.IGNORECASE)
_BREAK = re.compile(r"(?i)<br\s*/?>|</(?:p|div|tr|li|h[1-6]|blockquote|pre|table)\s*>")
_UNSEEN = re.compile(r"(?is)<(script|style|head|title)\b[^<>]*>.*?</\1\s*>|<!--.*?-->|<[^<>]*>")
_METHOD = re.compile(rb"(?im)^METHOD:[ \t]*([A-Z]+)")
_MEETING = {"REQUEST": "meetingRequest", "CANCEL": "meetingCancelled", "REPLY": "meetingAccepted"}
_MARKUP = (
    '<html><head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">'
    "<!-- converted from text --></head>\r\n<body>\r\n"
    '<div class="PlainText">{}</div>\r\n</body></html>'
)

Recipient = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    content_type: str
    content_id: str | None
    inline: bool
    body: bytes

    def as_dict(self, attachment_id: str, modified: str, with_content: bool) -> dict[str, Any]:
        nested = self.content_type == "message/rfc822"
        value: dict[str, Any] = {
            "@odata.type": "#microsoft.graph.itemAttachment" if nested else "#microsoft.graph.fileAttachment",
            "@odata.mediaContentType": self.content_type,
            "id": attachment_id,
            "lastModifiedDateTime": modified,
            "name": self.name,
            "contentType": None if nested else self.content_type,
            "size": len(self.body),
            "isInline": self.inline,
        }
        if not nested:
            value |= {"contentId": self.content_id, "contentLocation": None}
            if with_content:
                value["contentBytes"] = base64.b64encode(self.body).decode()
        return value


class Content:
    """What `raw` says; shared by all mailboxes that hold the same bytes."""

    def __init__(self, raw: bytes) -> None:
        parsed = mime.parse(raw)
        self._mime = parsed
        self._fields: dict[str, list[str]] = {}
        for name, value in parsed.headers:
            self._fields.setdefault(name.lower(), []).append(value)
        self.date_s = parsed.date_s if parsed.date_s and DATE_MIN_S < parsed.date_s < DATE_MAX_S else None
        self.subject = self._header("subject")
        self.sender_list = self._people("from")
        self.from_ = self.sender_list[0] if self.sender_list else None
        senders = self._people("sender")
        self.sender = senders[0] if senders else self.from_
        self.to, self.cc, self.bcc = self._people("to"), self._people("cc"), self._people("bcc")
        self.reply_to = self._people("reply-to")
        digest = hashlib.sha256(raw).hexdigest()
        said = (self._header("message-id") or "").strip()
        self.internet_message_id = said or f"<{digest[:32]}@emulator.prod.outlook.com>"
        self.thread_key = self._thread_key()
        self.importance = self._importance()
        self.read_receipt = self._header("disposition-notification-to") is not None
        self.bulk = self._header("list-unsubscribe") is not None or self._header("list-id") is not None
        self.attachments = tuple(self._attachments())
        self.has_attachments = any(not attachment.inline for attachment in self.attachments)
        self.meeting = self._meeting()

    @cached_property
    def text(self) -> str:
        if self._mime.text is not None and (self._mime.text.strip() or self._mime.html is None):
            return _crlf(self._mime.text)
        return _crlf(_text_of(self._mime.html or ""))

    @cached_property
    def markup(self) -> str:
        if self._mime.html is not None:
            return _crlf(self._mime.html)
        return _MARKUP.format(html.escape(self.text, quote=False).replace("\r\n", "<br>\r\n"))

    @cached_property
    def preview(self) -> str:
        return self.text[: PREVIEW_MAX * 4].strip()[:PREVIEW_MAX]

    @cached_property
    def headers(self) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in self._mime.headers]

    @property
    def odata_type(self) -> str:
        if self.meeting is None:
            return "#microsoft.graph.message"
        return f"#microsoft.graph.eventMessage{'Request' if self.meeting == 'meetingRequest' else ''}"

    def _header(self, name: str) -> str | None:
        values = self._fields.get(name)
        return decode_words(values[0]) if values else None

    def _people(self, name: str) -> list[Recipient]:
        fields = [_GROUP.sub("", value) for value in self._fields.get(name, ())]
        if not fields:
            return []
        try:
            pairs = getaddresses(fields)
        except (ValueError, IndexError, TypeError, AttributeError):
            return []
        people = []
        for label, address in pairs:
            shown = decode_words(label)
            if address or shown:
                people.append({"emailAddress": {"name": shown or address, "address": address}})
        return people

    def _thread_key(self) -> str:
        for name in ("references", "in-reply-to"):
            found = _REFERENCE.search(self._header(name) or "")
            if found:
                return found.group()
        if self._header("message-id"):
            return self.internet_message_id
        return _REPLY_PREFIX.sub("", self.subject or "").strip().lower() or self.internet_message_id

    def _importance(self) -> str:
        said = (self._header("importance") or "").strip().lower()
        if said in ("low", "normal", "high"):
            return said
        return {"1": "high", "2": "high", "4": "low", "5": "low"}.get((self._header("x-priority") or "")[:1], "normal")

    def _attachments(self) -> list[Attachment]:
        found = []
        for leaf in _leaves(self._mime.root):
            own = {name.lower(): value for name, value in leaf.headers}
            content_id = own.get("content-id", "").strip("<> \t") or None
            disposition = own.get("content-disposition", "").lstrip().lower()
            shown = leaf.content_type in ("text/plain", "text/html") and leaf.inline and not leaf.filename
            if shown or leaf.content_type == "text/calendar":
                continue
            inline = leaf.inline and (content_id is not None or disposition.startswith("inline"))
            name = leaf.filename or ("Attached message" if leaf.content_type == "message/rfc822" else "ATT00001")
            found.append(Attachment(name, leaf.content_type, content_id, inline, leaf.body))
        return found

    def _meeting(self) -> str | None:
        for leaf in _leaves(self._mime.root):
            if leaf.content_type == "text/calendar":
                method = _METHOD.search(leaf.body)
                return _MEETING.get(method[1].decode().upper() if method else "", "none")
        return None


def _leaves(part: mime.Part) -> list[mime.Part]:
    if part.children and part.content_type != "message/rfc822":
        return [leaf for child in part.children for leaf in _leaves(child)]
    return [part] if not part.content_type.startswith("multipart/") else []


def _text_of(markup: str) -> str:
    spaced = _BREAK.sub("\n", _UNSEEN.sub(lambda found: found[0] if _BREAK.match(found[0]) else "", markup))
    return html.unescape(spaced).strip()


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
