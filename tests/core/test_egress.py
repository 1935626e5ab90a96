"""Addresses that may be connected to, and the disguises that private ones come in."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.egress import is_public

PRIVATE = (
    *("127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1"),
    *("255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.0.0.1"),
)


@pytest.mark.parametrize("address", ["1.1.1.1", "192.88.98.1", "2606:4700::1111", "2a00:1450:4001::1"])
def test_public_unicast_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_or_reserved_ipv4_address_is(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_nor_is_one_inside_an_ipv6_address(address: str) -> None:
    number = int(IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{high:x}:{low:x}")
    assert not is_public(f"2002:{high:x}:{low:x}::1")
    assert not is_public(f"::{high:x}:{low:x}")


def test_a_public_one_inside_is_public() -> None:
    assert is_public("::ffff:1.1.1.1")
    assert is_public("64:ff9b::101:101")
    assert is_public("2002:101:101::")


@pytest.mark.parametrize(
    "address",
    [
        *("::", "::1", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1"),
        *("2001:db8::1", "2001:0:1::1", "100::1", "64:ff9b:1::a00:1", "4000::1"),
    ],
)
def test_no_other_ipv6_block_is(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "1.1.1", "0x7f.1", "2130706433", "1.1.1.1/8", "[::1]"])
def test_what_is_no_address_is_not(text: str) -> None:
    assert not is_public(text)


@given(st.text(max_size=40))
def test_whatever_it_is_given_there_is_an_answer(text: str) -> None:
    assert is_public(text) in (True, False)
