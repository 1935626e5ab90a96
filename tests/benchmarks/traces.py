"""What arrives in a mailbox, and what its user reads: seeded traces for `make bench-cache`.

    arrivals      60 a day: 60 % from 40 bulk senders, the rest from 15 people; both Zipf. Bulk mail is a thread of its
                  own; people answer in a thread with 60 %, one of the last active (Zipf over recency), else begin one
    daily rhythm  people write when people work, bulk mail comes round the clock with a peak in the morning; a user
                  reads in hours of their own (owl, lark, office), in ten sittings a day, half as many at weekends
    in a sitting  each message that is still unread is opened with its sender's share: people's are drawn from
                  Beta(6, 2), bulk senders' from Beta(0.5, 4.5); what was passed over three times is never opened
    bursts        of people's mail that comes in hours of reading, half is opened because it came: after a log-normal
                  delay with a median of 10 minutes
    revisits      8 a day: 80 % to a thread, Zipf over recency, 20 % to any message there is, which nobody foresees
    reads nothing a user whose mail arrives all the same

A person's mail is read as a thread (its last ten messages), bulk mail as one message. Nothing here knows the warmer:
shares and hours differ by user and sender, a fifth of the revisits is noise, and mail that is never opened prevails.

Source: the shapes, not the numbers, are those of large studies: conversations are bursty, half of the replies come
within 47 minutes and 90 % within a day (Kooti et al. 2015, https://arxiv.org/abs/1504.00704); a third of the messages
is done with in 5 minutes, others are gone back to for what is in them (Alrashed et al., CHIIR 2018,
https://doi.org/10.1145/3176349.3176398). Mail as machines and people send it: facts/peers.md has no access traces, and
none of the peers warms a cache.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

DAY_S, HOUR_S, MINUTE_S = 86_400.0, 3_600.0, 60.0
ARRIVALS_A_DAY, BULK_SHARE, REPLY_SHARE = 60, 0.6, 0.6
PEOPLE, BULK = 15, 40
REVISITS_A_DAY, STRAY_SHARE = 8, 0.2
SITTINGS_A_DAY = 10
BURST_SHARE, BURST_MEDIAN_S, BURST_SIGMA = 0.5, 600.0, 1.2
PASSED_OVER_MAX = 3
VIEW_MAX = 10
ARCHIVE = 300

Item = TypeVar("Item")

# By hour, from midnight on: how much is read, or written, in it.
READS = {
    "office": [0] * 7 + [2, 6, 9, 7, 5, 4, 6, 6, 5, 5, 4, 2, 1, 1, 0, 0, 0],
    "lark": [0] * 5 + [4, 8, 6, 4, 2, 2, 2, 3, 2, 1, 1, 1, 2, 3, 2, 1, 0, 0, 0],
    "owl": [4, 2, 1] + [0] * 7 + [1, 2, 3, 2, 2, 2, 2, 3, 3, 4, 6, 8, 8, 7],
}
PEOPLE_WRITE = [1, 0, 0, 0, 0, 0, 1, 3, 6, 8, 8, 7, 5, 7, 8, 8, 7, 6, 4, 3, 3, 3, 2, 1]
BULK_COMES = [3, 3, 3, 3, 3, 4, 6, 8, 9, 7, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3]


@dataclass(slots=True)
class Mail:
    """`number` is its place in the trace; `before` are earlier messages of its thread."""

    number: int
    at_s: float
    thread: int
    sender: str
    passed_over: int = 0
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float
    mail: Mail


@dataclass(frozen=True, slots=True)
class View:
    """One request of the app: a thread's messages, or one."""

    at_s: float
    messages: tuple[Mail, ...]


@dataclass(slots=True)
class Trace:
    """`archive`: what was there before; `events` in the order of time, from 0 on."""

    user: str
    archive: list[Mail]
    events: list[Arrival | View]
    days: int


@dataclass(slots=True)
class _Box:
    """A mailbox as it fills: its threads by recency, the latest first."""

    mails: list[Mail] = field(default_factory=list)
    threads: dict[int, list[Mail]] = field(default_factory=dict)
    recent: list[int] = field(default_factory=list)

    def add(self, at_s: float, thread: int | None, sender: str) -> Mail:
        mail = Mail(len(self.mails), at_s, len(self.mails) if thread is None else thread, sender)
        self.mails.append(mail)
        self.threads.setdefault(mail.thread, []).append(mail)
        self.touch(mail.thread)
        return mail

    def touch(self, thread: int) -> None:
        if thread in self.recent:
            self.recent.remove(thread)
        self.recent.insert(0, thread)


def trace(user: str, days: int, seed: int) -> Trace:
    """`user`: one of READS, or "nobody" who reads nothing."""
    return _Writing(user, days, random.Random(f"{seed} {user}")).written()


class _Writing:
    def __init__(self, user: str, days: int, chance: random.Random) -> None:
        self.user, self.days, self.chance = user, days, chance
        self.reads = READS.get(user)
        self.box = _Box()
        people, bulk = [f"person{n}" for n in range(PEOPLE)], [f"bulk{n}" for n in range(BULK)]
        self.senders = {True: bulk, False: people}
        self.share = {name: chance.betavariate(6, 2) for name in people}
        self.share |= {name: chance.betavariate(0.5, 4.5) for name in bulk}
        self.events: list[Arrival | View] = []

    def written(self) -> Trace:
        for at_s, bulk in self._arrivals(-ARCHIVE / ARRIVALS_A_DAY * DAY_S, 0.0):
            self._arrive(at_s, bulk)
        archive = list(self.box.mails)
        for mail in archive:
            mail.opened = True
        plan: list[tuple[float, int, str, Mail | bool | None]] = []
        plan += [(at_s, 0, "arrival", bulk) for at_s, bulk in self._arrivals(0.0, self.days * DAY_S)]
        if self.reads:
            plan += [(at_s, 1, "sitting", None) for at_s in self._moments(SITTINGS_A_DAY)]
            plan += [(at_s, 2, "revisit", None) for at_s in self._moments(REVISITS_A_DAY)]
        plan.sort(key=lambda each: each[:2])
        bursts: list[tuple[float, Mail]] = []
        for at_s, _, what, bulk_mail in plan:
            while bursts and bursts[0][0] <= at_s:
                due_s, mail = bursts.pop(0)
                if not mail.opened:
                    self._open(due_s, mail)
            if what == "arrival":
                mail = self._arrive(at_s, bool(bulk_mail))
                self.events.append(Arrival(at_s, mail))
                if due := self._burst(mail):
                    bursts.append((due, mail))
                    bursts.sort(key=lambda each: each[0])
            elif what == "sitting":
                self._sit(at_s)
            else:
                self._revisit(at_s)
        self.events.sort(key=lambda event: event.at_s)
        return Trace(self.user, archive, self.events, self.days)

    def _arrivals(self, from_s: float, until_s: float) -> Iterator[tuple[float, bool]]:
        """When, and whether it is bulk mail; less of it at weekends."""
        count = round((until_s - from_s) / DAY_S * ARRIVALS_A_DAY)
        found: list[tuple[float, bool]] = []
        while len(found) < count:
            bulk = self.chance.random() < BULK_SHARE
            at_s = self._moment(BULK_COMES if bulk else PEOPLE_WRITE, from_s, until_s)
            if bulk or not _weekend(at_s) or self.chance.random() < 0.3:
                found.append((at_s, bulk))
        return iter(sorted(found))

    def _moments(self, a_day: int) -> list[float]:
        assert self.reads is not None
        until_s = self.days * DAY_S
        found = [self._moment(self.reads, 0.0, until_s) for _ in range(a_day * self.days)]
        return [at_s for at_s in found if not _weekend(at_s) or self.chance.random() < 0.5]

    def _moment(self, hours: list[int], from_s: float, until_s: float) -> float:
        while True:
            day = self.chance.randrange(math.floor(from_s / DAY_S), math.ceil(until_s / DAY_S))
            hour = self.chance.choices(range(24), hours)[0]
            at_s = day * DAY_S + (hour + self.chance.random()) * HOUR_S
            if from_s <= at_s < until_s:
                return at_s

    def _arrive(self, at_s: float, bulk: bool) -> Mail:
        sender = self._zipf(self.senders[bulk])
        answered = None
        if not bulk and self.chance.random() < REPLY_SHARE:
            talks = [thread for thread in self.box.recent if not self._is_bulk(self.box.threads[thread][0])]
            answered = self._zipf(talks[:50]) if talks else None
        return self.box.add(at_s, answered, sender)

    def _burst(self, mail: Mail) -> float | None:
        """When the user opens it, called by the arrival itself."""
        if not self.reads or self._is_bulk(mail) or self.chance.random() >= BURST_SHARE:
            return None
        due_s = mail.at_s + self.chance.lognormvariate(math.log(BURST_MEDIAN_S), BURST_SIGMA)
        awake = self.reads[int(mail.at_s % DAY_S // HOUR_S)] and self.reads[int(due_s % DAY_S // HOUR_S)]
        return due_s if awake and due_s < self.days * DAY_S else None

    def _sit(self, at_s: float) -> None:
        unread = [mail for mail in self.box.mails if not mail.opened and mail.passed_over < PASSED_OVER_MAX]
        for mail in reversed(unread):
            if mail.opened:  # with another of its thread
                continue
            if self.chance.random() < self.share[mail.sender]:
                self._open(at_s, mail)
                at_s += self.chance.expovariate(1 / MINUTE_S)
            else:
                mail.passed_over += 1

    def _revisit(self, at_s: float) -> None:
        if self.chance.random() < STRAY_SHARE:
            self._open(at_s, self.chance.choice(self.box.mails))
        else:
            talks = [thread for thread in self.box.recent if not self._is_bulk(self.box.threads[thread][0])]
            self._open(at_s, self.box.threads[self._zipf(talks)][-1])

    def _open(self, at_s: float, mail: Mail) -> None:
        if at_s >= self.days * DAY_S:
            return
        messages = [mail]
        if not self._is_bulk(mail):
            messages = [each for each in self.box.threads[mail.thread] if each.at_s <= at_s][-VIEW_MAX:]
            self.box.touch(mail.thread)
        for each in messages:
            each.opened = True
        self.events.append(View(at_s, tuple(messages)))

    def _is_bulk(self, mail: Mail) -> bool:
        return mail.sender.startswith("bulk")

    def _zipf(self, items: list[Item]) -> Item:
        return self.chance.choices(items, [1 / rank for rank in range(1, len(items) + 1)])[0]


def _weekend(at_s: float) -> bool:
    return int(at_s // DAY_S) % 7 >= 5
