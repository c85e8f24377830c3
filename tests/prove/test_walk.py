"""The walk and its prefixes, against the plainest way: every address by itself."""

from __future__ import annotations

from ipaddress import IPv4Address as Four
from ipaddress import summarize_address_range
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.locate.build import build_places
from geodns.locate.client import client_from_peer
from geodns.locate.table import PlaceTable
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.prove.walk import joined, prefixes, same_as_served, walk
from geodns.serve.inforce import APART, InForce
from tests.policy.making import NOW, order

GEO = Path(__file__).parent.parent / "geo"


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 300)), max_size=8))
def test_prefixes_are_those_of_the_standard_library(pairs: list[tuple[int, int]]) -> None:
    ranges: list[tuple[int, int]] = []
    for first, size in sorted(pairs):
        if not ranges or first > ranges[-1][1] + 1:
            ranges.append((first, first + size))
    expected = [
        (int(net.network_address), net.prefixlen)
        for first, last in ranges
        for net in summarize_address_range(Four(first), Four(last))
    ]
    assert list(prefixes(4, ranges)) == expected


def test_the_whole_address_space_is_one_prefix() -> None:
    assert list(prefixes(4, [(0, 2**32 - 1)])) == [(0, 0)]
    assert list(prefixes(6, [(0, 2**128 - 1)])) == [(0, 0)]


@given(st.lists(st.lists(st.integers(0, 60), unique=True, max_size=20), max_size=3))
def test_joined_ranges_hold_what_their_parts_held(many: list[list[int]]) -> None:
    free = set(range(61))
    parts = []
    for numbers in many:
        mine = sorted(free & set(numbers))
        free -= set(mine)
        parts.append(joined([[(n, n)] for n in mine]) if mine else [])
    held = {n for first, last in joined(parts) for n in range(first, last + 1)}
    assert held == set(range(61)) - free
    ends = joined(parts)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(ends))


@pytest.fixture(params=["country.mmdb", "city.mmdb", "flat.mmdb"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> PlaceTable:
    feed = tmp_path / "feed.csv"
    feed.write_text("127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n2001:db9::/32,IT,,,\n")
    databases = [GEO / str(request.param), GEO / "asn.mmdb"]
    return PlaceTable.open(build_places(databases, [feed], tmp_path / "places"))


@pytest.mark.parametrize("asns", [[], ["AS64500"]])
def test_each_step_of_the_walk_has_the_class_that_locate_finds(
    places: PlaceTable, asns: list[str]
) -> None:
    orders = [
        order("it-a", domains=["a.example"]),
        order("fr-b", places=["FR"], domains=["b.example"]),
    ]
    if asns:
        orders.append(order("as-c", domains=["c.example"], places=asns))
    in_force = InForce(Snapshot(compile_snapshot(orders, NOW)), places)
    walks = [walk(in_force, 4), walk(in_force, 6)]
    assert same_as_served(in_force, walks) is (None if asns else True)
    for walked in walks:
        octets = 4 if walked.version == 4 else 16
        ends = [*walked.starts[1:], 1 << octets * 8]
        for first, after, scope_class in zip(walked.starts, ends, walked.classes, strict=True):
            if scope_class == APART:
                assert client_from_peer(first.to_bytes(octets)).version == 4
                continue
            for address in (first, (first + after) // 2, after - 1):
                client = client_from_peer(address.to_bytes(octets))
                assert in_force.locate(client).scope_class == scope_class
        spoken = sum(last - first + 1 for each in walked.spots.values() for first, last in each)
        assert spoken + walked.quiet[1] == walked.addresses
        assert walked.networks == walked.quiet[0] + sum(walked.counted.values())


def test_a_walk_that_the_fast_path_contradicts_is_noticed(places: PlaceTable) -> None:
    in_force = InForce(
        Snapshot(compile_snapshot([order("it-a", domains=["a.example"])], NOW)), places
    )
    walks = [walk(in_force, 4), walk(in_force, 6)]
    walks[0].classes[0] ^= 1
    assert same_as_served(in_force, walks) is False
