"""Replies: sizes, options, SOA, chains."""

from __future__ import annotations

import struct

import pytest
from dnslib import QTYPE, RR, DNSHeader, DNSQuestion, DNSRecord

from geodns.locate.client import read_ecs
from geodns.model.message import AD, Malformed, Query, read_query
from geodns.model.response import Response, read_response
from geodns.serve import reply
from geodns.serve.reply import Chain, Options
from tests.scenarios import asking
from tests.scenarios.asking import Reply, build, ecs_option, option

LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])
TEXT = Options(ede=((16, "x" * 900),))


def query(name: str = "WwW.Blocked.example", qtype: str = "A", **keys: object) -> Query:
    return read_query(build(name, qtype, **keys))  # type: ignore[arg-type]


def read(query: Query, packet: bytes) -> Reply:
    made = asking.read(packet)
    assert packet[12:].startswith(query.question)
    assert made.flags & 0x8480 == 0x8080
    return made


def response(name: str, *records: str, ad: bool = False) -> Response:
    record = DNSRecord(DNSHeader(qr=1, ra=1, aa=1), q=DNSQuestion(name))
    for text in records:
        record.add_answer(*RR.fromZone(text))
    if ad:
        record.header.bitmap |= AD
    return read_response(bytes(record.pack()))


@pytest.mark.parametrize(
    ("size", "stream", "expected"),
    [
        (None, False, 512),
        (0, False, 512),
        (512, False, 512),
        (1000, False, 1000),
        (1232, False, 1232),
        (4096, False, 1232),
        (65535, False, 1232),
        (None, True, 65535),
        (512, True, 65535),
    ],
)
def test_size_limit(size: int | None, stream: bool, expected: int) -> None:
    assert reply.size_limit(query(edns=size), stream=stream) == expected


@pytest.mark.parametrize("action", ["nxdomain", "nodata", "refused", "sinkhole"])
@pytest.mark.parametrize("edns", [None, 512, 1232])
@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS", "ANY"])
@pytest.mark.parametrize("name", ["blocked.example", LONGEST])
def test_blocks_keep_to_the_size_and_the_question(
    action: str, edns: int | None, qtype: str, name: str
) -> None:
    asked = query(name, qtype, edns=edns)
    limit = reply.size_limit(asked, stream=False)
    addresses = [bytes([192, 0, 2, at]) for at in range(60)] + [bytes(16)]
    packet = reply.block(asked, action, 60, b"\7example\0", addresses, TEXT, limit)  # type: ignore[arg-type]
    made = read(asked, packet)
    assert len(packet) <= limit
    assert made.has_opt == (edns is not None)
    assert [code for code, _ in made.ede] == ([16] if edns else [])
    if made.tc:
        assert action == "sinkhole" and qtype in ("A", "ANY")
        assert not made.answer
    elif made.ede and action != "sinkhole":
        fits = 12 + len(asked.question) + 100 + 900 + 15 < limit
        assert (made.ede[0][1] != "") == fits or len(name) > 200


def test_texts_go_before_records_do() -> None:
    asked = query(edns=512)
    packet = reply.block(asked, "sinkhole", 60, b"", [bytes(4)] * 20, TEXT, 512)
    made = read(asked, packet)
    assert not made.tc
    assert len(made.answer) == 20
    assert made.ede == [(16, "")]


@pytest.mark.parametrize(
    ("target", "owner"),
    [
        (b"\7blocked\7example\0", "Blocked.example"),
        (b"\7example\0", "example"),
        (b"\3www\7blocked\7example\0", "WwW.Blocked.example"),
        (b"\5other\0", "WwW.Blocked.example"),
        (b"", "WwW.Blocked.example"),
        (b"\6ocked\7example\0", "WwW.Blocked.example"),
    ],
)
def test_the_soa_stands_at_the_ordered_name_in_the_client_s_letters(
    target: bytes, owner: str
) -> None:
    asked = query()
    made = read(asked, reply.block(asked, "nxdomain", 77, target, (), Options(), 1232))
    assert (made.rcode, made.soa, made.soa_ttl) == ("NXDOMAIN", owner, 77)


def test_a_sinkhole_for_other_types_keeps_the_chain() -> None:
    rows = "www.blocked.example. 9 CNAME b.c.", "b.c. 9 CNAME d.e.", "d.e. 9 A 192.0.2.1"
    answer = response("www.blocked.example", *rows)
    asked = query()
    for alias, kept, end in ((b"\1b\1c\0", 1, "b.c"), (b"\1d\1e\0", 2, "d.e"), (None, 2, "d.e")):
        chain = reply.chain_to(answer, alias, 5)
        assert chain.count == kept
        packet = reply.block(asked, "sinkhole", 5, b"", [bytes(4)], Options(), 1232, chain)
        made = read(asked, packet)
        assert made.answer[0] == "WwW.Blocked.example CNAME b.c"
        assert made.answer[-1] == f"{end} A 0.0.0.0"


def test_an_answer_without_aliases_has_no_chain() -> None:
    answer = response("a.b", "a.b. 9 A 192.0.2.1")
    assert reply.chain_to(answer, None, 5) == Chain(b"", 0, b"")


def test_ecs_comes_back_with_what_was_sent_and_the_scope() -> None:
    asked = query(edns=1232)
    for text, scope in (("127.39.0.0/17", 16), ("0.0.0.0/0", 0), ("2001:db8::/33", 48), ("0/0", 0)):
        sent = ecs_option(text)
        packet = reply.status(asked, 0, 1232, Options(ecs=(read_ecs(sent), scope)))
        data = sent[:3] + bytes([scope]) + sent[4:]
        assert option(8, data) in packet
        assert read(asked, packet).ecs == struct.unpack("!HBB", data[:4])


def test_without_opt_no_options_leave() -> None:
    asked = query(edns=None)
    options = Options(ede=((16, "x"),), ecs=(read_ecs(ecs_option("127.0.0.0/8")), 8))
    packet = reply.status(asked, 5, 512, options)
    assert packet[10:12] == b"\0\0"
    assert len(packet) == 12 + len(asked.question)


def test_what_an_upstream_said_belongs_to_this_client_now() -> None:
    asked = query("A.b", ident=77, do=True, cd=True)
    answer = response("a.b", "a.b. 9 A 192.0.2.1", ad=True)
    packet = reply.passed(asked, answer, answer.packet, Options(), 1232)
    made = read(asked, packet)
    assert packet[:2] == (77).to_bytes(2)
    assert made.flags & 0x0570 == 0x0130, "AA is the upstream's, RD and CD are the client's"
    assert made.ad and made.do
    cut = reply.passed(asked, answer, answer.packet, Options(), 1232, whole=False)
    assert not read(asked, cut).ad


def test_truncation_keeps_question_and_opt_and_is_never_authentic() -> None:
    asked = query("a.b", do=True, ad=True)
    answer = response("a.b", *(f"a.b. 9 A 192.0.2.{at}" for at in range(120)), ad=True)
    made = read(asked, reply.passed(asked, answer, answer.packet, TEXT, 1232))
    assert made.tc and made.has_opt and not made.ad and not made.answer


def test_minimal_any_keeps_the_first_record_set() -> None:
    answer = response(
        "a.b", "a.b. 9 A 192.0.2.1", "a.b. 9 A 192.0.2.2", "a.b. 9 AAAA ::1", "a.b. 9 A 192.0.2.3"
    )
    record = DNSRecord.parse(reply.minimal_any(answer, answer.packet))
    assert [QTYPE.get(row.rtype) for row in record.rr] == ["A", "A"]
    empty = response("a.b")
    assert reply.minimal_any(empty, empty.packet) == empty.packet


def test_errors_echo_only_what_was_read() -> None:
    packet = build("a.b", ident=5)
    bare = reply.error(packet, Malformed(1))
    assert bare == b"\0\5\x81\x81" + bytes(8)
    told = reply.error(packet, Malformed(16, packet[12:21], edns=True))
    record = DNSRecord.parse(told)
    assert str(record.q.qname) == "a.b."
    assert asking.read(told).rcode == "BADVERS"


def test_text_answers_are_cut_to_what_a_string_holds() -> None:
    asked = query("version.bind", "TXT", qclass="CH")
    packet = reply.text_answer(asked, "v" * 300, 1232)
    record = DNSRecord.parse(packet)
    assert record.rr[0].rdata.data == [b"v" * 255]
    assert (record.rr[0].rclass, record.rr[0].ttl) == (3, 0)
