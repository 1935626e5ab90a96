"""`make push-burst`: fifty pushes at once for a push-webhook that has just been started; the slowest answer.

    gmail      proven by a token: certificates fetched, signature verified, hint stored (204)
    outlook    proven by its client state: hint stored (202)

Counted from the start of the process, so its cold start is in every figure. Graph takes an answer after three seconds
for none, and the contract says so of fifty at once: what counts is the slowest answer of the worst round.
"""

import asyncio
import os
import sys
from pathlib import Path

import orjson

from infra.emulators.server import Server
from infra.emulators.upstash_rest import create_app
from infra.emulators.valkey import Valkey
from shared.adapters.client_state import client_state_keys
from shared.protocol.graph.notification import client_state
from tests.benchmarks.cold import started
from tests.burst import Post, burst
from tests.conftest import TOKEN, RedisRest
from tests.push_world import ROOT, PushWorld
from tests.world import ADDRESS

AT_ONCE, ROUNDS = 50, 7
SLOWEST_MAX_S = 3.0
WEBHOOK = ROOT / "functions" / "push_webhook.py"


def main() -> int:
    """0 where the target is met."""
    rounds = int(os.environ.get("ROUNDS") or ROUNDS)
    with Valkey() as valkey:
        bridge = create_app(valkey.port, TOKEN)
        with Server(bridge) as server, PushWorld(RedisRest(server.url, TOKEN, bridge, valkey)) as world:
            world.connect()
            kinds = {"gmail": (_gmail(world), 204), "outlook": (_outlook(), 202)}
            slowest = {kind: [_slowest(world, *given) for _ in range(rounds)] for kind, given in kinds.items()}
    for kind, took in slowest.items():
        shown = sorted(took)
        print(
            f"{kind:8} {AT_ONCE} at once, cold: slowest answer {shown[len(shown) // 2]:.2f} s (median of {rounds} "
            f"starts), {shown[-1]:.2f} s (worst)"
        )
    return 0 if max(map(max, slowest.values())) < SLOWEST_MAX_S else 1


def _gmail(world: PushWorld) -> list[Post]:
    proof = {"authorization": f"Bearer {world.token()}"}
    base = world.gmail.history_id(ADDRESS)
    said = [orjson.dumps({"emailAddress": ADDRESS, "historyId": base + 1 + n}) for n in range(AT_ONCE)]
    return [Post("/gmail", proof, body) for body in said]


def _outlook() -> list[Post]:
    key = client_state_keys([b"k" * 32])[0]
    items = [{"subscriptionId": "s", "clientState": client_state(key, f"o{n}", "nonce123")} for n in range(AT_ONCE)]
    return [Post("/outlook", {}, orjson.dumps({"value": [item]})) for item in items]


def _slowest(world: PushWorld, posts: list[Post], wanted: int) -> float:
    with started(Path(WEBHOOK), "push_webhook", world.environment()) as port:
        answers = asyncio.run(burst(port, posts))
    assert {status for status, _ in answers} == {wanted}, answers
    return max(took_s for _, took_s in answers)


if __name__ == "__main__":
    sys.exit(main())
