"""The counter-check: clients and names drawn at random, ruled on the long way, one by one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from random import Random

from geodns.locate.client import client_from_peer
from geodns.model.name import to_text
from geodns.prove.naive import Naive
from geodns.prove.names import Checked, neighbours
from geodns.prove.walk import BITS, Range, Walk
from geodns.serve.inforce import APART, InForce

Covered = Mapping[tuple[int, int], Sequence[Range]]
"""By reach and IP version: the ranges where its orders have force, ascending."""


def check_sample(
    in_force: InForce,
    naive: Naive,
    walks: Sequence[Walk],
    covered: Covered,
    size: int,
    random: Random,
) -> Checked:
    """Draw ``size`` pairs of a client and a name, and compare three opinions on each.

    The server's own way (locate the client, rule on the name), the plain reading of the order
    files, and the prefixes that the proof lists. Half of the clients are at an edge, where scope
    classes change.
    """
    found = Checked()
    names = sorted(naive.claims) or [b"\x07example\x03org\x00"]
    for number in range(size):
        walked = walks[number % len(walks)]
        address = _address(walked, random, edge=number % 4 < 2)
        if address is None:
            continue
        name = random.choice(names)
        if random.random() < 0.4:
            name = random.choice(list(neighbours(name)))
        found.names += 1
        found.made += 1
        found.rulings += 1
        _check(in_force, naive, covered, walked.version, address, name, found)
    return found


def _address(walked: Walk, random: Random, *, edge: bool) -> int | None:
    """An address at an edge between classes or anywhere; None where IPv4 is embedded."""
    at = random.randrange(len(walked.starts))
    if walked.classes[at] == APART:
        return None
    first = walked.starts[at]
    ends = [*walked.starts[at + 1 : at + 2], 1 << BITS[walked.version]]
    return random.choice((first, ends[0] - 1)) if edge else random.randrange(first, ends[0])


def _check(
    in_force: InForce,
    naive: Naive,
    covered: Covered,
    version: int,
    address: int,
    name: bytes,
    found: Checked,
) -> None:
    located = in_force.locate(client_from_peer(address.to_bytes(BITS[version] // 8)))
    ruling = in_force.rules.rule_question(name, located.scope_class)[0]
    place, _, _, _ = in_force.places.find(version, address)
    asn = in_force.places.find_asn(version, address)[0]
    location = in_force.places.locations[place]
    stale = location.source in in_force.stale
    wanted = frozenset() if naive.spared(name) else naive.on(naive.claims_on(name))
    expected = {at for at in wanted if naive.has_force(at, location, asn, stale=stale)}
    records = in_force.snapshot.in_force
    listed = {at for at in wanted if _holds(covered[records[at].reach, version], address)}
    ids = [record.id for record in records]
    ruled = {ids.index(in_force.snapshot.orders[ruling.order].id)} if ruling.block else set()
    if (
        expected == listed
        and (ruled <= expected if expected else not ruled)
        and (bool(ruled) == bool(expected))
    ):
        return
    where = IPv4Address(address) if version == 4 else IPv6Address(address)
    found.tell(
        f"{to_text(name)} from {where}: ruled {_ids(ids, ruled)}, the order files say"
        f" {_ids(ids, expected)}, the prefixes {_ids(ids, listed)}"
    )


def _holds(ranges: Sequence[Range], address: int) -> bool:
    at = bisect_right(ranges, (address, 1 << 128)) - 1
    return at >= 0 and ranges[at][0] <= address <= ranges[at][1]


def _ids(ids: Sequence[str], orders: set[int]) -> str:
    return ", ".join(sorted(ids[at] for at in orders)) or "allowed"
