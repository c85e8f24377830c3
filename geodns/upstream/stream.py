"""TCP and TLS to an upstream server (RFC 7766, RFC 7858).

Connections are kept for the next question, and questions do not wait for each other on them.
A server may close a connection at any time; questions that were under way on one that had
served before are asked again on another.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, cast

from geodns.upstream.channel import Asker
from geodns.upstream.trust import Trust

if TYPE_CHECKING:
    from geodns.upstream.server import Server

_CONNECTIONS = 4  # to a server at once
_SERIAL = 32  # to one that answers one question a connection
_STRIKES = 2  # connections that ended so, after which it is taken to do that
_PIPELINE = 100  # questions on a connection before another is opened
_CONNECT = 5.0  # seconds until it must be open
_IDLE = 15.0  # seconds without a question after which it is closed

_LENGTH = Struct("!H")


class Connection(asyncio.Protocol):
    """A connection to a server, for many questions at once.

    pending: who waits, by message ID. heard_at: loop time of the last message, or of the start.
    """

    stream = True
    room = _PIPELINE

    def __init__(
        self,
        streams: Streams,
        server: Server,
        context: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.server = server
        self.pending: dict[int, Asker] = {}
        self.answers = 0
        self.heard_at = loop.time()
        self.retired = False
        self._streams = streams
        self._loop = loop
        self._buffer = bytearray()
        self._unsent: list[tuple[int, bytes]] = []
        self._transport: asyncio.Transport | None = None
        self._over = False
        self._idle: asyncio.TimerHandle | None = None
        self._opening = loop.create_task(self._open(context))

    async def _open(self, context: ssl.SSLContext | None) -> None:
        address = self.server.address
        host, port = address.sockaddr[:2]
        hostname = address.hostname if context is not None else None
        try:
            async with asyncio.timeout(_CONNECT):
                await self._loop.create_connection(
                    lambda: self, host, port, ssl=context, server_hostname=hostname
                )
        except OSError as error:
            self.fail(str(error) or type(error).__name__)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what has been waiting for the connection."""
        # uvloop's transports are no children of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        if self._over:
            self._transport.abort()
            return
        if not self._greet():
            return
        unsent, self._unsent = self._unsent, []
        for ident, body in unsent:
            if ident in self.pending:
                self._write(ident, body)
        self._idle = self._loop.call_later(_IDLE, self._look_if_idle)

    @property
    def is_open(self) -> bool:
        """Whether it has been established."""
        return self._transport is not None

    def send(self, ident: int, body: bytes, asker: Asker) -> None:
        """Send a query (``body``: all of it behind the ID), as soon as the connection is open."""
        self.pending[ident] = asker
        if self._transport is None:
            self._unsent.append((ident, body))
        else:
            self._write(ident, body)

    def forget(self, ident: int) -> None:
        """Wait no longer for a reply with this number."""
        self.pending.pop(ident, None)
        if self.retired and not self.pending:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Cut the stream into messages."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 2:
            end = at + 2 + _LENGTH.unpack_from(buffer, at)[0]
            if len(buffer) < end:
                break
            message = bytes(buffer[at + 2 : end])
            at = end
            self._take(message[0] << 8 | message[1] if len(message) >= 2 else -1, message)
        del buffer[:at]

    def eof_received(self) -> bool:
        """The server has ended the connection."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, by whoever's will."""
        self.fail(str(error) if error else "it closed the connection")

    def _greet(self) -> bool:
        """Say what comes before the first question; return whether one may follow."""
        return True

    def _write(self, ident: int, body: bytes) -> None:
        assert self._transport is not None
        self._transport.write(_LENGTH.pack(2 + len(body)) + _LENGTH.pack(ident) + body)

    def _take(self, ident: int, message: bytes) -> None:
        self.heard_at = self._loop.time()
        asker = self.pending.get(ident)
        if asker is None or not asker.heard(self, ident, message):
            self.server.mismatched()
            return
        self.answers += 1
        self.forget(ident)
        self._streams.answered(self)

    def fail(self, why: str, *, again: bool = False) -> None:
        """Close and tell all who wait."""
        if self._over:
            return
        askers = list(self.pending.values())
        # One that has been reset loses what was sent on it, the answer to the first question too.
        alone = self._transport is not None and self.answers < 2 and len(askers) + self.answers > 1
        again = again or alone or self.answers > 0
        self.pending.clear()
        self.close()
        if alone and askers:
            self._streams.strike()
        if not again:
            self.server.refused(why, self._loop.time())
        for asker in askers:
            self._loop.call_soon(_tell, asker, self, again)

    def close(self) -> None:
        """Close now; nobody is told."""
        if self._over:
            return
        self._over = True
        self._opening.cancel()
        if self._idle is not None:
            self._idle.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._streams.closed(self)

    def retire(self) -> None:
        """Send no more; close as soon as nothing is waited for."""
        self.retired = True
        if not self.pending:
            self.close()

    def _look_if_idle(self) -> None:
        left = self.heard_at + _IDLE - self._loop.time()
        if self.pending or left > 0:
            self._idle = self._loop.call_later(max(left, 1.0), self._look_if_idle)
        else:
            self.close()


def _tell(asker: Asker, connection: Connection, again: bool) -> None:
    asker.failed(connection, again=again)


class Streams:
    """The connections to one server."""

    def __init__(self, server: Server, numbers: Iterator[int], trust: Trust) -> None:
        self._server = server
        self._numbers = numbers
        self._trust = trust
        self._connections: list[Connection] = []
        self._strikes = 0
        self._retired = False

    def __len__(self) -> int:
        return len(self._connections)

    def ask(
        self, body: bytes, asker: Asker, loop: asyncio.AbstractEventLoop
    ) -> tuple[Connection, int]:
        """Send a query; return what ``forget`` needs. Raises OSError if there is no way."""
        connection = self._pick(loop)
        ident = next(self._numbers)
        while ident in connection.pending:
            ident = next(self._numbers)
        connection.send(ident, body, asker)
        return connection, ident

    def _pick(self, loop: asyncio.AbstractEventLoop) -> Connection:
        serial = self._strikes >= _STRIKES
        usable = [one for one in self._connections if not one.retired or self._retired]
        best = min(usable, key=_load, default=None)
        if best is not None:
            if len(best.pending) < (1 if serial else best.room):
                return best
            if len(self._connections) >= (_SERIAL if serial else _CONNECTIONS):
                if serial:
                    raise ConnectionError("too many connections")
                return best
        opened = self._connect(loop)
        self._connections.append(opened)
        opened.retired = self._retired
        return opened

    def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        scheme = self._server.address.scheme
        if scheme == "dns":
            return Connection(self, self._server, None, loop)
        if scheme == "tls":
            return Connection(self, self._server, self._trust.context("dot"), loop)
        from geodns.upstream.https import ALPN, HttpsConnection

        return HttpsConnection(self, self._server, self._trust.context(ALPN), loop)

    def strike(self) -> None:
        """Learn that a connection ended after one question, while others waited on it."""
        self._strikes += 1

    def answered(self, connection: Connection) -> None:
        """Learn that a connection has brought an answer: the second shows what it can do."""
        if connection.answers == 2:
            self._strikes = 0
        elif self._strikes >= _STRIKES:
            connection.retire()

    def closed(self, connection: Connection) -> None:
        """Learn that a connection is closed."""
        self._connections.remove(connection)

    def abandon(self, since: float) -> None:
        """Close open connections that owe something and have brought nothing after ``since``."""
        for connection in list(self._connections):
            if connection.pending and connection.is_open and connection.heard_at <= since:
                connection.fail("it is silent", again=True)

    def retire(self) -> None:
        """Send no more but what is under way; connections close as that ends."""
        self._retired = True
        for connection in list(self._connections):
            connection.retire()

    def close(self) -> None:
        """Close all connections now."""
        self._retired = True
        for connection in list(self._connections):
            connection.pending.clear()
            connection.close()


def _load(connection: Connection) -> int:
    return len(connection.pending)
