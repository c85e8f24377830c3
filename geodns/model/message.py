"""DNS messages as bytes: what must be read, and no more (RFC 1035, RFC 6891).

A query is read whole, strictly. A response is scanned: where its TTLs stand, whether it
is negative, which aliases and addresses its answer section holds. Record data is never
decoded and encoded again, so that record types nobody has heard of yet pass through whole
(RFC 3597). All offsets count octets from the start of the message; integers on the wire
are big-endian.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from struct import error as _StructError
from typing import NamedTuple

from geodns.model.name import MAX_LABEL, MAX_WIRE, ROOT, ancestors

HEADER = Struct("!HHHHHH")
_TAIL = Struct("!HHIH")
_PAIR = Struct("!HH")
_ROOT_OPT = b"\x00\x00\x29"
_MAX_HOPS = MAX_WIRE // 2
_MAX_ALIASES = 64
_SOA_LEAST = 22
_FOREVER = 0x7FFFFFFF

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
OPCODE_MASK = 0x7800

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
BADVERS = 16

A, NS, CNAME, SOA, AAAA, DNAME, OPT, RRSIG = 1, 2, 5, 6, 28, 39, 41, 46
SVCB, HTTPS, IXFR, AXFR, ANY = 64, 65, 251, 252, 255
IN, CH = 1, 3

OPTION_ECS, OPTION_EDE = 8, 15


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


# These three are NamedTuples and not frozen dataclasses: one of them at least is made for every
# packet, and a frozen dataclass takes three times as long to make.
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
    """

    id: int
    flags: int
    name: bytes
    folded: bytes
    qtype: int
    qclass: int
    edns: Edns | None

    @property
    def question(self) -> bytes:
        """The question section as sent: name, type, class."""
        return self.name + _PAIR.pack(self.qtype, self.qclass)

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
        raise Malformed(NOTIMP)
    if qdcount != 1:
        raise Malformed(FORMERR)
    try:
        at = _skip_plain_name(packet, HEADER.size)
        qtype, qclass = _PAIR.unpack_from(packet, at)
    except (IndexError, ValueError, _StructError):
        raise Malformed(FORMERR) from None
    name = packet[HEADER.size : at]
    at += _PAIR.size
    edns: Edns | None = None
    before = ancount + nscount
    if before or arcount or at != len(packet):
        opt = None
        try:
            opt = _find_opt(packet, at, before, arcount)
            if before and qtype not in (AXFR, IXFR):
                raise ValueError
            if opt is not None:
                edns = _read_opt(packet, opt)
        except (IndexError, ValueError, _StructError):
            raise Malformed(FORMERR, packet[HEADER.size : at], edns=opt is not None) from None
        if edns is not None and edns.version > 0:
            raise Malformed(BADVERS, packet[HEADER.size : at], edns=True)
    return Query(ident, flags, name, name.lower(), qtype, qclass, edns)


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


def _skip_plain_name(packet: bytes, at: int) -> int:
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


def _skip_name(packet: bytes, at: int) -> int:
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
    at = _skip_name(packet, start)
    return packet[at] << 8 | packet[at + 1]


def _skip_record(packet: bytes, at: int) -> int:
    at = _skip_name(packet, at)
    length = _TAIL.unpack_from(packet, at)[3]
    at += _TAIL.size + length
    if at > len(packet):
        raise ValueError
    return at


def _read_opt(packet: bytes, start: int) -> Edns:
    """Read the OPT record at ``start``; of a version above 0 the options are not looked at."""
    _, size, ttl, length = _TAIL.unpack_from(packet, start + 1)
    at = start + 1 + _TAIL.size
    end = at + length
    version = ttl >> 16 & 0xFF
    if not length or version:
        return Edns(size, version, bool(ttl & 0x8000))
    options: list[tuple[int, bytes]] = []
    while at < end:
        code, length = _PAIR.unpack_from(packet, at)
        at += _PAIR.size + length
        if at > end:
            raise ValueError
        options.append((code, packet[at - length : at]))
    return Edns(size, version, bool(ttl & 0x8000), tuple(options))


def read_name(packet: bytes, at: int) -> bytes:
    """Read a possibly compressed name to folded wire format.

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
    return b"".join(parts).lower() + ROOT


class Response(NamedTuple):
    """What an upstream sent, scanned once.

    packet: the message without its OPT record, ID set to 0, ARCOUNT adjusted; what stood
    behind the OPT (additional data only) is left out, so that compression pointers hold.
    flags: header flags; rcode: extended response code (RFC 6891 section 6.1.3).
    question_end: offset of the first record. answer_end: offset behind the answer section.
    ttl_offsets: offsets of all 32-bit TTL fields. lifetime: seconds the message may be
    cached: the smallest TTL, for negative answers bounded by the SOA (RFC 2308 section 5);
    0 where it must not be cached.
    aliases: folded names that the answer section leads to through CNAME and DNAME records, in
    order: what a DNAME makes of the name above it (RFC 6672 section 2.2), and its bare target
    where it is asked for itself. alias_ends: offset behind the record of each alias.
    addresses: 4 or 16 octets each, from A and AAAA records of the answer section.
    records: (offset, type) of the answer section's records.
    ede: EDE options (RFC 8914) that the upstream sent, as raw option data.
    """

    packet: bytes
    flags: int
    rcode: int
    question_end: int
    answer_end: int
    ttl_offsets: tuple[int, ...]
    lifetime: int
    aliases: tuple[bytes, ...]
    alias_ends: tuple[int, ...]
    addresses: tuple[bytes, ...]
    records: tuple[tuple[int, int], ...]
    ede: tuple[bytes, ...] = ()


def read_response(packet: bytes) -> Response:
    """Scan an upstream's response. Raises ValueError if it is not a well-formed response."""
    try:
        return _scan(packet)
    except (IndexError, _StructError):
        raise ValueError("the response is cut or malformed") from None


def _scan(packet: bytes) -> Response:
    _, flags, qdcount, ancount, nscount, arcount = HEADER.unpack_from(packet)
    if not flags & QR or flags & OPCODE_MASK or qdcount != 1:
        raise ValueError("not a response to one question")
    at = _skip_plain_name(packet, HEADER.size)
    qtype = _PAIR.unpack_from(packet, at)[0]
    question_end = answer_end = at = at + _PAIR.size
    ttl_offsets: list[int] = []
    aliases: dict[bytes, int] = {}
    addresses: list[bytes] = []
    records: list[tuple[int, int]] = []
    ede: tuple[bytes, ...] = ()
    rcode = flags & 0xF
    lifetime = _FOREVER
    minimum = 0
    answered = False
    before = ancount + nscount
    kept = 0
    for index in range(before + arcount):
        start = at
        at = at + 2 if packet[at] >= 0xC0 else _skip_name(packet, at)
        rtype, _, ttl, length = _TAIL.unpack_from(packet, at)
        data = at + _TAIL.size
        end = data + length
        if end > len(packet):
            raise ValueError("a record is cut")
        if rtype == OPT:
            if packet[start] != 0 or index < before:
                raise ValueError("the OPT record is in the wrong place")
            rcode |= ttl >> 24 << 4
            if length:
                options = _read_opt(packet, start).options
                ede = tuple(value for code, value in options if code == OPTION_EDE)
            at = start
            break
        ttl_offsets.append(at + 4)
        at = end
        # RFC 2181 section 8: a TTL with the top bit set is zero.
        if ttl < lifetime or ttl > _FOREVER:
            lifetime = ttl if ttl <= _FOREVER else 0
        if index < ancount:
            answer_end = end
            records.append((start, rtype))
            answered = answered or rtype == qtype or qtype == ANY
            if rtype == A and length == 4 or rtype == AAAA and length == 16:
                addresses.append(packet[data:end])
            elif rtype in (CNAME, DNAME):
                if _skip_name(packet, data) != end:
                    raise ValueError("an alias does not fill its record")
                if rtype == CNAME:
                    aliases[read_name(packet, data)] = end
                else:
                    aliases.setdefault(_substituted(packet, start, data, aliases), end)
                if len(aliases) > _MAX_ALIASES:
                    raise ValueError("too many aliases")
        elif index >= before:
            kept += 1
        elif rtype == SOA:
            if length < _SOA_LEAST:
                raise ValueError("an SOA record is cut")
            minimum = int.from_bytes(packet[end - 4 : end], "big")
    if flags & TC or rcode not in (NOERROR, NXDOMAIN):
        lifetime = 0
    elif rcode == NXDOMAIN or not answered:
        lifetime = min(lifetime, minimum)
    return Response(
        packet=HEADER.pack(0, flags, 1, ancount, nscount, kept) + packet[HEADER.size : at],
        flags=flags,
        rcode=rcode,
        question_end=question_end,
        answer_end=answer_end,
        ttl_offsets=tuple(ttl_offsets),
        lifetime=lifetime,
        aliases=tuple(aliases),
        alias_ends=tuple(aliases.values()),
        addresses=tuple(addresses),
        records=tuple(records),
        ede=ede,
    )


def _substituted(packet: bytes, start: int, data: int, aliases: Iterable[bytes]) -> bytes:
    """What a DNAME record makes of the name that led to it, or its target if none did."""
    owner, target = read_name(packet, start), read_name(packet, data)
    for name in reversed((read_name(packet, HEADER.size), *aliases)):
        if len(name) > len(owner) and name.endswith(owner) and owner in ancestors(name):
            made = name[: len(name) - len(owner)] + target
            return made if len(made) <= MAX_WIRE else target
    return target


def option(code: int, data: bytes) -> bytes:
    """Encode one EDNS option (RFC 6891 section 6.1.2)."""
    return _PAIR.pack(code, len(data)) + data


def opt_record(
    size: int, options: bytes = b"", *, dnssec_ok: bool = False, rcode: int = 0
) -> bytes:
    """Encode an OPT record: our UDP size in octets, encoded options, DO bit, extended rcode."""
    ttl = (rcode >> 4) << 24 | (0x8000 if dnssec_ok else 0)
    return ROOT + _TAIL.pack(OPT, size, ttl, len(options)) + options
