"""Messages built octet by octet."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from geodns.model import message, name

WWW = name.parse("www.example.org")
OPT_1232 = message.opt_record(1232)


def ask(
    wire: bytes = WWW,
    qtype: int = 1,
    *,
    flags: int = 0x0100,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    rest: bytes = b"",
) -> bytes:
    """A query with ``rest`` behind its question."""
    head = struct.pack("!HHHHHH", 0xBEEF, flags, *counts)
    return head + wire + struct.pack("!HH", qtype, 1) + rest


def record(
    owner: bytes, rtype: int, data: bytes, ttl: int = 60, rclass: int = 1, size: int | None = None
) -> bytes:
    length = len(data) if size is None else size
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, length) + data


def reply(
    answer: tuple[bytes, ...] = (),
    authority: tuple[bytes, ...] = (),
    additional: tuple[bytes, ...] = (),
    *,
    flags: int = 0x8180,
    qtype: int = 1,
    wire: bytes = WWW,
) -> bytes:
    head = struct.pack("!HHHHHH", 7, flags, 1, len(answer), len(authority), len(additional))
    return head + wire + struct.pack("!HH", qtype, 1) + b"".join(answer + authority + additional)


HERE = b"\xc0\x0c"
SOA_DATA = b"\x00\x00" + struct.pack("!IIIII", 1, 2, 3, 4, 30)

LABEL_64 = b"\x40" + b"a" * 64 + b"\x00"
NAME_256 = (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"b" * 62 + b"\x00"
A_RECORD = record(HERE, 1, b"\xc0\x00\x02\x01")


def octets() -> st.SearchStrategy[bytes]:
    """Octets that look enough like DNS to get past the header."""
    alias = record(HERE, 5, b"\xc0\x10"), record(HERE, 39, b"\x01x\x00")
    opt = message.opt_record(9, b"\x00\x0f\x00\x01")
    tail = b"\x00\x01\x00\x01"
    soa = record(HERE, 6, SOA_DATA)
    pieces = st.sampled_from(
        [WWW, HERE, OPT_1232, b"\x00", b"\xc0\x10", A_RECORD, b"\xff" * 4, tail, *alias, soa, opt]
    )
    counts = st.tuples(*[st.integers(0, 3)] * 3)
    return st.builds(
        lambda flags, counts, body: struct.pack("!HHHHHH", 1, flags, 1, *counts) + body,
        st.sampled_from([0x0100, 0x8180, 0x8183, 0x8380]),
        counts,
        st.lists(pieces | st.binary(max_size=12), max_size=8).map(b"".join),
    )
