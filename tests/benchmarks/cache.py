"""`make bench-cache`: seeded access traces over the Gmail stand-in, the warmer beside caches that do not foresee.

    DAYS=7   SEED=31   PING_MINUTES=15   REPORT=build/bench-cache.json

Tidemark's row is Tidemark itself: each arrival is synced as after a push, a ping comes every quarter of an hour, each
view is a read as /mailbox/messages does it, over the real store, bridge and stand-in. Time is virtual: what passes
between two events is taken off the TTLs of the cached messages in Redis too. The other rows are played by policies.py
over the same traces (traces.py), with the same price of a message, and with N, the most that Tidemark had cached. The
constants of core/interest.py were chosen on seeds below 30, so the default is none of them.

Of a message that was not there when it was read is told why, by the model as it was then:

    unknown      never arrived while anybody watched, or pushed out of the model by likelier mail
    unlikely     arrived, but its sender's mail is seldom read
    let go       had been read, and was not thought to be read again
    not yet      was likely, but read before it was warmed
"""

import asyncio
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from infra.emulators.server import Server
from infra.emulators.upstash_rest import create_app
from infra.emulators.valkey import Valkey
from shared.core.interest import Interest, load
from tests.benchmarks.policies import GET_UNITS, POLICIES, Figures
from tests.benchmarks.traces import READS, Arrival, Mail, Trace, View, trace
from tests.conftest import TOKEN, RedisRest
from tests.world import ADDRESS, GmailWorld

USERS = (*READS, "nobody")
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
MONDAY_S = 4 * DAY_S  # 1970-01-05
TTL_S = 3600.0  # CACHE_MESSAGE_TTL
POINTS_MIN, SHARE_MAX = 0.15, 0.25

# Takes `ARGV[1]` ms off the TTL of every cached message, as if they had passed in the store; counts those for readers.
AGE = """
local left = 0
for _, key in ipairs(redis.call('KEYS', ARGV[2])) do
  local ms = redis.call('PTTL', key) - ARGV[1]
  if ms > 0 then redis.call('PEXPIRE', key, ms) else redis.call('DEL', key) end
  if redis.call('GETRANGE', key, 0, 0) == 'r' then left = left + 1 end
end
return left
"""


@dataclass(slots=True)
class Measured:
    """Tidemark over one trace. `most`: messages cached at a time; `why`: what the missed ones were."""

    figures: Figures = field(default_factory=Figures)
    most: int = 0
    why: dict[str, int] = field(default_factory=dict)
    redis_requests: int = 0
    model_bytes: int = 0


def main() -> int:
    """0 where the warmer keeps what issue 5 promises."""
    days, seed = int(os.environ.get("DAYS") or 7), int(os.environ.get("SEED") or 31)
    ping_s = float(os.environ.get("PING_MINUTES") or 15) * 60
    traces = [trace(user, days, seed) for user in USERS]
    with Valkey() as valkey:
        bridge = create_app(valkey.port, TOKEN)
        with Server(bridge) as server:
            redis = RedisRest(server.url, TOKEN, bridge, valkey)
            measured = {each.user: asyncio.run(Played(redis, each, ping_s).to_the_end()) for each in traces}
    rows = compared(traces, measured)
    promises = kept(rows, measured)
    show(rows, measured, promises, days)
    path = Path(os.environ.get("REPORT") or "build/bench-cache.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    users = {user: asdict(each) for user, each in measured.items()}
    report = {"days": days, "seed": seed, "rows": {n: asdict(f) for n, f in rows.items()}, "users": users}
    path.write_bytes(orjson.dumps(report | {"promises": promises}, option=orjson.OPT_INDENT_2) + b"\n")
    return 0 if all(promises.values()) else 1


class Played:
    """One trace, through one mailbox of a world of its own."""

    def __init__(self, redis: RedisRest, of: Trace, ping_s: float) -> None:
        self.redis, self.trace, self.ping_s = redis, of, ping_s
        self.found = Measured()
        self.ids: dict[int, str] = {}  # of messages, by their number
        self.threads: dict[int, str] = {}
        self.account_id = ""
        self.began_s = 0.0

    async def to_the_end(self) -> Measured:
        self.redis.valkey.call("FLUSHALL")
        async with GmailWorld(self.redis, INITIAL_SYNC_MESSAGES="all") as world:
            now_s = world.clock.now_s()
            self.began_s = now_s + WEEK_S - (now_s - MONDAY_S) % WEEK_S
            world.clock.skip(self.began_s - now_s)
            for mail in self.trace.archive:
                self._deliver(world, mail)
            self.account_id = await world.connect()
            await world.dry(self.account_id)
            self.redis.bridge.reset()
            pings = [(n * self.ping_s, 0, None) for n in range(int(self.trace.days * DAY_S / self.ping_s))]
            events = [(event.at_s, 1, event) for event in self.trace.events]
            for at_s, _, event in sorted([*pings, *events], key=lambda each: each[:2]):
                self._pass(world, self.began_s + at_s)
                match event:
                    case View(_, messages):
                        await self._view(world, messages)
                    case Arrival(_, mail):
                        self._deliver(world, mail)
                        await self._sync(world, ping=False)
                    case _:
                        await self._sync(world, ping=True)
            self.found.redis_requests = self.redis.bridge.stats.requests
            self.found.model_bytes = len(self._stored_model() or "")
        return self.found

    def _pass(self, world: GmailWorld, until_s: float) -> None:
        """Until then; an event that is late because real time has passed is played at once."""
        passed_s = until_s - world.clock.now_s()
        if passed_s > 0:
            world.clock.skip(passed_s)
            pattern = f"td:{self.account_id}:message:*"
            left = self.redis.valkey.call("EVAL", AGE, 0, int(passed_s * 1000), pattern)
            assert isinstance(left, int)
            self.found.most = max(self.found.most, left)

    def _deliver(self, world: GmailWorld, mail: Mail) -> None:
        address = f"{mail.sender}@example.org"
        lines = [
            f"From: <{address}>",
            f"To: {ADDRESS}",
            f"Subject: Thread {mail.thread}",
            f"Message-ID: <{mail.number}@x>",
        ]
        raw = "\r\n".join([*lines, "", f"Message {mail.number} of the trace.", ""]).encode()
        at_s = self.began_s + mail.at_s
        message_id = world.gmail.deliver(ADDRESS, raw, internal_date_s=at_s, thread_id=self.threads.get(mail.thread))
        self.ids[mail.number] = message_id
        self.threads.setdefault(mail.thread, message_id)

    async def _sync(self, world: GmailWorld, *, ping: bool) -> None:
        """Units beyond those of the sync are warming's."""
        before = world.counters()["units_asked"]
        deadline_s = world.clock.now_s() + world.wiring.settings.max_sync_duration
        result = await world.wiring.sync("gmail", self.account_id, deadline_s, ping=ping)
        self.found.figures.ahead += world.counters()["units_asked"] - before - result["quota_units"]

    async def _view(self, world: GmailWorld, messages: tuple[Mail, ...]) -> None:
        ids = [self.ids[mail.number] for mail in messages]
        model = load(self._stored_model())
        there = [self._is_cached(message_id) for message_id in ids]
        before = world.counters()["units_asked"]
        answer = await world.wiring.reading.messages(self.account_id, ids)
        assert len(answer.found) == len(ids)
        missed = world.counters()["units_asked"] - before
        assert missed == GET_UNITS * there.count(False)
        self.found.figures += Figures(len(ids), there.count(True), 0, missed)
        for cause in (_why(model, each) for each, is_there in zip(ids, there, strict=True) if not is_there):
            self.found.why[cause] = self.found.why.get(cause, 0) + 1

    def _is_cached(self, message_id: str) -> bool:
        held = self.redis.valkey.call("GET", f"td:{self.account_id}:message:{message_id}")
        return isinstance(held, bytes) and held.startswith(b"r")

    def _stored_model(self) -> str | None:
        text = self.redis.valkey.call("HGET", f"td:{self.account_id}:interest", "model")
        return text.decode() if isinstance(text, bytes) else None


def _why(model: Interest, message_id: str) -> str:
    candidate = model.candidates.get(message_id)
    if candidate is None:
        return "unknown"
    if candidate.was_read:
        return "let go"
    likely = [each.of.message_id for each in model.likely(DAY_S, ()) if each.worth]
    return "not yet" if message_id in likely else "unlikely"


def compared(traces: list[Trace], measured: dict[str, Measured]) -> dict[str, Figures]:
    """A row for each policy, over all traces."""
    most = max(each.most for each in measured.values())
    rows = {"Tidemark": Figures()}
    for each in traces:
        rows["Tidemark"] += measured[each.user].figures
        for name, policy in POLICIES.items():
            rows.setdefault(name, Figures()).__iadd__(policy(each, most, TTL_S))
    return rows


def kept(rows: dict[str, Figures], measured: dict[str, Measured]) -> dict[str, bool]:
    ours, lru, everything = rows["Tidemark"], rows["LRU of the last N"], rows["everything"]
    return {
        "15 points above LRU": ours.hit_rate - lru.hit_rate >= POINTS_MIN,
        "a quarter of everything's quota at most": ours.ahead <= SHARE_MAX * everything.ahead,
        "nothing for who reads nothing": measured["nobody"].figures.ahead == 0,
    }


def show(rows: dict[str, Figures], measured: dict[str, Measured], promises: dict[str, bool], days: int) -> None:
    form = "{:>18}  {:>8}  {:>12}  {:>12}  {:>9}  {}"
    print(form.format("", "hit rate", "units ahead", "units missed", "units", "ahead, of everything's"))
    for name, row in rows.items():
        share = f"{row.ahead / rows['everything'].ahead:.0%}"
        print(form.format(name, f"{row.hit_rate:.1%}", row.ahead, row.missed, row.ahead + row.missed, share))
    for user, of in measured.items():
        why = ", ".join(f"{cause} {count / max(1, of.figures.reads):.1%}" for cause, count in sorted(of.why.items()))
        figures = (f"{of.figures.hit_rate:.1%}", of.figures.ahead, of.figures.missed)
        print(form.format(user, *figures, "", f"at most {of.most} cached, model {of.model_bytes} B; missed: {why}"))
    most = max(each.most for each in measured.values())
    print(f"{days} days; {rows['Tidemark'].reads} messages read; N = {most}; the warmer's own row is the real code's")
    for promise, is_kept in promises.items():
        print(f"{'kept' if is_kept else 'NOT KEPT'}: {promise}")


if __name__ == "__main__":
    sys.exit(main())
