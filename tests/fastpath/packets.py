"""Packets of every kind for hypothesis: queries as the RFCs want them, and damaged ones."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from tests.fastpath.twins import SUBNETS, roll_header
from tests.policy.making import wire
from tests.scenarios.asking import ecs_option, option

labels = st.sampled_from([b"a", b"b", b"ab", b"A", b"aB", b"x", b"y", b"localhost", b"\0\xc0."])
plain_names = st.lists(labels, max_size=4).map(
    lambda parts: b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
)
long_names = st.sampled_from(
    [
        wire(".".join(["z" * 63] * 3 + ["a"])),
        wire(".".join(["z" * 63] * 3 + ["a" * 61])),  # 255 octets
        wire(".".join(["z" * 63] * 3 + ["a" * 62])),
        wire(".".join("a" * 127)),  # 127 labels, 255 octets
        wire(".".join("a" * 128)),
        wire(".".join("a" * 200)),
        b"\x40" + b"a" * 64 + b"\0",
        b"\xc0\x0c",
        b"\1a\xc0\x0c",
    ]
)
names = st.one_of(plain_names, plain_names, plain_names, long_names)
qtypes = st.sampled_from([1] * 8 + [28, 28, 65, 16, 5, 255, 252, 251, 250, 128, 127, 41, 0, 65280])
qtypes = qtypes | st.integers(0, 65535)
qclasses = st.sampled_from([1] * 20 + [3, 255, 0, 256, 257])
heads = st.sampled_from(
    # flags, then the counts of questions, answers, authorities; -1 stands for any flags
    [(0x0100, 1, 0, 0)] * 20
    + [(0x0000, 1, 0, 0), (0x0120, 1, 0, 0), (0x0110, 1, 0, 0), (0x0130, 1, 0, 0)] * 3
    + [(0x8100, 1, 0, 0), (0x0900, 1, 0, 0), (0x07F0, 1, 0, 0), (-1, 1, 0, 0), (-1, 1, 0, 0)]
    + [(0x0100, 0, 0, 0), (0x0100, 2, 0, 0), (0x0100, 257, 0, 0)]
    + [(0x0100, 1, 1, 0), (0x0100, 1, 0, 1), (0x0100, 1, 256, 0), (0x0100, 1, 0, 256)]
)
RECORDS = [(0, 0)] * 8 + [(1, 1)] * 24 + [(2, 2)] * 3 + [(1, 0), (0, 1), (1, 2), (2, 1), (1, 257)]
"""OPT records there are, and how many the header announces."""
sizes = st.sampled_from([0, 511, 512, 513, 1231, 1232, 1233, 4096, 65535]) | st.integers(0, 65535)
subnets = st.sampled_from(SUBNETS).map(lambda text: option(8, ecs_option(text)))
cookies = st.builds(option, st.sampled_from([3, 8, 10, 12, 15, 65001]), st.binary(max_size=24))
broken_options = st.sampled_from(
    [b"\0", b"\0\x0a\0", b"\0\x0a\0\x05abcd", b"\0\x08\0\xff", b"\1\0\0\0"]
)
options = st.lists(st.one_of(cookies, subnets, subnets, broken_options), max_size=3).map(b"".join)


OPTS = [
    *[(b"\0", 0, 0)] * 12,
    *[(b"\0", 0x8000, 0)] * 8,
    *[(b"\0", ttl, 0) for ttl in (0x7FFF, 0x8001, 0x10000, 0xFF0000, 0x01000000)],
    *[(b"\0", 0, wrong) for wrong in (-1, 1, -65535, 65000)],
    *[(b"\1a\0", 0, 0), (b"\xc0\x0c", 0, 0)],
]
"""Owner, TTL, and by how much the length lies."""


@st.composite
def opts(draw: st.DrawFn) -> bytes:
    owner, ttl, wrong = draw(st.sampled_from(OPTS))
    data = draw(st.just(b"") | options)
    return owner + struct.pack("!HHIH", 41, draw(sizes), ttl, max(0, len(data) + wrong)) + data


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    additional, announced = draw(st.sampled_from(RECORDS))
    records = [draw(opts()) for _ in range(additional)]
    flags, *counts = draw(heads)
    if flags < 0:
        flags = draw(st.integers(0, 65535))
    head = struct.pack("!6H", 0xBEEF, flags, *counts, announced)
    question = draw(names) + struct.pack("!HH", draw(qtypes), draw(qclasses))
    return head + question + b"".join(records)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    packet = bytearray(draw(queries()))
    for how in draw(
        st.lists(st.sampled_from(["flip", "flip", "cut", "grow", "put", "copy"]), max_size=3)
    ):
        if not packet:
            break
        at = draw(st.integers(0, len(packet) - 1))
        if how == "flip":
            packet[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del packet[at:]
        elif how == "grow":
            packet += draw(st.binary(min_size=1, max_size=40))
        elif how == "put":
            packet[at:at] = draw(st.binary(min_size=1, max_size=4))
        else:
            packet += packet[at:]
    return bytes(packet)


packets = st.one_of(queries(), queries(), damaged(), st.binary(max_size=64))


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """PROXY headers, good ones and damaged ones."""
    header = bytearray(roll_header(draw(st.randoms(use_true_random=False))))
    for at, value in draw(
        st.just([]) | st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=2)
    ):
        header[at % len(header)] = value
    return bytes(header[: draw(st.just(None) | st.integers(0, 60))])


datagrams = st.builds(bytes.__add__, headers(), packets)
