"""Where the fast path answers, it answers with the octets that the pipeline would give."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geodns import app
from geodns.locate.build import build_places
from geodns.locate.table import PlaceTable
from geodns.policy.compile import amend_snapshot, compile_snapshot
from geodns.policy.layers import LayeredSnapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from tests.fastpath import twins
from tests.fastpath.packets import datagrams, packets
from tests.fastpath.twins import (
    PEERS,
    PROXIES,
    SETTINGS,
    Clock,
    Server,
    roll_names,
    roll_query,
    roll_wrapped,
)
from tests.policy.making import order, wire
from tests.properties.oracle import Law
from tests.properties.worlds import START, roll_world
from tests.scenarios.asking import build

native = pytest.importorskip("geodns.fastpath.native")
CLOCK = Clock()
peers = st.sampled_from(PEERS)
pauses = st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.0, 100.0])


@pytest.fixture(autouse=True, scope="module")
def _clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geodns.serve.pipeline.monotonic", CLOCK)
        yield


def load(law: Law, roll: random.Random) -> Any:
    """The law with some response of its own."""
    action = roll.choice(("nxdomain", "nodata", "refused", "sinkhole"))
    addresses = roll.choice((["198.51.100.1"], ["198.51.100.1", "2001:db8::9"], ["2001:db8::9"]))
    if roll.random() < 0.05:
        addresses = [f"198.51.{at >> 8}.{at & 255}" for at in range(roll.choice((60, 300)))]
    return order(
        law.ident,
        domains=law.domains,
        exact=law.exact,
        below=law.below,
        exempt=law.exempt,
        networks=law.networks if roll.random() < 0.3 else (),
        places=law.places,
        except_=law.except_,
        status=law.status,
        effective=law.effective,
        expires=law.expires,
        on_unknown=law.on_unknown,
        on_stale=law.on_stale,
        action=action,
        addresses=addresses if action == "sinkhole" else (),
        ttl=roll.choice((1, 60, 86400)),
        text=roll.choice((None, "Because.", "Long. " + "y" * 600)),
    )


def roll_orders(roll: random.Random, seed: int) -> tuple[list[Any], list[bytes]]:
    world = roll_world(seed, 0)
    laws, never = world.laws[: roll.randint(0, 6)], [wire(name) for name in world.never]
    if roll.random() < 0.6:
        # Without what needs thought, so that much is answered quickly.
        laws = tuple(replace(law, exempt=(), networks=(), status="active") for law in laws)
        never = []
    return [load(law, roll) for law in laws], never


def roll_snapshot(roll: random.Random, seed: int) -> Snapshot:
    """The snapshot of some orders, every other time as an amendment of one of other orders."""
    orders, never = roll_orders(roll, seed)
    whole = Snapshot(compile_snapshot(orders, START, never))
    if roll.random() < 0.5:
        return whole
    others, _ = roll_orders(roll, seed + 1)
    kept = [each for each in orders if roll.random() < 0.6]
    taken = {each.order.id for each in kept}
    changed = kept + [each for each in others if each.order.id not in taken]
    return LayeredSnapshot(amend_snapshot(whole, changed, START), whole)


def roll_in_force(roll: random.Random, seed: int) -> InForce:
    stale = [0] if roll.random() < 0.3 else []
    return InForce(roll_snapshot(roll, seed), twins.places(), stale=stale)


@pytest.mark.parametrize("seed", range(16))
def test_nobody_can_tell_who_answered(seed: int) -> None:
    roll = random.Random(seed)
    server = Server(native.FastPath, CLOCK)
    names = roll_names(roll)
    asked = 0
    for generation in range(4):
        server.enforce(roll_in_force(roll, 100 * seed + generation))
        packets = [roll_query(roll, names) for _ in range(60)]
        for _ in range(240):
            CLOCK.now += roll.choice((0.0, 0.0, 0.4, 3.0))
            peer = roll.choice(PEERS)
            server.ask(roll_wrapped(roll, roll.choice(packets), peer), peer)
            asked += 1
        server.check_counters()
    counts = server.twins.counters()
    assert counts["blocked"] + counts["allowed"] > asked // 100
    assert server.handed_up > asked // 50


@pytest.mark.parametrize("seed", range(6))
def test_nobody_can_tell_who_held_a_reply_back(seed: int) -> None:
    roll = random.Random(seed)
    server = Server(native.FastPath, CLOCK)
    limits = SETTINGS["limits"] | {"responses_per_second": 1, "rate_slip": seed % 3}
    for pipeline in (server.pipeline, server.alone):
        pipeline.apply(SETTINGS | {"limits": limits})
    names = roll_names(roll)
    server.enforce(roll_in_force(roll, seed))
    packets = [roll_query(roll, names) for _ in range(40)]
    for _ in range(400):
        CLOCK.now += roll.choice((0.0, 0.0, 0.0, 0.1, 0.4))
        peer = roll.choice(PEERS[:5] + PROXIES[:1])
        server.ask(roll_wrapped(roll, roll.choice(packets), peer), peer)
    server.check_counters()
    counts = server.pipeline.counters()
    assert counts["rate/dropped"] + counts["rate/truncated"] > 20
    assert server.twins.counters()["blocked"] + server.twins.counters()["allowed"] > 3


worlds = st.integers(0, 999)
steps = st.lists(
    st.tuples(st.none() | worlds, st.lists(st.tuples(packets, peers, pauses), max_size=6)),
    max_size=3,
)


@settings(deadline=None, max_examples=100)
@given(worlds, steps)
@example(0, [])
def test_nobody_can_tell_who_answered_a_strange_packet(
    first: int, then: list[tuple[int | None, list[tuple[bytes, bytes, float]]]]
) -> None:
    server = Server(native.FastPath, CLOCK)
    server.enforce(roll_in_force(random.Random(first), first))
    for world, questions in then:
        if world is not None:
            server.enforce(roll_in_force(random.Random(world), world))
        for packet, peer, pause in questions:
            # Twice: what the first asking fetched the second may have from the fast path.
            server.ask(packet, peer)
            CLOCK.now += pause
            server.ask(packet, peer)
    server.check_counters()


@settings(deadline=None, max_examples=100)
@given(worlds, st.lists(st.tuples(datagrams, st.sampled_from(PROXIES), pauses), max_size=12))
def test_nobody_can_tell_who_answered_a_proxy(
    world: int, questions: list[tuple[bytes, bytes, float]]
) -> None:
    server = Server(native.FastPath, CLOCK)
    server.enforce(roll_in_force(random.Random(world), world))
    for packet, peer, pause in questions:
        server.ask(packet, peer)
        CLOCK.now += pause
        server.ask(packet, peer)
    server.check_counters()


def test_a_proxy_s_queries_are_answered_here() -> None:
    roll = random.Random(3)
    server = Server(native.FastPath, CLOCK)
    server.enforce(roll_in_force(roll, 3))
    packets = [roll_query(roll, roll_names(roll)) for _ in range(60)]
    for _ in range(400):
        peer = roll.choice(PROXIES)
        server.ask(roll_wrapped(roll, roll.choice(packets), peer), peer)
    server.check_counters()
    counts = server.twins.counters()
    assert counts["blocked"] > 10 and counts["allowed"] > 10


@pytest.fixture(params=["pure", "native"])
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEODNS_REQUIRE_NATIVE", raising=False)
    monkeypatch.delenv("GEODNS_PURE", raising=False)
    if request.param == "pure":
        monkeypatch.setitem(os.environ, "GEODNS_PURE", "1")


@pytest.mark.usefixtures("twin")
async def test_orders_that_come_go_and_change_show_at_once(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text(twins.FEED)
    places = PlaceTable.open(build_places([], [feed], tmp_path / "places"))
    pipeline = app.make_pipeline(SETTINGS)
    pipeline._truth.forwarder = twins.Upstream()  # type: ignore[assignment]
    packet = build("free.zone", ident=7)
    italian, french = PEERS[0], PEERS[1]

    def enforce(*orders: Any) -> None:
        pipeline.enforce(InForce(Snapshot(compile_snapshot(orders, START)), places))

    def quick(peer: bytes) -> int | None:
        told = pipeline.fast.answer(packet, peer, CLOCK.now)
        return None if told is None else told[3] & 15

    enforce()
    assert quick(french) is None
    told = pipeline.answer(packet, french, stream=False)
    assert isinstance(told, Awaitable)
    await told
    assert quick(french) == quick(italian) != 5
    enforce(order("it-a", domains=["zone"], action="refused"))
    assert quick(italian) == 5
    assert quick(french) != 5
    enforce(order("it-n", networks=["192.0.2.0/24"]))
    assert quick(french) is None, "addresses of answers matter now"
    enforce(order("it-a", domains=["zone"], action="refused", exempt=["free.zone"]))
    assert quick(italian) is None, "exemptions want thought"
    enforce(order("it-a", domains=["zone"], action="refused", status="shadow"))
    assert quick(italian) is None, "and so does what must be recorded"
    enforce(order("fr-a", domains=["zone"], action="refused", places=["FR"]))
    assert (quick(french), quick(italian)) == (5, quick(bytes([127, 65, 0, 1])))
    enforce()
    assert quick(french) != 5
    blocks = pipeline.counters()
    assert blocks["order/it-a"] == blocks["order/fr-a"] == 1
