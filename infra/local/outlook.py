"""Outlook's side of `make run`: what is asked of its stand-in, and what the mailbox must have become in the log."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import httpx

from infra.local import baseline
from infra.local.baseline import Baseline

ADDRESS, TWIN = "ada@outlook.example", "twin@outlook.example"  # the N+1 client reads an identical mailbox of its own


class Outlook:
    name = "outlook"
    sync = "/outlook-sync"
    address = ADDRESS

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        """`settings`: what the user set of the functions' environment."""
        wanted = settings.get("INITIAL_SYNC_MESSAGES", "100")
        self._limit = None if wanted == "all" else int(wanted)
        self._admin = httpx.Client(base_url=url, timeout=120.0)

    def close(self) -> None:
        self._admin.close()

    def difference(self, folded: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
        """(lost, invented): messages of the mailbox that the log does not have as they are, and the other way round."""
        answer = self._admin.get("/_admin/snapshot", params={"address": ADDRESS, "visible_only": "true"})
        found = answer.raise_for_status().json()["result"]
        in_folder: dict[str, int] = defaultdict(int)
        for each in found.values():
            in_folder[each["folder_id"]] += 1
        expected = sum(size if self._limit is None else min(self._limit, size) for size in in_folder.values())
        right = sum(1 for id_, message in folded.items() if id_ in found and _is_same(message, found[id_]))
        return expected - right, len(folded) - right

    def n_plus_1(self) -> Baseline:
        def token() -> str:
            return str(self._do("mint_access_token", address=TWIN))

        return baseline.outlook(str(self._admin.base_url), token, self._limit)

    def deliver(self, number: int) -> str:
        """The new message's id."""
        raw = f"From: A Friend <friend@example.org>\r\nSubject: New message {number}\r\n\r\nHello {number}.\r\n"
        return str(self._do("deliver", address=ADDRESS, raw=raw))

    def go_live(self, functions_url: str, clock_rate: float) -> None:
        """The clock runs as ours does; what connecting has subscribed to is pushed already."""
        self._do("clock", rate=1)

    def _do(self, operation: str, **fields: Any) -> Any:
        return self._admin.post(f"/_admin/{operation}", json=fields).raise_for_status().json()["result"]


def _is_same(message: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
    shown = [message[name] for name in ("folder_id", "unread", "flagged")]
    told = [truth["folder_id"], not truth["is_read"], truth["flag"] == "flagged"]
    return shown == told and (message["subject"] or "") == (truth["subject"] or "")
