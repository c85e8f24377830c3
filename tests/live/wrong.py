"""Packets that are wrong on purpose, each with a word on why."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from tests.live.zones import labels

NAME = labels("www.zoo.example")
QUESTION = NAME + b"\0\1\0\1"
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"


def head(flags: int = 0x0100, qd: int = 1, an: int = 0, ns: int = 0, ar: int = 0) -> bytes:
    """A header."""
    return struct.pack("!6H", 4242, flags, qd, an, ns, ar)


def opt(
    size: int = 1232, options: bytes = b"", version: int = 0, flags: int = 0, rcode: int = 0
) -> bytes:
    """An OPT record."""
    ttl = rcode << 24 | version << 16 | flags
    return b"\0" + struct.pack("!HHIH", 41, size, ttl, len(options)) + options


def option(code: int, data: bytes) -> bytes:
    """An EDNS option."""
    return struct.pack("!HH", code, len(data)) + data


def packets() -> Iterator[tuple[str, bytes]]:
    """All of them, the same each time."""
    yield from _headers()
    yield from _names()
    yield from _records()
    yield from _options()
    yield from _cuts()
    yield from _noise()


def _headers() -> Iterator[tuple[str, bytes]]:
    for opcode in range(1, 16):
        yield f"opcode {opcode}", head(opcode << 11 | 0x0100) + QUESTION
        yield f"opcode {opcode}, nothing else", head(opcode << 11, qd=0)
        yield f"opcode {opcode} with OPT", head(opcode << 11, ar=1) + QUESTION + opt()
        yield f"opcode {opcode}, QR", head(0x8000 | opcode << 11) + QUESTION
    for rcode in range(16):
        yield f"rcode {rcode} in a query", head(0x0100 | rcode) + QUESTION
        yield f"response with rcode {rcode}", head(0x8180 | rcode) + QUESTION
    for bit in range(4, 11):
        yield f"header bit {1 << bit:#x}", head(0x0100 | 1 << bit) + QUESTION
    for count in (0, 2, 3, 255, 65535):
        yield f"QDCOUNT {count}, one there", head(qd=count) + QUESTION
        yield f"QDCOUNT {count} with OPT", head(qd=count, ar=1) + QUESTION + opt()
    yield "no question, nothing else", head(qd=0)
    yield "no question, OPT", head(qd=0, ar=1) + opt()
    yield "two questions", head(qd=2) + QUESTION * 2
    for section in ("an", "ns", "ar"):
        for count in (1, 2, 65535):
            yield f"{section.upper()}COUNT {count}, none there", head(**{section: count}) + QUESTION
        yield f"a record in {section}", head(**{section: 1}) + QUESTION + RECORD
    yield "all counts 65535", head(qd=65535, an=65535, ns=65535, ar=65535) + QUESTION
    yield "header twice", head() + head() + QUESTION


def _names() -> Iterator[tuple[str, bytes]]:
    tail = b"\0\1\0\1"
    for size in (64, 100, 127, 128, 191):
        yield f"label type {size:#x}", head() + bytes([size]) + b"a" * 63 + b"\0" + tail
    for target in (0, 2, 11, 12, 13, 14, 16, 255, 0x3FFF):
        pointer = struct.pack("!H", 0xC000 | target)
        yield f"a pointer to {target}", head() + pointer + tail
        yield f"a label and a pointer to {target}", head() + b"\3www" + pointer + tail
    yield "two pointers in a ring", head() + b"\xc0\x0e\xc0\x0c" + tail
    yield (
        "a name of 256 octets",
        head() + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0" + tail,
    )
    yield (
        "a name of 300 octets",
        head() + (b"\x3f" + b"a" * 63) * 4 + b"\x2b" + b"a" * 43 + b"\0" + tail,
    )
    yield "128 labels", head() + b"\1a" * 128 + b"\0" + tail
    yield "a name without end", head() + b"\3www\3zoo" + tail
    yield "only a length", head() + b"\x3f"
    yield "extended label", head() + b"\x41\x08abcdefgh\0" + tail
    yield "a name without type", head() + NAME
    yield "half a type", head() + NAME + b"\0"
    yield "no class", head() + NAME + b"\0\1"
    for kind in (0, 41, 128, 200, 249, 250, 251, 252, 253, 254, 65535):
        yield f"QTYPE {kind}", head() + NAME + struct.pack("!HH", kind, 1)
        yield f"QTYPE {kind} with OPT", head(ar=1) + NAME + struct.pack("!HH", kind, 1) + opt()
    for klass in (0, 2, 3, 4, 5, 253, 254, 255, 256, 65535):
        yield f"QCLASS {klass}", head() + NAME + struct.pack("!HH", 1, klass)
        yield f"QCLASS {klass} with OPT", head(ar=1) + NAME + struct.pack("!HH", 1, klass) + opt()


def _records() -> Iterator[tuple[str, bytes]]:
    for extra in (1, 2, 11, 100):
        yield f"{extra} octets behind the question", head() + QUESTION + bytes(extra)
        yield f"{extra} octets behind the OPT", head(ar=1) + QUESTION + opt() + b"x" * extra
    yield "two OPTs", head(ar=2) + QUESTION + opt() * 2
    yield "three OPTs", head(ar=3) + QUESTION + opt() * 3
    yield "an OPT with an owner", head(ar=1) + QUESTION + b"\1a" + opt()
    yield "an OPT owned by a pointer", head(ar=1) + QUESTION + b"\xc0\x0c" + opt()[1:]
    yield "an OPT among the answers", head(an=1) + QUESTION + opt()
    yield "an OPT in authority", head(ns=1) + QUESTION + opt()
    yield "an OPT before a record", head(ar=2) + QUESTION + opt() + RECORD
    yield "an OPT behind a record", head(ar=2) + QUESTION + RECORD + opt()
    yield "an OPT nobody announced", head() + QUESTION + opt()
    for name, kind in (("TSIG", 250), ("SIG(0)", 24), ("TKEY", 249)):
        made = b"\0" + struct.pack("!HHIH", kind, 255, 0, 10) + bytes(10)
        yield f"a {name} of nothing", head(ar=1) + QUESTION + made
        yield f"a {name} before the OPT", head(ar=2) + QUESTION + made + opt()
    yield (
        "a record longer than the packet",
        head(ar=1) + QUESTION + RECORD[:-6] + b"\xff\xff" + bytes(4),
    )
    for length in (1, 3, 4, 5, 100, 65535):
        made = b"\0" + struct.pack("!HHIH", 41, 1232, 0, length)
        yield f"an OPT of {length} octets that are not there", head(ar=1) + QUESTION + made


def _options() -> Iterator[tuple[str, bytes]]:
    def asked(options: bytes, **more: int) -> bytes:
        return head(ar=1) + QUESTION + opt(options=options, **more)

    for size in (0, 1, 511, 512, 4096, 65535):
        yield f"OPT of size {size}", head(ar=1) + QUESTION + opt(size)
    for version in (1, 2, 255):
        yield f"EDNS version {version}", asked(b"", version=version)
        yield f"EDNS version {version}, bad options", asked(b"\0\x08\0\xff", version=version)
    for bit in range(16):
        yield f"EDNS flag {1 << bit:#x}", asked(b"", flags=1 << bit)
    yield "an extended rcode in a query", asked(b"", rcode=7)
    for cut in (1, 2, 3):
        yield f"{cut} octets of an option", asked(b"\0\x0a\0"[:cut])
    yield "an option longer than the OPT", asked(b"\0\x0a\0\xff" + bytes(8))
    for code in (
        0,
        1,
        2,
        3,
        5,
        6,
        7,
        9,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        18,
        20292,
        26946,
        65001,
        65535,
    ):
        for data in (b"", b"\0", bytes(8), bytes(40)):
            yield f"option {code} of {len(data)} octets", asked(option(code, data))
    for size in (0, 1, 7, 8, 9, 15, 16, 24, 40, 41, 100):
        yield f"a cookie of {size} octets", asked(option(10, bytes(range(size))))
    yield "two cookies", asked(option(10, bytes(8)) * 2)
    for told, data in (
        ("empty", b""), ("cut", b"\0\1\x18"), ("of family 0", b"\0\0\0\0"),
        ("of family 3", b"\0\3\x18\0\x7f\0\0"), ("too short", b"\0\1\x18\0\x7f\0"),
        ("too long", b"\0\1\x18\0\x7f\0\0\0"), ("with bits past the prefix", b"\0\1\x17\0\x7f\0\1"),
        ("of 33 bits", b"\0\1\x21\0\x7f\0\0\0\0"), ("of 129 bits", b"\0\2\x81\0" + bytes(17)),
        ("with a scope", b"\0\1\x18\x10\x7f\0\0"), ("in order", b"\0\1\x18\0\x7f\0\0"),
        ("of 0 bits", b"\0\1\0\0"), ("of IPv6", b"\0\2\x38\0" + bytes(7)),
    ):  # fmt: skip
        yield f"ECS {told}", asked(option(8, data))
    yield "two ECS", asked(option(8, b"\0\1\x18\0\x7f\0\0") * 2)
    yield "500 options", head(ar=1) + QUESTION + opt(options=option(65001, b"") * 500)


def _cuts() -> Iterator[tuple[str, bytes]]:
    whole = head(ar=1) + QUESTION + opt(options=option(10, bytes(8)))
    for size in range(len(whole)):
        yield f"the first {size} octets", whole[:size]


def _noise() -> Iterator[tuple[str, bytes]]:
    roll = random.Random(4242)
    whole = head(ar=1) + QUESTION + opt(options=option(10, bytes(8)))
    for number in range(200):
        packet = bytearray(whole)
        for _ in range(roll.randint(1, 5)):
            packet[roll.randrange(2, len(packet))] = roll.randrange(256)
        yield f"noise {number}", bytes(packet)
