"""Responses as bytes, held against dnslib, a naive oracle and hostile octets."""

from __future__ import annotations

import struct

import dnslib
import pytest
from dnslib import EDNS0, QTYPE, RR, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model import message, name
from geodns.model.response import MAX_ALIASES, Response, read_response
from tests.model.packets import (
    A_RECORD,
    HERE,
    NAME_256,
    OPT_1232,
    SOA_DATA,
    WWW,
    octets,
    record,
    reply,
)


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
    assert response.steps == ((0, 5),)
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
    assert response.steps == ((0, 5),)


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


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80) | octets())
def test_no_octets_raise_anything_else(packet: bytes) -> None:
    try:
        response = read_response(packet)
    except ValueError:
        return
    _is_coherent(response)
    again = read_response(response.packet)
    assert again._replace(rcode=0, ede=(), lifetime=0) == response._replace(
        rcode=0, ede=(), lifetime=0
    )


def _is_coherent(response: Response) -> None:
    assert 12 < response.question_end <= response.answer_end <= len(response.packet)
    assert all(at + 4 <= len(response.packet) for at in response.ttl_offsets)
    assert 0 <= response.lifetime <= 0x7FFFFFFF
    assert len(response.aliases) == len(response.steps)
    assert all(len(alias) <= 255 and alias == alias.lower() for alias in response.aliases)


NAMES = ("q.x", "a.x", "b.x", "w.d.x", "d.x", "w.e.x", "e.x", "x")
A_RDATA = b"\xc0\x00\x02"


def plain(text: str) -> bytes:
    return name.from_labels([label.encode() for label in text.split(".")])


def service(priority: int, target: bytes, *params: tuple[int, bytes]) -> bytes:
    """SVCB or HTTPS data (RFC 9460 section 2.2)."""
    told = b"".join(struct.pack("!HH", key, len(data)) + data for key, data in params)
    return priority.to_bytes(2, "big") + target + told


def rows() -> st.SearchStrategy[tuple[str, str, str]]:
    """(owner, type, data): data is a name, or a number that stands for an address."""
    return st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(("A", "CNAME", "DNAME", "HTTPS", "HTTPS.", "MX", "TXT", "RRSIG")),
        st.sampled_from(NAMES),
    )


def as_record(owner: str, kind: str, data: str) -> RR:
    number = NAMES.index(data)
    if kind == "DNAME":
        rdata = dnslib.RD(plain(data))
    elif kind.startswith("HTTPS"):
        hint = (4, A_RDATA + bytes((100 + number,)))
        rdata = dnslib.RD(service(1, b"\0" if kind == "HTTPS." else plain(data), hint))
    elif kind == "RRSIG":
        rdata = dnslib.RD(bytes(18) + plain(data) + b"signature")
    else:
        told = {"A": f"192.0.2.{number}", "MX": f"10 {data}.", "TXT": '"x"'}.get(kind, data + ".")
        return RR.fromZone(f"{owner}. 60 IN {kind} {told}")[0]
    types = {"DNAME": 39, "RRSIG": 46}
    return RR(owner, types.get(kind, 65), ttl=60, rdata=rdata)


def led_to(asked: str, rows: list[tuple[str, str, str]]) -> set[str] | None:
    """The names that an answer leads to, by brute force; None if they are too many."""
    found = {asked}
    while len(found) <= MAX_ALIASES + 1:
        made = set()
        for owner, kind, target in rows:
            if kind in ("CNAME", "HTTPS", "DNAME") and owner in found:
                made.add(target)
            if kind == "DNAME":
                made |= {
                    one.removesuffix(owner) + target for one in found if one.endswith("." + owner)
                }
        made = {one for one in made if len(plain(one)) <= 255} - found
        if not made:
            return found
        found |= made
    return None


@settings(max_examples=400, deadline=None)
@given(st.lists(rows(), max_size=7), st.lists(rows(), max_size=3), st.sampled_from((1, 65)))
def test_what_an_answer_leads_to(
    answer: list[tuple[str, str, str]], more: list[tuple[str, str, str]], qtype: int
) -> None:
    made = DNSRecord.question("q.x", QTYPE[qtype]).reply(ra=1)
    made.add_answer(*(as_record(*row) for row in answer))
    made.add_ar(*(as_record(*row) for row in more), EDNS0(udp_len=1232))
    looked_at = [*answer, *(more if qtype == 65 else [])]
    found = led_to("q.x", looked_at)
    if found is None:
        with pytest.raises(ValueError, match="too many"):
            read_response(bytes(made.pack()))
        return
    response = read_response(bytes(made.pack()))
    assert {name.to_text(alias) for alias in response.aliases} == found - {"q.x"}
    assert len(set(response.aliases)) == len(response.aliases)
    addresses = []
    for owner, kind, data in looked_at:
        if owner in found and kind in ("A", "HTTPS", "HTTPS."):
            addresses.append(A_RDATA + bytes((NAMES.index(data) + (100 if kind != "A" else 0),)))
    assert response.addresses == tuple(addresses)
    above = {
        owner
        for owner, kind, _ in looked_at
        if kind == "DNAME" and any(one.endswith("." + owner) for one in found)
    }
    kept = [
        row
        for row in answer
        if row[0] in found or (row[1] in ("DNAME", "RRSIG") and row[0] in above)
    ]
    parsed = DNSRecord.parse(response.packet)
    assert [row.toZone() for row in parsed.rr] == shown(kept)
    assert [row.toZone() for row in parsed.ar] == shown(more)


def shown(rows: list[tuple[str, str, str]]) -> list[str]:
    made = DNSRecord.question("q.x")
    made.add_answer(*(as_record(*row) for row in rows))
    return [row.toZone() for row in DNSRecord.parse(bytes(made.pack())).rr]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(NAMES[1:]), unique=True), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(chain: list[str], dice: object) -> None:
    names = ["q.x", *chain]
    records = [RR.fromZone(f"{a}. 60 IN CNAME {b}.")[0] for a, b in zip(names, chain, strict=False)]
    records += RR.fromZone(f"{names[-1]}. 60 IN A 192.0.2.7")
    dice.shuffle(records)  # type: ignore[attr-defined]
    made = DNSRecord.question("q.x").reply(ra=1)
    made.add_answer(*records)
    response = read_response(bytes(made.pack()))
    assert response.aliases == tuple(map(plain, chain))
    assert response.steps == tuple((number, 5) for number in range(len(chain)))
    assert response.addresses == (A_RDATA + b"\x07",)
    assert len(response.records) == len(records)


SERVICE = b"\x04Svc1\x07example\x03net\x00"
HINT4, HINT6 = (4, b"\xcb\x00\x71\x05\xcb\x00\x71\x06"), (6, b"\x20\x01" + bytes(13) + b"\x01")


@pytest.mark.parametrize("rtype", [64, 65])
@pytest.mark.parametrize("priority", [0, 1, 0xFFFF])
def test_the_target_of_a_service_binding_is_an_alias(rtype: int, priority: int) -> None:
    response = read_response(reply((record(HERE, rtype, service(priority, SERVICE)),), qtype=rtype))
    assert response.aliases == (name.parse("svc1.example.net"),)
    assert response.steps == ((0, rtype),)
    assert response.packet.endswith(SERVICE), "passed on as it came"


@pytest.mark.parametrize("priority", [0, 1])
def test_a_service_binding_to_the_root_names_nobody_else(priority: int) -> None:
    packet = reply((record(HERE, 65, service(priority, b"\0", HINT4)),), qtype=65)
    response = read_response(packet)
    assert response.aliases == ()
    assert response.addresses == (b"\xcb\x00\x71\x05", b"\xcb\x00\x71\x06")


def test_hints_are_addresses_whatever_keys_stand_between() -> None:
    params = (0, b"\x00\x01"), (1, b"\x02h2"), HINT4, (5, b"ech"), HINT6, (65280, b""), HINT4
    packet = reply((record(HERE, 65, service(1, SERVICE, *params)),), qtype=65)
    assert read_response(packet).addresses == (
        b"\xcb\x00\x71\x05",
        b"\xcb\x00\x71\x06",
        HINT6[1],
        b"\xcb\x00\x71\x05",
        b"\xcb\x00\x71\x06",
    )


def test_a_compressed_service_target_is_read() -> None:
    org = struct.pack("!H", 0xC000 | 12 + 12)
    packet = reply((record(HERE, 65, service(1, b"\x01A" + org, HINT4)),), qtype=65)
    response = read_response(packet)
    assert response.aliases == (name.parse("a.org"),)
    assert len(response.addresses) == 2


def test_what_a_service_target_s_additional_records_lead_to() -> None:
    answer = (record(HERE, 65, service(0, b"\x01s\x00")),)
    more = (
        record(b"\x01s\x00", 65, service(1, b"\x01t\x00")),
        record(b"\x01t\x00", 5, b"\x01u\x00"),
        record(b"\x01u\x00", 1, b"\xcb\x00\x71\x05"),
        record(b"\x01v\x00", 1, b"\xcb\x00\x71\x06"),
    )
    response = read_response(reply(answer, (), more, qtype=65))
    assert response.aliases == (b"\x01s\x00", b"\x01t\x00", b"\x01u\x00")
    assert response.steps == ((0, 65), (1, 65), (2, 5))
    assert response.addresses == (b"\xcb\x00\x71\x05",)
    assert response.packet[6:12] == b"\0\1\0\0\0\4", "additional records stay"
    assert read_response(reply((), (), more, qtype=1)).aliases == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01",
        b"\x00\x01\x03abc",
        b"\x00\x01\xc0\xff",
        service(1, SERVICE) + b"\x00",
        service(1, SERVICE) + b"\x00\x04\x00\x04abc",
        service(1, SERVICE, (4, b"abc")),
        service(1, SERVICE, (6, b"abcd")),
    ],
)
def test_a_service_binding_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_response(reply((record(HERE, 65, data),), qtype=65))


def test_a_name_with_more_targets_than_anybody_follows() -> None:
    rows = [record(HERE, 65, service(1, b"\x02%02x\x00" % n)) for n in range(MAX_ALIASES + 1)]
    assert len(read_response(reply(tuple(rows[1:]), qtype=65)).aliases) == MAX_ALIASES
    with pytest.raises(ValueError, match="too many"):
        read_response(reply(tuple(rows), qtype=65))


def test_a_dname_that_leads_below_itself_has_an_end() -> None:
    org = struct.pack("!H", 0xC000 | 24)
    with pytest.raises(ValueError, match="too many"):
        read_response(reply((record(org, 39, b"\x01a\x03org\x00"),)))


def test_a_dname_that_makes_too_long_a_name_stays() -> None:
    """RFC 6672 section 2.2: YXDOMAIN, and the record that is to blame."""
    org = struct.pack("!H", 0xC000 | 24)
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\x00"
    response = read_response(reply((record(org, 39, longest),), flags=0x8186))
    assert (response.rcode, response.aliases, len(response.records)) == (6, (), 1)


def test_the_root_has_links_too() -> None:
    response = read_response(reply((record(HERE, 65, service(1, SERVICE)),), qtype=65, wire=b"\0"))
    assert response.aliases == (name.parse("svc1.example.net"),)


def test_a_dname_at_the_root_leads_nowhere() -> None:
    """It would lead to a name below itself, for ever."""
    response = read_response(reply((record(b"\0", 39, b"\x03all\x00"), A_RECORD)))
    assert (response.aliases, len(response.records)) == ((), 1)


def test_strays_are_left_out_and_pointers_into_them_written_out() -> None:
    stray = record(b"\x05stray\x00", 5, b"\x04Mail\x07example\x00")
    at = 12 + len(WWW) + 4
    mail = struct.pack("!H", 0xC000 | at + 7 + 10)
    packet = reply(
        (
            stray,
            record(HERE, 15, b"\x00\x0a" + mail, 77),
            record(b"\x05stray\x00", 1, b"\xcb\x00\x71\x05", 1),
        ),
        (record(b"\x07example\x00", 6, mail + mail + bytes(20), 99),),
        (OPT_1232, b"whatever"),
        qtype=15,
    )
    response = read_response(packet)
    assert response.aliases == response.addresses == ()
    assert response.lifetime == 77
    parsed = DNSRecord.parse(response.packet)
    assert [row.toZone() for row in parsed.rr + parsed.auth] == [
        "www.example.org.        77      IN      MX      10 Mail.example.",
        "example.                99      IN      SOA     Mail.example. Mail.example. 0 0 0 0 0",
    ]
    assert parsed.ar == []


def test_an_answer_of_nothing_but_strays_is_empty_and_not_kept() -> None:
    response = read_response(reply((record(b"\x05stray\x00", 1, b"\xcb\x00\x71\x05"),)))
    assert (response.records, response.addresses, response.lifetime) == ((), (), 0)
    assert response.packet[6:8] == b"\0\0"


def test_a_message_that_cannot_be_written_out_is_refused() -> None:
    stray = record(b"\x05stray\x00", 1, b"\xcb\x00\x71\x05")
    long = b"\x3f" + b"a" * 63 + HERE
    first = record(long, 16, b"\x00")
    start = 12 + len(WWW) + 4
    again = record(struct.pack("!H", 0xC000 | start), 1, bytes(4))
    alias = record(HERE, 5, long)
    with pytest.raises(ValueError, match="too long"):
        read_response(reply((first, alias, *[again] * 900, stray)))
    assert len(read_response(reply((first, alias, *[again] * 900))).addresses) == 900
