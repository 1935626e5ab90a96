"""The access token of one mailbox: refreshed once for all who wait, sealed, and nobody blamed for another's trouble."""

import asyncio
from collections.abc import Callable

import pytest

from shared.adapters.access import POLL_S, REFRESH_TTL_S, Access, Refreshed
from shared.adapters.sealing import Sealer
from shared.core.errors import AuthorizationLost, LeaseLost, ProviderDown, RetryLater, Throttled, TidemarkError
from tests.adapters.stored import ACCOUNT, Stored
from tests.sync.desk import START_S

HOUR_S = 3600.0


class Tokens:
    """The provider's token endpoint: numbers its tokens, and fails as told. `on_ask` runs while it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.errors: list[TidemarkError] = []
        self.rotated: str | None = None
        self.on_ask: Callable[[], None] = lambda: None

    async def refresh(self, refresh_token: str) -> Refreshed:
        self.asked.append(refresh_token)
        number = len(self.asked)
        self.on_ask()
        await asyncio.sleep(0.01)
        if self.errors:
            raise self.errors.pop(0)
        return Refreshed(f"access-{number}", START_S + number * HOUR_S, self.rotated)


class Mailbox:
    """`access()` is one instance's view of the stored account."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.tokens = Tokens()
        self.sealer = Sealer(stored.settings.token_encryption_keys)
        stored.call("HSET", stored.of("account"), "refresh", self.sealed("refresh", "refresh-0"))
        stored.call("HSET", stored.of("account"), "access", self.sealed("access", "access-0"))
        self.remembered = stored.field("access")

    def sealed(self, purpose: str, text: str) -> str:
        return self.sealer.seal(text, account_id=ACCOUNT, provider="gmail", purpose=purpose)

    def opened(self, field: str) -> str:
        sealed = self.stored.field(field) or ""
        return self.sealer.open(sealed, account_id=ACCOUNT, provider="gmail", purpose=field)

    def access(self, until_s: float = START_S + HOUR_S) -> Access:
        made = Access(ACCOUNT, "gmail", self.stored.client, self.sealer, self.stored.clock, self.tokens.refresh)
        made.remember(self.remembered, f"{until_s:.0f}")
        return made


@pytest.fixture
def mailbox(stored: Stored) -> Mailbox:
    return Mailbox(stored)


async def test_a_valid_token_is_taken_from_memory(mailbox: Mailbox) -> None:
    access = mailbox.access()
    mailbox.stored.redis.bridge.reset()
    assert [await access.token(), await access.token()] == ["access-0", "access-0"]
    assert (mailbox.tokens.asked, mailbox.stored.redis.bridge.stats.requests) == ([], 0)


@pytest.mark.parametrize("until_s", [0.0, START_S + 59])
async def test_a_token_that_ends_within_a_minute_is_refreshed_and_saved_sealed(
    mailbox: Mailbox, until_s: float
) -> None:
    mailbox.stored.redis.bridge.reset()
    assert await mailbox.access(until_s).token() == "access-1"
    assert mailbox.tokens.asked == ["refresh-0"]
    assert mailbox.stored.redis.bridge.stats.requests == 2
    assert mailbox.opened("access") == "access-1"
    assert "access-1" not in (mailbox.stored.field("access") or "")
    assert mailbox.stored.field("access_until_s") == f"{START_S + HOUR_S:.0f}"
    assert mailbox.stored.call("EXISTS", mailbox.stored.of("refreshing")) == 0


async def test_a_mailbox_without_a_stored_token_gets_one(mailbox: Mailbox) -> None:
    mailbox.stored.call("HDEL", mailbox.stored.of("account"), "access")
    access = mailbox.access()
    access.remember(None, None)
    assert await access.token() == "access-1"


async def test_twenty_callers_refresh_once(mailbox: Mailbox) -> None:
    access = mailbox.access(0.0)
    assert await asyncio.gather(*(access.token() for _ in range(20))) == ["access-1"] * 20
    assert len(mailbox.tokens.asked) == 1


async def test_two_instances_refresh_once(mailbox: Mailbox) -> None:
    instances = [mailbox.access(0.0), mailbox.access(0.0)]
    found = await asyncio.gather(*(each.token() for each in instances for _ in range(20)))
    assert found == ["access-1"] * 40
    assert len(mailbox.tokens.asked) == 1


async def test_a_token_that_the_provider_refused_is_replaced_once(mailbox: Mailbox) -> None:
    access = mailbox.access()
    refused = await access.token()
    await asyncio.gather(*(access.refused(refused) for _ in range(5)))
    assert await access.token() == "access-1"
    assert len(mailbox.tokens.asked) == 1


async def test_a_token_that_another_instance_has_replaced_is_taken_over(mailbox: Mailbox) -> None:
    one, other = mailbox.access(), mailbox.access()
    refused = await one.token()
    assert await other.token() == refused
    await one.refused(refused)
    await other.refused(refused)
    assert await other.token() == "access-1"
    assert len(mailbox.tokens.asked) == 1


async def test_a_rotated_refresh_token_is_saved(mailbox: Mailbox) -> None:
    mailbox.tokens.rotated = "refresh-1"
    await mailbox.access(0.0).token()
    assert mailbox.opened("refresh") == "refresh-1"


async def test_a_refresh_that_was_overtaken_by_a_new_grant_does_not_overwrite_it(mailbox: Mailbox) -> None:
    def reconnected() -> None:
        mailbox.stored.call("HSET", mailbox.stored.of("account"), "grant", "2", "access", "theirs", "refresh", "theirs")

    mailbox.tokens.on_ask, mailbox.tokens.rotated = reconnected, "refresh-1"
    assert await mailbox.access(0.0).token() == "access-1"
    assert (mailbox.stored.field("access"), mailbox.stored.field("refresh")) == ("theirs", "theirs")


async def test_a_lock_whose_owner_died_ends_by_itself(mailbox: Mailbox) -> None:
    mailbox.stored.call("SET", mailbox.stored.of("refreshing"), "dead", "PX", 60_000)
    waits = 0
    sleep = mailbox.stored.clock.sleep

    async def sleeping(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 4:
            mailbox.stored.call("DEL", mailbox.stored.of("refreshing"))
        await sleep(seconds)

    mailbox.stored.clock.sleep = sleeping  # type: ignore[method-assign]
    assert await mailbox.access(0.0).token() == "access-1"
    assert waits == 4
    assert mailbox.stored.clock.slept == [POLL_S] * 4


async def test_a_refresh_that_does_not_end_is_not_waited_for_for_ever(mailbox: Mailbox) -> None:
    mailbox.stored.call("SET", mailbox.stored.of("refreshing"), "slow")
    with pytest.raises(RetryLater):
        await mailbox.access(0.0).token()
    assert sum(mailbox.stored.clock.slept) == 2 * REFRESH_TTL_S


async def test_a_failed_refresh_frees_the_lock(mailbox: Mailbox) -> None:
    mailbox.tokens.errors = [AuthorizationLost("invalid_grant")]
    with pytest.raises(AuthorizationLost):
        await mailbox.access(0.0).token()
    assert mailbox.stored.call("EXISTS", mailbox.stored.of("refreshing")) == 0
    assert await mailbox.access(0.0).token() == "access-2"


async def test_trouble_of_the_token_endpoint_says_nothing_of_the_mail_api(mailbox: Mailbox) -> None:
    mailbox.tokens.errors = [ProviderDown("no answer", 7.0)]
    with pytest.raises(RetryLater) as caught:
        await mailbox.access(0.0).token()
    assert not isinstance(caught.value, ProviderDown)
    assert isinstance(caught.value, Throttled), "a time that it names is kept"
    assert caught.value.after_s == 7.0
    mailbox.tokens.errors = [ProviderDown("no answer")]
    with pytest.raises(RetryLater) as unnamed:
        await mailbox.access(0.0).token()
    assert type(unnamed.value) is RetryLater


async def test_only_the_owner_s_lock_is_freed(mailbox: Mailbox) -> None:
    mailbox.tokens.on_ask = lambda: mailbox.stored.call("SET", mailbox.stored.of("refreshing"), "another")
    mailbox.tokens.errors = [AuthorizationLost("invalid_grant")]
    with pytest.raises(AuthorizationLost):
        await mailbox.access(0.0).token()
    assert mailbox.stored.call("GET", mailbox.stored.of("refreshing")) == b"another"


@pytest.mark.parametrize("kind", ["drop_reply", "drop_request", "truncate", "garbage", "refuse"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_lost_reply_of_redis_costs_no_second_refresh(mailbox: Mailbox, kind: str, nth: int) -> None:
    mailbox.stored.redis.bridge.inject(kind, nth=nth)  # type: ignore[arg-type]
    assert await mailbox.access(0.0).token() == "access-1"
    assert len(mailbox.tokens.asked) == 1
    assert mailbox.opened("access") == "access-1"


async def test_the_token_of_a_deleted_account_is_not_refreshed(mailbox: Mailbox) -> None:
    mailbox.stored.call("DEL", mailbox.stored.of("account"))
    with pytest.raises(LeaseLost):
        await mailbox.access(0.0).token()
    assert mailbox.tokens.asked == []
