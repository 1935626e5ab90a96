"""A mailbox of a few folders, chains and cursors, and Graph's answers to them."""

from typing import Any

import orjson

from shared.protocol.graph.chains import Answered, Mailbox, Row, answered
from shared.protocol.graph.cursor import Chain, Cursor
from shared.protocol.graph.debts import Debts
from shared.protocol.graph.delta import Asking
from shared.protocol.graph.folders import FolderTable
from shared.protocol.graph.known import Prefixes
from shared.protocol.graph.message import Reading
from shared.protocol.wire import Response

ORIGIN = "https://graph.microsoft.com"
OLD, NEXT = f"{ORIGIN}/v1.0/me/old?$deltatoken=1", f"{ORIGIN}/v1.0/me/next?$token=2"
FOLDERS = Chain("", OLD, resting=True)
CHANGED_S = 1_767_268_800.0  # 2026-01-01T12:00:00Z
REMOVED: Row = {"id": "gone", "@removed": {"reason": "deleted"}}
SPARSE: Row = {"id": "sparse", "isRead": True}


def box(*names: str, asked: tuple[str, ...] | None = None, total: int = 1) -> Mailbox:
    folders = FolderTable(None, asked)
    for name in names or ("E", "F", "G"):
        folders.shown({"id": name, "displayName": name, "isHidden": False, "totalItemCount": total})
    return Mailbox(Asking(ORIGIN, 50, Reading("text", 1000)), folders, Prefixes(), Debts())


def resting(name: str, **fields: Any) -> Chain:
    return Chain(name, f"{OLD}&of={name}", resting=True, **{"floor_s": 0.0, **fields})


def cursor(*chains: Chain, **fields: Any) -> Cursor:
    return Cursor(FOLDERS, chains, **{"walked": 3, **fields})


def came(identity: str, at_s: int, changed: str = "2026-01-01T12:00:00Z") -> Row:
    """A row of a message that came `at_s` seconds after the start of the epoch."""
    minutes, seconds = divmod(at_s, 60)
    return {
        "id": identity,
        "receivedDateTime": f"1970-01-01T00:{minutes:02d}:{seconds:02d}Z",
        "lastModifiedDateTime": changed,
    }


def page(*rows: Row, ended: bool = True) -> Response:
    link = "@odata.deltaLink" if ended else "@odata.nextLink"
    return Response(200, {}, orjson.dumps({"value": rows, link: NEXT}))


def listed(*rows: Row, ended: bool = True, link: str = "") -> Response:
    link = link or ("" if ended else NEXT)
    return Response(200, {}, orjson.dumps({"value": rows} | ({"@odata.nextLink": link} if link else {})))


def refused(status: int, code: str) -> Response:
    return Response(status, {}, orjson.dumps({"error": {"code": code}}))


def folder(identity: str, **fields: Any) -> Row:
    return {"id": identity, "displayName": identity, "isHidden": False, "totalItemCount": 1, **fields}


def answers(**parts: Response) -> Response:
    """Of a batch; a key may begin with `_`, which is not a part of it."""
    responses = [
        {"id": key.strip("_"), "status": part.status, "headers": dict(part.headers), "body": orjson.loads(part.body)}
        for key, part in parts.items()
    ]
    return Response(200, {}, orjson.dumps({"responses": responses}))


def told(of: Cursor, response: Response, at: Mailbox | None = None) -> Answered:
    """To the request of the first message chain, or of the folder chain where there is none."""
    return answered(at or box(), of, of.chains[0] if of.chains else of.folders, response)
