"""All functions from one process: who may ask, what is refused before anything is done, and what no answer holds."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from infra.emulators.upstash_faults import Kind
from tests import world
from tests.functions.stand import API_KEY, Stand, assert_problem

ROUTES = [
    ("POST", "/gmail-sync"),
    ("GET", "/accounts"),
    ("POST", "/accounts"),
    ("GET", "/accounts/a"),
    ("DELETE", "/accounts/a"),
    ("POST", "/accounts/a/resync"),
    ("GET", "/mailbox/changes?account_id=a"),
    ("GET", "/status/status.json"),
]
READS = [(method, path) for method, path in ROUTES if (method, path) != ("POST", "/accounts")]
CANARY_SUBJECT, CANARY_SNIPPET, CANARY_SENDER = "canary-subject", "canary-snippet", "canary-sender@example.org"


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/gmail_sync", "/Accounts", "/accountsx", "//accounts", "/%00", "/.."]
)
def test_an_unknown_path_is_404(stand: Stand, path: str) -> None:
    assert_problem(stand.client.get(path), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_the_key_nothing_is_done(stand: Stand, method: str, path: str) -> None:
    for header in (None, "", "Bearer", "Bearer wrong", f"Basic {API_KEY}", f"Bearer {API_KEY}x", API_KEY):
        headers = {} if header is None else {"authorization": header}
        answer = stand.anonymous.request(method, path, headers=headers)
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert stand.redis.bridge.stats.requests == 0


@pytest.mark.parametrize("path", ["/gmail-sync", "/mailbox/changes?account_id=a", "/status/status.json"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_method_that_means_nothing_is_405(stand: Stand, method: str, path: str) -> None:
    answer = stand.client.request(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/gmail-sync", "/accounts", "/accounts/a/resync"])
def test_a_body_above_1_mib_is_413(stand: Stand, path: str) -> None:
    big = b'{"account_id":"' + b"x" * 2_000_000 + b'"}'
    assert_problem(stand.client.post(path, content=big), 413, "body_too_large")
    chunks = (big[n : n + 65536] for n in range(0, len(big), 65536))  # no Content-Length to judge by
    assert_problem(stand.client.post(path, content=chunks), 413, "body_too_large")


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(stand: Stand) -> None:
    with socket.create_connection(("127.0.0.1", stand.server.port), timeout=5) as connection:
        head = f"POST /gmail-sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 2000000\r\n"
        connection.sendall(head.encode() + b"\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("path", ["/gmail-sync", "/accounts", "/accounts/a/resync"])
@pytest.mark.parametrize("body", [b"{", b"[1]", b"7", b"\xc3\x28", b'{"a":' * 2000])
def test_a_body_that_is_no_json_object_is_400(stand: Stand, path: str, body: bytes) -> None:
    assert_problem(stand.client.post(path, content=body), 400, "malformed")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        *((method, path, "garbage") for method, path in READS),
        *(("GET", "/accounts", kind) for kind in ("refuse", "drop_request", "truncate", "unauthorized")),
    ],
)
def test_a_redis_that_does_not_answer_as_redis_does_is_503(stand: Stand, method: str, path: str, kind: Kind) -> None:
    stand.redis.bridge.inject(kind, times=1000)
    answer = stand.client.request(method, path)
    assert_problem(answer, 503, "store_down")
    assert int(answer.headers["retry-after"]) > 0
    assert "canary" not in answer.text


@pytest.mark.parametrize("kind", ["refuse", "garbage"])
def test_an_import_that_redis_did_not_take_is_503_and_works_later(stand: Stand, kind: Kind) -> None:
    asked = stand.asked(stand.mailbox())
    stand.redis.bridge.inject(kind, times=1000)
    assert_problem(stand.client.post("/accounts", json=asked), 503, "store_down")
    stand.redis.bridge.reset()
    assert stand.client.post("/accounts", json=asked).status_code in (200, 201)


def test_a_redis_that_is_not_there_is_503(stand_with: Callable[..., Stand], stand: Stand) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        away = Stand(stand.redis, stand.gmail, stand.gmail_url, UPSTASH_REDIS_REST_URL=url)
        away.server.start()
        try:
            for method, path in READS:
                assert_problem(away.client.request(method, path), 503, "store_down")
        finally:
            away.stop()


def test_a_lost_reply_of_redis_loses_nothing(stand: Stand) -> None:
    address = stand.mailbox(3)
    account_id = stand.connect(address)
    for nth in (1, 2, 3):
        stand.redis.bridge.inject("drop_reply", nth=nth, match="EVAL")
    assert stand.sync(account_id)["changes"]["created"] == 3
    assert stand.folded(account_id).keys() == stand.gmail.truth(address).keys()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_answer_is_for_its_caller_alone(stand: Stand, method: str, path: str) -> None:
    answer = stand.client.request(method, path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def dump(stand: Stand) -> tuple[str, str]:
    """Every key's name, and every value but the log's and the message cache's, which are for message content."""
    names, values = [], []
    for name in stand.stored():
        names.append(name)
        kind = str(stand.redis.valkey.call("TYPE", name))
        command: tuple[str | int, ...] = {
            "string": ("GET", name),
            "hash": ("HGETALL", name),
            "set": ("SMEMBERS", name),
            "zset": ("ZRANGE", name, 0, -1),
            "stream": ("XRANGE", name, "-", "+"),
        }[kind]
        if not name.endswith(":log") and ":message:" not in name:
            values.append(repr(stand.redis.valkey.call(*command)))
        else:
            values.append(repr(stand.redis.valkey.call(*command)).replace(CANARY_SENDER, "").replace("canary-", ""))
    return "\n".join(names), "\n".join(values)


def provoke(stand: Stand, address: str, account_id: str, token: str) -> list[httpx.Response]:
    """Everything that could make somebody talk."""
    ask: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/accounts", {"json": {"provider": "gmail", "email": address, "refresh_token": token}}),
        ("POST", "/accounts", {"json": stand.asked(address, email="canary-other@example.com")}),
        ("POST", "/accounts", {"json": stand.asked(address, refresh_token=f"{token}-canary")}),
        ("POST", "/accounts", {"content": f'{{"refresh_token":"{token}"'.encode()}),
        ("GET", f"/accounts/{address}", {}),
        ("GET", f"/accounts/{token.replace('/', '%2F')}", {}),
        ("POST", "/gmail-sync", {"json": {"account_id": address}}),
        ("GET", "/mailbox/changes", {"params": {"account_id": address, "after": token}}),
        ("GET", "/mailbox/changes", {"params": {"account_id": account_id, "after": token}}),
        ("GET", "/mailbox/changes", {"params": {"account_id": account_id, "reader": address}}),
        ("GET", f"/{address}", {}),
        ("GET", "/accounts", {}),
        ("GET", f"/accounts/{account_id}", {}),
        ("GET", "/status/status.json", {}),
    ]
    answers = [stand.client.request(method, path, **more) for method, path, more in ask]
    for kind in ("garbled", "failed_precondition", "backend_error", "too_many"):
        stand.gmail.deliver(address, world.raw(7, CANARY_SUBJECT, From=CANARY_SENDER))
        stand.gmail.set_fault(kind, address=address, times=4)
        answers.append(stand.client.post("/gmail-sync", json={"account_id": account_id}))
        stand.gmail.clear_faults()
        stand.redis.valkey.call("DEL", f"td:{account_id}:hold")
    stand.redis.bridge.inject("garbage", times=4, match="EVAL")
    answers.append(stand.client.post("/gmail-sync", json={"account_id": account_id}))
    stand.redis.bridge.reset()
    stand.redis.valkey.call("DEL", f"td:{account_id}:lease")
    answers.append(stand.client.post("/gmail-sync"))
    stand.gmail.revoke(address)
    answers.append(stand.client.post("/gmail-sync"))
    return answers


def test_no_answer_log_line_key_or_value_holds_what_is_secret(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    """Values: tokens and the owner's address are sealed; message content is in the log and the message cache only."""
    address = f"canary-{stand.mailbox()}"
    stand.gmail.add_mailbox(address)
    body = b"Subject: canary-subject\r\nFrom: canary-sender@example.org\r\n\r\ncanary-snippet\r\n"
    for _ in range(2):
        stand.gmail.deliver(address, body)
    asked = stand.asked(address)
    token = asked["refresh_token"]
    account_id = stand.client.post("/accounts", json=asked).json()["account_id"]
    stand.sync(account_id)
    access = [each for each in stand.gmail.identity._access if each.startswith("ya29")]
    answers = provoke(stand, address, account_id, token)
    names, values = dump(stand)
    logged = "".join(capsys.readouterr())
    assert '"event":"sync_finished"' in logged, "nothing was captured"
    secrets = [token, *access, address, API_KEY, stand.redis.token, world.KEY, stand.gmail.settings.client_secret]
    content = [CANARY_SUBJECT, CANARY_SNIPPET, CANARY_SENDER]
    told = "\n".join(f"{answer.text}\n{answer.headers}" for answer in answers)
    for what in (told, logged, names):
        assert [secret for secret in (*secrets, *content, "canary") if secret in what] == []
    assert [secret for secret in (*secrets, *content) if secret in values] == []
