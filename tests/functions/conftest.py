"""One stand for all tests that need no other settings; the store is empty and nothing broken when a test starts."""

from collections.abc import Callable, Iterator

import pytest

from infra.emulators.gmail import GmailEmulator
from infra.emulators.server import Server
from tests.conftest import RedisRest
from tests.functions.stand import Stand


@pytest.fixture(scope="session")
def gmail_session() -> Iterator[tuple[GmailEmulator, str]]:
    gmail = GmailEmulator()
    with Server(gmail.app) as server:
        yield gmail, server.url
    gmail.close()


@pytest.fixture
def gmail(gmail_session: tuple[GmailEmulator, str]) -> Iterator[GmailEmulator]:
    gmail, _ = gmail_session
    yield gmail
    gmail.clear_faults()
    gmail.identity._html_503_times = 0


@pytest.fixture(scope="session")
def stand_session(redis_rest: RedisRest, gmail_session: tuple[GmailEmulator, str]) -> Iterator[Stand]:
    redis_rest.bridge.reset()
    with Stand(redis_rest, *gmail_session) as stand:
        yield stand


@pytest.fixture
def stand(stand_session: Stand, redis: RedisRest, gmail: GmailEmulator) -> Stand:
    return stand_session


@pytest.fixture
def stand_with(
    redis: RedisRest, gmail: GmailEmulator, gmail_session: tuple[GmailEmulator, str]
) -> Iterator[Callable[..., Stand]]:
    """A stand with settings of its own."""
    made: list[Stand] = []

    def make(**settings: str) -> Stand:
        made.append(Stand(redis, gmail, gmail_session[1], **settings).start())
        return made[-1]

    yield make
    for each in made:
        each.stop()
