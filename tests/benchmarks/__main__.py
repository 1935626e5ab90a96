"""`make bench`: every peer over its own identical mailbox of one Gmail stand-in, without faults and with some.

    BENCH_MESSAGES=500   in each mailbox             LATENCY_MS=100   of every request, 3 more of each part of a batch
    REPORT=build/bench.json                          CLOCK_RATE=60    so that latency is measured, not the quota minute

Faults: every 10th call of a mailbox, alone or in a batch, answers 429 once; its retry gets through. Each message is a
thread of its own, so that nobody gains by threads.get. HTTP calls and quota units are the stand-in's own count.
"""

import mailbox
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from infra.local.stack import Shape, Stack
from tests.benchmarks.peers import PEERS, Mailbox, World

PART_LATENCY_MS = 3.0  # 25 parts in 175 ms: facts/gmail.md 1.2
FAULTS = {"none": None, "every 10th 429": {"kind": "too_many", "every": 10, "once": True}}
BODY = "A line of the message that is as long as lines of mail usually are, and says nothing.\r\n" * 20


@dataclass(frozen=True, slots=True)
class Measured:
    peer: str
    faults: str
    seconds: float
    http_calls: int
    quota_units: int
    missing: int


def main() -> int:
    wanted = int(os.environ.get("BENCH_MESSAGES", "500"))
    latency_ms, clock_rate = float(os.environ.get("LATENCY_MS") or 100), float(os.environ.get("CLOCK_RATE") or 60)
    settings = {"INITIAL_SYNC_MESSAGES": "all"}
    with tempfile.TemporaryDirectory() as folder:
        shape = Shape(_mail(folder, wanted), clock_rate, latency_ms, PART_LATENCY_MS, settings)
        addresses = {
            (peer, faults): f"{peer}-{n}@example.com".replace(" ", "-")
            for n, faults in enumerate(FAULTS)
            for peer in PEERS
        }
        with Stack(shape, tuple(addresses.values())) as stack:
            measured = list(_measured(stack, addresses, wanted))
    _show(measured, wanted, shape)
    _write(Path(os.environ.get("REPORT") or "build/bench.json"), measured, wanted, shape)
    return 0 if all(each.missing == 0 for each in measured if each.peer == "tidemark") else 1


def _mail(folder: str, count: int) -> str:
    path = f"{folder}/bench.mbox"
    box = mailbox.mbox(path)
    for n in range(count):
        head = f"From: Sender {n} <s{n}@example.org>\r\nTo: me@example.com\r\nSubject: Message {n}\r\n"
        box.add(
            f"{head}Message-ID: <{n}@bench.example>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\n{BODY}".encode()
        )
    box.close()
    return path


def _measured(stack: Stack, addresses: dict[tuple[str, str], str], wanted: int) -> Iterator[Measured]:
    key = {"authorization": f"Bearer {stack.key}"}
    admin = httpx.Client(base_url=stack.gmail_url, timeout=120.0)
    functions = httpx.Client(base_url=stack.url, headers=key, timeout=600.0)

    def do(operation: str, **fields: Any) -> dict[str, Any]:
        return dict(admin.post(f"/_admin/{operation}", json=fields).raise_for_status().json())

    with admin, functions:
        world = World(functions, stack.gmail_url, wanted)
        for (peer, faults), address in addresses.items():
            tokens = (do(f"{kind}_token", address=address)["token"] for kind in ("access", "refresh"))
            if given := FAULTS[faults]:
                do("fault", address=address, **given)
            began_s = time.monotonic()
            got = PEERS[peer](world, Mailbox(address, *tokens))
            seconds = time.monotonic() - began_s
            do("clear_faults")
            counted = admin.get("/_admin/counters", params={"address": address}).raise_for_status().json()
            yield Measured(peer, faults, seconds, counted["http_requests"], counted["units_asked"], wanted - got)


def _show(measured: list[Measured], wanted: int, shape: Shape) -> None:
    ours = {each.faults: each.seconds for each in measured if each.peer == "tidemark"}
    form = "{:>10}  {:>15}  {:>8}  {:>10}  {:>11}  {:>7}  {:>8}"
    print(form.format("client", "faults", "seconds", "HTTP calls", "quota units", "missing", "Tidemark"))
    for each in measured:
        ratio = f"{each.seconds / ours[each.faults]:.1f}x"
        figures = (f"{each.seconds:.2f}", each.http_calls, each.quota_units, each.missing, ratio)
        print(form.format(each.peer, each.faults, *figures))
    print(
        f"{wanted} messages; {shape.latency_ms:g} ms a request and {shape.part_latency_ms:g} ms a part, "
        f"clock x{shape.clock_rate:g}; the last column: how often Tidemark's time"
    )


def _write(path: Path, measured: list[Measured], wanted: int, shape: Shape) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = {each.faults: each.seconds for each in measured if each.peer == "tidemark"}
    rows = [{**asdict(each), "ratio": round(each.seconds / ours[each.faults], 2)} for each in measured]
    figures = {"messages": wanted, "latency_ms": shape.latency_ms, "part_latency_ms": shape.part_latency_ms}
    report = {**figures, "clock_rate": shape.clock_rate, "rows": rows}
    path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
