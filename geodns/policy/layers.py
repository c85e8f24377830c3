"""A snapshot in two layers: a big base, and a small amendment that changes some orders of it.

Changing one order among a million names must not compile a million names again. The
amendment holds the orders that are new or other than in the base, whole, and the ids of the
base's orders that have no force any more. Both are files of the same layout; the base
stays mapped as it is. When amendments grow large the parent compiles a new base.
"""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path

from geodns.errors import SnapshotError
from geodns.fastpath.tables import Names, Networks
from geodns.policy.snapshot import NO_ORDER, OrderRecord, Snapshot, map_snapshot


def open_snapshot(path: Path, held: Snapshot | None = None) -> Snapshot:
    """Map a snapshot file, and the base beside it if it is an amendment.

    held: a snapshot in use, whose base (or which itself) is taken where it is the one
    wanted, so that a big base is not read again. Raises SnapshotError.
    """
    if held is not None and path.stem == held.file:
        return held
    data = map_snapshot(path)
    alone = Snapshot(data, str(path))
    if alone.base is None:
        return alone
    for known in (held, held.bottom if isinstance(held, LayeredSnapshot) else None):
        if known is not None and known.file == alone.base:
            return LayeredSnapshot(data, known, str(path))
    base = Snapshot.open(path.with_name(f"{alone.base}.snapshot"))
    return LayeredSnapshot(data, base, str(path))


class LayeredSnapshot(Snapshot):
    """An amendment over its base; to its users one snapshot like any other.

    Order indexes are the base's, then the amendment's. A rule is the base's, the amendment's
    (behind the base's), or, where both name the same suffix or address, one made for the pair.
    """

    def __init__(self, data: bytes | mmap.mmap, base: Snapshot, origin: str = "amendment") -> None:
        """data: the amendment's file. Raises SnapshotError if base is not the one it amends."""
        super().__init__(data, origin)
        if self.base != base.file:
            raise SnapshotError(f"{origin}: amends {self.base}, not {base.file}")
        self.bottom = base
        self._first = len(base.orders)
        self._gone = frozenset(
            number for number, order in enumerate(base.orders) if order.id in self._dead
        )
        reaches = list(base.reaches)
        known = {reach: number for number, reach in enumerate(reaches)}
        moved = []
        for reach in self.reaches:
            if reach not in known:
                known[reach] = len(reaches)
                reaches.append(reach)
            moved.append(known[reach])
        own = [replace(order, reach=moved[order.reach]) for order in self.orders]
        self.orders = (*base.orders, *own)
        self.reaches = tuple(reaches)
        self.names += base.names
        self.networks += base.networks
        by_rank = sorted(
            range(len(self.orders)), key=lambda at: (self.orders[at].effective, self.orders[at].id)
        )
        ranks = [0] * len(by_rank)
        for rank, number in enumerate(by_rank):
            ranks[number] = rank
        self.rank = ranks
        self._by_rank = by_rank
        self._rules = base.rule_counts[0], len(self._rule_at) - 1
        self._pairs: dict[tuple[int, int], int] = {}
        self._pair_items: list[list[tuple[int, int]]] = []
        self._living: dict[int, bool] = {}

    @property
    def in_force(self) -> tuple[OrderRecord, ...]:
        """The orders in force, by precedence."""
        return tuple(self.orders[at] for at in self._by_rank if at not in self._gone)

    @property
    def layers(self) -> tuple[Names, ...]:
        """The name indexes as the fast path takes them: the base's, then the amendment's."""
        return (*self.bottom.layers, *super().layers)

    @property
    def network_layers(self) -> tuple[Networks, ...]:
        """The segments of order networks, of the base and of the amendment."""
        return (*self.bottom.network_layers, *super().network_layers)

    @property
    def rule_counts(self) -> tuple[int, ...]:
        """How many rules each layer has."""
        return self._rules

    def name_rules(self, name: bytes) -> list[tuple[int, int]]:
        """(offset of the suffix in name, rule) for each indexed name at or above ``name``."""
        below = [hit for hit in self.bottom.name_rules(name) if self._lives(hit[1])]
        above = super().name_rules(name)
        if not above:
            return below
        found = dict(below)
        for at, rule in above:
            found[at] = self._join(found.get(at), rule)
        return sorted(found.items())

    def address_rule(self, packed: bytes) -> int:
        """The rule of the order networks that hold an address (4 or 16 octets), 0 = none."""
        below = self.bottom.address_rule(packed)
        if not self._lives(below):
            below = 0
        above = super().address_rule(packed)
        return self._join(below or None, above) if above else below

    def items(self, rule: int) -> list[tuple[int, int]]:
        """The (order index, detail) pairs of a rule, without orders that have gone."""
        below, above = self._rules
        if rule < below:
            return [item for item in self.bottom.items(rule) if item[0] not in self._gone]
        if rule < below + above:
            return [
                (order if order == NO_ORDER else order + self._first, detail)
                for order, detail in super().items(rule - below)
            ]
        return self._pair_items[rule - below - above]

    def _lives(self, rule: int) -> bool:
        """Whether any order of a rule of the base still has force."""
        found = self._living.get(rule)
        if found is None:
            found = self._living[rule] = bool(self.items(rule))
        return found

    def _join(self, below: int | None, above: int) -> int:
        """The rule for what both layers name."""
        base, amended = self._rules
        above += base
        if below is None:
            return above
        pair = below, above
        found = self._pairs.get(pair)
        if found is None:
            found = self._pairs[pair] = base + amended + len(self._pair_items)
            self._pair_items.append(self.items(below) + self.items(above))
        return found
