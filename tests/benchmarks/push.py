"""`make push`: messages delivered one by one, 1.2 s apart, and how soon each is in the log, by pushes alone.

COUNT=200 GAP_S=1.2 make push
"""

import os
import sys
import time

from infra.emulators.server import Server
from infra.emulators.upstash_rest import create_app
from infra.emulators.valkey import Valkey
from tests.conftest import TOKEN, RedisRest
from tests.push_world import PushWorld

SOON_S = 2.0
SHARE_MIN = 0.95


def main() -> int:
    """0 where enough messages came in time."""
    count, gap_s = int(os.environ.get("COUNT") or 200), float(os.environ.get("GAP_S") or 1.2)
    with Valkey() as valkey:
        bridge = create_app(valkey.port, TOKEN)
        with Server(bridge) as server, PushWorld(RedisRest(server.url, TOKEN, bridge, valkey)) as world:
            waited = sorted(_delivered(world, count, gap_s))
            calls = world.gmail.counters()["calls"]
            pushes = world.gmail.pubsub.counts
    soon = sum(each <= SOON_S for each in waited)
    print(f"{soon} of {count} messages ({soon / count:.1%}) were in the log within {SOON_S:g} s")
    print(f"median {waited[count // 2]:.3f} s, 95 % {waited[int(count * 0.95) - 1]:.3f} s, slowest {waited[-1]:.3f} s")
    print(f"{pushes['pushed']} pushes, {calls['history.list']} history.list and {calls['messages.get']} messages.get")
    return 0 if soon >= SHARE_MIN * count else 1


def _delivered(world: PushWorld, count: int, gap_s: float) -> list[float]:
    """Seconds that each message took."""
    account_id = world.connect()
    world.functions.http.post("/gmail-sync", json={"account_id": account_id}).raise_for_status()
    time.sleep(gap_s)
    world.gmail.reset_counters()
    waited = []
    for _ in range(count):
        message_id = world.deliver()
        took_s = world.until(lambda wanted=message_id: wanted in world.created(account_id), 30.0)  # type: ignore[misc]
        waited.append(took_s)
        time.sleep(max(0.0, gap_s - took_s))
    return waited


if __name__ == "__main__":
    sys.exit(main())
