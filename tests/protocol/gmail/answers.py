"""Gmail's answers as the protocol gets them."""

from typing import Any

import orjson

from shared.protocol.wire import Response


def answer(body: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, orjson.dumps(body))


def record(history_id: int, **changes: Any) -> dict[str, Any]:
    """`added`, `deleted`: message ids; `plus`, `minus`: message id -> labels; `named`: ids without a reason."""
    found: dict[str, Any] = {"id": str(history_id)}
    for name, key in (("added", "messagesAdded"), ("deleted", "messagesDeleted")):
        if name in changes:
            found[key] = [{"message": {"id": each, "threadId": f"t-{each}"}} for each in changes[name]]
    for name, key in (("plus", "labelsAdded"), ("minus", "labelsRemoved")):
        if name in changes:
            found[key] = [{"message": {"id": k}, "labelIds": v} for k, v in changes[name].items()]
    if "named" in changes:
        found["messages"] = [{"id": each} for each in changes["named"]]
    return found


def history(*records: dict[str, Any], history_id: int = 1000, token: str | None = None) -> Response:
    page: dict[str, Any] = {"historyId": str(history_id)}
    page |= {"history": list(records)} if records else {}
    return answer(page | ({"nextPageToken": token} if token else {}))


def listed(*message_ids: str, token: str | None = None) -> Response:
    page: dict[str, Any] = {"resultSizeEstimate": len(message_ids)}
    page |= {"messages": [{"id": each, "threadId": f"t-{each}"} for each in message_ids]} if message_ids else {}
    return answer(page | ({"nextPageToken": token} if token else {}))


def resource(message_id: str, labels: list[str], history_id: int, **given: Any) -> dict[str, Any]:
    return {
        "id": message_id,
        "threadId": given.pop("thread", f"t-{message_id}"),
        "labelIds": labels,
        "historyId": str(history_id),
        "internalDate": str(given.pop("received_ms", 1_764_028_800_000)),
        "payload": {"headers": [{"name": "Subject", "value": given.pop("subject", "Hello")}]},
        **given,
    }


def google_error(code: int, reason: str) -> Response:
    error = {"code": code, "message": "No.", "errors": [{"reason": reason, "domain": "global"}]}
    return answer({"error": error}, code)
