"""The vocabulary between a provider's protocol and the sync loop: what a page said, what is known, what to do.

    cursor                  --next_task--> Call | Walk | Compare | Note
    answer                  --receive-->   Step(facts, cursor', …)
    fact + index entry      --judge-->     nothing | Patch | a read
    Fetched + index entry   --compare-->   created | Patch | nothing

A fact is never authority for a deletion: `gone` only asks for a confirming read (DESIGN invariant 5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from shared.core.message import Message
from shared.protocol.wire import Request

AnyCursor = TypeVar("AnyCursor")


@dataclass(frozen=True, slots=True)
class Fact:
    """What one page said of one message, reduced over the page's records in their order.

    version   the provider's version of the newest record that named it (Gmail: history id), "" where a page has none
    labels    per label the last thing said: label -> (present?, version of that record); Gmail only
    row       the message fields that the page carried (Graph's sparse rows); None where a page only names ids
    content   the message may be new, or its content may have changed: what labels and row say is not enough
    """

    message_id: str
    thread_id: str | None = None
    version: str = ""
    gone: bool = False
    content: bool = False
    labels: Mapping[str, tuple[bool, int]] | None = None
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message as the provider told it when asked: the truth of that moment."""

    message: Message
    version: str


@dataclass(frozen=True, slots=True)
class Want:
    """A message to be read: whole (`content`), or only what can change. `version`: the record that named it.

    `alone`: not together with others of its thread, after that has failed.
    """

    message_id: str
    thread_id: str | None = None
    content: bool = True
    version: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Patch:
    """The `message` fields that changed, each with its whole new value, and the index entry after it.

    `known` is None where the promise ends with this change: the message has left the tracked folders.
    """

    fields: Mapping[str, Any]
    known: str | None


@dataclass(frozen=True, slots=True)
class Gone:
    """The provider confirmed that the message does not exist (any more)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The message could not be read this time. `counts`: towards quarantine (rate limits, 401 and time-outs don't)."""

    reason: str
    counts: bool


NOT_TRIED = Failed("not_tried", counts=False)  # a part that waited for another, which failed


@dataclass(frozen=True, slots=True)
class Members:
    """A thread's messages by id, None for one that has to be read alone. `whole`: there are no more."""

    found: Mapping[str, Fetched | None]
    whole: bool


@dataclass(frozen=True, slots=True)
class Call:
    """Task: send these requests side by side, and give the answers to `receive` one after the other."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """Task: the next ids of a stored listing; `unknown`: only those that the index does not have."""

    table: str
    page: int
    offset: int
    unknown: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """Task: the stored listing against the index."""


@dataclass(frozen=True, slots=True)
class Note:
    """Task: nothing to read; the next step only says something, `after_s` seconds later."""

    after_s: float = 0.0


Task = Call | Walk | Compare | Note


@dataclass(frozen=True, slots=True)
class Walked:
    """Ids of one walk, and where the next one starts; `ended`: nothing is behind it; `lost`: nothing is stored."""

    ids: tuple[str, ...]
    page: int
    offset: int
    ended: bool
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Step(Generic[AnyCursor]):
    """What one answer means: facts to act on, and what is stored with them in the same atomic step.

    cursor        where the reading stands once all facts are appended; parts of a step keep the old cursor, because
                  what is in the index already makes no second event
    origin        "live", "backfill" or "resync", as `created` says it
    name_again    snapshot: messages that are known are said as `created` too
    floor_s       messages that nobody named before and that are older are not emitted
    pages         ids to store, by table page
    clear         the stored listing is not needed any more
    note_known    store the ids of the whole index as pages of the table `known`
    events        account and snapshot events: (type, data): said after the events of the facts
    round_ended   the live stream was read to its end
    reason        what the result of the invocation says of how it was read
    """

    cursor: AnyCursor
    facts: tuple[Fact, ...] = ()
    origin: str = "live"
    name_again: bool = False
    floor_s: float | None = None
    pages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clear: bool = False
    note_known: bool = False
    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    round_ended: bool = False
    reason: str = ""
