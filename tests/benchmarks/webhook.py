"""`make bench-webhook`: what a receiver that is down for six virtual hours costs the syncs, beside no webhook.

New mail, a sync and a ping every five virtual minutes, the same for both, in turn, ROUNDS times. CPU is that of the
functions' own thread (the stand-ins run in others), with and without the pings, which are what attempts deliveries. At
the end the receiver is back, and has to get everything, in order.
"""

import asyncio
import os
import statistics
import sys
import time
from contextlib import redirect_stderr
from dataclasses import dataclass, field

from infra.emulators.server import Server
from infra.emulators.upstash_rest import create_app
from infra.emulators.valkey import Valkey
from tests.conftest import TOKEN, RedisRest
from tests.receiver import Receiver
from tests.sync.test_webhook import ping, time_passes
from tests.world import ADDRESS, GmailWorld, raw

HOURS, EVERY_S = 6, 300
CPU_RATIO_MAX = 1.1


@dataclass
class Cost:
    syncs_s: float = 0.0
    pings_s: float = 0.0
    calls: list[tuple[int, int]] = field(default_factory=list)  # provider's, Redis', of each sync


async def six_hours(redis: RedisRest, receiver: Receiver | None) -> Cost:
    redis.valkey.call("FLUSHALL")
    environment = {"INITIAL_SYNC_MESSAGES": "all", **(receiver.environment if receiver else {})}
    cost = Cost()
    async with GmailWorld(redis, emulator=None, **environment) as world:
        account_id = await world.connect("a1")
        for n in range(HOURS * 3600 // EVERY_S):
            world.gmail.deliver(ADDRESS, raw(n))
            began_s = time.thread_time()
            synced = await world.sync(account_id)
            synced_s = time.thread_time()
            swept = await ping(world)
            cost.syncs_s += synced_s - began_s
            cost.pings_s += time.thread_time() - synced_s
            cost.calls += [(each["api_calls"], each["redis_requests"]) for each in (synced, *swept["results"])]
            time_passes(world, EVERY_S)
        if receiver:
            receiver.answers = [200]
            for _ in range(HOURS * 3600 // EVERY_S):
                time_passes(world, EVERY_S)
                await ping(world)
            assert receiver.of(account_id) == await world.events(account_id), "every event, once, in order"
    return cost


async def measured(redis: RedisRest, rounds: int) -> tuple[list[tuple[Cost, Cost]], int, int]:
    """Costs without and with the dead receiver; of the last round, what it refused and what it took."""
    pairs = []
    for _ in range(rounds):
        with Receiver(answers=[503]) as receiver:
            pairs.append((await six_hours(redis, None), await six_hours(redis, receiver)))
    return pairs, len(receiver.requests) - len(receiver.taken), len(receiver.events)


def main() -> int:
    """0 where the target is met."""
    rounds = int(os.environ.get("ROUNDS") or 3)
    with Valkey() as valkey, open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        bridge = create_app(valkey.port, TOKEN)
        with Server(bridge) as server:
            pairs, refused, taken = asyncio.run(measured(RedisRest(server.url, TOKEN, bridge, valkey), rounds))
    same = all(without.calls == dead.calls for without, dead in pairs)
    syncs = statistics.median(dead.syncs_s / without.syncs_s for without, dead in pairs)
    whole = statistics.median(
        (dead.syncs_s + dead.pings_s) / (without.syncs_s + without.pings_s) for without, dead in pairs
    )
    print(f"receiver down {HOURS} virtual hours: {len(pairs[0][0].calls)} syncs, {refused} attempts refused,")
    print(f"the same provider calls and Redis requests in each sync: {'yes' if same else 'NO'}")
    print(f"CPU beside no webhook: syncs {syncs:.3f}x, with the pings {whole:.3f}x (limit {CPU_RATIO_MAX}x)")
    print(f"{taken} events delivered once it was back, in order")
    return 0 if same and whole <= CPU_RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
