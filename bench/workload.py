"""The workload: names that are blocked in many places, and what clients of them ask.

Each blocked name is blocked in one place. Place number ``i`` is where the clients of
127.(40+i).0.0/16 are, so the address alone says which names are blocked for it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pycountry

COUNTRIES = (
    *("IT", "FR", "DE", "ES", "PT", "NL", "BE", "AT", "CH", "DK", "SE", "NO", "FI", "PL", "CZ"),
    *("SK", "HU", "RO", "BG", "GR", "IE", "GB", "US", "CA", "MX", "BR", "IN", "AU", "JP", "KR"),
)
"""The thirty places of the usual workload. Figures of one client are those of the first."""
MOST_PLACES = 200
ZONE = "bench"
"""All names lie below it, and its wildcard answers all of them."""
BRIEF = f"brief.{ZONE}"
"""Names below it have a TTL of 0: no cache stands between a change and who polls for it."""


def places(count: int) -> list[str]:
    """Country codes, ``count`` of them."""
    others = sorted(country.alpha_2 for country in pycountry.countries)
    codes = [*COUNTRIES, *(code for code in others if code not in COUNTRIES)]
    if count > MOST_PLACES:
        raise ValueError(f"at most {MOST_PLACES} places")
    return codes[:count]


def network(place: int) -> str:
    """The network of the clients in a place."""
    return f"127.{40 + place}.0.0/16"


def client(place: int, host: int = 1) -> str:
    """An address of a client in a place."""
    return f"127.{40 + place}.{host >> 8}.{host & 255}"


@dataclass(frozen=True, slots=True)
class Workload:
    """``names`` blocked names, spread evenly over ``places`` countries.

    root: folder of the query files. warm: how many different names the warm load asks, one in
    ten of them blocked for who asks. cold: how many names a miss round asks, each once.
    """

    root: Path
    names: int
    places: tuple[str, ...]
    warm: int = 10_000
    cold: int = 20_000

    def blocked(self, place: int) -> Iterator[str]:
        """The names that are blocked in a place."""
        for number in range(place, self.names, len(self.places)):
            yield f"name{number}.blocked{number % 997}.{ZONE}"

    def first_blocked(self, place: int) -> str:
        """One of them."""
        return next(self.blocked(place))

    def open_names(self) -> list[str]:
        """The names of the warm load that nobody blocks."""
        return [f"warm{number}.open.{ZONE}" for number in range(self.warm - self.warm // 10)]

    def asked(self, place: int) -> list[str]:
        """What a client in a place asks in the warm load, shuffled."""
        chosen = random.Random(place)
        count = self.warm // 10
        blocked = list(self.blocked(place))
        asked = self.open_names() + [chosen.choice(blocked) for _ in range(count)]
        chosen.shuffle(asked)
        return asked


def write_queries(path: Path, names: Iterable[str]) -> Path:
    """Write a query file for dnsperf."""
    path.write_text("".join(f"{name} A\n" for name in names))
    return path


def wire(name: str, ident: int = 0) -> bytes:
    """An A query with EDNS, as dnsperf -e sends it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    head = struct.pack("!6H", ident, 0x0100, 1, 0, 0, 1)
    return head + labels + b"\0\0\1\0\1" + b"\0\0\x29\x10\0\0\0\0\0\0\0"


def write_packets(path: Path, work: Workload, hosts: int, count: int) -> Path:
    """Write a packet file for bench/probe.c: ``hosts`` clients in each place, ``count`` queries.

    Each record is the client's address, the length of the packet and the packet.
    """
    chosen = random.Random(7)
    asked = [work.asked(place)[: work.warm] for place in range(len(work.places))]
    parts = []
    for number in range(count):
        place = number % len(work.places)
        address = client(place, 1 + chosen.randrange(hosts))
        packet = wire(asked[place][chosen.randrange(len(asked[place]))])
        parts.append(bytes(int(octet) for octet in address.split(".")))
        parts.append(struct.pack("=H", len(packet)) + packet)
    path.write_bytes(b"".join(parts))
    return path


def write_geofeed(path: Path, codes: Iterable[str]) -> Path:
    """Write the place of each network as a geofeed (RFC 8805)."""
    path.write_text("".join(f"{network(at)},{code},,,\n" for at, code in enumerate(codes)))
    return path
