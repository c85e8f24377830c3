"""What is read of an upstream's response: where it leads, how long it holds, and no more.

A response is scanned: where its TTLs stand, whether it is negative, which names and addresses
its answer leads to. Record data is never decoded and encoded again, so that record types
nobody has heard of yet pass through whole (RFC 3597).

**What an answer leads to.** From the question name on, links are followed until none is left;
in which order the records were sent does not matter. The links of a name are its CNAME records
(RFC 1034 section 3.6.2), what a DNAME record of a name above it makes of it (RFC 6672 section
2.2), its own DNAME record where that is asked for itself, and the TargetName of its SVCB and
HTTPS records (RFC 9460), but for the root, which stands for the owner or for nothing at all.
The names found, without the question name, are the *aliases* of the answer; the A and AAAA
records of any of these names, and the ipv4hint and ipv6hint of their SVCB and HTTPS records,
are its *addresses*. All of this is read from the answer section, and for questions of type SVCB
and HTTPS from the additional section as well: clients take addresses from there (RFC 9460
section 4.2).

Records of the answer section that belong to no such name are left out (scrub.py): ruled on, they
would widen a block to a name that they have nothing to do with; passed on without, they would
bring addresses past an order to clients that do not compare owners.
"""

from __future__ import annotations

from struct import error as _StructError
from typing import NamedTuple

from geodns.model.message import (
    AAAA,
    ANY,
    CNAME,
    DNAME,
    HEADER,
    HTTPS,
    NOERROR,
    NXDOMAIN,
    OPCODE_MASK,
    OPT,
    OPTION_EDE,
    PAIR,
    QR,
    RRSIG,
    SOA,
    SVCB,
    TAIL,
    TC,
    A,
    read_name,
    read_opt,
    skip_name,
    skip_plain_name,
)
from geodns.model.name import MAX_WIRE, ROOT, ancestors
from geodns.model.scrub import without_answers

MAX_ALIASES = 64
"""Aliases of one answer; a response that leads to more is refused."""
_SOA_LEAST = 22
_FOREVER = 0x7FFFFFFF
_AT_QUESTION = b"\xc0\x0c"
_MOST_OFFSET = 0x4000
_SERVICES = frozenset((SVCB, HTTPS))
_IPV4HINT, _IPV6HINT = 4, 6

Links = dict[bytes, list[tuple[int, bytes]]]
"""By owner, in the order sent: (record type, target) of each record that leads on."""


class Response(NamedTuple):
    """What an upstream sent, scanned once.

    packet: the message without its OPT record, ID set to 0, ARCOUNT adjusted; what stood
    behind the OPT (additional data only) is left out, so that compression pointers hold.
    flags: header flags; rcode: extended response code (RFC 6891 section 6.1.3).
    question_end: offset of the first record. answer_end: offset behind the answer section.
    ttl_offsets: offsets of all 32-bit TTL fields. lifetime: seconds the message may be
    cached: the smallest TTL, for negative answers bounded by the SOA (RFC 2308 section 5);
    0 where it must not be cached.
    aliases: folded names that the answer leads to (see above), the nearest first.
    steps: how each alias was reached first: (number of the name that led there, record type).
    The question name is number 0, aliases count from 1; the type is CNAME, DNAME, SVCB or HTTPS.
    addresses: 4 or 16 octets each, in the order sent.
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
    steps: tuple[tuple[int, int], ...]
    addresses: tuple[bytes, ...]
    records: tuple[tuple[int, int], ...]
    ede: tuple[bytes, ...] = ()


def read_response(packet: bytes) -> Response:
    """Scan an upstream's response. Raises ValueError if it is not a well-formed response.

    What cannot be ruled on is not well-formed: an alias, a TargetName or a SvcParam that does
    not fill its record, an owner that cannot be read, more than MAX_ALIASES aliases.
    """
    try:
        return _scan(packet)
    except (IndexError, _StructError):
        raise ValueError("the response is cut or malformed") from None


def _scan(packet: bytes) -> Response:
    _, flags, qdcount, ancount, nscount, arcount = HEADER.unpack_from(packet)
    if not flags & QR or flags & OPCODE_MASK or qdcount != 1:
        raise ValueError("not a response to one question")
    at = skip_plain_name(packet, HEADER.size)
    asked = packet[HEADER.size : at].lower()
    qtype = PAIR.unpack_from(packet, at)[0]
    question_end = answer_end = at = at + PAIR.size
    ttl_offsets: list[int] = []
    links: Links = {}
    held: list[tuple[bytes, bytes]] = []
    records: list[tuple[int, int]] = []
    owned: list[bytes] = []
    # An owner is written the same way again and again, mostly as a pointer to the question.
    owners = {_AT_QUESTION: asked}
    ede: tuple[bytes, ...] = ()
    rcode = flags & 0xF
    lifetime = _FOREVER
    minimum = 0
    answered = False
    before = ancount + nscount
    kept = 0
    for index in range(before + arcount):
        start = at
        at = at + 2 if packet[at] >= 0xC0 else skip_name(packet, at)
        owner_end = at
        rtype, _, ttl, length = TAIL.unpack_from(packet, at)
        data = at + TAIL.size
        end = data + length
        if end > len(packet):
            raise ValueError("a record is cut")
        if rtype == OPT:
            if packet[start] != 0 or index < before:
                raise ValueError("the OPT record is in the wrong place")
            rcode |= ttl >> 24 << 4
            if length:
                options = read_opt(packet, start).options
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
        elif index >= before:
            kept += 1
            if qtype not in _SERVICES:
                continue
        else:
            if rtype == SOA:
                if length < _SOA_LEAST:
                    raise ValueError("an SOA record is cut")
                minimum = int.from_bytes(packet[end - 4 : end], "big")
            continue
        raw = packet[start:owner_end]
        owner = owners.get(raw)
        if owner is None:
            owner = owners[raw] = read_name(packet, start)
        if index < ancount:
            owned.append(owner)
        if rtype == A and length == 4 or rtype == AAAA and length == 16:
            held.append((owner, packet[data:end]))
        elif rtype in (CNAME, DNAME):
            if skip_name(packet, data) != end:
                raise ValueError("an alias does not fill its record")
            target = read_name(packet, data)
            links.setdefault(owner, []).append((rtype, target))
            if data < _MOST_OFFSET:
                # What owns the next record is most often written as a pointer to here.
                owners[(0xC000 | data).to_bytes(2, "big")] = target
        elif rtype in _SERVICES:
            target, hints = _read_service(packet, data, end)
            if target != ROOT:
                links.setdefault(owner, []).append((rtype, target))
            held.extend((owner, hint) for hint in hints)
    found: dict[bytes, tuple[int, int]] = {}
    if links or len(owners) > 1:
        found, tops = _follow(asked, links)
        if not found.keys() >= set(owned):
            strays = {
                number
                for number, ((_, rtype), owner) in enumerate(zip(records, owned, strict=True))
                if owner not in found and not (owner in tops and rtype in (DNAME, RRSIG))
            }
            if strays:
                return _scan(without_answers(packet, strays))
        if qtype in _SERVICES:
            held = [(owner, address) for owner, address in held if owner in found]
        del found[asked]
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
        aliases=tuple(found),
        steps=tuple(found.values()),
        addresses=tuple([address for _, address in held]),
        records=tuple(records),
        ede=ede,
    )


def _follow(asked: bytes, links: Links) -> tuple[dict[bytes, tuple[int, int]], set[bytes]]:
    """The names that links lead to from a name, and the owners of the DNAME records used.

    Name by name, the nearest first; of one name the links of its own, then those of the DNAME
    above it, in the order sent. The values are as in Response.steps; ``asked`` itself is the
    first name. ValueError if there are too many.
    """
    found = {asked: (0, 0)}
    tops: set[bytes] = set()
    dnames = any(rtype == DNAME for row in links.values() for rtype, _ in row)
    for number, name in enumerate(names := [asked]):
        for above in ancestors(name) if dnames and name != ROOT else (name,):
            own = len(above) == len(name)
            for rtype, target in links.get(above, ()):
                if rtype == DNAME:
                    tops.add(above)
                elif not own:
                    continue
                made = target if own else name[: len(name) - len(above)] + target
                if made in found or len(made) > MAX_WIRE:
                    continue
                found[made] = number, rtype
                # The list grows while it is walked.
                names.append(made)
                if len(names) > MAX_ALIASES + 1:
                    raise ValueError("too many aliases")
    return found, tops


def _read_service(packet: bytes, at: int, end: int) -> tuple[bytes, list[bytes]]:
    """The TargetName and the address hints of SVCB or HTTPS data (RFC 9460 sections 2.2, 7.3).

    A compressed TargetName, which no server should send, is read all the same. ValueError where
    the data is cut or askew; keys that are unknown, doubled or out of order are none of ours.
    """
    at += 2
    target = read_name(packet, at)
    at = skip_name(packet, at)
    hints: list[bytes] = []
    while at < end:
        key, length = PAIR.unpack_from(packet, at)
        at += PAIR.size
        width = 4 if key == _IPV4HINT else 16 if key == _IPV6HINT else 0
        if width:
            if length % width:
                raise ValueError("an address hint is cut")
            hints.extend(packet[one : one + width] for one in range(at, at + length, width))
        at += length
    if at != end:
        raise ValueError("a service binding does not fill its record")
    return target, hints
