"""Asking upstream: one flight for each question, whoever asks, until a server has answered.

A flight is driven by sockets and a sweep, not by a task and a timer of its own: a miss is the
usual case on a cold cache, and those would cost more than all the rest of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

from geodns.model.name import ancestors
from geodns.model.resolver import parse_resolver
from geodns.model.response import Response
from geodns.upstream.channel import random_numbers
from geodns.upstream.failures import Failures, Silence
from geodns.upstream.flight import Flight, UpstreamFailure
from geodns.upstream.health import Health
from geodns.upstream.probe import Probe
from geodns.upstream.row import Row
from geodns.upstream.server import Server
from geodns.upstream.trust import Trust

__all__ = ["Forwarder", "TooManyMisses", "UpstreamFailure"]

_CALLERS = 10  # callers that may wait for each flight there may be, on average
_SWEEPS = 16  # sweeps within a timeout

_NETWORK_ERROR = 23  # RFC 8914 section 4.24
_CACHED_ERROR = b"\x00\x0d"  # section 4.14

_COUNTED = "sent timeouts mismatched tcp failovers errors malformed shared probes spared doubted"
_FLAGS = {(do, cd): bytes((do << 1 | cd,)) for do in (False, True) for cd in (False, True)}


class TooManyMisses(Exception):
    """As many questions are under way, or as many callers wait, as may be."""


class Forwarder:
    """Asks the servers, the quickest first, and each question once at a time.

    servers: as ``parse_resolver`` takes them. timeout: seconds a server gets at the most before
    the next is asked (its reply is still taken until the flight ends). attempts: how often
    the row of servers is gone through. misses: questions that may be under way at once. All
    may be set anew at any time; flights under way end with the servers they began with.
    zones: folded names and the servers that are asked about them and what is below them. ca: a
    PEM file of certificate authorities for encrypted servers, None for the system's. cookies:
    DNS cookies are sent to plain servers. random_case: the letters of a question are sent in
    random case, and a reply has to have them.

    counters: sent, timeouts, mismatched (messages that answer nothing asked), tcp,
    failovers (another server had to be asked), errors (the network's), malformed (replies),
    shared (callers that found their question under way), probes (questions asked of a server
    to find out how it is), spared (callers whose question had failed a moment ago),
    doubted (replies in other letters or without the server's cookie, asked again over TCP).

    all_here: ``plain`` says None, since the caller wants to see every response.

    elsewhere: how many questions are under way by other means; they count for ``misses``.

    To be used within one running event loop. Raises ValueError for a bad server.
    """

    def __init__(
        self,
        servers: Sequence[str],
        timeout: float,
        attempts: int,
        misses: int,
        *,
        zones: Mapping[bytes, Sequence[str]] | None = None,
        ca: str | None = None,
        cookies: bool = False,
        random_case: bool = False,
    ) -> None:
        self.timeout = timeout
        self.attempts = attempts
        self.misses = misses
        self.elsewhere: Callable[[], int] = lambda: 0
        self.all_here = False
        self.counters = dict.fromkeys(_COUNTED.split(), 0)
        self._numbers = random_numbers()
        self._trust = Trust(ca)
        self.random_case = random_case
        self._cookies = cookies
        self.wary = cookies or random_case
        self._servers: dict[str, Server] = {}
        self._row = Row(())
        self._zones: dict[bytes, Row] = {}
        self._flights: dict[bytes, Flight] = {}
        self._failures = Failures()
        self._probes: set[Probe] = set()
        self._waiting = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self.use(servers, zones or {})

    @property
    def servers(self) -> Sequence[str]:
        """The servers in order. Those that stay when it is set keep what is known of them."""
        return tuple(server.address.text for server in self._row.servers)

    @servers.setter
    def servers(self, servers: Sequence[str]) -> None:
        self.use(servers, {name: _texts(row) for name, row in self._zones.items()})

    @property
    def apart(self) -> Sequence[bytes]:
        """Folded names of the forward zones: about these others are asked than ``servers``."""
        return tuple(self._zones)

    @property
    def known(self) -> Mapping[str, Health]:
        """What is known of each server, those of forward zones included, by its text."""
        return self._servers

    @property
    def in_flight(self) -> int:
        """How many questions are under way."""
        return len(self._flights)

    def use(self, servers: Sequence[str], zones: Mapping[bytes, Sequence[str]]) -> None:
        """Ask other servers from now on."""
        before, self._servers = self._servers, {}
        self._row = self._make_row(servers, before)
        self._zones = {name: self._make_row(texts, before) for name, texts in zones.items()}
        self._failures = Failures()
        for text, server in before.items():
            if text not in self._servers:
                server.retire()

    def _make_row(self, texts: Iterable[str], before: Mapping[str, Server]) -> Row:
        servers = []
        for address in dict.fromkeys(map(parse_resolver, texts)):
            found = self._servers.get(address.text) or before.get(address.text)
            if found is None:
                found = Server(
                    address, self._numbers, self._mismatched, self._trust, cookies=self._cookies
                )
            self._servers[address.text] = found
            servers.append(found)
        return Row(servers)

    def plain(self, now: float) -> Server | None:
        """The server that may be asked right now over plain UDP, by whoever has means of his own.

        now: seconds of loop time. Not for names at or below ``apart``. None where the
        next question should come here: the first server is encrypted or away, or another one
        is to be tried. Whoever asks tells the server ``took`` and ``timed_out``.
        """
        row = self._row
        if self.all_here or self.wary or now >= row.probe_at:
            return None
        server = row.first(now)
        return server if server is not None and server.plain else None

    def row_of(self, folded: bytes) -> Row:
        """The servers that are asked about a folded name: the longest zone it is in wins."""
        zones = self._zones
        if zones:
            for name in ancestors(folded):
                if name in zones:
                    return zones[name]
        return self._row

    def is_apart(self, folded: bytes, zone: bytes) -> bool:
        """Whether a forward zone at or below ``zone`` holds a folded name that is in ``zone``."""
        return any(name in self._zones and len(name) >= len(zone) for name in ancestors(folded))

    def rests_until(
        self, question: bytes, *, dnssec_ok: bool, checking_disabled: bool, now: float
    ) -> float:
        """Loop time up to which a question, as in ``resolve``, is not asked since it has failed.

        0.0 if it would be. Whoever asks by means of his own should wait as well (RFC 9520).
        """
        if not self._failures.kept:
            return 0.0
        flags = _FLAGS[dnssec_ok, checking_disabled]
        return self._failures.until(question[:-4].lower() + question[-4:] + flags, now)

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
        folded = question[:-4].lower()
        key = folded + question[-4:] + _FLAGS[dnssec_ok, checking_disabled]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        flight = self._flights.get(key)
        if flight is not None:
            self.counters["shared"] += 1
            self._waiting += 1
            flight.waiters.append(future)
            return await future
        if len(self._flights) + self.elsewhere() >= self.misses:
            raise TooManyMisses
        row = self.row_of(folded)
        if (
            self._failures.kept
            and (failed := self._failed_lately(key, row, loop.time())) is not None
        ):
            return failed
        flight = Flight(self, loop, row, key, question, dnssec_ok, checking_disabled)
        self._flights[key] = flight
        self._waiting += 1
        flight.waiters.append(future)
        if self._sweeper is None:
            self._sweep_later(loop)
        flight.ask_next()
        return await future

    def close(self) -> None:
        """Close all sockets; whoever still waits gets UpstreamFailure, as does who asks later."""
        servers, self._servers = self._servers, {}
        self._row = Row(())
        self._zones = {}
        for flight in list(self._flights.values()):
            flight.finish(UpstreamFailure(_NETWORK_ERROR, "the resolver is stopping"))
        self._probes.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for server in servers.values():
            server.close()

    def landed(self, flight: Flight, outcome: Response | UpstreamFailure) -> None:
        """Forget a flight that has ended; a question with an answer tries other servers too."""
        del self._flights[flight.key]
        self._waiting -= len(flight.waiters)
        if not flight.good:
            self._keep_failure(flight, outcome)
            return
        if self._failures.kept:
            self._failures.forget(flight.key)
        if flight.row.probe_at < inf:
            now = flight.loop.time()
            if now >= flight.row.probe_at:
                for server in flight.row.probes(now):
                    self._probe(server, flight, now)

    def _keep_failure(self, flight: Flight, outcome: Response | UpstreamFailure) -> None:
        row = flight.row
        if isinstance(outcome, Response):
            kept: Response | Silence = outcome._replace(ede=(*outcome.ede, _CACHED_ERROR))
        else:
            kept = Silence(outcome.ede_code, outcome.text)
        self._failures.keep(flight.key, kept, flight.loop.time(), row.returns)

    def _failed_lately(self, key: bytes, row: Row, now: float) -> Response | None:
        """The bad response that a question got a moment ago. Raises UpstreamFailure for silence."""
        found = self._failures.find(key, now, row.returns)
        if found is None:
            return None
        self.counters["spared"] += 1
        if isinstance(found, Silence):
            raise UpstreamFailure(found.ede_code, found.text, cached=True)
        return found

    def _probe(self, server: Server, flight: Flight, now: float) -> None:
        probe = Probe(self._probes, flight.question, flight.loop, now + self.timeout)
        if probe.ask(server, flight.body_for(server)):
            self.counters["probes"] += 1

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        after = self.timeout / _SWEEPS
        self._sweeper = loop.call_later(after, self._sweep, loop, loop.time() + 2 * after)

    def _sweep(self, loop: asyncio.AbstractEventLoop, late: float) -> None:
        now = loop.time()
        # After a stall of this process the replies are there, but have not been read yet.
        if now < late:
            all_waiting: list[Flight | Probe] = [*self._flights.values(), *self._probes]
            for waiting in all_waiting:
                if waiting.deadline <= now:
                    waiting.timed_out(now)
        self._sweeper = None
        if self._flights or self._probes:
            self._sweep_later(loop)

    def _mismatched(self) -> None:
        self.counters["mismatched"] += 1


def _texts(row: Row) -> tuple[str, ...]:
    return tuple(server.address.text for server in row.servers)
