"""Names that are answered here and never asked of an upstream.

localhost, invalid (RFC 6761 sections 6.3, 6.4), onion (RFC 7686), home.arpa (RFC 8375),
resolver.arpa (RFC 9462; what it has is in resinfo.py) and the reverse zones of addresses that
are private or no addresses at all (RFC 6303 section 4, RFC 7793): asking the world for them
leaks what is local, and gets no answer that could be true. Each is a zone with an SOA and an NS
record (RFC 6303 section 3).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from geodns.model.message import AAAA, ANY, IN, NOERROR, NS, NXDOMAIN, SOA, A, Query
from geodns.model.name import ancestors, from_labels
from geodns.serve.resinfo import RESOLVER_ARPA

LOCALHOST = from_labels([b"localhost"])
_LOOPBACK = ((A, bytes((127, 0, 0, 1))), (AAAA, bytes(15) + b"\x01"))
TTL = 10800
"""Seconds; what RFC 6303 section 3 gives its empty zones."""

_RECORD = Struct("!HHIH")
_NOBODY = from_labels([b"nobody", b"invalid"])
_TIMERS = Struct("!5I").pack(1, 3600, 1200, 604800, TTL)


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
        from_labels([b"home", b"arpa"]),
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


class LocalAnswer(NamedTuple):
    """What is said of a name in a local zone. counts: records in answer and authority section.

    records: these as they follow the question.
    """

    rcode: int
    counts: tuple[int, int]
    records: bytes


def local_answer(query: Query, zone: bytes) -> LocalAnswer:
    """The answer to a query for a name at or below a local zone.

    localhost has the loopback addresses, and so have all names below it. Nothing below
    resolver.arpa is denied: a resolver that names no encrypted one says NODATA (RFC 9462 section
    6.4). Below the others there is nothing.
    """
    at = len(query.folded) - len(zone)
    apex = (0xC000 | 12 + at).to_bytes(2, "big")
    if zone == LOCALHOST:
        wanted = [
            _record(b"\xc0\x0c", kind, data)
            for kind, data in _LOOPBACK
            if query.qtype in (kind, ANY)
        ]
        if wanted:
            return LocalAnswer(NOERROR, (len(wanted), 0), b"".join(wanted))
    soa = _record(apex, SOA, apex + _NOBODY + _TIMERS)
    if at:
        denied = zone not in (LOCALHOST, RESOLVER_ARPA)
        return LocalAnswer(NXDOMAIN if denied else NOERROR, (0, 1), soa)
    own = [(SOA, soa), (NS, _record(apex, NS, apex))]
    found = [record for kind, record in own if query.qtype in (kind, ANY)]
    if found:
        return LocalAnswer(NOERROR, (len(found), 0), b"".join(found))
    return LocalAnswer(NOERROR, (0, 1), soa)


def _record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + _RECORD.pack(kind, IN, TTL, len(data)) + data
