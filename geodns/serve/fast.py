"""Feeding the fast path: what is in force as flat tables, and answers fit for everybody."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable

from geodns.fastpath.choice import choose_as_required
from geodns.fastpath.pure import FastPath
from geodns.fastpath.tables import HAND_UP, Kept, Load, OrderReplies, Peers, Places
from geodns.locate.client import MAPPED, Networks
from geodns.model.message import AD
from geodns.policy.rule import Rules
from geodns.policy.snapshot import OrderRecord
from geodns.serve import reply
from geodns.serve.inforce import InForce
from geodns.upstream.cache import Entry

ECS_BLOCK_TTL = 10
"""Seconds at most that a block lives at an ECS peer: such peers may share negative answers
between places (RFC 7871 section 7.4)."""
MOST_VERDICTS = 1 << 22
"""Verdicts in the table of a load at most (32 MiB); above that the pipeline rules alone."""
_LOW64 = 0xFFFFFFFFFFFFFFFF
_NOBODY = Networks(())

log = logging.getLogger("geodns.serve")


def make_fast_path(slots: int) -> FastPath:
    """The native fast path, or the pure one where none works or GEODNS_PURE=1.

    Warns of a native one that is there and cannot be used. ServerError where one is required.
    """
    chosen = choose_as_required()
    if chosen.module is not None:
        found: FastPath = chosen.module.FastPath(slots)
        return found
    if chosen.broken:
        log.warning("the pure fast path serves; %s", chosen.why)
    return FastPath(slots)


def peers_of(clients: Networks, without: Networks = _NOBODY) -> Peers:
    """The peers that are served, as ranges, less those of ``without``."""
    four = _less(clients.ranges(4), without.ranges(4))
    # An IPv4-mapped address is what it carries, which is for ``Networks`` to see.
    mapped = MAPPED << 32, MAPPED << 32 | 0xFFFFFFFF
    six = _less(clients.ranges(16), sorted([*without.ranges(16), mapped]))
    return Peers(
        array("I", [first for first, _ in four]),
        array("I", [last for _, last in four]),
        array("Q", [first >> 64 for first, _ in six]),
        array("Q", [first & _LOW64 for first, _ in six]),
        array("Q", [last >> 64 for _, last in six]),
        array("Q", [last & _LOW64 for _, last in six]),
    )


def _less(ranges: list[tuple[int, int]], holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint ascending ranges without the addresses of others, which ascend too."""
    left = []
    for first, last in ranges:
        for begin, end in holes:
            if end >= first and begin <= last:
                if begin > first:
                    left.append((first, begin - 1))
                first = end + 1
        if first <= last:
            left.append((first, last))
    return left


def load_of(in_force: InForce, *, blocks: bool = True) -> Load | None:
    """What is in force as flat tables; None where the verdict table would be too large.

    blocks: whether the fast path may block by itself; else each block is handed up.
    """
    snapshot, scopes = in_force.snapshot, in_force.scopes
    rules = snapshot.rule_counts
    if sum(rules) * len(scopes) * 2 > MOST_VERDICTS:
        return None
    classes = array("I")
    for row in scopes.rows:
        classes.extend(row)
    columns = in_force.places.columns
    start4, place4, upper6, lower6, place6 = columns[:5]
    asn_start4, asn4, asn_upper6, asn_lower6, asn6 = columns[5:]
    places = Places(
        start4=start4,
        place4=place4,
        upper6=upper6,
        lower6=lower6,
        place6=place6,
        asn_start4=asn_start4,
        asn4=asn4,
        asn_upper6=asn_upper6,
        asn_lower6=asn_lower6,
        asn6=asn6,
        classes=classes,
        width=scopes.width,
        asns=array("I", scopes.asns),
        unknown=bytes(location.country is None for location in in_force.places.locations),
    )
    return Load(
        places,
        snapshot.layers,
        rules,
        len(scopes),
        in_force.rules.verdict if blocks else _hand_up_blocks(in_force.rules),
        in_force.rules.local,
        tuple(_replies(order, order.ttl) for order in snapshot.orders),
        tuple(_replies(order, min(order.ttl, ECS_BLOCK_TTL)) for order in snapshot.orders),
        snapshot.networks > 0,
        snapshot.network_layers if snapshot.networks else (),
    )


def _hand_up_blocks(rules: Rules) -> Callable[[int, int, bool], int]:
    def verdict(rule: int, scope_class: int, full: bool) -> int:
        found = rules.verdict(rule, scope_class, full)
        return found if found < 0 else HAND_UP

    return verdict


def _replies(order: OrderRecord, ttl: int) -> OrderReplies:
    return reply.templates(order.action, ttl, order.addresses, (order.ede, order.text))


def kept_of(entry: Entry) -> Kept | None:
    """A cached answer as the fast path keeps it, or None if it is not for everybody alike.

    The caller has made sure that no order in force names its aliases or addresses.
    """
    response = entry.response
    if response.ede or response.rcode > 15 or response.lifetime <= 0:
        return None
    return Kept(
        response.packet,
        response.ttl_offsets,
        entry.stored,
        entry.expires,
        bool(response.flags & AD),
        bool(response.aliases),
        bool(response.addresses),
    )
