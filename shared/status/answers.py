"""What the functions answer, as models: for the OpenAPI description, and for tests that hold real answers against it.

The functions build their answers as plain data and do not load this module.
"""

from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, Field, JsonValue, create_model

from shared.adapters.preferences import Preferences as Preferences
from shared.core import message

Provider = Literal["gmail", "outlook"]
State = Literal["active", "reauth_required", "paused"]


@cache
def _model(typed: Any) -> Any:
    """A TypedDict as a model: pydantic takes those of `typing` only from Python 3.12 on."""
    fields: dict[str, Any] = {name: (_hint(hint), ...) for name, hint in get_type_hints(typed).items()}
    return create_model(typed.__name__, __doc__=typed.__doc__, **fields)


def _hint(hint: Any) -> Any:
    if is_typeddict(hint):
        return _model(hint)
    if get_origin(hint) is list:
        return list[_hint(get_args(hint)[0])]  # type: ignore[misc]
    if isinstance(hint, UnionType):
        return reduce(or_, map(_hint, get_args(hint)))
    return hint


if TYPE_CHECKING:
    from shared.core.message import Folder, WholeMessage
else:
    Folder, WholeMessage = _model(message.Folder), _model(message.WholeMessage)


class Problem(BaseModel):
    """RFC 9457; `slug` is stable."""

    type: str
    title: str
    status: int
    detail: str
    slug: str


class Health(BaseModel):
    status: Literal["ok"]


class Counts(BaseModel):
    created: int
    updated: int
    deleted: int


class Synced(BaseModel):
    """One sync of one account."""

    status: Literal[
        "synced",
        "no_new_messages",
        "partial",
        "lease_held",
        "breaker_open",
        "cooling_down",
        "reauth_required",
        "paused",
    ]
    account_id: str
    count: int
    changes: Counts
    api_calls: int = Field(description="HTTP requests to the provider's API; a batch is one")
    quota_units: float
    redis_requests: int
    duration_s: float
    more: bool
    retry_after_s: float | None = None
    reason: str | None = None


class Swept(BaseModel):
    """A cron ping over every account of the provider that was due."""

    status: Literal["swept"]
    accounts: int
    results: list[dict[str, JsonValue]] = Field(description="at most 100, failures first")
    more: bool


class Connected(BaseModel):
    account_id: str
    provider: Provider
    state: State


class Link(BaseModel):
    url: str = Field(description="good for 10 minutes")


class Accepted(BaseModel):
    account_id: str
    status: Literal["accepted"]


class Totals(BaseModel):
    """Of all syncs of the account so far."""

    syncs: int
    messages: int
    duration_s: float
    api_calls: int
    quota_units: float


class Delivery(BaseModel):
    """How far the webhook is in an account's log."""

    cursor: str
    lag: int = Field(description="events that are not delivered yet")
    attempts: int = Field(description="of the batch that is being tried")
    next_try_at: str | None
    last_failure: str | None
    dead_letters: int
    behind: bool = Field(description="the log no longer held what was not delivered; a snapshot is on its way")


class Target(BaseModel):
    """The webhook's endpoint: its breaker, or paused by its 410."""

    state: Literal["closed", "half_open", "open", "paused"]
    paused_since: str | None
    last_answer: str | None


class Account(BaseModel):
    account_id: str
    provider: Provider
    user_id: str
    state: State
    reason: str | None
    connected_at: str | None
    last_sync_at: str | None
    cursor_age_s: float
    watch_expires_at: str | None
    backfill: dict[str, str] | None
    messages: int
    parked: int
    alerts: list[str]
    totals: Totals
    webhook: Delivery | None


class Accounts(BaseModel):
    accounts: list[Account]


class Event(BaseModel):
    """CloudEvents 1.0; `type` says what is in `data`."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]


class Changes(BaseModel):
    """A page of the change log, oldest first."""

    changes: list[Event]
    cursor: str
    more: bool


class Unavailable(BaseModel):
    slug: str
    retry_after_s: int | None


class Messages(BaseModel):
    messages: list[WholeMessage]
    missing: list[str] = Field(description="the provider says that they are gone")
    unavailable: list[str] | None = None
    problem: Unavailable | None = None


class Thread(BaseModel):
    thread_id: str
    messages: list[WholeMessage]
    more: bool


class Folders(BaseModel):
    folders: list[Folder]


class Durations(BaseModel):
    p50: float
    p95: float
    max: float


class Performance(BaseModel):
    """Of the provider's last syncs, at most a hundred."""

    syncs: int
    since: str
    last_at: str
    messages: int
    messages_per_second: float
    api_calls: float
    quota_units: float
    duration_s: Durations


class Standing(BaseModel):
    status: Literal["ok"]
    time: str
    accounts: dict[str, int]
    mailboxes: list[Account]
    breakers: dict[Provider, Literal["closed", "half_open", "open"]]
    webhook: Target | None
    performance: dict[Provider, Performance]
