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
    decide(rule, scope class, whether the whole name matched) gives a verdict. networks:
    whether any order names networks, so that addresses of answers matter.
    """

    places: Places
    layers: tuple[Names, ...]
    rules: tuple[int, ...]
    class_count: int
    decide: Callable[[int, int, bool], int]
    orders: tuple[OrderReplies, ...]
    networks: bool


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


def unset_verdicts(load: Load) -> array[int]:
    """The verdict table of a load: rule, then scope class, then part or whole of a name."""
    return array("i", [UNSET]) * (sum(load.rules) * load.class_count * 2)
