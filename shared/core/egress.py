"""Which addresses may be connected to where somebody else chose the name: public ones, and no disguise of others.

    IPv4                                   global, and not multicast or reserved
    IPv6 with an IPv4 address inside       judged by that one: mapped ::ffff:0:0/96, NAT64 64:ff9b::/96, 6to4 2002::/16
    other IPv6                             global, and in 2000::/3, the only block that is given out (not so: Teredo)

Judged is the address that is connected to, never the name: a name may resolve to something else a moment later.

Source: https://www.iana.org/assignments/iana-ipv6-special-registry/; RFC 6052 (NAT64), RFC 3056 (6to4)
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

NAT64, UNICAST = IPv6Network("64:ff9b::/96"), IPv6Network("2000::/3")


def is_public(text: str) -> bool:
    """Of an address as a resolver gives it; a scope ("%eth0") belongs to a link, so it is never public."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    inside = address if isinstance(address, IPv4Address) else _inside(address)
    if inside is not None:
        return inside.is_global and not (inside.is_multicast or inside.is_reserved)
    assert isinstance(address, IPv6Address)
    return address.scope_id is None and address in UNICAST and address.is_global


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one end up at."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
