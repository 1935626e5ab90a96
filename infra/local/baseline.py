"""The client that everyone writes first: list the ids, then get each message, one after the other (N+1 calls).

An honest one: it keeps its connection alive, takes pages of 500, asks for the same fields, waits as long as it is told.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

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
