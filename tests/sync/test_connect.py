"""Connecting a mailbox with a refresh token: the profile is the truth, and the address decides which account it is."""

from dataclasses import replace

import pytest

from shared.core.errors import BadRequest, RetryLater
from shared.sync.connect import Connected, Grant, connect, same_address
from tests.sync.desk import START_S, SleepingClock

GRANT = Grant(
    "refresh-1", "access-1", START_S + 3600, " Robin@Example.com ", lambda snapshot_id: f"cursor{snapshot_id}"
)


class Sealing:
    """Marks what it seals; two keys, so two ways to find an address."""

    def seal(self, plaintext: str, *, account_id: str, provider: str, purpose: str) -> str:
        return f"{account_id}|{provider}|{purpose}|{plaintext}"

    def lookup(self, address: str) -> list[str]:
        return [f"new:{address}", f"old:{address}"]


class Accounts:
    """Accounts by address; `moved`: so often another connection is faster."""

    def __init__(self, *, moved: int = 0, answer: str = "") -> None:
        self.known: dict[str, str] = {}
        self.expected: list[str] = []
        self.stored: dict[str, dict[str, str]] = {}
        self.moved = moved
        self.answer = answer

    async def find(self, provider: str, lookups: list[str]) -> tuple[str, str]:
        assert provider == "gmail"
        for lookup in lookups:
            if lookup in self.known:
                return self.known[lookup], lookup
        return "", lookups[0]

    async def connect(
        self, account_id: str, provider: str, address: str, expected: str, new: dict[str, str], known: dict[str, str]
    ) -> str:
        assert provider == "gmail"
        self.expected.append(expected)
        if self.moved:
            self.moved -= 1
            return "moved"
        if self.answer:
            return self.answer
        fresh = account_id not in self.stored
        self.stored.setdefault(account_id, {}).update(new if fresh else known)
        self.known[address] = account_id
        return "new" if fresh else "known"


class LongTokens(SleepingClock):
    def token(self) -> str:
        return super().token() * 5


async def connected(accounts: Accounts, account_id: str | None = None, grant: Grant = GRANT) -> Connected:
    clock = LongTokens()
    epoch = "e{:.0f}".format
    return await connect("gmail", "u1", account_id, grant, accounts, Sealing(), clock, epoch)  # type: ignore[arg-type]


async def test_a_new_address_is_a_new_account_with_a_pinned_cursor() -> None:
    accounts = Accounts()
    made = await connected(accounts)
    assert made == Connected("acct_token0001token0001to", created=True)
    sealed = f"{made.account_id}|gmail"
    assert accounts.stored[made.account_id] == {
        "refresh": f"{sealed}|refresh|refresh-1",
        "access": f"{sealed}|access|access-1",
        "access_until_s": f"{START_S + 3600:.0f}",
        "email": f"{sealed}|email| Robin@Example.com ",
        "granted_s": f"{START_S:.3f}",
        "provider": "gmail",
        "user_id": "u1",
        "state": "active",
        "reason": "",
        "created_s": f"{START_S:.3f}",
        "epoch": f"e{START_S:.0f}",
        "cursor": "cursor",
        "fence": "0",
        "version": "0",
        "hints": "0",
        "served": "0",
        "index_n": "0",
        "step_released": "0",
        "grant": "1",
        "step": "",
    }
    assert accounts.expected == [""]
    assert accounts.known == {"new:robin@example.com": made.account_id}


async def test_where_the_stream_stands_is_kept_if_it_is_known() -> None:
    accounts = Accounts()
    made = await connected(accounts, grant=replace(GRANT, reached="77"))
    assert accounts.stored[made.account_id]["reached"] == "77"


async def test_a_known_address_goes_on_under_its_old_id_with_its_new_token() -> None:
    accounts = Accounts()
    first = await connected(accounts)
    accounts.stored[first.account_id]["cursor"] = "far along"
    again = await connected(accounts, "crm-1", replace(GRANT, refresh_token="refresh-2"))
    assert again == Connected(first.account_id, created=False)
    fields = accounts.stored[first.account_id]
    assert (fields["cursor"], fields["refresh"]) == ("far along", f"{first.account_id}|gmail|refresh|refresh-2")
    assert accounts.expected == ["", first.account_id]


async def test_an_address_is_found_by_an_older_key_too() -> None:
    accounts = Accounts()
    accounts.known["old:robin@example.com"] = "a7"
    accounts.stored["a7"] = {}
    assert await connected(accounts) == Connected("a7", created=False)


async def test_an_account_that_is_rebuilt_under_its_old_id_is_told_as_a_snapshot() -> None:
    accounts = Accounts()
    assert await connected(accounts, "crm-1") == Connected("crm-1", created=True)
    assert accounts.stored["crm-1"]["cursor"] == "cursorstoken0001tok"


@pytest.mark.parametrize(
    ("answer", "slug", "told"),
    [
        ("taken", "account_id_taken", "this account_id belongs to another mailbox"),
        ("deleting", "deleting", "this account is being deleted; connect it again when it is gone"),
    ],
)
async def test_what_cannot_be_connected_is_told(answer: str, slug: str, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await connected(Accounts(answer=answer))
    assert (caught.value.status, caught.value.slug, str(caught.value)) == (409, slug, told)


async def test_a_connection_that_was_overtaken_looks_again_a_few_times() -> None:
    assert (await connected(Accounts(moved=2))).created
    with pytest.raises(RetryLater, match=r"^the mailbox is being connected elsewhere$") as caught:
        await connected(Accounts(moved=3))
    assert caught.value.after_s == 1.0


def test_addresses_are_the_same_in_any_case() -> None:
    assert same_address(" Robin@Example.com", "robin@example.COM ")
    assert not same_address("robin@example.com", "robin@example.org")
