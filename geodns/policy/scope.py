"""Scope classes: the classes of locations to which exactly the same orders apply.

The number of classes follows the jurisdictions that the orders use, not the number of
countries of the world: 30 countries with orders give 31 classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from geodns.errors import Fault
from geodns.model.place import Location, expand
from geodns.policy.snapshot import Reach

if TYPE_CHECKING:  # workers read this module, and pydantic would slow their start
    from geodns.orders.loaded import LoadedOrder

_ASN = re.compile(r"AS(\d+)\Z")
Basis = Literal["place", "except", "unknown", "stale"]
"""What decided whether an order has force: its places, its exceptions, on_unknown, on_stale."""
UNKNOWN = Location(None)
ASN_OTHER, ASN_UNKNOWN = 0, 1
"""ASN columns: an ASN that no order names, and no ASN record at all; the named ones follow."""


def inside(places: Collection[str], location: Location, asn: int) -> bool | None:
    """Whether a location lies in any of the places: yes, no, or None for cannot be told.

    places: atoms. asn: autonomous system number, 0 = unknown. A location whose country is
    known but whose subdivision is not cannot be told to be in a subdivision of that country.
    """
    uncertain = False
    for place in places:
        found = _in_place(place, location, asn)
        if found:
            return True
        uncertain = uncertain or found is None
    return None if uncertain else False


def _in_place(place: str, location: Location, asn: int) -> bool | None:
    if match := _ASN.match(place):
        return None if asn == 0 else int(match[1]) == asn
    if location.country is None:
        return None
    if "-" not in place:
        return place == location.country
    if not place.startswith(location.country + "-"):
        return False
    return place in location.subdivisions if location.subdivisions else None


def decide(reach: Reach, location: Location, asn: int, *, stale: bool) -> tuple[bool, Basis]:
    """Whether an order of this reach has force at a location, and what decided that.

    stale: the database that gave the location is older than the operator allows.
    """
    if reach.everywhere:
        return True, "place"
    if stale and reach.allow_stale:
        return False, "stale"
    within = True if reach.places is None else inside(reach.places, location, asn)
    without = inside(reach.except_, location, asn)
    if within is False:
        return False, "place"
    if without is True:
        return False, "except"
    if within is None or without is None:
        return reach.block_unknown, "unknown"
    return True, "place"


def applies(reach: Reach, location: Location, asn: int, *, stale: bool) -> bool:
    """Whether an order of this reach has force at a location (see decide)."""
    return decide(reach, location, asn, stale=stale)[0]


class Scopes:
    """The scope class of every location of the place tables, for one snapshot's reaches."""

    def __init__(
        self, reaches: Sequence[Reach], locations: Sequence[Location], stale: Collection[int] = ()
    ) -> None:
        """stale: indexes of the sources (Location.source) that are too old."""
        self.asns = sorted(
            int(match[1])
            for place in frozenset().union(
                *(reach.except_ | (reach.places or frozenset()) for reach in reaches)
            )
            if (match := _ASN.match(place))
        )
        self.columns = {asn: number for number, asn in enumerate(self.asns, ASN_UNKNOWN + 1)}
        self.columns[0] = ASN_UNKNOWN
        self._reaches = reaches
        self._stale = frozenset(stale)
        self._by_atom: dict[str, list[int]] = {}
        self._always: list[int] = []
        for number, reach in enumerate(reaches):
            if reach.places is None or reach.except_:
                self._always.append(number)
            for place in reach.places or ():
                self._by_atom.setdefault(place, []).append(number)
                country = place.partition("-")[0]
                if country != place:
                    self._by_atom.setdefault(country + "-", []).append(number)
        self._numbers: dict[frozenset[int], int] = {frozenset(): 0}
        self.width = 1 if not self.asns else ASN_UNKNOWN + 1 + len(self.asns)
        self.rows = [tuple(self._row(location)) for location in locations]
        self._unknown = self._row(UNKNOWN)
        self.reaches_of = tuple(self._numbers)

    def __len__(self) -> int:
        """How many classes there are, class 0 (no order applies) included."""
        return len(self.reaches_of)

    def class_of(self, location_id: int, asn: int = 0) -> int:
        """The scope class of a location id; asn is looked at only if an order names one."""
        return self.rows[location_id][0 if self.width == 1 else self._column(asn)]

    def unknown_class(self, asn: int = 0) -> int:
        """The scope class of a client that cannot be located."""
        return self._unknown[0 if self.width == 1 else self._column(asn)]

    def applies(self, scope_class: int, reach: int) -> bool:
        """Whether orders of a reach have force in a scope class."""
        return reach in self.reaches_of[scope_class]

    def _column(self, asn: int) -> int:
        return self.columns.get(asn, ASN_OTHER)

    def _row(self, location: Location) -> list[int]:
        if self.width == 1:
            return [self._number(location, 0)]
        # ASN 2**32 - 1 is reserved (RFC 7300), so it stands for "one that no order names".
        return [self._number(location, asn) for asn in (0xFFFFFFFF, 0, *self.asns)]

    def _number(self, location: Location, asn: int) -> int:
        stale = location.source in self._stale
        signature = frozenset(
            number
            for number in self._candidates(location, asn)
            if applies(self._reaches[number], location, asn, stale=stale)
        )
        return self._numbers.setdefault(signature, len(self._numbers))

    def _candidates(self, location: Location, asn: int) -> Collection[int]:
        if location.country is None or (self.asns and asn == 0):
            return range(len(self._reaches))
        found = set(self._always)
        for atom in (location.country, location.country + "-", *location.subdivisions, f"AS{asn}"):
            found.update(self._by_atom.get(atom, ()))
        return found


def uniform_length(class_at: Callable[[int], tuple[int, int, int]], address: int, bits: int) -> int:
    """Prefix length of the largest block around an address that has one scope class throughout.

    class_at(address) gives (class, first, last) of the segment that holds an address of
    ``bits`` bits. Used as ECS scope prefix length (RFC 7871 section 7.2.1).
    """
    scope_class, low, high = class_at(address)
    for length in range(bits - 1, -1, -1):
        size = 1 << (bits - length)
        first = address & ~(size - 1)
        last = first + size - 1
        while low > first:
            other, low_before, _ = class_at(low - 1)
            if other != scope_class:
                return length + 1
            low = low_before
        while high < last:
            other, _, high_after = class_at(high + 1)
            if other != scope_class:
                return length + 1
            high = high_after
    return 0


def class_of_block(
    class_at: Callable[[int], tuple[int, int, int]], first: int, last: int
) -> int | None:
    """The scope class of a whole block of addresses, or None if it spans several."""
    scope_class, _, high = class_at(first)
    while high < last:
        other, _, high = class_at(high + 1)
        if other != scope_class:
            return None
    return scope_class


def unplaceable(
    orders: Sequence[LoadedOrder], *, has_subdivisions: bool, has_asn: bool
) -> tuple[Fault, ...]:
    """Orders whose jurisdiction the databases at hand can never decide: configuration errors."""
    faults: list[Fault] = []
    for loaded in orders:
        if not loaded.may_have_force:
            continue
        for place in (*(loaded.jurisdiction or ()), *loaded.except_):
            atoms = expand(place)
            if not has_subdivisions and any("-" in atom for atom in atoms):
                faults.append(
                    _unplaceable(loaded, place, "subdivisions", "a City database or a geofeed")
                )
            elif not has_asn and any(_ASN.match(atom) for atom in atoms):
                faults.append(_unplaceable(loaded, place, "ASNs", "an ASN database"))
    return tuple(faults)


def _unplaceable(loaded: LoadedOrder, place: str, what: str, remedy: str) -> Fault:
    return Fault(
        f"{place!r} needs a source that knows {what}, and none in [geoip] does; "
        f"add {remedy}, or widen the jurisdiction",
        file=loaded.path,
        field="except" if place in loaded.except_ else "jurisdiction",
    )
