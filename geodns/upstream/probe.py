"""A question asked only to find out how a server is: nobody waits for its answer."""

from __future__ import annotations

import asyncio

from geodns.upstream.channel import Channel
from geodns.upstream.server import Server

_QR = 0x80
_GOOD = frozenset((0, 3))


class Probe:
    """One question to one server; it adds itself to ``flying`` for as long as it waits.

    question: name, type and class that another server has just answered well. deadline: loop
    time at which the server counts as silent.
    """

    def __init__(
        self, flying: set[Probe], question: bytes, loop: asyncio.AbstractEventLoop, deadline: float
    ) -> None:
        self.deadline = deadline
        self._flying = flying
        self._question = question
        self._loop = loop
        self._begun = loop.time()
        self._asked: tuple[Channel, int] | None = None

    def ask(self, server: Server, body: bytes) -> bool:
        """Send the query (``body``: all behind the ID); return whether it has left."""
        try:
            self._asked = server.ask(body, self, self._loop)
        except OSError:
            server.unreachable(self._loop.time())
            return False
        self._flying.add(self)
        return True

    def heard(self, channel: Channel, ident: int, packet: bytes) -> bool:
        """Take a message; return whether it was the reply."""
        size = len(self._question)
        if len(packet) < 12 + size or not packet[2] & _QR:
            return False
        echoed = packet[12 : 12 + size]
        if echoed.lower() != self._question.lower():
            return False
        self._flying.discard(self)
        now = self._loop.time()
        if packet[3] & 0xF in _GOOD:
            channel.server.took(now - self._begun)
        else:
            channel.server.worse(now)
        return True

    def failed(self, channel: Channel, *, again: bool) -> None:
        """Learn that no reply will come."""
        if self in self._flying:
            self._flying.discard(self)
            if not again:
                channel.server.unreachable(self._loop.time())

    def timed_out(self, now: float) -> None:
        """Learn that the server was silent until ``now``."""
        self._flying.discard(self)
        if self._asked is not None:
            channel, ident = self._asked
            channel.server.timed_out(now, self._begun if channel.stream else None)
            channel.forget(ident)
