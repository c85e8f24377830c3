"""Replies: what leaves for the client, built from a query and either a ruling or a response.

Every reply keeps to the client's size (RFC 6891 section 6.2.5, never above our own limit on
UDP): what does not fit first loses its EXTRA-TEXT, then is cut to question and OPT with TC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from geodns.fastpath.tables import OrderReplies, Template
from geodns.locate.client import Ecs
from geodns.model.message import (
    AA,
    AAAA,
    AD,
    ANY,
    CD,
    CNAME,
    DNAME,
    HEADER,
    IN,
    OPTION_ECS,
    OPTION_EDE,
    QR,
    RA,
    RD,
    SOA,
    TC,
    A,
    Malformed,
    Query,
    Z,
    opt_record,
    option,
)
from geodns.model.response import Response
from geodns.model.ruling import Action

OUR_SIZE = 1232
"""Our EDNS buffer and the largest UDP reply, octets."""
PLAIN_SIZE = 512
"""The largest UDP reply to a query without EDNS (RFC 1035 section 4.2.1)."""
STREAM_SIZE = 65535

_RECORD = Struct("!HHIH")
_ECS = Struct("!HBB")
_TIMERS = Struct("!IIIII")
_MNAME = b"\x07blocked\x07invalid\x00"
_RNAME = b"\x06nobody\x07invalid\x00"
_NOERROR, _NXDOMAIN, _REFUSED = 0, 3, 5


@dataclass(frozen=True, slots=True)
class Options:
    """EDNS options of a reply; they are sent only if the query carried OPT.

    ede: (code, UTF-8 text) pairs (RFC 8914). structured: a code and texts for it, of which the
    first that fits is sent. ede_raw: EDE options of an upstream, passed on whole. ecs: the
    client's option and the scope prefix length to return with it.
    """

    ede: tuple[tuple[int, str], ...] = ()
    structured: tuple[int, tuple[str, ...]] | None = None
    ede_raw: tuple[bytes, ...] = ()
    ecs: tuple[Ecs, int] | None = None

    @property
    def levels(self) -> range:
        """The ways in which they can be encoded, the longest first."""
        return range(1 + (len(self.structured[1]) if self.structured is not None else 1))

    def encode(self, level: int = 0) -> bytes:
        """The options as they stand in OPT; the last level has no EXTRA-TEXT at all."""
        parts = []
        bare = level == self.levels[-1]
        if self.ecs is not None:
            ecs, scope = self.ecs
            address = ecs.address[: (ecs.source + 7) // 8]
            parts.append(option(OPTION_ECS, _ECS.pack(ecs.family, ecs.source, scope) + address))
        for code, text in self.ede:
            extra = b"" if bare else text.encode()
            parts.append(option(OPTION_EDE, code.to_bytes(2, "big") + extra))
        if self.structured is not None:
            code, texts = self.structured
            extra = b"" if bare else texts[level].encode()
            parts.append(option(OPTION_EDE, code.to_bytes(2, "big") + extra))
        parts.extend(option(OPTION_EDE, raw[:2] if bare else raw) for raw in self.ede_raw)
        return b"".join(parts)


_NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Chain:
    """The alias records that a sinkhole reply keeps, and the name they lead to.

    records: raw records as they follow the question; count: how many; name: folded wire name.
    """

    records: bytes
    count: int
    name: bytes


def size_limit(query: Query, *, stream: bool) -> int:
    """The largest reply that may be sent, octets."""
    if stream:
        return STREAM_SIZE
    if query.edns is None:
        return PLAIN_SIZE
    return max(PLAIN_SIZE, min(query.edns.size, OUR_SIZE))


def error(packet: bytes, fault: Malformed) -> bytes:
    """The reply to a packet that is no proper query; an unreadable question is not echoed."""
    ident, flags = HEADER.unpack_from(packet)[:2]
    # RA belongs in replies to QUERY only; the opcode comes back as it was.
    opcode = flags & 0x7800
    reply_flags = QR | opcode | flags & (RD | CD) | (0 if opcode else RA) | fault.rcode & 0xF
    question = fault.question or b""
    opt = opt_record(OUR_SIZE, rcode=fault.rcode) if fault.edns else b""
    head = HEADER.pack(ident, reply_flags, 1 if question else 0, 0, 0, 1 if opt else 0)
    return head + question + opt


def status(query: Query, rcode: int, limit: int, options: Options = _NO_OPTIONS) -> bytes:
    """A reply without records: REFUSED, SERVFAIL, NOTIMP, FORMERR."""
    return _assemble(query, rcode, (0, 0), b"", options, limit)


def text_answer(query: Query, text: str, limit: int) -> bytes:
    """A TXT answer of class CH, such as version.bind (at most 255 octets of text)."""
    data = text.encode()[:255]
    record = b"\xc0\x0c" + _RECORD.pack(16, query.qclass, 0, len(data) + 1)
    return _assemble(
        query, _NOERROR, (1, 0), record + bytes((len(data),)) + data, _NO_OPTIONS, limit
    )


def record(query: Query, data: bytes, ttl: int, options: Options, limit: int) -> bytes:
    """An answer of one record of the type that was asked for. ttl: seconds."""
    made = b"\xc0\x0c" + _RECORD.pack(query.qtype, IN, ttl, len(data)) + data
    return _assemble(query, _NOERROR, (1, 0), made, options, limit)


def local(
    query: Query,
    rcode: int,
    counts: tuple[int, int],
    records: bytes,
    options: Options,
    limit: int,
) -> bytes:
    """An answer of our own. counts: records in the answer and authority sections."""
    return _assemble(query, rcode, counts, records, options, limit)


def block(
    query: Query,
    action: Action,
    ttl: int,
    target: bytes,
    addresses: Sequence[bytes],
    options: Options,
    limit: int,
    chain: Chain | None = None,
) -> bytes:
    """The reply that an order asks for, whatever the query type.

    ttl: seconds. target: folded name that the order names (the negative answer's SOA stands
    there if it is above the queried name). addresses: packed sinkhole addresses. chain: what
    a sinkhole through an alias keeps.
    """
    if action == "refused":
        return _assemble(query, _REFUSED, (0, 0), b"", options, limit)
    if action == "sinkhole":
        kept = chain or Chain(b"", 0, b"")
        # An unchanged owner is a pointer to the question: its letter case is the client's.
        owner = kept.name or b"\xc0\x0c"
        found = [_address_record(owner, address, ttl) for address in addresses]
        wanted = [record for kind, record in found if query.qtype in (kind, ANY)]
        if wanted:
            records = kept.records + b"".join(wanted)
            count = kept.count + len(wanted)
            return _assemble(query, _NOERROR, (count, 0), records, options, limit)
        records = kept.records + _soa(owner, ttl)
        return _assemble(query, _NOERROR, (kept.count, 1), records, options, limit)
    rcode = _NXDOMAIN if action == "nxdomain" else _NOERROR
    at = len(query.folded) - len(target)
    above = target and at >= 0 and query.folded[at:] == target
    owner = (0xC000 | 12 + (at if above else 0)).to_bytes(2, "big")
    return _assemble(query, rcode, (0, 1), _soa(owner, ttl), options, limit)


def templates(
    action: Action, ttl: int, addresses: Sequence[bytes], ede: tuple[int, str]
) -> OrderReplies:
    """The replies of an order for the fast path: what ``block`` gives, but for the owner."""
    made = []
    for qtype in (A, AAAA, 0):
        if action == "refused":
            made.append(Template(_REFUSED, 0, 0, b"", False))
            continue
        found = [_address_record(b"\xc0\x0c", address, ttl) for address in addresses]
        wanted = [record for kind, record in found if kind == qtype]
        if action == "sinkhole":
            records = b"".join(wanted) or _soa(b"\xc0\x0c", ttl)
            made.append(Template(_NOERROR, len(wanted), 0 if wanted else 1, records, False))
        else:
            rcode = _NXDOMAIN if action == "nxdomain" else _NOERROR
            made.append(Template(rcode, 0, 1, _soa(b"\0\0", ttl), True))
    options = Options(ede=(ede,))
    return OrderReplies(
        (made[0], made[1], made[2]),
        opt_record(OUR_SIZE, options.encode()),
        opt_record(OUR_SIZE, options.encode(options.levels[-1])),
    )


def passed(
    query: Query,
    response: Response,
    packet: bytes | bytearray,
    options: Options,
    limit: int,
    *,
    whole: bool = True,
) -> bytes:
    """An upstream's response, as raw as it came but for what belongs to this client.

    packet: ``response.packet`` with its TTLs counted down. The ID, the flags and the letter
    case of the question become the client's; our OPT is appended. AD stays only for who
    asked for it (RFC 6840 section 5.7), and only where the answer is whole.
    """
    opt = b""
    if query.edns is not None:
        encoded = options.encode() + query.owed
        opt = opt_record(OUR_SIZE, encoded, dnssec_ok=query.dnssec_ok, rcode=response.rcode)
    if len(packet) + len(opt) > limit:
        return _truncated(query, response.rcode, options, limit)
    out = bytearray(packet)
    flags = _flags(query, response.rcode)
    if whole and response.flags & AD and (query.flags & AD or query.dnssec_ok):
        flags |= AD
    additional = int.from_bytes(out[10:12], "big") + (1 if opt else 0)
    out[0:4] = query.id.to_bytes(2, "big") + flags.to_bytes(2, "big")
    out[10:12] = additional.to_bytes(2, "big")
    out[12 : 12 + len(query.name)] = query.name
    return bytes(out + opt)


def minimal_any(response: Response, packet: bytes | bytearray) -> bytes:
    """Cut an answer to ANY to its first record set (RFC 8482 section 4.1)."""
    if not response.records:
        return bytes(packet)
    first = response.records[0][1]
    count = next(
        (at for at, (_, kind) in enumerate(response.records) if kind != first),
        len(response.records),
    )
    whole = count == len(response.records)
    end = response.answer_end if whole else response.records[count][0]
    return HEADER.pack(0, response.flags, 1, count, 0, 0) + bytes(packet[HEADER.size : end])


def chain_to(response: Response, alias: bytes | None, ttl: int) -> Chain:
    """The alias records of an answer up to an alias (folded name), or to its last if None.

    They are written anew: whatever else stands between them (addresses too) must not reach a
    client who gets a sinkhole. A service binding is no alias record: the chain ends at its
    owner. ttl: seconds.
    """
    if not response.aliases:
        return Chain(b"", 0, b"")
    at = response.aliases.index(alias) + 1 if alias is not None else len(response.aliases)
    names: list[bytes] = []
    while at:
        name = response.aliases[at - 1]
        at, rtype = response.steps[at - 1]
        names = [name, *names] if rtype in (CNAME, DNAME) else []
    if not names:
        return Chain(b"", 0, b"")
    owners = (b"\xc0\x0c", *names)
    records = b"".join(
        owner + _RECORD.pack(CNAME, IN, ttl, len(name)) + name
        for owner, name in zip(owners, names, strict=False)
    )
    return Chain(records, len(names), names[-1])


def _flags(query: Query, rcode: int) -> int:
    return (QR | query.flags & (RD | CD) | RA) & ~(AA | TC | Z) | rcode & 0xF


def _assemble(
    query: Query,
    rcode: int,
    counts: tuple[int, int],
    records: bytes,
    options: Options,
    limit: int,
) -> bytes:
    question = query.question
    for level in options.levels:
        opt = b""
        if query.edns is not None:
            encoded = options.encode(level) + query.owed
            opt = opt_record(OUR_SIZE, encoded, dnssec_ok=query.dnssec_ok, rcode=rcode)
        if HEADER.size + len(question) + len(records) + len(opt) <= limit:
            head = HEADER.pack(query.id, _flags(query, rcode), 1, *counts, 1 if opt else 0)
            return head + question + records + opt
    return _truncated(query, rcode, options, limit)


def _truncated(query: Query, rcode: int, options: Options, limit: int) -> bytes:
    question = query.question
    opt = b""
    if query.edns is not None:
        for level in options.levels:
            encoded = options.encode(level) + query.owed
            opt = opt_record(OUR_SIZE, encoded, dnssec_ok=query.dnssec_ok, rcode=rcode)
            if HEADER.size + len(question) + len(opt) <= limit:
                break
    flags = _flags(query, rcode) | TC
    return HEADER.pack(query.id, flags, 1, 0, 0, 1 if opt else 0) + question + opt


def _soa(owner: bytes, ttl: int) -> bytes:
    """The SOA of a negative answer: its TTL and MINIMUM bound the caching (RFC 2308)."""
    data = _MNAME + _RNAME + _TIMERS.pack(1, 3600, 600, 86400, ttl)
    return owner + _RECORD.pack(SOA, IN, ttl, len(data)) + data


def _address_record(owner: bytes, address: bytes, ttl: int) -> tuple[int, bytes]:
    kind = A if len(address) == 4 else AAAA
    return kind, owner + _RECORD.pack(kind, IN, ttl, len(address)) + address
