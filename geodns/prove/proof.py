"""The proof as a document: what was walked, where answers change, and what was checked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from random import Random
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from geodns.locate.special import networks as special_networks
from geodns.model.place import Location
from geodns.orders.loaded import LoadedOrder
from geodns.policy.scope import Basis, decide, inside
from geodns.policy.snapshot import OrderRecord, Reach
from geodns.prove.naive import Naive
from geodns.prove.names import Checked, check_names
from geodns.prove.sample import check_sample
from geodns.prove.walk import BITS, Progress, Range, Spot, Walk, joined, prefixes, same_as_served
from geodns.prove.walk import walk as walk_over
from geodns.serve.inforce import InForce

FORMAT = 1
_FAMILY = {4: AF_INET, 6: AF_INET6}
_LENGTHS = [bytes((length,)) for length in range(129)]
_STEPS = 6
Group = tuple[str, str, Basis]
"""A place, the source that says so, and what decided."""


@dataclass(slots=True)
class Reached:
    """Where the orders of one reach have force: ranges by IP version, and by group."""

    ranges: dict[int, list[Range]] = field(default_factory=dict)
    groups: dict[Group, dict[int, tuple[int, list[list[Range]]]]] = field(default_factory=dict)
    networks: dict[int, int] = field(default_factory=dict)


def prove(
    in_force: InForce,
    orders: Sequence[LoadedOrder],
    at: datetime,
    version: str,
    *,
    wanted: Sequence[str] = (),
    listed: bool = False,
    sample: int = 10_000,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Prove what is in force. Returns the document, JSON-ready and not yet signed.

    orders: those that were compiled. at: the instant. version: of this program. wanted: ids of the
    orders to tell of (default: all; the checks are of all in any case). listed: whether each
    prefix is listed. sample: pairs drawn for the counter-check; seed: of what is drawn.
    ``holds`` says whether everything came out as it should; ``mismatches`` says what did not.
    """
    random = Random(seed)
    walks = []
    for number, family in enumerate((4, 6)):
        walks.append(walk_over(in_force, family))
        progress(number + 1, _STEPS)
    served = same_as_served(in_force, walks)
    records = in_force.snapshot.in_force
    reached = {
        reach: _reached(in_force, walks, reach) for reach in {record.reach for record in records}
    }
    progress(3, _STEPS)
    naive = Naive.of(orders, in_force.snapshot)
    classes = list(range(len(in_force.scopes)))
    names = check_names(in_force, naive, classes, random)
    progress(4, _STEPS)
    covered = {
        (reach, family): each.ranges[family] for reach, each in reached.items() for family in BITS
    }
    drawn = check_sample(in_force, naive, walks, covered, sample, random)
    progress(5, _STEPS)
    mismatches = [*names.mismatches, *drawn.mismatches]
    if served is False:
        mismatches.append("the scope classes that the fast path serves by are not those walked")
    told = {reach: _told(each, listed=listed) for reach, each in reached.items()}
    loaded = {each.order.id: each for each in orders}
    document = {
        "format": FORMAT,
        "program": f"geodns {version}",
        "at": at.astimezone(UTC).isoformat(timespec="seconds"),
        "digest": in_force.snapshot.digest,
        "next_change": in_force.snapshot.next_change,
        "sources": [
            {**_source(asdict(source)), "stale": number in in_force.stale}
            for number, source in enumerate(in_force.places.sources)
        ],
        "places": in_force.places.edition,
        "walked": {
            f"ipv{each.version}": {
                "networks": each.networks,
                "addresses": each.addresses,
                "no_order": {"networks": each.quiet[0], "addresses": each.quiet[1]},
                "judged_by_ipv4": each.apart,
            }
            for each in walks
        },
        "scope_classes": len(in_force.scopes),
        "fast_path_agrees": served,
        "orders": [
            {**_order(in_force, record, loaded[record.id]), **told[record.reach]}
            for record in records
            if not wanted or record.id in wanted
        ],
        "checked": {"names": _checked(names), "sample": {**_checked(drawn), "seed": seed}},
        "holds": not mismatches,
        "mismatches": mismatches,
    }
    progress(_STEPS, _STEPS)
    return document


def _source(source: dict[str, Any]) -> dict[str, Any]:
    built = datetime.fromtimestamp(source["built"], UTC).isoformat(timespec="seconds")
    kept = ("name", "kind", "networks", "edition")
    return {**{key: source[key] for key in kept}, "built": built}


def _checked(found: Checked) -> dict[str, int]:
    return {key: value for key, value in asdict(found).items() if key != "mismatches"}


def _reached(in_force: InForce, walks: Sequence[Walk], reach: int) -> Reached:
    """Where orders of a reach have force, by the classes of the walk."""
    found = Reached()
    for walked in walks:
        family = walked.version
        every: list[list[Range]] = []
        found.networks[family] = 0
        for spot, ranges in walked.spots.items():
            if not in_force.scopes.applies(in_force.scopes.class_of(*spot), reach):
                continue
            every.append(ranges)
            found.networks[family] += walked.counted[spot]
            group = found.groups.setdefault(_group(in_force, spot, reach), {})
            networks, held = group.get(family, (0, []))
            group[family] = networks + walked.counted[spot], [*held, ranges]
        found.ranges[family] = joined(every)
    return found


def _group(in_force: InForce, spot: Spot, reach: int) -> Group:
    location = in_force.places.locations[spot[0]]
    source = "none"
    if location.source >= 0:
        source = in_force.places.sources[location.source].name
    stale = location.source in in_force.stale
    reached = in_force.snapshot.reaches[reach]
    basis = decide(reached, location, spot[1], stale=stale)[1]
    return _place(reached, location, spot[1], basis), source, basis


def _place(reach: Reach, location: Location, asn: int, basis: Basis) -> str:
    """The place for which the order has force there, as fine as the order tells places apart."""
    country = location.country or "unknown"
    if basis == "unknown" or reach.places is None or location.country in reach.places:
        return country
    held = [code for code in location.subdivisions if code in reach.places]
    if held:
        return "+".join(held)
    return f"AS{asn}" if inside({f"AS{asn}"} & reach.places, location, asn) else country


def _told(reached: Reached, *, listed: bool) -> dict[str, Any]:
    groups = []
    for (place, source, basis), by_family in sorted(reached.groups.items()):
        told: dict[str, Any] = {"place": place, "source": source, "basis": basis}
        for family, (networks, ranges) in sorted(by_family.items()):
            told[f"ipv{family}"] = {
                "networks": networks,
                **_counts(family, joined(ranges), listed=listed),
            }
        groups.append(told)
    alone = groups[0] if len(groups) == 1 else {}
    return {
        "in_force": {
            f"ipv{family}": {
                "networks": reached.networks[family],
                "prefixes": alone[f"ipv{family}"]["prefixes"]
                if f"ipv{family}" in alone
                else sum(1 for _ in prefixes(family, ranges)),
                "addresses": sum(last - first + 1 for first, last in ranges),
                "special": _special(family, ranges),
            }
            for family, ranges in reached.ranges.items()
        },
        "groups": groups,
    }


def _counts(family: int, ranges: Sequence[Range], *, listed: bool) -> dict[str, Any]:
    """How many prefixes and addresses, and a SHA-256 that names just this set of prefixes.

    It is over each prefix, ascending: the first address in network byte order, and an octet for
    the length.
    """
    octets = BITS[family] // 8
    found = list(prefixes(family, ranges))
    data = b"".join([first.to_bytes(octets) + _LENGTHS[length] for first, length in found])
    counts: dict[str, Any] = {
        "prefixes": len(found),
        "addresses": sum(last - first + 1 for first, last in ranges),
        "sha256": sha256(data).hexdigest(),
    }
    return {**counts, "list": [_text(family, *one) for one in found]} if listed else counts


def _text(family: int, first: int, length: int) -> str:
    return f"{inet_ntop(_FAMILY[family], first.to_bytes(BITS[family] // 8))}/{length}"


def _special(family: int, ranges: Sequence[Range]) -> list[str]:
    """The special-use networks (RFC 6890) in which an order has force, whole or in part."""
    found = []
    for first, last, length in special_networks(family):
        at = bisect_right(ranges, (last, 1 << BITS[family])) - 1
        if at >= 0 and ranges[at][1] >= first:
            found.append(_text(family, first, length))
    return found


def _order(in_force: InForce, record: OrderRecord, loaded: LoadedOrder) -> dict[str, Any]:
    return {
        "order": record.id,
        "title": record.title,
        "edition": record.edition,
        "shadow": record.shadow,
        "jurisdiction": record.jurisdiction,
        "on_unknown": loaded.order.on_unknown,
        "unknown_clients": in_force.scopes.applies(in_force.scopes.unknown_class(), record.reach),
        "targets": {
            "domains": len(loaded.domains),
            "exact": len(loaded.exact),
            "below": len(loaded.below),
            "exempt": len(loaded.exempt),
            "networks": len(loaded.networks),
        },
    }
