"""The walk: every network of the place tables, one after the other, to its scope class."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from geodns.locate.table import PlaceTable
from geodns.serve.inforce import APART, EMBEDDING, InForce

BITS = {4: 32, 6: 128}
Range = tuple[int, int]
"""First and last address."""
Spot = tuple[int, int]
"""A location id and an AS number (0: unknown, or none asked for)."""
Steps = tuple[list[int], list[int]]
"""First addresses, ascending from 0, and a value of each."""
Progress = Callable[[int, int], None]
_INSIDE = -1


@dataclass(slots=True)
class Walk:
    """What the walk over one IP version found.

    networks, addresses: how many there are in all; apart: addresses of IPv6 whose clients are
    judged by the IPv4 address that they carry. spots: the ranges of each spot where any order has
    force, ascending, with the number of networks. quiet: networks and addresses where none has.
    starts, classes: where the scope class changes, and to which.
    """

    version: int
    networks: int = 0
    addresses: int = 0
    apart: int = 0
    spots: dict[Spot, list[Range]] = field(default_factory=dict)
    counted: dict[Spot, int] = field(default_factory=dict)
    quiet: tuple[int, int] = (0, 0)
    starts: list[int] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)


def walk(in_force: InForce, version: int) -> Walk:
    """Pass over every network of one IP version (4 or 6)."""
    found = Walk(version)
    places, scopes = in_force.places, in_force.scopes
    starts, ids, asns = _networks(places, version, asks_asn=bool(scopes.asns))
    end = 1 << BITS[version]
    class_of: dict[Spot, int] = {}
    quiet_networks = quiet_addresses = 0
    last_class = -1
    for first, after, place, asn in zip(
        starts, [*islice(starts, 1, None), end], ids, asns, strict=True
    ):
        if place == _INSIDE:
            found.apart += after - first
            if last_class != APART:
                found.starts.append(first)
                found.classes.append(APART)
                last_class = APART
            continue
        spot = place, asn
        here = class_of.get(spot)
        if here is None:
            here = class_of[spot] = scopes.class_of(place, asn)
        found.networks += 1
        if here != last_class:
            found.starts.append(first)
            found.classes.append(here)
            last_class = here
        if not here:
            quiet_networks += 1
            quiet_addresses += after - first
            continue
        ranges = found.spots.setdefault(spot, [])
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = ranges[-1][0], after - 1
        else:
            ranges.append((first, after - 1))
        found.counted[spot] = found.counted.get(spot, 0) + 1
    found.quiet = quiet_networks, quiet_addresses
    found.addresses = end - found.apart
    return found


def same_as_served(in_force: InForce, walks: Sequence[Walk]) -> bool | None:
    """Whether the classes of the walk are those that the fast path serves by, run for run.

    None where it has none because AS numbers matter.
    """
    flat = in_force.flat_runs()
    if flat is None:
        return None
    four, six = walks
    upper, lower = memoryview(flat.upper6), memoryview(flat.lower6)
    return (
        four.starts == memoryview(flat.start4).tolist()
        and four.classes == memoryview(flat.class4).tolist()
        and six.starts == [high << 64 | low for high, low in zip(upper, lower, strict=True)]
        and six.classes == memoryview(flat.class6).tolist()
    )


def _networks(
    places: PlaceTable, version: int, *, asks_asn: bool
) -> tuple[list[int], list[int], list[int]]:
    """Starts, location ids and AS numbers of all networks; _INSIDE where IPv4 is embedded."""
    columns = places.columns
    at, asn_at = (0, 5) if version == 4 else (2, 7)
    steps = _steps(columns[at:], version)
    if version == 6:
        steps = _cut(steps)
    if not asks_asn:
        return *steps, [0] * len(steps[0])
    merged = list(_merge(steps, _steps(columns[asn_at:], version)))
    return (
        [start for start, _, _ in merged],
        [place for _, place, _ in merged],
        [0 if place == _INSIDE else asn for _, place, asn in merged],
    )


def _steps(columns: Sequence[memoryview], version: int) -> Steps:
    if version == 4:
        return columns[0].tolist(), columns[1].tolist()
    upper, lower, values = columns[:3]
    return [high << 64 | low for high, low in zip(upper, lower, strict=True)], values.tolist()


def _cut(steps: Steps) -> Steps:
    """The steps with the networks that embed IPv4 addresses cut out."""
    starts, values = steps
    for first, last in EMBEDDING:
        begin, end = bisect_left(starts, first), bisect_right(starts, last + 1)
        behind = values[end - 1]
        starts[begin:end] = [first, last + 1]
        values[begin:end] = [_INSIDE, behind]
    return starts, values


def _merge(one: Steps, other: Steps) -> Iterator[tuple[int, int, int]]:
    """Both step functions at once: a start wherever either has one."""
    (starts, values), (others, more) = one, other
    ends = len(starts), len(others)
    at = by = 0
    while at < ends[0] or by < ends[1]:
        left = starts[at] if at < ends[0] else None
        right = others[by] if by < ends[1] else None
        start = min(each for each in (left, right) if each is not None)
        at += left == start
        by += right == start
        yield start, values[at - 1], more[by - 1]


def prefixes(version: int, ranges: Sequence[Range]) -> Iterator[tuple[int, int]]:
    """The fewest prefixes that cover just these ranges: first address and length, ascending."""
    bits = BITS[version]
    for first, last in ranges:
        size = last - first + 1
        if not size & size - 1 and not first & size - 1:
            # Nearly all are one prefix already.
            yield first, bits - size.bit_length() + 1
            continue
        while first <= last:
            size = (first & -first) or 1 << bits
            most = 1 << (last - first + 1).bit_length() - 1
            size = min(size, most)
            yield first, bits - size.bit_length() + 1
            first += size


def joined(many: Sequence[Sequence[Range]]) -> list[Range]:
    """Disjoint ranges in order, neighbours made one. Each list is so by itself already."""
    if len(many) == 1:
        return list(many[0])
    found: list[Range] = []
    for first, last in sorted(each for ranges in many for each in ranges):
        if found and found[-1][1] + 1 == first:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return found
