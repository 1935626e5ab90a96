"""Sealing: what is stored opens for its own account and purpose, under any configured key, and not when touched."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters import sealing
from shared.adapters.sealing import SealBroken, Sealer, key_id
from shared.core.errors import ContractBroken

OLD, NEW = bytes([1]) * 32, bytes([2]) * 32
OF = {"account_id": "a-1", "provider": "gmail", "purpose": "refresh"}
TOKEN = "1//0-refresh-token"


@given(st.text())
def test_what_was_sealed_opens(plaintext: str) -> None:
    sealer = Sealer([NEW])
    assert sealer.open(sealer.seal(plaintext, **OF), **OF) == plaintext


def test_the_text_says_version_and_key_and_nothing_of_the_plaintext() -> None:
    version, key, text = Sealer([NEW]).seal(TOKEN, **OF).split(".")
    assert (version, key) == ("v1", key_id(NEW))
    assert len(key) == 8
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_same_text_is_sealed_differently_each_time() -> None:
    assert len({Sealer([NEW]).seal(TOKEN, **OF) for _ in range(50)}) == 50


@pytest.mark.parametrize("name", OF)
def test_a_token_moved_to_another_account_or_purpose_does_not_open(name: str) -> None:
    sealer = Sealer([NEW])
    with pytest.raises(SealBroken):
        sealer.open(sealer.seal(TOKEN, **OF), **{**OF, name: "other"})


@given(place=st.integers(0, 10_000), to=st.characters(min_codepoint=33, max_codepoint=300))
def test_a_touched_text_does_not_open_as_something_else(place: int, to: str) -> None:
    sealer = Sealer([NEW, OLD])
    sealed = sealer.seal(TOKEN, **OF)
    at = place % len(sealed)
    touched = sealed[:at] + to + sealed[at + 1 :]
    try:
        assert sealer.open(touched, **OF) == TOKEN  # the last character has bits that base64 does not use
    except SealBroken as broken:
        said = str(broken)
    else:
        return
    assert said == "a sealed value cannot be opened"


@pytest.mark.parametrize("text", ["", "v1", "v1..", "v1.abcdef01.", f"v1.{key_id(NEW)}.QQ", "v2.x.y", "a.b.c.d", "é"])
def test_what_is_no_seal_does_not_open(text: str) -> None:
    with pytest.raises(SealBroken):
        Sealer([NEW]).open(text, **OF)


def test_after_a_rotation_old_seals_open_and_new_ones_use_the_new_key() -> None:
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    old = before.seal(TOKEN, **OF)
    assert during.open(old, **OF) == TOKEN
    assert not during.is_current(old)
    renewed = during.seal(TOKEN, **OF)
    assert during.is_current(renewed)
    assert after.open(renewed, **OF) == TOKEN
    with pytest.raises(ContractBroken, match="cannot be opened"):
        after.open(old, **OF)


def test_an_address_is_found_across_a_rotation() -> None:
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    address = "ada@example.org"
    assert during.lookup(address) == [*after.lookup(address), *before.lookup(address)]


def test_an_address_is_looked_up_however_it_is_written() -> None:
    sealer = Sealer([NEW])
    [found] = sealer.lookup("ada@example.org")
    assert sealer.lookup(" Ada@EXAMPLE.org ") == [found]
    assert sealer.lookup("bob@example.org") != [found]
    assert len(found) == 64


def test_the_lookup_key_is_hkdf_of_the_sealing_key() -> None:
    expected = HKDF(SHA256(), 32, salt=None, info=sealing.LOOKUP_INFO).derive(NEW)
    assert sealing._derived(NEW) == expected


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, NEW]])
def test_keys_are_checked(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        Sealer(keys)


def test_the_separator_cannot_be_smuggled_into_the_associated_data() -> None:
    with pytest.raises(ValueError, match="separator"):
        Sealer([NEW]).seal(TOKEN, account_id="a|gmail", provider="gmail", purpose="refresh")


def test_a_sealer_shows_key_ids_only() -> None:
    assert repr(Sealer([NEW, OLD])) == f"Sealer({key_id(NEW)}, {key_id(OLD)})"


def test_looking_addresses_up_does_not_import_cryptography() -> None:
    code = "import sys; from shared.adapters.sealing import Sealer; Sealer([bytes(32)]).lookup('a@b'); "
    code += "print('cryptography' in sys.modules)"
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"
