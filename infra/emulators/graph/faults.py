"""Faults on order: what breaks, where, how often.

    kind                                          effect
    throttled, too_many_requests, throttled_old   429, each in one of the shapes seen
    unavailable, bad_gateway, gateway_timeout,
    server_error, bandwidth                       503, 502, 504, 500, 509
    unauthorized, forbidden, not_found            401, 403, 404
    quota_exceeded                                403 ErrorQuotaExceeded
    sync_state_not_found, resync_required,
    sync_state_invalid                            410
    slow                                          `delay_s` of real time before the first byte, the slot held
    reset, truncated                              the operation is done, its answer lost or cut in half

Where: `endpoint` (as in the counters), `mailbox`, `folder` (id, well-known or display name), `message` (either id),
`method`, `in_batch`, and `nth` (the nth match only). An answer in `times` (None: for ever) and `probability`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.emulators.graph import errors
from infra.emulators.graph.asgi import Breakage
from infra.emulators.graph.errors import GraphError

_REFUSALS: dict[str, Callable[["Fault"], GraphError]] = {
    "throttled": lambda fault: errors.throttled(fault.retry_after_s),
    "too_many_requests": lambda fault: errors.too_many_requests(fault.retry_after_s),
    "throttled_old": lambda fault: errors.unknown_error(429, fault.retry_after_s),
    "unavailable": lambda fault: errors.unavailable(fault.retry_after_s),
    "bad_gateway": lambda fault: errors.unknown_error(502),
    "gateway_timeout": lambda fault: errors.unknown_error(504),
    "server_error": lambda fault: GraphError(500, "generalException", "General exception while processing"),
    "bandwidth": lambda fault: GraphError(509, "BandwidthLimitExceeded", "Bandwidth limit exceeded."),
    "unauthorized": lambda fault: errors.unauthorized(),
    "forbidden": lambda fault: errors.access_denied(),
    "not_found": lambda fault: errors.item_not_found(),
    "quota_exceeded": lambda fault: errors.quota_exceeded(),
    "sync_state_not_found": lambda fault: errors.sync_state_not_found(149, 157),
    "resync_required": lambda fault: errors.resync_required(),
    "sync_state_invalid": lambda fault: errors.sync_state_invalid(),
}
BREAKAGES = ("reset", "truncated")
KINDS = (*_REFUSALS, "slow", *BREAKAGES)


@dataclass(frozen=True, slots=True)
class Place:
    """What a request is about, to be compared with a fault's `where`."""

    endpoint: str
    method: str
    mailbox: str | None = None
    folder: frozenset[str] = frozenset()  # all its names
    message: frozenset[str] = frozenset()  # both its ids
    in_batch: bool = False


@dataclass(slots=True)
class Fault:
    id: int
    kind: str
    where: dict[str, Any]
    times: int | None
    probability: float
    nth: int | None = None
    retry_after_s: float | None = None
    delay_s: float = 0.0
    matched: int = 0
    fired: int = 0

    def refusal(self) -> GraphError | None:
        make = _REFUSALS.get(self.kind)
        return make(self) if make else None

    def breakage(self) -> Breakage | None:
        return "reset" if self.kind == "reset" else "truncated" if self.kind == "truncated" else None

    def fits(self, place: Place) -> bool:
        for name, wanted in self.where.items():
            said = getattr(place, name)
            if (wanted not in said) if isinstance(said, frozenset) else (said != wanted):
                return False
        return True


@dataclass(slots=True)
class Faults:
    rng: random.Random
    kinds: tuple[str, ...] = KINDS
    _active: list[Fault] = field(default_factory=list)
    _made: int = 0

    def set(
        self,
        kind: str,
        times: int | None = 1,
        probability: float = 1.0,
        nth: int | None = None,
        retry_after_s: float | None = None,
        delay_s: float = 0.0,
        **where: Any,
    ) -> int:
        if kind not in self.kinds:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(self.kinds)}")
        unknown = where.keys() - set(Place.__dataclass_fields__)
        if unknown:
            raise ValueError(f"a fault is placed by {', '.join(Place.__dataclass_fields__)}, not {', '.join(unknown)}")
        where = {name: value for name, value in where.items() if value is not None}
        self._made += 1
        self._active.append(Fault(self._made, kind, where, times, probability, nth, retry_after_s, delay_s))
        return self._made

    def clear(self, fault_id: int | None = None) -> None:
        self._active = [fault for fault in self._active if fault_id is not None and fault.id != fault_id]

    def active(self) -> list[Fault]:
        return list(self._active)

    def strike(self, place: Place) -> list[Fault]:
        """The faults that hit this request, at most one refusal among them."""
        struck: list[Fault] = []
        refused = False
        for fault in list(self._active):
            if not fault.fits(place):
                continue
            fault.matched += 1
            if fault.nth is not None and fault.matched != fault.nth:
                continue
            if fault.probability < 1.0 and self.rng.random() >= fault.probability:
                continue
            refuses = fault.kind not in ("slow", *BREAKAGES)
            if refused and refuses:
                fault.matched -= 1
                continue
            refused = refused or refuses
            fault.fired += 1
            if (fault.times is not None and fault.fired >= fault.times) or fault.nth is not None:
                self._active.remove(fault)
            struck.append(fault)
        return struck
