"""An amended snapshot rules like one that was compiled anew: against the same naive oracle."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from geodns.errors import SnapshotError
from geodns.model.place import Location
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import amend_snapshot, compile_snapshot
from geodns.policy.layers import LayeredSnapshot, open_snapshot
from geodns.policy.rule import Rules
from geodns.policy.scope import Scopes
from geodns.policy.snapshot import Snapshot, write_snapshot
from tests.policy.making import wire
from tests.properties import oracle
from tests.properties.oracle import Law
from tests.properties.test_rule import decide
from tests.properties.worlds import START, load, roll_world


def loaded(law: Law) -> LoadedOrder:
    """The order of a law, with an edition that is its content."""
    return replace(load(law), edition=repr(law))


def amended(seed: int) -> tuple[LayeredSnapshot, tuple[Law, ...], tuple[str, ...]]:
    """A base of some laws, others or the same in another edition, amended to be the world's."""
    roll = random.Random(seed)
    world, other = roll_world(seed), roll_world(seed + 1000)
    before = [law if roll.random() < 0.5 else None for law in world.laws]
    base_laws = [law for law in before if law is not None]
    held = {law.ident for law in base_laws}
    base_laws += [law for law in other.laws if law.ident not in held and roll.random() < 0.7]
    earlier = START - timedelta(hours=roll.choice((0, 2)))
    never = [wire(name) for name in world.never]
    base = Snapshot(compile_snapshot([loaded(law) for law in base_laws], earlier, never))
    data = amend_snapshot(base, [loaded(law) for law in world.laws], START)
    return LayeredSnapshot(data, base), world.laws, world.never


def test_amended_rulings_are_what_the_oracle_says() -> None:
    pairs = gone = blocked = 0
    for seed in range(60):
        snapshot, laws, never = amended(seed)
        in_force = {law.ident for law in oracle.in_force(laws, START)}
        assert {order.id for order in snapshot.in_force} == in_force
        gone += len(snapshot.orders) - len(snapshot.in_force)
        for where, name, aliases, addresses in roll_world(seed).questions:
            locations = [
                Location("DE", source=0),
                Location(where.country, where.subdivisions, source=1 if where.stale else 0),
            ]
            scopes = Scopes(snapshot.reaches, locations, stale=[1])
            rules = Rules(snapshot, scopes)
            found = decide(rules, scopes.class_of(1, where.asn), name, aliases, addresses)
            expected = oracle.judge(laws, never, START, where, name, aliases, addresses)
            assert (found.winner, found.via) == (expected.winner, expected.via)
            assert (found.hits, found.local) == (expected.hits, expected.local)
            blocked += found.winner is not None
        pairs += len(snapshot._pairs)
    # The worlds must hold what makes layers hard.
    assert pairs > 20
    assert gone > 20
    assert blocked > 100


def test_an_amendment_of_nothing_says_what_its_base_says() -> None:
    world = roll_world(7)
    orders = [loaded(law) for law in world.laws]
    base = Snapshot(compile_snapshot(orders, START))
    same = LayeredSnapshot(amend_snapshot(base, orders, START), base)
    assert same.in_force == base.in_force
    assert same.next_change == base.next_change


def test_the_digest_names_what_is_in_force_and_not_how_it_came_about() -> None:
    digests = set()
    for seed in range(20):
        snapshot, laws, never = amended(seed)
        orders = [loaded(law) for law in laws]
        anew = Snapshot(compile_snapshot(orders, START, [wire(name) for name in never]))
        assert snapshot.digest == anew.digest
        assert snapshot.file != anew.file
        digests.add(anew.digest)
        spared = Snapshot(compile_snapshot(orders, START, [wire("only.here.example")]))
        assert spared.digest != anew.digest
    assert len(digests) > 15


def test_an_amendment_is_opened_with_its_own_base_only(tmp_path: Path) -> None:
    first, second = ([loaded(law) for law in roll_world(seed).laws] for seed in (1, 2))
    base = Snapshot.open(write_snapshot(compile_snapshot(first, START), tmp_path))
    path = write_snapshot(amend_snapshot(base, second, START), tmp_path)
    opened = open_snapshot(path)
    assert isinstance(opened, LayeredSnapshot)
    assert opened.bottom.digest == base.digest
    # What is in use is not read again.
    assert open_snapshot(path, base).bottom is base  # type: ignore[attr-defined]
    assert open_snapshot(path, opened).bottom is opened.bottom  # type: ignore[attr-defined]
    foreign = Snapshot(compile_snapshot(second, START))
    with pytest.raises(SnapshotError, match="amends"):
        LayeredSnapshot(path.read_bytes(), foreign)
    (tmp_path / f"{base.file}.snapshot").unlink()
    with pytest.raises(SnapshotError, match="cannot be read"):
        open_snapshot(path)
