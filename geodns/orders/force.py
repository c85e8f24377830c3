"""What of an order has force: its targets without those that are held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256

from geodns.model.namelist import NameList
from geodns.orders.loaded import LoadedOrder, Network


def without_held(loaded: LoadedOrder) -> LoadedOrder:
    """The order as it has force: itself where nothing is held.

    Else its edition is another one, since it is not what its file says that is in force.
    """
    return less(loaded, [(held.field, held.target) for held in loaded.held])


def less(loaded: LoadedOrder, gone: Collection[tuple[str, bytes | Network]]) -> LoadedOrder:
    """The order without some targets, each with the list that it is taken out of."""
    if not gone:
        return loaded
    fields: dict[str, set[bytes | Network]] = {}
    for field, target in gone:
        fields.setdefault(field, set()).add(target)

    def left(field: str, names: Sequence[bytes]) -> Sequence[bytes]:
        out = fields.get(f"targets.{field}")
        return names if out is None else [name for name in names if name not in out]

    domains = left("domains", loaded.domains)
    out = fields.get("targets.networks", set())
    digest = sha256(loaded.edition.encode())
    for line in sorted(f"{field} {target!s}\n" for field, target in gone):
        digest.update(line.encode())
    return replace(
        loaded,
        domains=domains if isinstance(domains, NameList) else NameList.of(domains),
        exact=tuple(left("exact", loaded.exact)),
        below=tuple(left("below", loaded.below)),
        networks=tuple(network for network in loaded.networks if network not in out),
        edition=digest.hexdigest(),
    )
