"""Octets to and from one upstream server, over UDP and TCP.

UDP goes through a few **lanes** a server: sockets connected to it, so that the kernel drops what
comes from any other address or port. A lane has a source port the kernel picked at random,
is picked at random for each query, and is given up for a new one after few queries or seconds:
who wants to forge a reply must guess port and ID at once and has no time to search for the
port (RFC 5452 section 9.2), and still a query does not pay for a socket of its own, which costs
four times what sending and receiving do.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from struct import Struct, unpack
from typing import NamedTuple, Protocol

from geodns.model.endpoint import join_endpoint, parse_endpoint

_WIDTH = 16  # lanes of a server among which a query picks
_USES = 32  # queries a lane carries
_AGE = 5.0  # seconds a lane is used
_MOST = 128  # sockets of a server at once; beyond, lanes are used longer than they should be
_DATAGRAM = 4096  # octets; we announce 1232
_STREAMS = 64  # TCP connections to all servers at once

_FAILURES = 3  # timeouts in a row after which a server is asked last
_SHUNNED = 5.0  # seconds until it is tried first again, by one query

_LENGTH = Struct("!H")


class Address(NamedTuple):
    """Where an upstream server listens. sockaddr: as the socket module takes it."""

    text: str
    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


def parse_server(text: str) -> Address:
    """Read ``192.0.2.1``, ``192.0.2.1:5300``, ``2001:db8::1`` or ``[2001:db8::1]:5300``.

    The port is 53 where none is given. Raises ValueError that quotes the text and says why.
    """
    host, port = parse_endpoint(text, 53)
    if not port:
        raise ValueError(f"{text!r} has the port 0, on which nobody listens")
    if ":" in host:
        return Address(join_endpoint(host, port), socket.AF_INET6, (host, port, 0, 0))
    return Address(join_endpoint(host, port), socket.AF_INET, (host, port))


def random_numbers() -> Iterator[int]:
    """Yield numbers from 0 to 65535 that nobody can foresee, at a fraction of the usual price.

    They come from the system's generator, which is read in bulk. Make one in each process: a
    copy made by fork yields the same numbers.
    """
    while True:
        yield from unpack("!1024H", os.urandom(2048))


class Asker(Protocol):
    """Who has sent a query and waits."""

    def heard(self, server: Server, packet: bytes) -> bool:
        """Take a datagram that has the query's ID; return whether it was the reply."""
        ...

    def failed(self, server: Server) -> None:
        """Learn that the server cannot be reached."""
        ...


class Lane:
    """A UDP socket connected to a server, for a few queries."""

    __slots__ = ("_loop", "_socket", "opened", "pending", "retired", "server", "uses")

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.pending: dict[int, Asker] = {}
        self.opened = loop.time()
        self.uses = 0
        self.retired = False
        self._loop = loop
        address = server.address
        self._socket = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(address.sockaddr)
            loop.add_reader(self._socket.fileno(), self._readable)
        except BaseException:
            self._socket.close()
            raise

    def send(self, ident: int, body: bytes, asker: Asker) -> None:
        """Send a query (``body``: all of it behind the ID) and tell ``asker`` what comes back.

        Raises OSError if the server cannot be reached.
        """
        try:
            self._socket.send(_LENGTH.pack(ident) + body)
        except BlockingIOError:
            pass  # lost before it left; the timeout sees to it
        self.uses += 1
        self.pending[ident] = asker

    def forget(self, ident: int) -> None:
        """Wait no longer for a reply with this ID."""
        self.pending.pop(ident, None)
        if self.retired and not self.pending:
            self.close()

    def retire(self) -> None:
        """Send no more; close as soon as nothing is waited for."""
        self.retired = True
        if not self.pending:
            self.close()

    def close(self) -> None:
        """Close the socket now."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self.server.closed(self)

    def fail(self) -> None:
        """Close after an error and tell all who wait.

        The kernel does not say which datagram an error is about, and uvloop listens no more to a
        socket that had one.
        """
        askers = list(self.pending.values())
        self.pending.clear()
        self.close()
        for asker in askers:
            self._loop.call_soon(asker.failed, self.server)

    def _readable(self) -> None:
        try:
            packet = self._socket.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            self.fail()
            return
        if len(packet) >= 12:
            ident = packet[0] << 8 | packet[1]
            asker_ = self.pending.get(ident)
            if asker_ is not None and asker_.heard(self.server, packet):
                self.forget(ident)
                return
        self.server.mismatched()


class Server:
    """An upstream server: its lanes, and whether it has answered lately.

    shunned_until: loop time up to which it is asked last, 0.0 if it is well.
    mismatched: called for each datagram from it that answers nothing that was asked.
    """

    def __init__(
        self, address: Address, numbers: Iterator[int], mismatched: Callable[[], None]
    ) -> None:
        self.address = address
        self.mismatched = mismatched
        self.failures = 0
        self.shunned_until = 0.0
        self._numbers = numbers
        self._lanes: list[Lane] = []
        self._open: set[Lane] = set()
        self._retired = False

    @property
    def sockets(self) -> int:
        """How many UDP sockets are open."""
        return len(self._open)

    def ask(self, body: bytes, asker: Asker, loop: asyncio.AbstractEventLoop) -> tuple[Lane, int]:
        """Send a query from a random port with a random ID; return what ``forget`` needs.

        body: the query behind its ID. Raises OSError if the server cannot be reached.
        """
        lane = self._pick(loop)
        try:
            return self._send(lane, body, asker)
        except OSError:
            # It may be the error of an earlier datagram that is told now.
            lane.fail()
        lane = self._pick(loop)
        try:
            return self._send(lane, body, asker)
        except OSError:
            lane.fail()
            raise

    def _send(self, lane: Lane, body: bytes, asker: Asker) -> tuple[Lane, int]:
        ident = next(self._numbers)
        while ident in lane.pending:
            ident = next(self._numbers)
        lane.send(ident, body, asker)
        return lane, ident

    def _pick(self, loop: asyncio.AbstractEventLoop) -> Lane:
        lanes = self._lanes
        at = next(self._numbers) % _WIDTH
        if at < len(lanes):
            lane = lanes[at]
            if lane.uses < _USES and loop.time() - lane.opened < _AGE:
                return lane
        if len(self._open) >= _MOST and lanes:
            return lanes[at % len(lanes)]
        try:
            lane = Lane(self, loop)
        except OSError:
            if not lanes:
                raise
            return lanes[at % len(lanes)]
        self._open.add(lane)
        if self._retired:
            lane.retired = True
        elif at < len(lanes):
            worn, lanes[at] = lanes[at], lane
            worn.retire()
        else:
            lanes.append(lane)
        return lane

    def closed(self, lane: Lane) -> None:
        """Learn that a lane is closed."""
        self._open.discard(lane)
        if not lane.retired:
            self._lanes.remove(lane)

    def answered(self) -> None:
        """Learn that it has answered, whatever it said."""
        self.failures = 0
        self.shunned_until = 0.0

    def timed_out(self, now: float) -> None:
        """Learn that it was silent until ``now``, in seconds of loop time."""
        self.failures += 1
        if self.failures >= _FAILURES:
            self.shunned_until = now + _SHUNNED

    def unreachable(self, now: float) -> None:
        """Learn that the network said it cannot be reached, in seconds of loop time."""
        self.failures = _FAILURES
        self.shunned_until = now + _SHUNNED

    def is_well(self, now: float) -> bool:
        """Whether to ask it in its turn; after a while one query finds out, others still wait."""
        if not self.shunned_until:
            return True
        if now < self.shunned_until:
            return False
        self.shunned_until = now + _SHUNNED
        return True

    def retire(self) -> None:
        """Send no more but what is under way; sockets close as that ends."""
        self._retired = True
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            lane.retire()

    def close(self) -> None:
        """Close all sockets now."""
        self.retire()
        for lane in list(self._open):
            lane.close()


class Streams:
    """Queries over TCP (RFC 7766), a connection each, and only so many at once."""

    def __init__(self, most: int = _STREAMS) -> None:
        self._room = asyncio.Semaphore(most)

    async def ask(self, address: Address, query: bytes, timeout: float) -> bytes:
        """Send a query and return the message that has its ID.

        timeout: seconds for all of it. Raises OSError (TimeoutError among it) on any failure.
        """
        async with asyncio.timeout(timeout), self._room:
            return await _exchange(address, query)


async def _exchange(address: Address, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        await loop.sock_connect(connection, address.sockaddr)
        await loop.sock_sendall(connection, _LENGTH.pack(len(query)) + query)
        received = bytearray()
        while True:
            while len(received) >= 2:
                end = 2 + _LENGTH.unpack_from(received)[0]
                if len(received) < end:
                    break
                message = bytes(received[2:end])
                if message[:2] == query[:2]:
                    return message
                del received[:end]
            chunk = await loop.sock_recv(connection, 65536)
            if not chunk:
                raise ConnectionResetError("the stream ended before the reply")
            received += chunk
