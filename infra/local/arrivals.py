"""New mail while `make run` serves: delivered every few seconds, and followed until a push has brought it into the log.

What is shown is the time from the delivery to the append, which the log's event says itself. The cron ping, slow, keeps
watches and subscriptions alive; it is sent between two deliveries, so that what is shown came by push.
"""

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import httpx

NEW_MAIL_EVERY_S = 5.0
PING_EVERY_S = 60.0
WAIT_MAX_S = 15.0
LOOK_EVERY_S = 0.1


class Mailbox(Protocol):
    name: str
    sync: str

    def deliver(self, number: int) -> str: ...


class Reader:
    """Reads an account's log from where it ends now."""

    def __init__(self, functions: httpx.Client, account_id: str) -> None:
        self._functions, self._account_id = functions, account_id
        self._after = "earliest"
        while self._page()["more"]:
            pass

    def appended_at_s(self, message_id: str) -> float | None:
        """When the message was put into the log; None where it is not there after WAIT_MAX_S."""
        ends_s = time.monotonic() + WAIT_MAX_S
        while time.monotonic() < ends_s:
            for event in self._page()["changes"]:
                if event.get("subject") == message_id:
                    return datetime.fromisoformat(event["time"]).timestamp()
            time.sleep(LOOK_EVERY_S)
        return None

    def _page(self) -> dict[str, Any]:
        query = {"account_id": self._account_id, "after": self._after, "reader": "make-run", "limit": "1000"}
        page: dict[str, Any] = self._functions.get("/mailbox/changes", params=query).raise_for_status().json()
        self._after = page["cursor"]
        return page


def keep_arriving(functions: httpx.Client, mailboxes: Sequence[tuple[Mailbox, str]], check: Callable[[], None]) -> None:
    """Until it is interrupted; `check` raises where a part of the stack has ended."""
    followed = [(mailbox, Reader(functions, account_id)) for mailbox, account_id in mailboxes]
    number, pinged_s = 0, time.monotonic()
    while True:
        check()
        number += 1
        delivered = [(time.time(), mailbox.deliver(number)) for mailbox, _ in followed]
        for (mailbox, reader), (at_s, message_id) in zip(followed, delivered, strict=True):
            print(f"{mailbox.name:>8}  new message {number}: {_told(reader.appended_at_s(message_id), at_s)}")
        sys.stdout.flush()
        if time.monotonic() - pinged_s >= PING_EVERY_S:
            pinged_s = time.monotonic()
            for mailbox, _ in followed:
                functions.post(mailbox.sync).raise_for_status()
        time.sleep(NEW_MAIL_EVERY_S)


def _told(appended_at_s: float | None, delivered_at_s: float) -> str:
    if appended_at_s is None:
        return f"not in the log after {WAIT_MAX_S:g} s; the next push or ping finds it"
    return f"in the log by push, {max(0.0, appended_at_s - delivered_at_s):.2f} s after it arrived"
