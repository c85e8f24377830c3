from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from geodns.serve.admission import MOST_CLOGGED, Admission, StreamLimits
from geodns.serve.stream import (
    LARGEST_QUERY,
    WRITE_HIGH,
    WRITE_MOST,
    StreamConnection,
    StreamListener,
)
from tests.serve.answering import Answering, until


class Serving:
    def __init__(self, limits: StreamLimits) -> None:
        self.answering = Answering()
        self.counters: dict[str, int] = {}
        self.listener = StreamListener(
            asyncio.get_running_loop(), self.answering, self.counters, limits
        )
        self.port = 0

    async def connect(self, source: str = "127.9.9.9") -> Connection:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0)
        )
        return Connection(reader, writer)


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *words: bytes) -> None:
        self.writer.write(b"".join(framed(word) for word in words))

    async def reply(self) -> bytes:
        async with asyncio.timeout(10):
            size = int.from_bytes(await self.reader.readexactly(2), "big")
            return (await self.reader.readexactly(size)).strip(b".")

    async def closed(self) -> bool:
        """Wait for the end; whether nothing more came before it."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


def framed(word: bytes) -> bytes:
    packet = word.ljust(12, b".")
    return len(packet).to_bytes(2, "big") + packet


@asynccontextmanager
async def serving(**limits: float) -> AsyncIterator[Serving]:
    found = Serving(StreamLimits(**limits))  # type: ignore[arg-type]
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        found.port = sock.getsockname()[1]
        await found.listener.listen(sock)
        try:
            yield found
        finally:
            found.listener.close()
            await asyncio.sleep(0)


async def test_many_queries_a_connection_one_octet_at_a_time() -> None:
    async with serving() as server:
        connection = await server.connect()
        for octet in framed(b"now1") + framed(b"now2"):
            connection.writer.write(bytes((octet,)))
            await connection.writer.drain()
            await asyncio.sleep(0.001)
        assert await connection.reply() == b"re:now1"
        assert await connection.reply() == b"re:now2"
        assert server.answering.seen[0][1:] == (socket.inet_aton("127.9.9.9"), True)


async def test_replies_leave_out_of_order() -> None:
    async with serving() as server:
        connection = await server.connect()
        connection.send(b"later1", b"later2", b"none", b"raise", b"now")
        assert await connection.reply() == b"re:now"
        await until(lambda: len(server.answering.waiting) == 2)
        server.answering.waiting[b"later2"].set_result(b"second")
        assert await connection.reply() == b"second"
        server.answering.waiting[b"later1"].set_result(b"first")
        assert await connection.reply() == b"first"
        assert server.counters["internal_errors"] == 1


async def test_a_long_pipeline_is_answered_whole() -> None:
    async with serving() as server:
        connection = await server.connect()
        connection.send(*(b"now%d" % number for number in range(3000)))
        for number in range(3000):
            assert await connection.reply() == b"re:now%d" % number


async def test_outstanding_queries_are_bounded() -> None:
    async with serving(pipeline=3) as server:
        connection = await server.connect()
        connection.send(*(b"later%d" % number for number in range(8)))
        await until(lambda: len(server.answering.seen) == 3)
        await asyncio.sleep(0.05)
        assert len(server.answering.seen) == 3
        server.answering.waiting[b"later1"].set_result(b"one")
        assert await connection.reply() == b"one"
        await until(lambda: len(server.answering.seen) == 4)
        for number in (0, 2, 3, 4, 5, 6, 7):
            word = b"later%d" % number
            await until(lambda word=word: word in server.answering.waiting)
            server.answering.waiting[word].set_result(word)
            assert await connection.reply() == word


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    async with serving(idle=0.3) as server:
        busy, idle, slow = [await server.connect() for _ in range(3)]
        busy.send(b"later")
        # A message that never ends is no reason to stay.
        slow.writer.write(framed(b"now")[:5])
        assert await idle.closed()
        assert await slow.closed()
        await until(lambda: server.answering.waiting)
        server.answering.waiting[b"later"].set_result(b"done")
        assert await busy.reply() == b"done"
        assert await busy.closed()
        assert server.counters["tcp/open"] == 0


async def test_a_half_closed_connection_gets_what_it_is_owed() -> None:
    async with serving() as server:
        connection = await server.connect()
        connection.send(b"later", b"now")
        connection.writer.write_eof()
        assert await connection.reply() == b"re:now"
        await until(lambda: server.answering.waiting)
        server.answering.waiting[b"later"].set_result(b"at last")
        assert await connection.reply() == b"at last"
        assert await connection.closed()


@pytest.mark.parametrize("size", [0, 11, LARGEST_QUERY + 1, 65535])
async def test_a_message_of_no_sensible_size_closes_the_connection(size: int) -> None:
    async with serving() as server:
        connection = await server.connect()
        connection.send(b"now")
        connection.writer.write(size.to_bytes(2, "big") + b"x" * 20)
        assert await connection.reply() == b"re:now"
        assert await connection.closed()
        assert server.counters["tcp/cut"] == 1
        assert len(server.answering.seen) == 1


async def test_who_does_not_read_is_not_read_and_then_cut() -> None:
    async with serving(idle=0.5) as server:
        server.answering.reply_size = 30000
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            sending = asyncio.create_task(loop.sock_sendall(client, framed(b"now") * 100000))
            await until(lambda: server.counters["tcp/cut"] == 1)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        # 100,000 replies were asked for; what nobody reads is not made.
        assert len(server.answering.seen) < 3000
        assert server.counters["tcp/open"] == 0


async def test_a_batch_ends_when_its_replies_are_many_octets() -> None:
    async with serving() as server:
        server.answering.reply_size = 60000
        given: list[int] = []
        connection = StreamConnection(server.listener)
        transport = Clogged(connection, given)
        connection.connection_made(transport)
        # All in one read; the transport takes nothing of what it is given.
        connection.data_received(framed(b"now") * 64)
        await asyncio.sleep(0.05)
        assert len(given) == 1 and WRITE_HIGH <= given[0] < WRITE_HIGH + 65536
        assert len(server.answering.seen) == 3
        connection.connection_lost(None)


class Clogged(asyncio.Transport):
    def __init__(self, protocol: StreamConnection, given: list[int]) -> None:
        super().__init__({"peername": ("127.9.9.9", 1)})
        self.protocol = protocol
        self.given = given
        self.aborted = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.given.append(len(data))
        if sum(self.given) > WRITE_HIGH:
            self.protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == WRITE_HIGH

    def get_write_buffer_size(self) -> int:
        return sum(self.given)

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


async def test_a_stranger_gets_one_reply_and_holds_no_connection() -> None:
    async with serving() as server:
        server.answering.strangers.add(socket.inet_aton("127.9.9.9"))
        connection = await server.connect()
        connection.send(b"now1", b"now2")
        assert await connection.reply() == b"re:now1"
        assert await connection.closed()
        assert len(server.answering.seen) == 1
        assert server.counters["tcp/open"] == 0
        friend = await server.connect("127.8.8.8")
        friend.send(b"now1", b"now2")
        assert await friend.reply() == b"re:now1"
        assert await friend.reply() == b"re:now2"
        assert server.counters["tcp/open"] == 1


async def test_a_client_has_a_share_and_its_oldest_idle_connection_makes_room() -> None:
    async with serving(per_client=2, connections=10) as server:
        busy, idle = await server.connect(), await server.connect()
        busy.send(b"later")
        await until(lambda: server.answering.waiting)
        third = await server.connect()
        assert await idle.closed()
        assert server.counters["tcp/displaced"] == 1
        third.send(b"later3")
        await until(lambda: len(server.answering.waiting) == 2)
        fourth = await server.connect()
        assert await fourth.closed()
        assert server.counters["tcp/refused"] == 1
        other = await server.connect("127.8.8.8")
        other.send(b"now")
        assert await other.reply() == b"re:now"
        assert server.counters["tcp/open"] == 3


async def test_connections_are_bounded_in_all() -> None:
    async with serving(per_client=2, connections=3) as server:
        connections = [await server.connect(f"127.7.0.{number}") for number in range(1, 4)]
        for number, connection in enumerate(connections):
            connection.send(b"later%d" % number)
        await until(lambda: len(server.answering.waiting) == 3)
        refused = await server.connect("127.7.0.9")
        assert await refused.closed()
        server.answering.waiting[b"later1"].set_result(b"one")
        assert await connections[1].reply() == b"one"
        welcome = await server.connect("127.7.0.9")
        welcome.send(b"now")
        assert await welcome.reply() == b"re:now"
        assert await connections[1].closed()
        assert server.counters["tcp/accepted"] == 5


async def test_the_end_lets_replies_under_way_leave() -> None:
    async with serving() as server:
        connection, idle = await server.connect(), await server.connect()
        connection.send(b"later")
        await until(lambda: server.answering.waiting)
        server.listener.stop()
        assert await idle.closed()
        assert server.listener.outstanding == 1
        connection.send(b"now")
        server.answering.waiting[b"later"].set_result(b"last")
        assert await connection.reply() == b"last"
        assert await connection.closed()
        assert server.listener.outstanding == 0


async def test_a_client_that_leaves_is_forgotten() -> None:
    async with serving() as server:
        connection = await server.connect()
        connection.send(b"later")
        await until(lambda: server.answering.waiting)
        raw = connection.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.writer.transport.abort()
        await until(lambda: server.counters["tcp/open"] == 0)
        server.answering.waiting[b"later"].set_result(b"nobody there")
        await asyncio.sleep(0)
        assert server.counters["internal_errors"] == 0


async def test_a_message_must_end_whatever_its_sender_is_owed() -> None:
    async with serving(idle=0.4) as server:
        dribbling = await server.connect()
        dribbling.send(b"later")
        await until(lambda: server.answering.waiting)
        ended = asyncio.create_task(dribbling.reader.read())
        dribbling.writer.write(b"\x3f\xff")
        while not ended.done():
            # Ever more octets of a message that has room for them, and never its end.
            dribbling.writer.write(b"x")
            await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(ended, 10) == b""
        assert server.counters["tcp/cut"] == 1
        assert len(server.answering.seen) == 1


async def test_a_stranger_who_says_nothing_is_soon_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodns.serve.stream.STRANGER", 0.2)
    async with serving(idle=3600) as server:
        server.answering.strangers.add(socket.inet_aton("127.9.9.9"))
        friend, stranger = await server.connect("127.8.8.8"), await server.connect()
        assert await stranger.closed()
        friend.send(b"now")
        assert await friend.reply() == b"re:now"


async def test_replies_that_nobody_reads_are_bounded() -> None:
    async with serving() as server:
        given: list[int] = []
        connection = StreamConnection(server.listener)
        transport = Clogged(connection, given)
        connection.connection_made(transport)
        connection.data_received(b"".join(framed(b"later%d" % number) for number in range(60)))
        await until(lambda: len(server.answering.waiting) == 60)
        for future in server.answering.waiting.values():
            future.set_result(bytes(60000))
        await until(lambda: transport.aborted)
        await asyncio.sleep(0)
        assert sum(given) <= WRITE_MOST + 60002
        assert server.counters["tcp/cut"] == 1


class Held:
    """A connection that an Admission may hold."""

    def __init__(self, *, busy: bool = False) -> None:
        self.client: bytes | None = None
        self.since = 0.0
        self.busy = busy
        self.gone = False

    def cut(self) -> None:
        self.gone = True


def test_too_many_clogged_connections_cost_the_first_of_them() -> None:
    counters: dict[str, int] = {}
    admission = Admission(StreamLimits(per_client=1000), counters)
    held = [Held(busy=True) for _ in range(MOST_CLOGGED + 3)]
    for each in held:
        assert admission.admit(each, bytes(4))
    admission.clog(held[0])
    admission.unclog(held[0])
    for each in held[1:]:
        admission.clog(each)
    assert [each.gone for each in held] == [False, True, True] + [False] * MOST_CLOGGED
    assert counters["tcp/cut"] == 2
    assert counters["tcp/open"] == len(held) - 2


def test_a_client_of_ipv6_is_a_network() -> None:
    counters: dict[str, int] = {}
    admission = Admission(StreamLimits(per_client=2, ipv6_prefix=56), counters)
    addresses = [f"2001:db8:0:{subnet}::{host}" for subnet, host in ((1, 1), (2, 2), ("ff", 3))]
    first, second, third = (socket.inet_pton(socket.AF_INET6, text) for text in addresses)
    other = socket.inet_pton(socket.AF_INET6, "2001:db8:0:100::1")
    assert admission.admit(Held(busy=True), first)
    assert admission.admit(Held(busy=True), second)
    assert not admission.admit(Held(), third)
    assert admission.admit(Held(), other)


def test_who_was_of_no_use_for_longest_makes_room() -> None:
    admission = Admission(StreamLimits(connections=3), {})
    held = [Held(), Held(), Held(busy=True)]
    for number, each in enumerate(held):
        assert admission.admit(each, bytes((127, 0, 0, number)))
    admission.used(held[0])
    assert admission.admit(Held(busy=True), bytes(4))
    assert [each.gone for each in held] == [False, True, False]
    assert admission.admit(Held(busy=True), bytes(4))
    assert [each.gone for each in held] == [True, True, False]
    assert not admission.admit(Held(), bytes(4))
