"""What ought to be blocked, read off the order files in the plainest way there is.

This is the other opinion: no index, no snapshot, no scope class, no fast path. It must stay too
simple to share a fault with what it checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from geodns.model.name import ancestors
from geodns.model.place import Location
from geodns.orders.loaded import LoadedOrder
from geodns.policy.scope import decide
from geodns.policy.snapshot import Reach, Snapshot

Claim = tuple[int, str, bool]
"""An order (its position), the list that names a name, and whether it is that very name."""


@dataclass(slots=True)
class Naive:
    """The orders in force, by position, and what they claim."""

    orders: list[LoadedOrder]
    reaches: list[Reach]
    blocking: list[bool]
    never: frozenset[bytes]
    claims: dict[bytes, list[tuple[int, str]]] = field(default_factory=dict)
    networks: list[tuple[int, int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, orders: Sequence[LoadedOrder], snapshot: Snapshot) -> Naive:
        """The orders that the snapshot says are in force."""
        by_id = {loaded.order.id: loaded for loaded in orders}
        taken = [by_id[record.id] for record in snapshot.in_force]
        made = cls(
            taken,
            [snapshot.reaches[record.reach] for record in snapshot.in_force],
            [loaded.order.status == "active" for loaded in taken],
            frozenset(bytes.fromhex(text) for text in snapshot.never),
        )
        for at, loaded in enumerate(taken):
            for kind in ("domains", "exact", "below", "exempt"):
                for name in getattr(loaded, kind):
                    made.claims.setdefault(name, []).append((at, kind))
            made.networks += [
                (one.version, int(one.network_address), int(one.broadcast_address), at)
                for one in loaded.networks
            ]
        return made

    def claims_on(self, name: bytes) -> frozenset[Claim]:
        """Every list of every order that has the name or one above it."""
        return frozenset(
            (order, kind, above == name)
            for above in ancestors(name)
            for order, kind in self.claims.get(above, ())
        )

    def spared(self, name: bytes) -> bool:
        """Whether the operator's emergency list has the name or one above it."""
        return any(above in self.never for above in ancestors(name))

    def on(self, claims: frozenset[Claim]) -> frozenset[int]:
        """The orders that would block a name with these claims, were they in force there."""
        exempt = {order for order, kind, _ in claims if kind == "exempt"}
        reaching = {
            order
            for order, kind, same in claims
            if kind == "domains" or (kind == "exact" and same) or (kind == "below" and not same)
        }
        return frozenset(order for order in reaching - exempt if self.blocking[order])

    def on_address(self, packed: bytes) -> frozenset[int]:
        """The orders that would block an answer that has this address."""
        version, address = 4 if len(packed) == 4 else 6, int.from_bytes(packed)
        return frozenset(
            order
            for of, first, last, order in self.networks
            if of == version and first <= address <= last and self.blocking[order]
        )

    def has_force(self, order: int, location: Location, asn: int, *, stale: bool) -> bool:
        """Whether an order has force at a location."""
        return decide(self.reaches[order], location, asn, stale=stale)[0]
