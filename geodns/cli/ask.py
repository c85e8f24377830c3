"""Asking a DNS server as a client in some place, and reading what it says.

dnslib builds and reads the messages. Where it is careless the edges are guarded here: a
reply must have our ID and question, EDE (RFC 8914) and ECS (RFC 7871) are read from raw
option data, and names are compared as labels.
"""

from __future__ import annotations

import re
import secrets
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import monotonic

from dnslib import EDNS0 as OptRecord
from dnslib import QTYPE as TYPE_NAMES
from dnslib import DNSError, DNSLabel, DNSQuestion, DNSRecord, EDNSOption

from geodns.errors import Fault, InputFaults, ServerError
from geodns.model.message import OPTION_ECS, OPTION_EDE
from geodns.model.name import labels, to_text

TRUSTED_SOURCE = "127.0.0.9"
"""Bound when a server on IPv4 loopback is asked, so that operators can trust exactly it."""
BUFFER = 1232

RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED",
    16: "BADVERS", 23: "BADCOOKIE",
}  # fmt: skip
EDE_NAMES = (
    "Other", "Unsupported DNSKEY Algorithm", "Unsupported DS Digest Type", "Stale Answer",
    "Forged Answer", "DNSSEC Indeterminate", "DNSSEC Bogus", "Signature Expired",
    "Signature Not Yet Valid", "DNSKEY Missing", "RRSIGs Missing", "No Zone Key Bit Set",
    "NSEC Missing", "Cached Error", "Not Ready", "Blocked", "Censored", "Filtered",
    "Prohibited", "Stale NXDOMAIN Answer", "Not Authoritative", "Not Supported",
    "No Reachable Authority", "Network Error", "Invalid Data",
)  # fmt: skip
"""Purposes of the EDE codes 0 to 24 (RFC 8914 section 5.2)."""

_ORDER = re.compile(r" \[([a-z0-9-]+)\]$")


@dataclass(frozen=True, slots=True)
class ExtendedError:
    """An EDE option: its code, the purpose of that code, and the server's own text."""

    code: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said.

    answers: the answer section, one record in presentation format each. addresses: those of
    its A and AAAA records. ecs_scope: SCOPE PREFIX-LENGTH of the ECS option in the reply, or
    None where there is none: the server did not believe ours. seconds: from query to reply.
    """

    rcode: str
    answers: tuple[str, ...]
    addresses: tuple[str, ...]
    extended_errors: tuple[ExtendedError, ...]
    ecs_scope: int | None
    transport: str
    seconds: float

    @property
    def order(self) -> str | None:
        """The id of the order that blocked, which geodns puts at the end of its EDE text."""
        for extended in self.extended_errors:
            if found := _ORDER.search(extended.text):
                return found[1]
        return None


def read_type(text: str) -> int:
    """Read a query type: a mnemonic or ``TYPE65`` (RFC 3597). Raises InputFaults."""
    mnemonics = {"SVCB": 64, **{name: code for code, name in TYPE_NAMES.forward.items()}}
    upper = text.upper()
    if upper in mnemonics:
        return int(mnemonics[upper])
    if (match := re.fullmatch(r"TYPE(\d{1,5})", upper)) and int(match[1]) <= 0xFFFF:
        return int(match[1])
    raise InputFaults([Fault(f"{text!r} is no record type; write A, AAAA, TYPE65, ...")])


def type_name(qtype: int) -> str:
    """The mnemonic of a record type, or ``TYPE64``."""
    return str({64: "SVCB", **TYPE_NAMES.forward}.get(qtype, f"TYPE{qtype}"))


def ecs_data(address: IPv4Address | IPv6Address) -> bytes:
    """The data of an ECS option that gives a whole address (RFC 7871 section 6)."""
    family = 1 if address.version == 4 else 2
    return family.to_bytes(2, "big") + bytes((address.max_prefixlen, 0)) + address.packed


def ask(
    server: tuple[str, int],
    name: bytes,
    qtype: int,
    *,
    client: IPv4Address | IPv6Address | None = None,
    timeout: float = 3.0,
) -> Reply:
    """Ask ``server`` over UDP, and over TCP where the reply is truncated.

    name: wire format. client: whose place is claimed by ECS; None claims nothing. timeout:
    seconds for all of it. Raises ServerError where no usable reply comes.
    """
    packet, ident = _query(name, qtype, client)
    started = monotonic()
    deadline = started + timeout
    transport = "UDP"
    try:
        reply = _over_udp(server, packet, ident, deadline)
        if reply.header.tc:
            transport = "TCP"
            reply = _over_tcp(server, packet, ident, deadline)
    except TimeoutError:
        raise ServerError(f"{_shown(server)} did not answer within {timeout:g} s") from None
    except ConnectionRefusedError:
        raise ServerError(
            f"nobody answers at {_shown(server)}; is the server running (geodns serve)?"
        ) from None
    except OSError as error:
        raise ServerError(f"{_shown(server)} cannot be asked: {error.strerror}") from None
    return _read(reply, transport, monotonic() - started)


def _shown(server: tuple[str, int]) -> str:
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _query(name: bytes, qtype: int, client: IPv4Address | IPv6Address | None) -> tuple[bytes, int]:
    ident = secrets.randbelow(1 << 16)
    record = DNSRecord(q=DNSQuestion(DNSLabel(list(labels(name))), qtype))
    record.header.id = ident
    options = [] if client is None else [EDNSOption(OPTION_ECS, ecs_data(client))]
    record.add_ar(OptRecord(udp_len=BUFFER, opts=options))
    return bytes(record.pack()), ident


def _socket(server: tuple[str, int], kind: socket.SocketKind, deadline: float) -> socket.socket:
    host = server[0]
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        if ":" not in host and ip_address(host).is_loopback:
            try:
                made.bind((TRUSTED_SOURCE, 0))
            except OSError:
                pass  # a system whose loopback has 127.0.0.1 only
        made.settimeout(max(0.001, deadline - monotonic()))
        made.connect(server)
    except OSError:
        made.close()
        raise
    return made


def _over_udp(server: tuple[str, int], packet: bytes, ident: int, deadline: float) -> DNSRecord:
    with _socket(server, socket.SOCK_DGRAM, deadline) as made:
        made.send(packet)
        while (left := deadline - monotonic()) > 0:
            made.settimeout(left)
            if (reply := _parse(made.recv(65535), packet, ident)) is not None:
                return reply
    raise TimeoutError


def _over_tcp(server: tuple[str, int], packet: bytes, ident: int, deadline: float) -> DNSRecord:
    with _socket(server, socket.SOCK_STREAM, deadline) as made:
        made.sendall(len(packet).to_bytes(2, "big") + packet)
        made.settimeout(max(0.001, deadline - monotonic()))
        with made.makefile("rb") as stream:
            size = int.from_bytes(stream.read(2), "big")
            reply = _parse(stream.read(size), packet, ident)
    if reply is None:
        raise ServerError(f"{_shown(server)} closed the connection or sent no reply to our query")
    return reply


def _parse(data: bytes, query: bytes, ident: int) -> DNSRecord | None:
    """Read a reply; None if it is not one to our query."""
    question = query[12 : query.index(b"\x00", 12) + 5]
    if len(data) < 12 or int.from_bytes(data[:2], "big") != ident or not data[2] & 0x80:
        return None
    # A server that could not read the question may leave it out, with an error code only.
    if data[12 : 12 + len(question)].lower() != question.lower() and data[4:6] != b"\0\0":
        return None
    try:
        return DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError):
        return None


def _read(reply: DNSRecord, transport: str, seconds: float) -> Reply:
    rcode = reply.header.rcode
    errors: list[ExtendedError] = []
    scope: int | None = None
    for record in reply.ar:
        if not isinstance(record.rdata, list) or record.rtype != 41:
            continue
        rcode |= (record.ttl >> 24) << 4
        for option in record.rdata:
            data = bytes(option.data)
            if option.code == OPTION_EDE and len(data) >= 2:
                code = int.from_bytes(data[:2], "big")
                purpose = EDE_NAMES[code] if code < len(EDE_NAMES) else "Unassigned"
                text = data[2:].decode("utf-8", "replace").rstrip("\0")
                errors.append(ExtendedError(code, purpose, text))
            elif option.code == OPTION_ECS and len(data) >= 4:
                scope = data[3]
    return Reply(
        rcode=RCODES.get(rcode, f"RCODE{rcode}"),
        answers=tuple(_record(record) for record in reply.rr),
        addresses=tuple(str(record.rdata) for record in reply.rr if record.rtype in (1, 28)),
        extended_errors=tuple(errors),
        ecs_scope=scope,
        transport=transport,
        seconds=seconds,
    )


def _record(record: object) -> str:
    owner = _text(record.rname)  # type: ignore[attr-defined]
    rdata = record.rdata  # type: ignore[attr-defined]
    rtype = record.rtype  # type: ignore[attr-defined]
    shown = _text(rdata.label) if isinstance(getattr(rdata, "label", None), DNSLabel) else rdata
    return f"{owner} {record.ttl} IN {type_name(rtype)} {shown}"  # type: ignore[attr-defined]


def _text(label: DNSLabel) -> str:
    wire = b"".join(bytes((len(part),)) + bytes(part) for part in label.label) + b"\0"
    return to_text(wire)
