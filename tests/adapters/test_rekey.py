"""Sealing anew after a rotation: once, only what is old, and nothing that has changed meanwhile."""

from shared.adapters.rekey import rekeyed
from shared.adapters.sealing import Sealer
from tests.adapters.stored import ACCOUNT, Stored

OLD, NEW = b"o" * 32, b"n" * 32
OF = {"account_id": ACCOUNT, "provider": "gmail"}


async def sealed_by_the_old(stored: Stored) -> dict[str, str]:
    old = Sealer([OLD])
    fields = {name: old.seal(f"the {name}", **OF, purpose=name) for name in ("refresh", "access", "email")}
    fields["address"] = f"gmail|{old.lookup('the email')[0]}"
    stored.call("HSET", stored.of("account"), *(part for pair in fields.items() for part in pair))
    stored.call("HSET", "td:addresses", fields["address"], ACCOUNT)
    return await stored.accounts.fields(ACCOUNT)


async def test_what_is_current_costs_nothing(stored: Stored) -> None:
    fields = await sealed_by_the_old(stored)
    stored.redis.bridge.reset()
    assert await rekeyed(ACCOUNT, "gmail", fields, Sealer([OLD, NEW]), stored.client) == fields
    assert stored.redis.bridge.stats.requests == 0


async def test_what_has_changed_meanwhile_is_left_as_it_is(stored: Stored) -> None:
    fields = await sealed_by_the_old(stored)
    stored.call("HSET", stored.of("account"), "access", "another instance's")
    both = Sealer([NEW, OLD])
    await rekeyed(ACCOUNT, "gmail", fields, both, stored.client)
    assert stored.field("access") == "another instance's"
    assert both.is_current(stored.field("refresh") or "")
    new = f"gmail|{both.lookup('the email')[0]}"
    assert stored.field("address") == new
    assert stored.call("HGET", "td:addresses", new) == ACCOUNT.encode()
    assert stored.call("HEXISTS", "td:addresses", fields["address"]) == 0


async def test_an_account_that_is_being_deleted_is_not_touched(stored: Stored) -> None:
    fields = await sealed_by_the_old(stored)
    stored.call("HSET", stored.of("account"), "state", "deleting")
    await rekeyed(ACCOUNT, "gmail", fields, Sealer([NEW, OLD]), stored.client)
    assert stored.field("refresh") == fields["refresh"]


async def test_what_no_key_opens_is_left_for_who_needs_it(stored: Stored) -> None:
    fields = await sealed_by_the_old(stored)
    assert await rekeyed(ACCOUNT, "gmail", fields, Sealer([NEW]), stored.client) == fields
