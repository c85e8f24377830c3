"""Queries over TCP (RFC 7766): two octets of length before each message, many a connection.

Replies leave as they are ready, not in the order of the queries. A connection is never
trusted to be kind: what it may keep busy, hold open or leave unread is bounded.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from geodns.model.proxy import SIGNATURE, BadHeader, NoHeader, read_header
from geodns.serve.admission import Admission, StreamLimits
from geodns.serve.udp import Answers, Reply

HEADER = 12
LARGEST_QUERY = 16384
"""Octets of a query at most; a connection that announces more is closed."""
WRITE_HIGH = 128 << 10
"""Octets of unsent replies at which a connection is not read any more."""
_PROXY_SIZE = int.from_bytes(SIGNATURE[:2])
"""What a PROXY header announces, read as the length of a message."""
WRITE_MOST = 4 * WRITE_HIGH
"""Octets of unsent replies at which a connection is cut."""
STRANGER = 2.0
"""Seconds that a peer who is not served may take to send its first message."""
BATCH = 64
"""Replies given at once before other work gets its turn."""


class StreamListener:
    """Accepts connections on one or more bound TCP sockets, within limits.

    ``admission.limits`` may be replaced at any time. ``counters`` is written in place
    (``tcp/*``, ``proxy/*``).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answers: Answers,
        counters: dict[str, int],
        limits: StreamLimits,
        on_internal: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.loop = loop
        self.answers = answers
        self.counters = counters
        self.admission = Admission(limits, counters)
        self.on_internal = on_internal
        self.draining = False
        self._servers: list[asyncio.AbstractServer] = []
        for key in (
            "proxy/missing",
            "proxy/malformed",
            "proxy/unexpected",
            "internal_errors",
        ):
            counters.setdefault(key, 0)

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket, from now on."""
        server = await self.loop.create_server(
            lambda: StreamConnection(self), sock=sock, backlog=1024
        )
        self._servers.append(server)

    def stop(self) -> None:
        """Accept nothing more and read no more queries; replies under way still leave."""
        self.draining = True
        for server in self._servers:
            server.close()
        for connection in self._held():
            connection.finish()

    @property
    def outstanding(self) -> int:
        """Connections that still owe a reply or still send one."""
        return sum(connection.busy for connection in self.admission.connections)

    def _held(self) -> list[StreamConnection]:
        return [each for each in self.admission.connections if isinstance(each, StreamConnection)]

    def close(self) -> None:
        """Cut all connections."""
        self.stop()
        for connection in self._held():
            connection.cut()


class StreamConnection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, listener: StreamListener) -> None:
        self._listener = listener
        self._admission = listener.admission
        self._loop = listener.loop
        self._counters = listener.counters
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._outstanding = 0
        self._ended = False
        self._clogged: float | None = None
        # Since when a message has been incomplete.
        self._begun: float | None = None
        self._served = True
        self._reading = True
        self._taking = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.peer = b""
        self.client: bytes | None = None
        self._wrapped = False
        self._source: bytes | None = None
        self.since = self._loop.time()

    @property
    def busy(self) -> bool:
        """Whether a reply is owed or still being sent."""
        transport = self._transport
        return self._outstanding > 0 or (
            transport is not None and transport.get_write_buffer_size() > 0
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it where the limits are reached."""
        self._transport = cast(asyncio.Transport, transport)
        address: Any = transport.get_extra_info("peername")
        if not address:
            self._transport.abort()
            return
        host: str = address[0].partition("%")[0]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.peer = socket.inet_pton(family, host)
        self._wrapped = self._listener.answers.wraps(self.peer)
        client = None if self._wrapped else self.peer
        if self._listener.draining or not self._admission.admit(self, client):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._served = self._listener.answers.serves(self.peer)
        self.since = self._loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; awaited replies come to nothing."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._admission.forget(self)

    def data_received(self, data: bytes) -> None:
        """Take octets, in any pieces."""
        if not self._ended:
            self._buffer += data
            self._take()

    def eof_received(self) -> bool:
        """The client sends no more; it still gets what it is owed (half-close)."""
        self._ended = True
        self._take()
        return True

    def pause_writing(self) -> None:
        """The client reads too slowly: ask nothing more of it until it has read."""
        self._clogged = self._loop.time()
        self._admission.clog(self)
        self._steer()

    def resume_writing(self) -> None:
        """The client has read: go on."""
        self._clogged = None
        self._admission.unclog(self)
        self._used()
        self._take()

    def finish(self) -> None:
        """Read no more; close as soon as nothing is owed."""
        self._ended = True
        self._buffer.clear()
        self._steer()

    def cut(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self) -> None:
        """Answer the whole messages that have arrived, as far as the limits allow."""
        if self._transport is None or self._taking or not self._unwrap():
            return
        self._taking = True
        ready: list[bytes] = []
        made = at = 0
        buffer = self._buffer
        # A stranger gets its reply, and no place among the connections.
        served = self._listener.answers.serves(self.peer)
        while self._clogged is None and self._outstanding < self._admission.limits.pipeline:
            if len(buffer) - at < 2:
                break
            # The transport says that it is clogged only once it has been given the replies.
            if len(ready) == BATCH or made >= WRITE_HIGH:
                self._loop.call_soon(self._take)
                break
            size = buffer[at] << 8 | buffer[at + 1]
            unexpected = size == _PROXY_SIZE and buffer.startswith(SIGNATURE, at)
            if unexpected or not HEADER <= size <= LARGEST_QUERY:
                self._counters["proxy/unexpected" if unexpected else "tcp/cut"] += 1
                self._ended = True
                at = len(buffer)
                break
            if len(buffer) - at < 2 + size:
                break
            packet = bytes(buffer[at + 2 : at + 2 + size])
            at += 2 + size
            made += self._answer(packet, ready)
            if not served:
                self._ended = True
                at = len(buffer)
        if at:
            del buffer[:at]
            self._used()
        if not buffer:
            self._begun = None
        elif at or self._begun is None:
            self._begun = self.since if at else self._loop.time()
        if ready:
            self._transport.write(b"".join(ready))
        self._taking = False
        self._steer()

    def _unwrap(self) -> bool:
        """Take the PROXY header off; whether what follows may be read."""
        if self._listener.answers.wraps(self.peer) != self._wrapped:
            # The settings have changed: what this connection said of its client, or did not say,
            # is not what they ask for now.
            self.finish()
            return False
        if not self._wrapped or self.client is not None:
            return True
        try:
            header = read_header(self._buffer)
        except (NoHeader, BadHeader) as fault:
            missing = isinstance(fault, NoHeader)
            self._counters["proxy/missing" if missing else "proxy/malformed"] += 1
            self.finish()
            return False
        if header is None:
            if self._ended:
                self.finish()
            return False
        if not self._admission.assign(self, header.source or self.peer):
            self.cut()
            return False
        self._source = header.source
        del self._buffer[: header.size]
        return True

    def _answer(self, packet: bytes, ready: list[bytes]) -> int:
        """Answer one message; returns the octets that this added to ``ready``."""
        try:
            answer = self._listener.answers.answer
            reply = answer(packet, self.peer, stream=True, source=self._source)
        except Exception as error:
            self._internal(error)
            return 0
        if isinstance(reply, bytes):
            ready.append(len(reply).to_bytes(2, "big") + reply)
            return len(reply) + 2
        if reply is not None:
            self._outstanding += 1
            task = self._loop.create_task(self._later(reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return 0

    async def _later(self, awaited: Awaitable[Reply]) -> None:
        reply: Reply = None
        try:
            reply = await awaited
        except Exception as error:
            self._internal(error)
        finally:
            self._outstanding -= 1
        self._used()
        transport = self._transport
        if transport is not None and reply is not None and not transport.is_closing():
            transport.write(len(reply).to_bytes(2, "big") + reply)
            if transport.get_write_buffer_size() > WRITE_MOST:
                self._counters["tcp/cut"] += 1
                self.cut()
                return
        self._take()

    def _used(self) -> None:
        self.since = self._loop.time()
        self._admission.used(self)

    def _steer(self) -> None:
        """Read on, stop reading, or close, as the state asks for."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._ended and self._outstanding == 0 and self._clogged is None and not self._whole():
            transport.close()
            return
        full = self._outstanding >= self._admission.limits.pipeline
        want = not (full or self._clogged is not None or len(self._buffer) > 2 * LARGEST_QUERY)
        if want != self._reading and not self._ended:
            self._reading = want
            if want:
                # While it was not read it could not end its message.
                self._begun = self._loop.time() if self._buffer else None
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _whole(self) -> bool:
        buffer = self._buffer
        return len(buffer) >= 2 and len(buffer) - 2 >= buffer[0] << 8 | buffer[1]

    def _watch(self) -> None:
        """Close a connection that was idle, left replies unread, or dribbled, for too long."""
        transport = self._transport
        if transport is None:
            return
        now = self._loop.time()
        idle = self._admission.limits.idle
        if not self._served:
            idle = min(idle, STRANGER)
        if self._clogged is not None:
            left = self._clogged + idle - now
        elif self._begun is not None and self._reading:
            # However many octets it sends, and whatever it is owed: a message must end.
            left = self._begun + idle - now
        else:
            left = idle if self._outstanding else self.since + idle - now
        if left <= 0:
            self._counters["tcp/cut"] += self.busy or self._begun is not None
            transport.abort() if self.busy else transport.close()
            left = idle
        self._timer = self._loop.call_later(max(left, 0.05), self._watch)

    def _internal(self, error: BaseException) -> None:
        self._counters["internal_errors"] += 1
        if self._listener.on_internal is not None:
            self._listener.on_internal(error)
