"""One question on its way upstream, from server to server until one has answered."""

from __future__ import annotations

import asyncio
from math import inf
from struct import pack
from typing import Protocol

from geodns.model.message import (
    AD,
    BADVERS,
    CD,
    FORMERR,
    NOTIMP,
    RD,
    REFUSED,
    SERVFAIL,
    opt_record,
)
from geodns.model.response import Response, read_response
from geodns.upstream.transport import Lane, Server

_OUR_SIZE = 1232  # octets, the UDP payload that fits everywhere (DNS flag day 2020)
_OPT = {do: opt_record(_OUR_SIZE, dnssec_ok=do) for do in (False, True)}
# The header behind the ID. AD asks whether the answer was validated (RFC 6840 section 5.7).
_HEAD = {cd: pack("!5H", RD | AD | CD * cd, 1, 0, 0, 1) for cd in (False, True)}
_BARE_HEAD = {cd: pack("!5H", RD | AD | CD * cd, 1, 0, 0, 0) for cd in (False, True)}

_QR_AND_OPCODE, _TC = 0xF8, 0x02  # in the third octet of a message
_FIRST_EXTENDED = 16

_NO_REACHABLE_AUTHORITY = 22  # RFC 8914 section 4.23
_NETWORK_ERROR = 23  # RFC 8914 section 4.24

# RFC 6891 section 7: what servers that know no EDNS say to it.
_WITHOUT_OPT = frozenset((FORMERR, NOTIMP, BADVERS))
_NEXT_MAY_DO = frozenset((FORMERR, SERVFAIL, NOTIMP, REFUSED))


class UpstreamFailure(Exception):
    """No server has answered. ede_code and text: what to tell the client (RFC 8914)."""

    def __init__(self, ede_code: int, text: str) -> None:
        super().__init__(ede_code, text)
        self.ede_code = ede_code
        self.text = text


class Tower(Protocol):
    """What a flight needs of the forwarder."""

    timeout: float
    counters: dict[str, int]

    def plan(self, now: float) -> tuple[Server, ...]:
        """The servers to ask, in order, each as often as it may be asked."""
        ...

    def landed(self, flight: Flight) -> None:
        """Forget a flight that has ended."""
        ...

    def over_stream(self, flight: Flight, server: Server, body: bytes) -> None:
        """Ask a server over TCP, then call ``stream_heard`` or ``stream_failed``."""
        ...


class Flight:
    """The state of one question, driven by datagrams, errors and the forwarder's sweep.

    key: by which callers share it. deadline: loop time at which the server asked last counts as
    silent. waiters: a future for each caller. A reply to an earlier attempt is as welcome
    as one to the last; what answers nothing is left to the attacker's disappointment.
    """

    __slots__ = (
        "_asked",
        "_bare",
        "_best",
        "_body",
        "_checking_disabled",
        "_current",
        "_done",
        "_plan",
        "_question",
        "_silent",
        "_step",
        "_streaming",
        "_tower",
        "deadline",
        "ended",
        "key",
        "loop",
        "waiters",
    )

    def __init__(
        self,
        tower: Tower,
        loop: asyncio.AbstractEventLoop,
        key: bytes,
        question: bytes,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> None:
        self.key = key
        self.loop = loop
        self.waiters: list[asyncio.Future[Response]] = []
        self.deadline = inf
        self.ended = False
        self._tower = tower
        self._question = question
        self._checking_disabled = checking_disabled
        self._body = _HEAD[checking_disabled] + question + _OPT[dnssec_ok]
        self._plan = tower.plan(loop.time())
        self._step = 0
        self._current: Server | None = None
        self._asked: list[tuple[Lane, int]] = []
        self._done: tuple[Server, ...] = ()
        self._bare: tuple[Server, ...] = ()
        self._best: Response | None = None
        self._silent = False
        self._streaming = False

    def ask_next(self) -> None:
        """Ask the next server that has not answered badly yet; without one, end."""
        while self._step < len(self._plan):
            server = self._plan[self._step]
            self._step += 1
            if server in self._done:
                continue
            if self._current is not None and server is not self._current:
                self._tower.counters["failovers"] += 1
            if self._send(server, self._body):
                return
        if self._best is not None:
            self.finish(self._best)
        elif self._silent:
            self.finish(UpstreamFailure(_NO_REACHABLE_AUTHORITY, "no upstream answered in time"))
        else:
            self.finish(UpstreamFailure(_NETWORK_ERROR, "no upstream could be reached"))

    def _send(self, server: Server, body: bytes) -> bool:
        self._current = server
        try:
            self._asked.append(server.ask(body, self, self.loop))
        except OSError:
            self._tower.counters["errors"] += 1
            server.unreachable(self.loop.time())
            return False
        self._tower.counters["sent"] += 1
        self.deadline = self.loop.time() + self._tower.timeout
        return True

    def heard(self, server: Server, packet: bytes) -> bool:
        """Take a datagram that has the query's ID; return whether it was the reply."""
        if self.ended:
            return False
        if not self._matches(packet):
            # A server that cannot read the query may have no question to send back.
            if len(packet) != 12 or packet[2] & _QR_AND_OPCODE != 0x80:
                return False
            if packet[3] & 0xF not in _WITHOUT_OPT:
                return False
            self._without_opt(server, None)
        elif packet[2] & _TC:
            server.answered()
            self._over_stream(server)
        else:
            self._judge(server, packet)
        return True

    def _matches(self, packet: bytes) -> bool:
        """Whether it is a response to this question, the letters' case apart."""
        if packet[2] & _QR_AND_OPCODE != 0x80 or packet[4:6] != b"\x00\x01":
            return False
        question = self._question
        if packet.startswith(question, 12):
            return True
        echoed = packet[12 : 12 + len(question)]
        return echoed[-4:] == question[-4:] and echoed[:-4].lower() == question[:-4].lower()

    def _judge(self, server: Server, packet: bytes) -> None:
        server.answered()
        try:
            response = read_response(packet)
        except ValueError:
            self._tower.counters["malformed"] += 1
            self._poor(server, None)
            return
        rcode = response.rcode
        if rcode in _WITHOUT_OPT:
            self._without_opt(server, response)
        elif rcode in _NEXT_MAY_DO or rcode >= _FIRST_EXTENDED:
            self._poor(server, response)
        else:
            self.finish(response)

    def _without_opt(self, server: Server, response: Response | None) -> None:
        if server in self._bare:
            self._poor(server, response)
            return
        self._bare += (server,)
        if not self._streaming and not self._send(
            server, _BARE_HEAD[self._checking_disabled] + self._question
        ):
            self._poor(server, response)

    def _poor(self, server: Server, response: Response | None) -> None:
        """Go on to the next server, but keep the response in case that none is better."""
        if response is not None:
            self._best = response
        self._done += (server,)
        if server is self._current and not self._streaming:
            self.ask_next()

    def _over_stream(self, server: Server) -> None:
        if not self._streaming:
            self._streaming = True
            self._current = server
            self.deadline = inf
            self._tower.over_stream(self, server, self._body)

    def stream_heard(self, server: Server, packet: bytes) -> None:
        """Take a message that came over TCP and has the query's ID."""
        if self.ended:
            return
        self._streaming = False
        if len(packet) >= 12 and self._matches(packet) and not packet[2] & _TC:
            self._judge(server, packet)
        else:
            self._tower.counters["malformed"] += 1
            self._poor(server, None)

    def stream_failed(self, server: Server, *, silent: bool) -> None:
        """Learn that TCP to the server failed."""
        if not self.ended:
            self._streaming = False
            self._silent = self._silent or silent
            self._poor(server, None)

    def failed(self, server: Server) -> None:
        """Learn from the network that a datagram cannot reach the server."""
        if self.ended:
            return
        self._tower.counters["errors"] += 1
        server.unreachable(self.loop.time())
        if server is self._current and not self._streaming:
            self.ask_next()

    def timed_out(self, now: float) -> None:
        """Learn that the server asked last was silent until ``now``."""
        self._tower.counters["timeouts"] += 1
        self._silent = True
        if self._current is not None:
            self._current.timed_out(now)
        self.ask_next()

    def finish(self, outcome: Response | UpstreamFailure) -> None:
        """Tell all callers, and listen no more."""
        if self.ended:
            return
        self.ended = True
        self.deadline = inf
        self._tower.landed(self)
        for lane, ident in self._asked:
            lane.forget(ident)
        for waiter in self.waiters:
            if waiter.done():
                continue
            if isinstance(outcome, UpstreamFailure):
                waiter.set_exception(UpstreamFailure(outcome.ede_code, outcome.text))
            else:
                waiter.set_result(outcome)
