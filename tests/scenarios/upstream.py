"""A mock upstream: zone-like text in, replies out, over UDP and TCP on loopback.

One line a record: ``name ttl type data``. A whole network as the data of A or AAAA stands for
one record an address. ``TYPEnnn`` takes hexadecimal data. Chains of CNAME and DNAME are
followed inside the zone; what is not there is NXDOMAIN or NODATA with an SOA.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass, field
from typing import Any

from dnslib import EDNS0, QTYPE, RD, RR, DNSHeader, DNSRecord, EDNSOption
from dnslib.label import DNSLabel

NEGATIVE_TTL = 900
_SIZE = 1232


@dataclass
class Seen:
    """One query as the mock upstream got it."""

    name: str
    qtype: int
    dnssec_ok: bool
    checking_disabled: bool
    options: tuple[int, ...]
    stream: bool


@dataclass
class Manner:
    """How queries for a name are treated: after ``delay`` seconds; ``drop`` not at all; with
    this rcode and nothing else (``records``: and the answer); ``ad`` as validated; ``ede`` with
    this EDE code. turned: the answer section in reverse. stray, more: zone lines to add to the
    answer and to the additional section. gate: waited for before the reply."""

    delay: float = 0.0
    drop: bool = False
    rcode: int | None = None
    ad: bool = False
    ede: int | None = None
    records: bool = False
    turned: bool = False
    stray: str = ""
    more: str = ""
    gate: asyncio.Event | None = None


@dataclass
class MockUpstream:
    zone: str = ""
    manners: dict[str, Manner] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    _records: dict[str, list[RR]] = field(default_factory=dict)
    _udp: asyncio.DatagramTransport | None = None
    _tcp: asyncio.AbstractServer | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for line in self.zone.splitlines():
            if line.strip() and not line.lstrip().startswith(";"):
                self._add(*line.split(None, 3))

    def _add(self, name: str, ttl: str, kind: str, data: str = "") -> None:
        owner = name.rstrip(".").lower()
        rows = self._records.setdefault(owner, [])
        if kind in ("A", "AAAA"):
            texts = [str(each) for each in ipaddress.ip_network(data)]
        else:
            texts = [data]
        for text in texts:
            if kind == "DNAME":
                target = DNSLabel(text.rstrip("."))
                wire = b"".join(bytes([len(part)]) + part for part in target.label) + b"\0"
                rows.append(RR(owner, QTYPE.DNAME, ttl=int(ttl), rdata=RD(wire)))
            elif kind.startswith("TYPE"):
                rows.append(RR(owner, int(kind[4:]), ttl=int(ttl), rdata=RD(bytes.fromhex(text))))
            else:
                # dnslib knows no SVCB, but HTTPS, which looks the same.
                known = "HTTPS" if kind == "SVCB" else kind
                made = RR.fromZone(f"{owner}. {ttl} IN {known} {text}")[0]
                made.rtype = 64 if kind == "SVCB" else made.rtype
                rows.append(made)

    def answer(self, packet: bytes, *, stream: bool) -> bytes:
        query = DNSRecord.parse(packet)
        name = str(query.q.qname).rstrip(".").lower()
        opt = next((each for each in query.ar if each.rtype == QTYPE.OPT), None)
        dnssec_ok = bool(opt is not None and opt.ttl & 0x8000)
        options = tuple(option.code for option in opt.rdata) if opt is not None else ()
        cd = bool(query.header.bitmap & 0x10)
        self.seen.append(Seen(name, query.q.qtype, dnssec_ok, cd, options, stream))
        manner = self.manners.get(name, Manner())
        header = DNSHeader(id=query.header.id, qr=1, aa=0, ra=1, rd=query.header.rd)
        reply = DNSRecord(header, q=query.q)
        if manner.rcode is None or manner.records:
            self._fill(reply, name, query.q.qtype, dnssec_ok)
        if manner.rcode is not None:
            reply.header.rcode = manner.rcode
        if manner.turned:
            reply.rr.reverse()
        reply.add_answer(*_rows(manner.stray))
        reply.add_ar(*_rows(manner.more))
        if manner.ad:
            reply.header.bitmap |= 0x20
        if opt is not None:
            told = [EDNSOption(15, manner.ede.to_bytes(2) + b"upstream says")] if manner.ede else []
            reply.add_ar(EDNS0(flags="do" if dnssec_ok else "", udp_len=_SIZE, opts=told))
        packed: bytes = reply.pack()
        if not stream and len(packed) > _SIZE:
            reply.rr, reply.auth = [], []
            reply.header.bitmap |= 0x200
            packed = reply.pack()
        return packed

    def _fill(self, reply: DNSRecord, name: str, qtype: int, dnssec_ok: bool) -> None:
        for _ in range(12):
            rows = self._records.get(name, [])
            alias = [row for row in rows if row.rtype == QTYPE.CNAME]
            if alias and qtype not in (QTYPE.CNAME, QTYPE.ANY):
                reply.add_answer(*alias, *_signatures(rows, dnssec_ok))
                name = str(alias[0].rdata).rstrip(".").lower()
                continue
            made = self._dname(name)
            if made is None:
                break
            dname, alias_row, name = made
            reply.add_answer(dname, alias_row)
        rows = self._records.get(name, [])
        wanted = [r for r in rows if r.rtype == qtype or qtype == QTYPE.ANY and r.rtype != 46]
        if wanted:
            reply.add_answer(*wanted, *_signatures(rows, dnssec_ok))
            return
        known = any(held == name or held.endswith("." + name) for held in self._records)
        if not known:
            reply.header.rcode = 3
        zone = name.rpartition(".")[2] or "root"
        soa = f"{zone}. {NEGATIVE_TTL} IN SOA ns.{zone}. admin.{zone}. 1 2 3 4 {NEGATIVE_TTL}"
        reply.add_auth(*RR.fromZone(soa))

    def _dname(self, name: str) -> tuple[RR, RR, str] | None:
        below = name
        while "." in below:
            below = below.partition(".")[2]
            for row in self._records.get(below, []):
                if row.rtype == QTYPE.DNAME:
                    target = str(DNSLabel(_labels(row.rdata.data))).rstrip(".")
                    made = name[: -len(below)] + target
                    alias = RR.fromZone(f"{name}. {row.ttl} IN CNAME {made}.")[0]
                    return row, alias, made
        return None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for attempt in range(50):
            udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=("127.0.0.1", 0)
            )
            self.port = udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            except OSError:
                # Somebody has the same port for TCP.
                udp.close()
                if attempt == 49:
                    raise
                continue
            self._udp = udp
            return

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()

    def take(self, packet: bytes, peer: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._later(packet, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, packet: bytes, peer: Any) -> None:
        packed = await self._mannered(packet, stream=False)
        if packed is not None and self._udp is not None:
            self._udp.sendto(packed, peer)

    async def _mannered(self, packet: bytes, *, stream: bool) -> bytes | None:
        packed = self.answer(packet, stream=stream)
        manner = self.manners.get(self.seen[-1].name, Manner())
        if manner.drop:
            return None
        if manner.gate is not None:
            await manner.gate.wait()
        if manner.delay:
            await asyncio.sleep(manner.delay)
        return packed

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                packed = await self._mannered(await reader.readexactly(size), stream=True)
                if packed is not None:
                    writer.write(len(packed).to_bytes(2) + packed)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, upstream: MockUpstream) -> None:
        self._upstream = upstream

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._upstream.take(data, addr)


def _rows(zone: str) -> list[RR]:
    """The records of some zone lines."""
    return [row for rows in MockUpstream(zone)._records.values() for row in rows]


def _signatures(rows: list[RR], dnssec_ok: bool) -> list[RR]:
    return [row for row in rows if row.rtype == 46] if dnssec_ok else []


def _labels(wire: bytes) -> list[bytes]:
    parts, at = [], 0
    while wire[at]:
        parts.append(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    return parts
