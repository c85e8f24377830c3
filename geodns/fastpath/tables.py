"""What the fast path works on: flat buffers, and reply templates. The same for both twins.

Buffers are anything with the buffer protocol and the item type given (array type codes: B is
8, H 16, I and i 32, Q 64 bits, d a double); integers are in the machine's byte order.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Buffer = Any

UNSET, HAND_UP, NO_ORDER = -3, -2, -1
"""Verdicts besides the number of an order: not asked yet; only the pipeline can tell (an
exemption, an emergency name, an order in shadow); no order here."""

VARIANTS = 3
"""Reply templates of an order: for A, for AAAA, and for any other query type."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Who is served, as disjoint ascending ranges: first and last addresses.

    first4, last4: I. first6 and last6 are split into upper and lower 64 bits: Q.
    """

    first4: Buffer
    last4: Buffer
    first6_upper: Buffer
    first6_lower: Buffer
    last6_upper: Buffer
    last6_lower: Buffer


@dataclass(frozen=True, slots=True)
class Places:
    """The place tables and what they mean for scope classes.

    start4, place4: I, segment starts and location ids. upper6, lower6: Q; place6: I.
    asn_start4, asn4, asn_upper6, asn_lower6, asn6: the same for AS numbers.
    classes: I, ``width`` columns a location. asns: I, ascending, the AS numbers that orders
    name; they have the columns from 2 on, 1 is for "no AS number known", 0 for all others.
    unknown: B, 1 for locations without a country.
    """

    start4: Buffer
    place4: Buffer
    upper6: Buffer
    lower6: Buffer
    place6: Buffer
    asn_start4: Buffer
    asn4: Buffer
    asn_upper6: Buffer
    asn_lower6: Buffer
    asn6: Buffer
    classes: Buffer
    width: int
    asns: Buffer
    unknown: Buffer


@dataclass(frozen=True, slots=True)
class Runs:
    """Where scope classes begin, for clients that an ECS option names.

    start4, class4: I; upper6, lower6: Q; class6: I. Neighbours have different classes, and
    the first run of each begins at 0.
    """

    start4: Buffer
    class4: Buffer
    upper6: Buffer
    lower6: Buffer
    class6: Buffer


@dataclass(frozen=True, slots=True)
class Names:
    """One layer of indexed names: see policy/snapshot.py.

    filter: B, a bit for each name's hash modulo its size in bits (a power of two); a name
    whose bit is not set is not indexed. buckets, name_at, rule: I. names: B.
    """

    filter: Buffer
    buckets: Buffer
    name_at: Buffer
    rule: Buffer
    names: Buffer


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks that the orders of one layer name, as disjoint segments.

    start4, rule4: I; upper6, lower6: Q; rule6: I. A segment ends before the next; rule 0 says
    that no order names it.
    """

    start4: Buffer
    rule4: Buffer
    upper6: Buffer
    lower6: Buffer
    rule6: Buffer


@dataclass(frozen=True, slots=True)
class Template:
    """What a block reply holds behind its question.

    rcode: 0 to 15. answers, authorities: record counts. records: their octets; where
    ``owner`` is true the first two are a compression pointer, to be set to the target.
    """

    rcode: int
    answers: int
    authorities: int
    records: bytes
    owner: bool


@dataclass(frozen=True, slots=True)
class OrderReplies:
    """The replies of one order. opt: OPT record with the EDE and its text; short: without."""

    templates: tuple[Template, Template, Template]
    opt: bytes
    short: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """Everything that changes when orders or place tables do.

    layers: one or two name layers. A rule of the second is numbered from ``rules[0]`` on.
    rules: how many rules each layer has. class_count: how many scope classes there are.
    decide(rule, scope class, whether the whole name matched) gives a verdict. local(rule,
    whether the whole name matched): whether an order that depends on the place names it.
    ecs_orders: the replies for clients behind a peer whose ECS is believed. networks:
    whether any order names networks, so that addresses of answers matter. named_networks:
    those, by layer; an answer with an address in one is for the pipeline.
    """

    places: Places
    layers: tuple[Names, ...]
    rules: tuple[int, ...]
    class_count: int
    decide: Callable[[int, int, bool], int]
    local: Callable[[int, bool], bool]
    orders: tuple[OrderReplies, ...]
    ecs_orders: tuple[OrderReplies, ...]
    networks: bool
    named_networks: tuple[Networks, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that may go to every client alike, as the packet cache keeps it.

    packet: the message with ID 0, without OPT. ttl_offsets: of its TTL fields. stored,
    expires: monotonic seconds. authentic: the upstream set AD. aliases, addresses: whether the
    answer has any, so that other orders may say something else about it.
    """

    packet: bytes
    ttl_offsets: tuple[int, ...]
    stored: float
    expires: float
    authentic: bool
    aliases: bool
    addresses: bool


KEPT_OCTETS = 768
"""Key and packet of a kept answer at most; a larger one takes the pipeline's way."""
KEPT_TTLS = 24
"""TTL fields of a kept answer at most."""
WAYS = 8
"""Answers whose keys share a set of the packet cache at most."""


LEAST_OPT = 11
"""Octets of an OPT record without options."""


def check(load: Load) -> None:
    """Refuse tables whose sizes contradict each other: ValueError.

    Costs the same however long the tables are. What they hold is not looked at here: both
    twins check every index before they use it.
    """
    if not 1 <= len(load.layers) <= 2 or len(load.rules) != len(load.layers):
        raise ValueError("a load has one or two layers, and the number of rules of each")
    for layer in load.layers:
        check_names(layer)
    places = load.places
    for columns in (
        (places.start4, places.place4),
        (places.upper6, places.lower6, places.place6),
        (places.asn_start4, places.asn4),
        (places.asn_upper6, places.asn_lower6, places.asn6),
    ):
        if len({len(column) for column in columns}) > 1:
            raise ValueError("columns of a place table differ in length")
    if places.width != (len(places.asns) + 2 if len(places.asns) else 1):
        raise ValueError(f"{places.width} columns for {len(places.asns)} AS numbers")
    if len(places.classes) != places.width * len(places.unknown):
        raise ValueError("the table of scope classes does not fit the locations")
    for networks in load.named_networks:
        for columns in (
            (networks.start4, networks.rule4),
            (networks.upper6, networks.lower6, networks.rule6),
        ):
            if len({len(column) for column in columns}) > 1:
                raise ValueError("columns of named networks differ in length")
    if len(load.ecs_orders) != len(load.orders):
        raise ValueError("an order has no reply for clients behind ECS peers")
    for order in (*load.orders, *load.ecs_orders):
        if min(len(order.opt), len(order.short)) < LEAST_OPT:
            raise ValueError("an OPT record is cut")
        if any(template.owner and len(template.records) < 2 for template in order.templates):
            raise ValueError("a reply has no room for its owner name")


def check_runs(runs: Runs) -> None:
    """Refuse runs whose columns differ in length or do not begin at 0: ValueError."""
    for columns in ((runs.start4, runs.class4), (runs.upper6, runs.lower6, runs.class6)):
        if len({len(column) for column in columns}) > 1 or not len(columns[0]):
            raise ValueError("columns of runs differ in length, or hold nothing")
    if runs.start4[0] or runs.upper6[0] or runs.lower6[0]:
        raise ValueError("runs do not begin at the first address")


def check_names(names: Names) -> None:
    """Refuse a name index whose sizes contradict each other: ValueError."""
    filter_, buckets = len(names.filter), len(names.buckets) - 1
    if filter_ < 1 or filter_ & filter_ - 1 or buckets < 1 or buckets & buckets - 1:
        raise ValueError("filter and buckets of a name index are not powers of two")
    if names.buckets[0] != 0 or names.buckets[buckets] != len(names.rule):
        raise ValueError("the buckets of a name index do not hold its names")
    if len(names.name_at) < len(names.rule):
        raise ValueError("a name index has rules without names")


def fits(key: bytes, kept: Kept) -> bool:
    """Whether an answer is one that the fast path keeps: not too large, and no nonsense."""
    size = len(kept.packet)
    return (
        len(key) > 5
        and len(key) + size <= KEPT_OCTETS
        and size >= 12 + len(key) - 1
        and len(kept.ttl_offsets) <= KEPT_TTLS
        and all(0 <= at <= size - 4 for at in kept.ttl_offsets)
    )


def unset_verdicts(load: Load) -> array[int]:
    """The verdict table of a load: rule, then scope class, then part or whole of a name."""
    return array("i", [UNSET]) * (sum(load.rules) * load.class_count * 2)
