"""A mailbox at either stand-in, as the flows use it: filled, changed, and told as a reader of the log has to see it."""

import base64
from typing import Any

import orjson

from shared.core.message import instant
from tests.crash.stage import Stage
from tests.world import raw

Told = dict[str, tuple[Any, ...]]


class GmailBox:
    provider = "gmail"

    def __init__(self, stage: Stage) -> None:
        self.stage, self.address = stage, stage.address()

    def refresh_token(self) -> str:
        return self.stage.gmail.refresh_token(self.address)

    def fill(self, count: int) -> None:
        now_s = self.stage.gmail.clock.now_s()
        self.ids = [
            self.stage.gmail.deliver(self.address, raw(n), internal_date_s=now_s - 60 * (count - n))
            for n in range(count)
        ]

    def change(self) -> None:
        gmail, address, ids = self.stage.gmail, self.address, self.ids
        gmail.relabel(address, *ids[:3], add=["STARRED"], remove=["UNREAD"])
        gmail.trash(address, ids[3])
        gmail.delete(address, ids[4])
        for n in range(3):
            gmail.deliver(address, raw(100 + n))

    def lose_history(self) -> None:
        self.stage.gmail.expire_history(self.address)

    def push(self) -> tuple[str, dict[str, Any], dict[str, str]]:
        """Path, body and headers of the push that tells of the last change."""
        said = orjson.dumps({"emailAddress": self.address, "historyId": self.stage.gmail.history_id(self.address)})
        body = {"message": {"data": base64.b64encode(said).decode()}}
        return "/push-webhook/gmail", body, {"authorization": f"Bearer {self.stage.push_token()}"}

    def truth(self) -> Told:
        found = self.stage.gmail.truth(self.address).items()
        return {message_id: (sorted(each.get("labelIds", [])), each["threadId"]) for message_id, each in found}

    def told(self, folded: dict[str, dict[str, Any]]) -> Told:
        return {message_id: (each["labels"], each["thread_id"]) for message_id, each in folded.items()}

    def is_watched(self) -> bool:
        return self.stage.gmail.watches.running(self.address) is not None


class OutlookBox:
    provider = "outlook"

    def __init__(self, stage: Stage) -> None:
        self.stage, self.address = stage, stage.address()

    def refresh_token(self) -> str:
        return self.stage.graph.mint_refresh_token(self.address)

    def fill(self, count: int) -> None:
        now_s = self.stage.graph.clock.now_s()
        self.ids = [
            self.stage.graph.deliver(self.address, raw(n), "inbox", received_at_s=now_s - 60 * (count - n))
            for n in range(count)
        ]

    def change(self) -> None:
        graph, address, ids = self.stage.graph, self.address, self.ids
        for message_id in ids[:3]:
            graph.update(address, message_id, is_read=True, flag="flagged")
        graph.move(address, ids[3], "deleteditems")
        graph.move(address, ids[5], "archive")
        graph.hard_delete(address, ids[4])
        for n in range(3):
            graph.deliver(address, raw(100 + n))

    def lose_history(self) -> None:
        self.stage.graph.expire_delta("inbox", self.address)

    def push(self) -> tuple[str, dict[str, Any], dict[str, str]]:
        (subscription,) = self.stage.graph.subscriptions(self.address)
        said = {
            "subscriptionId": subscription["id"],
            "clientState": subscription["clientState"],
            "changeType": "updated",
            "resource": "Users/1/Messages/1",
        }
        return "/push-webhook/outlook", {"value": [said]}, {}

    def truth(self) -> Told:
        return {
            message_id: (
                each["folder_id"],
                not each["is_read"],
                each["flag"] == "flagged",
                instant(each["received_at_s"] // 1),
            )
            for message_id, each in self.stage.graph.snapshot(self.address).items()
        }

    def told(self, folded: dict[str, dict[str, Any]]) -> Told:
        return {
            message_id: (each["folder_id"], each["unread"], each["flagged"], each["received_at"])
            for message_id, each in folded.items()
        }

    def is_watched(self) -> bool:
        return bool(self.stage.graph.subscriptions(self.address))


Box = GmailBox | OutlookBox
