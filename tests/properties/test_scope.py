"""Scope classes and the blocks of addresses that share one, against the plainest way."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.place import Location
from geodns.policy.compile import compile_snapshot
from geodns.policy.scope import Scopes, applies, class_of_block, uniform_length
from geodns.policy.snapshot import Snapshot
from tests.policy.making import order
from tests.properties import oracle
from tests.properties.oracle import Law, Where
from tests.properties.worlds import LOCATIONS, START, load, roll_world

ASNS = (0, 3269, 64500, 65000)


def places_of(book: tuple[Law, ...]) -> Snapshot:
    return Snapshot(compile_snapshot([load(law) for law in book], START))


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_two_locations_share_a_class_just_if_the_same_orders_apply(seed: int) -> None:
    book = roll_world(seed, 0).laws
    snapshot = places_of(book)
    wheres = [Where(*at, 0, stale) for at, stale in product(LOCATIONS, (False, True))]
    scopes = Scopes(
        snapshot.reaches,
        [Location(w.country, w.subdivisions, source=int(w.stale)) for w in wheres],
        stale=[1],
    )
    alive = oracle.in_force(book, START)
    seen: dict[frozenset[str], set[int]] = {}
    for at, asn in product(range(len(wheres)), ASNS):
        where = Where(wheres[at].country, wheres[at].subdivisions, asn, wheres[at].stale)
        force = frozenset(law.ident for law in alive if oracle.has_force(law, where))
        scope_class = scopes.class_of(at, asn)
        seen.setdefault(force, set()).add(scope_class)
        assert (scope_class == 0) == (not force)
        for index, record in enumerate(snapshot.orders):
            told = scopes.applies(scope_class, snapshot.orders[index].reach)
            assert told == (record.id in force)
    assert all(len(classes) == 1 for classes in seen.values())
    every = [scope_class for classes in seen.values() for scope_class in classes]
    assert len(set(every)) == len(every)


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_the_class_of_nowhere_is_that_of_an_unknown_location(seed: int) -> None:
    book = roll_world(seed, 0).laws
    snapshot = places_of(book)
    scopes = Scopes(snapshot.reaches, [Location(None, why="no record")])
    alive = oracle.in_force(book, START)
    for asn in ASNS:
        force = {law.ident for law in alive if oracle.has_force(law, Where(None, (), asn))}
        for number in (scopes.class_of(0, asn), scopes.unknown_class(asn)):
            told = {r.id for r in snapshot.orders if scopes.applies(number, r.reach)}
            assert told == force


def test_thirty_countries_with_orders_make_thirty_one_classes() -> None:
    countries = [
        *("IT", "FR", "DE", "GB", "ES", "PT", "NL", "BE", "DK", "SE", "FI", "NO", "PL", "CZ", "AT"),
        *("CH", "GR", "RO", "BG", "HU", "HR", "EE", "LV", "LT", "IE", "RU", "UA", "TR", "IN", "AU"),
    ]
    book = [
        order(f"o-{country.lower()}-{number}", domains=["a.b"], places=[country])
        for country in countries
        for number in range(3)
    ]
    world = [*countries, "US", "CA", "BR", "SM", "VA", "GP", "JE", "GL", "AX", "XK", None]
    snapshot = Snapshot(compile_snapshot(book, START))
    scopes = Scopes(snapshot.reaches, [Location(country) for country in world])
    assert len(countries) == 30
    assert len(scopes) == 31
    assert len({scopes.class_of(at) for at in range(30)}) == 30
    assert {scopes.class_of(at) for at in range(30, len(world))} == {0}


def test_classes_do_not_grow_with_orders_of_the_same_reach() -> None:
    book = [order(f"o-{number}", domains=[f"n{number}.b"]) for number in range(500)]
    snapshot = Snapshot(compile_snapshot(book, START))
    assert len(snapshot.reaches) == 1
    assert len(Scopes(snapshot.reaches, [Location("IT"), Location("FR")])) == 2


@given(st.integers(0, 1 << 32))
def test_each_reach_applies_as_the_oracle_says(seed: int) -> None:
    roll = random.Random(seed)
    for law in roll_world(seed, 0).laws:
        alive = Law(**{**law.__dict__, "status": "active", "supersedes": ()})
        alive = Law(**{**alive.__dict__, "effective": START - timedelta(days=1), "expires": None})
        (reach,) = places_of((alive,)).reaches
        at, asn, stale = roll.choice(LOCATIONS), roll.choice(ASNS), roll.random() < 0.5
        told = applies(reach, Location(*at), asn, stale=stale)
        assert told == oracle.has_force(alive, Where(*at, asn, stale))


BITS = 6
SPACE = 1 << BITS


@st.composite
def maps(draw: st.DrawFn) -> list[int]:
    """The class of each address of a tiny space, in runs."""
    cuts = sorted(draw(st.sets(st.integers(1, SPACE - 1), max_size=6)))
    classes: list[int] = []
    for first, end in zip([0, *cuts], [*cuts, SPACE], strict=True):
        classes += [draw(st.integers(0, 2))] * (end - first)
    return classes


def class_at(classes: list[int], split: int) -> object:
    """What the tables give: segments that may be smaller than the runs of a class."""

    def at(address: int) -> tuple[int, int, int]:
        first = last = address
        while first > 0 and classes[first - 1] == classes[address] and first % split:
            first -= 1
        while last < SPACE - 1 and classes[last + 1] == classes[address] and (last + 1) % split:
            last += 1
        return classes[address], first, last

    return at


@given(maps(), st.integers(0, SPACE - 1), st.sampled_from([1, 3, 8, SPACE]))
def test_uniform_length_is_the_largest_block_of_one_class(
    classes: list[int], address: int, split: int
) -> None:
    lengths = []
    for length in range(BITS + 1):
        size = 1 << BITS - length
        block = classes[address // size * size :][:size]
        if len(set(block)) == 1:
            lengths.append(length)
    found = uniform_length(class_at(classes, split), address, BITS)  # type: ignore[arg-type]
    assert found == min(lengths)


@given(maps(), st.integers(0, SPACE - 1), st.integers(0, BITS), st.sampled_from([1, 3, 8, SPACE]))
def test_class_of_block_tells_a_class_only_if_all_have_it(
    classes: list[int], address: int, length: int, split: int
) -> None:
    size = 1 << BITS - length
    first = address // size * size
    block = set(classes[first : first + size])
    found = class_of_block(
        class_at(classes, split), first, first + size - 1  # type: ignore[arg-type]
    )  # fmt: skip
    assert found == (block.pop() if len(block) == 1 else None)
