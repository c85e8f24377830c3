"""The page server on its sockets: aiohttp reads HTTP, and everything is bounded.

One request a connection, so that nobody holds one for long: a request must be there within
``REQUEST_BOUND`` seconds, and a connection ends after ``CONNECTION_BOUND`` whatever it does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from geodns.blockpage.answer import Answers, Reply, Request
from geodns.serve.sockets import BACKLOG

REQUEST_BOUND = 10.0
"""Seconds within which the head of a request must have arrived."""
CONNECTION_BOUND = 20.0
"""Seconds after which a connection is cut."""
MAX_LINE = 8190
"""Octets of a request line, and of one header field."""
MAX_HEADERS = 64
"""Header fields of a request."""
PER_CLIENT = 32
"""Connections at once from one IPv4 address or IPv6 /64 that is no listed proxy."""

log = logging.getLogger("geodns.blockpage")


class PageServer:
    """Listens, and answers every request from ``answers``."""

    def __init__(self, answers: Answers, connections: int) -> None:
        """connections: how many may be open at once."""
        self.answers = answers
        self.connections = connections
        self.open: dict[bytes, int] = {}
        self._seen: set[str] = set()
        self._servers: list[asyncio.Server] = []
        self._factory = _Factory(self)

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._factory, sock=sock, backlog=BACKLOG))

    async def close(self, bound: float) -> None:
        """Take no more connections; let those that are open end, for at most bound seconds."""
        for server in self._servers:
            server.close()
        self._factory.pre_shutdown()
        await self._factory.shutdown(bound)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; a fault of ours costs that request only."""
        try:
            reply = await self.answers.answer(_read(request))
        except Exception as fault:
            kind = type(fault).__name__
            self.answers.counters[f"blockpage/internal/{kind}"] += 1
            if kind not in self._seen:
                self._seen.add(kind)
                log.error("a request could not be answered: %s", kind)
            reply = Reply(500, {"Content-Type": "text/plain; charset=utf-8"}, b"internal error\n")
        return _response(reply)

    def bad(self) -> web.StreamResponse:
        """What is answered to octets that are no request."""
        return _response(self.answers.bad())

    def admit(self, peer: bytes) -> bytes | None:
        """Let one more connection from an address be open: what to ``leave`` with, or None."""
        key = peer if len(peer) == 4 else peer[:8]
        count = self.open.get(key, 0)
        # Behind a listed proxy there are many visitors.
        most = self.connections if self.answers.trusts(peer) else PER_CLIENT
        if count >= most or sum(self.open.values()) >= self.connections:
            self.answers.counters["blockpage/refused"] += 1
            return None
        self.open[key] = count + 1
        return key

    def leave(self, key: bytes) -> None:
        """A connection that was admitted has ended."""
        if self.open[key] == 1:
            del self.open[key]
        else:
            self.open[key] -= 1


class _Factory(web.Server):
    def __init__(self, pages: PageServer) -> None:
        super().__init__(pages.handle)
        self._pages = pages

    def __call__(self) -> RequestHandler:
        return _Connection(self, self._pages)


class _Connection(RequestHandler):
    """aiohttp's connection with bounds, and with our own answer to nonsense."""

    __slots__ = ("_cut", "_key", "_pages")

    def __init__(self, manager: web.Server, pages: PageServer) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=REQUEST_BOUND,
            access_log=None,  # type: ignore[arg-type]
            logger=_Silent("geodns.blockpage.http"),
            lingering_time=0,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            read_bufsize=1 << 14,
        )
        self._pages = pages
        self._cut: asyncio.TimerHandle | None = None
        self._key: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        key = self._pages.admit(_packed(transport.get_extra_info("peername")))
        if key is None:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        self._key = key
        super().connection_made(transport)
        self._cut = asyncio.get_running_loop().call_later(CONNECTION_BOUND, self._end, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._key is None:
            return
        self._pages.leave(self._key)
        self._key = None
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._key is not None:
            super().data_received(data)

    def _end(self, transport: asyncio.BaseTransport) -> None:
        self._pages.answers.counters["blockpage/cut"] += 1
        assert isinstance(transport, asyncio.Transport)
        transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        return self._pages.bad()


class _Silent(logging.Logger):
    """What clients do wrong is counted; it is never a line in the log."""

    def handle(self, record: logging.LogRecord) -> None:
        """Drop it."""


def _read(request: web.BaseRequest) -> Request:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    url, headers = request._message.url, request.headers
    return Request(
        request.method,
        _packed(peer),
        headers.getall("Host", ()),
        authority=url.raw_authority if url.absolute else None,
        lang=request.query.get("lang"),
        accept=",".join(headers.getall("Accept", ())),
        accept_language=",".join(headers.getall("Accept-Language", ())),
        forwarded=headers.getall("Forwarded", ()),
        x_forwarded_for=headers.getall("X-Forwarded-For", ()),
    )


def _response(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    response.force_close()
    return response


def _packed(peername: Any) -> bytes:
    host = str(peername[0]).partition("%")[0] if peername else "::"
    return ipaddress.ip_address(host).packed
