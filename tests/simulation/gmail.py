"""A Gmail mailbox in memory: what facts/gmail.md says of it, as hostile as it allows.

    history      exclusive start, random gaps, shown late, empty pages, 404 below the window's floor; `historyId` is the
                 mailbox's, but never newer than what is shown; pages of a round frozen or live
    labelIds     inside a record: of then, of now, or none
    listings     newest first, page tokens positional, SPAM and TRASH hidden unless asked for, small pages
    batches      multipart; parts in any order; a thread's part holds all of its messages
    drafts       each save is another message id, sending too

Faults are laid over its answers by the simulation (faults.py).
Source: facts/gmail.md (a) 2, 3; (b) 13-23
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from shared.core.message import instant
from shared.protocol.gmail import batch
from shared.protocol.gmail.cursor import Reading, decode
from shared.protocol.wire import Request, Response
from tests.simulation.faults import PARTS, Faults
from tests.simulation.witness import Violation

if TYPE_CHECKING:
    from tests.simulation.process import Process

SYSTEM = ("STARRED", "UNREAD", "INBOX", "IMPORTANT")
HIDDEN = {"SPAM", "TRASH"}
JSON = {"content-type": "application/json; charset=UTF-8"}
PART = re.compile(rb"Content-ID: <([^>]+)>\r\n\r\nGET /gmail/v1/users/me/(messages|threads)/([^?\s]+)")
ROOT = "/gmail/v1/users/me"


@dataclass(slots=True)
class Mail:
    id: str
    thread_id: str
    labels: set[str]
    at_ms: int
    version: int
    subject: str
    text: bytes = b""  # its resource as JSON, until it changes


@dataclass(frozen=True, slots=True)
class Knobs:
    """How this mailbox behaves, for as long as it is simulated."""

    page: int
    live_pages: bool
    labels: str  # in history: "then", "now", "absent"
    empty_pages: float
    late_s: float
    retention_s: float


def refusal(status: int, reason: str, text: str = "No.", domain: str = "global", **headers: str) -> Response:
    error = {"code": status, "message": text, "errors": [{"message": text, "domain": domain, "reason": reason}]}
    return Response(status, JSON | headers, orjson.dumps({"error": error}))


HTML = {"content-type": "text/html"}
NOT_FOUND = refusal(404, "notFound", "Requested entity was not found.")
INVALID = refusal(400, "invalidArgument", "Invalid pageToken")
UNAUTHENTICATED = refusal(401, "authError", "Invalid Credentials")
BACKEND_ERROR = refusal(500, "backendError")
TOO_MANY = refusal(429, "rateLimitExceeded", "Too many concurrent requests for user.")
QUOTA = refusal(403, "rateLimitExceeded", "Quota exceeded for quota metric 'Total Query Cost'", "usageLimits")
PAGE_404 = Response(404, HTML, b"<html>Not Found</html>")
WHOLE_ANSWERS = {
    "garbage": Response(200, HTML, b"<html>Please sign in</html>"),
    "unavailable": Response(503, HTML, b"<html>Service Unavailable</html>"),
    "backend_error": BACKEND_ERROR,
    "not_json_404": PAGE_404,
    "quota": QUOTA,
}
PART_ANSWERS = {
    "part_429": TOO_MANY,
    "part_403": QUOTA,
    "part_500": BACKEND_ERROR,
    "part_401": UNAUTHENTICATED,
    "part_html_404": PAGE_404,
}


@dataclass(slots=True)
class GmailBox:
    """`now_s` is the provider's clock; `dice` decide what a person does, `noise` what the mailbox leaves open."""

    knobs: Knobs
    now_s: Callable[[], float]
    dice: Random
    noise: Random
    mails: dict[str, Mail] = field(default_factory=dict)
    records: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    current: int = 5000
    floor: int = 0
    own: list[str] = field(default_factory=lambda: ["Label_1", "Label_2"])
    drafts: list[str] = field(default_factory=list)
    ever_hidden: set[str] = field(default_factory=set)
    since: int = 0
    _ids: list[int] = field(default_factory=list)
    _moves: list[tuple[float, int]] = field(default_factory=list)
    _count: int = 0
    _names: set[str] = field(default_factory=set)
    _memory: Random = field(default_factory=Random)  # of page tokens
    _forgets: float = 0.0

    provider = "gmail"
    address = "robin@example.com"

    def __post_init__(self) -> None:
        # Dice of its own, so that what else happens in a seed stays what it was.
        self._memory = Random(f"page tokens {self.dice.getstate()[1][1]}")
        self._forgets = self._memory.choice((0.0, 0.0, 0.2))
        self._moves.append((self.now_s(), self.current))
        self.floor = self.current - 1

    # --- what happens in the mailbox

    def fill(self, count: int) -> None:
        """Old mail, before anybody is connected."""
        for _ in range(count):
            self._add({"INBOX"} if self.dice.random() < 0.8 else {"SENT"}, age_s=self.dice.uniform(10, 90_000))

    def deliver(self) -> None:
        for _ in range(self.dice.choice((1, 1, 2, 4))):
            labels = self.dice.choice(
                ({"INBOX", "UNREAD"}, {"INBOX"}, {"SPAM"}, set(), {"TRASH"}, {"Label_1", "INBOX"})
            )
            thread = self._any() if self.dice.random() < 0.4 else None
            self._add(set(labels), thread.thread_id if thread else None)

    def import_old(self) -> None:
        """Mail that another program puts in with the date that it once came."""
        self._add({"INBOX"}, age_s=self.dice.uniform(1000, 200_000))

    def relabel(self) -> None:
        label = self.dice.choice((*SYSTEM, *self.own))
        for _ in range(self.dice.choice((1, 1, 3))):
            if mail := self._any(draft=False):
                self._label(mail, {label}, add=label not in mail.labels)

    def there_and_back(self) -> None:
        if mail := self._any(draft=False):
            add = "STARRED" not in mail.labels
            self._label(mail, {"STARRED"}, add=add)
            self._label(mail, {"STARRED"}, add=not add)

    def trash(self) -> None:
        if mail := self._any(draft=False):
            back = "TRASH" in mail.labels
            self._label(mail, {"TRASH"}, add=not back)
            self._label(mail, {"INBOX"}, add=back)

    def delete(self) -> None:
        for _ in range(self.dice.choice((1, 1, 3))):
            if mail := self._any(draft=False):
                self._remove(mail)

    def draft(self) -> None:
        """Saved for the first time or again, sent, or thrown away."""
        self.drafts = [each for each in self.drafts if each in self.mails]
        before = self.mails[self.dice.choice(self.drafts)] if self.drafts and self.dice.random() < 0.7 else None
        if before is not None:
            self._remove(before)
            self.drafts.remove(before.id)
            if self.dice.random() < 0.2:
                return
        if before is not None and self.dice.random() < 0.4:
            self._add({"SENT"}, before.thread_id)
        else:
            self.drafts.append(self._add({"DRAFT"}, before.thread_id if before else None).id)

    def churn_labels(self) -> None:
        """A label is thrown away, and with it its place on every message; another one appears."""
        gone = self.dice.choice(self.own)
        for mail in list(self.mails.values()):
            if gone in mail.labels:
                self._label(mail, {gone}, add=False)
        self._count += 1
        self.own[self.own.index(gone)] = f"Label_{self._count + 2}"

    def expire(self) -> None:
        """Everything that history tells so far is gone."""
        self.floor = self.current
        self._move()
        self._trim()

    HAPPENINGS = (
        *("deliver", "deliver", "deliver", "relabel", "relabel", "relabel", "delete", "delete", "trash", "draft"),
        *("there_and_back", "import_old", "churn_labels"),
    )

    def truth(self) -> dict[str, dict[str, Any]]:
        """What the log has to say of every message."""
        return {
            mail.id: {
                "thread_id": mail.thread_id,
                "subject": mail.subject,
                "labels": sorted(mail.labels),
                "unread": "UNREAD" in mail.labels,
                "flagged": "STARRED" in mail.labels,
                "draft": "DRAFT" in mail.labels,
                "received_at": instant(mail.at_ms / 1000),
            }
            for mail in self.mails.values()
        }

    def exists(self, message_id: str) -> bool:
        return message_id in self.mails

    def floor_s(self, wanted: int | None, connected_s: float, oldest_s: float, *, lost: bool) -> float:
        """What came at or after it has to be in the log; `oldest_s`: of what the first sync has named."""
        return connected_s if lost else min(oldest_s, connected_s)

    def ends_promise(self, folder_id: str) -> bool:
        return False

    def existed(self, message_id: str) -> bool:
        return message_id in self._names

    def check_cursor(self, text: str) -> None:
        """The history id that was read up to never moves back."""
        live = decode(text).live
        if isinstance(live, Reading):
            if live.since < self.since:
                raise Violation(f"the cursor moved back from {self.since} to {live.since}")
            self.since = live.since

    async def push(self, process: "Process") -> list[str]:
        """A notification: the mailbox's id of this moment, or an older one that comes late."""
        named = self.current if self.noise.random() < 0.8 else self._moves[0][1]
        return await process.hints.gmail(process.sealer.lookup(self.address), named)

    def _any(self, *, draft: bool = True) -> Mail | None:
        found = [mail for mail in self.mails.values() if draft or "DRAFT" not in mail.labels]
        return self.dice.choice(found) if found else None

    def _add(self, labels: set[str], thread_id: str | None = None, age_s: float = 0.0) -> Mail:
        self._count += 1
        message_id = f"{0x18C0FFEE00000000 + self._count * 7919:016x}"
        at_ms = int((self.now_s() - age_s) * 1000)
        mail = Mail(message_id, thread_id or message_id, labels, at_ms, self._move(), f"Message {self._count}")
        self.mails[mail.id] = mail
        self._names.add(mail.id)
        self._hides(mail)
        self._record("messagesAdded", mail)
        return mail

    def _label(self, mail: Mail, labels: set[str], *, add: bool) -> None:
        changed = labels - mail.labels if add else labels & mail.labels
        if not changed:
            return
        mail.labels = mail.labels | changed if add else mail.labels - changed
        mail.version, mail.text = self._move(), b""
        self._hides(mail)
        self._record("labelsAdded" if add else "labelsRemoved", mail, changed)

    def _hides(self, mail: Mail) -> None:
        if mail.labels & HIDDEN:
            self.ever_hidden.add(mail.id)

    def _remove(self, mail: Mail) -> None:
        del self.mails[mail.id]
        self._move()
        self._record("messagesDeleted", mail)

    def _move(self) -> int:
        self.current += self.dice.randint(1, 9)
        self._moves.append((self.now_s(), self.current))
        return self.current

    def _record(self, kind: str, mail: Mail, changed: set[str] | None = None) -> None:
        stub = {"id": mail.id, "threadId": mail.thread_id}
        said: dict[str, Any] = {"message": stub | ({"labelIds": sorted(mail.labels)} if mail.labels else {})}
        if changed:
            said["labelIds"] = sorted(changed)
        self.records.append((self.current, {"id": str(self.current), "messages": [stub], kind: [said]}))
        self._ids.append(self.current)

    def _trim(self) -> None:
        horizon_s = self.now_s() - self.knobs.retention_s
        old = bisect_right(self._moves, horizon_s, key=lambda move: move[0])
        if old:
            self.floor = max(self.floor, self._moves[old - 1][1])
            if old == len(self._moves):  # a quiet mailbox's id drifts, so that who reads now and then is never too late
                self._move()
            del self._moves[: min(old, len(self._moves) - 1)]

    # --- what it answers

    def asked(self, request: Request) -> list[tuple[str, str, str]]:
        """(key, messages or threads, id) of each part; one for what is no batch."""
        if request.path != batch.PATH:
            return [("", "", "")]
        assert request.body is not None
        return [(key.decode(), kind.decode(), unquote(of.decode())) for key, kind, of in PART.findall(request.body)]

    def answer(
        self,
        request: Request,
        asked: list[tuple[str, str, str]],
        faults: Faults,
        fault: str,
        accepted: bool,
        outer_401: bool,
    ) -> Response:
        if refused := self._refused(fault):
            return refused
        parts = request.path == batch.PATH
        if fault == "unauthenticated":
            accepted = False
        if not accepted and (outer_401 or not parts):
            return UNAUTHENTICATED
        response = self._parts(asked, faults, accepted) if parts else self._plain(request, faults)
        if fault == "cut":
            return replace(response, body=response.body[: len(response.body) * 3 // 5])
        return response

    def told_s(self, response: Response) -> float:
        """What an answer asks to wait for."""
        return float(response.headers.get("retry-after", "0"))

    def _refused(self, fault: str) -> Response | None:
        if fault == "locked_out":
            until = instant(self.now_s() + self.noise.choice((5.0, 60.0, 900.0)))
            return refusal(429, "rateLimitExceeded", f"User-rate limit exceeded.  Retry after {until}", "usageLimits")
        if fault == "rate_limited":
            after = {"retry-after": str(self.noise.choice((1, 2, 30)))}
            return replace(TOO_MANY, headers=JSON | after)
        return WHOLE_ANSWERS.get(fault)

    def _parts(self, asked: list[tuple[str, str, str]], faults: Faults, accepted: bool) -> Response:
        answers = []
        for key, kind, of in asked:
            part = self._part(kind, of) if accepted else UNAUTHENTICATED
            if kind == "messages" and faults.poisoned(of):
                part = BACKEND_ERROR
            fault = faults.meet(PARTS)
            if fault == "part_missing":
                continue
            if fault == "part_cut":
                part = replace(part, body=part.body[: len(part.body) // 2])
            elif fault == "part_wrong_id":
                part = Response(200, JSON, b'{"id":"18c0ffee0000beef","historyId":"1"}')
            part = PART_ANSWERS.get(fault, part)
            answers.append((key, part))
            if fault == "part_doubled":
                answers.append((key, self.noise.choice((part, BACKEND_ERROR))))
            elif fault == "parts_shuffled":
                self.noise.shuffle(answers)
        whole = multipart(answers)
        if faults.meet(("parts_cut",)):
            return replace(whole, body=whole.body[: int(len(whole.body) * self.noise.random())])
        return whole

    def _plain(self, request: Request, faults: Faults) -> Response:
        query = dict(request.query)
        if "pageToken" in query and not faults.over and self._memory.random() < self._forgets:
            faults.met["token_forgotten"] += 1
            return INVALID
        match request.path.removeprefix(ROOT):
            case "/profile":
                found: dict[str, Any] = {"emailAddress": self.address, "historyId": str(self.current)}
                return ok(found | {"messagesTotal": len(self.mails), "threadsTotal": 1})
            case "/history":
                return self._history(int(query["startHistoryId"]), query.get("pageToken"))
            case "/messages":
                return self._list(request.query)
            case "/labels":
                return ok({"labels": [{"id": each, "name": each} for each in self._labels()]})
        raise AssertionError(f"nobody asks Gmail for {request.path}")

    def _labels(self) -> list[str]:
        return [*SYSTEM, "SENT", "DRAFT", *HIDDEN, *self.own]

    def _history(self, since: int, token: str | None) -> Response:
        self._trim()
        if since <= self.floor:
            return NOT_FOUND
        seen_s = self.now_s() - self.knobs.late_s
        seen = bisect_right(self._moves, seen_s, key=lambda move: move[0])
        shown = self._moves[max(0, seen - 1)][1] if self.knobs.late_s else self.current
        position, upto = (int(part) for part in token.split(".")) if token else (since, shown)
        upto = shown if self.knobs.live_pages else upto
        answer: dict[str, Any] = {"historyId": str(shown)}
        empty = self.noise.random() < self.knobs.empty_pages
        first = bisect_right(self._ids, max(since, position))
        last = bisect_right(self._ids, upto)
        page = self.records[first : first if empty else min(first + self.knobs.page, last)]
        if page:
            answer["history"] = [self._shown(record) for _, record in page]
        if first + len(page) < last:
            answer["nextPageToken"] = f"{page[-1][0] if page else position}.{upto}"
        return ok(answer)

    def _shown(self, record: dict[str, Any]) -> dict[str, Any]:
        if self.knobs.labels == "then":
            return record
        shown = dict(record)
        for kind, items in record.items():
            if kind in ("id", "messages"):
                continue
            item = items[0]
            message = {name: value for name, value in item["message"].items() if name != "labelIds"}
            mail = self.mails.get(message["id"])
            if self.knobs.labels == "now" and mail is not None:
                message["labelIds"] = sorted(mail.labels)
            shown[kind] = [item | {"message": message}]
        return shown

    def _list(self, query: tuple[tuple[str, str], ...]) -> Response:
        asked = dict(query)
        hidden = set() if "includeSpamTrash" in asked else HIDDEN
        label, after = asked.get("labelIds"), asked.get("q", "").removeprefix("after:")
        if label is not None and label not in self._labels():
            return INVALID
        found = [
            mail
            for mail in sorted(self.mails.values(), key=lambda mail: (-mail.at_ms, mail.id))
            if not mail.labels & hidden
            and (label is None or label in mail.labels)
            and (not after or mail.at_ms >= int(after) * 1000)
        ]
        first = int(asked.get("pageToken", "0"))
        size = min(int(asked["maxResults"]), self.knobs.page)
        page = [{"id": mail.id, "threadId": mail.thread_id} for mail in found[first : first + size]]
        answer: dict[str, Any] = {"resultSizeEstimate": len(found)}
        if page:
            answer["messages"] = page
        if first + size < len(found):
            answer["nextPageToken"] = str(first + size)
        return ok(answer)

    def _part(self, kind: str, of: str) -> Response:
        if kind == "threads":
            texts = [self._text(mail) for mail in self.mails.values() if mail.thread_id == of]
            body = b'{"id":"%s","messages":[%s]}' % (of.encode(), b",".join(texts))
            return Response(200, JSON, body) if texts else NOT_FOUND
        mail = self.mails.get(of)
        return NOT_FOUND if mail is None else Response(200, JSON, self._text(mail))

    def _text(self, mail: Mail) -> bytes:
        if not mail.text:
            resource: dict[str, Any] = {
                "id": mail.id,
                "threadId": mail.thread_id,
                "historyId": str(mail.version),
                "internalDate": str(mail.at_ms),
                "payload": {"headers": [{"name": "Subject", "value": mail.subject}]},
            }
            if mail.labels:
                resource["labelIds"] = sorted(mail.labels)
            mail.text = orjson.dumps(resource)
        return mail.text


def ok(value: dict[str, Any]) -> Response:
    return Response(200, JSON, orjson.dumps(value))


def multipart(parts: list[tuple[str, Response]]) -> Response:
    body = b"".join(
        b"--x\r\nContent-Type: application/http\r\nContent-ID: <response-%s>\r\n\r\nHTTP/1.1 %d Said\r\n"
        b"Content-Type: application/json; charset=UTF-8\r\n\r\n%s\r\n" % (key.encode(), part.status, part.body)
        for key, part in parts
    )
    return Response(200, {"content-type": "multipart/mixed; boundary=x"}, body + b"--x--\r\n")
