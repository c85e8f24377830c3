from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.proxy import LARGEST, SIGNATURE, BadHeader, Header, NoHeader, read_header

OCTETS = bytes.fromhex("0d0a0d0a000d0a515549540a")
V4 = bytes([192, 0, 2, 1, 198, 51, 100, 53]) + b"\x9c\x40\x00\x35"
V6 = ip_address("2001:db8::1").packed + ip_address("2001:db8::35").packed + b"\x9c\x40\x00\x35"
UNIX = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")


def header(command: int = 0x21, family: int = 0x12, block: bytes = V4) -> bytes:
    return OCTETS + bytes((command, family)) + len(block).to_bytes(2) + block


def test_the_signature_is_that_of_the_specification() -> None:
    assert SIGNATURE == OCTETS


@pytest.mark.parametrize("transport", [1, 2])
def test_addresses(transport: int) -> None:
    assert read_header(header(0x21, 0x10 | transport, V4)) == Header(28, bytes([192, 0, 2, 1]))
    assert read_header(header(0x21, 0x20 | transport, V6)) == Header(52, V6[:16])


def test_what_follows_the_header_is_not_looked_at() -> None:
    for behind in (b"", b"x", b"\xff" * 500):
        assert read_header(header() + behind) == Header(28, V4[:4])


def test_tlvs_are_passed_over() -> None:
    tlvs = b"\x04\0\2ab" + b"\xe0\0\0" + b"\x03\0\4" + bytes(4)
    assert read_header(header(block=V4 + tlvs)) == Header(28 + len(tlvs), V4[:4])
    assert read_header(header(0x21, 0x22, V6 + tlvs)) == Header(52 + len(tlvs), V6[:16])


@pytest.mark.parametrize("family", [0x00, 0x11, 0x22, 0x32, 0x44, 0xFF])
@pytest.mark.parametrize("block", [b"", V4, b"anything"])
def test_local_says_nothing_of_a_client_whatever_it_holds(family: int, block: bytes) -> None:
    assert read_header(header(0x20, family, block)) == Header(16 + len(block), None)


@pytest.mark.parametrize(
    ("family", "block"),
    [(0x00, b""), (0x00, V4), (0x01, b"x"), (0x10, V4), (0x20, V6), (0x31, UNIX), (0x32, UNIX)],
)
def test_an_unspecified_address_is_no_client(family: int, block: bytes) -> None:
    assert read_header(header(0x21, family, block)) == Header(16 + len(block), None)


@pytest.mark.parametrize("command", [0x22, 0x2F, 0x01, 0x11, 0x31, 0xF1])
def test_other_versions_and_commands_are_faults(command: int) -> None:
    with pytest.raises(BadHeader):
        read_header(header(command))


@pytest.mark.parametrize("family", [0x13, 0x1F, 0x03, 0x41, 0xF2])
def test_other_families_and_transports_are_faults(family: int) -> None:
    with pytest.raises(BadHeader):
        read_header(header(0x21, family, UNIX))


@pytest.mark.parametrize(
    ("family", "block"),
    [(0x11, V4[:-1]), (0x12, b""), (0x21, V6[:-1]), (0x22, V4), (0x31, UNIX[:-1]), (0x10, b"")],
)
def test_an_address_that_its_length_has_no_room_for_is_a_fault(family: int, block: bytes) -> None:
    with pytest.raises(BadHeader):
        read_header(header(0x21, family, block))


def test_headers_are_bounded() -> None:
    room = LARGEST - 28
    assert read_header(header(block=V4 + bytes(room))) == Header(LARGEST, V4[:4])
    with pytest.raises(BadHeader):
        read_header(header(block=V4 + bytes(room + 1)))
    with pytest.raises(BadHeader):
        read_header(OCTETS + b"\x21\x12\xff\xff")


@pytest.mark.parametrize(
    "data", [b"\0", b"\r\n\r\n\1", b"PROXY TCP4 192.0.2.1", OCTETS[:-1] + b"\r"]
)
def test_what_begins_otherwise_is_no_header(data: bytes) -> None:
    with pytest.raises(NoHeader):
        read_header(data)


@given(
    st.sampled_from([header(), header(0x20, 0, b""), header(0x21, 0x21, V6 + b"\x04\0\1x")]),
    st.binary(max_size=40),
)
def test_one_octet_after_the_other_tells_the_same(whole: bytes, behind: bytes) -> None:
    told = read_header(whole)
    assert told is not None and told.size == len(whole)
    sent = bytearray()
    for octet in whole + behind:
        before = len(sent)
        sent.append(octet)
        assert read_header(sent) == (told if before + 1 >= told.size else None)


@given(st.binary(max_size=300))
def test_any_octets_are_a_header_or_a_fault(data: bytes) -> None:
    for octets in (data, OCTETS + data, OCTETS + b"\x21" + data):
        try:
            told = read_header(octets)
        except ValueError:
            continue
        if told is not None:
            assert 16 <= told.size <= len(octets)
            assert told.source is None or len(told.source) in (4, 16)
