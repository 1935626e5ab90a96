"""Gmail's labels with their names: what other providers have folders for.

Names are cut, not refused: a label is what its owner called it. One without an id is left out.

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.labels/list
"""

from shared.core.errors import ContractBroken
from shared.core.message import Folder, cut_utf8
from shared.core.quota import Prices
from shared.protocol.gmail.known import LABELS_MAX
from shared.protocol.gmail.resource import Unreadable, identifier, objects, read_object, text_of
from shared.protocol.gmail.text import line
from shared.protocol.wire import Request, Response

NAME_BYTES_MAX = 1024  # Gmail takes 225 characters


def request(prices: Prices) -> Request:
    query = (("fields", "labels(id,name,type)"),)
    return Request("GET", "/gmail/v1/users/me/labels", query, units=prices.label_list)


def parse(response: Response) -> list[Folder]:
    """In Gmail's order. Raises ContractBroken for what is no list of labels."""
    try:
        rows = objects(read_object(response.body), "labels")[:LABELS_MAX]
        return [
            Folder(
                id=label_id,
                name=cut_utf8(line(text_of(row, "name") or ""), NAME_BYTES_MAX)[0] or None,
                kind="system" if text_of(row, "type") == "system" else "user",
                parent_id=None,
                hidden=False,
            )
            for row in rows
            if (label_id := identifier(row, "id"))
        ]
    except Unreadable as error:
        raise ContractBroken("the labels can't be read") from error
