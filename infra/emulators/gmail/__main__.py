"""The Gmail stand-in as a process of its own: `python -m infra.emulators.gmail --port 8081 --mail PATH`."""

import argparse
import signal
import sys
import threading

import orjson

from infra.emulators import mail
from infra.emulators.clock import Clock
from infra.emulators.gmail.emulator import GmailEmulator
from infra.emulators.gmail.settings import Settings
from infra.emulators.server import Server

LATENCY_MS = 100.0  # a call's median in production: facts/gmail.md 1.1
PART_LATENCY_MS = 3.0  # 25 parts in 175 ms: facts/gmail.md 1.2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="infra.emulators.gmail", description="A stand-in for Gmail on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0: the kernel chooses (it is printed)")
    parser.add_argument("--mail", metavar="PATH", help="mbox file, Maildir or folder of .eml; default: the sample")
    parser.add_argument("--mailbox", action="append", metavar="ADDRESS", help="filled with the mail; may be repeated")
    parser.add_argument("--empty-mailbox", action="append", default=[], metavar="ADDRESS", help="without mail")
    parser.add_argument("--latency-ms", type=float, default=LATENCY_MS, help="each request (real time)")
    parser.add_argument("--part-latency-ms", type=float, default=PART_LATENCY_MS, help="each part of a batch on top")
    parser.add_argument("--clock-rate", type=float, default=1.0, help="60: a quota minute lasts a second")
    parser.add_argument("--quota", choices=("2026", "legacy"), default="2026")
    parser.add_argument("--concurrency", type=int, default=25, help="parts in flight for one mailbox")
    parser.add_argument("--client-id", default=Settings().client_id)
    parser.add_argument("--client-secret", default=Settings().client_secret)
    parser.add_argument("--push-topic", metavar="projects/P/topics/T")
    parser.add_argument("--push-endpoint", metavar="URL", help="where events of --push-topic are pushed")
    parser.add_argument("--push-audience", metavar="AUD", help="default: the endpoint")
    parser.add_argument("--push-account", metavar="EMAIL", help="the service account in the push tokens")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="any other knob of `settings`")
    return parser


def _settings(given: argparse.Namespace) -> Settings:
    settings = Settings(
        quota=given.quota,
        concurrency_max=given.concurrency,
        latency_ms=given.latency_ms,
        part_latency_ms=given.part_latency_ms,
        client_id=given.client_id,
        client_secret=given.client_secret,
    )
    for assignment in given.set:
        name, _, value = assignment.partition("=")
        settings.update({name: orjson.loads(value)})
    return settings


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        gmail = GmailEmulator(_settings(given), Clock(given.clock_rate))
        messages = mail.load(given.mail)
        for address in given.mailbox or ["robin@example.com"]:
            gmail.add_mailbox(address)
            gmail.load(address, messages)
        for address in given.empty_mailbox:
            gmail.add_mailbox(address)
    except ValueError as fault:
        print(fault, file=sys.stderr)
        return 2
    if given.push_topic and given.push_endpoint:
        account = {"service_account": given.push_account} if given.push_account else {}
        gmail.subscribe(given.push_topic, given.push_endpoint, audience=given.push_audience, **account)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with Server(gmail.app, given.port) as server:
        print(f"Gmail stand-in on {server.url}: {len(messages)} messages a mailbox", flush=True)
        stopping.wait()
    gmail.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
