"""UDP to an upstream server.

UDP goes through a few **lanes** a server: sockets connected to it, so that the kernel drops what
comes from any other address or port. A lane has a source port the kernel picked at random,
is picked at random for each query, and is given up for a new one after few queries or seconds:
who wants to forge a reply must guess port and ID at once and has no time to search for the
port (RFC 5452 section 9.2), and still a query does not pay for a socket of its own, which costs
four times what sending and receiving do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING

from geodns.upstream.channel import Asker

if TYPE_CHECKING:
    from geodns.upstream.server import Server

_WIDTH = 16  # lanes of a server among which a query picks
_USES = 32  # queries a lane carries
_AGE = 5.0  # seconds a lane is used
_MOST = 128  # sockets of a server at once; beyond, lanes are used longer than they should be
_DATAGRAM = 4096  # octets; we announce 1232

_IDENT = Struct("!H")


class Lane:
    """A UDP socket connected to a server, for a few queries."""

    __slots__ = ("_lanes", "_loop", "_socket", "opened", "pending", "retired", "server", "uses")

    stream = False

    def __init__(self, lanes: Lanes, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.pending: dict[int, Asker] = {}
        self.opened = loop.time()
        self.uses = 0
        self.retired = False
        self._lanes = lanes
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
            self._socket.send(_IDENT.pack(ident) + body)
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
            self._lanes.closed(self)

    def fail(self) -> None:
        """Close after an error and tell all who wait.

        The kernel does not say which datagram an error is about, and uvloop listens no more to a
        socket that had one.
        """
        askers = list(self.pending.values())
        self.pending.clear()
        self.close()
        for asker in askers:
            self._loop.call_soon(_tell, asker, self)

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
            asker = self.pending.get(ident)
            if asker is not None and asker.heard(self, ident, packet):
                self.forget(ident)
                return
        self.server.mismatched()


def _tell(asker: Asker, lane: Lane) -> None:
    asker.failed(lane, again=False)


class Lanes:
    """The lanes of one server."""

    def __init__(self, server: Server, numbers: Iterator[int]) -> None:
        self._server = server
        self._numbers = numbers
        self._lanes: list[Lane] = []
        self._open: set[Lane] = set()
        self._retired = False

    def __len__(self) -> int:
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
            lane = Lane(self, self._server, loop)
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
