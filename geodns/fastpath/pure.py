"""The lookups of the hot path in plain Python: the specification of the native twin.

Everything here works on flat buffers (memory-mapped sections of a snapshot), knows names as
folded wire format and places as scope classes, and knows nothing of orders.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from zlib import crc32


def find_names(
    name: bytes,
    buckets: Sequence[int],
    name_at: Sequence[int],
    rule_of: Sequence[int],
    blob: memoryview,
) -> list[tuple[int, int]]:
    """Find every indexed name that equals ``name`` or lies above it, longest first.

    name: folded wire format. buckets: a power of two of bucket starts plus one end; the
    bucket of a name is its CRC-32 modulo their count. name_at, rule_of: per entry, the
    offset of its name in blob and its rule. A hash hit is verified against the name itself,
    so a collision can only cost time.

    Returns (offset of the suffix in ``name``, rule) pairs.
    """
    mask = len(buckets) - 2
    found: list[tuple[int, int]] = []
    at = 0
    last = len(name) - 1
    while at < last:
        suffix = name[at:]
        bucket = crc32(suffix) & mask
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


def find_network6(
    address: int, high: Sequence[int], low: Sequence[int], rules: Sequence[int]
) -> int:
    """The same for IPv6; starts are split into their upper and lower 64 bits."""
    upper, lower = address >> 64, address & 0xFFFFFFFFFFFFFFFF
    end = bisect_right(high, upper)
    at = end - 1
    if at >= 0 and high[at] == upper and low[at] > lower:
        begin = end - 1
        while begin > 0 and high[begin - 1] == upper:
            begin -= 1
        at = bisect_right(low, lower, begin, end) - 1
    return rules[at] if at >= 0 else 0
