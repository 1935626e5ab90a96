"""What the use cases need from outside, as they see it. Implemented by shared/adapters, by tests never mocked.

Store       Redis: every state transition is one atomic script (redis_scripts.py)
Transport   one provider's HTTP, with the mailbox's access token
Clock       time, sleep, randomness
Stream      one provider's protocol (protocol/gmail/stream.py, protocol/graph/stream.py)
ReadStore   Redis as the read side sees it (redis_read_scripts.py); ReadingStream: a Stream that reads for an app

**Reads teach the warmer** at no request of their own: the script that looks into the cache, and for a thread that was
not there the one that keeps it, notes the view in the stream td:<id>:reads, one entry a view, at most 256 of them:
`<when, in ms>-<n>  r  <message id>,<message id>…`; and the time as `read_ms` in the account's hash. Only readers' views
are noted, never what warming reads. Threads and senders are in the cached messages themselves.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.core.errors import BudgetSpent
from shared.protocol.status import Status
from shared.protocol.step import Fact, Failed, Fetched, Gone, Members, Patch, Step, Task, Walked, Want
from shared.protocol.wire import Request, Response


@dataclass(slots=True)
class Begun:
    """A held mailbox: the fencing token, and the account's hash as it was at the begin (or after the last step).

    `pushed`: a push called for this sync; `pushes`: how many there were. `hint_history`: the highest history id that
    one has named, 0 for none. `log_waits`: backfill would push out what a reader has not passed.
    """

    account_id: str
    fence: str
    fields: Mapping[str, str]
    version: int
    hints: int
    renewed_at_s: float
    lost: str = ""
    probe: bool = False
    pushed: bool = False
    pushes: int = 0
    hint_history: int = 0
    log_waits: bool = False

    def need_room(self, *, live: bool) -> None:
        """Raises BudgetSpent for what is no live change, while the log has no room for it: it is not even read."""
        if self.log_waits and not live:
            raise BudgetSpent("the change log waits for its readers")


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an invocation may not work on the mailbox: an outcome, stored. `status` as in CONTRACT §3, or "unknown"."""

    status: str
    retry_after_s: float | None = None
    reason: str = ""


@dataclass(slots=True)
class Append:
    """One atomic step: all of it happens, or nothing, and a repeat of `step_id` changes nothing.

    events     stored log entries, in order, as `change.entry` writes them
    index      packed id -> entry; None deletes
    cache      message id -> cached text; None deletes
    fields     of the account's hash
    threads    (thread id, new message of it): it joins what is cached of the thread's membership
    taken      fields that ask for something which this step takes up: deleted if they still have this value, cut where
               they begin with it and more has been added since
    hints      the hints' number when the last round that was read to its end began: what is `served`
    pushes     likewise, of the pushes that this invocation knows of
    release    give the lease back, if no hint and no push came since; `let_go`: in any case
    perf       the figures of the sync, noted and summed up once the lease is given back
    pausable   refuse (`LogFull`) rather than push out what a reader has not passed
    """

    step_id: str = ""
    hints: int = 0
    pushes: int = 0
    events: list[str] = field(default_factory=list)
    index: dict[str, str | None] = field(default_factory=dict)
    cache: dict[str, str | None] = field(default_factory=dict)
    threads: list[tuple[str, str]] = field(default_factory=list)
    pages: dict[str, Sequence[str]] = field(default_factory=dict)
    clear: bool = False
    note_known: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    release: bool = False
    let_go: bool = False
    served: bool = False
    pausable: bool = False
    healthy: bool = False
    spent_s: float = 0.0
    hold_s: float = 0.0
    perf: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """`released`: the lease is given back. Not so although asked: a hint came; `hints` is its number."""

    released: bool
    log_full: bool = False


class Store(Protocol):
    async def begin(self, account_id: str, *, owner: str, as_hint: bool) -> Begun | Refused: ...
    async def renew(self, begun: Begun) -> None: ...
    async def append(self, begun: Begun, step: Append) -> Appended: ...
    async def read(
        self, account_id: str, ids: Sequence[tuple[str, str]]
    ) -> tuple[list[str | None], list[str | None]]: ...
    async def walk(
        self, account_id: str, table: str, page: int, offset: int, *, unknown: bool, limit: int
    ) -> tuple[list[str], int, int, bool, bool]: ...
    async def tables(self, account_id: str) -> tuple[dict[str, list[str]], dict[str, str]]: ...
    async def provider_failed(self, account_id: str) -> float: ...
    async def lose_grant(self, begun: Begun, reason: str) -> bool: ...


class Transport(Protocol):
    """Sends one request for the mailbox; adds the access token. Raises ProviderDown; every answer is returned.

    `settle` waits for what was sent ahead and not asked for yet, and says how long the mailbox is to be left alone.
    `requests` counts HTTP requests to the provider's API; token requests don't count.
    """

    @property
    def requests(self) -> int: ...
    async def send(self, request: Request, *, timeout_s: float) -> Response: ...
    async def settle(self) -> float: ...
    async def refresh(self) -> None: ...


class Clock(Protocol):
    def now_s(self) -> float: ...
    def random(self) -> float: ...
    def token(self) -> str: ...
    async def sleep(self, seconds: float) -> None: ...


class Stream(Protocol):
    """A provider's protocol for one mailbox and one invocation; pure but for tables that grow (labels, folders)."""

    @property
    def parts_max(self) -> int: ...
    @property
    def read_units(self) -> int: ...
    @property
    def newest(self) -> str: ...

    def encode(self, cursor: Any) -> str: ...
    def tables(self) -> dict[str, str]: ...
    def pack_id(self, message_id: str) -> str: ...
    def unpack_id(self, packed: str) -> str: ...
    def next_task(self, cursor: Any, *, confirmed: bool) -> Task | None: ...
    def reached(self, cursor: Any) -> int: ...
    def receive(self, cursor: Any, request: Request, response: Response, *, confirmed: bool) -> Step[Any]: ...
    def noted(self, cursor: Any) -> Step[Any]: ...
    def walked(self, cursor: Any, found: Walked) -> Step[Any]: ...
    def differences(
        self, cursor: Any, pages: Mapping[str, Sequence[str]], known: Mapping[str, str]
    ) -> tuple[Fact, ...]: ...
    def compared(self, cursor: Any, facts: tuple[Fact, ...]) -> Step[Any]: ...
    def aged(self, before: Any, after: Any, oldest_s: float) -> Any: ...
    def judge(self, fact: Fact, value: str | None) -> Patch | Want | Fetched | None: ...
    def serves(self, held: Fetched, want: Want) -> bool: ...
    def created(self, fetched: Fetched) -> str: ...
    def compare(self, value: str, fetched: Fetched) -> Patch | None: ...
    def newer(self, value: str, fetched: Fetched) -> Fetched: ...
    def current(self, value: str, fetched: Fetched) -> Fetched | None: ...
    def tracks(self, fetched: Fetched) -> bool:
        """Whether the message is where the log follows it, or where nobody knows yet (a new folder)."""
        ...

    def status(self, response: Response, now_s: float) -> Status: ...
    def parts(self, wants: Sequence[Want]) -> dict[str, tuple[tuple[Want, ...], Request]]: ...
    def batch(self, parts: Sequence[tuple[str, Request]], boundary: str) -> Request: ...
    def split(self, response: Response) -> Mapping[str, Response]: ...
    def part(
        self, key: str, wants: tuple[Want, ...], response: Response, now_s: float
    ) -> tuple[Status, dict[str, Fetched | Gone | Failed | None]]: ...


class ReadingStream(Stream, Protocol):
    """`known_id`: the packed id, None where the index can't have it. `could_exist`: False for what is no id at all."""

    def could_exist(self, message_id: str) -> bool: ...
    def known_id(self, message_id: str) -> str | None: ...
    def followed(self, value: str, held: Fetched) -> Fetched | None:
        """A cached message as the log has it now; None: it has to be read again."""
        ...

    def thread(self, thread_id: str) -> Generator[Request, Response, Members | None]:
        """Yields requests, is sent their answers; None: there is no such thread."""
        ...


@dataclass(frozen=True, slots=True)
class Looked:
    """Cached texts and index entries of what was asked for, in its order; of a thread its ids, None if not cached."""

    fields: Mapping[str, str]
    texts: Sequence[str | None] = ()
    entries: Sequence[str | None] = ()
    thread: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The provider may be asked. `version`: the account's, raised by every step of a sync; `held`: one is running."""

    fields: Mapping[str, str]
    version: int
    held: bool


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of one message. `text` None: it is gone. `unnamed`: to be named, should the index not have it."""

    message_id: str
    packed: str
    text: str | None
    unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a read leaves: messages, what it spent, for how long nobody may ask; a thread's ids, to be kept.

    `noted`: the warmer has been told of the view already.
    What the index does not know is kept only at the `version` of the admission: else it may be gone by now.
    """

    version: int
    messages: Sequence[Keeping] = ()
    spent_s: float = 0.0
    hold_s: float = 0.0
    thread_id: str = ""
    thread: Sequence[str] = ()
    noted: bool = False


class ReadStore(Protocol):
    """`look` and `thread` raise BadRequest: 404 for an unknown account, 409 for one that waits for a person."""

    async def look(self, account_id: str, message_ids: Sequence[str]) -> Looked: ...
    async def thread(self, account_id: str, thread_id: str) -> Looked: ...
    async def admit(self, account_id: str, provider: str, *, alone: bool) -> Admitted | Refused: ...
    async def keep(self, account_id: str, kept: Kept) -> None: ...
    async def labels(self, account_id: str, text: str = "", ttl_s: float = 0) -> tuple[Looked, str | None]: ...
