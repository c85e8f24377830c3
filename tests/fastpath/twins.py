"""Both twins as one fast path, and small worlds to drive them in."""

from __future__ import annotations

import random
import struct
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import pytest

from geodns.fastpath import pure
from geodns.fastpath.cookie import siphash
from geodns.fastpath.tables import Kept, Load, Names, Peers, Runs
from geodns.locate.build import build_places
from geodns.locate.table import PlaceTable
from geodns.model.response import Response, read_response
from geodns.serve.inforce import InForce
from geodns.serve.pipeline import Pipeline
from geodns.settings import Settings
from geodns.upstream.cache import Cache
from tests.policy.making import wire
from tests.scenarios.asking import build, ecs_option, option, proxy_header

GEO = Path(__file__).parent.parent / "geo"
FEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n127.65.0.0/16,US,US-CA\n127.91.0.0/16,\n"
PEERS = [
    bytes([127, 39, 0, 1]),
    bytes([127, 33, 0, 1]),  # the ECS of this one is believed
    bytes([127, 65, 0, 1]),
    bytes([127, 91, 0, 1]),
    bytes([5, 1, 0, 1]),  # AS 3269
    bytes([5, 1, 200, 1]),
    bytes([8, 8, 8, 8]),  # and of this one
    bytes([192, 0, 2, 1]),  # not served
    bytes.fromhex("2a010100000000000000000000000001"),
    bytes.fromhex("2a010200000000000000000000000001"),  # and of this one
    bytes.fromhex("fd000200000000000000000000000001"),  # not served
    bytes.fromhex("00000000000000000000ffff7f270001"),
    bytes.fromhex("0064ff9b0000000000000000" + "7f270001"),
    bytes.fromhex("20020501000100000000000000000001"),
    bytes.fromhex("20010000050600010000fffffafefffe"),
    bytes([127, 34, 0, 1]),  # this one sends PROXY headers
    bytes([127, 33, 9, 1]),  # so does this one, and its ECS is believed
    bytes.fromhex("2a010300000000000000000000000001"),  # and this one
]
PROXIES = PEERS[-3:]
SETTINGS = Settings.model_validate(
    {
        "server": {"clients": ["127.0.0.0/8", "5.0.0.0/8", "8.8.8.8", "2a01::/16", "::/3"]},
        "errors": {"structured_option": 65001},
        "trust": {
            "ecs": ["127.33.0.0/16", "8.8.8.8", "2a01:200::/32"],
            "proxy": ["127.34.0.0/16", "127.33.9.0/24", "2a01:300::/32"],
        },
    }
).model_dump(mode="json")
SLOTS = 1 << 12
"""So many that no answer has to make room for another: there the twins may choose differently."""


class Clock:
    """Stands in for time.monotonic."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


OFFSET = 1_700_000_000.0
"""Wall clock less monotonic clock."""
SECRETS = bytes(range(16)), bytes(range(100, 116))
"""What cookies are made with; the second is going out of use."""


class Guards:
    """Feeds the guards of both twins alike."""

    def __init__(self, both: Sequence[Any]) -> None:
        self._both = [each.guard for each in both]

    def take_secrets(self, secrets: Sequence[bytes], offset: float) -> None:
        for each in self._both:
            each.take_secrets(secrets, offset)

    def take_rates(self, limits: Any) -> None:
        for each in self._both:
            each.take_rates(limits)

    @property
    def bakes(self) -> bool:
        return bool(self._agreed(lambda each: each.bakes))

    @property
    def limits(self) -> bool:
        return bool(self._agreed(lambda each: each.limits))

    def judge(self, data: bytes, peer: bytes, now: float) -> int:
        return int(self._agreed(lambda each: each.judge(data, peer, now)))

    def bake(self, data: bytes, peer: bytes, now: float) -> tuple[bytes, int]:
        found: tuple[bytes, int] = self._agreed(lambda each: each.bake(data, peer, now))
        return found

    def flood(self, peer: bytes, now: float) -> int:
        return int(self._agreed(lambda each: each.flood(peer, now)))

    def charge(self, peer: bytes, rcode: int, now: float) -> int:
        return int(self._agreed(lambda each: each.charge(peer, rcode, now)))

    def counts(self) -> dict[str, int]:
        return dict(self._agreed(lambda each: each.counts()))

    def _agreed(self, told: Callable[[Any], Any]) -> Any:
        specified, native = (told(each) for each in self._both)
        assert native == specified
        return specified


class Twins:
    """Feeds both twins alike, and gives the answer on which they must agree."""

    def __init__(self, native: Any) -> None:
        """native: the class of the native twin."""
        self.both = pure.FastPath(SLOTS), native(SLOTS)
        self.guard = Guards(self.both)
        self._places: list[list[int]] = []

    def serve(
        self, peers: Peers, trusted: Peers | None = None, proxies: Peers | None = None
    ) -> None:
        for each in self.both:
            each.serve(peers, trusted, proxies)

    def heed(self, option: int) -> None:
        for each in self.both:
            each.heed(option)

    def take_runs(self, runs: Runs) -> None:
        for each in self.both:
            each.take_runs(runs)

    def load(self, load: Load | None) -> None:
        for each in self.both:
            each.load(load)

    def keep(self, key: bytes, kept: Kept) -> bool:
        return bool(self._agreed(lambda each: each.keep(key, kept)))

    def leave(self, key: bytes, expires: float) -> None:
        for each in self.both:
            each.leave(key, expires)

    def recall(self, key: bytes) -> Kept | None:
        found: Kept | None = self._agreed(lambda each: each.recall(key))
        return found

    def crowded(self) -> int:
        return int(self._agreed(lambda each: each.crowded()))

    def share(self, most: int, prefix4: int, prefix6: int) -> None:
        for each in self.both:
            each.share(most, prefix4, prefix6)

    def enter(self, peer: bytes) -> int:
        places = [each.enter(peer) for each in self.both]
        assert len({place < 0 for place in places}) == 1
        if places[0] < 0:
            return -1
        self._places.append(places)
        return len(self._places) - 1

    def depart(self, place: int) -> None:
        for each, its in zip(self.both, self._places[place], strict=True):
            each.depart(its)

    def missed(self) -> int:
        return int(self._agreed(lambda each: each.missed()))

    def forget(self) -> None:
        for each in self.both:
            each.forget()

    def counters(self) -> dict[str, int]:
        return dict(self._agreed(lambda each: each.counters()))

    def order_counts(self) -> list[int]:
        return list(self._agreed(lambda each: each.order_counts()))

    def place_counts(self) -> list[int]:
        return list(self._agreed(lambda each: each.place_counts()))

    def order_place_blocks(self) -> list[tuple[int, int, int]]:
        return list(self._agreed(lambda each: each.order_place_blocks()))

    def place_blocks(self) -> list[int]:
        return list(self._agreed(lambda each: each.place_blocks()))

    def kept_answers(self) -> int:
        return int(self._agreed(lambda each: each.kept_answers()))

    def answer(self, packet: bytes, peer: bytes, now: float) -> bytes | None:
        found: bytes | None = self._agreed(lambda each: each.answer(packet, peer, now))
        return found

    def _agreed(self, told: Callable[[Any], Any]) -> Any:
        specified, native = (told(each) for each in self.both)
        assert native == specified
        return specified


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
                rows.append(row(qtype, roll.choice((5, 60, 0x80000001)), address))
        authority = []
        if not rows or rcode:
            soa = b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 20)
            authority.append(row(6, 20, soa))
        more = [row(1, 7, bytes(4))] * roll.choice((0, 0, 1))
        opt = roll.choice((b"", b"\0\0\x29\x04\xd0" + bytes(6), b"\0\0\x29" + bytes(8)))
        if roll.random() < 0.05:
            opt = b"\0\0\x29\x04\xd0" + bytes(5) + b"\x06" + option(15, b"\0\x03")
        counts = len(rows), len(authority), len(more) + bool(opt)
        head = struct.pack("!6H", 0, flags, 1, *counts)
        return read_response(head + question + b"".join((*rows, *authority, *more, opt)))

    def is_apart(self, folded: bytes, zone: bytes) -> bool:
        return False

    def close(self) -> None:
        """As the forwarder has it."""


def row(kind: int, ttl: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


@cache
def places() -> PlaceTable:
    """Countries, subdivisions and AS numbers, of IPv4 and IPv6."""
    with TemporaryDirectory() as folder:
        feed = Path(folder) / "feed.csv"
        feed.write_text(FEED)
        databases = [GEO / "flat.mmdb", GEO / "asn.mmdb"]
        return PlaceTable.open(build_places(databases, [feed], Path(folder) / "places"))


def make_pipeline(fast: Any) -> Pipeline:
    cache = SETTINGS["cache"]
    kept = Cache(cache["size"], cache["min_ttl"], cache["max_ttl"])
    return Pipeline(Upstream(), kept, fast, SETTINGS)  # type: ignore[arg-type]


def long_way(pipeline: Pipeline, packet: bytes, peer: bytes) -> bytes:
    """The pipeline's reply, empty for none. The upstream never waits, so neither does this."""
    told = pipeline.answer(packet, peer, stream=False)
    if isinstance(told, Coroutine):
        with pytest.raises(StopIteration) as stopped:
            told.send(None)
        told = stopped.value.value
    assert told is None or isinstance(told, bytes)
    return told or b""


class Server:
    """A pipeline behind both twins, as it runs, beside one that has to do all by itself."""

    def __init__(self, native: Any, clock: Clock) -> None:
        self.clock = clock
        self.twins = Twins(native)
        self.pipeline = make_pipeline(self.twins)
        self.alone = make_pipeline(Idle(SLOTS))
        self.handed_up = 0
        for each in (self.pipeline, self.alone):
            each.fast.guard.take_secrets(SECRETS, OFFSET)

    def enforce(self, in_force: InForce) -> None:
        self.pipeline.enforce(in_force)
        self.pipeline.warm(in_force)
        self.alone.enforce(in_force)

    def ask(self, packet: bytes, peer: bytes) -> bytes:
        """The reply, empty for none; by whom, must not be seen."""
        reply = self.twins.answer(packet, peer, self.clock.now)
        if reply is None:
            self.handed_up += 1
            reply = long_way(self.pipeline, packet, peer)
        expected = long_way(self.alone, packet, peer)
        assert reply == expected, (packet, peer)
        return reply

    def check_counters(self) -> None:
        """What both ways counted is what the long way alone would have counted."""
        found, expected = self.pipeline.counters(), self.alone.counters()
        for counters in (found, expected):
            assert not [key for key in counters if key.startswith("internal")]
            for key in ("fast/queries", "fast/dropped", "fast/kept"):
                counters.pop(key)
        assert +Counter(found) == +Counter(expected)
        self.twins.kept_answers()


class Idle(pure.FastPath):
    """Never answers."""

    def answer(self, packet: bytes, peer: bytes, now: float) -> bytes | None:
        return None


def index_names(names: dict[bytes, int], *, bits: int = 64, buckets: int = 4) -> Names:
    """A name index made by hand: folded names and their rules. Sizes are powers of two."""
    filter_ = bytearray(bits // 8)
    rows: list[list[tuple[bytes, int]]] = [[] for _ in range(buckets)]
    for name, rule in names.items():
        hashed = crc32(name[::-1])
        filter_[(hashed & bits - 1) >> 3] |= 1 << (hashed & 7)
        rows[hashed & buckets - 1].append((name, rule))
    starts, name_at, rules, blob = array("I", [0]), array("I"), array("I"), bytearray()
    for each in rows:
        for name, rule in each:
            name_at.append(len(blob))
            rules.append(rule)
            blob += name
        starts.append(len(rules))
    return Names(bytes(filter_), starts, name_at, rules, bytes(blob))


PARTS = ("a", "b", "ab")


def roll_names(roll: random.Random, count: int = 12) -> list[str]:
    names = [".".join(roll.choice(PARTS) for _ in range(roll.randint(1, 4))) for _ in range(count)]
    return [*names, "localhost", "x.y", "www.localhost", ".".join(["z" * 63] * 3 + ["a"]), ""]


def roll_query(roll: random.Random, names: Sequence[str]) -> bytes:
    """A query, most of them well-formed."""
    name = roll.choice(names)
    if roll.random() < 0.2:
        name = roll.choice((name.upper(), name.title(), f"w.{name}" if name else "w"))
    options = b""
    if roll.random() < 0.15:
        options += option(roll.choice((8, 10, 12, 15, 65001)), bytes(roll.choice(LENGTHS)))
    if roll.random() < 0.3:
        options += option(10, roll_cookie(roll))
    if roll.random() < 0.25:
        options += option(8, ecs_option(roll.choice(SUBNETS)))
    packet = bytearray(
        build(
            name,
            roll.choice(("A",) * 6 + ("AAAA", "HTTPS", "TXT", "ANY", "AXFR", "TYPE65280", "TYPE0")),
            roll.choice(("IN",) * 12 + ("CH", "ANY")),
            edns=roll.choice((None, 0, 512, 1231, 1232, 1232, 4096, 65535)),
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


def roll_wrapped(roll: random.Random, packet: bytes, peer: bytes) -> bytes:
    """What a peer sends: proxies put a header in front, most of them a good one."""
    if roll.random() > (0.95 if peer in PROXIES else 0.02):
        return packet
    header = roll_header(roll)
    if roll.random() < 0.1:
        at = roll.randrange(len(header))
        header = header[:at] + bytes([roll.randrange(256)]) + header[at + 1 :]
    if roll.random() < 0.03:
        header = header[: roll.randrange(len(header))]
    return header + packet


def roll_header(roll: random.Random) -> bytes:
    """A PROXY header: of some client, LOCAL, or without an address."""
    tlvs = b"\x04" + roll.choice((b"\0\0", b"\0\2ab", b"\1\0" + bytes(256)))
    tlvs = tlvs if roll.random() < 0.2 else b""
    if roll.random() < 0.1:
        return proxy_header(None, tlvs=tlvs)
    client = str(ip_address(roll.choice(PEERS)))
    header = proxy_header(client, transport=roll.choice((1, 2, 2, 2)), tlvs=tlvs)
    if roll.random() < 0.05:
        header = header[:13] + bytes([roll.choice((0, 0x10, 0x20))]) + header[14:]
    return header


def roll_cookie(roll: random.Random) -> bytes:
    """The data of a COOKIE option: new, good, old, forged or malformed."""
    client = bytes([roll.randrange(3)] * 8)
    if roll.random() < 0.3:
        return client
    if roll.random() < 0.1:
        return bytes(roll.choice((0, 7, 9, 15, 16, 17, 24, 32, 40, 41, 60)))
    age = roll.choice((0, 100, 1799, 1800, 3500, 3601, -200, -301, 100_000))
    stamp = int(OFFSET + 1000 - age).to_bytes(4, "big")
    signed = client + roll.choice((b"\1\0\0\0", b"\1\0\0\0", b"\1abc", b"\2\0\0\0")) + stamp
    secret = roll.choice((*SECRETS, bytes(16)))
    return signed + siphash(secret, signed + roll.choice(PEERS))


LENGTHS = (0, 0, 0, 1, 2, 3, 4, 7, 8)
SUBNETS = (
    *("127.39.0.0/24", "127.33.0.0/16", "127.0.0.0/8", "0.0.0.0/0", "0/0", "5.1.0.0/16"),
    *("2a01:100::/24", "2a01:200::/56", "2a01::/16", "::ffff:127.39.0.0/112", "2002:501::/32"),
)
