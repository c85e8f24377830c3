"""Messages as bytes, held against dnslib and against hostile octets."""

from __future__ import annotations

import struct

import pytest
from dnslib import EDNS0, DNSRecord, EDNSOption
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model import message, name
from geodns.model.message import (
    BADVERS,
    FORMERR,
    NOTIMP,
    Dropped,
    Malformed,
    Query,
    read_name,
    read_query,
)
from tests.model.packets import (
    A_RECORD,
    HERE,
    LABEL_64,
    NAME_256,
    OPT_1232,
    SOA_DATA,
    WWW,
    ask,
    octets,
    record,
)


def test_a_plain_query_is_read() -> None:
    query = read_query(ask(b"\x03wWw\x07eXample\x03org\x00", 28))
    assert query == Query(0xBEEF, 0x0100, b"\x03wWw\x07eXample\x03org\x00", WWW, 28, 1, None)
    assert query.question == b"\x03wWw\x07eXample\x03org\x00\x00\x1c\x00\x01"
    assert not query.dnssec_ok


def test_edns_is_read() -> None:
    options = message.option(8, b"\x00\x01\x18\x00\xc0\x00\x02") + message.option(15, b"")
    opt = message.opt_record(4096, options, dnssec_ok=True)
    query = read_query(ask(counts=(1, 0, 0, 1), rest=opt))
    assert query.edns == message.Edns(
        4096, 0, True, ((8, b"\x00\x01\x18\x00\xc0\x00\x02"), (15, b""))
    )
    assert query.dnssec_ok


def test_the_root_and_the_longest_name_are_read() -> None:
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\x00"
    assert len(longest) == 255
    assert read_query(ask(b"\x00")).folded == b"\x00"
    assert read_query(ask(longest)).folded == longest


def test_unknown_options_flags_and_other_additional_records_are_passed_over() -> None:
    opt = b"\x00" + struct.pack("!HHIH", 41, 1232, 0x00007FFF, 4) + b"\xff\xfe\x00\x00"
    tsig = record(b"\x03key\x00", 250, b"x" * 20, 0, 255)
    query = read_query(ask(counts=(1, 0, 0, 2), rest=opt + tsig, flags=0x01F0))
    assert query.edns == message.Edns(1232, 0, False, ((0xFFFE, b""),))


def test_ixfr_may_carry_its_soa() -> None:
    soa = record(HERE, 6, SOA_DATA)
    assert read_query(ask(qtype=251, counts=(1, 0, 1, 0), rest=soa)).qtype == 251


@pytest.mark.parametrize("packet", [b"", b"\x00" * 11, ask()[:11], ask(flags=0x8100)])
def test_dropped(packet: bytes) -> None:
    with pytest.raises(Dropped):
        read_query(packet)


@pytest.mark.parametrize(
    ("packet", "rcode", "echoed", "edns"),
    [
        (ask(flags=0x2800), NOTIMP, False, False),
        (ask(flags=0x0800), NOTIMP, False, False),
        (ask(counts=(0, 0, 0, 0)), FORMERR, False, False),
        (ask(counts=(2, 0, 0, 0)), FORMERR, False, False),
        (ask()[:12], FORMERR, False, False),
        (ask()[:-1], FORMERR, False, False),
        (ask()[:-5], FORMERR, False, False),
        (ask(b"\xc0\x0c"), FORMERR, False, False),
        (ask(b"\x03www\xc0\x0c"), FORMERR, False, False),
        (ask(LABEL_64), FORMERR, False, False),
        (ask(b"\x80" + b"a" * 128 + b"\x00"), FORMERR, False, False),
        (ask(NAME_256), FORMERR, False, False),
        (ask(b"\x01a" * 200 + b"\x00"), FORMERR, False, False),
        (ask(rest=b"\x00"), FORMERR, True, False),
        (ask(rest=OPT_1232), FORMERR, True, False),
        (ask(counts=(1, 0, 0, 1)), FORMERR, True, False),
        (ask(counts=(1, 0, 0, 65535), rest=OPT_1232), FORMERR, True, False),
        (ask(counts=(1, 0, 0, 1), rest=OPT_1232[:-1]), FORMERR, True, False),
        (ask(counts=(1, 0, 0, 1), rest=OPT_1232 + b"x"), FORMERR, True, False),
        (ask(counts=(1, 0, 0, 2), rest=OPT_1232 * 2), FORMERR, True, False),
        (ask(counts=(1, 0, 0, 1), rest=b"\x01a" + OPT_1232), FORMERR, True, False),
        (ask(counts=(1, 0, 0, 1), rest=b"\xc0\x0c" + OPT_1232[1:]), FORMERR, True, False),
        (ask(counts=(1, 1, 0, 0), rest=OPT_1232), FORMERR, True, False),
        (ask(counts=(1, 1, 0, 0), rest=A_RECORD), FORMERR, True, False),
        (ask(counts=(1, 0, 1, 1), rest=A_RECORD + OPT_1232), FORMERR, True, True),
        (
            ask(counts=(1, 0, 0, 1), rest=message.opt_record(512, b"\x00\x0a\x00\x09abc")),
            FORMERR,
            True,
            True,
        ),
        (ask(counts=(1, 0, 0, 1), rest=message.opt_record(512, b"\x00")), FORMERR, True, True),
        (
            ask(counts=(1, 0, 0, 1), rest=b"\x00" + struct.pack("!HHIH", 41, 512, 1 << 16, 0)),
            BADVERS,
            True,
            True,
        ),
        (
            ask(counts=(1, 0, 0, 1), rest=b"\x00" + struct.pack("!HHIH", 41, 5, 9 << 16, 1) + b"?"),
            BADVERS,
            True,
            True,
        ),
    ],
)
def test_malformed(packet: bytes, rcode: int, echoed: bool, edns: bool) -> None:
    with pytest.raises(Malformed) as caught:
        read_query(packet)
    assert caught.value.rcode == rcode
    assert (caught.value.question is not None) == echoed
    assert caught.value.edns == edns


def test_every_cut_of_a_query_is_refused() -> None:
    opt = message.opt_record(1232, message.option(10, b"12345678"))
    whole = ask(counts=(1, 0, 0, 1), rest=opt)
    for size in range(len(whole)):
        with pytest.raises((Dropped, Malformed)):
            read_query(whole[:size])


def test_a_long_chain_of_pointers_is_refused() -> None:
    packet = b"\x00" * 12 + b"\x01a\x00" + b"\xc0\x0c"
    for at in range(15, 15 + 2 * 4000, 2):
        packet += struct.pack("!H", 0xC000 | at)
    with pytest.raises(ValueError):
        read_name(packet, len(packet) - 2)
    assert read_name(packet, 15 + 2 * 20) == b"\x01a\x00"


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80) | octets())
def test_no_octets_raise_anything_else(packet: bytes) -> None:
    try:
        query = read_query(packet)
    except (Dropped, Malformed):
        pass
    else:
        assert packet[12:].startswith(query.question)


LABELS = st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True), min_size=1, max_size=6)
NAMES = LABELS.map(".".join)


@settings(max_examples=60, deadline=None)
@given(
    NAMES,
    st.sampled_from(["A", "AAAA", "TXT", "ANY", "HTTPS"]),
    st.integers(0, 0xFFFF),
    st.booleans(),
)
def test_queries_agree_with_dnslib(text: str, qtype: str, size: int, dnssec_ok: bool) -> None:
    asked = DNSRecord.question(text, qtype)
    asked.add_ar(
        EDNS0(udp_len=size, flags="do" if dnssec_ok else "", opts=[EDNSOption(10, b"c" * 8)])
    )
    query = read_query(bytes(asked.pack()))
    assert query.id == asked.header.id
    assert query.qtype == asked.q.qtype
    assert name.labels(query.name) == asked.q.qname.label
    assert query.edns == message.Edns(size, 0, dnssec_ok, ((10, b"c" * 8),))
