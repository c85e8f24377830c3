"""Tables made by hand, and tables that lie: the twins agree, and nothing crashes."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.errors import SnapshotError
from geodns.fastpath import pure
from geodns.fastpath.tables import (
    Kept,
    Load,
    Names,
    Places,
    Runs,
    Template,
    check,
    check_runs,
    fits,
)
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot, _read_sections, pack_snapshot
from geodns.serve.inforce import InForce
from tests.fastpath import twins
from tests.fastpath.handmade import EVERYBODY, common_packets, roll_kept, roll_load, roll_runs
from tests.fastpath.packets import packets
from tests.fastpath.twins import PEERS, Twins
from tests.policy.making import NOW, order, wire
from tests.scenarios.asking import build

native = pytest.importorskip("geodns.fastpath.native")
BOTH = pytest.mark.parametrize("twin", [pure.FastPath, native.FastPath])
seeds = st.integers(0, 1 << 32)
packet_lists = st.lists(packets, max_size=4)


@settings(deadline=None, max_examples=150)
@given(seeds, packet_lists)
def test_the_twins_agree_on_handmade_tables(seed: int, strange: list[bytes]) -> None:
    roll = random.Random(seed)
    both = Twins(native.FastPath)
    both.serve(EVERYBODY, EVERYBODY if roll.random() < 0.7 else None)
    now = 1000.0
    for _ in range(3):
        if roll.random() < 0.9:
            both.load(roll_load(roll))
            if roll.random() < 0.8:
                both.take_runs(roll_runs(roll))
        for _ in range(30):
            key, kept = roll_kept(roll, now)
            assert both.keep(key, kept) == fits(key, kept)
        for packet in common_packets(roll) + strange:
            now += roll.choice((0.0, 0.3, 1.0))
            both.answer(packet, roll.choice(PEERS), now)
        both.counters()
        both.order_counts()
        both.place_counts()
        both.place_blocks()
        blocks = Counter[int]()
        for number, _, count in both.order_place_blocks():
            blocks[number] += count
        assert blocks == +Counter(dict(enumerate(both.order_counts())))
        if roll.random() < 0.2:
            both.forget()


def test_handmade_tables_are_worth_asking() -> None:
    outcomes = {"blocked": 0, "allowed": 0}
    for seed in range(80):
        roll = random.Random(seed)
        fast = native.FastPath(64)
        fast.serve(EVERYBODY, EVERYBODY)
        fast.load(roll_load(roll))
        fast.take_runs(roll_runs(roll))
        for _ in range(30):
            fast.keep(*roll_kept(roll, 0.0))
        for packet in common_packets(roll):
            fast.answer(packet, roll.choice(PEERS), 0.0)
        for outcome in outcomes:
            outcomes[outcome] += fast.counters()[outcome]
    assert min(outcomes.values()) > 20, outcomes


@BOTH
def test_room_is_made_for_new_answers(twin: Any) -> None:
    fast = twin(16)
    fast.serve(EVERYBODY)
    fast.load(replace(roll_load(random.Random(1)), layers=_no_names(1), rules=(1,)))
    packet = build("x", ident=0)
    question = packet[12:-11]
    kept = Kept(bytes(12) + question + bytes(700), (), 0.0, 9.0, False, False, False)
    for number in range(500):
        qtype = (number + 256).to_bytes(2)
        assert fast.keep(question[:-4] + qtype + b"\0\1\0", kept)
        asked = packet[:15] + qtype + packet[17:]
        found = fast.answer(asked, PEERS[0], 0.0)
        assert found is not None and found[-700 - 11 : -11] == bytes(700)
    held = sum(
        fast.answer(packet[:15] + (at + 256).to_bytes(2) + packet[17:], PEERS[0], 0.0) is not None
        for at in range(500)
    )
    assert 8 <= held <= 16


def _no_names(rules: int) -> tuple[Names, ...]:
    return (twins.index_names({wire("nobody"): rules - 1}),)


# Tables that contradict each other are refused, by both alike.


def _cut(values: Any) -> Any:
    return values[:-1]


COLUMNS = [each.name for each in fields(Places) if each.name != "width"]
LIES = [
    lambda load: replace(load, layers=()),
    lambda load: replace(load, layers=load.layers * 3, rules=load.rules * 3),
    lambda load: replace(load, rules=(*load.rules, 1)),
    lambda load: replace(load, ecs_orders=load.orders[1:]),
    *(
        lambda load, field=field: replace(
            load, layers=(replace(load.layers[0], **{field: _cut(getattr(load.layers[0], field))}),)
        )
        for field in ("filter", "buckets", "name_at", "rule")
    ),
    lambda load: replace(load, layers=(replace(load.layers[0], filter=b""),)),
    lambda load: replace(load, layers=(replace(load.layers[0], buckets=array("I")),)),
    lambda load: replace(load, layers=(replace(load.layers[0], buckets=array("I", [0])),)),
    *(
        lambda load, field=field: replace(
            load, places=replace(load.places, **{field: _cut(getattr(load.places, field))})
        )
        for field in COLUMNS
    ),
    lambda load: replace(load, places=replace(load.places, width=load.places.width + 1)),
    lambda load: replace(load, places=replace(load.places, width=0)),
    lambda load: replace(load, ecs_orders=(replace(load.orders[0], opt=b""),) * 3),
    lambda load: replace(load, orders=(replace(load.orders[0], opt=b"\0\0\x29"),)),
    lambda load: replace(load, orders=(replace(load.orders[0], short=b""),)),
    lambda load: replace(
        load, orders=(replace(load.orders[0], templates=(Template(3, 0, 1, b"\0", True),) * 3),)
    ),
]


def honest() -> Load:
    """A load with one layer in which no table is empty."""
    for seed in range(1000):
        load = roll_load(random.Random(seed))
        columns = [getattr(load.places, name) for name in COLUMNS]
        columns.append(load.layers[0].rule)
        if len(load.layers) == 1 and all(columns):
            return load
    raise AssertionError("no such load")


@BOTH
@pytest.mark.parametrize("lie", LIES)
def test_contradictions_are_refused_and_what_was_in_force_stays(twin: Any, lie: Any) -> None:
    load = honest()
    fast = twin(16)
    fast.serve(EVERYBODY)
    fast.load(load)
    asked = common_packets(random.Random(1))
    before = [fast.answer(packet, PEERS[0], 0.0) for packet in asked]
    with pytest.raises(ValueError):
        fast.load(lie(load))
    assert [fast.answer(packet, PEERS[0], 0.0) for packet in asked] == before


def test_blocks_are_counted_by_order_and_location_however_many_there_are() -> None:
    # Both twins: the table of the native one grows, and starts anew with each load.
    many = 0
    for seed in range(40):
        roll = random.Random(seed)
        both = Twins(native.FastPath)
        both.serve(EVERYBODY)
        both.load(roll_load(roll))
        for packet in common_packets(roll) * 3:
            both.answer(packet, roll.choice(PEERS), 0.0)
        pairs = both.order_place_blocks()
        many = max(many, len(pairs))
        assert sum(count for _, _, count in pairs) == sum(both.order_counts())
    assert many > 2


@BOTH
def test_nothing_loaded_nothing_answered(twin: Any) -> None:
    fast = twin(16)
    packet = build("a")
    assert fast.answer(packet, PEERS[0], 0.0) is None
    fast.serve(EVERYBODY)
    assert fast.answer(packet, PEERS[0], 0.0) is None
    fast.load(honest())
    fast.load(None)
    assert fast.answer(packet, PEERS[0], 0.0) is None
    assert fast.order_counts() == fast.place_counts() == fast.place_blocks() == []
    assert fast.order_place_blocks() == []


def test_a_table_that_stands_askew_is_refused() -> None:
    load = honest()
    names = load.layers[0]
    askew = memoryview(bytes(1) + names.rule.tobytes())[1:].cast("I")
    fast = native.FastPath(16)
    with pytest.raises(ValueError, match="aligned"):
        fast.load(replace(load, layers=(replace(names, rule=askew),)))


# Tables of the right sizes that hold nonsense: nothing crashes, whatever is said.


def _spoil(roll: random.Random, values: Any) -> Any:
    """A copy of an array or of octets with some items replaced."""
    spoilt: Any = bytearray(values) if isinstance(values, bytes) else array(values.typecode, values)
    top = (1 << 8 * spoilt.itemsize) - 1 if isinstance(spoilt, array) else 255
    for _ in range(roll.randint(1, 4)):
        if len(spoilt):
            at = roll.randrange(len(spoilt))
            spoilt[at] = roll.choice((0, 1, top, top - 1, top // 2, roll.randint(0, top)))
    return spoilt


def _spoil_all(roll: random.Random, columns: Any) -> Any:
    spoilt = {each.name: _spoil(roll, getattr(columns, each.name)) for each in fields(columns)}
    return replace(columns, **spoilt)


def _spoil_load(roll: random.Random, load: Load) -> Load:
    layers = tuple(
        replace(
            layer,
            **{
                each.name: _spoil(roll, getattr(layer, each.name))
                for each in fields(layer)
                if roll.random() < 0.4
            },
        )
        for layer in load.layers
    )
    places = replace(
        load.places,
        **{
            each.name: _spoil(roll, getattr(load.places, each.name))
            for each in fields(load.places)
            if each.name != "width" and roll.random() < 0.3
        },
    )
    faults: list[Any] = [
        load.decide,
        load.decide,
        lambda *_: 1 // 0,
        lambda *_: None,
        lambda *_: 1 << 40,
        lambda *_: 1000,
        lambda *_: -9,
        lambda *_: -2147483648,
    ]
    decide, local = roll.choice(faults), roll.choice((load.local, load.local, lambda *_: 1 // 0))
    return replace(load, layers=layers, places=places, decide=decide, local=local)


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_nonsense_crashes_nothing(seed: int) -> None:
    roll = random.Random(seed)
    peers = EVERYBODY
    if roll.random() < 0.2:
        peers = _spoil_all(roll, peers)
    load = _spoil_load(roll, roll_load(roll))
    try:
        check(load)
    except ValueError:
        return
    runs: Runs | None = _spoil_all(roll, roll_runs(roll))
    try:
        check_runs(runs)
    except ValueError:
        runs = None
    for twin in (pure.FastPath, native.FastPath):
        fast = twin(16)
        fast.serve(peers, EVERYBODY)
        fast.load(load)
        if runs is not None:
            fast.take_runs(runs)
        for _ in range(10):
            fast.keep(*roll_kept(roll, 0.0))
        for packet in common_packets(roll):
            found = fast.answer(packet, roll.choice(PEERS), roll.choice((0.0, 1e300, -1e300)))
            assert found is None or len(found) <= pure.OUR_SIZE
        fast.counters()


WHOLE = compile_snapshot(
    [
        order(
            "o", domains=["a.b", "b"], exempt=["b.b"], networks=["192.0.2.0/28", "2001:db8::/32"]
        ),
        order("p", exact=["a"], below=["x"], places=["FR"], status="shadow"),
        order("q", domains=["a.b", "x.x"], places=["AS3269"], action="refused"),
    ],
    NOW,
    [wire("b.a")],
)


@settings(deadline=None, max_examples=200)
@given(seeds)
def test_a_snapshot_that_lies_is_refused_or_harmless(seed: int) -> None:
    """Its checksum is right: whoever wrote it meant it."""
    roll = random.Random(seed)
    sections = {
        name: bytes(view) for name, view in _read_sections(memoryview(WHOLE), "whole").items()
    }
    for name in roll.sample([name for name in sections if name != "orders"], roll.randint(1, 3)):
        values = bytearray(sections[name])
        for _ in range(roll.randint(1, 8)):
            if values:
                values[roll.randrange(len(values))] = roll.choice((0, 1, 0xFF, roll.randrange(256)))
        if roll.random() < 0.2:
            del values[roll.randrange(len(values) + 1) :]
        sections[name] = bytes(values)
    try:
        snapshot = Snapshot(pack_snapshot(sections))
    except SnapshotError:
        return
    for twin in (pure.FastPath, native.FastPath):
        pipeline = twins.make_pipeline(twin(64))
        pipeline.enforce(InForce(snapshot, twins.places()))
        for packet in common_packets(roll):
            peer = roll.choice(PEERS)
            if pipeline.fast.answer(packet, peer, 0.0) is None:
                twins.long_way(pipeline, packet, peer)


def test_a_snapshot_whose_sections_contradict_each_other_is_refused_by_name() -> None:
    sections = {
        name: bytes(view) for name, view in _read_sections(memoryview(WHOLE), "whole").items()
    }
    for name in sections:
        if name in ("orders", "names"):
            continue
        spoilt = {**sections, name: sections[name][:-4]}
        with pytest.raises(SnapshotError, match=r"kept\.snapshot"):
            Snapshot(pack_snapshot(spoilt), "kept.snapshot")
