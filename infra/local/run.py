"""`make run`: connects the mailboxes, syncs them, tells what it cost, and goes on serving while new mail is pushed.

    ONCE=1         stop after the report              MAIL=path       an mbox file, a Maildir or a folder of .eml files
    REPORT=path    the report as JSON too             CLOCK_RATE=60   a quota minute lasts a second
    LATENCY_MS=100 of every provider request          and any setting of the functions (INITIAL_SYNC_MESSAGES=all, …)

The N+1 client reads an identical mailbox of its own on the same emulator, right after the sync. A provider is one
object (`Provider`): what its stand-in is asked for, and what its mailbox must have become in the log.

    connect    the link of POST /accounts/connect, clicked through the consent page as by a browser, to the callback
    sync       asked for, until there is no more; the report counts these calls, not those of connecting and watching
    serve      pushes begin, and the stand-ins' clocks run as ours do: what is promised for days lasts for days

Pushes of Gmail begin after the report because the notification of a new watch starts a sync, that would be counted by
nobody.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import httpx

from infra.emulators import mail
from infra.local import arrivals, gmail, outlook, report
from infra.local.baseline import Baseline
from infra.local.browser import Browser
from infra.local.fold import fold
from infra.local.stack import PartFailed, Shape, Stack
from shared.config import SETTINGS, SettingsError, load

SYNCS_MAX = 10_000


class Provider(Protocol):
    name: str
    sync: str
    address: str

    def difference(self, folded: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]: ...
    def n_plus_1(self) -> Baseline: ...
    def deliver(self, number: int) -> str: ...
    def go_live(self, functions_url: str, clock_rate: float) -> None: ...
    def close(self) -> None: ...


def main() -> int:
    """0 after the report or Ctrl-C; 1 where mail was lost or invented; 2 for what can't be run."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        shape = _shape()
        stack = Stack(shape, (gmail.ADDRESS, gmail.TWIN), (outlook.ADDRESS, outlook.TWIN))
        load(stack.settings())
        with stack:
            return _run(stack)
    except KeyboardInterrupt:
        return 0
    except (ValueError, SettingsError, PartFailed, OSError, httpx.HTTPError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 2


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Once: a second Ctrl-C must not interrupt the stopping."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _shape() -> Shape:
    """What is wrong with it is found before anything is started. Raises ValueError, in one line."""
    path = os.environ.get("MAIL") or None
    if path:
        mail.load(path)
    parent = Path(os.environ.get("REPORT") or ".").parent
    if not parent.is_dir():
        raise ValueError(f"REPORT: there is no folder {parent}")
    settings = {each.name: os.environ[each.name] for each in SETTINGS if os.environ.get(each.name)}
    return Shape(path, _number("CLOCK_RATE", 60), _number("LATENCY_MS", 100), settings=settings)


def _number(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100_000 or (name == "CLOCK_RATE" and value == 0):
        raise ValueError(f"{name}={text}: a number is wanted")
    return value


def _run(stack: Stack) -> int:
    key = {"authorization": f"Bearer {stack.key}"}
    settings = stack.shape.settings
    providers: tuple[Provider, ...] = (
        gmail.Gmail(stack.gmail_url, settings),
        outlook.Outlook(stack.graph_url, settings),
    )
    try:
        with httpx.Client(base_url=stack.url, headers=key, timeout=600.0) as functions:
            accounts = {provider.name: _connect(provider, functions) for provider in providers}
            rows = [_row(provider, functions, accounts[provider.name]) for provider in providers]
            _report(rows, stack.shape)
            if any(row.lost or row.invented for row in rows):
                return 1
            if os.environ.get("ONCE") != "1":
                _serve(stack, providers, functions, accounts)
            return 0
    finally:
        for provider in providers:
            provider.close()


def _connect(provider: Provider, functions: httpx.Client) -> str:
    """The account's id, once a person has been through the provider's consent page."""
    asked = {"provider": provider.name, "user_id": "robin"}
    link = functions.post("/accounts/connect", json=asked).raise_for_status().json()["url"]
    with Browser() as browser:
        browser.agree(link, provider.address)
    accounts = functions.get("/accounts").raise_for_status().json()["accounts"]
    return next(str(each["account_id"]) for each in accounts if each["provider"] == provider.name)


def _row(provider: Provider, functions: httpx.Client, account_id: str) -> report.Row:
    """The first sync, again while there is more; then the log against the mailbox, and the N+1 client."""
    calls = units = requests = 0
    began_s = time.monotonic()
    for _ in range(SYNCS_MAX):
        done = functions.post(provider.sync, json={"account_id": account_id}).raise_for_status().json()
        calls, units = calls + done["api_calls"], units + done["quota_units"]
        requests += done["redis_requests"]
        if not done["more"]:
            break
        time.sleep(min(5.0, done.get("retry_after_s", 0.0)))
    seconds = time.monotonic() - began_s
    folded = fold(functions, account_id)
    plain = provider.n_plus_1()
    lost, invented = provider.difference(folded)
    figures = (len(folded), calls, plain.calls, units, requests, seconds, plain.seconds)
    return report.Row(provider.name, *figures, lost, invented)


def _report(rows: list[report.Row], shape: Shape) -> None:
    print(report.table(rows, shape.latency_ms, shape.clock_rate), flush=True)
    if path := os.environ.get("REPORT"):
        report.write(path, rows, shape.latency_ms, shape.clock_rate)


def _serve(stack: Stack, providers: tuple[Provider, ...], functions: httpx.Client, accounts: Mapping[str, str]) -> None:
    for provider in providers:
        provider.go_live(stack.url, stack.shape.clock_rate)
    print(f"\nserving on {stack.url}; mail arrives every {arrivals.NEW_MAIL_EVERY_S:g} s and is pushed; Ctrl-C ends.")
    print("The log, for example:")
    for account_id in accounts.values():
        print(f"  curl -H 'Authorization: Bearer {stack.key}' '{stack.url}/mailbox/changes?account_id={account_id}'")
    sys.stdout.flush()
    mailboxes = [(provider, accounts[provider.name]) for provider in providers]
    arrivals.keep_arriving(functions, mailboxes, stack.raise_if_a_part_ended)


if __name__ == "__main__":
    sys.exit(main())
