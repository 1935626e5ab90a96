"""A Gmail mailbox as it is read for an app: whole messages by id, threads, and what the log says of them since.

    cached message     a reader gets
    newer              what was cached
    older              what was cached, with the labels of the index entry: nothing else of a Gmail message changes

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.threads/get
"""

from collections.abc import Generator
from dataclasses import dataclass

from shared.core.errors import ContractBroken
from shared.protocol.gmail import message
from shared.protocol.gmail.known import HEX
from shared.protocol.gmail.stream import GmailStream
from shared.protocol.step import Fetched, Members
from shared.protocol.wire import Request, Response

ID_DIGITS_MAX = 16


@dataclass(frozen=True, slots=True)
class GmailReading(GmailStream):
    def could_exist(self, message_id: str) -> bool:
        """Gmail refuses a batch part for what is no id of its own, instead of not finding it."""
        return len(message_id) <= ID_DIGITS_MAX and HEX.issuperset(message_id)

    def known_id(self, message_id: str) -> str | None:
        return self.pack_id(message_id)

    def followed(self, value: str, held: Fetched) -> Fetched | None:
        return self.newer(value, held)

    def thread(self, thread_id: str) -> Generator[Request, Response, Members | None]:
        if not self.could_exist(thread_id):
            return None
        response = yield message.thread_request(thread_id, self.reading, self.prices.thread_get)
        if response.status in (404, 410):
            return None
        ids, found = message.thread_ids(response.body), message.parse_thread(response.body, self.reading)
        if ids is None or found is None:
            raise ContractBroken("a thread can't be read")
        return Members({each: found.get(each) for each in ids}, whole=True)
