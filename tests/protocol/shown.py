"""Messages as one line of text, and lines of text as messages. geodns' own code stays out of it.

A query is written as its octets: hexadecimal digits, and names in quotes for their labels. A reply
is shown by what a client sees of it, section by section.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED",
          16: "BADVERS", 23: "BADCOOKIE"}  # fmt: skip
TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 17: "RP",
    18: "AFSDB", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR", 36: "KX", 39: "DNAME", 41: "OPT",
    43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM",
    52: "TLSA", 61: "OPENPGPKEY", 64: "SVCB", 65: "HTTPS", 108: "EUI48", 250: "TSIG", 251: "IXFR",
    252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA", 261: "RESINFO",
}  # fmt: skip
CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
FLAGS = {0x0400: "aa", 0x0200: "tc", 0x0100: "rd", 0x0080: "ra", 0x0040: "z", 0x0020: "ad",
         0x0010: "cd"}  # fmt: skip
_LEADING_NAMES = {2: 0, 5: 0, 12: 0, 39: 0, 15: 2, 18: 2, 36: 2, 33: 6}
"""Types whose data ends in one name, and how many octets stand before it."""


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record; names without compression, data too. section: answer, authority ..."""

    section: str
    owner: bytes
    kind: int
    klass: int
    ttl: int
    data: bytes

    def __str__(self) -> str:
        """Owner, type and data, the class if it is not IN."""
        klass = "" if self.klass == 1 else f"{CLASSES.get(self.klass, self.klass)} "
        return f"{text_of(self.owner)} {klass}{type_text(self.kind)} {self.shown_data()}".rstrip()

    def shown_data(self) -> str:
        """The data as zone files have it, for the commonest types; hexadecimal for others."""
        if self.kind == 1:
            return ".".join(map(str, self.data))
        if self.kind in _LEADING_NAMES and not _LEADING_NAMES[self.kind]:
            return text_of(self.data)
        if self.kind == 6:
            return text_of(self.data[: _end(self.data, 0)]) + " ..."
        if self.kind in (16, 261):
            return " ".join(f'"{each.decode("ascii", "replace")}"' for each in _strings(self.data))
        return self.data.hex()


@dataclass(frozen=True, slots=True)
class Message:
    """A message, read whole. opt: size, version, flags and options of its OPT, or None."""

    id: int
    flags: int
    rcode: int
    question: tuple[bytes, int, int] | None
    records: tuple[Record, ...]
    opt: tuple[int, int, int, tuple[tuple[int, bytes], ...]] | None
    size: int

    def section(self, name: str) -> list[Record]:
        """The records of a section: answer, authority, additional."""
        return [each for each in self.records if each.section == name]

    @property
    def opcode(self) -> int:
        """The operation."""
        return self.flags >> 11 & 15

    def __str__(self) -> str:
        """In one line: code and flags; question; answer; authority; additional and OPT."""
        head = [RCODES.get(self.rcode, str(self.rcode))]
        if self.opcode:
            head.append(f"opcode={self.opcode}")
        head += [name for bit, name in FLAGS.items() if self.flags & bit]
        parts = [" ".join(head)]
        if self.question is None:
            parts.append("-")
        else:
            name, kind, klass = self.question
            tail = "" if klass == 1 else f" {CLASSES.get(klass, klass)}"
            parts.append(f"{text_of(name)} {type_text(kind)}{tail}")
        for name in ("answer", "authority"):
            parts.append(", ".join(map(str, self.section(name))) or "-")
        last = [str(each) for each in self.section("additional")]
        if self.opt is not None:
            last.append(self._shown_opt(*self.opt))
        parts.append(", ".join(last) or "-")
        return "; ".join(parts)

    def _shown_opt(
        self, size: int, version: int, flags: int, options: tuple[tuple[int, bytes], ...]
    ) -> str:
        words = [f"OPT {size}"]
        if version:
            words.append(f"version={version}")
        if flags & 0x8000:
            words.append("do")
        if flags & 0x7FFF:
            words.append(f"flags={flags & 0x7FFF:#x}")
        for code, data in options:
            if code == 15:
                text = data[2:].decode()
                words.append(f"EDE {int.from_bytes(data[:2])}" + (f" ({text})" if text else ""))
            elif code == 8:
                family, source, scope = struct.unpack("!HBB", data[:4])
                words.append(f"ECS {family}:{data[4:].hex()}/{source}/{scope}")
            else:
                words.append(f"option {code} {data.hex()}".rstrip())
        return " ".join(words)


def octets(text: str) -> bytes:
    """Octets of a line: hexadecimal digits, ``"a.b"`` for a name, ``7f*3`` for repetition."""
    out = b""
    for quoted, digits, times in re.findall(r'"([^"]*)"|([0-9a-fA-F]+)(?:\*(\d+))?', text):
        if digits:
            out += bytes.fromhex(digits) * int(times or 1)
        else:
            labels = [label for label in quoted.split(".") if label]
            out += b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    rest = re.sub(r'"[^"]*"|[0-9a-fA-F]+(\*\d+)?|\s', "", text)
    if rest:
        raise ValueError(f"neither digits nor a name: {rest!r}")
    return out


def read(packet: bytes, *, opaque: bool = False) -> Message:
    """Read a message whole. Raises ValueError where it is not well formed.

    opaque: neither record data nor where the owners of authority and additional records point
    is looked at.
    """
    try:
        return _read(packet, opaque)
    except (IndexError, struct.error) as fault:
        raise ValueError(f"cut: {packet.hex()}") from fault


def _read(packet: bytes, opaque: bool) -> Message:
    ident, flags, qd, an, ns, ar = struct.unpack_from("!6H", packet)
    at, question = 12, None
    if qd > 1:
        raise ValueError("more than one question")
    if qd:
        name, at = _name(packet, at)
        question = (name, *struct.unpack_from("!HH", packet, at))
        at += 4
    records = []
    rcode = flags & 15
    opt = None
    sections = ["answer"] * an + ["authority"] * ns + ["additional"] * ar
    for section in sections:
        if opaque and section != "answer":
            owner, at = b"\0" if not packet[at] else b"", _behind(packet, at)
        else:
            owner, at = _name(packet, at)
        kind, klass, ttl, length = struct.unpack_from("!HHIH", packet, at)
        at += 10
        if at + length > len(packet):
            raise ValueError("a record is cut")
        if kind == 41:
            if opt is not None or owner != b"\0" or section != "additional":
                raise ValueError("an OPT record too many, or in the wrong place")
            rcode |= ttl >> 24 << 4
            options = tuple(_options(packet[at : at + length]))
            opt = klass, ttl >> 16 & 255, ttl & 0xFFFF, options
        else:
            data = packet[at : at + length] if opaque else _data(packet, at, length, kind)
            records.append(Record(section, owner, kind, klass, ttl, data))
        at += length
    if at != len(packet):
        raise ValueError("octets behind the last record")
    return Message(ident, flags, rcode, question, tuple(records), opt, len(packet))


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at < len(data):
        code, length = struct.unpack_from("!HH", data, at)
        at += 4 + length
        if at > len(data):
            raise ValueError("an option is cut")
        found.append((code, data[at - length : at]))
    return found


def _name(packet: bytes, at: int) -> tuple[bytes, int]:
    parts = []
    end = None
    for _ in range(256):
        size = packet[at]
        if size >= 0xC0:
            end = at + 2 if end is None else end
            at = (size & 0x3F) << 8 | packet[at + 1]
            continue
        if size > 63:
            raise ValueError("a strange label")
        parts.append(packet[at : at + 1 + size])
        at += 1 + size
        if not size:
            return b"".join(parts), at if end is None else end
    raise ValueError("a name without end")


def _strings(data: bytes) -> list[bytes]:
    found = []
    while data:
        found.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return found


def _behind(packet: bytes, at: int) -> int:
    while 0 < packet[at] < 64:
        at += 1 + packet[at]
    return at + (2 if packet[at] >= 0xC0 else 1)


def _data(packet: bytes, at: int, length: int, kind: int) -> bytes:
    """The data with its names uncompressed, where the type is an old one that may compress."""
    if kind in _LEADING_NAMES:
        start = at + _LEADING_NAMES[kind]
        return packet[at:start] + _name(packet, start)[0]
    if kind in (6, 17):
        first, second = _name(packet, at)
        other, rest = _name(packet, second)
        return first + other + packet[rest : at + length]
    return packet[at : at + length]


def _end(wire: bytes, at: int) -> int:
    return _name(wire, at)[1]


def text_of(wire: bytes) -> str:
    """A name as zone files have it, without the trailing dot."""
    labels = []
    at = 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        labels.append("".join(_character(octet) for octet in label))
        at += 1 + wire[at]
    return ".".join(labels) or "."


def _character(octet: int) -> str:
    if octet in b'.\\"();@$':
        return "\\" + chr(octet)
    return chr(octet) if 32 < octet < 127 else f"\\{octet:03d}"


def type_text(kind: int) -> str:
    """A type's name, or TYPEnnn (RFC 3597)."""
    return TYPES.get(kind, f"TYPE{kind}")
