"""Where the fast path answers, it answers with the octets that the pipeline would give."""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geodns import app
from geodns.locate.build import build_places
from geodns.locate.table import PlaceTable
from geodns.model.message import Response, read_response
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from geodns.settings import Settings
from tests.policy.making import order, wire
from tests.properties.worlds import START, Law, World, roll_world
from tests.scenarios.asking import build, ecs_option, option

GEO = Path(__file__).parent.parent / "geo"
FEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n127.65.0.0/16,US,US-CA\n127.91.0.0/16,\n"
PEERS = [
    bytes([127, 39, 0, 1]),
    bytes([127, 33, 0, 1]),
    bytes([127, 65, 0, 1]),
    bytes([127, 91, 0, 1]),
    bytes([5, 1, 0, 1]),  # AS 3269
    bytes([5, 1, 200, 1]),
    bytes([8, 8, 8, 8]),
    bytes([192, 0, 2, 1]),  # not served
    bytes.fromhex("2a010100000000000000000000000001"),
    bytes.fromhex("2a010200000000000000000000000001"),
    bytes.fromhex("00000000000000000000ffff7f270001"),
    bytes.fromhex("20020501000100000000000000000001"),
    bytes.fromhex("20010000050600010000fffffafefffe"),
]
SETTINGS = Settings.model_validate(
    {
        "server": {"clients": ["127.0.0.0/8", "5.0.0.0/8", "8.8.8.8", "2a01::/16", "::/3"]},
        "trust": {"ecs": ["127.33.0.0/16"]},
    }
).model_dump(mode="json")


class Upstream:
    """Has an answer for every name: some with aliases, some negative, some validated."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}

    async def resolve(
        self, question: bytes, *, dnssec_ok: bool, checking_disabled: bool
    ) -> Response:
        roll = random.Random(question)
        qtype = int.from_bytes(question[-4:-2])
        rcode = 3 if roll.random() < 0.2 else 0
        flags = 0x8080 | roll.choice((0, 0, 0x20)) | roll.choice((0, 0x0400)) | rcode
        rows = []
        if roll.random() < 0.25:
            rows.append(row(5, 30, wire(roll.choice(("a.b", "ab.a", "b", "x.y")))))
        if rcode == 0 and qtype in (1, 28):
            for _ in range(roll.choice((1, 1, 2, 40))):
                address = bytes([192, 0, 2, roll.randrange(32)]) + bytes(12 if qtype == 28 else 0)
                rows.append(row(qtype, roll.choice((5, 60)), address))
        authority = []
        if not rows or rcode:
            soa = b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 20)
            authority.append(row(6, 20, soa))
        head = struct.pack("!6H", 0, flags, 1, len(rows), len(authority), 0)
        return read_response(head + question + b"".join(rows + authority))

    def close(self) -> None:
        """As the forwarder has it."""


def row(kind: int, ttl: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["pure", "native"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    monkeypatch.delenv("GEODNS_REQUIRE_NATIVE", raising=False)
    monkeypatch.delenv("GEODNS_PURE", raising=False)
    if request.param == "pure":
        monkeypatch.setitem(os.environ, "GEODNS_PURE", "1")
    else:
        pytest.importorskip("geodns.fastpath.native")
    made = Clock()
    monkeypatch.setattr("geodns.serve.pipeline.monotonic", made)
    yield made


def load(law: Law, roll: random.Random) -> Any:
    """The law with some response of its own."""
    action = roll.choice(("nxdomain", "nodata", "refused", "sinkhole"))
    addresses = roll.choice((["198.51.100.1"], ["198.51.100.1", "2001:db8::9"], ["2001:db8::9"]))
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


def roll_query(roll: random.Random, names: list[str]) -> bytes:
    name = roll.choice(names)
    if roll.random() < 0.2:
        name = roll.choice((name.upper(), name.title(), f"w.{name}"))
    options = b""
    if roll.random() < 0.15:
        options += option(roll.choice((8, 10, 12, 65001)), bytes(roll.randrange(9)))
    if roll.random() < 0.1:
        options += option(8, ecs_option(roll.choice(("127.39.0.0/24", "0.0.0.0/0"))))
    packet = bytearray(
        build(
            name,
            roll.choice(("A",) * 6 + ("AAAA", "HTTPS", "TXT", "ANY", "AXFR", "TYPE65280", "TYPE0")),
            roll.choice(("IN",) * 12 + ("CH", "ANY")),
            edns=roll.choice((None, 0, 512, 1232, 1232, 4096)),
            options=options,
            do=roll.random() < 0.2,
            cd=roll.random() < 0.1,
            ad=roll.random() < 0.2,
            rd=roll.random() < 0.9,
        )
    )
    if roll.random() < 0.1:
        packet[roll.randrange(2, len(packet))] = roll.randrange(256)
    if roll.random() < 0.05:
        del packet[roll.randrange(len(packet)) :]
    if roll.random() < 0.03:
        packet += bytes(roll.randrange(1, 5))
    return bytes(packet)


def never_of(world: World) -> list[bytes]:
    return [wire(name) for name in world.never]


@pytest.mark.parametrize("seed", range(12))
async def test_both_give_the_same_octets(seed: int, clock: Clock, tmp_path: Path) -> None:
    roll = random.Random(seed)
    feed = tmp_path / "feed.csv"
    feed.write_text(FEED)
    databases = [GEO / "flat.mmdb", GEO / "asn.mmdb"]
    places = PlaceTable.open(build_places(databases, [feed], tmp_path / "places"))
    pipeline = app.make_pipeline(SETTINGS)
    pipeline._forwarder = Upstream()  # type: ignore[assignment]
    outcomes: Counter[str] = Counter()
    parts = ("a", "b", "ab", "x", "localhost")
    names = [".".join(roll.choice(parts[:3]) for _ in range(roll.randint(1, 4))) for _ in range(12)]
    names += ["localhost", "x.y", "www.localhost", ".".join(["z" * 63] * 3 + ["a"])]
    for generation in range(3):
        world = roll_world(100 * seed + generation, 0)
        orders = [load(law, roll) for law in world.laws[: roll.randint(0, 6)]]
        data = compile_snapshot(orders, START, never_of(world))
        pipeline.enforce(InForce(Snapshot(data), places, stale=[0] if roll.random() < 0.3 else []))
        for _ in range(400):
            clock.now += roll.choice((0.0, 0.0, 0.4, 3.0))
            packet, peer = roll_query(roll, names), roll.choice(PEERS)
            quick = pipeline.fast.answer(packet, peer, clock.now)
            told = pipeline.answer(packet, peer, stream=False)
            slow = await told if isinstance(told, Awaitable) else told
            if quick is None:
                outcomes["handed up"] += 1
                continue
            assert quick == (slow or b""), (packet, peer)
    counts = pipeline.fast.counters()
    assert counts["blocked"] + counts["allowed"] > 20 < outcomes["handed up"]
    assert not [key for key in pipeline.counters() if key.startswith("internal")]


async def test_orders_that_come_go_and_change_show_at_once(clock: Clock, tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text(FEED)
    places = PlaceTable.open(build_places([], [feed], tmp_path / "places"))
    pipeline = app.make_pipeline(SETTINGS)
    pipeline._forwarder = Upstream()  # type: ignore[assignment]
    packet = build("free.zone", ident=7)
    italian, french = PEERS[0], PEERS[1]

    def enforce(*orders: Any) -> None:
        pipeline.enforce(InForce(Snapshot(compile_snapshot(orders, START)), places))

    def quick(peer: bytes) -> int | None:
        told = pipeline.fast.answer(packet, peer, clock.now)
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
