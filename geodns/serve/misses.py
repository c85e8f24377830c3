"""The way of a miss that needs no thought: the native fast path asks an upstream by itself.

It is an optimisation between the drain and the pipeline. Which server is asked, and whether it
may be asked this way, is the forwarder's to say; whatever is out of the ordinary comes back as the
packet that it was, and the pipeline answers it as if it had just arrived.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

from geodns.fastpath.index import index_names
from geodns.fastpath.tables import Names
from geodns.model.name import ROOT
from geodns.model.namelist import NameList
from geodns.serve import local
from geodns.serve.udp import UdpListener
from geodns.upstream.forward import Forwarder
from geodns.upstream.server import Server

_SWEEPS = 16
"""Looks at what is overdue within the time that a server gets."""

_SILENCES = 3
"""Silences told of a server at once; more say nothing new."""


class Answers(Protocol):
    """What is needed of the pipeline."""

    fast: Any

    @property
    def forwarder(self) -> Forwarder:
        """Who asks upstreams."""

    def learn(self, key: bytes, message: bytes) -> None:
        """Take a response for those whose packets are handed up next."""

    def forget_learnt(self) -> None:
        """Learn that they have been."""


class Misses:
    """Drives the fast path's flights: their sockets, their end, what they say of the server."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answers: Answers,
        listeners: Sequence[UdpListener],
        settings: dict[str, Any],
        apart: Sequence[bytes],
    ) -> None:
        """settings: the JSON form of config.Settings. apart: folded names that are not to be asked
        this way, nor what is below them. Raises OSError."""
        self._loop = loop
        self._answers = answers
        self._fast = answers.fast
        self._forwarder = answers.forwarder
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._server: Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._most: int = settings["limits"]["misses"]
        cache = settings["cache"]
        self._epoll: int = self._fast.engage(
            self._open, self._wake, _index(apart), self._most, cache["min_ttl"], cache["max_ttl"]
        )
        loop.add_reader(self._epoll, self._collect)
        self._forwarder.elsewhere = lambda: int(self._fast.under_way()[0])

    @property
    def outstanding(self) -> int:
        """Packets whose reply waits for an upstream."""
        waiting: int = self._fast.under_way()[1]
        return waiting

    def close(self) -> None:
        """Take no more questions; those under way are forgotten."""
        self._loop.remove_reader(self._epoll)
        self._fast.aim(False, True, 1.0, 0)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def report(self) -> None:
        """Tell the forwarder's counters, and the server, what has happened since the last time."""
        told, answers, seconds, silences, refused = self._fast.miss_counts()
        counters = self._forwarder.counters
        for name, count in told.items():
            counters[name] += count
        server = self._server
        if server is None:
            return
        now = self._loop.time()
        if answers:
            server.took(seconds / answers, answers)
        for _ in range(min(silences, _SILENCES)):
            server.timed_out(now)
        if refused:
            server.unreachable(now)

    def _open(self) -> int:
        """A socket to the server, from a port that the kernel picks at random."""
        if self._server is None:
            return -1
        address = self._server.address
        try:
            with socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as opened:
                opened.connect(address.sockaddr)
                return opened.detach()
        except OSError:
            return -1

    def _wake(self) -> None:
        """Called by the fast path, within a drain, before a question while nobody watches, and
        when the network refused one."""
        self._aim()
        if self._sweeper is None:
            self._sweep_later()
        self._loop.call_soon(self._collect)

    def _aim(self) -> None:
        self.report()
        forwarder = self._forwarder
        server = forwarder.plain(self._loop.time())
        fresh = server is not self._server
        self._server = server
        wait = forwarder.timeout if server is None else min(server.wait, forwarder.timeout)
        most = max(0, self._most - forwarder.in_flight)
        self._fast.aim(server is not None, fresh, wait, most)
        self._every = wait / _SWEEPS

    def _sweep_later(self) -> None:
        self._sweeper = self._loop.call_later(self._every, self._sweep)

    def _sweep(self) -> None:
        # After a stall of this process replies are there that have not been read yet.
        while self._collect():
            pass
        self._hand_up(self._fast.overdue(monotonic()))
        self._aim()
        flights, _ = self._fast.under_way()
        if flights:
            self._sweep_later()
        else:
            self._sweeper = None
            self._fast.rest()

    def _collect(self) -> bool:
        """Read replies of upstreams; whether there may be more."""
        left, heard, unsent, more = self._fast.collect(monotonic())
        for descriptor, reply, ancillary, address in unsent:
            self._listeners[descriptor].give(reply, ancillary, address)
        for key, message in heard:
            self._answers.learn(key, message)
        self._hand_up(left)
        if heard:
            self._answers.forget_learnt()
        return bool(more)

    def _hand_up(self, left: list[tuple[int, bytes, bytes, Any, Any]]) -> None:
        for descriptor, packet, peer, address, ancillary in left:
            self._listeners[descriptor].take(packet, peer, ancillary, address)


def make_misses(
    loop: asyncio.AbstractEventLoop,
    answers: Answers,
    listeners: Sequence[UdpListener],
    settings: dict[str, Any],
) -> Misses | None:
    """Let the fast path ask upstreams; None where it cannot, and the pipeline alone does."""
    apart = (*local.ZONES, *answers.forwarder.apart)
    if not hasattr(answers.fast, "engage") or ROOT in apart:
        return None
    return Misses(loop, answers, listeners, settings, apart)


def _index(names: Sequence[bytes]) -> Names:
    packed = NameList.of(names)
    index = index_names([(packed.blob, packed.starts, 0)], lambda rule, item: 0, 16)
    _, filter_, buckets, name_at, rule, blob = index
    return Names(filter_, buckets, name_at, rule, blob)
