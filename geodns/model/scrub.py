"""Leaving records out of a message.

Names in the records that stay may be compressed by pointing into what goes, so they are all
written out. That is done for the record types whose data may hold compressed names (RFC 3597
section 4) or does at some servers; all other data is copied as it is.
"""

from __future__ import annotations

from collections.abc import Collection

from geodns.model.message import HEADER, OPT, TAIL, expand_name, skip_name, skip_plain_name

_MOST = 65535
_NAMES = {
    **dict.fromkeys((2, 3, 4, 5, 7, 8, 9, 12, 39), (0, 1)),  # NS, MD, MF, CNAME, MB ... DNAME
    **dict.fromkeys((6, 14, 17), (0, 2)),  # SOA, MINFO, RP
    **dict.fromkeys((15, 18, 21, 36), (2, 1)),  # MX, AFSDB, RT, KX
    **dict.fromkeys((24, 46), (18, 1)),  # SIG, RRSIG
    **dict.fromkeys((30, 47), (0, 1)),  # NXT, NSEC
    **dict.fromkeys((64, 65), (2, 1)),  # SVCB, HTTPS
    26: (2, 2),  # PX
    33: (6, 1),  # SRV
}
"""By record type: octets in front of the first name of its data, and how many names follow."""


def without_answers(packet: bytes, unwanted: Collection[int]) -> bytes:
    """The message without some records of its answer section (numbers, from 0).

    What stands behind the OPT record goes as well. Raises ValueError, IndexError or struct.error
    where the message is cut or malformed, ValueError also where it would be over 65,535 octets.
    """
    ident, flags, qdcount, ancount, nscount, arcount = HEADER.unpack_from(packet)
    at = HEADER.size
    for _ in range(qdcount):
        at = skip_plain_name(packet, at) + 4
    parts = [packet[HEADER.size : at]]
    for number in range(ancount + nscount + arcount):
        start = at
        at = skip_name(packet, at)
        rtype, rclass, ttl, length = TAIL.unpack_from(packet, at)
        data = at + TAIL.size
        at = data + length
        if at > len(packet):
            raise ValueError("a record is cut")
        if number < ancount and number in unwanted:
            continue
        if rtype == OPT:
            parts.append(packet[start:at])
            arcount = number - ancount - nscount + 1
            break
        written = _written_out(packet, rtype, data, at)
        head = TAIL.pack(rtype, rclass, ttl, len(written))
        parts.append(expand_name(packet, start) + head + written)
    header = HEADER.pack(ident, flags, qdcount, ancount - len(unwanted), nscount, arcount)
    made = b"".join((header, *parts))
    if len(made) > _MOST:
        raise ValueError("a message with its names written out is too long")
    return made


def _written_out(packet: bytes, rtype: int, at: int, end: int) -> bytes:
    """Record data with its names in plain wire format."""
    fixed, names = _NAMES.get(rtype, (0, 0))
    if not names or at == end:
        return packet[at:end]
    parts = [packet[at : at + fixed]]
    at += fixed
    for _ in range(names):
        parts.append(expand_name(packet, at))
        at = skip_name(packet, at)
    if at > end:
        raise ValueError("a name does not end within its record")
    return b"".join((*parts, packet[at:end]))
