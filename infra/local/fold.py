"""Reads an account's change log and folds it into the mailbox it tells of, as an app would (CONTRACT §4)."""

from typing import Any

import httpx

PAGE = 500


def fold(client: httpx.Client, account_id: str, reader: str = "fold") -> dict[str, dict[str, Any]]:
    """Messages by id after every event of the log. Raises ValueError for an event that the contract excludes."""
    state: dict[str, dict[str, Any]] = {}
    named: set[str] | None = None
    seen: set[str] = set()
    after: str | None = None
    while True:
        query: dict[str, str | int] = {
            "account_id": account_id,
            "limit": PAGE,
            "reader": reader,
            **({"after": after} if after else {}),
        }
        page = client.get("/mailbox/changes", params=query).raise_for_status().json()
        for event in page["changes"]:
            if event["id"] in seen:
                raise ValueError(f"event {event['id']} came twice")
            seen.add(event["id"])
            named = apply(state, event, named)
        after = page["cursor"]
        if not page["more"]:
            return state


def apply(state: dict[str, dict[str, Any]], event: dict[str, Any], named: set[str] | None) -> set[str] | None:
    """One event into `state`; `named` are the ids named since a snapshot began (None outside of one)."""
    data = event["data"]
    match event["type"].removeprefix("tidemark."):
        case "message.created":
            message = data["message"]
            if message["id"] in state and (named is None or message["id"] in named):
                raise ValueError(f"{message['id']} was created twice")
            state[message["id"]] = message
            if named is not None:
                named.add(message["id"])
        case "message.updated":
            if data["message_id"] not in state:
                raise ValueError(f"{data['message_id']} was updated before it was created")
            changed = {name: value for name, value in data["patch"].items() if state[data["message_id"]][name] != value}
            if not changed:
                raise ValueError(f"an event of {data['message_id']} changes nothing")
            state[data["message_id"]] |= changed
        case "message.deleted":
            state.pop(data["message_id"], None)
            (named or set()).discard(data["message_id"])
        case "snapshot.began":
            return set()
        case "snapshot.ended" if named is not None:
            for gone in state.keys() - named:
                del state[gone]
            return None
    return named
