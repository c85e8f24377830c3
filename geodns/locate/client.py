"""The client a query is judged by: its address, and how far that address is to be believed.

Addresses are integers in network order. An IPv6 address that carries an IPv4 address is
judged by the IPv4 address, since that is what place databases know and what the client has.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

_ECS = Struct("!HBB")
_WIDTH = {0: 0, 1: 4, 2: 16}
_LOW32 = 0xFFFFFFFF

MAPPED = 0xFFFF
"""``::ffff:0:0/96`` (RFC 4291 section 2.5.5.2), the upper 96 bits."""
NAT64 = 0x0064FF9B << 64
"""``64:ff9b::/96`` (RFC 6052 section 2.1), the upper 96 bits."""
TEREDO = 0x20010000
"""``2001::/32`` (RFC 4380 section 4), the upper 32 bits."""
SIX_TO_FOUR = 0x2002
"""``2002::/16`` (RFC 3056 section 2), the upper 16 bits."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who a query is judged by.

    version: 4 or 6, of ``address``. address: the address as an integer; bits past ``prefix``
    are zero. prefix: how many leading bits are known (32 or 128 for a whole address).
    provenance: ``peer``, ``proxy`` or ``ecs``. offset: bits before ``address`` in the address as it
    came: 96 for mapped, NAT64 and Teredo, 16 for 6to4, else 0; what is added to a prefix
    length to speak of the original family. how: ``mapped``, ``6to4``, ``teredo``, ``nat64``
    or None where nothing was embedded.
    """

    version: int
    address: int
    prefix: int
    provenance: str
    offset: int = 0
    how: str | None = None

    @property
    def last(self) -> int:
        """The last address that the known bits allow; the address itself if it is whole."""
        return self.address | (1 << (32 if self.version == 4 else 128) - self.prefix) - 1

    def text(self) -> str:
        """The address as text, with its prefix length unless it is whole."""
        whole = 32 if self.version == 4 else 128
        kind = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address
        text = str(kind(self.address))
        return text if self.prefix == whole else f"{text}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Ecs:
    """An EDNS Client Subnet option (RFC 7871 section 6).

    family: 1 (IPv4), 2 (IPv6), or 0 for "no address" (only with source 0). source: bits of
    the address that were sent. scope: as sent; 0 in every valid query. address: padded with
    zeros to 4 or 16 octets; empty for family 0.
    """

    family: int
    source: int
    scope: int
    address: bytes


def client_from_peer(packed: bytes) -> Client:
    """The client of a socket's peer: 4 or 16 octets, network order. ValueError otherwise."""
    return _client_at(packed, "peer")


def client_from_proxy(packed: bytes) -> Client:
    """The client that a PROXY header names: 4 or 16 octets, network order. ValueError otherwise."""
    return _client_at(packed, "proxy")


def _client_at(packed: bytes, provenance: str) -> Client:
    if len(packed) == 4:
        return Client(4, int.from_bytes(packed), 32, provenance)
    if len(packed) == 16:
        return _extract(int.from_bytes(packed), 128, provenance)
    raise ValueError(f"an address has 4 or 16 octets, not {len(packed)}")


def client_from_ecs(ecs: Ecs) -> Client:
    """The client that a valid ECS option names; with source 0 nothing is known of it."""
    address = int.from_bytes(ecs.address)
    if ecs.family == 2:
        return _extract(address, ecs.source, "ecs")
    return Client(4, address, ecs.source, "ecs")


def _extract(address: int, prefix: int, provenance: str) -> Client:
    """Take an embedded IPv4 address out of the first ``prefix`` bits of an IPv6 address."""
    if prefix >= 16 and address >> 112 == SIX_TO_FOUR:
        known = min(prefix - 16, 32)
        return Client(4, address >> 80 & _LOW32, known, provenance, 16, "6to4")
    if prefix >= 32 and address >> 96 == TEREDO:
        # The client is in the last 32 bits, inverted; what a shorter prefix holds is the
        # address of the Teredo server, which says nothing about the client's place.
        known = max(prefix - 96, 0)
        mask = _LOW32 << 32 - known & _LOW32
        return Client(4, ~address & mask, known, provenance, 96, "teredo")
    if prefix >= 96:
        upper = address >> 32
        if upper == MAPPED:
            return Client(4, address & _LOW32, prefix - 96, provenance, 96, "mapped")
        if upper == NAT64:
            return Client(4, address & _LOW32, prefix - 96, provenance, 96, "nat64")
    return Client(6, address, prefix, provenance)


def read_ecs(data: bytes) -> Ecs:
    """Read the data of an ECS option of a query. Raises ValueError where FORMERR is owed.

    RFC 7871 section 6 and 7.1.2: the address has just the octets that the prefix needs, its
    bits past the prefix are zero, the scope of a query is zero. Family 0 is taken with
    source 0 only (how BIND's dig writes ``+subnet=0``).
    """
    if len(data) < _ECS.size:
        raise ValueError("the ECS option is cut")
    family, source, scope = _ECS.unpack_from(data)
    width = _WIDTH.get(family)
    if width is None:
        raise ValueError(f"unknown address family {family}")
    if source > width * 8:
        raise ValueError(f"source prefix length {source} is too long for family {family}")
    if scope:
        raise ValueError(f"scope prefix length {scope} in a query")
    sent = data[_ECS.size :]
    if len(sent) != (source + 7) // 8:
        raise ValueError(f"{len(sent)} address octets for a prefix of {source} bits")
    if source % 8 and sent[-1] & 0xFF >> source % 8:
        raise ValueError("address bits past the source prefix length are set")
    return Ecs(family, source, scope, sent.ljust(width, b"\0"))


class Networks:
    """A set of networks that peers are matched against ([server].clients, [trust].ecs)."""

    __slots__ = ("_first", "_last", "texts")

    def __init__(self, cidrs: Sequence[str]) -> None:
        """Take addresses and CIDR blocks; ValueError, quoting the text, for anything else.

        Bits set past the prefix are an error: a typo must not widen whom one trusts.
        """
        self.texts = tuple(cidrs)
        ranges: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for text in cidrs:
            try:
                network = ipaddress.ip_network(text.strip())
            except ValueError as error:
                raise ValueError(f"{text!r} is no address or CIDR block: {error}") from None
            first = int(network.network_address)
            last = int(network.broadcast_address)
            width = 4 if network.version == 4 else 16
            if width == 16 and network.prefixlen >= 96 and first >> 32 == MAPPED:
                width, first, last = 4, first & _LOW32, last & _LOW32
            ranges[width].append((first, last))
        self._first: dict[int, list[int]] = {}
        self._last: dict[int, list[int]] = {}
        for width, found in ranges.items():
            merged: list[tuple[int, int]] = []
            for first, last in sorted(found):
                if merged and first <= merged[-1][1]:
                    merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
                else:
                    merged.append((first, last))
            self._first[width] = [first for first, _ in merged]
            self._last[width] = [last for _, last in merged]

    def __contains__(self, packed: bytes) -> bool:
        """Whether a packed address (4 or 16 octets) is in one of the networks.

        An IPv4-mapped address is compared as IPv4 (it is how a dual-stack socket shows
        an IPv4 peer); other embedded addresses are not: anybody can write those.
        """
        width = len(packed)
        address = int.from_bytes(packed)
        if width == 16 and address >> 32 == MAPPED:
            width, address = 4, address & _LOW32
        starts = self._first.get(width)
        if not starts:
            return False
        at = bisect_right(starts, address) - 1
        return at >= 0 and address <= self._last[width][at]

    def ranges(self, width: int) -> list[tuple[int, int]]:
        """Disjoint ascending (first, last) addresses of 4 or 16 octets."""
        return list(zip(self._first[width], self._last[width], strict=True))

    def __bool__(self) -> bool:
        """Whether there is any network at all."""
        return bool(self.texts)
