"""How large the change log may become, and whom it waits for, over the real bridge."""

import pytest

from shared.core.errors import BadRequest
from shared.sync.ports import Begun
from tests.adapters.stored import ACCOUNT, ENTRY_BYTES, EVENT, Stored
from tests.conftest import RedisRest
from tests.simulation.rest import MemoryRest


async def filled(stored: Stored, entries: int) -> Begun:
    begun = await stored.begin()
    await stored.append(begun, f"{begun.fence}.1", events=[EVENT] * entries)
    return begun


@pytest.fixture
async def small(either: RedisRest | MemoryRest) -> Stored:
    made = Stored(either, LOG_RETENTION_BYTES=str(65536))
    await made.connect()
    return made


FULL = 65536 // ENTRY_BYTES - 1


async def test_the_log_is_trimmed_by_its_bytes(small: Stored) -> None:
    begun = await filled(small, FULL)
    oldest = small.log()[0][0]
    assert oldest == 1
    await small.append(begun, "1.2", events=[EVENT] * 10)
    kept = small.log()
    assert kept[-1][0] == FULL + 11
    assert kept[0][0] > 1
    stored_bytes = int(small.field("log_bytes") or 0)
    assert stored_bytes <= 65536
    assert stored_bytes == sum(ENTRY_BYTES for _ in kept)
    await small.client.close()


async def test_the_log_is_trimmed_by_age(stored: Stored) -> None:
    begun = await filled(stored, 3)
    stored.clock.at_s += 6 * 86400
    await stored.append(begun, "1.2", events=[EVENT])
    assert [seq for seq, _ in stored.log()] == [1, 2, 3, 4, 5]
    stored.clock.at_s += 2 * 86400
    await stored.append(begun, "1.3", events=[EVENT])
    assert [seq for seq, _ in stored.log()] == [5, 6]


async def test_backfill_never_pushes_out_what_a_reader_has_not_passed(small: Stored) -> None:
    begun = await filled(small, FULL)
    await small.accounts.changes(ACCOUNT, "app", "e1.5", 10)
    refused = await small.append(
        begun, "1.2", events=[EVENT] * 10, index={"m": "v"}, fields={"cursor": "c1"}, pausable=True
    )
    assert refused.log_full
    assert (small.field("cursor"), small.field("index_n"), begun.version) == ("c0", "0", 1)
    assert len(small.log()) == FULL + 1
    await small.accounts.changes(ACCOUNT, "app", f"e1.{FULL}", 10)
    assert not (await small.append(begun, "1.3", events=[EVENT] * 10, pausable=True)).log_full
    await small.client.close()


async def test_live_changes_are_always_written(small: Stored) -> None:
    begun = await filled(small, FULL)
    await small.accounts.changes(ACCOUNT, "app", "e1.5", 10)
    assert not (await small.append(begun, "1.2", events=[EVENT] * 10)).log_full
    await small.client.close()


async def test_a_reader_that_was_not_seen_for_a_day_holds_nothing_up(small: Stored) -> None:
    begun = await filled(small, FULL)
    await small.accounts.changes(ACCOUNT, "app", "e1.5", 10)
    small.clock.at_s += 86_401
    assert not (await small.append(begun, "1.2", events=[EVENT] * 10, pausable=True)).log_full
    await small.client.close()


async def test_a_reader_that_the_log_has_left_behind_holds_nothing_up(small: Stored) -> None:
    begun = await filled(small, 2)
    await small.accounts.changes(ACCOUNT, "app", "e1.0", 1)
    await small.append(begun, "1.2", events=[EVENT] * FULL)
    assert small.log()[0][0] > 1
    assert not (await small.append(begun, "1.3", events=[EVENT] * 10, pausable=True)).log_full
    await small.client.close()


async def test_a_reader_that_is_refused_is_waited_for_again(small: Stored) -> None:
    begun = await filled(small, 2)
    await small.append(begun, "1.2", events=[EVENT] * FULL)
    with pytest.raises(BadRequest):
        await small.accounts.changes(ACCOUNT, "app", "e1.0", 1)
    assert (await small.append(begun, "1.3", events=[EVENT] * 10, pausable=True)).log_full
    await small.client.close()


async def test_live_changes_push_out_no_more_unread_than_they_bring(small: Stored) -> None:
    """A step larger than the log may be stays whole until it is read."""
    begun = await filled(small, 2)
    await small.append(begun, "1.2", events=[EVENT] * FULL * 3, pausable=True)
    await small.accounts.changes(ACCOUNT, "app", "e1.3", 1)
    before = len(small.log())
    await small.append(begun, "1.3", events=[EVENT])
    assert len(small.log()) == before
    await small.accounts.changes(ACCOUNT, "app", f"e1.{FULL * 3}", 1)
    await small.append(begun, "1.4", events=[EVENT])
    assert len(small.log()) <= FULL + 1
    await small.client.close()


async def test_a_begin_says_whether_the_log_still_waits(small: Stored) -> None:
    begun = await filled(small, FULL)
    await small.accounts.changes(ACCOUNT, "app", "e1.5", 10)
    await small.append(begun, "1.2", events=[EVENT] * 10, pausable=True)
    assert (await small.begin()).log_waits
    await small.accounts.changes(ACCOUNT, "app", "e1.8", 10)
    assert (await small.begin()).log_waits, "not far enough"
    await small.accounts.changes(ACCOUNT, "app", f"e1.{FULL // 2}", 10)
    begun = await small.begin()
    assert not begun.log_waits
    assert not (await small.append(begun, "2.1", events=[EVENT] * 10, pausable=True)).log_full
    await small.client.close()


async def test_a_quarter_of_the_log_is_for_live_changes(small: Stored) -> None:
    begun = await filled(small, FULL // 2)
    await small.accounts.changes(ACCOUNT, "app", "e1.0", 1)
    assert not (await small.append(begun, "1.2", events=[EVENT] * (FULL // 5), pausable=True)).log_full
    assert (await small.append(begun, "1.3", events=[EVENT] * (FULL // 5), pausable=True)).log_full
    await small.append(begun, "1.4", events=[EVENT] * (FULL // 5))
    assert small.log()[0][0] == 1
    await small.client.close()
