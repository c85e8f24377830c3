"""Asking upstream: one flight for each question, whoever asks, until a server has answered.

A flight is driven by sockets and a sweep, not by a task and a timer of its own: a miss is the
usual case on a cold cache, and those would cost more than all the rest of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from geodns.model.response import Response
from geodns.upstream.flight import Flight, UpstreamFailure
from geodns.upstream.transport import Server, Streams, parse_server, random_numbers

__all__ = ["Forwarder", "TooManyMisses", "UpstreamFailure"]

_CALLERS = 10  # callers that may wait for each flight there may be, on average
_SWEEPS = 16  # sweeps within a timeout

_NETWORK_ERROR = 23  # RFC 8914 section 4.24

_COUNTED = "sent timeouts mismatched tcp failovers errors malformed shared"
_FLAGS = {(do, cd): bytes((do << 1 | cd,)) for do in (False, True) for cd in (False, True)}


class TooManyMisses(Exception):
    """As many questions are under way, or as many callers wait, as may be."""


class Forwarder:
    """Asks the servers in order, and each question once at a time.

    servers: ``ADDRESS:PORT``, in the order to ask. timeout: seconds a server gets before the
    next is asked (its reply is still taken until the flight ends). attempts: how often
    the row of servers is gone through. misses: questions that may be under way at once. All
    may be set anew at any time; flights under way end with the servers they began with.

    counters: sent, timeouts, mismatched (datagrams that answer nothing asked), tcp,
    failovers (another server had to be asked), errors (the network's), malformed (replies),
    shared (callers that found their question under way).

    To be used within one running event loop. Raises ValueError for a bad server.
    """

    def __init__(self, servers: Sequence[str], timeout: float, attempts: int, misses: int) -> None:
        self.timeout = timeout
        self.attempts = attempts
        self.misses = misses
        self.counters = dict.fromkeys(_COUNTED.split(), 0)
        self._numbers = random_numbers()
        self._servers: tuple[Server, ...] = ()
        self._flights: dict[bytes, Flight] = {}
        self._waiting = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._streams: Streams | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.servers = servers

    @property
    def servers(self) -> Sequence[str]:
        """The servers in order. Those that stay when it is set keep what is known of them."""
        return tuple(server.address.text for server in self._servers)

    @servers.setter
    def servers(self, servers: Sequence[str]) -> None:
        addresses = dict.fromkeys(parse_server(text) for text in servers)
        before = {server.address: server for server in self._servers}
        self._servers = tuple(
            before.pop(address)
            if address in before
            else Server(address, self._numbers, self._mismatched)
            for address in addresses
        )
        for server in before.values():
            server.retire()

    @property
    def in_flight(self) -> int:
        """How many questions are under way."""
        return len(self._flights)

    async def resolve(
        self, question: bytes, *, dnssec_ok: bool, checking_disabled: bool
    ) -> Response:
        """Ask upstream, or wait for the answer if the same is being asked.

        question: name as it is to be asked, type and class, in wire format. Cancelling one
        caller leaves the others waiting. The response has its question in the letters that the
        first caller used. Raises UpstreamFailure or TooManyMisses.
        """
        if self._waiting >= _CALLERS * self.misses:
            raise TooManyMisses
        key = question[:-4].lower() + question[-4:] + _FLAGS[dnssec_ok, checking_disabled]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        flight = self._flights.get(key)
        if flight is not None:
            self.counters["shared"] += 1
            self._waiting += 1
            flight.waiters.append(future)
            return await future
        if len(self._flights) >= self.misses:
            raise TooManyMisses
        flight = Flight(self, loop, key, question, dnssec_ok, checking_disabled)
        self._flights[key] = flight
        self._waiting += 1
        flight.waiters.append(future)
        if self._sweeper is None:
            self._sweep_later(loop)
        flight.ask_next()
        return await future

    def close(self) -> None:
        """Close all sockets; whoever still waits gets UpstreamFailure, as does who asks later."""
        servers, self._servers = self._servers, ()
        for flight in list(self._flights.values()):
            flight.finish(UpstreamFailure(_NETWORK_ERROR, "the resolver is stopping"))
        for task in self._tasks:
            task.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for server in servers:
            server.close()

    def plan(self, now: float) -> tuple[Server, ...]:
        """The servers to ask, in order, each as often as it may be asked; the unwell last."""
        servers = self._servers
        for server in servers:
            if server.shunned_until:
                well = [server for server in servers if server.is_well(now)]
                servers = (*well, *(server for server in servers if server not in well))
                break
        return servers * self.attempts

    def landed(self, flight: Flight) -> None:
        """Forget a flight that has ended."""
        del self._flights[flight.key]
        self._waiting -= len(flight.waiters)

    def over_stream(self, flight: Flight, server: Server, body: bytes) -> None:
        """Ask a server over TCP on behalf of a flight."""
        self.counters["tcp"] += 1
        task = flight.loop.create_task(self._stream(flight, server, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stream(self, flight: Flight, server: Server, body: bytes) -> None:
        if self._streams is None:
            self._streams = Streams()
        query = next(self._numbers).to_bytes(2, "big") + body
        try:
            packet = await self._streams.ask(server.address, query, self.timeout)
        except OSError as error:
            silent = isinstance(error, TimeoutError)
            self.counters["timeouts" if silent else "errors"] += 1
            flight.stream_failed(server, silent=silent)
        else:
            flight.stream_heard(server, packet)

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        after = self.timeout / _SWEEPS
        self._sweeper = loop.call_later(after, self._sweep, loop, loop.time() + 2 * after)

    def _sweep(self, loop: asyncio.AbstractEventLoop, late: float) -> None:
        now = loop.time()
        # After a stall of this process the replies are there, but have not been read yet.
        if now < late:
            for flight in list(self._flights.values()):
                if flight.deadline <= now:
                    flight.timed_out(now)
        self._sweeper = None
        if self._flights:
            self._sweep_later(loop)

    def _mismatched(self) -> None:
        self.counters["mismatched"] += 1
