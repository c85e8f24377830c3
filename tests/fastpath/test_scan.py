"""The native scan of responses against the one in Python: the same, or declined."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.message import opt_record, option
from geodns.model.response import read_response
from tests.policy.making import wire

native = pytest.importorskip("geodns.fastpath.native")

ASKED = "www.a.example"
HERE = b"\xc0\x0c"
ABOVE = b"\xc0\x10"  # a.example
NAMES = [HERE, ABOVE, wire("b"), wire("www.a.example"), wire("WWW.A.example"), b"\0", b"\xc0\x2a"]


def record(owner: bytes, kind: int, data: bytes, ttl: int = 300) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def response(
    answer: list[bytes],
    authority: list[bytes] | None = None,
    additional: list[bytes] | None = None,
    *,
    qtype: int = 1,
    flags: int = 0x8180,
) -> bytes:
    sections = answer, authority or [], additional or []
    head = struct.pack("!6H", 0x1234, flags, 1, *map(len, sections))
    question = wire(ASKED) + struct.pack("!HH", qtype, 1)
    return head + question + b"".join(b"".join(section) for section in sections)


def check(packet: bytes) -> bool:
    """Whether the scan took the packet; if it did, it says what Python says."""
    found = native.scan_response(packet)
    if found is None:
        return False
    read = read_response(packet)
    kept, ttls, lifetime, aliases, addresses = found
    assert kept == read.packet
    assert ttls == read.ttl_offsets
    assert lifetime == read.lifetime
    assert set(aliases) == set(read.aliases)
    assert sorted(addresses) == sorted(read.addresses)
    assert read.rcode in (0, 3)
    assert not read.ede
    return True


SOA = record(ABOVE, 6, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 60), 900)
A = record(HERE, 1, bytes(4))
OPT = opt_record(1232)
SERVICE = struct.pack("!H", 1) + b"\0" + struct.pack("!HH", 4, 8) + bytes(range(8))


@pytest.mark.parametrize(
    "packet",
    [
        response([A], [], [OPT]),
        response([A, A, record(HERE, 28, bytes(16))]),
        response([record(HERE, 5, wire("b"), 60), record(wire("b"), 1, bytes(4))], [], [OPT]),
        response([record(HERE, 5, b"\x01x" + ABOVE), record(b"\x01X" + ABOVE, 1, bytes(4))]),
        response([], [SOA], [OPT], flags=0x8183),
        response([], [SOA]),
        response([], []),
        response([A], [record(ABOVE, 2, wire("ns"))], [record(wire("ns"), 1, bytes(4)), OPT]),
        response([A, record(HERE, 46, bytes(40))], [], [opt_record(1232, dnssec_ok=True)]),
        response([record(HERE, 65, SERVICE)], [], [OPT], qtype=65),
        response([record(HERE, 65, b"\0\1" + wire("b"))], [], [OPT], qtype=65),
        response([record(HERE, 16, b"\3abc", 0x80000001)], qtype=16),
        response([A], [], [opt_record(1232, option(10, bytes(16)))]),
    ],
)
def test_what_upstreams_usually_say_is_taken(packet: bytes) -> None:
    assert check(packet)


@pytest.mark.parametrize(
    ("why", "packet"),
    [
        ("truncated", response([A], flags=0x8380)),
        ("another rcode", response([], flags=0x8182)),
        ("extended rcode", response([A], [], [opt_record(1232, rcode=16)])),
        ("EDE", response([A], [], [opt_record(1232, option(15, b"\0\3"))])),
        ("a stray record", response([A, record(wire("b"), 1, bytes(4))])),
        ("DNAME", response([record(ABOVE, 39, wire("b")), record(HERE, 5, wire("www.b"))])),
        ("a circle", response([record(HERE, 5, wire("b")), record(wire("b"), 5, wire(ASKED))])),
        ("a link before its time", response([record(wire("b"), 1, bytes(4)),
                                             record(HERE, 5, wire("b"))])),
        ("addresses beside services", response([record(HERE, 65, SERVICE)], [],
                                               [record(HERE, 1, bytes(4))], qtype=65)),
        ("no response", response([A], flags=0x0180)),
        ("an alias behind itself", response([record(HERE, 5, wire("b") + b"\0")])),
        ("a hint that is cut", response([record(HERE, 65, SERVICE[:-1])], qtype=65)),
        ("records beyond number", response([A] * 25)),
        ("a forward pointer", response([record(b"\xc0\xff", 1, bytes(4))])),
    ],
)  # fmt: skip
def test_what_is_out_of_the_ordinary_is_declined(why: str, packet: bytes) -> None:
    assert not check(packet)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Responses, most of them well-formed, some with octets changed, cut or added."""

    def rows(most: int) -> list[bytes]:
        found = []
        for _ in range(draw(st.integers(0, most))):
            kind = draw(st.sampled_from([1, 1, 1, 28, 5, 5, 2, 6, 16, 39, 46, 64, 65, 41]))
            target = draw(st.sampled_from(NAMES))
            data = {
                1: bytes(draw(st.sampled_from([4, 4, 4, 5]))),
                28: bytes(range(16)),
                5: target,
                39: target,
                2: target,
                6: target + b"\0" + struct.pack("!5I", 1, 2, 3, 4, draw(st.integers(0, 99))),
                64: SERVICE,
                65: b"\0\1" + target + draw(st.sampled_from([b"", SERVICE[3:], b"\0\1\0\2"])),
            }.get(kind, b"abc")
            ttl = draw(st.sampled_from([0, 1, 60, 86400, 0x7FFFFFFF, 0x80000000]))
            found.append(record(draw(st.sampled_from(NAMES)), kind, data, ttl))
        return found

    packet = bytearray(
        response(
            rows(5),
            rows(2),
            [*rows(2), *draw(st.sampled_from([[], [OPT], [opt_record(9, b"\0\x0f\0\2\0\3")]]))],
            qtype=draw(st.sampled_from([1, 1, 28, 5, 65, 16, 255])),
            flags=draw(st.sampled_from([0x8180, 0x8180, 0x81A0, 0x8183, 0x8380, 0x8182])),
        )
    )
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    if draw(st.integers(0, 9)) == 0:
        del packet[draw(st.integers(0, len(packet))) :]
    return bytes(packet + draw(st.sampled_from([b"", b"", b"", b"\0"])))


@settings(max_examples=600, deadline=None)
@given(packets())
def test_the_twins_agree_or_python_reads_it(packet: bytes) -> None:
    check(packet)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=90))
def test_octets_of_any_kind_are_no_danger(octets: bytes) -> None:
    check(octets)
    check(response([A])[:34] + octets)
