"""The client that everyone writes first: list the ids, then get each message, one after the other (N+1 calls).

An honest one: it keeps its connection alive, takes pages of 500, asks for the same fields, waits as long as it is told.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx

MASKS = {
    "metadata": "id,threadId,labelIds,snippet,payload/headers,internalDate,historyId,sizeEstimate",
    "full": "id,threadId,labelIds,snippet,payload,internalDate,historyId,sizeEstimate",
}


@dataclass(frozen=True, slots=True)
class Baseline:
    messages: int
    calls: int
    seconds: float


SELECTED = (
    "id,subject,from,toRecipients,ccRecipients,bccRecipients,replyTo,receivedDateTime,sentDateTime,body,bodyPreview,"
    "conversationId,parentFolderId,internetMessageId,isRead,isDraft,flag,categories,hasAttachments"
)


def outlook(url: str, access_token: Callable[[], str], wanted: int | None) -> Baseline:
    """Reads the newest `wanted` messages (None: all) of each folder: lists their ids, then gets one after the other."""
    began_s = time.monotonic()
    calls = 0
    headers = {"authorization": f"Bearer {access_token()}", "prefer": 'IdType="ImmutableId"'}
    with httpx.Client(base_url=f"{url}/v1.0", headers=headers, timeout=60.0) as client:

        def get(link: str, **query: str) -> dict[str, Any]:
            nonlocal calls
            while True:
                calls += 1
                answer = client.get(link, params={f"${name}": value for name, value in query.items()} or None)
                if answer.status_code in (429, 503):
                    time.sleep(float(answer.headers.get("retry-after", "1")))
                    continue
                if answer.status_code == 401:
                    client.headers["authorization"] = f"Bearer {access_token()}"
                    continue
                return dict(answer.raise_for_status().json())

        def pages(link: str, **query: str) -> Iterator[dict[str, Any]]:
            page = get(link, **query)
            yield from page["value"]
            while following := page.get("@odata.nextLink"):
                page = get(following)
                yield from page["value"]

        folders = list(pages("/me/mailFolders", top="100", select="id,childFolderCount"))
        for folder in folders:
            if folder["childFolderCount"]:
                children = f"/me/mailFolders/{folder['id']}/childFolders"
                folders += pages(children, top="100", select="id,childFolderCount")
        ids: list[str] = []
        for folder in folders:
            size = "1000" if wanted is None else str(max(1, min(1000, wanted)))
            listed = pages(f"/me/mailFolders/{folder['id']}/messages", top=size, select="id")
            ids += [each["id"] for each in islice(listed, wanted)]
        for message_id in ids:
            get(f"/me/messages/{message_id}", select=SELECTED)
    return Baseline(len(ids), calls, time.monotonic() - began_s)


def gmail(url: str, access_token: Callable[[], str], wanted: int | None, form: str = "metadata") -> Baseline:
    """Reads the newest `wanted` messages (None: all) of the token's mailbox; a token that has expired is replaced."""
    began_s = time.monotonic()
    calls = 0
    headers = {"authorization": f"Bearer {access_token()}", "user-agent": "n-plus-one (gzip)"}
    with httpx.Client(base_url=url, headers=headers, timeout=60.0) as client:

        def get(path: str, **query: str) -> dict[str, object]:
            nonlocal calls
            while True:
                calls += 1
                answer = client.get(path, params=query)
                if answer.status_code == 429 or (answer.status_code == 403 and b"rateLimitExceeded" in answer.content):
                    time.sleep(1.0)
                    continue
                if answer.status_code == 401:
                    client.headers["authorization"] = f"Bearer {access_token()}"
                    continue
                return dict(answer.raise_for_status().json())

        ids: list[str] = []
        token = ""
        while wanted is None or len(ids) < wanted:
            size = 500 if wanted is None else min(500, wanted - len(ids))
            page = get("/gmail/v1/users/me/messages", maxResults=str(size), **({"pageToken": token} if token else {}))
            found = page.get("messages", [])
            assert isinstance(found, list)
            ids += [each["id"] for each in found]
            token = str(page.get("nextPageToken", ""))
            if not token:
                break
        for message_id in ids:
            get(f"/gmail/v1/users/me/messages/{message_id}", format=form, fields=MASKS[form])
    return Baseline(len(ids), calls, time.monotonic() - began_s)
