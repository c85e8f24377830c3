"""Lookups in flat, memory-mapped tables: names and addresses to rules.

Names are folded wire format, addresses integers; what a rule means is not known here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from zlib import crc32

from geodns.fastpath.tables import Peers

_LOW64 = 0xFFFFFFFFFFFFFFFF


def find_names(
    name: bytes,
    buckets: Sequence[int],
    name_at: Sequence[int],
    rule_of: Sequence[int],
    blob: memoryview,
    filter_: Sequence[int],
) -> list[tuple[int, int]]:
    """Find every indexed name that equals ``name`` or lies above it, longest first.

    name: folded wire format. buckets: a power of two of bucket starts plus one end; the
    bucket of a name is its hash modulo their count. name_at, rule_of: per entry, the
    offset of its name in blob and its rule. filter_: octets whose bits say which hashes,
    modulo their count (a power of two), are indexed at all. A hash hit is verified against
    the name itself, so a collision can only cost time. The hash is the CRC-32 of the octets
    from the last to the first: one pass from the right gives it for all suffixes.

    Returns (offset of the suffix in ``name``, rule) pairs.
    """
    mask = len(buckets) - 2
    bits = len(filter_) * 8 - 1
    found: list[tuple[int, int]] = []
    at = 0
    last = len(name) - 1
    while at < last:
        suffix = name[at:]
        hashed = crc32(suffix[::-1])
        bit = hashed & bits
        if filter_[bit >> 3] >> (bit & 7) & 1:
            bucket = hashed & mask
            for entry in range(buckets[bucket], buckets[bucket + 1]):
                start = name_at[entry]
                if blob[start : start + len(suffix)] == suffix:
                    found.append((at, rule_of[entry]))
                    break
        at += 1 + name[at]
    return found


def find_network4(address: int, starts: Sequence[int], rules: Sequence[int]) -> int:
    """Return the rule of the segment that holds an IPv4 address, 0 = none.

    starts: first addresses of disjoint segments, ascending; a segment ends before the next.
    """
    at = bisect_right(starts, address) - 1
    return rules[at] if at >= 0 else 0


def last_at_most(high: Sequence[int], low: Sequence[int], address: int) -> int:
    """Index of the last IPv6 start that is not above an address, -1 if all are.

    high, low: the upper and lower 64 bits of ascending starts.
    """
    upper, lower = address >> 64, address & 0xFFFFFFFFFFFFFFFF
    end = bisect_right(high, upper)
    begin = bisect_left(high, upper, 0, end)
    return bisect_right(low, lower, begin, end) - 1


def find_network6(
    address: int, high: Sequence[int], low: Sequence[int], rules: Sequence[int]
) -> int:
    """The same for IPv6; starts are split into their upper and lower 64 bits."""
    at = last_at_most(high, low, address)
    return rules[at] if at >= 0 else 0


def within(peers: Peers | None, width: int, address: int) -> bool:
    """Whether peers hold an address; width: its octets, 4 or 16. Nobody is in None."""
    if peers is None:
        return False
    return (_served4 if width == 4 else _served6)(peers, address)


def _served4(peers: Peers, address: int) -> bool:
    at = bisect_right(peers.first4, address) - 1
    return at >= 0 and address <= peers.last4[at]


def _served6(peers: Peers, address: int) -> bool:
    upper, lower = address >> 64, address & _LOW64
    for at in range(len(peers.first6_upper)):
        first = peers.first6_upper[at], peers.first6_lower[at]
        last = peers.last6_upper[at], peers.last6_lower[at]
        if first <= (upper, lower) <= last:
            return True
    return False
