"""Clients: queries built by hand, replies read with dnslib. geodns' own code stays out of it."""

from __future__ import annotations

import ipaddress
import itertools
import socket
import struct
from dataclasses import dataclass
from typing import Any

from dnslib import QTYPE, RCODE, RD, DNSRecord

PATIENCE = 5.0
"""Seconds that a reply is waited for before a test fails."""
TYPES = {"SVCB": 64, "HTTPS": 65, "ANY": 255, "AXFR": 252, "IXFR": 251}
CLASSES = {"IN": 1, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}
_IDS = itertools.cycle(range(1000, 60000))


def type_number(text: str) -> int:
    if text.startswith("TYPE"):
        return int(text[4:])
    return TYPES.get(text) or int(getattr(QTYPE, text))


def wire_name(text: str) -> bytes:
    labels = [label for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def ecs_option(network: str) -> bytes:
    """The data of an ECS option for ``127.39.0.0/24``; ``0/0`` is the empty one of dig."""
    if network == "0/0":
        return struct.pack("!HBB", 0, 0, 0)
    net = ipaddress.ip_network(network)
    family = 1 if net.version == 4 else 2
    octets = net.network_address.packed[: (net.prefixlen + 7) // 8]
    return struct.pack("!HBB", family, net.prefixlen, 0) + octets


def opt(size: int = 1232, options: bytes = b"", *, do: bool = False, version: int = 0) -> bytes:
    ttl = version << 16 | (0x8000 if do else 0)
    return b"\0" + struct.pack("!HHIH", 41, size, ttl, len(options)) + options


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def proxy_header(client: str | None, *, transport: int = 2, tlvs: bytes = b"") -> bytes:
    """A PROXY header (version 2) that names a client; None for LOCAL. transport: 1 TCP, 2 UDP."""
    fixed = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
    if client is None:
        return fixed + b"\x20\x00" + struct.pack("!H", len(tlvs)) + tlvs
    address = ipaddress.ip_address(client)
    there = (
        b"\xc0\x00\x02\x35" if address.version == 4 else ipaddress.ip_address("2001:db8::35").packed
    )
    block = address.packed + there + struct.pack("!HH", 40000, 53) + tlvs
    family = 1 if address.version == 4 else 2
    return fixed + bytes((0x21, family << 4 | transport)) + struct.pack("!H", len(block)) + block


def build(
    name: str,
    qtype: str = "A",
    qclass: str = "IN",
    *,
    edns: int | None = 1232,
    options: bytes = b"",
    do: bool = False,
    cd: bool = False,
    ad: bool = False,
    rd: bool = True,
    ident: int | None = None,
) -> bytes:
    """A query. edns: the size to announce, None for no OPT. options: encoded EDNS options."""
    flags = rd << 8 | ad << 5 | cd << 4
    record = b"" if edns is None else opt(edns, options, do=do)
    head = struct.pack(
        "!6H", next(_IDS) if ident is None else ident, flags, 1, 0, 0, 0 if edns is None else 1
    )
    kinds = struct.pack("!HH", type_number(qtype), CLASSES[qclass])
    return head + wire_name(name) + kinds + record


def send_udp(
    server: tuple[str, int], source: str, packet: bytes, patience: float, header: bytes = b""
) -> bytes | None:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect(server)
        sock.settimeout(patience)
        sock.send(header + packet)
        try:
            return sock.recv(65535)
        except TimeoutError:
            return None


def send_tcp(
    server: tuple[str, int], source: str, packet: bytes, patience: float, header: bytes = b""
) -> bytes | None:
    """header: octets in front of all else, such as a PROXY header."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(patience)
        sock.connect(server)
        sock.sendall(header + len(packet).to_bytes(2) + packet)
        try:
            head = _exactly(sock, 2)
            return _exactly(sock, int.from_bytes(head)) if head else None
        except (TimeoutError, ConnectionError):
            return None


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


@dataclass
class Reply:
    """A reply, read."""

    packet: bytes
    rcode: str
    flags: int
    answer: list[str]
    """``name type data`` of each record, names without the trailing dot."""
    ttls: list[int]
    soa: str | None
    soa_ttl: int | None
    has_opt: bool
    do: bool
    size: int | None
    ede: list[tuple[int, str]]
    ecs: tuple[int, int, int] | None
    """Family, source and scope prefix length."""

    @property
    def tc(self) -> bool:
        return bool(self.flags & 0x200)

    @property
    def ad(self) -> bool:
        return bool(self.flags & 0x20)


def read(packet: bytes) -> Reply:
    """Read a reply with dnslib; EDNS options by hand."""
    record = DNSRecord.parse(packet)
    opts = [each for each in record.ar if each.rtype == QTYPE.OPT]
    assert len(opts) <= 1
    ede: list[tuple[int, str]] = []
    ecs = None
    rcode = record.header.rcode
    if opts:
        rcode |= opts[0].ttl >> 24 << 4
        for each in opts[0].rdata:
            if each.code == 15:
                ede.append((int.from_bytes(each.data[:2]), each.data[2:].decode()))
            elif each.code == 8:
                assert ecs is None
                ecs = struct.unpack("!HBB", each.data[:4])
                assert len(each.data) == 4 + (ecs[1] + 7) // 8
    soas = [each for each in record.auth if each.rtype == QTYPE.SOA]
    return Reply(
        packet=packet,
        rcode={16: "BADVERS"}.get(rcode) or str(RCODE[rcode]),
        flags=record.header.bitmap,
        answer=[_show(each) for each in record.rr],
        ttls=[each.ttl for each in record.rr],
        soa=str(soas[0].rname).rstrip(".") if soas else None,
        soa_ttl=min(soas[0].ttl, soas[0].rdata.times[4]) if soas else None,
        has_opt=bool(opts),
        do=bool(opts and opts[0].ttl & 0x8000),
        size=opts[0].rclass if opts else None,
        ede=ede,
        ecs=ecs,
    )


def _show(row: Any) -> str:
    data = row.rdata.data.hex() if type(row.rdata) is RD else str(row.rdata).rstrip(".")
    return f"{str(row.rname).rstrip('.')} {QTYPE.get(row.rtype)} {data}"


def check_manners(packet: bytes, reply: Reply, *, stream: bool) -> None:
    """What holds for every reply to every well-formed query (PROTOCOL.md items 1, 9 and 12)."""
    assert reply.packet[:2] == packet[:2]
    flags = reply.flags
    assert flags & 0x8000, "QR"
    assert not flags & 0x7800, "opcode"
    assert not flags & 0x0440, "AA and Z stay clear"
    assert flags & 0x0080, "RA"
    asked = struct.unpack("!H", packet[2:4])[0]
    assert flags & 0x0110 == asked & 0x0110, "RD and CD come back"
    end = 12
    while packet[end]:
        end += 1 + packet[end]
    end += 5
    assert reply.packet[4:6] == b"\0\1"
    assert reply.packet[12:end] == packet[12:end], "the question comes back letter by letter"
    edns = packet[10:12] != b"\0\0"
    assert reply.has_opt == edns, "OPT in the reply iff in the query"
    if edns:
        assert reply.size == 1232
        announced = struct.unpack("!H", packet[end + 3 : end + 5])[0]
        assert reply.do == bool(packet[end + 7] & 0x80)
    if not stream:
        limit = min(max(announced, 512), 1232) if edns else 512
        assert len(reply.packet) <= limit
    if reply.tc:
        assert not reply.answer
