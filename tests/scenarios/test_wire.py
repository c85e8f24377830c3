"""Malformed, strange and hostile packets, over real sockets: PROTOCOL.md items 7, 9, 10 and 12."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.scenarios import asking
from tests.scenarios.asking import build, ecs_option, opt, option, wire_name
from tests.scenarios.world import Loop, World, running

IT, FR, TRUSTED = "127.39.0.1", "127.33.0.1", "127.0.0.9"
GEOFEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n"
ZONE = "fine.example. 300 A 192.0.2.1\nslow.example. 300 A 192.0.2.2\n"
ORDER = """
id = "it-blocked"
title = "Blocked"
status = "active"
authority = { name = "Tribunale", kind = "court" }
dates = { effective = 2022-07-11 }
targets = { domains = ["blocked.example"] }
"""
A_IN = b"\0\1\0\1"
SHORT = 0.3
"""Seconds after which a reply that must not come is not waited for."""


@pytest.fixture(scope="module")
def world(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(
        loop,
        tmp_path_factory.mktemp("wire"),
        orders={"IT/it-blocked.toml": ORDER},
        geofeed=GEOFEED,
        zone=ZONE,
        manners={"slow.example": {"delay": 0.3}},
        settings={"trust": {"ecs": [TRUSTED]}},
    ) as made:
        yield made


def head(flags: int = 0x0100, qd: int = 1, an: int = 0, ns: int = 0, ar: int = 0) -> bytes:
    return struct.pack("!6H", 4711, flags, qd, an, ns, ar)


QUESTION = wire_name("fine.example") + A_IN
BLOCKED = wire_name("www.blocked.example") + A_IN
RECORD = b"\xc0\x0c" + A_IN + b"\0\0\0\1" + b"\0\4" + bytes(4)


def rcode(packet: bytes | None) -> int:
    assert packet is not None
    return packet[3] & 15


def silent(world: World, packet: bytes, client: str = IT) -> None:
    assert world.send(packet, client, patience=SHORT) is None
    # It was the packet, not the server.
    assert rcode(world.send(build("fine.example"), client)) == 0


@pytest.mark.parametrize("size", [0, 1, 2, 11])
def test_packets_shorter_than_a_header_are_dropped(world: World, size: int) -> None:
    silent(world, head()[:size])


@pytest.mark.parametrize("flags", [0x8000, 0x8180, 0x8183, 0xA800])
def test_responses_are_dropped(world: World, flags: int) -> None:
    silent(world, head(flags) + QUESTION)


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_other_opcodes_are_not_implemented_and_get_no_ra(world: World, opcode: int) -> None:
    reply = world.send(head(opcode << 11 | 0x0100) + QUESTION, IT)
    assert rcode(reply) == 4
    assert reply is not None
    assert reply[:2] == head()[:2]
    flags = int.from_bytes(reply[2:4])
    assert flags >> 11 & 15 == opcode
    assert not flags & 0x0080


FORMAT_ERRORS = {
    "no question": head(qd=0),
    "no question but one there": head(qd=0) + QUESTION,
    "two questions": head(qd=2) + QUESTION + QUESTION,
    "a question that is not there": head(),
    "a cut name": head() + b"\4fin",
    "a name without its end": head() + b"\4fine\7example",
    "no type": head() + wire_name("fine.example"),
    "half a class": head() + wire_name("fine.example") + b"\0\1\0",
    "a pointer to itself": head() + b"\xc0\x0c" + A_IN,
    "a pointer to the header": head() + b"\xc0\x00" + A_IN,
    "a pointer behind a label": head() + b"\4fine\xc0\x0c" + A_IN,
    "a label of 64 octets": head() + b"\x40" + b"a" * 64 + b"\0" + A_IN,
    "an extended label type": head() + b"\x80" + b"a" * 10 + b"\0" + A_IN,
    "a name of 256 octets": head() + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0" + A_IN,
    "one octet too much": head() + QUESTION + b"\0",
    "a record nobody announced": head() + QUESTION + RECORD,
    "an answer in the query": head(an=1) + QUESTION + RECORD,
    "an authority record in the query": head(ns=1) + QUESTION + RECORD,
    "an additional record that is not there": head(ar=1) + QUESTION,
    "a cut OPT": head(ar=1) + QUESTION + opt()[:-1],
    "two OPTs": head(ar=2) + QUESTION + opt() + opt(),
    "an OPT that is not at the root": head(ar=1) + QUESTION + b"\1a" + opt(),
    "an OPT among the answers": head(an=1) + QUESTION + opt(),
    "trash behind the OPT": head(ar=1) + QUESTION + opt() + b"\0",
    "an option longer than its OPT": head(ar=1) + QUESTION + opt(1232, b"\0\x0a\0\x09abcdefgh"),
    "half an option": head(ar=1) + QUESTION + opt(1232, b"\0\x0a\0"),
}


@pytest.mark.parametrize("why", FORMAT_ERRORS)
@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
def test_format_errors(world: World, why: str, stream: bool) -> None:
    for client in (IT, FR):
        packet = FORMAT_ERRORS[why]
        reply = world.send(packet, client, stream=stream)
        assert rcode(reply) == 1
        assert reply is not None
        assert reply[:2] == packet[:2]
        assert reply[2] & 0x80
        # What could not be read does not come back: a question is echoed whole or not at all.
        echoed = int.from_bytes(reply[4:6])
        assert echoed in (0, 1)
        if echoed:
            assert reply[12:].startswith(packet[12 : 12 + len(QUESTION)])


def test_an_order_gives_no_way_around_format_errors(world: World) -> None:
    assert rcode(world.send(head(an=1) + BLOCKED + RECORD, IT)) == 1
    assert rcode(world.send(head() + BLOCKED, IT)) == 3


def test_a_name_of_255_octets_and_labels_of_63_are_fine(world: World) -> None:
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(longest) == 255
    assert rcode(world.send(head() + longest + A_IN, FR)) == 3


def test_labels_may_hold_any_octet_and_are_never_split(world: World) -> None:
    dotted = b"\x0dblocked.examp\x02le\0"
    inside = b"\x0fblocked.example\0"
    below = b"\x03a\0b\x07blocked\x07example\0"
    assert rcode(world.send(head() + inside + A_IN, IT)) == 3
    assert len(world.upstream.seen) > 0
    reply = world.send(head() + below + A_IN, IT)
    assert rcode(reply) == 3
    assert reply is not None and reply[6:10] == b"\0\0\0\1" and reply[12:].startswith(below)
    assert b"blocked\x07invalid" in reply
    for odd in (dotted, inside):
        reply = world.send(head() + odd + A_IN, IT)
        assert reply is not None and b"blocked\x07invalid" not in reply


@pytest.mark.parametrize("version", [1, 7, 255])
def test_badvers(world: World, version: int) -> None:
    packet = head(ar=1) + BLOCKED + opt(version=version)
    raw = world.send(packet, IT)
    assert raw is not None
    reply = asking.read(raw)
    assert reply.rcode == "BADVERS"
    assert reply.has_opt
    # The version we speak is in the reply.
    assert raw[-11:][6] == 0


def test_unknown_options_and_flags_are_ignored(world: World) -> None:
    strange = option(65001, b"abc") + option(12, bytes(40)) + option(10, bytes(8))
    packet = head(flags=0x0150, ar=1) + QUESTION + b"\0\0\x29\x04\xd0\0\0\x7f\xff"
    packet += len(strange).to_bytes(2) + strange
    reply = asking.read(world.send(packet, FR) or b"")
    assert reply.rcode == "NOERROR"
    assert reply.answer == ["fine.example A 192.0.2.1"]
    assert not reply.do


def test_a_record_beside_the_opt_is_skipped(world: World) -> None:
    tsig_like = b"\1k\0" + struct.pack("!HHIH", 250, 255, 0, 4) + b"abcd"
    for records in (opt() + tsig_like, tsig_like + opt()):
        assert rcode(world.send(head(ar=2) + QUESTION + records, FR)) == 0


BAD_ECS = {
    "empty": b"",
    "cut": b"\0\1\x18",
    "unknown family": b"\0\3\x18\0\x7f\x27\0",
    "family 0 with a prefix": b"\0\0\x08\0\x7f",
    "address too short": b"\0\1\x18\0\x7f\x27",
    "address too long": b"\0\1\x18\0\x7f\x27\0\0",
    "bits past the prefix": b"\0\1\x17\0\x7f\x27\1",
    "more bits past the prefix": b"\0\1\x01\0\xff",
    "an IPv4 prefix of 33": b"\0\1\x21\0\x7f\x27\0\0\0",
    "an IPv6 prefix of 129": b"\0\2\x81\0" + bytes(17),
    "a scope in the query": b"\0\1\x18\x10\x7f\x27\0",
    "octets with a prefix of 0": b"\0\1\0\0\x7f",
}


@pytest.mark.parametrize("why", BAD_ECS)
def test_malformed_ecs_is_a_format_error_for_anybody(world: World, why: str) -> None:
    for client in (TRUSTED, IT, FR):
        for name in ("fine.example", "blocked.example"):
            packet = build(name, options=option(8, BAD_ECS[why]))
            reply = world.ask(packet, client)
            assert reply.rcode == "FORMERR"
            assert reply.has_opt
            assert reply.ecs is None


def test_two_ecs_options_are_a_format_error(world: World) -> None:
    options = option(8, ecs_option("127.39.0.0/24")) * 2
    assert world.ask(build("fine.example", options=options), TRUSTED).rcode == "FORMERR"


def test_noise_is_never_answered_with_silence_for_long(world: World) -> None:
    roll = random.Random(7)
    base = build("www.blocked.example", options=option(8, ecs_option("127.39.0.0/24")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((TRUSTED, 0))
        sock.connect(world.servers["4"])
        sock.settimeout(asking.PATIENCE)
        for number in range(3000):
            packet = bytearray(base)
            for _ in range(roll.randint(1, 4)):
                packet[roll.randrange(2, len(packet))] = roll.randrange(256)
            sock.send(
                packet[: roll.choice((len(packet), len(packet), roll.randrange(len(packet))))]
            )
            if number % 100 == 99:
                # An ID of its own: so all noise before it has been read when its reply is there.
                sock.send(b"\xff\xff" + base[2:])
                while sock.recv(4096)[:2] != b"\xff\xff":
                    pass
    counters = world.pipeline.counters()
    assert not [key for key in counters if key.startswith("internal")]


def stream(world: World, client: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind((client, 0))
    sock.settimeout(asking.PATIENCE)
    sock.connect(world.servers["4"])
    return sock


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2) + packet


def receive(sock: socket.socket) -> bytes:
    size = int.from_bytes(asking._exactly(sock, 2))
    return asking._exactly(sock, size)


def test_pipelined_queries_are_answered_as_they_are_ready(world: World) -> None:
    slow = build("slow.example", ident=1)
    others = [build("blocked.example", ident=2 + at) for at in range(20)]
    with stream(world, IT) as sock:
        sock.sendall(framed(slow) + b"".join(map(framed, others)))
        replies = [receive(sock) for _ in range(21)]
    idents = [int.from_bytes(reply[:2]) for reply in replies]
    assert sorted(idents) == list(range(1, 22))
    assert idents[-1] == 1, "the slow one holds nobody up"
    assert rcode(replies[-1]) == 0
    assert {rcode(reply) for reply in replies[:-1]} == {3}


def test_a_query_may_arrive_octet_by_octet(world: World) -> None:
    with stream(world, IT) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in framed(build("blocked.example")):
            sock.send(bytes([octet]))
        assert rcode(receive(sock)) == 3


def test_half_closed_connections_still_get_their_reply(world: World) -> None:
    with stream(world, FR) as sock:
        sock.sendall(framed(build("slow.example")))
        sock.shutdown(socket.SHUT_WR)
        assert rcode(receive(sock)) == 0


def test_malformed_queries_do_not_end_a_connection(world: World) -> None:
    with stream(world, IT) as sock:
        sock.sendall(framed(FORMAT_ERRORS["two OPTs"]) + framed(head(0x8180) + QUESTION))
        sock.sendall(framed(build("blocked.example", ident=99)))
        first, second = receive(sock), receive(sock)
    assert rcode(first) == 1
    assert (int.from_bytes(second[:2]), rcode(second)) == (99, 3)
