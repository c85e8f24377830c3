"""Messages as bytes, held against dnslib and against hostile octets."""

from __future__ import annotations

import struct

import dnslib
import pytest
from dnslib import EDNS0, QTYPE, RR, DNSRecord, EDNSOption
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
    Response,
    read_name,
    read_query,
    read_response,
)

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


LABEL_64 = b"\x40" + b"a" * 64 + b"\x00"
NAME_256 = (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"b" * 62 + b"\x00"
A_RECORD = record(HERE, 1, b"\xc0\x00\x02\x01")


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


def test_a_positive_response_is_scanned() -> None:
    packet = reply(
        (
            record(HERE, 5, b"\x01e\x07Example\x03net\x00", 300),
            record(b"\xc0\x2d", 1, b"\xc0\x00\x02\x01", 20),
            record(b"\xc0\x2d", 28, b"\x20" * 16, 40),
        ),
        (record(b"\x00", 2, b"\xc0\x0c", 500),),
        (OPT_1232,),
    )
    response = read_response(packet)
    assert response.rcode == 0
    assert response.lifetime == 20
    assert response.aliases == (name.parse("e.example.net"),)
    assert response.addresses == (b"\xc0\x00\x02\x01", b"\x20" * 16)
    assert [kind for _, kind in response.records] == [5, 1, 28]
    assert response.records[0][0] == response.question_end == 12 + len(WWW) + 4
    assert response.alias_ends == (response.records[1][0],)
    assert response.packet[:2] == b"\x00\x00"
    assert response.packet[10:12] == b"\x00\x00"
    assert response.packet[12:] == packet[12 : -len(OPT_1232)]
    ttls = [struct.unpack_from("!I", response.packet, at)[0] for at in response.ttl_offsets]
    assert ttls == [300, 20, 40, 500]
    assert response.packet[response.answer_end :].startswith(b"\x00\x00\x02\x00\x01")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_opt_is_found_wherever_it_stands(place: int) -> None:
    others = [record(HERE, 1, b"\xc0\x00\x02\x07", 9), record(HERE, 1, b"\xc0\x00\x02\x08", 9)]
    ede = message.option(15, b"\x00\x06bogus")
    others.insert(place, message.opt_record(512, ede, rcode=16))
    response = read_response(reply((A_RECORD,), (), tuple(others)))
    assert response.rcode == 16
    assert response.ede == (b"\x00\x06bogus",)
    assert struct.unpack_from("!H", response.packet, 10)[0] == place
    assert len(response.ttl_offsets) == 1 + place
    assert dnslib.DNSRecord.parse(response.packet).header.ar == place
    assert response.lifetime == 0


@pytest.mark.parametrize(
    ("packet", "lifetime"),
    [
        # RFC 2308 section 5: the lesser of the SOA's TTL and its minimum; none, no caching
        (reply((), (record(HERE, 6, SOA_DATA, 900),), flags=0x8183), 30),
        (reply((), (record(HERE, 6, SOA_DATA, 10),), flags=0x8183), 10),
        (reply((), (record(HERE, 6, SOA_DATA, 900),)), 30),
        (reply((), (), flags=0x8183), 0),
        (reply(), 0),
        (reply((), (record(HERE, 2, b"\xc0\x0c", 900),)), 0),
        # a chain that ends in nothing is negative, its CNAME bounds it too
        (reply((record(HERE, 5, b"\x01x\x00", 8),), (record(HERE, 6, SOA_DATA, 900),)), 8),
        (reply((record(HERE, 5, b"\x01x\x00", 800),), (record(HERE, 6, SOA_DATA, 900),)), 30),
        (reply((record(HERE, 5, b"\x01x\x00", 8),)), 0),
        # asked for the CNAME itself, or for ANY, it is the answer
        (reply((record(HERE, 5, b"\x01x\x00", 8),), qtype=5), 8),
        (reply((record(HERE, 5, b"\x01x\x00", 8),), qtype=255), 8),
        # an SOA beside an answer bounds nothing but by its own TTL
        (reply((record(HERE, 1, b"\x01" * 4, 70),), (record(HERE, 6, SOA_DATA, 900),)), 70),
        # RFC 2181 section 8
        (reply((record(HERE, 1, b"\x01" * 4, 0x80000000),)), 0),
        (reply((record(HERE, 1, b"\x01" * 4, 0xFFFFFFFF),)), 0),
        (reply((record(HERE, 1, b"\x01" * 4, 0x7FFFFFFF),)), 0x7FFFFFFF),
        (reply((A_RECORD, record(HERE, 1, b"\x01" * 4, 0x80000001))), 0),
        (reply((record(HERE, 1, b"\x01" * 4, 0),)), 0),
        # failures and cut answers are not kept, not even with an SOA
        (reply((), (record(HERE, 6, SOA_DATA, 900),), flags=0x8182), 0),
        (reply((A_RECORD,), flags=0x8380), 0),
        (reply((), (record(HERE, 6, SOA_DATA, 900),), flags=0x8383), 0),
    ],
)
def test_lifetime(packet: bytes, lifetime: int) -> None:
    assert read_response(packet).lifetime == lifetime


def test_compressed_alias_targets() -> None:
    # org of the question, through a pointer to a pointer
    org = 12 + 12
    packet = reply(
        (
            record(HERE, 5, b"\x01A" + struct.pack("!H", 0xC000 | org), 5),
            record(HERE, 5, b"\x01b\xc0" + bytes((12 + len(WWW) + 4 + 12,)), 5),
        )
    )
    assert read_response(packet).aliases == (name.parse("a.org"), name.parse("b.a.org"))


def test_a_dname_makes_the_name_that_is_ruled_on() -> None:
    example = struct.pack("!H", 0xC000 | 16)
    packet = reply(
        (
            record(example, 39, b"\x05other\x03net\x00", 5),
            record(HERE, 5, b"\x03www\x05other\x03net\x00", 5),
        )
    )
    response = read_response(packet)
    assert response.aliases == (name.parse("www.other.net"),)
    assert response.alias_ends == (response.answer_end,)


def test_a_dname_asked_for_itself_gives_its_target() -> None:
    packet = reply((record(HERE, 39, b"\x05other\x03net\x00", 5),), qtype=39)
    assert read_response(packet).aliases == (name.parse("other.net"),)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00" * 12,
        reply(flags=0x0180),
        reply(flags=0xA980),
        reply((A_RECORD[:-1],)),
        reply((A_RECORD,))[:-1],
        reply((record(HERE, 1, b"", size=9),)),
        reply((OPT_1232,)),
        reply((), (OPT_1232,)),
        reply((), (), (b"\xc0\x0c" + OPT_1232[1:],)),
        reply((), (), (message.opt_record(512, b"\x00\x0f\x00\x09ab"),)),
        reply((), (record(HERE, 6, b"\x00\x00" + b"1234"),)),
        # pointers: to itself, forwards, into the header, in a ring; a target that is cut
        reply((record(HERE, 5, b"\xc0\x2d"),)),
        reply((record(HERE, 5, b"\xc0\xff"),)),
        reply((record(HERE, 5, b"\xc0\x04"),)),
        reply((record(HERE, 5, b"\x01a\xc0\x2d"),)),
        reply((record(HERE, 5, b""),)),
        reply((record(HERE, 5, b"\x01a"),)),
        reply((record(HERE, 5, b"\x01a\x00\x00"),)),
        reply((record(HERE, 5, NAME_256),)),
        # too many aliases for anybody to follow
        reply(tuple(record(HERE, 5, b"\x02" + b"%02x" % n + b"\x00") for n in range(80))),
    ],
)
def test_bad_responses(packet: bytes) -> None:
    with pytest.raises(ValueError):
        read_response(packet)


def test_every_cut_of_a_response_is_refused() -> None:
    whole = reply((record(HERE, 5, b"\x01x\x00"), A_RECORD), (record(HERE, 6, SOA_DATA),))
    for size in range(len(whole)):
        with pytest.raises(ValueError):
            read_response(whole[:size])


def test_octets_behind_the_records_are_left_out() -> None:
    whole = reply((A_RECORD,))
    assert read_response(whole + b"junk").packet == b"\x00\x00" + whole[2:]


def test_a_long_chain_of_pointers_is_refused() -> None:
    packet = b"\x00" * 12 + b"\x01a\x00" + b"\xc0\x0c"
    for at in range(15, 15 + 2 * 4000, 2):
        packet += struct.pack("!H", 0xC000 | at)
    with pytest.raises(ValueError):
        read_name(packet, len(packet) - 2)
    assert read_name(packet, 15 + 2 * 20) == b"\x01a\x00"


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


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80) | octets())
def test_no_octets_raise_anything_else(packet: bytes) -> None:
    try:
        query = read_query(packet)
    except (Dropped, Malformed):
        pass
    else:
        assert packet[12:].startswith(query.question)
    try:
        response = read_response(packet)
    except ValueError:
        pass
    else:
        _is_coherent(response)
        again = read_response(response.packet)
        assert again._replace(rcode=0, ede=(), lifetime=0) == response._replace(
            rcode=0, ede=(), lifetime=0
        )


def _is_coherent(response: Response) -> None:
    assert 12 < response.question_end <= response.answer_end <= len(response.packet)
    assert all(at + 4 <= len(response.packet) for at in response.ttl_offsets)
    assert 0 <= response.lifetime <= 0x7FFFFFFF
    assert len(response.aliases) == len(response.alias_ends)
    assert all(len(alias) <= 255 and alias == alias.lower() for alias in response.aliases)


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


@settings(max_examples=60, deadline=None)
@given(
    NAMES,
    st.lists(
        st.one_of(
            st.builds(lambda a, t: (a, t, "A", f"192.0.2.{t & 255}"), NAMES, st.integers(0, 9999)),
            st.builds(lambda a, t, b: (a, t, "CNAME", b + "."), NAMES, st.integers(0, 9999), NAMES),
            st.builds(lambda a, t: (a, t, "TXT", '"x"'), NAMES, st.integers(0, 9999)),
            st.builds(lambda a, t, b: (a, t, "MX", f"10 {b}."), NAMES, st.integers(0, 9999), NAMES),
        ),
        max_size=8,
    ),
    st.integers(0, 8),
)  # fmt: skip
def test_responses_agree_with_dnslib(
    text: str, rows: list[tuple[str, int, str, str]], split: int
) -> None:
    made = DNSRecord.question(text).reply(ra=1)
    for at, (owner, ttl, rtype, data) in enumerate(rows):
        rr = RR.fromZone(f"{owner}. {ttl} IN {rtype} {data}")[0]
        (made.add_answer if at < split else made.add_auth)(rr)
    made.add_ar(EDNS0(udp_len=1232))
    packet = bytes(made.pack())
    response = read_response(packet)
    parsed = DNSRecord.parse(packet)
    assert [kind for _, kind in response.records] == [rr.rtype for rr in parsed.rr]
    ttls = [struct.unpack_from("!I", response.packet, at)[0] for at in response.ttl_offsets]
    assert ttls == [rr.ttl for rr in parsed.rr + parsed.auth]
    targets = [
        name.from_labels(rr.rdata.label.label) for rr in parsed.rr if QTYPE[rr.rtype] == "CNAME"
    ]
    assert response.aliases == tuple(dict.fromkeys(targets))
    addresses = [bytes(rr.rdata.data) for rr in parsed.rr if QTYPE[rr.rtype] == "A"]
    assert response.addresses == tuple(addresses)
    assert DNSRecord.parse(response.packet).rr == parsed.rr
