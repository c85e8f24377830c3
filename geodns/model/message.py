"""DNS messages as bytes: what must be read, and no more (RFC 1035, RFC 6891).

A query is read whole, strictly; what is read of a response stands in response.py. All offsets
count octets from the start of the message; integers on the wire are big-endian.
"""

from __future__ import annotations

from struct import Struct
from struct import error as _StructError
from typing import NamedTuple

from geodns.model.name import MAX_LABEL, MAX_WIRE, ROOT

HEADER = Struct("!HHHHHH")
TAIL = Struct("!HHIH")
"""A record behind its owner: type, class, TTL in seconds, length of the data in octets."""
PAIR = Struct("!HH")
"""Two numbers: type and class of a question, code and length of an option."""
_ROOT_OPT = b"\x00\x00\x29"
_MAX_HOPS = MAX_WIRE // 2

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
OPCODE_MASK = 0x7800

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
BADVERS = 16

A, NS, CNAME, SOA, AAAA, DNAME, OPT, RRSIG = 1, 2, 5, 6, 28, 39, 41, 46
SVCB, HTTPS, IXFR, AXFR, ANY = 64, 65, 251, 252, 255
IN, CH = 1, 3

OPTION_ECS, OPTION_KEEPALIVE, OPTION_EDE = 8, 11, 15


class Dropped(Exception):
    """The packet deserves no reply at all (responses, fragments of a header)."""


class Malformed(Exception):
    """The packet must be answered with an error code and nothing else can be done with it.

    rcode: the code to answer with. question: the question section to echo, or None where it
    could not be read. edns: whether the reply owes an OPT.
    """

    def __init__(self, rcode: int, question: bytes | None = None, *, edns: bool = False) -> None:
        super().__init__(rcode)
        self.rcode = rcode
        self.question = question
        self.edns = edns


# These are NamedTuples and not frozen dataclasses, as Response is: one of them at least is made
# for every packet, and a frozen dataclass takes three times as long to make.
class Edns(NamedTuple):
    """The OPT pseudo-record of a message (RFC 6891 section 6.1).

    size: UDP payload size the sender can take, octets (as sent, 0 to 65535).
    options: (code, data) in the order sent.
    """

    size: int
    version: int
    dnssec_ok: bool
    options: tuple[tuple[int, bytes], ...] = ()


class Query(NamedTuple):
    """A well-formed query of one question.

    name: the queried name in wire format, in the letter case it was sent in.
    folded: the same in lower case: what is compared, cached and ruled on.
    flags: the 16 flag bits of the header as sent.
    owed: the EDNS options (encoded) that every reply to it carries at its end; empty for none.
    """

    id: int
    flags: int
    name: bytes
    folded: bytes
    qtype: int
    qclass: int
    edns: Edns | None
    owed: bytes = b""

    @property
    def question(self) -> bytes:
        """The question section as sent: name, type, class."""
        return self.name + PAIR.pack(self.qtype, self.qclass)

    @property
    def dnssec_ok(self) -> bool:
        """The DO bit (RFC 3225)."""
        return self.edns is not None and self.edns.dnssec_ok


def read_query(packet: bytes) -> Query:
    """Read a query. Raises Dropped or Malformed, and nothing else, whatever the octets.

    Strict where a hostile peer could hide something: compression in the question, records
    before the additional section, trailing octets, a second OPT and an OPT that is not at the
    root are format errors. Other records in the additional section (TSIG among them) are
    skipped. An EDNS version above 0 is BADVERS whatever its options hold (RFC 6891 section 6.1.3).
    """
    if len(packet) < HEADER.size:
        raise Dropped
    ident, flags, qdcount, ancount, nscount, arcount = HEADER.unpack_from(packet)
    if flags & QR:
        raise Dropped
    if flags & OPCODE_MASK:
        raise Malformed(NOTIMP, edns=_carries_opt(packet))
    if qdcount != 1:
        raise Malformed(FORMERR, edns=_carries_opt(packet))
    try:
        at = skip_plain_name(packet, HEADER.size)
        qtype, qclass = PAIR.unpack_from(packet, at)
    except (IndexError, ValueError, _StructError):
        raise Malformed(FORMERR) from None
    name = packet[HEADER.size : at]
    at += PAIR.size
    edns: Edns | None = None
    before = ancount + nscount
    if before or arcount or at != len(packet):
        opt = None
        try:
            opt = _find_opt(packet, at, before, arcount)
            if before and qtype not in (AXFR, IXFR):
                raise ValueError
            if opt is not None:
                edns = read_opt(packet, opt)
        except (IndexError, ValueError, _StructError):
            raise Malformed(FORMERR, packet[HEADER.size : at], edns=opt is not None) from None
        if edns is not None and edns.version > 0:
            raise Malformed(BADVERS, packet[HEADER.size : at], edns=True)
    return Query(ident, flags, name, name.lower(), qtype, qclass, edns)


def _carries_opt(packet: bytes) -> bool:
    """Whether a message that is no query of ours has an OPT: its reply then owes one as well."""
    _, _, qdcount, ancount, nscount, arcount = HEADER.unpack_from(packet)
    if not arcount or qdcount > 1:
        return False
    try:
        at = skip_plain_name(packet, HEADER.size) + PAIR.size if qdcount else HEADER.size
        return _find_opt(packet, at, ancount + nscount, arcount) is not None
    except (IndexError, ValueError, _StructError):
        return False


def _find_opt(packet: bytes, at: int, before: int, arcount: int) -> int | None:
    """Return the offset of the OPT record, with all records from offset ``at`` on checked.

    before: number of answer and authority records. Raises ValueError and what reading past the
    end raises.
    """
    if arcount == 1 and not before and packet.startswith(_ROOT_OPT, at):
        # Nearly every query ends here: one OPT that fills the rest of the packet.
        if at + 11 + (packet[at + 9] << 8 | packet[at + 10]) != len(packet):
            raise ValueError
        return at
    found: int | None = None
    for index in range(before + arcount):
        start, at = at, _skip_record(packet, at)
        if packet.startswith(_ROOT_OPT, start) and found is None and index >= before:
            found = start
        elif _type_at(packet, start) == OPT:
            raise ValueError
    if at != len(packet):
        raise ValueError
    return found


def skip_plain_name(packet: bytes, at: int) -> int:
    """Return the offset behind an uncompressed name; ValueError or IndexError if it is none."""
    start = at
    while (size := packet[at]) != 0:
        if size > MAX_LABEL:
            raise ValueError
        at += 1 + size
    at += 1
    if at - start > MAX_WIRE:
        raise ValueError
    return at


def skip_name(packet: bytes, at: int) -> int:
    """Return the offset behind a possibly compressed name (RFC 1035 section 4.1.4).

    Where a pointer leads is not looked at.
    """
    start = at
    while (size := packet[at]) != 0:
        if size >= 0xC0:
            packet[at + 1]
            return at + 2
        if size > MAX_LABEL or at - start >= MAX_WIRE - 1:
            raise ValueError
        at += 1 + size
    return at + 1


def _type_at(packet: bytes, start: int) -> int:
    """Return the type of the record at ``start``."""
    at = skip_name(packet, start)
    return packet[at] << 8 | packet[at + 1]


def _skip_record(packet: bytes, at: int) -> int:
    at = skip_name(packet, at)
    length = TAIL.unpack_from(packet, at)[3]
    at += TAIL.size + length
    if at > len(packet):
        raise ValueError
    return at


def read_opt(packet: bytes, start: int) -> Edns:
    """Read the OPT record at ``start``; of a version above 0 the options are not looked at."""
    _, size, ttl, length = TAIL.unpack_from(packet, start + 1)
    at = start + 1 + TAIL.size
    end = at + length
    version = ttl >> 16 & 0xFF
    if not length or version:
        return Edns(size, version, bool(ttl & 0x8000))
    options: list[tuple[int, bytes]] = []
    while at < end:
        code, length = PAIR.unpack_from(packet, at)
        at += PAIR.size + length
        if at > end:
            raise ValueError
        options.append((code, packet[at - length : at]))
    return Edns(size, version, bool(ttl & 0x8000), tuple(options))


def read_name(packet: bytes, at: int) -> bytes:
    """Read a possibly compressed name to folded wire format: see expand_name."""
    return expand_name(packet, at).lower()


def expand_name(packet: bytes, at: int) -> bytes:
    """Read a possibly compressed name to plain wire format, in the letter case it came in.

    Pointers may only point backwards and behind the header, so that a loop cannot be built, and
    no more than a name can have labels are followed, so that a chain of them costs nothing.
    Raises ValueError or IndexError on anything else.
    """
    parts: list[bytes] = []
    total = 1
    limit = at
    hops = 0
    while (size := packet[at]) != 0:
        if size >= 0xC0:
            target = (size & 0x3F) << 8 | packet[at + 1]
            hops += 1
            if not HEADER.size <= target < limit or hops > _MAX_HOPS:
                raise ValueError
            at = limit = target
            continue
        if size > MAX_LABEL:
            raise ValueError
        part = packet[at : at + 1 + size]
        if len(part) != 1 + size:
            raise ValueError
        parts.append(part)
        total += 1 + size
        if total > MAX_WIRE:
            raise ValueError
        at += 1 + size
    return b"".join(parts) + ROOT


def option(code: int, data: bytes) -> bytes:
    """Encode one EDNS option (RFC 6891 section 6.1.2)."""
    return PAIR.pack(code, len(data)) + data


def opt_record(
    size: int, options: bytes = b"", *, dnssec_ok: bool = False, rcode: int = 0
) -> bytes:
    """Encode an OPT record: our UDP size in octets, encoded options, DO bit, extended rcode."""
    ttl = (rcode >> 4) << 24 | (0x8000 if dnssec_ok else 0)
    return ROOT + TAIL.pack(OPT, size, ttl, len(options)) + options
