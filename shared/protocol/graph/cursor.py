"""Where an Outlook mailbox's reading stands: the folder chain, and a message chain for each tracked folder.

    chain        link is                       answer                next
    walk         "" (first request)            nextLink              the same walk, at that link
    walk         nextLink                      deltaLink             resting: the folder is live
    live         deltaLink, resting            deltaLink             resting; it was read in this round
    live         deltaLink, resting            nextLink              within a round: read on before the round ends
    any          any                           410                   walk again ("resync"), then sweep: only this folder
    any          any                           404                   missing: what the folder chain says of it decides
    any          any                           403 over quota        its list is read instead; the link is kept
    live         any                           a row without id      walk again, then sweep: it may have said anything
    walk         any                           a row without id      walk on; the next invocation walks again

    origin of a walk    what it names of messages that nobody has named before
    backfill            the newest `wanted` of the folder (all where None)
    resync              those at or after the floor, and those that may have changed since the chain was last read: once
                        too often, of what changed shortly before, rather than never
    live                all: the folder appeared after the mailbox was connected, so its messages came or were moved

A live round reads every chain once, from its delta link to the next one. It is begun at the start of an invocation,
after every LIVE_EVERY pages of a walk, and when nothing is left to walk; once begun it is read to its end.

The floor is kept by folder: "the newest N of each folder" has an oldest message in each. A cursor is stored deflated:
links and folder ids of one mailbox are alike for most of their length.

Source: https://learn.microsoft.com/en-us/graph/delta-query-messages; facts/graph.md A1
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from operator import attrgetter

import orjson

from shared.core.errors import ContractBroken
from shared.protocol.graph.folders import WELL_KNOWN

LIVE_EVERY = 10
BACKFILL, RESYNC, LIVE = "backfill", "resync", "live"
FIRST = "first"
STARTING, NAMING, READING = "starting", "naming", "reading"


@dataclass(frozen=True, slots=True)
class Chain:
    """`folder` is "" for the folder chain.

    origin    of a walk; "" where there is none
    rows      the walk has shown
    oldest_s  received time of the oldest row that a first walk named
    floor_s   None until the first walk has ended; 0 where everything is wanted
    light     the chain's rows have no body
    seen_s      newest lastModifiedDateTime on a first walk's first page, or in a live round of one page
    received_s  newest receivedDateTime shown
    pass_     number of this walk among those whose ids are stored, to sweep by; 0: not stored
    pages     stored by this walk so far
    read      in this round (of a walk: put off to the next invocation)
    alone     its part of a batch failed: ask for it by itself
    missing   the provider does not find the folder
    listing   over quota: FIRST or the next link of the list that is read instead
    odd       a row without an id was passed over: the next invocation walks the folder again, if this walk is over
    """

    folder: str
    link: str = ""
    resting: bool = False
    origin: str = ""
    rows: int = 0
    oldest_s: float | None = None
    floor_s: float | None = None
    light: bool = False
    seen_s: float = 0.0
    received_s: float = 0.0
    pass_: int = 0
    pages: int = 0
    read: bool = False
    alone: bool = False
    missing: bool = False
    listing: str = ""
    odd: bool = False

    @property
    def walks(self) -> bool:
        """As backfill, not as a part of a live round."""
        return self.origin in (BACKFILL, RESYNC)

    def again(self) -> "Chain":
        """The folder is walked from its beginning; the ids shown are stored, to sweep by. A first walk stays one."""
        return replace(
            self,
            link="",
            resting=False,
            origin=BACKFILL if self.origin == BACKFILL else RESYNC,
            rows=0,
            pass_=self.pass_ + 1,
            pages=0,
            read=False,
            alone=False,
            missing=False,
            listing="",
            odd=False,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A resync that is said at its end. `content`: known messages are named again first, between snapshot events."""

    reason: str
    content: bool = False
    snapshot_id: str = ""
    phase: str = READING
    page: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Cursor:
    """`folders` is the folder chain; its `pass_` counts its walks.

    wanted      newest N of each folder for a first walk; None = all
    since_s     when the mailbox was connected: the floor of a folder of which nothing was named
    pins        N = 0: ids that were there at the connection, too new to be told by their time
    names       well-known names that are still to be resolved
    shown       numbers of the folders that a walk of the folder chain has shown so far
    sweeps      folders of which the index is to be compared with the ids stored, up to `swept` (packed id) done
    walked      pages of walks since the last live round
    settling    the round's chains are read; what has left is still to be confirmed
    over_quota  was said
    """

    folders: Chain
    chains: tuple[Chain, ...] = ()
    wanted: int | None = None
    since_s: float = 0.0
    pins: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    shown: tuple[int, ...] = ()
    job: Job | None = None
    sweeps: tuple[str, ...] = ()
    swept: str = ""
    walked: int = LIVE_EVERY
    settling: bool = False
    over_quota: bool = False

    def chain(self, folder: str) -> Chain | None:
        return next((each for each in self.chains if each.folder == folder), None)

    def put(self, chain: Chain) -> "Cursor":
        """With this chain in place of the one of the same folder, or behind all others."""
        if not chain.folder:
            return replace(self, folders=chain)
        if self.chain(chain.folder) is None:
            return replace(self, chains=(*self.chains, chain))
        return replace(self, chains=tuple(chain if each.folder == chain.folder else each for each in self.chains))

    def live(self) -> list[Chain]:
        """The chains that a live round reads, the folder chain first."""
        return [each for each in (self.folders, *self.chains) if not each.walks and not each.missing]

    def walking(self) -> list[Chain]:
        return [each for each in self.chains if each.walks]

    def without(self, folder: str) -> "Cursor":
        return replace(self, chains=tuple(each for each in self.chains if each.folder != folder))

    def each(self, change: Callable[[Chain], Chain]) -> "Cursor":
        return replace(self, folders=change(self.folders), chains=tuple(map(change, self.chains)))

    def sweep(self, folder: str) -> "Cursor":
        return self if folder in self.sweeps else replace(self, sweeps=(*self.sweeps, folder))


def first(wanted: int | None, connected_s: float, pins: tuple[str, ...] = (), snapshot_id: str = "") -> Cursor:
    """The cursor of a new account. There is no "from now on": with 0 every folder is walked too, and nothing named."""
    job = Job("", content=True, snapshot_id=snapshot_id, phase=STARTING) if snapshot_id else None
    return Cursor(Chain("", origin=BACKFILL), (), wanted, connected_s, pins, WELL_KNOWN, job=job)


def lost(wanted: int | None, now_s: float, reason: str) -> Cursor:
    """After the cursor was lost: find the folders again, those too that are not there any more, walk them, compare with
    the index."""
    return Cursor(Chain("", origin=BACKFILL, pass_=1), (), wanted, now_s, names=WELL_KNOWN, job=Job(reason))


def resumed(cursor: Cursor) -> Cursor:
    """At the beginning of an invocation: a round that was cut off counts for nothing, and live changes come first.

    A first walk that is still before its second page may have named some of its first one. No chain will tell if these
    have left by the time that the first page is asked for again: so its ids are stored, to sweep by.
    """
    fresh = cursor.each(lambda chain: replace(chain, read=False, alone=False))
    fresh = fresh.each(lambda chain: chain.again() if chain.odd and not chain.walks else chain)
    begun = tuple(
        replace(chain, pass_=1) if chain.origin == BACKFILL and not chain.link and not chain.pass_ else chain
        for chain in fresh.chains
    )
    return replace(fresh, chains=begun, walked=LIVE_EVERY, settling=False)


_VALUES = {kind: attrgetter(*(each.name for each in fields(kind))) for kind in (Chain, Job, Cursor)}


def encode(cursor: Cursor) -> str:
    """Values without their names. (`astuple` copies deeply, and takes seven times as long.)"""
    text = orjson.dumps(cursor, lambda part: _VALUES[type(part)](part), orjson.OPT_PASSTHROUGH_DATACLASS)
    return b64encode(zlib.compress(text, 6)).decode()


def decode(text: str) -> Cursor:
    """Raises ContractBroken for what `encode` did not write: such a cursor is lost state, never a guess."""
    try:
        folders, chains, wanted, since_s, pins, names, shown, job, sweeps, *rest = orjson.loads(
            zlib.decompress(b64decode(text, validate=True))
        )
        return Cursor(
            Chain(*folders),
            tuple(Chain(*each) for each in chains),
            wanted,
            since_s,
            tuple(pins),
            tuple(names),
            tuple(shown),
            Job(*job) if job else None,
            tuple(sweeps),
            *rest,
        )
    except (ValueError, TypeError, zlib.error) as error:
        raise ContractBroken("the stored cursor can't be read") from error
