"""One question on its way upstream, from server to server until one has answered."""

from __future__ import annotations

import asyncio
from math import inf
from struct import pack
from typing import Literal, Protocol

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
    option,
)
from geodns.model.response import Response, read_response
from geodns.upstream.channel import Channel
from geodns.upstream.cookie import BADCOOKIE, cookie_in
from geodns.upstream.letters import scrambled
from geodns.upstream.row import Row
from geodns.upstream.server import Server

_OUR_SIZE = 1232  # octets, the UDP payload that fits everywhere (DNS flag day 2020)
_OPT = {do: opt_record(_OUR_SIZE, dnssec_ok=do) for do in (False, True)}
# The header behind the ID. AD asks whether the answer was validated (RFC 6840 section 5.7).
_HEAD = {cd: pack("!5H", RD | AD | CD * cd, 1, 0, 0, 1) for cd in (False, True)}
_BARE_HEAD = {cd: pack("!5H", RD | AD | CD * cd, 1, 0, 0, 0) for cd in (False, True)}

_QR_AND_OPCODE, _TC = 0xF8, 0x02  # in the third octet of a message
_FIRST_EXTENDED = 16
_PADDING, _PADDING_BLOCK = 12, 128
_REASKED = 3  # times that a question is asked again since a connection ended

_NO_REACHABLE_AUTHORITY = 22  # RFC 8914 section 4.23
_NETWORK_ERROR = 23  # RFC 8914 section 4.24

# RFC 6891 section 7: what servers that know no EDNS say to it.
_WITHOUT_OPT = frozenset((FORMERR, NOTIMP, BADVERS))
_NEXT_MAY_DO = frozenset((FORMERR, SERVFAIL, NOTIMP, REFUSED))


class UpstreamFailure(Exception):
    """No server has answered. ede_code and text: what to tell the client (RFC 8914).

    cached: none was asked, since none had answered a moment ago.
    """

    def __init__(self, ede_code: int, text: str, *, cached: bool = False) -> None:
        super().__init__(ede_code, text)
        self.ede_code = ede_code
        self.text = text
        self.cached = cached


class Tower(Protocol):
    """What a flight needs of the forwarder."""

    timeout: float
    attempts: int
    random_case: bool
    wary: bool
    counters: dict[str, int]

    def landed(self, flight: Flight, outcome: Response | UpstreamFailure) -> None:
        """Forget a flight that has ended."""
        ...


class Flight:
    """The state of one question, driven by messages, errors and the forwarder's sweep.

    key: by which callers share it. row: the servers that may be asked. deadline: loop time at
    which the server asked last counts as silent. waiters: a future for each caller. good: whether
    it ended with an answer. A reply to an earlier attempt is as welcome as one to the last;
    what answers nothing is left to the attacker's disappointment.
    """

    __slots__ = (
        "_asked",
        "_bare",
        "_begun",
        "_best",
        "_body",
        "_checking_disabled",
        "_dnssec_ok",
        "_done",
        "_letters",
        "_plan",
        "_reasked",
        "_silent",
        "_step",
        "_streamed",
        "_sweetened",
        "_tower",
        "deadline",
        "ended",
        "good",
        "key",
        "loop",
        "question",
        "row",
        "waiters",
    )

    def __init__(
        self,
        tower: Tower,
        loop: asyncio.AbstractEventLoop,
        row: Row,
        key: bytes,
        question: bytes,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> None:
        self.key = key
        self.loop = loop
        self.row = row
        self._letters = question
        if tower.random_case:
            question = scrambled(question[:-4]) + question[-4:]
        self.question = question
        self.waiters: list[asyncio.Future[Response]] = []
        self.deadline = inf
        self.ended = False
        self.good = False
        self._tower = tower
        self._dnssec_ok = dnssec_ok
        self._checking_disabled = checking_disabled
        self._body = _HEAD[checking_disabled] + question + _OPT[dnssec_ok]
        self._begun = loop.time()
        self._plan = row.order(self._begun) * tower.attempts
        self._step = 0
        self._asked: list[tuple[Channel, int, float]] = []
        self._done: tuple[Server, ...] = ()
        self._bare: tuple[Server, ...] = ()
        self._streamed: tuple[Server, ...] = ()
        self._sweetened: tuple[Server, ...] = ()
        self._reasked = 0
        self._best: Response | None = None
        self._silent = False

    def ask_next(self) -> None:
        """Ask the next server that has not answered badly yet; without one, end."""
        while self._step < len(self._plan):
            server = self._plan[self._step]
            self._step += 1
            if server in self._done:
                continue
            if self._asked and server is not self._asked[-1][0].server:
                self._tower.counters["failovers"] += 1
            if self._send(server):
                return
        if self._best is not None:
            self.finish(self._best)
        elif self._silent:
            self.finish(UpstreamFailure(_NO_REACHABLE_AUTHORITY, "no upstream answered in time"))
        else:
            self.finish(UpstreamFailure(_NETWORK_ERROR, "no upstream could be reached"))

    def _send(self, server: Server, *, stream: bool = False) -> bool:
        ask = server.ask_stream if stream else server.ask
        try:
            channel, ident = ask(self.body_for(server), self, self.loop)
        except OSError as error:
            now = self.loop.time()
            self._tower.counters["errors"] += 1
            server.unreachable(now)
            server.refused(str(error), now)
            return False
        now = self.loop.time()
        self._asked.append((channel, ident, now))
        self._tower.counters["tcp" if stream else "sent"] += 1
        timeout = self._tower.timeout
        if self._step == len(self._plan):
            # Nobody is left to be asked instead, so that waiting costs nothing.
            self.deadline = max(now + timeout, self._begun + timeout * self._tower.attempts)
        elif stream:
            self.deadline = now + timeout
        else:
            rounds = (self._step - 1) // len(self.row.servers)
            self.deadline = now + min(timeout, server.wait * 2**rounds)
        return True

    def body_for(self, server: Server) -> bytes:
        """The query as this server should get it, behind the ID."""
        if server in self._bare:
            return _BARE_HEAD[self._checking_disabled] + self.question
        if server.jar is not None:
            options = server.jar.option(self.loop.time())
            opt = opt_record(_OUR_SIZE, options, dnssec_ok=self._dnssec_ok)
            return _HEAD[self._checking_disabled] + self.question + opt
        if server.plain:
            return self._body
        # Padded to a multiple of 128 octets (RFC 8467 section 4.1), the ID counted.
        short = -(2 + len(self._body) + 4) % _PADDING_BLOCK
        opt = opt_record(_OUR_SIZE, option(_PADDING, bytes(short)), dnssec_ok=self._dnssec_ok)
        return _HEAD[self._checking_disabled] + self.question + opt

    def heard(self, channel: Channel, ident: int, packet: bytes) -> bool:
        """Take a message for a query of this flight; return whether it was the reply."""
        if self.ended:
            return False
        if not self._matches(packet):
            # A server that cannot read the query may have no question to send back.
            if (
                len(packet) == 12
                and packet[2] & _QR_AND_OPCODE == 0x80
                and packet[3] & 0xF in _WITHOUT_OPT
            ):
                self._without_opt(channel, None)
            elif channel.stream:
                self._tower.counters["malformed"] += 1
                self._poor(channel, None)
            else:
                return False
        elif self._tower.wary and (doubt := self._doubt(channel, packet)) is not None:
            if doubt == "forged":
                return False
            self._tower.counters["doubted"] += 1
            self._over_stream(channel)
        elif not packet[2] & _TC:
            self._judge(channel, ident, packet)
        elif channel.stream:
            self._tower.counters["malformed"] += 1
            self._poor(channel, None)
        else:
            self._timed(channel, ident)
            self._over_stream(channel)
        return True

    def _matches(self, packet: bytes) -> bool:
        """Whether it is a response to this question, the letters' case apart."""
        if len(packet) < 12 or packet[2] & _QR_AND_OPCODE != 0x80 or packet[4:6] != b"\x00\x01":
            return False
        question = self.question
        if packet.startswith(question, 12):
            return True
        echoed = packet[12 : 12 + len(question)]
        return echoed[-4:] == question[-4:] and echoed[:-4].lower() == question[:-4].lower()

    def _doubt(self, channel: Channel, packet: bytes) -> Literal["forged", "doubtful"] | None:
        """Whether a reply that matches may be forged: by its letters, and by its cookie.

        A doubtful one is not used, but it shows that the question may be asked over TCP.
        """
        server = channel.server
        if self._tower.random_case:
            if packet.startswith(self.question, 12):
                server.kept_letters()
            elif not server.changes_letters() and not channel.stream:
                return "doubtful"
        jar = server.jar
        if jar is None or server in self._bare:
            return None
        try:
            cookie = cookie_in(packet)
        except ValueError:
            return None  # it will be found malformed
        if cookie is not None:
            return None if jar.take(cookie) or channel.stream else "forged"
        if channel.stream:
            jar.forget()
        return "doubtful" if jar.knows else None

    def _judge(self, channel: Channel, ident: int, packet: bytes) -> None:
        if self._letters is not self.question:
            packet = packet[:12] + self._letters + packet[12 + len(self._letters) :]
        try:
            response = read_response(packet)
        except ValueError:
            self._tower.counters["malformed"] += 1
            self._poor(channel, None)
            return
        rcode = response.rcode
        if rcode in _WITHOUT_OPT:
            self._without_opt(channel, response)
        elif rcode == BADCOOKIE and channel.server.jar is not None:
            self._with_cookie(channel, response)
        elif rcode in _NEXT_MAY_DO or rcode >= _FIRST_EXTENDED:
            self._poor(channel, response)
        else:
            self._timed(channel, ident)
            self.good = True
            self.finish(response)

    def _timed(self, channel: Channel, ident: int) -> None:
        """Tell the server how long this answer took; TCP after UDP says nothing new."""
        server = channel.server
        if channel.stream and server.plain:
            return
        for asked, number, since in self._asked:
            if number == ident and asked is channel:
                server.took(self.loop.time() - since)
                return

    def _without_opt(self, channel: Channel, response: Response | None) -> None:
        server = channel.server
        if server in self._bare:
            self._poor(channel, response)
            return
        self._bare += (server,)
        if self._is_last(channel) and not self._send(server, stream=server in self._streamed):
            self._poor(channel, response)

    def _with_cookie(self, channel: Channel, response: Response) -> None:
        """Ask again with the cookie that came with BADCOOKIE, then over TCP (RFC 7873 5.3)."""
        server = channel.server
        if channel.stream:
            self._poor(channel, response)
        elif server in self._sweetened:
            self._over_stream(channel)
        else:
            self._sweetened += (server,)
            if self._is_last(channel) and not self._send(server):
                self._poor(channel, response)

    def _is_last(self, channel: Channel) -> bool:
        return channel is self._asked[-1][0]

    def _poor(self, channel: Channel, response: Response | None) -> None:
        """Go on to the next server, but keep the response in case that none is better."""
        if response is not None:
            self._best = response
        self._done += (channel.server,)
        if self._is_last(channel):
            self.ask_next()

    def _over_stream(self, channel: Channel) -> None:
        server = channel.server
        if server not in self._streamed:
            self._streamed += (server,)
            if not self._send(server, stream=True):
                self._poor(channel, None)

    def failed(self, channel: Channel, *, again: bool) -> None:
        """Learn that no reply will come over a socket or connection."""
        if self.ended:
            return
        server = channel.server
        self._tower.counters["errors"] += 1
        again = again and self._reasked < _REASKED
        if not again and (server.plain is not channel.stream):
            server.unreachable(self.loop.time())
        if not self._is_last(channel):
            return
        if again:
            self._reasked += 1
            if self._send(server, stream=server in self._streamed):
                return
        if channel.stream:
            self._done += (server,)
        self.ask_next()

    def timed_out(self, now: float) -> None:
        """Learn that the server asked last was silent until ``now``."""
        self._tower.counters["timeouts"] += 1
        self._silent = True
        if self._asked:
            channel, _, since = self._asked[-1]
            server = channel.server
            server.timed_out(now, since if channel.stream else None)
            if server in self._streamed:
                self._done += (server,)
        self.ask_next()

    def finish(self, outcome: Response | UpstreamFailure) -> None:
        """Tell all callers, and listen no more."""
        if self.ended:
            return
        self.ended = True
        self.deadline = inf
        if self.good and self._done:
            now = self.loop.time()
            for server in self._done:
                server.worse(now)
        self._tower.landed(self, outcome)
        for channel, ident, _ in self._asked:
            channel.forget(ident)
        for waiter in self.waiters:
            if waiter.done():
                continue
            if isinstance(outcome, UpstreamFailure):
                waiter.set_exception(UpstreamFailure(outcome.ede_code, outcome.text))
            else:
                waiter.set_result(outcome)
