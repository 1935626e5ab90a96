"""The bridge answers as Upstash does: what its official clients' own suites demand; then every fault, one by one."""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import upstash_redis
import upstash_redis.asyncio
from upstash_redis.errors import UpstashError

from infra.emulators.resp import Decoder, ReplyError
from infra.emulators.upstash_faults import Fault, Kind
from infra.emulators.upstash_lua import rewrite
from tests.conftest import RedisRest

ROOT = Path(__file__).parents[2]
LOCKED = "#!lua flags=allow-key-locking\n"


@pytest.fixture(scope="module")
def shared_http(redis_rest: RedisRest) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {redis_rest.token}"}
    with httpx.Client(base_url=redis_rest.url, headers=headers, timeout=5) as client:
        yield client


@pytest.fixture(scope="module")
def shared_client(redis_rest: RedisRest) -> Iterator[upstash_redis.Redis]:
    with upstash_redis.Redis(redis_rest.url, redis_rest.token, rest_retries=0, allow_telemetry=False) as client:
        yield client


@pytest.fixture
def http(redis: RedisRest, shared_http: httpx.Client) -> httpx.Client:
    """Speaks HTTP and nothing else, with the token; shared, as a new client costs more than a test."""
    return shared_http


@pytest.fixture
def client(redis: RedisRest, shared_client: upstash_redis.Redis) -> upstash_redis.Redis:
    return shared_client


@pytest.fixture
async def aclient(redis: RedisRest) -> AsyncIterator[upstash_redis.asyncio.Redis]:
    async with upstash_redis.asyncio.Redis(redis.url, redis.token, rest_retries=0, allow_telemetry=False) as client:
        yield client


# --- one command -----------------------------------------------------------------------------------------------------


def test_the_official_client_reads_what_it_wrote(client: upstash_redis.Redis) -> None:
    assert client.set("key", "wért ✓", ex=100)
    assert client.get("key") == "wért ✓"
    assert not client.set("key", "other", nx=True)
    assert client.hset("hash", values={"a": 1, "b": "two"}) == 2
    assert client.hgetall("hash") == {"a": "1", "b": "two"}
    assert client.zadd("z", {"m": 1.5}) == 1
    assert client.zscore("z", "m") == 1.5
    assert client.xadd("log", "*", {"n": 1})
    assert client.xlen("log") == 1
    assert client.get("nothing") is None


async def test_the_asyncio_client_too(aclient: upstash_redis.asyncio.Redis) -> None:
    results = await asyncio.gather(*(aclient.incr("counter") for _ in range(20)))
    assert sorted(results) == list(range(1, 21))


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (["SET", "k", "v"], "OK"),
        (["GET", "k"], None),
        (["EXISTS", "k"], 0),
        (["ECHO", "plain"], "plain"),
        (["PING"], "PONG"),
        (["EVAL", "return {1, 'two', false, 3.9, true, {}}", 0], [1, "two", None, 3, 1, []]),
        (["EVAL", "redis.call('HSET', 'h', 'a', '1') return redis.call('HGETALL', 'h')", "0"], ["a", "1"]),
        (["INCRBYFLOAT", "f", "1.5"], "1.5"),
        (["ZINCRBY", "z", "0.1", "m"], "0.1"),
    ],
)
def test_replies_are_those_of_resp2(http: httpx.Client, command: list[Any], result: Any) -> None:
    answer = http.post("/", json=command)
    assert (answer.status_code, answer.json()) == (200, {"result": result})
    assert answer.headers["content-type"] == "application/json"


def test_numbers_and_booleans_arrive_as_they_were_written(http: httpx.Client) -> None:
    http.post("/", content='["RPUSH", "l", 12345678901234567890123, 1.50, 1e3, -0, true, false]')
    written = http.post("/", json=["LRANGE", "l", 0, -1]).json()["result"]
    assert written == ["12345678901234567890123", "1.50", "1e3", "-0", "true", "false"]


def test_bytes_that_are_not_utf8_are_replaced_unless_base64_is_asked_for(http: httpx.Client) -> None:
    http.post("/set/raw", content=b"\xff\x00a")
    assert http.post("/", json=["GET", "raw"]).json() == {"result": "\ufffd\x00a"}
    encoded = http.post("/", json=["GET", "raw"], headers={"Upstash-Encoding": "base64"}).json()
    assert base64.b64decode(encoded["result"]) == b"\xff\x00a"


def test_base64_encodes_every_string_but_the_status_ok(http: httpx.Client) -> None:
    def b64(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    commands = [["SET", "k", "OK"], ["GET", "k"], ["TYPE", "k"], ["MGET", "k", "none"], ["STRLEN", "k"], ["INCR", "k"]]
    answer = http.post("/pipeline", json=commands, headers={"Upstash-Encoding": "base64"})
    assert answer.json() == [
        {"result": "OK"},
        {"result": b64("OK")},
        {"result": b64("string")},
        {"result": [b64("OK"), None]},
        {"result": 2},
        {"error": "ERR value is not an integer or out of range"},
    ]


def test_a_lone_surrogate_becomes_the_replacement_character(http: httpx.Client) -> None:
    assert http.post("/", content=rb'["ECHO", "a\ud800b"]').json() == {"result": "a\ufffdb"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('["GET"]', "ERR wrong number of arguments for 'get' command"),
        ('["NOSUCH", "a"]', "ERR unknown command 'NOSUCH', with args beginning with: 'a' "),
        ('["LPUSH", "text", "x"]', "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ('["EVALSHA", "abc", 0]', "NOSCRIPT No matching script."),
        ("", "ERR failed to parse command"),
        ("[", "ERR failed to parse command"),
        ('{"a": 1}', "ERR failed to parse command"),
        ('["GET", NaN]', "ERR failed to parse command"),
        ("[" * 100_000, "ERR failed to parse command"),
        ("[]", "ERR empty command"),
        ('["SET", "k", null]', "ERR null args are not supported"),
        ('["SET", "k", {"a": 1}]', 'ERR unsupported arg type: "{": json.Delim'),
        ('["SET", "k", [1]]', 'ERR unsupported arg type: "[": json.Delim'),
        ('["BLPOP", "k", 0]', "ERR Command is not available: 'BLPOP'"),
        ('["xread", "BLOCK", 0, "STREAMS", "k", "$"]', "ERR Command is not available: 'XREAD'"),
        ('["MULTI"]', "ERR Command is not available: 'MULTI'"),
    ],
)
def test_an_error_is_400_with_its_text(http: httpx.Client, body: str, error: str) -> None:
    http.post("/", json=["SET", "text", "value"])
    answer = http.post("/", content=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].startswith(error)


def test_the_official_client_raises_the_servers_own_text(client: upstash_redis.Redis) -> None:
    client.set("k", "v")
    with pytest.raises(UpstashError, match=r"^ERR value is not an integer or out of range$"):
        client.incr("k")


# --- path style ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_command_may_be_the_path(http: httpx.Client, method: str) -> None:
    assert http.request(method, "/set/k/a%2Fb%20c").json() == {"result": "OK"}
    assert http.request(method, "/get/k").json() == {"result": "a/b c"}
    assert http.head("/get/k").status_code == 200


def test_the_body_is_the_last_argument_of_the_path_and_the_query_comes_after_it(http: httpx.Client) -> None:
    assert http.post("/set/k?EX=100&NX", content=b'{"raw": [1]}').json() == {"result": "OK"}
    assert http.get("/get/k").json() == {"result": '{"raw": [1]}'}
    assert 0 < http.get("/ttl/k").json()["result"] <= 100


def test_the_token_may_be_in_the_query(redis: RedisRest) -> None:
    answer = httpx.get(f"{redis.url}/set/k/v?EX=100&_token={redis.token}")
    assert (answer.status_code, answer.json()) == (200, {"result": "OK"})
    assert redis.valkey.call("GET", "k") == b"v"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic cmVkaXM="}])
@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec", "/set/k/v", "/subscribe/c"])
def test_a_wrong_or_missing_token_is_401_and_runs_nothing(redis: RedisRest, headers: dict[str, str], path: str) -> None:
    answer = httpx.post(redis.url + path, headers=headers, content='[["SET", "k", "v"]]')
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("WRONGPASS invalid or missing auth token")
    assert redis.valkey.call("DBSIZE") == 0


def test_another_method_is_405(http: httpx.Client) -> None:
    assert http.delete("/set/k/v").status_code == 405


# --- several commands ------------------------------------------------------------------------------------------------


def test_a_pipeline_has_an_item_for_each_command(http: httpx.Client, client: upstash_redis.Redis) -> None:
    commands = [["SET", "k", "v"], ["INCR", "k"], ["BLPOP", "k", 1], ["GET", "k"]]
    answer = http.post("/pipeline", json=commands)
    assert answer.status_code == 200
    assert [list(item) for item in answer.json()] == [["result"], ["error"], ["error"], ["result"]]
    pipeline = client.pipeline()
    pipeline.set("a", 1)
    pipeline.incr("a")
    assert pipeline.exec() == [True, 2]


def test_a_transaction_runs_on_after_a_command_that_failed(http: httpx.Client, client: upstash_redis.Redis) -> None:
    answer = http.post("/multi-exec", json=[["SET", "k", "v"], ["INCR", "k"], ["SET", "k", "w"]])
    error = {"error": "ERR value is not an integer or out of range"}
    assert (answer.status_code, answer.json()) == (200, [{"result": "OK"}, error, {"result": "OK"}])
    transaction = client.multi()
    transaction.set("a", "1")
    transaction.get("a")
    assert transaction.exec() == [True, "1"]


@pytest.mark.parametrize("bad", [["GET"], ["NOSUCH"], ["WATCH", "k"], ["BLPOP", "k", 0]])
def test_a_transaction_that_cannot_be_queued_runs_nothing(redis: RedisRest, http: httpx.Client, bad: list[Any]) -> None:
    answer = http.post("/multi-exec", json=[["SET", "k", "v"], bad])
    assert answer.status_code == 400
    assert answer.json() == {"error": "EXECABORT Transaction discarded because of previous errors."}
    assert redis.valkey.call("DBSIZE") == 0
    assert http.post("/multi-exec", json=[["SET", "k", "v"]]).json() == [{"result": "OK"}]


@pytest.mark.parametrize("path", ["/pipeline", "/multi-exec"])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("nonsense", "ERR failed to parse pipeline request"),
        ('["SET", "k", "v"]', "ERR failed to parse pipeline request"),
        ("[]", "ERR empty pipeline request"),
        ('[["SET", "k", "v"], []]', "ERR empty command"),
        ('[["SET", "k", "v"], ["SET", "k", null]]', "ERR null args are not supported"),
    ],
)
def test_a_malformed_batch_is_refused_whole(
    redis: RedisRest, http: httpx.Client, path: str, body: str, error: str
) -> None:
    answer = http.post(path, content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert redis.valkey.call("DBSIZE") == 0


async def test_transactions_of_many_requests_do_not_mix(redis: RedisRest) -> None:
    headers = {"Authorization": f"Bearer {redis.token}"}
    async with httpx.AsyncClient(base_url=redis.url, headers=headers) as client:
        body = [["INCR", "a"], ["INCR", "a"], ["GET", "a"]]
        answers = await asyncio.gather(*(client.post("/multi-exec", json=body) for _ in range(30)))
    for answer in answers:
        first, second, third = (item["result"] for item in answer.json())
        assert (second, third) == (first + 1, str(first + 1))


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_a_script_with_key_locking_runs(client: upstash_redis.Redis) -> None:
    script = LOCKED + "redis.call('SET', KEYS[1], ARGV[1]) return redis.pcall('GET', KEYS[1])"
    assert client.eval(script, keys=["k"], args=["v"]) == "v"
    locked_and_read_only = "#!lua flags=no-writes,allow-key-locking\nreturn server.call('GET', KEYS[1])"
    assert client.eval_ro(locked_and_read_only, keys=["k"]) == "v"


@pytest.mark.parametrize(
    "call",
    [
        "redis.call('GET', 'other')",
        "redis.pcall('GET', 'other')",
        "server.call('SET', ARGV[1], 1)",
        "redis.call('MSET', KEYS[1], 1, 'other', 2)",
        "redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], 'other', 0, 0)",
        "redis.call('ZUNIONSTORE', KEYS[1], 2, KEYS[1], 'other')",
        "redis.call('RENAME', KEYS[1], 'other')",
        "redis.call('hset', 'other', 'f', 1)",
    ],
)
def test_a_key_that_is_not_in_keys_ends_a_script_with_key_locking(
    redis: RedisRest, client: upstash_redis.Redis, call: str
) -> None:
    with pytest.raises(UpstashError, match=r"^ERR Script attempted to access a non local key 'other'"):
        client.eval(f"{LOCKED}{call} return 'ran'", keys=["k"], args=["other"])
    assert redis.valkey.call("DBSIZE") == 0


@pytest.mark.parametrize("shebang", ["", "#!lua\n", "#!lua flags=no-writes\n"])
def test_a_script_without_key_locking_may_touch_any_key(client: upstash_redis.Redis, shebang: str) -> None:
    client.set("other", "v")
    assert client.eval(shebang + "return redis.call('GET', 'other')", keys=["k"]) == "v"


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB", "DBSIZE", "RANDOMKEY"])
def test_a_script_with_key_locking_may_not_use_the_whole_database(client: upstash_redis.Redis, command: str) -> None:
    with pytest.raises(UpstashError, match="not allowed with allow-key-locking"):
        client.eval(f"{LOCKED}return redis.call('{command}')", keys=["k"])


def test_commands_without_keys_are_allowed_in_a_script_with_key_locking(client: upstash_redis.Redis) -> None:
    assert client.eval(LOCKED + "redis.call('TIME') return redis.call('ECHO', redis.sha1hex(''))") is not None


def test_an_error_in_a_script_with_key_locking_names_the_authors_line(client: upstash_redis.Redis) -> None:
    with pytest.raises(UpstashError, match="user_script:4: attempt to index"):
        client.eval(LOCKED + "local a = nil\n\nreturn a.b")


def test_a_script_is_known_by_the_digest_of_the_clients_own_text(client: upstash_redis.Redis) -> None:
    loaded, sent = LOCKED + "return KEYS[1]", "#!lua flags=no-writes,allow-key-locking\nreturn ARGV[1]"
    digest = client.script_load(loaded)
    assert digest == hashlib.sha1(loaded.encode(), usedforsecurity=False).hexdigest()
    client.eval(sent, args=["x"])
    sent_digest = hashlib.sha1(sent.encode(), usedforsecurity=False).hexdigest()
    assert client.script_exists(digest, sent_digest, "0" * 40) == [True, True, False]
    assert client.evalsha(digest, keys=["k"]) == "k"
    assert client.evalsha_ro(sent_digest.upper(), args=["y"]) == "y"
    client.script_flush()
    with pytest.raises(UpstashError, match=r"^NOSCRIPT"):
        client.evalsha(digest, keys=["k"])


@pytest.mark.parametrize(
    "script", [b"return 1", b"#!lua\nreturn 1", b"#!lua flags=no-writes\nreturn 1", b"-- allow-key-locking\nreturn 1"]
)
def test_a_script_without_the_flag_is_sent_as_it_is(script: bytes) -> None:
    assert rewrite(script) is script


# --- HTTP ------------------------------------------------------------------------------------------------------------


def test_every_answer_has_a_new_sync_token(http: httpx.Client) -> None:
    answers = [http.post("/", json=["PING"]), http.post("/", json=["NOSUCH"]), http.post("/pipeline", json=[["PING"]])]
    assert len({answer.headers["upstash-sync-token"] for answer in answers}) == 3


def test_the_connection_stays_open_between_requests(http: httpx.Client) -> None:
    streams = {id(http.get("/ping").extensions["network_stream"]) for _ in range(3)}
    assert len(streams) == 1


@pytest.mark.parametrize(
    ("path", "events"),
    [
        ("/subscribe/chat", ["subscribe,chat,1", 'message,chat,{"n": 1}']),
        ("/psubscribe/ch*", ["psubscribe,ch*,1", 'pmessage,ch*,chat,{"n": 1}']),
    ],
)
def test_a_subscription_is_a_stream_of_events(http: httpx.Client, path: str, events: list[str]) -> None:
    with http.stream("POST", path, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = (line for line in answer.iter_lines() if line)
        seen = [next(lines)]
        http.post("/", json=["PUBLISH", "chat", '{"n": 1}'])
        seen.append(next(lines))
    assert seen == [f"data: {event}" for event in events]


def test_the_monitor_is_a_stream_of_commands(http: httpx.Client) -> None:
    with http.stream("GET", "/monitor") as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert next(lines) == 'data: "OK"'
        http.post("/", json=["GET", "k"])
        assert next(lines).endswith('"GET" "k"')


def test_a_store_that_is_gone_is_503_and_back_when_it_is_back(redis: RedisRest, http: httpx.Client) -> None:
    redis.bridge.valkey_port, port = 1, redis.bridge.valkey_port
    try:
        redis.valkey.call("CLIENT", "KILL", "TYPE", "normal")
        answers = [http.post("/", json=["PING"]) for _ in range(2)]
    finally:
        redis.bridge.valkey_port = port
    assert answers[-1].status_code == 503
    assert answers[-1].headers["content-type"].startswith("text/html")
    assert http.post("/", json=["PING"]).json() == {"result": "PONG"}


def test_replies_may_be_cut_anywhere() -> None:
    wire = b"+OK\r\n:-1\r\n$-1\r\n*3\r\n$2\r\n\r\n\r\n*1\r\n*0\r\n-ERR no\r\n$0\r\n\r\n*-1\r\n"
    decoder = Decoder()
    replies = [reply for byte in wire for reply in decoder.feed(bytes([byte]))]
    assert Decoder().feed(wire)[:3] == replies[:3] == ["OK", -1, None]
    assert isinstance(replies[3], list)
    assert replies[3][:2] == [b"\r\n", [[]]]
    assert isinstance(replies[3][2], ReplyError)
    assert replies[4:] == [b"", None]


# --- faults and counters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "applied", "seen"),
    [
        ("drop_request", False, httpx.RemoteProtocolError),
        ("drop_reply", True, httpx.RemoteProtocolError),
        ("truncate", True, httpx.RemoteProtocolError),
        ("garbage", True, json.JSONDecodeError),
        ("refuse", False, json.JSONDecodeError),
        ("unauthorized", False, UpstashError),
    ],
)
def test_a_fault_strikes_once_and_then_all_is_well(
    redis: RedisRest, client: upstash_redis.Redis, kind: Kind, applied: bool, seen: type[Exception]
) -> None:
    fault = redis.bridge.inject(kind)
    with pytest.raises(seen):
        client.incr("k")
    assert redis.valkey.call("GET", "k") == (b"1" if applied else None)
    assert client.incr("k") == 1 + applied
    assert (fault.seen, fault.struck) == (2, 1)


def test_a_lost_reply_sends_not_one_byte(redis: RedisRest, http: httpx.Client) -> None:
    redis.bridge.inject("drop_reply")
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending a response"):
        http.post("/", json=["PING"])


async def test_the_asyncio_client_repeats_what_it_lost_and_so_counts_twice(redis: RedisRest) -> None:
    """Why Tidemark sets `rest_retries=0` (facts, platform §2b)."""
    redis.bridge.inject("drop_reply")
    async with upstash_redis.asyncio.Redis(redis.url, redis.token, rest_retry_interval=0) as client:
        assert await client.incr("k") == 2


def test_a_refusal_is_503_with_html(redis: RedisRest, http: httpx.Client) -> None:
    redis.bridge.inject("refuse")
    answer = http.post("/", json=["PING"])
    assert (answer.status_code, answer.text[:15]) == (503, "<!DOCTYPE html>")


def test_a_hang_is_an_answer_that_comes_late(redis: RedisRest, http: httpx.Client) -> None:
    redis.bridge.inject("hang", hang_s=0.3)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/", json=["INCR", "k"], timeout=0.1)
    redis.bridge.inject("hang", hang_s=0.05)
    assert http.post("/", json=["INCR", "k"], timeout=2).json() == {"result": 2}


def test_latency_is_added_to_every_request(redis: RedisRest, http: httpx.Client) -> None:
    redis.bridge.latency_ms = 50
    began_s = time.monotonic()
    http.post("/", json=["PING"])
    assert time.monotonic() - began_s >= 0.05


def test_a_fault_can_wait_for_the_nth_request_that_matches(redis: RedisRest, http: httpx.Client) -> None:
    redis.bridge.inject("refuse", match="append-step", nth=2, times=2)
    requests = [["PING"], ["ECHO", "APPEND-STEP"], ["ECHO", "append-step"], ["PING"], ["ECHO", "append-step"]]
    statuses = [http.post("/", json=request).status_code for request in [*requests, ["ECHO", "append-step"]]]
    assert statuses == [200, 200, 503, 200, 503, 200]


def test_a_fault_can_match_by_a_function_over_the_commands(redis: RedisRest, http: httpx.Client) -> None:
    redis.bridge.inject("refuse", match=lambda commands: len(commands) > 1)
    assert http.post("/", json=["PING"]).status_code == 200
    assert http.post("/pipeline", json=[["PING"], ["PING"]]).status_code == 503


@pytest.mark.parametrize("wrong", [{"kind": "nosuch"}, {"kind": "hang", "nth": 0}, {"kind": "hang", "times": 0}])
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no fault is called|start at 1"):
        Fault(**wrong)


def test_requests_commands_and_bytes_are_counted(redis: RedisRest, http: httpx.Client) -> None:
    first = http.post("/", json=["set", "k", "v"])
    second = http.post("/pipeline", json=[["GET", "k"], ["GET", "k"]])
    redis.bridge.inject("refuse")
    third = http.post("/", json=["GET", "k"])
    stats = redis.bridge.stats
    assert (stats.requests, stats.commands, stats.by_command) == (3, 3, {"SET": 1, "GET": 2})
    assert stats.bytes_in == sum(len(answer.request.content) for answer in (first, second, third))
    assert stats.bytes_out == sum(len(answer.content) for answer in (first, second, third))


def test_another_process_has_the_same_switches_over_http(redis: RedisRest, http: httpx.Client) -> None:
    with httpx.Client(base_url=f"{redis.url}/_admin") as admin:
        http.post("/pipeline", json=[["SET", "a", 1], ["SET", "b", 1]])
        assert admin.get("/stats").json()["by_command"] == {"SET": 2}
        admin.post("/delete", json={"key": "a"})
        assert redis.valkey.call("KEYS", "*") == [b"b"]
        admin.post("/flush")
        assert redis.valkey.call("DBSIZE") == 0
        assert admin.post("/faults", json={"kind": "refuse", "match": "get"}).json()[0]["match"] == "get"
        assert [http.get("/get/a").status_code for _ in range(2)] == [503, 200]
        assert admin.get("/faults").json()[0]["struck"] == 1
        admin.post("/latency", json={"ms": 1})
        assert redis.bridge.latency_ms == 1
        admin.post("/reset")
        assert (redis.bridge.faults, redis.bridge.latency_ms, redis.bridge.stats.requests) == ([], 0, 0)
        assert admin.post("/faults", json={"kind": "nosuch"}).status_code == 400
        assert admin.post("/faults", content="[1]").status_code == 400
        assert admin.get("/nosuch").status_code == 404


def test_it_runs_on_its_own_and_stops_when_told_to() -> None:
    command = [sys.executable, "-m", "infra.emulators.upstash_rest", "--token", "t"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("UPSTASH_REDIS_REST_URL=")
        answer = httpx.get(f"{url}/ping?_token=t")
        process.terminate()
    assert answer.json() == {"result": "PONG"}
    assert process.returncode == 0
