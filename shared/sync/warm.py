"""Warming: what a user is likely to read next is in the cache before they ask for it.

    due     of a mailbox that was read from lately: after news, after reads, else every quarter of the cache's time
    look    the model, what was read and what the log says since (1 Redis request)
    learn   arrivals, views and departures into the model (core/interest.py)
    take    the model is stored; what is likely and cached is kept for another while, which costs no quota; of the rest
            what is worth it is taken, as far as the share of the quota goes (1 Redis request)
    read    as readers read, once: what fails is left           (2 Redis requests, and a batch to the provider)

Warming reads the log as any reader does, with a position of its own, so it need not be told of anything: what a killed
invocation has not warmed, the next one does. Without a lease: it is no sync, and must not hold one up. `take` refuses
while one runs, in a cool-down, while the breaker is open, and where half of the mailbox's burst would not be left. What
is taken is charged at once to a bucket of its own, which lies in the account's hash; to the mailbox's when it is read.

A mailbox that nobody reads from costs nothing at all, whatever its user prefers: `read_ms`, which reading notes in the
account's hash, comes with the hash that a sync reads anyway.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.core import change
from shared.core.interest import DAY_S, Candidate, Interest, Likely, load
from shared.core.message import instant_s
from shared.core.quota import Governor
from shared.protocol.step import Fetched, Want

READER_S = 14 * DAY_S  # who has read nothing for so long reads nothing
LOOKS_IN_A_TTL = 4  # so that what is kept is kept in time
OLD_MAX = 32  # messages that were read, and have to be looked up to know what they are; later ones tell more
LIVE_KEEPS = 0.5  # of the mailbox's burst, after everything that warming takes
UNWANTED = frozenset({"SPAM", "TRASH", "DRAFT"})


@dataclass(frozen=True, slots=True)
class Wish:
    """How much to warm. `everything`: the newest, not the likely; `followed`: threads that the user has named."""

    most: int
    everything: bool
    followed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Looked:
    """`number`: of the model's version. `reads`: (when, message ids) of each view; `entries`: of the log, since."""

    number: int
    model: str
    reads: Sequence[tuple[float, Sequence[str]]]
    entries: Sequence[str]
    reads_end: str
    position: str


@dataclass(frozen=True, slots=True)
class Price:
    """What one message costs, in seconds of each bucket, and how much of it may be used at once (GCRA, core/quota.py).

    `live_s` is 0 where the provider has no units.
    """

    warm_s: float
    warm_most_s: float
    live_s: float
    live_most_s: float


def price(governor: Governor, units_each: float, share: float, *, metered: bool) -> Price:
    """`metered`: live sync spends from the same governor."""
    each_s, burst_s = units_each / governor.units_per_s, governor.burst / governor.units_per_s
    live_s = each_s if metered else 0.0
    return Price(each_s / share, burst_s, live_s, burst_s * (1 - LIVE_KEEPS))


class Shelf(Protocol):
    """The warmer's side of the store. Of an account that is gone nothing is looked at or taken; nor is anything taken
    where another invocation has learnt since the look."""

    async def look(self, account_id: str) -> Looked | None: ...
    async def cached(self, account_id: str, message_ids: Sequence[str]) -> Sequence[Fetched | None]: ...
    async def take(
        self, account_id: str, looked: Looked, model: str, likely: Sequence[Likely], price: Price
    ) -> Sequence[Want]: ...


Read = Callable[[Sequence[Want]], Awaitable[int]]


def due(fields: Mapping[str, str], now_s: float, ttl_s: float, *, news: bool) -> bool:
    """Whether to look, by the account's hash alone."""
    read_s, looked_s = (float(fields.get(name) or 0) / 1000 for name in ("read_ms", "warmed_ms"))
    if now_s - read_s > READER_S:
        return False
    return news or read_s >= looked_s or now_s - looked_s >= ttl_s / LOOKS_IN_A_TTL


@dataclass(frozen=True, slots=True)
class Warmer:
    """Of one mailbox. `read` reads into the cache and counts; `named` hashes an address; `ttl_s`: the cache's time."""

    shelf: Shelf
    read: Read
    named: Callable[[str], str]
    ttl_s: float
    price: Price

    async def warm(self, account_id: str, wish: Wish, now_s: float) -> int:
        """How many messages were read."""
        looked = await self.shelf.look(account_id)
        if looked is None:
            return 0
        model = load(looked.model)
        model.fade(now_s)
        fresh = self._learn_log(model, looked.entries, now_s)
        await self._learn_reads(model, account_id, looked)
        model.settle()
        found = model.newest() if wish.everything else model.likely(self.ttl_s, fresh, wish.followed)
        likely = found[: wish.most]
        if not (likely or looked.entries or looked.reads):
            return 0
        taken = await self.shelf.take(account_id, looked, model.dump(), likely, self.price)
        return await self.read(taken) if taken else 0

    def _learn_log(self, model: Interest, entries: Sequence[str], now_s: float) -> set[str]:
        """What has arrived. Mail that was there before tells nothing: nobody has passed it over."""
        fresh = set()
        for stored in entries:
            kind, data = change.parts(stored)
            if kind == "message.created" and data["origin"] == "live":
                message = data["message"]
                if UNWANTED.isdisjoint(message["labels"]) and not message["draft"]:
                    at_s = min(now_s, instant_s(message["received_at"]) or now_s)
                    model.arrived(message["id"], message["thread_id"] or message["id"], self._sender(message), at_s)
                    fresh.add(message["id"])
            elif kind == "message.deleted" or not UNWANTED.isdisjoint(data.get("patch", {}).get("labels", ())):
                model.gone(data["message_id"])
        return fresh

    async def _learn_reads(self, model: Interest, account_id: str, looked: Looked) -> None:
        """What was read is in the cache still, should the log not have told of it lately."""
        unknown = {each: None for _, ids in looked.reads for each in ids if each not in model.candidates}
        old_ids = list(unknown)[-OLD_MAX:]
        held = await self.shelf.cached(account_id, old_ids) if old_ids else ()
        old = {found.message["id"]: found.message for found in held if found}
        for at_s, ids in looked.reads:
            viewed = [model.candidates[each] for each in ids if each in model.candidates]
            viewed += [
                Candidate(each, old[each]["thread_id"] or each, self._sender(old[each]), at_s)
                for each in ids
                if each in old and each not in model.candidates
            ]
            model.viewed(viewed, at_s)

    def _sender(self, message: Mapping[str, Any]) -> str:
        address = (message["from"] or {}).get("address")
        return self.named(address.casefold()) if address else ""
