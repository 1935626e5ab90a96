"""What a user will read next in a mailbox, learnt from what they read: threads, senders, hours. Pure.

    learnt from     what grows (every weight halves with time)
    a view          one look at some messages: the hour; views of each thread in it
    a first read    seen and read: of the message's sender, its thread, the mailbox
    passed over     seen: likewise, of what lay unread for a while or had to make room

    chance that     of a message is
    it is read      p: the share of arrivals that are read: the sender's drawn to the mailbox's, the thread's to both
    soon, unread    p (e^-age/T - e^-(age + ahead)/T) / (1 - p + p e^-age/T): still unread after `age`, read in `ahead`
    soon, again     1 - e^-(views of its thread a day x ahead)

Times are counted in the user's own days: an hour passes by as much as this user reads in it. So mail of the night has
not aged at nine in the morning, and nothing is likely at four. Hours are UTC's: a summer time is learnt anew.

A thread is followed where it was viewed lately. A message is a candidate from its arrival, or first read, until it is
gone or others are likelier. Everything is bounded, and a model is a few KiB of text. Senders are names that the caller
has hashed under a key: no address comes here. The model is of one mailbox: a mailbox belongs to one user, what is read
in it says little of another, and it has to be deleted with it.

Rejected: weights of reads alone. A newsletter that comes every hour and is read on Sundays would win over a friend.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any, TypeVar

import orjson

DAY_S, HOUR_S = 86_400.0, 3_600.0
HALF_LIFE_S = 14 * DAY_S  # habits: senders, hours, the mailbox
THREAD_HALF_LIFE_S = 2 * DAY_S  # a conversation is over sooner
MEAN_DELAY_DAYS = 0.2  # T: where a user reads in ten hours of a day, the two after the arrival
PRIOR_SHARE = 0.2  # of its arrivals that an unknown mailbox reads
PRIOR_WEIGHT = 2.0  # so many arrivals outweigh what is believed beforehand
PASSED_OVER_DAYS = 0.2  # unread for so long, a message has been passed over; until then it tells nothing
FOLLOWED_VIEWS = 0.5  # viewed once within two days, or more often before
WORTH_CHANCE = 0.7  # within a day: from here on a message is worth a read; kept until then it costs nothing more
SOON_CHANCE = 0.05  # before its time in the cache is over: else the read can wait
KEPT_CHANCE = 0.03  # within a day: below it a cached message is let go
SENDERS_MAX, THREADS_MAX, CANDIDATES_MAX = 128, 64, 128
JSON_BYTES_MAX = 256 * 1024

Name = TypeVar("Name")
Value = TypeVar("Value")


@dataclass(slots=True)
class Tally:
    """Decayed counts. `read`: of the arrivals `seen`, those that were read. `views`: of a thread only."""

    seen: float = 0.0
    read: float = 0.0
    views: float = 0.0

    def share(self, believed: float) -> float:
        return min(1.0, (self.read + PRIOR_WEIGHT * believed) / (self.seen + PRIOR_WEIGHT))

    def fade(self, factor: float) -> None:
        self.seen, self.read, self.views = self.seen * factor, self.read * factor, self.views * factor


@dataclass(slots=True)
class Candidate:
    """A message that may be warmed. `sender` is a keyed hash; `at_s`: its arrival, or when it was first read.

    `decided`: it counts as seen, read or not.
    """

    message_id: str
    thread_id: str
    sender: str
    at_s: float
    was_read: bool = False
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Likely:
    """`chance`: that it is read within a day. `worth`: it is to be read for that; else it is kept if it is cached."""

    of: Candidate
    chance: float
    worth: bool


@dataclass(slots=True)
class Interest:
    """Weights are as of `at_s`, a whole hour: rounded anew at each of many looks, they would never fade."""

    at_s: float = 0.0
    mailbox: Tally = field(default_factory=Tally)
    hours: list[float] = field(default_factory=lambda: [0.0] * 24)
    senders: dict[str, Tally] = field(default_factory=dict)
    threads: dict[str, Tally] = field(default_factory=dict)
    candidates: dict[str, Candidate] = field(default_factory=dict)
    now_s: float = field(default=0.0, compare=False)

    def fade(self, now_s: float) -> None:
        """To be called before something is learnt or asked; a clock that went back fades nothing."""
        self.now_s = max(now_s, self.at_s)
        passed_s = (self.now_s - self.at_s) // HOUR_S * HOUR_S
        self.at_s += passed_s
        slow, fast = _halved(passed_s, HALF_LIFE_S), _halved(passed_s, THREAD_HALF_LIFE_S)
        self.hours = [weight * slow for weight in self.hours]
        for tally in (self.mailbox, *self.senders.values()):
            tally.fade(slow)
        for tally in self.threads.values():
            tally.fade(fast)

    def arrived(self, message_id: str, thread_id: str, sender: str, at_s: float) -> None:
        """A message named for the first time; a second time it is the same."""
        self.candidates.setdefault(message_id, Candidate(message_id, thread_id, sender, at_s))

    def viewed(self, messages: Iterable[Candidate], at_s: float) -> None:
        """One look at some messages; those that are not known are taken for old mail that arrived unnoticed."""
        self.hours[_hour(at_s)] += self._weight(at_s, HALF_LIFE_S)
        threads = set()
        for given in messages:
            found = self.candidates.setdefault(given.message_id, given)
            threads.add(found.thread_id)
            if not found.was_read:
                found.was_read = True
                self._count(found, at_s, seen=not found.decided, read=1)
                found.decided = True
        for thread_id in threads:
            tally = self.threads.setdefault(thread_id, Tally())
            tally.views += self._weight(at_s, THREAD_HALF_LIFE_S)

    def gone(self, message_id: str) -> None:
        if message_id in self.candidates:
            self._pass_over([self.candidates.pop(message_id)])

    def follows(self, thread_id: str) -> bool:
        tally = self.threads.get(thread_id)
        return tally is not None and tally.views >= FOLLOWED_VIEWS

    def likely(self, ahead_s: float, fresh: Collection[str], followed: Collection[str] = ()) -> list[Likely]:
        """What may be read within a day, the likeliest first; a cached message is given out for `ahead_s`.

        `followed`: threads that the user has named. What has just arrived (`fresh`) in a followed thread is worth it.
        """
        day, soon = self._chances(DAY_S), self._chances(ahead_s)
        found = []
        for each in reversed(self.candidates.values()):
            named = each.thread_id in followed
            chance = 1.0 if named else day(each)
            arrives = each.message_id in fresh and (named or self.follows(each.thread_id))
            worth = arrives or (chance >= WORTH_CHANCE and (named or soon(each) >= SOON_CHANCE))
            if chance >= KEPT_CHANCE or worth:
                found.append(Likely(each, chance, worth))
        return sorted(found, key=lambda likely: (-likely.chance, -likely.of.at_s))

    def newest(self) -> list[Likely]:
        """All of them, whether they are likely or not."""
        found = [Likely(each, 1.0, True) for each in reversed(self.candidates.values())]
        return sorted(found, key=lambda likely: -likely.of.at_s)

    def settle(self) -> None:
        """Counts what was passed over, then keeps what tells the most: senders unlike the average, threads that are
        viewed, messages that may be read."""
        hours = _shares(self.hours)
        self._pass_over(each for each in self.candidates.values() if self._age(hours, each) >= PASSED_OVER_DAYS)
        kept = _largest(self.candidates, CANDIDATES_MAX, self._chances(DAY_S))
        self._pass_over(each for name, each in self.candidates.items() if name not in kept)
        self.candidates = kept
        usual = self.mailbox.share(PRIOR_SHARE)
        self.senders = _largest(self.senders, SENDERS_MAX, lambda each: abs(each.read - usual * each.seen))
        self.threads = _largest(self.threads, THREADS_MAX, lambda each: (each.views, each.seen))

    def _pass_over(self, messages: Iterable[Candidate]) -> None:
        for each in messages:
            if not each.decided:
                each.decided = True
                self._count(each, each.at_s, seen=1)

    def _count(self, of: Candidate, at_s: float, *, seen: float, read: float = 0.0) -> None:
        slow, fast = self._weight(at_s, HALF_LIFE_S), self._weight(at_s, THREAD_HALF_LIFE_S)
        for tally, weight in (
            (self.mailbox, slow),
            (self.senders.setdefault(of.sender, Tally()), slow),
            (self.threads.setdefault(of.thread_id, Tally()), fast),
        ):
            tally.seen += seen * weight
            tally.read += read * weight

    def _weight(self, at_s: float, half_life_s: float) -> float:
        return _halved(max(0.0, self.at_s - at_s), half_life_s)

    def _chances(self, ahead_s: float) -> Callable[[Candidate], float]:
        """Of a message to be read in `ahead_s` from now; what is the same for all is worked out once."""
        hours = _shares(self.hours)
        usual = self.mailbox.share(PRIOR_SHARE)
        ahead = _days(hours, self.now_s, ahead_s)
        views_a_day = log(2) * DAY_S / THREAD_HALF_LIFE_S  # of a thread with a weight of one

        def chance(of: Candidate) -> float:
            thread = self.threads.get(of.thread_id, Tally())
            if of.was_read:
                return 1.0 - exp(-thread.views * views_a_day * ahead)
            p = thread.share(self.senders.get(of.sender, Tally()).share(usual))
            unread = exp(-self._age(hours, of) / MEAN_DELAY_DAYS)
            return p * unread * (1.0 - exp(-ahead / MEAN_DELAY_DAYS)) / max(1e-9, 1.0 - p + p * unread)

        return chance

    def _age(self, hours: Sequence[float], of: Candidate) -> float:
        return _days(hours, of.at_s, self.now_s - of.at_s)

    def dump(self) -> str:
        said = [
            round(self.at_s),
            _numbers(self.mailbox),
            [_short(weight) for weight in self.hours],
            {name: _numbers(tally) for name, tally in self.senders.items()},
            {name: _numbers(tally) for name, tally in self.threads.items()},
            [
                [c.message_id, c.thread_id, c.sender, round(c.at_s), int(c.was_read), int(c.decided)]
                for c in self.candidates.values()
            ],
        ]
        return b64encode(zlib.compress(orjson.dumps(said), 9)).decode()


def load(text: str | None) -> Interest:
    """What `dump` wrote; nothing learnt yet where there is nothing or it can't be read: it is learnt again."""
    try:
        said = zlib.decompressobj().decompress(b64decode(text or ""), JSON_BYTES_MAX)
        at_s, mailbox, hours, senders, threads, candidates = orjson.loads(said)
        return Interest(
            float(at_s),
            _tally(mailbox),
            [float(weight) for weight in hours[:24]] + [0.0] * (24 - len(hours)),
            {str(name): _tally(numbers) for name, numbers in senders.items()},
            {str(name): _tally(numbers) for name, numbers in threads.items()},
            {str(c[0]): Candidate(str(c[0]), str(c[1]), str(c[2]), float(c[3]), *map(bool, c[4:])) for c in candidates},
        )
    except (ValueError, TypeError, AttributeError, LookupError, zlib.error):
        return Interest()


def _tally(numbers: Sequence[Any]) -> Tally:
    seen, read, views = numbers
    return Tally(float(seen), float(read), float(views))


def _numbers(tally: Tally) -> list[float]:
    return [_short(tally.seen), _short(tally.read), _short(tally.views)]


def _short(number: float) -> float:
    return round(number, 4)


def _halved(passed_s: float, half_life_s: float) -> float:
    return float(0.5 ** (passed_s / half_life_s))


def _hour(at_s: float) -> int:
    return int(at_s % DAY_S // HOUR_S)


def _shares(weights: Sequence[float]) -> list[float]:
    """Of a day that each hour is: what is read about that time, and a little of every hour: nothing is certain."""
    around = [(weights[h - 1] + 2 * weights[h] + weights[(h + 1) % 24]) / 4 + PRIOR_WEIGHT / 24 for h in range(24)]
    whole = sum(around)
    return [weight / whole for weight in around]


def _days(shares: Sequence[float], from_s: float, seconds: float) -> float:
    """The time from `from_s` on, in the user's days."""
    whole, rest_s = divmod(max(0.0, seconds), DAY_S)
    days, at_s, until_s = whole, from_s, from_s + rest_s
    while at_s < until_s:
        ends_s = min(until_s, (at_s // HOUR_S + 1) * HOUR_S)
        days += shares[_hour(at_s)] * (ends_s - at_s) / HOUR_S
        at_s = ends_s
    return days


def _largest(of: dict[Name, Value], most: int, key: Callable[[Value], Any]) -> dict[Name, Value]:
    """The `most` largest, in the order in which they are."""
    if len(of) <= most:
        return of
    keep = set(sorted(of, key=lambda name: key(of[name]), reverse=True)[:most])
    return {name: value for name, value in of.items() if name in keep}
