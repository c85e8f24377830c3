"""Addresses that belong to nobody's country: special-use networks.

Source: the IANA special-purpose address registries of RFC 6890 (IPv4 and IPv6), with
multicast (RFC 5771, RFC 4291) and the networks that embed an IPv4 address.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from operator import itemgetter

_NETWORKS = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
::/8 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32 2002::/16
2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
"""


@cache
def networks(version: int) -> tuple[tuple[int, int, int], ...]:
    """The special-use networks of an IP version as (first, last, prefix length), ascending.

    None lies inside another.
    """
    found: list[tuple[int, int, int]] = []
    for network in _listed(version):
        first, last = int(network.network_address), int(network.broadcast_address)
        if not found or first > found[-1][1]:
            found.append((first, last, network.prefixlen))
    return tuple(found)


def _listed(version: int) -> list[IPv4Network | IPv6Network]:
    """The larger of two that begin together comes first."""
    listed = [ip_network(text) for text in _NETWORKS.split()]
    return sorted(
        (network for network in listed if network.version == version),
        key=lambda network: (int(network.network_address), network.prefixlen),
    )


def is_special(version: int, address: int) -> bool:
    """Whether an address (an integer) lies in a special-use network."""
    known = networks(version)
    at = bisect_right(known, address, key=itemgetter(0)) - 1
    return at >= 0 and address <= known[at][1]
