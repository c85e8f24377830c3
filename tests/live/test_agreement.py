"""geodns beside Unbound, and before it: every record type, strange names, long answers, TCP."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.live import servers, zones
from tests.live.agreement import (
    NEEDED,
    OUR_LIMIT,
    WAYS,
    Clients,
    Way,
    both_runs,
    clients,
    compare,
    questions,
)
from tests.live.zones import ZOO, Question
from tests.protocol.shown import read

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(servers.missing(*NEEDED)), reason=servers.missing(*NEEDED) or "-"),
]
WWW = Question(zones.labels(f"www.{ZOO}"), 1, "plain")
HUGE = Question(zones.labels(f"huge.{ZOO}"), 16, "60 KB")


@pytest.fixture(scope="module", params=["native", "pure"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clients]:
    patch = pytest.MonkeyPatch()
    if request.param == "pure":
        patch.setenv("GEODNS_PURE", "1")
    else:
        pytest.importorskip("geodns.fastpath.native")
        patch.delenv("GEODNS_PURE", raising=False)
    with clients(tmp_path_factory.mktemp("agreement")) as found:
        yield found
    patch.undo()


def test_answers_agree(made: Clients) -> None:
    for told, found in both_runs(made):
        assert [str(each) for each in found if each.fault] == [], told
        assert len(found) > 500


def test_no_datagram_is_above_our_limit_however_large_the_client_s(made: Clients) -> None:
    for size in (1233, 4096, 65535):
        for question in questions(ZOO):
            reply = made.direct.send(Way(size=size, dnssec_ok=True).packet(question))
            assert reply is not None
            assert len(reply) <= OUR_LIMIT


def test_the_comparison_sees_what_differs(made: Clients) -> None:
    way = WAYS[2]
    raw = made.direct.send(way.packet(WWW))
    assert raw is not None
    honest = read(raw)
    assert compare(WWW, way, honest, honest).fault == ""
    at = raw.index(bytes((192, 0, 2, 1)))
    for spoilt in (
        raw[:at] + bytes((192, 0, 2, 2)) + raw[at + 4 :],
        raw[:at] + bytes((192, 0, 2, 1))[:3] + b"\x09" + raw[at + 4 :],
        raw[:3] + bytes([raw[3] | 3]) + raw[4:],
        raw[:3] + bytes([raw[3] | 0x20]) + raw[4:],
        raw[: at - 6] + bytes(4) + raw[at - 2 :],
    ):
        assert compare(WWW, way, read(spoilt), honest).fault


def stream(made: Clients, receive_buffer: int = 0) -> socket.socket:
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.bind((made.direct.source, 0))
    sock.settimeout(20)
    sock.connect(made.direct.server)
    return sock


def framed(question: Question, ident: int) -> bytes:
    packet = struct.pack("!H", ident) + Way().packet(question)[2:]
    return struct.pack("!H", len(packet)) + packet


def receive(sock: socket.socket, pause: float = 0.0, piece: int = 65536) -> bytes:
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2]):
        left = 2 - len(data) if len(data) < 2 else 2 + int.from_bytes(data[:2]) - len(data)
        chunk = sock.recv(min(piece, left))
        assert chunk, "the connection ended"
        data += chunk
        time.sleep(pause)
    return data[2:]


def test_many_queries_on_one_connection(made: Clients) -> None:
    with stream(made) as sock:
        for ident in range(500):
            sock.sendall(framed(WWW, ident))
            assert receive(sock)[:2] == struct.pack("!H", ident)


def test_twenty_pipelined_queries_of_all_kinds(made: Clients) -> None:
    asked = dict(enumerate(questions(ZOO)[:20]))
    with stream(made) as sock:
        sock.sendall(b"".join(framed(question, ident) for ident, question in asked.items()))
        replies = [read(receive(sock)) for _ in asked]
    assert {reply.id for reply in replies} == set(asked)
    for reply in replies:
        assert reply.question is not None
        assert reply.question[0] == asked[reply.id].name


def test_one_octet_at_a_time(made: Clients) -> None:
    with stream(made) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ident in range(3):
            for octet in framed(WWW, ident):
                sock.send(bytes([octet]))
        assert sorted(read(receive(sock)).id for _ in range(3)) == [0, 1, 2]


def test_a_slow_reader_of_long_replies_gets_all_of_them(made: Clients) -> None:
    with stream(made, receive_buffer=8192) as sock:
        sock.sendall(b"".join(framed(HUGE, ident) for ident in range(20)))
        replies = [read(receive(sock, pause=0.001, piece=16384)) for _ in range(20)]
        others = made.direct.ask(Way().packet(WWW))
    assert sorted(reply.id for reply in replies) == list(range(20))
    assert {len(reply.section("answer")) for reply in replies} == {59}
    assert all(reply.size > 60_000 for reply in replies)
    assert others is not None
