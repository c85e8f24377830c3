from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest

from geodns.cli.ask import Reply, ask, ecs_data, read_type, type_name
from geodns.cli.demo_upstream import ZoneServer
from geodns.errors import InputFaults, ServerError
from geodns.model.message import OPTION_ECS, OPTION_EDE, Query, opt_record, option, read_query
from geodns.model.name import parse

NAME = parse("www.example.org")
Answer = Callable[[Query, bytes], list[bytes]]


def _one_port() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same free port."""
    for _ in range(50):
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        return udp, tcp
    raise OSError("no port is free for UDP and TCP")


@contextmanager
def server(answer: Answer, over_tcp: Answer | None = None) -> Iterator[tuple[str, int]]:
    """A server of one query: what ``answer`` gives is sent over UDP, then over TCP."""
    udp, tcp = _one_port()
    udp.settimeout(5)
    tcp.settimeout(5)

    def run() -> None:
        packet, peer = udp.recvfrom(4096)
        for reply in answer(read_query(packet), peer[0].encode()):
            udp.sendto(reply, peer)
        if over_tcp is not None:
            stream, where = tcp.accept()
            with stream:
                packet = stream.recv(4096)[2:]
                for reply in over_tcp(read_query(packet), where[0].encode()):
                    stream.sendall(len(reply).to_bytes(2, "big") + reply)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield udp.getsockname()
    finally:
        thread.join()
        udp.close()
        tcp.close()


def reply_to(
    query: Query, flags: int = 0x8180, answer: bytes = b"", options: bytes | None = b""
) -> bytes:
    opt = b"" if options is None else opt_record(1232, options)
    counts = (1, 1 if answer else 0, 0, 0 if options is None else 1)
    head = b"".join(value.to_bytes(2, "big") for value in (query.id, flags, *counts))
    return head + query.question + answer + opt


ADDRESS = bytes.fromhex("c00c 0001 0001 0000012c 0004 c6336407")


def test_a_zone_answers() -> None:
    zone = {"www.example.org": "198.51.100.7", "alias.example.org": "www.example.org"}
    with ZoneServer(zone) as upstream:
        where = ("127.0.0.1", int(upstream.address.rpartition(":")[2]))
        assert ask(where, NAME, 1).addresses == ("198.51.100.7",)
        alias = ask(where, parse("alias.example.org"), 1)
        assert alias.answers == (
            "alias.example.org 300 IN CNAME www.example.org",
            "www.example.org 300 IN A 198.51.100.7",
        )
        assert ask(where, NAME, 28).answers == ()
        assert ask(where, parse("other.example.org"), 1).rcode == "NXDOMAIN"
        assert upstream.asked == 4


def test_ede_ecs_and_order_are_read_and_the_trusted_source_is_bound() -> None:
    seen: list[object] = []

    def answer(query: Query, peer: bytes) -> list[bytes]:
        assert query.edns is not None
        seen.extend((peer, query.edns.options))
        options = option(OPTION_EDE, b"\0\x10blocked by a court [it-milano]")
        options += option(OPTION_ECS, ecs_data(ip_address("192.0.2.1"))[:3] + b"\x18\xc0\0\2\1")
        return [reply_to(query, 0x8183, options=options)]

    with server(answer) as where:
        reply = ask(where, NAME, 1, client=ip_address("192.0.2.1"))
    assert seen == [b"127.0.0.9", ((OPTION_ECS, bytes.fromhex("00012000c0000201")),)]
    assert reply.rcode == "NXDOMAIN"
    assert reply.order == "it-milano"
    assert reply.ecs_scope == 24
    (extended,) = reply.extended_errors
    assert (extended.code, extended.name) == (16, "Censored")


def test_no_option_means_not_believed() -> None:
    with server(lambda query, _: [reply_to(query, answer=ADDRESS)]) as where:
        reply = ask(where, NAME, 1, client=ip_address("2001:db8::1"))
    assert reply.ecs_scope is None
    assert reply.order is None
    assert reply.addresses == ("198.51.100.7",)


def test_replies_to_others_are_passed_over() -> None:
    def answer(query: Query, _: bytes) -> list[bytes]:
        good = reply_to(query, answer=ADDRESS)
        other_id = bytes((good[0] ^ 1,)) + good[1:]
        other_name = good[:13] + b"x" + good[14:]
        return [b"", b"short", other_id, other_name, good[:2] + b"\x01" + good[3:], good]

    with server(answer) as where:
        assert ask(where, NAME, 1).addresses == ("198.51.100.7",)


def test_a_truncated_reply_is_asked_for_over_tcp() -> None:
    with server(
        lambda query, _: [reply_to(query, 0x8380)],
        lambda query, _: [reply_to(query, answer=ADDRESS)],
    ) as where:
        reply = ask(where, NAME, 1)
    assert reply.transport == "TCP"
    assert reply.addresses == ("198.51.100.7",)


def test_a_connection_that_is_closed_without_a_reply_is_an_error() -> None:
    with (
        server(lambda query, _: [reply_to(query, 0x8380)], lambda *_: []) as where,
        pytest.raises(ServerError, match="closed the connection"),
    ):
        ask(where, NAME, 1)


def test_silence_and_nobody_are_errors() -> None:
    with server(lambda *_: []) as where, pytest.raises(ServerError, match=r"within 0\.2 s"):
        ask(where, NAME, 1, timeout=0.2)
    with pytest.raises(ServerError, match="nobody answers"):
        ask(where, NAME, 1, timeout=1)


@pytest.mark.parametrize(
    ("text", "number"), [("a", 1), ("AAAA", 28), ("https", 65), ("SVCB", 64), ("TYPE65280", 65280)]
)
def test_types(text: str, number: int) -> None:
    assert read_type(text) == number
    assert read_type(type_name(number)) == number


@pytest.mark.parametrize("text", ["", "BAR", "TYPE", "TYPE65536", "1"])
def test_no_types(text: str) -> None:
    with pytest.raises(InputFaults, match="no record type"):
        read_type(text)


def test_a_reply_that_names_no_order_has_none() -> None:
    assert Reply("NOERROR", (), (), (), None, "UDP", 0.0).order is None
