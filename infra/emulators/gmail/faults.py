"""Faults on order: which request or part fails, how, and how often.

    part (an API call, alone or in a batch)     HTTP request (a batch as a whole, or a single call)
    backend_error    500 (code=)                unavailable     503 with an HTML body
    too_many         429, error A               rate_limited    429 (retry_after=, code=)
    quota_exceeded   403, error B               outer_locked_out  D for the whole request (seconds=, retry_after=)
    exhausted        429, error C               reset           the connection is reset, nothing is answered
    user_rate_limit  403 userRateLimitExceeded  slow            answered after seconds= of real time
    locked_out       D until seconds= from now  garbage         200, a body that is no JSON and no multipart
    daily_limit, domain_policy, unauthenticated oversized       200, bytes= of white space before the answer
    insufficient_scope, failed_precondition     truncate_body   keep= of the body; cut=true: the connection breaks there
    not_found, slow_part                        drop_part, duplicate_part, shuffle_parts   of a batch's answer
    drop             no part comes back
    garbled          200 with half a JSON text

Each fault has selectors (address, call, message_id, in_batch), a count (`times`), a rate (`probability`, seeded; or
`every`: the Nth match), and `once`: each path is hit at most once, so that its retry gets through.
"""

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

PART_KINDS = frozenset(
    [
        "backend_error",
        "too_many",
        "quota_exceeded",
        "exhausted",
        "user_rate_limit",
        "locked_out",
        "daily_limit",
        "domain_policy",
        "unauthenticated",
        "insufficient_scope",
        "failed_precondition",
        "not_found",
        "slow_part",
        "drop",
        "garbled",
    ]
)
HTTP_KINDS = frozenset(
    [
        "unavailable",
        "rate_limited",
        "outer_locked_out",
        "reset",
        "slow",
        "garbage",
        "oversized",
        "truncate_body",
        "drop_part",
        "duplicate_part",
        "shuffle_parts",
    ]
)


@dataclass(slots=True)
class Fault:
    id: int
    kind: str
    times: int | None = None  # None: until cleared
    probability: float = 1.0
    every: int | None = None
    once: bool = False
    address: str | None = None
    call: str | None = None  # "messages.get", "batch", …
    message_id: str | None = None
    in_batch: bool | None = None
    params: dict[str, Any] = field(default_factory=dict)
    hits: int = 0
    _seen: int = 0
    _paths: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault is matched against."""

    address: str | None
    call: str
    path: str
    in_batch: bool


class Faults:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"faults:{seed}")
        self._ids = itertools.count(1)
        self._active: dict[int, Fault] = {}

    def add(self, kind: str, **given: Any) -> Fault:
        """Selectors and rates by name; what is left goes to the fault itself (`seconds`, `retry_after`, …)."""
        if kind not in PART_KINDS | HTTP_KINDS:
            raise ValueError(f"no such fault: {kind}")
        named = {"times", "probability", "every", "once", "address", "call", "message_id", "in_batch"}
        known = {name: given.pop(name) for name in named & given.keys()}
        fault = Fault(next(self._ids), kind, params=given, **known)
        self._active[fault.id] = fault
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        if fault_id is None:
            self._active.clear()
        else:
            self._active.pop(fault_id, None)

    def active(self) -> list[Fault]:
        return list(self._active.values())

    def hit(self, kinds: frozenset[str], target: Target) -> Fault | None:
        """The first fault of these kinds that strikes; it is counted."""
        for fault in list(self._active.values()):
            if fault.kind in kinds and self._strikes(fault, target):
                return fault
        return None

    def _strikes(self, fault: Fault, target: Target) -> bool:
        if (
            (fault.address is not None and fault.address != target.address)
            or (fault.call is not None and fault.call != target.call)
            or (fault.in_batch is not None and fault.in_batch != target.in_batch)
            or (fault.message_id is not None and f"/{fault.message_id}" not in target.path)
        ):
            return False
        if fault.once and target.path in fault._paths:
            return False
        fault._seen += 1
        if fault.every is not None and fault._seen % fault.every:
            return False
        if fault.probability < 1.0 and self.rng.random() >= fault.probability:
            return False
        if fault.once:
            fault._paths.add(target.path)
        fault.hits += 1
        if fault.times is not None and fault.hits >= fault.times:
            del self._active[fault.id]
        return True
