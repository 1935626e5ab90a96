"""Delta chains as server state: every page read makes a new generation, the last three are alive.

    link read        answer                    generations alive
    (first call)     page, link of g+1         g+1
    link of g+1      page, link of g+2         g+1, g+2
    link of g+1      page, link of g+3         g+1, g+2, g+3       (read again: one more generation)
    link of g-1      410 SyncStateNotFound

So a link rots when its chain is read on, and also when it is read again and again. Tokens are sealed: a client that
makes one up, cuts one or carries it to another folder is told SyncStateInvalid.
Source: microsoft-graph-docs issues 2350, 2162 (three live generations; old links of a walk rot)
"""

import hashlib
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from infra.emulators.graph.changes import Entry, EntryKind
from infra.emulators.graph.errors import sync_state_invalid, sync_state_not_found
from infra.emulators.graph.knobs import Knobs

LinkKind = Literal["skip", "delta"]
EXPIRED_STEP = 8  # how far the highest generation jumps when an operator expires a chain


@dataclass(frozen=True, slots=True)
class Terms:
    """What the first call fixed for the whole chain."""

    principal: str  # as the links spell it: `me` or `users('…')`
    folder_id: str | None  # None: the folder hierarchy
    select: tuple[str, ...] | None
    since_s: float | None = None
    since_excluded: bool = False  # `gt` instead of `ge`
    newest_first: bool = False
    kinds: frozenset[EntryKind] | None = None
    top: int | None = None


@dataclass(frozen=True, slots=True)
class Round:
    entries: list[Entry]
    end: int  # position in the log where the next round begins


@dataclass(frozen=True, slots=True)
class Point:
    """Where a link continues: in a round, or at the log position from which a new round is made."""

    position: int
    round: Round | None = None
    offset: int = 0
    shown: int = 0
    idle: bool = False  # the page before was empty


@dataclass(slots=True)
class Chain:
    number: int
    terms: Terms
    highest: int
    rng: random.Random
    points: dict[int, tuple[Point, LinkKind]] = field(default_factory=dict)

    def expire(self) -> None:
        self.highest += EXPIRED_STEP
        self.points.clear()


class Chains:
    """All chains of one mailbox."""

    def __init__(self, seed: int, address: str, knobs: Knobs) -> None:
        self._key = hashlib.blake2b(f"{seed}\x00{address}".encode(), digest_size=32).digest()
        self._rng = random.Random(f"{seed}\x00{address}\x00chains")
        self._knobs = knobs
        self._chains: OrderedDict[int, Chain] = OrderedDict()
        self._made = 0

    def open(self, terms: Terms) -> Chain:
        """The chain lives in the mailbox only once it has a link: see `link`."""
        self._made += 1
        seed = self._rng.getrandbits(64)
        return Chain(self._made, terms, self._rng.randint(100, 900), random.Random(seed))

    def link(self, chain: Chain, point: Point, kind: LinkKind) -> str:
        """A new generation, and the token that leads to it."""
        generation = self._known(chain, point, kind)
        if generation is None:
            generation = chain.highest = chain.highest + 1
            chain.points[generation] = (point, kind)
            for old in [number for number in chain.points if number <= generation - self._knobs.generations_live]:
                del chain.points[old]
        self._chains[chain.number] = chain
        self._chains.move_to_end(chain.number)
        while len(self._chains) > self._knobs.chains_max:
            self._chains.popitem(last=False)
        return self._seal(f"{chain.number}.{generation}.{kind}")

    def _known(self, chain: Chain, point: Point, kind: LinkKind) -> int | None:
        if self._knobs.replay_makes_generation:
            return None
        return next((number for number, known in chain.points.items() if known == (point, kind)), None)

    def find(self, token: str, kind: LinkKind, folder_id: str | None) -> tuple[Chain, Point]:
        """Raises GraphError 410 (or 400, a knob, for a token that was never given out)."""
        number, generation, said = self._unseal(token)
        if said != kind:
            raise sync_state_invalid(int(self._knobs.foreign_token))
        chain = self._chains.get(number)
        if chain is None:
            raise sync_state_not_found(generation, generation + EXPIRED_STEP)
        if chain.terms.folder_id != folder_id:
            raise sync_state_invalid(int(self._knobs.foreign_token))
        found = chain.points.get(generation)
        if found is None:
            raise sync_state_not_found(generation, chain.highest)
        return chain, found[0]

    def expire(self, folder_id: str | None, everything: bool = False) -> int:
        """Kills the links of one folder's chains (None: the hierarchy's), or of all; how many chains it hit."""
        hit = [chain for chain in self._chains.values() if everything or chain.terms.folder_id == folder_id]
        for chain in hit:
            chain.expire()
        return len(hit)

    def _seal(self, text: str) -> str:
        raw = text.encode()
        mac = hashlib.blake2b(raw, key=self._key, digest_size=12).digest()
        return urlsafe_b64encode(mac + self._mask(mac, raw)).decode().rstrip("=")

    def _unseal(self, token: str) -> tuple[int, int, str]:
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            raw = self._mask(sealed[:12], sealed[12:])
            if hashlib.blake2b(raw, key=self._key, digest_size=12).digest() != sealed[:12]:
                raise ValueError("not ours")
            number, generation, kind = raw.decode().split(".")
            return int(number), int(generation), kind
        except ValueError:
            raise sync_state_invalid(int(self._knobs.foreign_token)) from None

    def _mask(self, mac: bytes, raw: bytes) -> bytes:
        stream = hashlib.shake_256(self._key + mac).digest(len(raw))
        return bytes(left ^ right for left, right in zip(raw, stream, strict=True))
