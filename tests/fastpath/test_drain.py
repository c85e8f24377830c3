"""The native drain on real loopback sockets against ``answer`` and against the pure listener."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from geodns.fastpath import pure
from geodns.fastpath.tables import Kept
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from geodns.serve.sockets import open_listeners
from geodns.serve.udp import DRAIN, UdpListener
from tests.fastpath import twins
from tests.fastpath.handmade import EVERYBODY, roll_load
from tests.fastpath.twins import roll_names, roll_query, roll_wrapped
from tests.policy.making import NOW, order, wire
from tests.scenarios.asking import build
from tests.serve.answering import Answering, until

native = pytest.importorskip("geodns.fastpath.native")
SOURCES = ["127.39.0.1", "127.33.0.1", "127.65.0.1", "127.91.0.1", "127.9.9.9", "127.34.0.1"]
"""The last of them puts PROXY headers in front of its queries."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def listen(stack: ExitStack, address: str) -> socket.socket:
    (listener,) = open_listeners([address], 1)
    stack.callback(listener.close)
    return listener.udp[0]


def dial(stack: ExitStack, source: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    client = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    client.bind((source, 0))
    client.setblocking(False)
    return client


def received(client: socket.socket) -> list[tuple[bytes, Any]]:
    """All that has come; loopback delivers before sendto returns."""
    found = []
    while True:
        try:
            found.append(client.recvfrom(65535))
        except BlockingIOError:
            return found


def answerer(twin: Any) -> Any:
    """A fast path that answers A queries for "here" with an address, and hands all else up."""
    fast = twin(64)
    fast.serve(EVERYBODY)
    fast.load(replace(roll_load(random.Random(1)), layers=(twins.index_names({}),), rules=(1,)))
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
    packet = b"\0\0\x81\x80\0\1\0\1\0\0\0\0" + wire("here") + b"\0\1\0\1" + record
    kept = Kept(packet, (28,), 1000.0, 1060.0, True, False, True)
    assert fast.keep(wire("here") + b"\0\1\0\1\0", kept)
    return fast


def ask(sock: socket.socket, host: str, client: socket.socket, packet: bytes) -> None:
    client.sendto(packet, (host, sock.getsockname()[1]))


@pytest.mark.parametrize(
    ("address", "source", "hosts"),
    [
        ("127.0.0.1:0", "127.39.0.1", ["127.0.0.1"]),
        ("0.0.0.0:0", "127.39.0.1", ["127.0.0.1", "127.0.0.5", "127.77.0.6"]),
        ("[::1]:0", "::1", ["::1"]),
        ("[::]:0", "::1", ["::1"]),
    ],
)
def test_each_reply_is_what_answer_gives_and_leaves_from_where_it_was_asked(
    stack: ExitStack, address: str, source: str, hosts: list[str]
) -> None:
    sock, client = listen(stack, address), dial(stack, source)
    fast, beside = answerer(native.FastPath), answerer(pure.FastPath)
    wildcard = address.startswith(("0.0.0.0", "[::]"))
    packed = socket.inet_pton(client.family, source)
    expected, handed = [], []
    roll = random.Random(3)
    for number in range(60):
        name = roll.choice(["here", "Here", "HERE", "there"])
        packet = build(name, ident=number, edns=roll.choice((None, 1232)), ad=roll.random() < 0.5)
        host = roll.choice(hosts)
        ask(sock, host, client, packet)
        told = beside.answer(packet, packed, 1010.5)
        if told is None:
            handed.append((packet, packed, client.getsockname(), host))
        else:
            expected.append((told, host))
    left, more, unsent = fast.drain(sock.fileno(), 1010.5, wildcard)
    assert not more
    assert not unsent
    found = received(client)
    assert [(data, sender[0]) for data, sender in found] == expected
    assert len(expected) > 10 < len(handed)
    assert fast.counters() == beside.counters()
    # What is handed up can be answered from where it was asked, too.
    assert [each[:3] for each in left] == [each[:3] for each in handed]
    for (_, _, to, control), (_, _, _, host) in zip(left, handed, strict=True):
        assert bool(control) == wildcard
        sock.sendmsg([b"up"], control, 0, to)
        ((_, sender),) = received(client)
        assert sender[0] == host


def test_more_than_a_batch_is_read_in_turns(stack: ExitStack) -> None:
    sock, client = listen(stack, "127.0.0.1:0"), dial(stack, "127.0.0.1")
    fast = answerer(native.FastPath)
    count = 2 * DRAIN + 5
    for number in range(count):
        ask(sock, "127.0.0.1", client, build("here", ident=number))
    mores = [fast.drain(sock.fileno(), 1000.0, False)[1] for _ in range(3)]
    assert mores == [True, True, False]
    assert [int.from_bytes(data[:2]) for data, _ in received(client)] == list(range(count))
    assert fast.drain(sock.fileno(), 1000.0, False) == ([], False, [])


def test_the_smallest_and_the_largest_packets(stack: ExitStack) -> None:
    sock, client = listen(stack, "127.0.0.1:0"), dial(stack, "127.0.0.1")
    fast = answerer(native.FastPath)
    largest = build("here", options=b"\0\x0c\xff\x00" + bytes(0xFF00))
    dropped = [b"", bytes(11), b"\0\0\x80\0" + bytes(8)]
    for packet in (*dropped, largest, b"x" * 65507, build("here", ident=9)):
        ask(sock, "127.0.0.1", client, packet)
    left, _, _ = fast.drain(sock.fileno(), 1000.0, False)
    assert [packet for packet, *_ in left] == [b"x" * 65507]
    assert [data[:2] for data, _ in received(client)] == [largest[:2], b"\0\x09"]
    assert fast.counters()["dropped"] == len(dropped)


def test_what_the_kernel_does_not_take_comes_back(stack: ExitStack) -> None:
    sock, client = listen(stack, "0.0.0.0:0"), dial(stack, "127.39.0.1")
    fast, beside = answerer(native.FastPath), answerer(pure.FastPath)
    packets = [build("here", ident=number) for number in range(5)]
    for packet in packets:
        ask(sock, "127.0.0.7", client, packet)
    with pytest.raises(OSError, match="not connected"):
        sock.shutdown(socket.SHUT_WR)  # it takes effect all the same
    left, more, unsent = fast.drain(sock.fileno(), 1000.0, True)
    assert (left, more) == ([], False)
    assert [reply for reply, _, _ in unsent] == [
        beside.answer(packet, bytes(4), 1000.0) for packet in packets
    ]
    # Another socket that has the port can send them.
    for reply, control, address in unsent:
        assert address == client.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendmsg([reply], control, 0, address)
    assert [(data, sender[0]) for data, sender in received(client)] == [
        (reply, "127.0.0.7") for reply, _, _ in unsent
    ]


def test_a_fault_costs_one_packet_its_speed_and_no_other(stack: ExitStack) -> None:
    sock, client = listen(stack, "127.0.0.1:0"), dial(stack, "127.0.0.1")
    fast = answerer(native.FastPath)
    names = (twins.index_names({wire("bad"): 0}),)
    load = replace(roll_load(random.Random(1)), layers=names, rules=(1,), decide=lambda *_: 1 // 0)
    fast.load(load)
    fast.keep(
        wire("ok") + b"\0\1\0\1\0",
        Kept(bytes(12) + wire("ok") + b"\0\1\0\1", (), 0, 1, False, False, False),
    )
    for number, name in enumerate(("ok", "bad", "ok")):
        ask(sock, "127.0.0.1", client, build(name, ident=number))
    left, _, _ = fast.drain(sock.fileno(), 0.0, False)
    assert [packet[:2] for packet, *_ in left] == [b"\0\1"]
    assert [data[:2] for data, _ in received(client)] == [b"\0\0", b"\0\2"]


def test_a_descriptor_that_is_no_socket_reads_nothing() -> None:
    fast = answerer(native.FastPath)
    assert fast.drain(-1, 0.0, True) == ([], False, [])
    assert fast.drain(0, 0.0, False) == ([], False, [])


class Clogging:
    """A fast path whose replies the kernel does not take, once."""

    def __init__(self, parcels: list[Any]) -> None:
        self.parcels = parcels

    def drain(self, fd: int, now: float, ancillary: bool) -> Any:
        parcels, self.parcels = self.parcels, []
        return [], False, parcels


async def test_a_full_send_buffer_only_delays(stack: ExitStack) -> None:
    sock, client = listen(stack, "127.0.0.1:0"), dial(stack, "127.0.0.1")
    fast = Clogging([(b"reply %d" % at, [], client.getsockname()) for at in range(3)])
    counters: dict[str, int] = {}
    udp = UdpListener(asyncio.get_running_loop(), sock, Answering(), counters, fast=fast)  # type: ignore[arg-type]
    real = udp._try_send
    clogged = [True]
    udp._try_send = lambda parcel: not clogged[0] and real(parcel)  # type: ignore[method-assign]
    udp.drain()
    assert udp.outstanding == 3
    clogged[0] = False
    await until(lambda: udp.outstanding == 0)
    assert [data for data, _ in received(client)] == [b"reply 0", b"reply 1", b"reply 2"]
    assert counters["udp/unsent"] == 0


async def test_both_listeners_send_the_same(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves, and from where; whoever answered, and whatever was asked."""
    clock = twins.Clock()
    monkeypatch.setattr("geodns.serve.pipeline.monotonic", clock)
    monkeypatch.setattr("geodns.serve.udp.monotonic", clock)
    snapshot = Snapshot(
        compile_snapshot(
            [
                order("o", domains=["a.b"], text="Because."),
                order("p", domains=["b"], places=["FR"], action="sinkhole", addresses=["::1"]),
                order("q", exact=["a"], places=None, action="refused", exempt=["b.a"]),
            ],
            NOW,
        )
    )
    loop = asyncio.get_running_loop()
    clients = [dial(stack, source) for source in SOURCES]
    sides = []
    for twin in (pure.FastPath, native.FastPath):
        pipeline = twins.make_pipeline(twin(twins.SLOTS))
        pipeline.enforce(InForce(snapshot, twins.places()))
        sock = listen(stack, "0.0.0.0:0")
        counters: dict[str, int] = {}
        sides.append((UdpListener(loop, sock, pipeline, counters, fast=pipeline.fast), pipeline))
    roll = random.Random(11)
    packets = [roll_query(roll, roll_names(roll)) for _ in range(80)]
    for _ in range(12):
        clock.now += roll.choice((0.0, 0.5, 3.0))
        chosen = [(roll.choice(packets), roll.choice(clients)) for _ in range(50)]
        sent = [
            (roll_wrapped(roll, packet, socket.inet_aton(client.getsockname()[0])), client)
            for packet, client in chosen
        ]
        hosts = [roll.choice(["127.0.0.1", "127.0.0.5"]) for _ in sent]
        told = []
        for udp, _ in sides:
            for (packet, client), host in zip(sent, hosts, strict=True):
                ask(udp._sock, host, client, packet)
            assert not udp.drain()
            while udp.outstanding:
                await asyncio.sleep(0)
            replies = [received(client) for client in clients]
            told.append([sorted((data, sender[0]) for data, sender in each) for each in replies])
        assert told[0] == told[1]
    first, second = ({**pipeline.counters()} for _, pipeline in sides)
    # A batch is answered whole before what it left is: a repeat in it may be left too.
    answered = first.pop("fast/queries"), second.pop("fast/queries")
    assert abs(answered[0] - answered[1]) < 20
    assert min(answered) > 50
    assert first == second
    for udp, _ in sides:
        udp.close()
