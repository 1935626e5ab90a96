"""One mailbox's calls to its provider: paced, inside lease and budget, tried again, told to the breaker.

answer            what happens
2xx, 404, 410     returned: the protocol knows what they mean; so is any refusal of what may have been forgotten, a few
                  times an invocation: who begins anew must not do so for ever
401               the access token is refreshed once, then tried again
throttled         wait max(asked, own back-off) if this invocation can afford it, else Throttled: a stored cool-down
5xx, unreadable   counted by the breaker, tried again after a back-off; MAX_RETRIES attempts, then ProviderDown; or
                  Throttled, where the provider has named a time that is still to come
forbidden         AuthorizationLost; any other refusal: ContractBroken
"""

from dataclasses import dataclass

from shared.core import backoff, lease
from shared.core.errors import AccessExpired, BreakerOpen, BudgetSpent, ProviderDown, Throttled
from shared.core.quota import Governor
from shared.protocol.status import Kind, Status
from shared.protocol.wire import Request, Response
from shared.sync.ports import Begun, Clock, Store, Stream, Transport

TASK_RESERVE_S = 1.0
FORGOTTEN_MAX = 3
FIRST_READS = 3  # what an invocation must be able to pay for to be of use: a poll and the dearest read, a thread


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline_s`: when this invocation's budget is spent. `attempts` of one call. `base_s` of the back-off."""

    deadline_s: float
    attempts: int
    base_s: float
    lease_ttl_s: float

    @property
    def wait_max_s(self) -> float:
        """The longest wait that is sat out; longer ones are stored."""
        return lease.step_wait_max_s(self.lease_ttl_s)


class Calls:
    """Counts what is reported: `api_calls` (HTTP requests), `units` (refused parts too), `waited_s` for quota."""

    def __init__(
        self,
        begun: Begun,
        store: Store,
        transport: Transport,
        stream: Stream,
        clock: Clock,
        limits: Limits,
        governor: Governor | None,
    ) -> None:
        self._begun = begun
        self._store = store
        self._transport = transport
        self._stream = stream
        self._clock = clock
        self.limits = limits
        self.governor = governor
        self._full_at_s = int(begun.fields.get("full_at_ms", "0")) / 1000
        self.refreshes = 0
        self.forgotten = 0
        self.spent_s = 0.0
        self.waited_s = 0.0
        self.units = 0
        self.healthy = False

    @property
    def api_calls(self) -> int:
        return self._transport.requests

    def left_s(self) -> float:
        """Of this invocation's budget."""
        return self.limits.deadline_s - self._clock.now_s()

    def late(self, wait_s: float) -> bool:
        """Whether a task that begins with this wait is too much for what is left of the budget."""
        return self.left_s() < wait_s + TASK_RESERVE_S

    async def ask(self, request: Request) -> Response:
        """The answer, with a status that the protocol understands (2xx, 404, 410); else raises (see above)."""
        attempt = 0
        while True:
            await self.pace(request.units)
            refreshes = self.refreshes
            response = await self._once(request)
            if response is None:
                status = Status(Kind.DOWN, 0)
            else:
                status = self._stream.status(response, self._clock.now_s())
                if status.kind in (Kind.OK, Kind.NOT_FOUND) or self._forgotten(request, status):
                    self.healthy = True
                    return response
            if status.kind is Kind.EXPIRED:
                await self.refresh(refreshes)
                continue
            attempt += 1
            if status.kind is Kind.THROTTLED:
                await self.sit_out(attempt - 1, status, last=attempt >= self.limits.attempts)
            elif status.kind is Kind.DOWN:
                await self._failed(attempt, status)
            else:
                status.raise_unless_ok()

    def _forgotten(self, request: Request, status: Status) -> bool:
        if status.kind is not Kind.REFUSED or not request.perishable:
            return False
        self.forgotten += 1
        return self.forgotten <= FORGOTTEN_MAX

    async def plainly(self, request: Request) -> Response:
        """Any answer, paced and counted, tried again only with a new token: for what may fail. Raises ProviderDown."""
        await self.pace(request.units)
        refreshes = self.refreshes
        response = await self._sent(request)
        if response.status == 401:
            await self.refresh(refreshes)
            response = await self._sent(request)
        return response

    async def settle(self) -> float:
        return await self._transport.settle()

    async def refresh(self, refreshes: int) -> None:
        """Once an invocation: a second 401 means that it is not the token's age. `refreshes`: how many there had been
        when the refused request was sent; of several that were sent together only the first has to."""
        if refreshes < self.refreshes:
            return
        if self.refreshes:
            raise AccessExpired("the provider refuses a fresh access token")
        self.refreshes += 1
        await self._transport.refresh()

    async def sit_out(self, refusals: int, status: Status, *, last: bool) -> None:
        """Waits for what the provider asks, or raises Throttled with it."""
        if status.http == 403:
            self.drain()
        base_s, random = self.limits.base_s, self._clock.random()
        wait_s = backoff.wait_s(refusals, base_s, random, status.retry_after_s, refused=True)
        if last or wait_s > min(self.limits.wait_max_s, self.left_s()):
            raise Throttled("the provider refuses for rate", wait_s)
        await self.rest(wait_s)

    async def back_off(self, failures: int) -> None:
        """Before failed parts are tried again, where nothing else is left to read."""
        wait_s = backoff.wait_s(failures - 1, self.limits.base_s, self._clock.random())
        if wait_s > self.left_s():
            raise BudgetSpent("the time of this invocation is spent", wait_s)
        await self.rest(wait_s)

    async def pace(self, units: float) -> None:
        """Waits until the governor lets `units` through, and spends them."""
        if self.governor and units:
            self._require(units)
            now_s = self._clock.now_s()
            wait_s = self.governor.wait_s(self._full_at_s, now_s, units)
            # Spent before the wait: who waits beside us must not count on the same units.
            self._full_at_s = self.governor.spend(self._full_at_s, now_s, units)
            self.spent_s += units / self.governor.units_per_s
            if wait_s > 0:
                await self.rest(wait_s)
        await self.keep_lease()

    def begin(self) -> None:
        """Raises BudgetSpent unless the first reads can be paid for before the deadline: a poll that nothing can follow
        only eats what the next invocation needs, and invocations that follow each other fast would never read anything.
        """
        self._require(FIRST_READS * self._stream.read_units)

    def _require(self, units: float) -> None:
        if self.governor:
            now_s = self._clock.now_s()
            wait_s = self.governor.wait_s(self._full_at_s, now_s, units)
            if wait_s > 0 and now_s + wait_s > self.limits.deadline_s:
                raise BudgetSpent("the quota of this invocation's time is spent", wait_s)

    def affordable(self, *, live: bool, begun: bool) -> int:
        """How many reads one step may start, so that the governor holds it neither beyond the deadline nor longer than
        a third of the lease. What is not live leaves the next invocation its first reads, once this one has `begun`:
        raises BudgetSpent when nothing else is left."""
        units_each = self._stream.read_units
        if not self.governor or not units_each:
            return 1_000_000
        now_s = self._clock.now_s()
        within_s = min(self.limits.wait_max_s, max(0.0, self.limits.deadline_s - now_s))
        reads = int(self.governor.affordable(self._full_at_s, now_s, within_s) / units_each)
        if not live:
            reads -= FIRST_READS
            if reads < 1 and begun:
                raise BudgetSpent("what is left of the quota is for the next invocation's live changes")
        return max(1, reads)

    def drain(self) -> None:
        """The provider says that the minute is used up: so is ours."""
        if self.governor:
            now_s = self._clock.now_s()
            drained_s = self.governor.drained(now_s)
            self.spent_s += max(0.0, drained_s - max(self._full_at_s, now_s))
            self._full_at_s = max(self._full_at_s, drained_s)

    def saved_s(self) -> float:
        """Governor time spent since the last stored step, for the next one to store."""
        spent_s, self.spent_s = self.spent_s, 0.0
        return spent_s

    async def keep_lease(self) -> None:
        if lease.renewal_due(self._begun.renewed_at_s, self._clock.now_s(), self.limits.lease_ttl_s):
            await self._store.renew(self._begun)

    async def _once(self, request: Request) -> Response | None:
        """None: no answer came, or none that can be read."""
        try:
            return await self._sent(request)
        except ProviderDown:
            return None

    async def _sent(self, request: Request) -> Response:
        now_s = self._clock.now_s()
        timeout_s = lease.request_timeout_s(
            self._begun.renewed_at_s, now_s, self.limits.lease_ttl_s, self.limits.deadline_s - now_s
        )
        self.units += request.units
        return await self._transport.send(request, timeout_s=timeout_s)

    async def _failed(self, attempt: int, status: Status) -> None:
        if status.http == 0 or status.http >= 500:
            open_s = await self._store.provider_failed(self._begun.account_id)
            if open_s:
                raise BreakerOpen("the provider failed too often", open_s)
        wait_s = backoff.wait_s(attempt - 1, self.limits.base_s, self._clock.random(), status.retry_after_s)
        if attempt >= self.limits.attempts or wait_s > min(self.limits.wait_max_s, self.left_s()):
            if status.retry_after_s:
                raise Throttled("the provider is down, and names a time", wait_s)
            raise ProviderDown("the provider does not answer", wait_s)
        await self.rest(wait_s)

    async def rest(self, seconds: float) -> None:
        """Sleeps in thirds of the lease, renewing it; what is slept counts as waited for."""
        self.waited_s += seconds
        until_s = self._clock.now_s() + seconds
        while (left_s := until_s - self._clock.now_s()) > 0:
            await self._clock.sleep(min(left_s, self.limits.wait_max_s))
            await self.keep_lease()
