"""One stored message and its JSON in each format. The parts that never change are made once, at delivery."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from infra.emulators import mime
from infra.emulators.gmail import payload
from infra.emulators.mime_text import decode_words

FORMATS = ("minimal", "metadata", "full", "raw")
_ANSWERED = re.compile(r"(?i)^\s*(?:(?:re|fwd?|aw|wg|sv|vs)\s*(?:\[\d+\])?:\s*)+")
_REFERENCE = re.compile(r"<[^<>\s]+>")


parsed = lru_cache(maxsize=4096)(mime.parse)  # mailboxes are often filled with the same mail


@dataclass(slots=True)
class Message:
    id: str
    thread_id: str
    labels: set[str]
    internal_ms: int
    delivered_at_s: float
    index_internal: bool  # after: and before: look at internalDate, not at the delivery
    order: tuple[int, int, str]  # place in listings
    raw: bytes
    size: int
    snippet: str
    metadata: payload.Payload
    attachments: list[str]  # file names
    history_id: int = 0
    _full: payload.Payload | None = None
    _words: str | None = None

    def resource(self, form: str, wanted: frozenset[str] | None = None) -> dict[str, Any]:
        """`wanted`: the metadataHeaders asked for, lower case; only for `metadata`."""
        answer: dict[str, Any] = {"id": self.id, "threadId": self.thread_id}
        if self.labels:
            answer["labelIds"] = sorted(self.labels)
        answer["snippet"] = self.snippet
        if form == "metadata":
            answer["payload"] = payload.with_headers(self.metadata, wanted) if wanted else self.metadata
        elif form == "full":
            answer["payload"] = self.full()
        answer["sizeEstimate"] = self.size
        answer["historyId"] = str(self.history_id)
        answer["internalDate"] = str(self.internal_ms)
        if form == "raw":
            answer["raw"] = payload.base64url(self.raw)
        return answer

    def full(self) -> payload.Payload:
        if self._full is None:
            self._full = payload.full_payload(self.id, parsed(self.raw).root)
        return self._full

    def header_text(self, name: str) -> str:
        values = [each["value"] for each in self.metadata["headers"] if each["name"].lower() == name]
        return decode_words(", ".join(values))

    def index_s(self) -> float:
        return self.internal_ms / 1000 if self.index_internal else self.delivered_at_s

    def attachment_names(self) -> list[str]:
        return self.attachments

    def words(self) -> str:
        if self._words is None:
            content = parsed(self.raw)
            body = content.text or mime.visible_text(content.html or "")
            heads = " ".join(self.header_text(name) for name in ("subject", "from", "to", "cc"))
            self._words = f"{heads} {body}".lower()
        return self._words


def thread_subject(content: mime.Mime) -> str:
    """What two subjects must share to be one conversation."""
    return " ".join(_ANSWERED.sub("", content.header("subject") or "").split()).lower()


def references(content: mime.Mime) -> list[str]:
    """Message-IDs this one answers, nearest first."""
    nearest = _REFERENCE.findall(" ".join(content.all("in-reply-to")))
    chain = _REFERENCE.findall(" ".join(content.all("references")))
    return list(dict.fromkeys([*nearest, *reversed(chain)]))
