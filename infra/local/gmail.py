"""Gmail's side of `make run`: what is asked of its stand-in, and what the mailbox must have become in the log."""

from collections.abc import Mapping
from typing import Any

import httpx

from infra.emulators.gmail.quota import PER_MINUTE
from infra.emulators.gmail.settings import Settings
from infra.local import baseline
from infra.local.baseline import Baseline
from infra.local.stack import PUSH_PATH, TOPIC

ADDRESS, TWIN = "robin@example.com", "twin@example.com"  # the N+1 client reads an identical mailbox of its own


class Gmail:
    name = "gmail"
    sync = "/gmail-sync"
    address = ADDRESS

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        """`settings`: what the user set of the functions' environment."""
        wanted = settings.get("INITIAL_SYNC_MESSAGES", "100")
        self._limit = None if wanted == "all" else int(wanted)
        self._format = settings.get("GMAIL_FORMAT", "metadata")
        self._admin = httpx.Client(base_url=url, timeout=120.0)

    def close(self) -> None:
        self._admin.close()

    def difference(self, folded: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
        """(lost, invented): messages of the mailbox that the log does not have as they are, and the other way round."""
        found = self._admin.get("/_admin/mailbox", params={"address": ADDRESS}).raise_for_status().json()
        right = sum(1 for id_, message in folded.items() if id_ in found and _is_same(message, found[id_]))
        expected = len(found) if self._limit is None else min(self._limit, len(found))
        return expected - right, len(folded) - right

    def n_plus_1(self) -> Baseline:
        def token() -> str:
            return str(self._do("access_token", address=TWIN)["token"])

        return baseline.gmail(str(self._admin.base_url), token, self._limit, self._format)

    def deliver(self, number: int) -> str:
        """The new message's id."""
        raw = f"From: A Friend <friend@example.org>\r\nSubject: New message {number}\r\n\r\nHello {number}.\r\n"
        return str(self._do("deliver", address=ADDRESS, raw=raw)["id"])

    def go_live(self, functions_url: str, clock_rate: float) -> None:
        """Pub/Sub pushes from now on, and the clock runs as ours does; the quota's minute keeps its length."""
        self._do("subscribe", topic=TOPIC, endpoint=f"{functions_url}{PUSH_PATH}")
        self._do("settings", units_per_minute=max(1, round(PER_MINUTE[Settings().quota] * clock_rate)))
        self._do("clock", rate=1)

    def _do(self, operation: str, **fields: Any) -> dict[str, Any]:
        return dict(self._admin.post(f"/_admin/{operation}", json=fields).raise_for_status().json())


def _is_same(message: Mapping[str, Any], resource: Mapping[str, Any]) -> bool:
    return (
        message["labels"] == sorted(resource.get("labelIds", []))
        and message["thread_id"] == resource["threadId"]
        and bool(message["received_at"])
    )
