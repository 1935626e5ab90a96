"""Runs the Graph and identity emulator in the foreground: `python -m infra.emulators.graph --mail PATH`."""

import argparse
import json
import random
import signal
import sys
import threading

from infra.emulators import mail
from infra.emulators.clock import Clock
from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET
from infra.emulators.graph.seed import fill
from infra.emulators.server import Server


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.emulators.graph", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 lets the kernel choose")
    parser.add_argument("--mail", metavar="PATH", help="mbox file, Maildir or folder of .eml files (default: built in)")
    parser.add_argument("--mailbox", action="append", metavar="ADDRESS", help="may be repeated (ada@outlook.example)")
    parser.add_argument("--latency-ms", type=float, default=100.0, help="real time added to every request")
    parser.add_argument("--rate", type=float, default=1.0, help="how fast the emulated clock runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arrivals", type=float, default=0.0, metavar="S", help="a new message every S seconds")
    parser.add_argument("--client-id", default=CLIENT_ID)
    parser.add_argument("--client-secret", default=CLIENT_SECRET)
    parser.add_argument("--redirect-uri", action="append", help="allowed ones (default: any https, http to loopback)")
    parser.add_argument("--strict-rotation", action="store_true", help="a refresh token is good for one use")
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=JSON", help="see knobs.py")
    return parser


def _emulator(args: argparse.Namespace) -> GraphEmulator:
    emulator = GraphEmulator(Clock(args.rate), args.seed, latency_ms=args.latency_ms)
    emulator.identity.latency_ms = args.latency_ms
    emulator.identity.register_app(
        args.client_id, args.client_secret, tuple(args.redirect_uri) if args.redirect_uri else None
    )
    emulator.identity.set_strict_rotation(args.strict_rotation)
    for pair in args.knob:
        name, _, value = pair.partition("=")
        emulator.set_knobs(**{name: json.loads(value)})
    return emulator


def main() -> int:
    args = _parser().parse_args()
    addresses = args.mailbox or ["ada@outlook.example"]
    try:
        emulator, messages = _emulator(args), mail.load(args.mail)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for address in addresses:
        fill(emulator, address, messages, args.seed)
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    rng = random.Random(args.seed)
    with emulator, Server(emulator.app, args.port) as server:
        print(f"Graph {server.url}/v1.0, identity {server.url}/common, admin {server.url}/_admin/", flush=True)
        for address in addresses:
            print(f"{address}: refresh token {emulator.mint_refresh_token(address)}", flush=True)
        while not stopped.wait(args.arrivals or None):
            emulator.deliver(rng.choice(addresses), rng.choice(messages))
    return 0


if __name__ == "__main__":
    sys.exit(main())
