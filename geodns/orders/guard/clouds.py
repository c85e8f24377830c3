"""Which cloud or content network an address belongs to."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from geodns.orders.loaded import Network

_HEAD = re.compile(r"\[(.+)\] (shared|rented)\Z")


@dataclass(frozen=True, slots=True)
class Cloud:
    """name: of the provider and service. shared: whether one address serves very many sites.

    starts, ends: first and last addresses of its ranges, by IP version, ascending.
    """

    name: str
    shared: bool
    starts: dict[int, list[int]]
    ends: dict[int, list[int]]

    def meets(self, network: Network) -> bool:
        """Whether any address of a network is in its ranges."""
        first, last = int(network.network_address), int(network.broadcast_address)
        at = bisect_left(self.ends[network.version], first)
        starts = self.starts[network.version]
        return at < len(starts) and starts[at] <= last

    def share(self, network: Network) -> int:
        """How many addresses of a network are in its ranges."""
        first, last = int(network.network_address), int(network.broadcast_address)
        starts, ends = self.starts[network.version], self.ends[network.version]
        return sum(
            min(ends[at], last) - max(starts[at], first) + 1
            for at in range(bisect_left(ends, first), bisect_right(starts, last))
        )


@dataclass(frozen=True, slots=True)
class Clouds:
    """All clouds known; date: of the ranges, ISO 8601."""

    clouds: tuple[Cloud, ...]
    date: str

    def find(self, network: Network) -> Cloud | None:
        """The cloud that a network meets; one that is shared before one that is rented."""
        met = [cloud for cloud in self.clouds if cloud.meets(network)]
        return min(met, key=lambda cloud: not cloud.shared, default=None)


def read_clouds(path: Path) -> Clouds:
    """Read ranges: ``[NAME] shared`` or ``rented``, then networks, none of which meet."""
    found: list[Cloud] = []
    date = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#"):
            date = line.removeprefix("# date: ") if line.startswith("# date: ") else date
        elif head := _HEAD.match(line):
            found.append(Cloud(head[1], head[2] == "shared", {4: [], 6: []}, {4: [], 6: []}))
        else:
            for network in map(ip_network, line.split()):
                found[-1].starts[network.version].append(int(network.network_address))
                found[-1].ends[network.version].append(int(network.broadcast_address))
    return Clouds(tuple(found), date)
