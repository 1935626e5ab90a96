"""`make bench-cold`: how long push-webhook takes from nothing to an answer, beside an empty function, in one run.

    empty        functions-framework --asgi with a function that answers "ok"
    no store     the same with push-webhook: an unproven push is refused (401)
    first hint   a genuine push: certificates fetched, signature verified, hint stored (204)

Each start is a process of its own; the three take turns, so that what else the machine does hits them alike. What
counts is the median of the rounds' ratios. Targets: 1.3 and 1.7 times the empty function.
"""

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from infra.emulators.server import Server
from infra.emulators.upstash_rest import create_app
from infra.emulators.valkey import Valkey
from infra.local.stack import free_port
from tests.conftest import TOKEN, RedisRest
from tests.push_world import PASSED_ON, ROOT, PushWorld
from tests.world import ADDRESS

ROUNDS = 15
NO_STORE_MAX, FIRST_HINT_MAX = 1.3, 1.7
EMPTY = """import functions_framework.aio
from starlette.responses import Response

@functions_framework.aio.http
async def empty(request):
    return Response("ok")
"""


def main() -> int:
    """0 where both targets are met."""
    rounds = int(os.environ.get("ROUNDS") or ROUNDS)
    with Valkey() as valkey, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "empty.py"
        source.write_text(EMPTY)
        bridge = create_app(valkey.port, TOKEN)
        with Server(bridge) as server, PushWorld(RedisRest(server.url, TOKEN, bridge, valkey)) as world:
            took = _measured(world, source, rounds)
    print(f"empty function        {statistics.median(took['empty']) * 1000:6.0f} ms")
    met = True
    for name, limit in (("no store", NO_STORE_MAX), ("first hint", FIRST_HINT_MAX)):
        ratio = statistics.median(mine / empty for mine, empty in zip(took[name], took["empty"], strict=True))
        print(f"{name:20}  {statistics.median(took[name]) * 1000:6.0f} ms  {ratio:.2f}x  (at most {limit}x)")
        met = met and ratio <= limit
    return 0 if met else 1


def _measured(world: PushWorld, source: Path, rounds: int) -> dict[str, list[float]]:
    webhook = ROOT / "functions" / "push_webhook.py"
    genuine = {"authorization": f"Bearer {world.token()}"}
    world.gmail.keys.certs_v1()
    settings = world.environment()
    took: dict[str, list[float]] = {"empty": [], "no store": [], "first hint": []}
    for number in range(rounds + 1):
        found = {
            "empty": _start(source, "empty", {}, {}, 200),
            "no store": _start(webhook, "push_webhook", settings, {}, 401),
            "first hint": _start(webhook, "push_webhook", settings, genuine, 204),
        }
        if number:  # the first round writes bytecode
            for name, seconds in found.items():
                took[name].append(seconds)
    return took


def _start(source: Path, target: str, settings: dict[str, str], headers: dict[str, str], wanted: int) -> float:
    """Seconds from the process's start to its first answer, which has to be the wanted one."""
    began_s = time.perf_counter()
    with started(source, target, settings) as port:
        status = _answered(port, headers, began_s + 30)
        took_s = time.perf_counter() - began_s
        assert status == wanted, status
        return took_s


@contextmanager
def started(source: Path, target: str, settings: dict[str, str]) -> Iterator[int]:
    """A function's process, as soon as there is one; the port it will listen at."""
    port = int(free_port())
    framework = str(Path(sys.executable).with_name("functions-framework"))
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"PYTHONPATH": str(ROOT)}
    arguments = ["--source", str(source), "--target", target, "--asgi", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [framework, *arguments],
        env=environment | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _answered(port: int, headers: dict[str, str], until_s: float) -> int:
    """The status of the first answer. A client of the standard library, so that asking costs nothing."""
    body = orjson.dumps({"emailAddress": ADDRESS, "historyId": 1})
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", "/gmail", body, headers)
            return connection.getresponse().status
        except ConnectionError:
            assert time.perf_counter() < until_s, "the function does not answer"
            time.sleep(0.005)
        finally:
            connection.close()


if __name__ == "__main__":
    sys.exit(main())
