"""What is fuzzed: functions that take any octets and raise only if something is wrong.

Each is without memory: what one input does is the same whatever came before.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

import geodns.serve.pipeline
from geodns.fastpath import lookup, pure
from geodns.fastpath.index import index_names_pure, plain_names_pure
from geodns.fastpath.tables import Kept, check, fits
from geodns.model.message import HEADER, Dropped, Malformed, read_query
from geodns.model.proxy import LARGEST, SIGNATURE, BadHeader, read_header
from geodns.model.response import read_response
from geodns.policy.compile import amend_snapshot, compile_snapshot
from geodns.policy.layers import LayeredSnapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve import reply
from geodns.serve.fast import kept_of
from geodns.serve.inforce import InForce
from geodns.upstream.cache import Cache, cache_key
from tests.fastpath import twins
from tests.fastpath.handmade import EVERYBODY, common_packets, roll_kept, roll_load, roll_runs
from tests.fastpath.twins import PEERS, PROXIES, Twins
from tests.fuzz import files, hostile, misses
from tests.policy.making import NOW, order, wire
from tests.scenarios.asking import build

THEN, LATER = 1000.0, 1007.0
"""Monotonic seconds: answers are fetched at the one, and asked for at the other."""


def native() -> Any:
    """The native twin's module."""
    return import_module("geodns.fastpath.native")


class World:
    """Both twins before a pipeline that has been asked some things, at one instant."""

    def __init__(self, layered: bool) -> None:
        orders = [
            order("block", domains=["a.b"], text="Because."),
            order("sink", domains=["b"], places=["FR", "US-CA"], action="sinkhole",
                  addresses=["198.51.100.1", "2001:db8::9"]),
            order("as", exact=["a"], places=["AS3269"], action="nodata"),
            order("all", below=["x.y"], places=None, action="refused", exempt=["a.x.y"]),
            order("net", networks=["192.0.2.0/28"], places=["FR"]),
            order("dark", domains=["ab"], status="shadow"),
        ]  # fmt: skip
        whole = Snapshot(compile_snapshot(orders, NOW, [wire("a.b.b")]))
        if layered:
            more = [order("late", domains=["a.b", "b.a.b"], action="refused", places=["FR"])]
            whole = LayeredSnapshot(amend_snapshot(whole, orders[1:] + more, NOW), whole)
        self.twins = Twins(native().FastPath)
        self.pipeline = twins.make_pipeline(self.twins)
        in_force = InForce(whole, twins.places())
        self.pipeline.enforce(in_force)
        self.pipeline.warm(in_force)
        names = ("a", "b", "c.b", "x.y", "ab", "free", "a.b", "y", "")
        for name in names:
            for kind in ("A", "AAAA", "HTTPS"):
                for bits in ({}, {"do": True}, {"cd": True}):
                    twins.long_way(self.pipeline, build(name, kind, **bits), PEERS[0])

    def ask(self, packet: bytes, peer: bytes) -> None:
        """The twins agree; where they answer they say what the pipeline says."""
        quick = self.twins.answer(packet, peer, LATER)
        if quick is not None:
            assert quick == twins.long_way(self.pipeline, packet, peer)


@contextmanager
def _at(now: float) -> Iterator[None]:
    """Let the pipeline believe that it is now."""
    real = geodns.serve.pipeline.monotonic
    geodns.serve.pipeline.monotonic = lambda: now  # type: ignore[assignment]
    try:
        yield
    finally:
        geodns.serve.pipeline.monotonic = real


@cache
def _worlds() -> tuple[World, World]:
    with _at(THEN):
        return World(layered=False), World(layered=True)


def answer(data: bytes) -> None:
    """The fast path: an octet chooses the world and the peer, the rest is the packet."""
    if data:
        world, peer = divmod(data[0], 128)
        asked = _worlds()[world]
        with _at(LATER):
            asked.ask(data[1:], PEERS[peer % len(PEERS)])


def proxied(data: bytes) -> None:
    """The same behind a PROXY header: an octet chooses world and proxy, the rest is the datagram.

    A header that arrives in pieces says the same as a whole one.
    """
    if not data:
        return
    world, peer = divmod(data[0], 128)
    datagram = SIGNATURE + data[1:]
    with _at(LATER):
        _worlds()[world].ask(datagram, PROXIES[peer % len(PROXIES)])
    try:
        header = read_header(datagram)
    except BadHeader:
        return
    if header is not None:
        assert 16 <= header.size <= min(len(datagram), LARGEST)
        assert read_header(datagram[: header.size - 1]) is None
        assert read_header(datagram[: header.size]) == header


def query(data: bytes) -> None:
    """read_query, and what is replied to what it refuses."""
    try:
        found = read_query(data)
    except Dropped:
        assert len(data) < 12 or data[2] & 0x80
    except Malformed as fault:
        assert len(reply.error(data, fault)) <= reply.PLAIN_SIZE
    else:
        assert data[12 : 12 + len(found.question)] == found.question
        assert found.folded == found.name.lower()
        told = reply.status(found, 5, reply.size_limit(found, stream=False))
        assert told[12 : 12 + len(found.question)] == found.question


def response(data: bytes) -> None:
    """read_response, its native twin, and the way of its answer through cache and fast path."""
    scanned = native().scan_response(data)
    try:
        found = read_response(data)
    except ValueError:
        assert scanned is None, "the native scan took what Python refuses"
        return
    if scanned is not None:
        assert scanned[:3] == (found.packet, found.ttl_offsets, found.lifetime)
        assert set(scanned[3]) == set(found.aliases)
        assert sorted(scanned[4]) == sorted(found.addresses)
    size = len(found.packet)
    assert all(12 <= at <= size - 4 for at in found.ttl_offsets)
    assert len(found.ttl_offsets) >= len(found.records)
    assert found.question_end <= found.answer_end <= size
    assert all(start < found.answer_end for start, _ in found.records)
    assert len(found.steps) == len(found.aliases)
    assert all(before <= number for number, (before, _) in enumerate(found.steps))
    assert all(len(alias) <= 255 and not alias[-1] for alias in found.aliases)
    again = read_response(found.packet)
    assert again._replace(rcode=found.rcode, lifetime=found.lifetime, ede=found.ede) == found
    question = data[12 : found.question_end]
    key = cache_key(
        question[:-4].lower(), *HEADER.unpack(bytes(8) + question[-4:])[-2:], False, False
    )
    entry = Cache(1 << 20).put(key, found, THEN)
    entry.aged(LATER)
    kept = kept_of(entry)
    if kept is not None:
        _ask_kept(key, kept, question)


def _ask_kept(key: bytes, kept: Kept, question: bytes) -> None:
    both = _empty()
    both.forget()
    assert both.keep(key, kept) == fits(key, kept)
    head = b"\xab\xcd\x01\x20\0\1\0\0\0\0\0"
    opt = b"\0\0\x29\x10\0" + bytes(6)
    for packet in (head + b"\0" + question, head + b"\1" + question + opt):
        found = both.answer(packet, PEERS[0], LATER)
        assert found is None or len(found) <= reply.OUR_SIZE


@cache
def _empty() -> Twins:
    both = Twins(native().FastPath)
    both.serve(EVERYBODY)
    load = roll_load(random.Random(1))
    both.load(replace(load, layers=(twins.index_names({}),), rules=(1,)))
    return both


def lists(data: bytes) -> None:
    """List files: both readers agree, and what they read can be indexed and found."""
    found = native().plain_names(data)
    assert found == plain_names_pure(data)
    blob, starts = found[:2]
    packed = [(blob, starts, 1), (blob, starts[len(starts) // 2 :], 2)]
    index = native().index_names(packed, _join, 16)
    assert index == index_names_pure(packed, _join, 16)
    _, filter_, buckets, name_at, rule, names = index
    for start, end in pairwise(starts):
        hits = lookup.find_names(
            blob[start:end], buckets, name_at, rule, memoryview(names), filter_
        )
        assert hits[0][0] == 0


def _join(rule: int, item: int) -> int:
    return rule * 4 + item


def tables(data: bytes) -> None:
    """Tables that lie: nothing crashes, and no reply is too large.

    The first octet is the seed of an honest load and of the packets; then six octets each
    replace an item: which table, where in it (two octets), by what (three, spread to the top).
    """
    if not data:
        return
    load = roll_load(random.Random(data[0]))
    layers = [
        {each.name: _copied(getattr(layer, each.name)) for each in fields(layer)}
        for layer in load.layers
    ]
    places = {
        each.name: _copied(getattr(load.places, each.name))
        for each in fields(load.places)
        if each.name != "width"
    }
    columns = [column for part in (*layers, places) for column in part.values()]
    for at in range(1, len(data) - 5, 6):
        column = columns[data[at] % len(columns)]
        if len(column):
            value = int.from_bytes(data[at + 3 : at + 6], "big")
            size = column.itemsize if isinstance(column, array) else 1
            value = value << 8 * (size - 3) if value & 1 and size > 3 else value % (1 << 8 * size)
            column[int.from_bytes(data[at + 1 : at + 3], "big") % len(column)] = value
    spoilt = replace(
        load,
        layers=tuple(
            replace(layer, **spoilt) for layer, spoilt in zip(load.layers, layers, strict=True)
        ),
        places=replace(load.places, **places),
    )
    try:
        check(spoilt)
    except ValueError:
        return
    roll = random.Random(data[0])
    runs = roll_runs(roll)
    for fast in _bare():
        fast.forget()
        fast.load(spoilt)
        fast.take_runs(runs)
        for _ in range(6):
            fast.keep(*roll_kept(roll, THEN))
        for packet in common_packets(roll):
            found = fast.answer(packet, roll.choice(PEERS), THEN)
            assert found is None or len(found) <= reply.OUR_SIZE


@cache
def _bare() -> tuple[Any, Any]:
    made = pure.FastPath(16), native().FastPath(16)
    for fast in made:
        fast.serve(EVERYBODY, EVERYBODY)
    return made


def _copied(values: Any) -> Any:
    return bytearray(values) if isinstance(values, bytes) else array(values.typecode, values)


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        answer, proxied, query, response, lists, tables, hostile.upstream, files.orders,
        files.settings, files.geofeeds, files.feeds, files.databases, files.damaged, files.control,
        files.options, misses.flight,
    )
}  # fmt: skip
