"""Which places orders tell apart, and whether an order has force in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from geodns.model.place import atoms, kind
from geodns.orders.loaded import LoadedOrder

ELSEWHERE, UNKNOWN = "elsewhere", "unknown"
"""Places that no order names, and clients that cannot be located."""

Place = frozenset[str]
"""What is known of a client: its country, its subdivision, its AS number."""


def places_of(orders: Sequence[LoadedOrder]) -> list[tuple[str, Place]]:
    """The places that orders tell apart, each with its name."""
    every = atoms(place for one in orders for place in _all_places(one))
    found: dict[str, Place] = {}
    for atom in sorted(every):
        country = atom.partition("-")[0]
        found[atom] = frozenset((atom,) if kind(atom) == "asn" else (country, atom))
        if kind(atom) == "subdivision":
            found.setdefault(country, frozenset((country,)))
    # A network that is carved out of a country is a place of its own inside it.
    for one in orders:
        asns = [place for place in one.except_ if kind(place) == "asn"]
        inner = atoms(one.jurisdiction or ())
        for asn in asns:
            for atom in sorted(inner):
                if kind(atom) != "asn":
                    found[f"{asn} in {atom}"] = found[atom] | {asn}
    if any(one.jurisdiction is None for one in orders):
        found[ELSEWHERE] = frozenset()
    found[UNKNOWN] = frozenset((UNKNOWN,))
    return list(found.items())


def fold(places: set[str], known: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Places without those inside others of them, and what of the known lies inside and is none."""

    def inside(place: str) -> bool:
        if place in (ELSEWHERE, UNKNOWN):
            return False
        country = place.rpartition(" in ")[2].partition("-")[0]
        return ELSEWHERE in places or (country != place and country in places)

    outer = sorted(place for place in places if not inside(place))
    return tuple(outer), tuple(sorted(one for one in known if one not in places and inside(one)))


def _all_places(loaded: LoadedOrder) -> tuple[str, ...]:
    return (*(loaded.jurisdiction or ()), *loaded.except_)


def has_force(loaded: LoadedOrder, place: Place) -> bool:
    """Whether an order has force in a place, as policy.scope decides it."""
    if UNKNOWN in place:
        everywhere = loaded.jurisdiction is None and not loaded.except_
        return everywhere or loaded.order.on_unknown == "block"
    if not place.isdisjoint(atoms(loaded.except_)):
        return False
    return loaded.jurisdiction is None or not place.isdisjoint(atoms(loaded.jurisdiction))


def reach(loaded: LoadedOrder) -> object:
    """What decides where an order has force: equal for orders that have it in the same places."""
    return loaded.jurisdiction, loaded.except_, loaded.order.on_unknown
