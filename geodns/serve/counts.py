"""What happened, as counters: names with slashes, such as ``order/it-x`` and ``place/IT``.

docs/operations.md says what each of them means.
"""

from __future__ import annotations

from collections import Counter

from geodns.fastpath.pure import FastPath
from geodns.model.name import ancestors, to_text
from geodns.model.place import Location
from geodns.policy.rule import Recorder
from geodns.serve.inforce import InForce


def shadows(in_force: InForce, recorder: Recorder) -> list[str]:
    """The counters of orders in shadow that would have had force."""
    return [f"shadow/{in_force.snapshot.orders[order].id}" for order in recorder.shadows]


def stopped(in_force: InForce, recorder: Recorder) -> set[str]:
    """The orders that the emergency list kept from blocking; those in shadow would not have."""
    found = {ground.order for ground in recorder.grounds if ground.effect == "never_block"}
    if found:
        found -= {order.id for order in in_force.snapshot.in_force if order.shadow}
    return found


def never_block(in_force: InForce, recorder: Recorder, names: list[bytes]) -> list[str]:
    """The counters of what the emergency list stopped for these names (folded).

    By the operator's entry, and not by the name: an order of a million names below one entry
    must not make a million counters.
    """
    orders = stopped(in_force, recorder)
    if not orders:
        return []
    never = in_force.snapshot.never
    entries = {
        to_text(above) for name in names for above in ancestors(name) if above.hex() in never
    }
    return [f"never_block/{entry}/{order}" for entry in entries for order in orders]


def of_fast_path(fast: FastPath, in_force: InForce) -> Counter[str]:
    """What the fast path has counted since its last load, in the pipeline's words."""
    counts: Counter[str] = Counter()
    for number, blocks in enumerate(fast.order_counts()):
        counts["blocked"] += blocks
        counts[f"order/{in_force.snapshot.orders[number].id}"] += blocks
    blocks_of = fast.place_blocks()
    for number, queries in enumerate(fast.place_counts()):
        country = in_force.places.locations[number].country
        counts["queries/udp"] += queries
        counts[f"blocked_in/{country}"] += blocks_of[number]
        counts[f"place/{country}"] += queries
        if country is None:
            counts["unlocated"] += queries
    crowded = counts["overload/client"] = fast.crowded()
    counts["allowed"] = counts["queries/udp"] - counts["blocked"] - crowded
    counts["cache/hits"] = counts["allowed"] - fast.missed()
    counts["cache/misses"] = fast.missed() + crowded
    return +counts


def by_place(fast: FastPath, in_force: InForce) -> Counter[str]:
    """What the fast path has blocked since its last load, by order and place."""
    orders, locations = in_force.snapshot.orders, in_force.places.locations
    counts: Counter[str] = Counter()
    for order, location, blocks in fast.order_place_blocks():
        counts[placed("block", orders[order].id, locations[location])] += blocks
    return counts


def placed(what: str, order: str, location: Location) -> str:
    """The counter of an order in one country: ``block/it-x/IT``, ``shadow/it-x/unknown``."""
    return f"{what}/{order}/{location.country or 'unknown'}"
