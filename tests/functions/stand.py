"""Every function in this process, behind a real HTTP server, between a real Valkey and the Gmail stand-in.

    stand = Stand(redis, gmail, gmail_url, INITIAL_SYNC_MESSAGES="all").start()
    account_id = stand.connect(stand.mailbox(3))
    stand.sync(account_id)

Settings are read when a function's module is imported, so each stand imports them anew. `Wiring` keeps what it has read
per event loop: the first request of a stand is made before another stand can change the process's environment.
"""

import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import functions_framework.aio
import httpx

from infra.emulators.gmail import GmailEmulator
from infra.emulators.server import Server
from infra.local.fold import fold
from shared.config import settings_or_exit
from tests import world
from tests.conftest import RedisRest

ROOT = Path(__file__).parents[2]
API_KEY = "canary-api-key"

_numbers = itertools.count(1)


def environment(redis: RedisRest, gmail: GmailEmulator, gmail_url: str, **more: str) -> dict[str, str]:
    """What the functions are told of the world around them."""
    return {
        "UPSTASH_REDIS_REST_URL": redis.url,
        "UPSTASH_REDIS_REST_TOKEN": redis.token,
        "TIDEMARK_API_KEY": API_KEY,
        "TOKEN_ENCRYPTION_KEYS": world.KEY,
        "GOOGLE_CLIENT_ID": gmail.settings.client_id,
        "GOOGLE_CLIENT_SECRET": gmail.settings.client_secret,
        "GMAIL_API_URL": gmail_url,
        "GOOGLE_TOKEN_URL": f"{gmail_url}/token",
        "GOOGLE_REVOKE_URL": f"{gmail_url}/revoke",
        "MAX_RETRIES": "1",
        **more,
    }


def loaded(variables: Mapping[str, str]) -> Any:
    """The ASGI app of all functions, as functions-framework makes it, with these settings."""
    for name in [name for name in sys.modules if name.startswith("functions.")]:
        del sys.modules[name]
    settings_or_exit.cache_clear()
    with patch.dict(os.environ, variables):
        source = str(ROOT / "functions" / "app.py")
        return functions_framework.aio.create_asgi_app("app", source)  # type: ignore[no-untyped-call]


class Stand:
    """`client` sends the key; `anonymous` does not."""

    def __init__(self, redis: RedisRest, gmail: GmailEmulator, gmail_url: str, **more: str) -> None:
        self.redis, self.gmail, self.gmail_url = redis, gmail, gmail_url
        self.server = Server(loaded(environment(redis, gmail, gmail_url, **more)))
        self.anonymous = httpx.Client(base_url=self.server.url, timeout=60.0, trust_env=False)
        key = {"authorization": f"Bearer {API_KEY}"}
        self.client = httpx.Client(base_url=self.server.url, headers=key, timeout=60.0, trust_env=False)

    def start(self) -> Self:
        self.server.start()
        assert self.client.get("/accounts/nobody").status_code == 404  # whatever earlier tests have left in the store
        return self

    def stop(self) -> None:
        self.client.close()
        self.anonymous.close()
        self.server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def mailbox(self, count: int = 0) -> str:
        """The address of a new mailbox with old mail in it, as many messages as asked for."""
        address = f"owner{next(_numbers)}@example.com"
        self.gmail.add_mailbox(address)
        now_s = self.gmail.clock.now_s()
        for n in range(count):
            self.gmail.deliver(address, world.raw(n), internal_date_s=now_s - 60 * (count - n))
        return address

    def asked(self, address: str, **fields: Any) -> dict[str, Any]:
        """The body of POST /accounts with a fresh refresh token."""
        token = self.gmail.refresh_token(address)
        return {"provider": "gmail", "email": address, "user_id": "user-1", "refresh_token": token, **fields}

    def connect(self, address: str, **fields: Any) -> str:
        answer = self.client.post("/accounts", json=self.asked(address, **fields))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["account_id"])

    def sync(self, account_id: str) -> dict[str, Any]:
        answer = self.client.post("/gmail-sync", json={"account_id": account_id})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ping(self) -> dict[str, Any]:
        answer = self.client.post("/gmail-sync")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def changes(self, account_id: str, **query: Any) -> dict[str, Any]:
        answer = self.client.get("/mailbox/changes", params={"account_id": account_id, **query})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def folded(self, account_id: str) -> dict[str, dict[str, Any]]:
        return fold(self.client, account_id)

    def stored(self) -> list[str]:
        found = self.redis.valkey.call("KEYS", "*")
        assert isinstance(found, list)
        return sorted(each.decode() for each in found if isinstance(each, bytes))


def assert_problem(answer: httpx.Response, status: int, slug: str) -> None:
    """RFC 9457, with the slug, and nothing else to be read from it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body = answer.json()
    assert (body["status"], body["slug"]) == (status, slug)
    assert body.keys() == {"type", "title", "status", "detail", "slug"}
