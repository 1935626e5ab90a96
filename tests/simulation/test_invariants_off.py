"""Each invariant of DESIGN §2 switched off alone, and two of the webhook's: seeds must fail, else none looks at it.

Invariant 8 (no secret in logs, errors, keys, URLs) is not a matter of order; it is proved by planted canaries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared import wiring
from shared.adapters import gmail, graph, redis_delivery_scripts, redis_scripts
from shared.adapters.redis_store import RedisStore
from shared.protocol.gmail import history
from shared.protocol.gmail.cursor import Reading
from shared.protocol.graph.stream import GraphStream
from shared.protocol.step import Gone, Step, Want
from shared.sync.hydrate import Hydrator, Read
from shared.sync.ports import Append, Appended, Begun
from shared.sync.run import Run
from shared.sync.step import Steps
from tests.simulation.many import fails, quiet
from tests.simulation.plan import plan

pytestmark = pytest.mark.whole
SEEDS = 20
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def without(patch: Patch, script: str, text: str, instead: str = "", module: Any = redis_scripts) -> None:
    """A script of which a part is missing."""
    whole = getattr(module, script)
    assert text in whole
    patch.setattr(module, script, whole.replace(text, instead))


def cursor_before_events(patch: Patch) -> None:
    """1: the cursor is stored by a step of its own, before what it accounts for."""

    class Eager(RedisStore):
        async def append(self, begun: Begun, step: Append) -> Appended:
            if step.events and "cursor" in step.fields:
                await super().append(begun, Append(f"{step.step_id}.a", fields={"cursor": step.fields["cursor"]}))
            return await super().append(begun, step)

    patch.setattr(wiring, "RedisStore", Eager)


def history_id_of_the_last_page(patch: Patch) -> None:
    """2: a round's history id is taken from whatever page comes last."""
    receive = history.receive

    def late(reading: Reading, response: Any) -> Any:
        facts, after, ended = receive(reading, response)
        if isinstance(after, Reading) and ended:
            after = replace(after, since=history.parsed(history._Page, response).historyId)
        return facts, after, ended

    patch.setattr(history, "receive", late)


def delta_link_made_up(patch: Patch) -> None:
    """2, Outlook: a page's link is stored with the page before it."""
    receive = GraphStream.receive

    def ahead(self: GraphStream, cursor: Any, request: Any, response: Any, *, confirmed: bool) -> Step[Any]:
        step = receive(self, cursor, request, response, confirmed=confirmed)
        return replace(step, facts=step.facts[:-1])

    patch.setattr(GraphStream, "receive", ahead)


def no_fence(patch: Patch) -> None:
    """3: whoever still runs may write and renew."""
    without(patch, "APPEND", "was[1] ~= h.fence or tonumber(was[2]) ~= h.version or ")
    without(patch, "RENEW", "if was[1] ~= ARGV[1] then return {'late'} end")


def what_is_left_is_dropped(patch: Patch) -> None:
    """4: a step is cut to its bound, and the rest is not resumed."""

    async def commit(self: Run, step: Step[Any]) -> None:
        await self._apply(step, step.facts[:2], step)

    patch.setattr(Run, "_commit", commit)


def absence_is_deletion(patch: Patch) -> None:
    """5: what is not where it was is gone, unread."""
    read = Hydrator.read

    async def believed(self: Hydrator, wants: Sequence[Want]) -> Read:
        found = await read(self, [want for want in wants if want.content])
        found.results |= {want.message_id: Gone() for want in wants if not want.content}
        return found

    patch.setattr(Hydrator, "read", believed)


def failed_parts_are_dropped(patch: Patch) -> None:
    """6: what could not be read is not tried again. (Outlook's rows bring their messages; what it reads is a debt.)"""
    patch.setattr(Steps, "_park", lambda self, *of: None)


def a_hint_carries_data(patch: Patch) -> None:
    """7: the pushed history id is where the mailbox has been read up to."""
    cursor = gmail.Gmail.cursor

    def jumped(self: gmail.Gmail, begun: Begun, opened: Any) -> Any:
        found = cursor(self, begun, opened)
        if isinstance(found.live, Reading) and begun.hint_history > found.live.since:
            return replace(found, live=Reading(begun.hint_history))
        return found

    patch.setattr(gmail.Gmail, "cursor", jumped)


def only_hints_are_looked_at(patch: Patch) -> None:
    """7, Outlook: without a push nothing is asked for."""
    cursor = graph.Graph.cursor

    def silent(self: graph.Graph, begun: Begun, opened: Any) -> Any:
        found = cursor(self, begun, opened)
        rested = all(chain.resting for chain in found.chains) and found.chains
        return found.each(lambda chain: replace(chain, read=True)) if rested and not begun.pushed else found

    patch.setattr(graph.Graph, "cursor", silent)


def no_cool_down(patch: Patch) -> None:
    """9: what the provider has asked for is not kept."""
    without(patch, "BEGIN", "if hold > 0 then return {'cooling_down', hold} end")


def no_index(patch: Patch) -> None:
    """10: nothing is known of what has been said."""
    read = RedisStore.read

    async def blind(self: RedisStore, account_id: str, ids: Sequence[tuple[str, str]]) -> Any:
        entries, texts = await read(self, account_id, ids)
        return [None] * len(entries), texts

    patch.setattr(RedisStore, "read", blind)


def delivered_before_the_answer(patch: Patch) -> None:
    """The webhook's position moves when a batch is taken, not when the app has it."""
    until = "redis.call('HSET', delivery, 'until', whole(last))"
    without(patch, "NEXT", until, "passed(last)", redis_delivery_scripts)


def delivered_by_many(patch: Patch) -> None:
    """Whoever comes delivers."""
    without(patch, "NEXT", "if held and held ~= h.owner then", "if false then", redis_delivery_scripts)


# Provider, what is off, and the first of the SEEDS seeds that are tried: from 0 on it takes up to seventy.
OFF: tuple[tuple[str, Callable[[Patch], None], int], ...] = (
    ("gmail", cursor_before_events, 30),
    ("outlook", cursor_before_events, 0),
    ("gmail", history_id_of_the_last_page, 40),
    ("outlook", delta_link_made_up, 0),
    ("gmail", no_fence, 50),
    ("outlook", no_fence, 20),
    ("gmail", what_is_left_is_dropped, 10),
    ("outlook", what_is_left_is_dropped, 0),
    ("gmail", absence_is_deletion, 0),
    ("outlook", absence_is_deletion, 0),
    ("gmail", failed_parts_are_dropped, 60),
    ("gmail", a_hint_carries_data, 0),
    ("outlook", only_hints_are_looked_at, 0),
    ("gmail", no_cool_down, 0),
    ("outlook", no_cool_down, 0),
    ("gmail", no_index, 0),
    ("outlook", no_index, 0),
    ("gmail", delivered_before_the_answer, 0),
    ("outlook", delivered_before_the_answer, 0),
    ("gmail", delivered_by_many, 20),
    ("outlook", delivered_by_many, 20),
)


@pytest.mark.parametrize(
    ("provider", "off", "first"), OFF, ids=[f"{provider}-{off.__name__}" for provider, off, _ in OFF]
)
def test_without_an_invariant_seeds_fail(
    provider: str, off: Callable[[Patch], None], first: int, monkeypatch: Patch
) -> None:
    off(monkeypatch)
    assert any(fails(plan(provider, seed)) for seed in range(first, first + SEEDS))
