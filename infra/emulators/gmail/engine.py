"""Runs API calls, alone or as parts of a batch, in two steps: all are admitted at once, then each is run.

    admit   path -> token -> mailbox -> scope -> parameters -> fault, lock-out -> units -> fault -> slot
    run     handler -> fields -> JSON, and the slot is given back

Between the two lies the latency, so the parts of a batch and of all other clients really are in flight together.
"""

from dataclasses import dataclass, field
from threading import RLock
from urllib.parse import parse_qs, unquote

import orjson

from infra.emulators.clock import Clock
from infra.emulators.gmail import errors, fields, routes
from infra.emulators.gmail.call import Call, Route
from infra.emulators.gmail.counters import Counters, Entry
from infra.emulators.gmail.faults import PART_KINDS, Fault, Faults, Target
from infra.emulators.gmail.mailbox import Mailbox
from infra.emulators.gmail.quota import Gate, Quota
from infra.emulators.gmail.settings import SCOPE_ALL, Settings
from infra.emulators.gmail.watch import Watches
from infra.emulators.google_identity import Access, GoogleIdentity

PREFIX = "/gmail/v1/users/"
Params = dict[str, list[str]]
_REPEATED = frozenset({"labelIds", "historyTypes", "metadataHeaders"})  # the only ones that may be repeated


@dataclass(slots=True)
class ApiRequest:
    method: str
    target: str
    authorization: str
    body: bytes = b""
    in_batch: bool = False
    outer_params: Params = field(default_factory=dict)


@dataclass(slots=True)
class Admitted:
    request: ApiRequest
    params: Params = field(default_factory=dict)
    route: Route | None = None
    ids: tuple[str, ...] = ()
    address: str | None = None
    access: Access | None = None
    units: int = 0
    gate: Gate | None = None
    wait_s: float = 0.0  # real time
    fault: Fault | None = None
    refused: errors.ApiError | None = None


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    status: int
    body: bytes
    fault: Fault | None = None


class Engine:
    def __init__(self, settings: Settings, clock: Clock, identity: GoogleIdentity, watches: Watches) -> None:
        self.settings, self.clock, self.identity, self.watches = settings, clock, identity, watches
        self.lock = RLock()
        self.mailboxes: dict[str, Mailbox] = {}
        self.gates: dict[str, Gate] = {}
        self.locked_until_s: dict[str, float] = {}
        self.quota: Quota = Quota(settings, clock)
        self.faults: Faults = Faults(settings.seed)
        self.counters: Counters = Counters(settings.log_max)

    def admit(self, requests: list[ApiRequest]) -> list[Admitted]:
        with self.lock:
            return [self._admit(request) for request in requests]

    def run(self, admitted: Admitted) -> ApiAnswer:
        with self.lock:
            try:
                answer = self._run(admitted)
            except errors.ApiError as refused:
                answer = ApiAnswer(refused.code, _json(refused.body), admitted.fault)
            finally:
                if admitted.gate is not None:
                    admitted.gate.leave()
            self._count(admitted, answer)
            return answer

    def _admit(self, request: ApiRequest) -> Admitted:
        admitted = Admitted(request)
        try:
            self._resolve(admitted)
            self._charge(admitted)
        except errors.ApiError as refused:
            admitted.refused = refused
        return admitted

    def _resolve(self, admitted: Admitted) -> None:
        request = admitted.request
        path, _, query = request.target.partition("?")
        admitted.params = request.outer_params | parse_qs(query, keep_blank_values=True)
        if not path.startswith(PREFIX):
            raise errors.ApiError(404, "Not Found", "notFound")
        user, *segments = [unquote(segment) for segment in path.removeprefix(PREFIX).split("/")]
        found = routes.find(request.method, segments)
        if found is None or not all(segments):
            raise errors.ApiError(404, "Not Found", "notFound")
        admitted.route, admitted.ids = found
        access = self.authorize(request.authorization, admitted.params)
        admitted.access, admitted.address = access, access.address
        if user not in ("me", access.address):
            raise errors.delegation_denied(user)
        if access.address not in self.mailboxes:
            raise errors.failed_precondition("Mail service not enabled")
        if not access.scopes & (admitted.route.scopes | {SCOPE_ALL}):
            raise errors.insufficient_scope()
        for name, values in admitted.params.items():
            if name not in admitted.route.params and name not in routes.GLOBAL_PARAMS:
                raise errors.unknown_name(name)
            if len(values) > 1 and name not in _REPEATED:
                raise errors.ApiError(400, f"Invalid value (oneof), oneof field '{name}' is already set.", "badRequest")
        if admitted.params.get("alt", ["json"]) != ["json"]:
            raise errors.invalid_value("$alt", "TYPE_ENUM", admitted.params["alt"][-1])

    def find_route(self, request: ApiRequest) -> Route | None:
        path = request.target.partition("?")[0]
        found = (
            routes.find(request.method, path.removeprefix(PREFIX).split("/")[1:]) if path.startswith(PREFIX) else None
        )
        return found[0] if found is not None else None

    def authorize(self, authorization: str, params: Params) -> Access:
        scheme, _, token = authorization.partition(" ")
        if not authorization:
            token, scheme = params.get("access_token", params.get("oauth_token", [""]))[-1], "bearer"
            if not token:
                raise errors.unauthenticated(missing=True)
        access = self.identity.access(token.strip()) if scheme.lower() == "bearer" else None
        if access is None:
            raise errors.unauthenticated()
        return access

    def _check_fault(self, admitted: Admitted) -> None:
        assert admitted.route is not None
        assert admitted.address is not None
        request = admitted.request
        target = Target(admitted.address, admitted.route.name, request.target, request.in_batch)
        admitted.fault = self.faults.hit(PART_KINDS, target)
        if admitted.fault is not None and admitted.fault.kind in UNPAID:
            self._strike(admitted, admitted.fault)
        until_s = self.locked_until_s.get(admitted.address, 0.0)
        if self.clock.now_s() < until_s:
            raise errors.locked_out(until_s)

    def _strike(self, admitted: Admitted, fault: Fault) -> None:
        assert admitted.address is not None
        params = fault.params
        if fault.kind == "slow_part":
            admitted.wait_s = float(params.get("seconds", 1.0))
        elif fault.kind == "locked_out":
            until_s = self.clock.now_s() + float(params.get("seconds", 900))
            self.locked_until_s[admitted.address] = until_s
            raise errors.locked_out(until_s, int(params.get("code", 429)))
        elif fault.kind == "backend_error":
            raise errors.backend_error(int(params.get("code", 500)))
        elif fault.kind == "quota_exceeded":
            raise errors.quota_exceeded(self.settings.quota, self.settings.project_number)
        elif fault.kind == "failed_precondition":
            raise errors.failed_precondition(str(params.get("message", "Precondition check failed.")))
        elif fault.kind in ERRORS:
            raise ERRORS[fault.kind]()

    def _charge(self, admitted: Admitted) -> None:
        assert admitted.route is not None
        assert admitted.address is not None
        assert admitted.access is not None
        units = self.quota.price(admitted.route.name)
        tallies = self.counters.tallies(admitted.address)
        for tally in tallies:
            tally.units_asked += units
        self._check_fault(admitted)
        if not self.quota.charge(admitted.access.client_id, admitted.address, units):
            for tally in tallies:
                tally.refused_quota += 1
            raise errors.quota_exceeded(self.settings.quota, self.settings.project_number)
        admitted.units = units
        for tally in tallies:
            tally.units += units
        if admitted.fault is not None and admitted.fault.kind not in UNPAID:
            self._strike(admitted, admitted.fault)
        gate = self.gates.setdefault(admitted.address, Gate(self.settings, self.clock))
        entered = gate.enter()
        for tally in tallies:
            tally.refused_concurrency += not entered
            tally.parts_in_flight_max = max(tally.parts_in_flight_max, gate.in_flight)
        if not entered:
            raise errors.too_many_concurrent()
        admitted.gate = gate

    def _run(self, admitted: Admitted) -> ApiAnswer:
        if admitted.refused is not None:
            raise admitted.refused
        assert admitted.route is not None
        assert admitted.address is not None
        assert admitted.access is not None
        params = admitted.params
        call = Call(
            mailbox=self.mailboxes[admitted.address],
            ids=admitted.ids,
            params=params,
            raw_body=admitted.request.body,
            scopes=admitted.access.scopes,
            watches=self.watches,
        )
        mask = params.get("fields", params.get("$fields", [""]))[-1]
        if mask:
            fields.check(mask, admitted.route.shape)  # before anything is changed
        answer = admitted.route.handler(call)
        if answer is None:
            return ApiAnswer(204, b"", admitted.fault)
        if mask:
            answer = fields.apply(mask, answer)
        plain = params.get("prettyPrint", params.get("$prettyPrint", ["true"]))[-1] == "false"
        return ApiAnswer(200, _json(answer, plain), admitted.fault)

    def _count(self, admitted: Admitted, answer: ApiAnswer) -> None:
        request = admitted.request
        name = admitted.route.name if admitted.route else "unknown"
        for tally in self.counters.tallies(admitted.address):
            tally.calls[name] += 1
            tally.statuses[str(answer.status)] += 1
            tally.inner_requests += request.in_batch
        if request.in_batch:
            entry = Entry(
                request.method,
                request.target,
                answer.status,
                "part",
                name,
                admitted.address,
                admitted.units,
                self.clock.now_s(),
            )
            self.counters.log.append(entry)


# Refused before anything is charged; what the others refuse has been paid for.
UNPAID = frozenset(
    {
        *("quota_exceeded", "exhausted", "user_rate_limit", "locked_out", "daily_limit", "domain_policy"),
        *("unauthenticated", "insufficient_scope"),
    }
)
ERRORS = {
    "too_many": errors.too_many_concurrent,
    "exhausted": errors.exhausted,
    "user_rate_limit": errors.user_rate_limit,
    "daily_limit": errors.daily_limit,
    "domain_policy": errors.domain_policy,
    "unauthenticated": errors.unauthenticated,
    "insufficient_scope": errors.insufficient_scope,
    "not_found": errors.not_found,
}


def _json(value: object, plain: bool = False) -> bytes:
    """Pretty-printed as Google does unless told otherwise."""
    if plain:
        return orjson.dumps(value)
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
