"""What is killed: a flow is prepared by a living process, acted out by the victim, mended by pings, and then checked.

flow         the victim's one request                         afterwards, besides: log equals mailbox, nothing twice
import       POST /accounts                                   asked for again, the mailbox is the same account
first sync   POST /{provider}-sync                            -
changes      the same, with an access token that has run out  -
lost history the same, after a 404 or 410                     -
snapshot     the same, with a resync asked for                every message is named in the one that ended
push         POST /push-webhook/{provider}                    -
renewal      a ping that finds the watch due                  the watch lives
deletion     DELETE /accounts/{id}                            not a key is left and the watch is stopped; or, killed
                                                                  before it was stored, the account is whole
"""

from collections.abc import Callable
from dataclasses import dataclass

from infra.local.fold import fold
from tests.crash.mailboxes import Box
from tests.crash.stage import QUIET_S, Process, Stage

MESSAGES = 14


@dataclass(frozen=True, slots=True)
class Flow:
    """`act` is the victim's part; `quiet_s`: how long it may go on after its answer without taking a step."""

    name: str
    prepare: Callable[[Stage, Box], str]
    act: Callable[[Process, Box, str], object]
    check: Callable[[Stage, Box, str], None]
    quiet_s: float = 0.0
    delivers: bool = False


def asked(box: Box) -> dict[str, str]:
    token = box.refresh_token()
    return {"provider": box.provider, "email": box.address, "user_id": "user-1", "refresh_token": token}


def connected(stage: Stage, box: Box) -> str:
    box.fill(MESSAGES)
    answer = stage.healthy.http.post("/accounts", json=asked(box)).raise_for_status()
    return str(answer.json()["account_id"])


def unconnected(stage: Stage, box: Box) -> str:
    box.fill(MESSAGES)
    return ""


def synced(stage: Stage, box: Box) -> str:
    account_id = connected(stage, box)
    stage.mend(box.provider)
    return account_id


def changed(stage: Stage, box: Box) -> str:
    account_id = synced(stage, box)
    box.change()
    return account_id


def outdated(stage: Stage, box: Box) -> str:
    account_id = changed(stage, box)
    stage.set_field(account_id, "access_until_s", "0")
    return account_id


def lost_history(stage: Stage, box: Box) -> str:
    account_id = changed(stage, box)
    box.lose_history()
    return account_id


def snapshot_asked(stage: Stage, box: Box) -> str:
    account_id = changed(stage, box)
    stage.healthy.http.post(f"/accounts/{account_id}/resync", json={"content": True}).raise_for_status()
    return account_id


def watch_due(stage: Stage, box: Box) -> str:
    account_id = changed(stage, box)
    stage.set_field(account_id, "watch_renewed_s", "0")
    return account_id


def connect(victim: Process, box: Box, account_id: str) -> object:
    return victim.send("POST", "/accounts", json=asked(box))


def sync(victim: Process, box: Box, account_id: str) -> object:
    return victim.send("POST", f"/{box.provider}-sync", json={"account_id": account_id})


def ping(victim: Process, box: Box, account_id: str) -> object:
    return victim.send("POST", f"/{box.provider}-sync")


def push(victim: Process, box: Box, account_id: str) -> object:
    path, body, headers = box.push()
    return victim.send("POST", path, json=body, headers=headers)


def delete(victim: Process, box: Box, account_id: str) -> object:
    return victim.send("DELETE", f"/accounts/{account_id}")


def log_equals_mailbox(stage: Stage, box: Box, account_id: str) -> None:
    """`fold` fails for an event that comes twice, for a second `created`, and for one that changes nothing."""
    assert box.told(fold(stage.healthy.http, account_id)) == box.truth()


def asked_again(stage: Stage, box: Box, account_id: str) -> None:
    again = [stage.healthy.http.post("/accounts", json=asked(box)).raise_for_status() for _ in range(2)]
    first, second = (answer.json()["account_id"] for answer in again)
    assert first == second
    stage.mend(box.provider)
    log_equals_mailbox(stage, box, first)


def snapshot_is_whole(stage: Stage, box: Box, account_id: str) -> None:
    log_equals_mailbox(stage, box, account_id)
    query = {"account_id": account_id, "limit": "1000"}
    events = stage.healthy.http.get("/mailbox/changes", params=query).raise_for_status().json()["changes"]
    kinds = [event["type"].removeprefix("tidemark.") for event in events]
    began = len(kinds) - 1 - kinds[::-1].index("snapshot.began")
    ended = kinds.index("snapshot.ended", began)
    named = {e["data"]["message"]["id"] for e in events[began:ended] if e["type"] == "tidemark.message.created"}
    assert named >= {message_id for message_id in box.truth() if message_id in box.ids}


def watch_lives(stage: Stage, box: Box, account_id: str) -> None:
    log_equals_mailbox(stage, box, account_id)
    assert box.is_watched()
    assert float(stage.field(account_id, "watch_renewed_s")) > 0


def everything_is_delivered(stage: Stage, box: Box, account_id: str) -> None:
    """A batch may come again: what counts is when an event came first."""
    log_equals_mailbox(stage, box, account_id)
    query = {"account_id": account_id, "limit": "1000"}
    told = stage.healthy.http.get("/mailbox/changes", params=query).raise_for_status().json()["changes"]
    assert list({event["id"]: event for event in stage.receiver.events}.values()) == told


def nothing_is_left(stage: Stage, box: Box, account_id: str) -> None:
    """Who was killed before the deletion was stored has answered nothing: the account is whole, and asked for again."""
    if stage.healthy.http.get(f"/accounts/{account_id}").status_code != 404:
        log_equals_mailbox(stage, box, account_id)
        assert box.is_watched()
        assert stage.healthy.http.delete(f"/accounts/{account_id}").status_code == 204
    assert stage.healthy.http.get("/accounts").json() == {"accounts": []}
    assert stage.keys_naming(account_id) == []
    assert not box.is_watched()


FLOWS = (
    Flow("import", unconnected, connect, asked_again),
    Flow("first sync", connected, sync, log_equals_mailbox),
    Flow("changes", outdated, sync, log_equals_mailbox),
    Flow("lost history", lost_history, sync, log_equals_mailbox),
    Flow("snapshot", snapshot_asked, sync, snapshot_is_whole),
    Flow("push", changed, push, log_equals_mailbox, QUIET_S),
    Flow("renewal", watch_due, ping, watch_lives),
    Flow("delivery", changed, ping, everything_is_delivered, delivers=True),
    Flow("deletion", synced, delete, nothing_is_left),
)
