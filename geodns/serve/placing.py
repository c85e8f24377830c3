"""Which edition of each order can be used with the place tables at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from geodns.errors import Fault
from geodns.locate.table import PlaceTable
from geodns.orders.load import Loaded, LoadedOrder
from geodns.policy.scope import unplaceable

LastGood = Callable[[str, str], LoadedOrder | None]
"""The edition of an order file (path, place) that is kept on disk."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """orders: to be in force by their dates. faults: what is wrong, with unapproved: editions that
    wait for people. refused: files without any usable edition."""

    orders: tuple[LoadedOrder, ...]
    faults: tuple[Fault, ...]
    refused: tuple[str, ...]
    unapproved: tuple[Fault, ...] = ()


def misplaced(orders: Sequence[LoadedOrder], table: PlaceTable) -> tuple[Fault, ...]:
    """The faults of orders whose places these tables cannot tell."""
    return unplaceable(orders, has_subdivisions=table.has_subdivisions, has_asn=table.has_asn)


def accept(
    loaded: Loaded, former: Iterable[LoadedOrder], last_good: LastGood, table: PlaceTable
) -> Accepted:
    """An order that cannot be placed is faulty like one that cannot be read.

    The edition in force before, or the last good one on disk, stands in if that can be placed.
    """
    faults = misplaced(loaded.orders, table)
    bad = {fault.file for fault in faults}
    before = {order.path: order for order in former} if bad else {}
    orders: list[LoadedOrder] = []
    refused = [*loaded.refused]
    for order in loaded.orders:
        if order.path not in bad:
            orders.append(order)
            continue
        other = before.get(order.path) or last_good(order.path, order.place)
        if other is not None and not misplaced([other], table):
            orders.append(replace(other, last_good=True))
        else:
            refused.append(order.path)
    told = (*loaded.faults, *loaded.unapproved, *faults)
    return Accepted(tuple(orders), told, tuple(refused), loaded.unapproved)
