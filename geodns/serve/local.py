"""Names that are answered here and never asked of an upstream.

localhost, invalid (RFC 6761 sections 6.3, 6.4), onion (RFC 7686), resolver.arpa (RFC 9462 section
6.4; what it has is in resinfo.py) and the reverse zones of addresses that are private or no
addresses at all (RFC 6303 section 4, RFC 7793): asking the world for them leaks what is local,
and gets no answer that could be true.
"""

from __future__ import annotations

from typing import Literal

from geodns.model.message import ANY, Query
from geodns.model.name import ancestors, from_labels
from geodns.serve.resinfo import RESOLVER_ARPA

Verdict = Literal["address", "nxdomain", "nodata"]

LOCALHOST = from_labels([b"localhost"])
LOOPBACK = (bytes((127, 0, 0, 1)), bytes(15) + b"\x01")
TTL = 10800
"""Seconds; what RFC 6303 section 3 gives its empty zones."""


def _reverse4(prefix: str) -> bytes:
    """The reverse zone of whole octets: ``10`` or ``168.192`` as they stand in the name."""
    return from_labels([*(part.encode() for part in prefix.split(".")), b"in-addr", b"arpa"])


def _reverse6(nibbles: str) -> bytes:
    """The reverse zone of leading hexadecimal digits, in address order."""
    return from_labels([*(digit.encode() for digit in reversed(nibbles)), b"ip6", b"arpa"])


ZONES = frozenset(
    (
        LOCALHOST,
        from_labels([b"invalid"]),
        from_labels([b"onion"]),
        RESOLVER_ARPA,
        *map(_reverse4, ("0", "10", "127", "254.169", "168.192", "255.255.255.255")),
        *map(_reverse4, ("2.0.192", "100.51.198", "113.0.203")),
        *(_reverse4(f"{octet}.172") for octet in range(16, 32)),
        *(_reverse4(f"{octet}.100") for octet in range(64, 128)),
        *map(_reverse6, ("0" * 32, "0" * 31 + "1", "fd", "fe8", "fe9", "fea", "feb", "20010db8")),
    )
)


def local_zone(name: bytes) -> bytes | None:
    """The local zone that a folded name is at or below, or None."""
    if len(name) > 6 and name[-6:] not in _ENDS:
        return None
    return next((suffix for suffix in ancestors(name) if suffix in ZONES), None)


_ENDS = frozenset(zone[-6:] for zone in ZONES)
"""The last octets of every local zone: enough to let other names pass at once."""


def local_verdict(query: Query, zone: bytes) -> Verdict:
    """What is said of a name in a local zone; "address" stands for the loopback addresses."""
    if zone == LOCALHOST:
        return "address" if query.qtype in (1, 28, ANY) else "nodata"
    if zone == RESOLVER_ARPA:
        return "nodata"
    return "nodata" if query.folded == zone else "nxdomain"
