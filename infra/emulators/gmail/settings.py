"""The knobs of the Gmail stand-in and their defaults: strict, and hostile where Gmail is not known to be kind.

    page_tokens      positional  a message gone while paging shifts the rest by one (anchored: it does not)
    history_pages    frozen      what happens between two pages shows in `historyId` only (live: in later pages too)
    history_labels   then        `labelIds` in a record as they were (now: as they are; absent: left out)
    history_future   empty       a start above the current id answers 200 without records (missing: 404)
    history_drift_s  3600        a quiet mailbox's current id still moves, so a message's own id leaves the window
    burst_units      2,900       what one user got through at 160 units/s before the first refusal; with the refill of
                                 those 18 s taken into account the bucket may be as small as 1,100
    index_date       internal    what after: and before: compare (delivered: as for mail put in by the API)

Times in seconds count on the emulator's clock, `*_ms` are real time.
Source: facts/gmail.md (b) 8, 10, 13, 18-21
"""

import typing
from dataclasses import dataclass, field, fields
from typing import Any, Literal

SCOPE_ALL = "https://mail.google.com/"
_SCOPE = "https://www.googleapis.com/auth/gmail."
SCOPE_READONLY, SCOPE_METADATA, SCOPE_MODIFY = f"{_SCOPE}readonly", f"{_SCOPE}metadata", f"{_SCOPE}modify"
SCOPE_COMPOSE, SCOPE_SEND, SCOPE_INSERT, SCOPE_LABELS = (
    f"{_SCOPE}compose",
    f"{_SCOPE}send",
    f"{_SCOPE}insert",
    f"{_SCOPE}labels",
)


@dataclass(slots=True)
class Settings:
    seed: int = 1
    # quota
    quota: Literal["2026", "legacy"] = "2026"
    quota_enforced: bool = True
    units_per_minute: int | None = None  # None: the price list's
    burst_units: int | None = None
    project_number: str = "347863351495"
    concurrency_max: int = 25  # parts in flight for one mailbox
    concurrency_lowered_s: float = 3.0  # after a refusal half of it, for so long
    # latency
    latency_ms: float = 0.0  # each HTTP request
    part_latency_ms: float = 0.0  # on top for each part of a batch
    # transport
    outer_401: bool = False  # a bad token fails the whole batch, not its parts
    leading_empty_line: bool = True  # a batch answer starts with one
    # listings and history
    page_tokens: Literal["positional", "anchored"] = "positional"
    index_date: Literal["internal", "delivered"] = "internal"
    history_pages: Literal["frozen", "live"] = "frozen"
    history_labels: Literal["then", "now", "absent"] = "then"
    history_future: Literal["empty", "missing"] = "empty"
    history_empty_page_probability: float = 0.0
    history_visible_after_s: float = 0.0
    history_drift_s: float = 3600.0
    retention_s: float = 7 * 86400.0
    retention_records: int | None = None
    # watch
    project: str | None = None  # the only project whose topics may be watched; None: any
    publisher_permitted: bool = True
    # identity
    client_id: str = "tidemark-local.apps.googleusercontent.com"
    client_secret: str = "local-secret"
    redirect_uris: list[str] = field(default_factory=list)  # empty: any
    testing_expiry: bool = False  # refresh tokens die after 7 days, as of an app in "Testing"
    # bookkeeping
    log_max: int = 20_000

    def update(self, changes: dict[str, Any]) -> None:
        """Sets knobs by name; ValueError for one that does not exist or a value of the wrong kind."""
        hints = typing.get_type_hints(Settings)
        known = {each.name for each in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"no such setting: {name}")
            if not _fits(value, hints[name]):
                raise ValueError(f"{name} does not take {value!r}")
        for name, value in changes.items():
            setattr(self, name, value)


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in args
    if origin is list:
        return isinstance(value, list) and all(_fits(each, args[0]) for each in value)
    if args:
        return any(_fits(value, each) for each in args)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint
