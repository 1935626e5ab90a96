"""Planted secrets and mail, looked for in everything that is told: log, answers of errors, Redis, its keys, tracebacks.

Gmail's are in tests/functions/test_app.py; here Outlook's, a browser's session, a consent, pushes and what apps send.
What the contract puts there is left out: message content is in the log and the caches (deflated, or sealed by nothing),
an app's own user id in its account.
"""

import base64
import json
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET
from infra.emulators.server import Server
from shared.adapters.consents import Begun, Link
from shared.adapters.microsoft_auth import Acquired
from shared.adapters.sealing import Sealer
from shared.wiring import Wiring
from tests import world
from tests.functions.stand import API_KEY, Stand

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"canary-webhook-secret-bytes").decode()
ADDRESS = "canary-owner@example.com"
SUBJECT, SENDER, BODY = "canary-subject", "canary-sender@example.org", "canary-body"
CONTENT = (":log", ":message:", ":thread:", ":index")


@pytest.fixture
def graph() -> Iterator[tuple[GraphEmulator, str]]:
    with GraphEmulator() as emulator, Server(emulator.app) as server:
        emulator.add_mailbox(ADDRESS)
        yield emulator, server.url


@pytest.fixture
def planted(stand_with: Callable[..., Stand], graph: tuple[GraphEmulator, str]) -> Stand:
    return stand_with(
        MICROSOFT_CLIENT_ID=CLIENT_ID,
        MICROSOFT_CLIENT_SECRET=CLIENT_SECRET,
        GRAPH_API_URL=graph[1],
        MICROSOFT_AUTHORITY_URL=graph[1],
        RETURN_TO_ORIGINS="https://app.example",
        WEBHOOK_URL="http://127.0.0.1:9/hook",
        WEBHOOK_SECRETS=WEBHOOK_SECRET,
        WEBHOOK_ALLOW_PRIVATE="true",
    )


def provoked(stand: Stand, emulator: GraphEmulator, account_id: str, refresh: str) -> list[httpx.Response]:
    """Everything that could make somebody talk; the answers that are errors."""
    bad = {"authorization": f"Bearer {refresh}"}
    form = {"content-type": "application/x-www-form-urlencoded"}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/accounts", {"json": {"provider": "outlook", "email": ADDRESS, "refresh_token": refresh}}),
        ("POST", "/accounts", {"json": {**stand.asked(stand.mailbox()), "provider": "outlook", "email": ADDRESS}}),
        ("GET", f"/accounts/{ADDRESS}", {}),
        ("GET", "/accounts", {"headers": bad}),
        ("GET", f"/accounts/connect?link={refresh}", {}),
        ("POST", "/accounts/connect", {"json": {"provider": "gmail", "user_id": ADDRESS, "return_to": refresh}}),
        ("GET", f"/accounts/callback/google?state={refresh}&code={refresh}", {}),
        ("POST", "/accounts/callback/microsoft", {"content": f"state={refresh}&code={ADDRESS}", "headers": form}),
        ("POST", "/push-webhook/gmail", {"headers": bad, "content": BODY}),
        ("POST", "/push-webhook/outlook", {"content": json.dumps({"value": [{"clientState": refresh}]})}),
        ("POST", "/outlook-sync", {"json": {"account_id": ADDRESS}}),
        ("POST", "/outlook-sync", {"json": {"account_id": account_id, SUBJECT: ADDRESS}}),
        ("GET", "/mailbox/changes", {"params": {"account_id": account_id, "after": ADDRESS, "reader": SUBJECT}}),
        ("GET", "/mailbox/messages", {"params": {"account_id": account_id, "ids": ADDRESS}}),
        ("GET", f"/mailbox/threads/{ADDRESS}", {"params": {"account_id": account_id}}),
        ("PUT", "/mailbox/preferences", {"params": {"user_id": ADDRESS}, "json": {"warm": SUBJECT}}),
        ("POST", "/status/login", {"data": {"key": refresh}}),
        ("GET", f"/{ADDRESS}", {}),
    ]
    answers = [stand.client.request(method, path, **more) for method, path, more in asked]
    for _ in range(2):
        stand.redis.bridge.inject("garbage", times=1, match="EVAL")
        answers.append(stand.client.post("/outlook-sync", json={"account_id": account_id}))
        stand.redis.bridge.reset()
        stand.redis.valkey.call("DEL", f"td:{account_id}:lease", f"td:{account_id}:hold")
    emulator.revoke(ADDRESS)
    stand.redis.valkey.call("HSET", f"td:{account_id}:account", "access_until_s", "0")
    answers.append(stand.client.post("/outlook-sync", json={"account_id": account_id}))
    return answers


def test_nothing_planted_is_told(
    planted: Stand, graph: tuple[GraphEmulator, str], capfd: pytest.CaptureFixture[str]
) -> None:
    emulator, _ = graph
    raw = f"From: {SENDER}\r\nTo: {ADDRESS}\r\nSubject: {SUBJECT}\r\n\r\n{BODY}\r\n".encode()
    for _ in range(2):
        emulator.deliver(ADDRESS, raw)
    refresh = emulator.mint_refresh_token(ADDRESS)
    asked = {"provider": "outlook", "email": ADDRESS, "user_id": "user-1", "refresh_token": refresh}
    account_id = planted.client.post("/accounts", json=asked).json()["account_id"]
    done = planted.client.post("/outlook-sync", json={"account_id": account_id}).json()
    assert done["changes"]["created"] == 2
    page = planted.changes(account_id)
    ids = ",".join(each["subject"] for each in page["changes"] if "subject" in each)
    assert planted.client.get("/mailbox/messages", params={"account_id": account_id, "ids": ids}).status_code == 200
    put = planted.client.put("/mailbox/preferences", params={"user_id": ADDRESS}, json={"messages_max": 7})
    assert put.status_code == 200
    assert planted.client.post("/accounts/connect", json={"provider": "outlook", "user_id": ADDRESS}).status_code == 200
    session = planted.client.post("/status/login", data={"key": API_KEY}).headers["set-cookie"]
    assert planted.client.post("/outlook-sync").json()["status"] == "swept"
    answers = provoked(planted, emulator, account_id, refresh)

    tokens = list(emulator.identity.grants.access_tokens)
    assert tokens
    secrets = [refresh, *tokens, API_KEY, world.KEY, CLIENT_SECRET, planted.redis.token, WEBHOOK_SECRET.split("_")[1]]
    secrets += [session.partition("=")[2].partition(";")[0], ADDRESS, ADDRESS.partition("@")[0]]
    mail = [SUBJECT, SENDER, BODY]
    logged = "".join(capfd.readouterr())
    assert '"event":"sync_finished"' in logged
    told = "".join(f"{each.text}{each.headers}" for each in answers if each.status_code >= 400)
    names, values = dump(planted)
    for what in (told, logged, "\n".join(names)):
        assert [each for each in (*secrets, *mail) if each in what] == []
    kept_apart = "\n".join(text for name, text in values.items() if not any(part in name for part in CONTENT))
    assert [each for each in (*secrets, *mail) if each in kept_apart] == []
    assert [each for each in secrets if each in "\n".join(values.values()).replace(ADDRESS, "")] == []


def dump(stand: Stand) -> tuple[list[str], dict[str, str]]:
    """Every key's name, and every value."""
    read = {"string": ("GET",), "hash": ("HGETALL",), "set": ("SMEMBERS",), "zset": ("ZRANGE", 0, -1)}
    values = {}
    for name in stand.stored():
        verb, *rest = read.get(str(stand.redis.valkey.call("TYPE", name)), ("XRANGE", "-", "+"))
        values[name] = repr(stand.redis.valkey.call(str(verb), name, *rest))
    return list(values), values


def test_a_traceback_or_a_debugger_shows_none() -> None:
    """What holds a secret hides it from `repr`, which is what tracebacks with locals and error trackers print."""
    given = {
        "GOOGLE_CLIENT_SECRET": "canary-client-secret",
        "MICROSOFT_CLIENT_SECRET": "canary-client-secret",
        "TIDEMARK_API_KEY": "canary-api-key",
        "UPSTASH_REDIS_REST_TOKEN": "canary-redis-token",
    }
    settings = world.settings(**given)
    holders = [
        settings,
        Sealer(settings.token_encryption_keys),
        Wiring(settings),
        Acquired("canary-access", 0.0, "canary-cache", True, "key"),
        Begun(Link("gmail", "user-1", "", 0.0), "browser-digest", "canary-verifier"),
    ]
    try:
        raise RuntimeError
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "settings = Settings(…)" in shown
    for text in map(repr, holders):
        assert "canary" not in text
        assert world.KEY not in text
