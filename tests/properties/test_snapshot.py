"""A snapshot holds what was put in, is the same for the same law, and is never half believed."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.errors import SnapshotError
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot, write_snapshot
from tests.policy.making import order, wire
from tests.properties.worlds import (
    START,
    addresses4,
    addresses6,
    blocks4,
    blocks6,
    far,
    load,
    names,
    roll_world,
)

DATA = compile_snapshot([load(law) for law in roll_world(11, 0).laws], START, [wire("never.a")])


@settings(max_examples=80)
@given(st.sets(names, max_size=12), st.lists(names, max_size=4))
def test_names_are_found_by_suffix_longest_first(held: set[str], asked: list[str]) -> None:
    snapshot = Snapshot(compile_snapshot([order("o", domains=sorted(held))], START))
    assert snapshot.names == len(held)
    for name in (*asked, *held):
        parts = name.split(".")
        above = [".".join(parts[at:]) for at in range(len(parts))]
        expected = [wire(suffix) for suffix in above if suffix in held]
        folded = wire(name)
        assert [folded[at:] for at, _ in snapshot.name_rules(folded)] == expected
    assert snapshot.name_rules(b"\0") == []


@settings(max_examples=80)
@given(
    st.lists(blocks4 | blocks6, max_size=8, unique=True),
    st.lists(addresses4 | addresses6 | far, min_size=1, max_size=6),
)
def test_addresses_find_every_network_that_holds_them_longest_first(
    blocks: list[str], asked: list[str]
) -> None:
    snapshot = Snapshot(compile_snapshot([order("o", networks=blocks)], START))
    edges = [str(ip_network(block)[end]) for block in blocks for end in (0, -1)]
    for text in (*asked, *edges):
        address = ip_address(text)
        nets = map(ip_network, blocks)
        holding = [n.prefixlen for n in nets if n.version == address.version and address in n]
        found = snapshot.items(snapshot.address_rule(address.packed))
        assert found == [(0, length) for length in sorted(holding, reverse=True)]


@given(st.integers(0, 1 << 32), st.randoms(use_true_random=False))
def test_the_digest_does_not_hang_on_the_order_of_the_files(seed: int, roll: random.Random) -> None:
    loaded = [load(law) for law in roll_world(seed, 0).laws]
    before = compile_snapshot(loaded, START)
    roll.shuffle(loaded)
    after = compile_snapshot(loaded, START)
    assert before == after
    assert Snapshot(before).digest == Snapshot(after).digest


def test_another_law_has_another_digest() -> None:
    digests = {
        Snapshot(compile_snapshot(orders, START)).digest
        for orders in (
            [],
            [order("o", domains=["a.b"])],
            [order("o", domains=["a.c"])],
            [order("o", exact=["a.b"])],
            [order("o", domains=["a.b"], places=["FR"])],
            [order("o", domains=["a.b"], text="Because.")],
            [order("p", domains=["a.b"])],
        )
    }
    assert len(digests) == 7


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_any_changed_octet_is_noticed(at: int, flip: int) -> None:
    damaged = bytearray(DATA)
    damaged[at] ^= flip
    with pytest.raises(SnapshotError):
        Snapshot(bytes(damaged))


def test_every_changed_octet_of_the_header_is_noticed() -> None:
    for at in range(120):
        for bit in range(8):
            damaged = bytearray(DATA)
            damaged[at] ^= 1 << bit
            with pytest.raises(SnapshotError):
                Snapshot(bytes(damaged))


@given(st.integers(0, len(DATA) - 1))
def test_a_cut_snapshot_is_noticed(length: int) -> None:
    with pytest.raises(SnapshotError):
        Snapshot(DATA[:length])


def test_octets_behind_the_end_are_noticed() -> None:
    with pytest.raises(SnapshotError):
        Snapshot(DATA + b"\0")


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    path = write_snapshot(DATA, tmp_path / "state" / "snapshots")
    assert path.read_bytes() == DATA
    opened, direct = Snapshot.open(path), Snapshot(DATA)
    assert path.stem == opened.file == direct.file
    assert opened.orders == direct.orders
    assert opened.reaches == direct.reaches
    assert write_snapshot(DATA, path.parent) == path
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_opened_says_which_file(tmp_path: Path) -> None:
    missing, empty, foreign = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    empty.touch()
    foreign.write_bytes(b"PK\3\4" + bytes(500))
    for path in (missing, empty, foreign, tmp_path):
        with pytest.raises(SnapshotError, match=str(path)):
            Snapshot.open(path)
