"""Compliance probes: the queries of ISC's compliance tester, and what RFC 8906 section 8 expects.

The names of the probes are the tester's; the code and the expectations are written from the RFCs.
A resolver is probed, so RD is set in each, but where a probe is about another operation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tests.protocol.shown import Message

AA, TC, RD, RA, Z, AD, CD = 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
SOA, DNSKEY = 6, 48
NSID = b"\0\x03\0\0"
SUBNET = b"\0\x08\0\x04\0\x01\0\0"
EXPIRE = b"\0\x09\0\0"
COOKIE = b"\0\x0a\0\x08\1\2\3\4\5\6\7\x08"
UNKNOWN = b"\0\x64\0\0"
BADVERS, NOTIMP = 16, 4


@dataclass(frozen=True, slots=True)
class Probe:
    """A query and what is expected. size: of the OPT, 0 for none. types: answer expected."""

    name: str
    flags: int = RD
    size: int = 0
    version: int = 0
    edns_flags: int = 0
    options: bytes = b""
    kind: int = SOA
    opcode: int = 0
    stream: bool = False

    def packet(self, zone: bytes) -> bytes:
        """The query; zone: name in wire format."""
        count = 0 if self.opcode else 1
        head = struct.pack(
            "!6H", 4242, self.flags | self.opcode << 11, count, 0, 0, 1 if self.size else 0
        )
        body = b"" if self.opcode else zone + struct.pack("!HH", self.kind, 1)
        if not self.size:
            return head + body
        ttl = self.version << 16 | self.edns_flags
        opt = b"\0" + struct.pack("!HHIH", 41, self.size, ttl, len(self.options))
        return head + body + opt + self.options

    def faults(self, reply: Message | None) -> list[str]:
        """What is wrong with a reply, in the tester's words; empty if nothing."""
        if reply is None:
            return ["timeout"]
        return list(self._faults(reply))

    def _faults(self, reply: Message) -> Iterator[str]:
        if not reply.flags & 0x8000:
            yield "qr"
        if reply.opcode != self.opcode:
            yield "opcode"
        if reply.flags & Z:
            yield "z"
        if reply.flags & AA:
            yield "aa"
        if self.opcode:
            yield from ([] if reply.rcode == NOTIMP else ["notimp expected"])
            if reply.flags & (RA | AD | TC):
                yield "flags"
            return
        if not reply.flags & RA and not self.version:
            yield "ra"
        if reply.flags & CD != self.flags & CD:
            yield "cd"
        if (reply.flags & RD) != self.flags & RD:
            yield "rd"
        if reply.flags & AD and not (self.flags & AD or self.edns_flags & 0x8000):
            yield "ad"
        limit = 512 if not self.size else max(512, self.size)
        if not self.stream and reply.size > limit:
            yield "toobig"
        yield from self._answer_faults(reply)
        yield from self._opt_faults(reply)

    def _answer_faults(self, reply: Message) -> Iterator[str]:
        answers = [each.kind for each in reply.section("answer")]
        if self.size and self.version:
            if reply.rcode != BADVERS:
                yield f"badvers expected, status {reply.rcode}"
            if SOA in answers:
                yield "soa"
            return
        if reply.rcode not in ((0,) if self.kind == SOA else (0, 3)):
            yield f"status {reply.rcode}"
        if self.kind in (SOA, DNSKEY) and self.kind not in answers and not reply.flags & TC:
            yield "nosoa" if self.kind == SOA else "nodnskey"
        if self.stream and reply.flags & TC:
            yield "tc"

    def _opt_faults(self, reply: Message) -> Iterator[str]:
        if not self.size:
            yield from (["opt"] if reply.opt is not None else [])
            return
        if reply.opt is None:
            yield "noopt"
            return
        _, version, flags, options = reply.opt
        if version:
            yield "version"
        if flags & 0x7FFF:
            yield "mbz"
        if self.edns_flags & 0x8000 and not flags & 0x8000 and not self.version:
            yield "nodo"
        if any(code == 100 for code, _ in options):
            yield "echoed"
        if any(code == 9 for code, _ in options):
            yield "expire"


def _edns(name: str, options: bytes = b"", **more: int | bool) -> Probe:
    return Probe(name, size=4096, options=options, **more)  # type: ignore[arg-type]


PROBES = (
    Probe("dns"),
    Probe("norec", flags=0),
    Probe("aa", flags=RD | AA),
    Probe("ad", flags=RD | AD),
    Probe("cd", flags=RD | CD),
    Probe("ra", flags=RD | RA),
    Probe("tc", flags=RD | TC),
    Probe("zflag", flags=RD | Z),
    Probe("opcode", flags=0, opcode=15),
    Probe("opcodeflg", flags=AA | TC | RD | RA | Z | AD | CD, opcode=15),
    Probe("type666", kind=666),
    Probe("tcp", stream=True),
    _edns("edns"),
    _edns("edns1", version=1),
    Probe("edns@512", size=512, edns_flags=0x8000, kind=DNSKEY),
    _edns("ednsopt", UNKNOWN),
    _edns("edns1opt", UNKNOWN, version=1),
    _edns("do", edns_flags=0x8000),
    _edns("docd", edns_flags=0x8000, flags=RD | CD),
    _edns("edns1do", edns_flags=0x8000, version=1),
    _edns("ednsflags", edns_flags=0x0080),
    _edns("optlist", NSID + SUBNET + EXPIRE + COOKIE),
    _edns("ednsnsid", NSID),
    _edns("ednscookie", COOKIE),
    _edns("ednsexpire", EXPIRE),
    _edns("ednssubnet", SUBNET),
    _edns("edns1nsid", NSID, version=1),
    _edns("edns1cookie", COOKIE, version=1),
    _edns("edns1expire", EXPIRE, version=1),
    _edns("edns1subnet", SUBNET, version=1),
    Probe("ednstcp", size=512, edns_flags=0x8000, kind=DNSKEY, stream=True),
    _edns("bind11", COOKIE, edns_flags=0x8000),
    _edns("dig11", COOKIE, flags=RD | AD),
)
"""The groups EDNS, COMM and FULL of the tester; "norec" is ours."""

TYPES = (
    *range(1, 41), *range(42, 54), *range(55, 63), 64, 65, 99, *range(104, 110), 256, 257, 258, 259,
    261, 32768, 32769,
)  # fmt: skip
"""The group TYPE: every type that has a number and is data."""


def type_probes() -> list[Probe]:
    """A probe a type."""
    return [Probe(f"TYPE{kind}", kind=kind) for kind in TYPES if kind not in (SOA, DNSKEY)]
