"""What is measured: each reads its own mailbox once and says how many messages it got.

    tidemark      its functions over HTTP: /accounts, /gmail-sync while there is more, the folded log
    serial        google-api-python-client, list and then one get after the other (N+1), with its own retries on
    batch 50, 20  google-api-python-client's BatchHttpRequest, so many parts each, one batch after the other; it retries
                  no part, and its callback is told of the error

Left out: simplegmail (no batch; needs lxml and bs4), lieer and got-your-back (notmuch; a limiter of its own).
"""

import json
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from typing import Any

import httpx
from google.oauth2 import credentials as typed_in_part

from infra.emulators.gmail import Settings as GmailSettings
from infra.local.baseline import MASKS
from infra.local.fold import fold

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from googleapiclient.discovery import build_from_document

google_credentials: Any = typed_in_part

RETRIES = 5
SYNCS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Mailbox:
    address: str
    access_token: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class World:
    """`functions` and `gmail_url`: where both sides are; `wanted`: messages in every mailbox."""

    functions: httpx.Client
    gmail_url: str
    wanted: int


Peer = Callable[[World, Mailbox], int]


def tidemark(world: World, mailbox: Mailbox) -> int:
    body = {"provider": "gmail", "email": mailbox.address, "user_id": "bench", "refresh_token": mailbox.refresh_token}
    account_id = world.functions.post("/accounts", json=body).raise_for_status().json()["account_id"]
    for _ in range(SYNCS_MAX):
        done = world.functions.post("/gmail-sync", json={"account_id": account_id}).raise_for_status().json()
        if not done["more"]:
            break
        time.sleep(done.get("retry_after_s", 0.0))
    return len(fold(world.functions, account_id))


def serial(world: World, mailbox: Mailbox) -> int:
    with closing(_service(world, mailbox)) as service:
        messages = service.users().messages()
        ids = _listed(messages)
        return sum(1 for each in ids if _get(messages, each).execute(num_retries=RETRIES)["id"] == each)


def batched(parts: int) -> Peer:
    def read(world: World, mailbox: Mailbox) -> int:
        got: set[str] = set()

        def each(key: str, answer: Any, error: Exception | None) -> None:
            if error is None:
                got.add(answer["id"])

        with closing(_service(world, mailbox)) as service:
            messages = service.users().messages()
            ids = _listed(messages)
            for first in range(0, len(ids), parts):
                batch = service.new_batch_http_request(each)
                for id_ in ids[first : first + parts]:
                    batch.add(_get(messages, id_))
                batch.execute()
        return len(got)

    return read


PEERS: dict[str, Peer] = {"tidemark": tidemark, "serial": serial, "batch 50": batched(50), "batch 20": batched(20)}


def _service(world: World, mailbox: Mailbox) -> Any:
    """From the bundled discovery document: `client_options.api_endpoint` would move the calls but not the batches."""
    file = resources.files("googleapiclient") / "discovery_cache" / "documents" / "gmail.v1.json"
    origin = f"{world.gmail_url}/"
    described = json.loads(file.read_text("utf-8")) | {"rootUrl": origin, "baseUrl": origin}
    described.pop("mtlsRootUrl", None)
    client = GmailSettings()
    credentials = google_credentials.Credentials(
        mailbox.access_token,
        refresh_token=mailbox.refresh_token,
        token_uri=f"{world.gmail_url}/token",
        client_id=client.client_id,
        client_secret=client.client_secret,
    )
    return build_from_document(described, credentials=credentials)


def _listed(messages: Any) -> list[str]:
    ids: list[str] = []
    request = messages.list(userId="me", maxResults=500)
    while request is not None:
        page = request.execute(num_retries=RETRIES)
        ids += [each["id"] for each in page.get("messages", [])]
        request = messages.list_next(request, page)
    return ids


def _get(messages: Any, message_id: str) -> Any:
    return messages.get(userId="me", id=message_id, format="metadata", fields=MASKS["metadata"])
