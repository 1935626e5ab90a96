"""An Outlook mailbox as it is read for an app: whole messages by id, conversations, and what the log says since.

    cached message           index entry         a reader gets
    newer                                        what was cached
    older, or as old         same text           what was cached, with the folder and the flags of the entry
    older, or as old         another text        nothing: it is read again
    a draft, not newer                           nothing: its HTML is not what the entry is made of

`lastModifiedDateTime` has whole seconds, so of two states as old as each other the index has the later one.
A conversation is a filter over the whole mailbox, page by page; in no order, since Graph finds a filter by one property
with an order by another inefficient.

Source: https://learn.microsoft.com/en-us/graph/api/user-list-messages
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from shared.protocol.graph import batch, known, message
from shared.protocol.graph.delta import ROOT, read_page
from shared.protocol.graph.stream import GraphStream
from shared.protocol.step import Fetched, Members
from shared.protocol.wire import Request, Response

THREAD_PAGES_MAX = 10


@dataclass(slots=True)
class GraphReading(GraphStream):
    """`in_turn`: the parts of a batch one after the other, since somebody else has requests in flight."""

    in_turn: bool = False

    def batch(self, parts: Sequence[tuple[str, Request]], boundary: str) -> Request:
        return batch.build(parts, self.box.asking.origin, in_turn=self.in_turn)

    def could_exist(self, message_id: str) -> bool:
        return True

    def known_id(self, message_id: str) -> str | None:
        return self.box.ids.known(message_id)

    def followed(self, value: str, held: Fetched) -> Fetched | None:
        return held if int(held.version) > known.unpack(value).modified_ms else self.current(value, held)

    def thread(self, thread_id: str) -> Generator[Request, Response, Members | None]:
        quoted = thread_id.replace("'", "''")
        query = (("$filter", f"conversationId eq '{quoted}'"), ("$select", message.select(True)), message.ATTACHED)
        asking = self.box.asking
        request = asking.get(f"{ROOT}/messages", *query)
        found: dict[str, Fetched | None] = {}
        whole = True
        for _ in range(THREAD_PAGES_MAX):
            page = read_page(asking, (yield request), request.path, of_list=True)
            found |= {row["id"]: message.parse(row, asking.reading) for row in page.rows}
            whole = whole and not page.unreadable
            if page.ended:
                return Members(found, whole=whole) if found else None
            request = asking.get(page.link)
        return Members(found, whole=False)
