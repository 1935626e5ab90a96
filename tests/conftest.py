"""What many tests stand on: one Valkey and one REST bridge for the whole run, empty and without faults for each test.

A test that needs a store asks for `redis`, and gets its address and everything that can be done to it:

    def test_…(redis: RedisRest) -> None:
        client = upstash_redis.Redis(redis.url, redis.token)
        redis.bridge.inject("drop_reply", match="EVAL")
"""

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import coverage
import pytest

from infra.emulators.server import Server
from infra.emulators.upstash_rest import Bridge, create_app
from infra.emulators.valkey import Valkey

TOKEN = "redis-token"
UNIT = tuple(Path(__file__).parent / name for name in ("core", "protocol", "sync"))

# Clients of tests are many, and each would load the same certificates anew: 18 ms, with which no test is concerned.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is not marked as whole shows by itself every branch of core, protocol and sync; the rest runs untraced.

    Those that wait come first, beside what computes, then the long ones: at the end no worker waits for another.
    """
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in UNIT):
            item.add_marker("whole")
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("waits", "whole")])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A `whole` test is not traced, nor are the processes that it starts."""
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    tracer = coverage.Coverage.current() if item.get_closest_marker("whole") else None
    if tracer is None:
        return (yield)
    tracer.stop()
    try:
        return (yield)
    finally:
        tracer.start()


@pytest.fixture(autouse=True)
def nothing_fails_behind_the_answer(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What is done after a sync makes no sync look failed, whatever goes wrong: so it is noticed here."""
    yield
    quiet = ("warming_failed", "delivery_failed")
    failed = [record for record in caplog.get_records("call") if record.msg in quiet and record.levelname == "ERROR"]
    assert not failed, [getattr(record, "tidemark", None) for record in failed]


@dataclass(frozen=True)
class RedisRest:
    """`bridge` has the faults and counters, `valkey` is the store itself, past the bridge."""

    url: str
    token: str
    bridge: Bridge
    valkey: Valkey


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture(scope="session")
def redis_rest(valkey: Valkey) -> Iterator[RedisRest]:
    bridge = create_app(valkey.port, TOKEN)
    with Server(bridge) as server:
        yield RedisRest(server.url, TOKEN, bridge, valkey)


@pytest.fixture
def redis(redis_rest: RedisRest) -> RedisRest:
    redis_rest.valkey.call("FLUSHALL")
    redis_rest.valkey.call("SCRIPT", "FLUSH")
    redis_rest.bridge.reset()
    return redis_rest
