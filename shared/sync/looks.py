"""When a mailbox is looked at once more before it is let go, and how soon: what a burst of pushes costs.

    what happened since the last look began                          the next look
    news: a hint came (APPEND refuses the release)                   a second after the last one began
    a push named a history id that is not reached yet                likewise, TRIES_MAX times, then it is given up:
                                                                     Gmail shows history late
    any push, one about nothing new too                              a second after the last push: the late look, since
                                                                     Gmail drops pushes above one a second
    nothing                                                          let go

Pushes are counted, as hints are: `pushes_served` is the number that a late look has come after. While they keep coming
the late look is put off, LATE_MAX_S at most; news never waits for it. So a burst of pushes costs the look that runs,
one more if there was news in it, and a late one. A push after which no sync is running starts one; right away for a
history id that is new, else so that the mailbox is not looked at more than once a second.

No clock but this invocation's is read: another instance's is not to be compared with.
"""

from dataclasses import dataclass

from shared.sync.calls import Calls
from shared.sync.ports import Begun, Clock, Store

GAP_S = 1.0
LATE_MAX_S = 10.0
TRIES_MAX = 3
SLACK_S = 0.01  # a sleep may end a little early


@dataclass(slots=True)
class Looks:
    """One per invocation. `noticed_s`: since when the number of pushes is known to be `pushes`."""

    begun: Begun
    store: Store
    calls: Calls
    clock: Clock
    pushes: int
    noticed_s: float
    served: int
    began_s: float = 0.0
    tries: int = 0

    @classmethod
    def of(cls, begun: Begun, store: Store, calls: Calls, clock: Clock) -> "Looks":
        served = int(begun.fields.get("pushes_served", "0"))
        return cls(begun, store, calls, clock, begun.pushes, clock.now_s(), served)

    async def first(self) -> None:
        """Waits until the first look may begin, and begins it."""
        fields, now_s = self.begun.fields, self.clock.now_s()
        self.began_s = float(fields.get("looked_s", "0"))
        if self.begun.pushed and self.begun.hints == int(fields.get("served", "0")):
            self.began_s = now_s
            await self._wait(self.begun.hints, behind=False)
        elif self.begun.pushed and not self.begun.hint_history and now_s - GAP_S < self.began_s <= now_s:
            await self._wait(-1, behind=False)
        self._begin()

    def owed(self, reached: int) -> bool:
        """Whether to look again although there is no news. `reached`: the history id that has been read up to."""
        self._notice()
        if self.clock.now_s() + GAP_S > self.calls.limits.deadline_s:
            return False
        return self._is_behind(reached) or self.served != self.pushes

    async def again(self, round_hints: int, reached: int) -> None:
        """Waits until the next look may begin, and begins it; the hints that came until then are served by it."""
        self._notice()
        behind = self._is_behind(reached)
        self.tries += behind
        await self._wait(round_hints, behind=behind)
        self._begin()

    def settle(self, reached: int) -> tuple[dict[str, str], dict[str, str]]:
        """Of a live round that ended: the fields that are done with, and what is noted.

        A push that names no more than `reached` is stale; a history id that was asked for is served, or given up.
        """
        wanted, noted = self.begun.hint_history, {"reached": str(reached)} if reached else {}
        if not wanted or self._is_behind(reached):
            return {}, noted
        return {"hint_history": str(wanted)}, noted | ({"hint_given_up": str(wanted)} if wanted > reached else {})

    def noted(self) -> dict[str, str]:
        """The account's fields when it is let go."""
        return {"looked_s": f"{self.began_s:.3f}", "pushes_served": str(self.served)}

    def _is_behind(self, reached: int) -> bool:
        return self.begun.hint_history > reached and self.tries < TRIES_MAX

    def _begin(self) -> None:
        self.began_s = self.clock.now_s()
        if self.began_s + SLACK_S >= self.noticed_s + GAP_S:
            self.served = self.pushes

    async def _wait(self, round_hints: int, *, behind: bool) -> None:
        while True:
            due_s = self.began_s + GAP_S
            if self.begun.hints == round_hints and not behind:
                due_s = min(self.noticed_s + GAP_S, self.began_s + LATE_MAX_S)
            wait_s = due_s - self.clock.now_s()
            if wait_s > SLACK_S:
                await self.calls.rest(wait_s)
            await self.store.renew(self.begun)
            self._notice()
            if wait_s <= SLACK_S:
                return

    def _notice(self) -> None:
        if self.begun.pushes != self.pushes:
            self.pushes, self.noticed_s = self.begun.pushes, self.clock.now_s()
