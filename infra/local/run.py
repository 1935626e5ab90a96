"""`make run`: connects a mailbox, syncs it, tells what it cost, and goes on serving while new mail arrives.

    ONCE=1         stop after the report              MAIL=path       an mbox file, a Maildir or a folder of .eml files
    REPORT=path    the report as JSON too             CLOCK_RATE=60   a quota minute lasts a second
    LATENCY_MS=100 of every provider request          and any setting of the functions (INITIAL_SYNC_MESSAGES=all, …)

The N+1 client reads an identical mailbox of its own on the same emulator, right after the sync.
"""

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

import httpx

from infra.local import baseline, report
from infra.local.fold import fold
from infra.local.stack import Shape, Stack
from shared.config import SETTINGS

ADDRESS, TWIN = "robin@example.com", "twin@example.com"
NEW_MAIL_EVERY_S = 5.0
SYNCS_MAX = 10_000


def main() -> int:
    """0 after the report or Ctrl-C; 1 where mail was lost or invented; 2 for what can't be run."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        shape = _shape()
        with Stack(shape, (ADDRESS, TWIN)) as stack:
            row = _gmail(stack)
            print(report.table([row], shape.latency_ms, shape.clock_rate), flush=True)
            if path := os.environ.get("REPORT"):
                report.write(path, [row], shape.latency_ms, shape.clock_rate)
            if row.lost or row.invented:
                return 1
            if os.environ.get("ONCE") != "1":
                _serve(stack)
        return 0
    except KeyboardInterrupt:
        return 0
    except (ValueError, RuntimeError, httpx.HTTPError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 2


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _shape() -> Shape:
    mail = os.environ.get("MAIL") or None
    if mail and not os.path.exists(mail):
        raise ValueError(f"MAIL={mail}: there is nothing")
    settings = {each.name: os.environ[each.name] for each in SETTINGS if os.environ.get(each.name)}
    return Shape(
        mail, float(os.environ.get("CLOCK_RATE", "60")), float(os.environ.get("LATENCY_MS", "100")), settings=settings
    )


def _gmail(stack: Stack) -> report.Row:
    admin = httpx.Client(base_url=stack.gmail_url, timeout=120.0)
    functions = httpx.Client(base_url=stack.url, headers={"authorization": f"Bearer {stack.key}"}, timeout=600.0)
    with admin, functions:
        token = _admin(admin, "refresh_token", address=ADDRESS)["token"]
        body = {"provider": "gmail", "email": ADDRESS, "user_id": "robin", "refresh_token": token}
        account_id = functions.post("/accounts", json=body).raise_for_status().json()["account_id"]
        _admin(admin, "reset_counters")
        calls = units = requests = 0
        began_s = time.monotonic()
        for _ in range(SYNCS_MAX):
            done = functions.post("/gmail-sync", json={"account_id": account_id}).raise_for_status().json()
            calls, units = calls + done["api_calls"], units + done["quota_units"]
            requests += done["redis_requests"]
            if not done["more"]:
                break
            time.sleep(min(5.0, done.get("retry_after_s", 0.0)))
        seconds = time.monotonic() - began_s
        folded = fold(functions, account_id)
        truth = admin.get("/_admin/mailbox", params={"address": ADDRESS}).raise_for_status().json()
        wanted = stack.shape.settings.get("INITIAL_SYNC_MESSAGES", "100")
        limit = None if wanted == "all" else int(wanted)
        plain = baseline.gmail(
            stack.gmail_url, lambda: str(_admin(admin, "access_token", address=TWIN)["token"]), limit
        )
        expected = min(limit if limit is not None else len(truth), len(truth))
        known = [each for each in folded if each in truth and _same(folded[each], truth[each])]
        return report.Row(
            *("gmail", len(folded), calls, plain.calls, units, requests, seconds, plain.seconds),
            lost=expected - len(known),
            invented=len(folded) - len(known),
        )


def _same(message: dict[str, Any], resource: dict[str, Any]) -> bool:
    return sorted(message["labels"]) == sorted(resource.get("labelIds", [])) and bool(message["received_at"])


def _admin(client: httpx.Client, operation: str, **fields: Any) -> dict[str, Any]:
    return dict(client.post(f"/_admin/{operation}", json=fields).raise_for_status().json())


def _serve(stack: Stack) -> None:
    print(
        f"\nserving on {stack.url} (key {stack.key}); a new message every {NEW_MAIL_EVERY_S:g} s; Ctrl-C ends",
        flush=True,
    )
    number = 0
    with (
        httpx.Client(base_url=stack.gmail_url, timeout=30.0) as admin,
        httpx.Client(base_url=stack.url, headers={"authorization": f"Bearer {stack.key}"}, timeout=600.0) as functions,
    ):
        while True:
            time.sleep(NEW_MAIL_EVERY_S)
            number += 1
            raw = f"From: A Friend <friend@example.org>\r\nSubject: New message {number}\r\n\r\nHello {number}.\r\n"
            _admin(admin, "deliver", address=ADDRESS, raw=raw)
            swept = functions.post("/gmail-sync").raise_for_status().json()
            found = sum(result["count"] for result in swept["results"])
            print(f"new message {number}: {found} change(s) in the log", flush=True)


if __name__ == "__main__":
    sys.exit(main())
