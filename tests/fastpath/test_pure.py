"""Lookups in flat buffers against the plainest way."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.fastpath.lookup import find_network4, find_network6

settings.register_profile("fastpath", deadline=None, max_examples=100)
settings.load_profile("fastpath")

uppers = st.sampled_from([0, 1, 2, (1 << 64) - 1])
lowers = st.sampled_from([0, 1, 2, 1 << 63, (1 << 64) - 1])
addresses = st.builds(lambda upper, lower: upper << 64 | lower, uppers, lowers)


def plain(address: int, starts: list[int]) -> int:
    """Rules are numbered from 10 on, in the order of the segments; 0 below the first."""
    at = bisect_right(starts, address)
    return 9 + at if at else 0


@given(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 8)), st.integers(0, 9))
def test_ipv4_segments(starts: set[int], address: int) -> None:
    ordered = sorted(starts)
    rules = array("I", range(10, 10 + len(ordered)))
    for asked in {address, 2**32 - 1, *starts, *(start - 1 for start in starts if start)}:
        found = find_network4(asked, array("I", ordered), rules)
        assert found == plain(asked, ordered)


@given(st.sets(addresses), addresses)
def test_ipv6_segments_split_into_two_halves(starts: set[int], address: int) -> None:
    ordered = sorted(starts)
    high = array("Q", [start >> 64 for start in ordered])
    low = array("Q", [start & (1 << 64) - 1 for start in ordered])
    rules = array("I", range(10, 10 + len(ordered)))
    for asked in {address, *starts, *(start - 1 for start in starts if start)}:
        assert find_network6(asked, high, low, rules) == plain(asked, ordered)


def test_no_segments_no_rule() -> None:
    nothing4, nothing6 = array("I"), array("Q")
    assert find_network4(7, nothing4, nothing4) == 0
    assert find_network6(7 << 64, nothing6, nothing6, nothing4) == 0
