"""Where the parts are wired together, and the only place that does it.

Workers import this module, so what only the parent and the commands need (settings, orders,
the builder of place tables) is imported inside the functions that need it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodns.errors import DatabaseError, InputFaults
from geodns.fastpath.tables import KEPT_OCTETS
from geodns.locate.table import PlaceTable
from geodns.model import name
from geodns.policy.layers import open_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.fast import make_fast_path
from geodns.serve.inforce import InForce
from geodns.serve.pipeline import Pipeline
from geodns.upstream.cache import Cache
from geodns.upstream.forward import Forwarder

if TYPE_CHECKING:
    from geodns.config import Settings
    from geodns.orders.load import Loaded, OrderLoader
    from geodns.serve.placing import Accepted

log = logging.getLogger("geodns")

PLACES, LAST_GOOD = "places", "last-good"
"""Folders inside [server].state."""

Progress = Callable[[int, int], None]


def make_pipeline(settings: dict[str, Any]) -> Pipeline:
    """The pipeline of one worker. settings: the JSON form of config.Settings."""
    cache = settings["cache"]
    forwarder = make_forwarder(settings["upstream"], settings["limits"]["misses"])
    # What the fast path has asked for by itself is kept only there.
    fast = make_fast_path(cache["size"] // 2 // KEPT_OCTETS)
    size, stale = cache["size"] // 2, cache["serve_stale"]
    kept = Cache(size, cache["min_ttl"], cache["max_ttl"], stale)
    # Answers that may be needed when they are old are all kept in one place.
    forwarder.all_here = stale > 0
    return Pipeline(forwarder, kept, fast, settings)


def make_forwarder(upstream: dict[str, Any], misses: int) -> Forwarder:
    """What asks upstream. upstream: the JSON form of [upstream]. misses: at once."""
    return Forwarder(
        upstream["servers"],
        upstream["timeout"],
        upstream["attempts"],
        misses,
        zones={name.parse(zone["name"]): zone["servers"] for zone in upstream["zones"]},
        ca=upstream["ca"],
        cookies=upstream["cookies"],
        random_case=upstream["case"] == "random",
    )


def load_in_force(
    snapshot: Path, places: Path, stale: Collection[int], held: InForce | None = None
) -> InForce:
    """Map a snapshot and a place table. Raises SnapshotError or DatabaseError.

    held: what is in force now; what did not change is taken over and not read again.
    """
    opened = open_snapshot(snapshot, held.snapshot if held is not None else None)
    if held is not None and held.places.path == places:
        return InForce(opened, held.places, stale, held)
    return InForce(opened, PlaceTable.open(places), stale)


def open_places(
    settings: Settings, progress: Progress | None = None, *, former: bool = False
) -> PlaceTable:
    """The place table of the settings' databases and geofeeds, built if it is not there yet.

    former: where they cannot be used, take the newest table that is kept and say so, as a running
    server goes on with its own. Raises DatabaseError.
    """
    from geodns.locate.build import build_places
    from geodns.locate.store import newest

    geoip, folder = settings.geoip, settings.server.state / PLACES
    try:
        path = build_places(geoip.databases, geoip.geofeeds, folder, progress)
    except (DatabaseError, InputFaults) as error:
        kept = newest(folder) if former else None
        if kept is None:
            raise
        log.warning("geodns: warning: %s; the place table of before is used", error)
        path = kept
    return PlaceTable.open(path)


def load_orders(settings: Settings, progress: Progress | None = None) -> Loaded:
    """Load the order files as the server would, with the last good editions that it keeps."""
    return _loader(settings).load(progress)


def accept_orders(settings: Settings, loaded: Loaded, places: PlaceTable) -> Accepted:
    """The orders that the server would use with these place tables, and all faults."""
    from geodns.serve.placing import accept

    return accept(loaded, (), _loader(settings).last_good, places)


def _loader(settings: Settings) -> OrderLoader:
    """Reads orders beside a server, whose good editions it only reads."""
    from geodns.orders.approval import Approvers
    from geodns.orders.feeds.kept import FEEDS
    from geodns.orders.guard.judge import known_with
    from geodns.orders.load import OrderLoader

    state, orders = settings.server.state, settings.orders
    return OrderLoader(
        orders.directories,
        state / LAST_GOOD,
        keep=False,
        feeds=state / FEEDS,
        known=known_with(orders.popular),
        approvers=Approvers(orders.approvals, orders.keys),
    )


def compile_in_force(
    settings: Settings, accepted: Accepted, places: PlaceTable, at: datetime
) -> InForce:
    """What is in force at an instant, in memory: for explain and matrix."""
    from geodns.policy.compile import compile_snapshot

    never = [name.parse(text) for text in settings.orders.never_block]
    snapshot = Snapshot(compile_snapshot(accepted.orders, at, never))
    return InForce(snapshot, places, places.stale(settings.geoip.max_age_days, at.timestamp()))
