"""A small HTTP server for the parent: /metrics, /healthz, /readyz, and nothing else.

One request a connection, few connections, short bounds: whatever a client does, the parent
goes on with its work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from typing import NamedTuple, cast

import h11

from geodns.errors import ServerError

MOST_CONNECTIONS = 32
"""Connections at once; one more puts out the one that is open longest."""
LARGEST_HEAD = 8192
"""Octets of a request's line and headers at most."""
BOUND = 10.0
"""Seconds that a connection may last, from its beginning to the last octet taken."""

log = logging.getLogger("geodns.metrics")


class Page(NamedTuple):
    """A reply: HTTP status code, content type, body."""

    status: int
    kind: str
    body: bytes


Handler = Callable[[str], Page]
"""From the request's Accept header ("" without one) to the reply."""


def as_json(status: int, document: object) -> Page:
    """A reply that is a JSON document."""
    return Page(status, "application/json", json.dumps(document).encode() + b"\n")


class Listener:
    """Serves pages by path over HTTP/1.1 and 1.0, GET and HEAD."""

    def __init__(self, host: str, port: int, pages: dict[str, Handler]) -> None:
        """host: an IP address; port 0 lets the kernel choose. Paths begin with a slash."""
        self.address = host, port
        self.pages = pages
        self._server: asyncio.Server | None = None
        self._connections: dict[_Connection, None] = {}

    async def open(self) -> None:
        """Begin to listen. Raises ServerError where that cannot be."""
        host, port = self.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
                sock.setblocking(False)
                self.address = host, sock.getsockname()[1]
                loop = asyncio.get_running_loop()
                self._server = await loop.create_server(
                    lambda: _Connection(self), sock=sock, backlog=MOST_CONNECTIONS
                )
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise ServerError(
                f"cannot listen on {where} (listen in [metrics]): {error.strerror or error}"
            ) from None

    async def close(self) -> None:
        """Listen no more; what is being sent is cut."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cut()

    def page(self, method: bytes, target: bytes, accept: str) -> Page:
        """The reply to a request. Never raises."""
        handler = self.pages.get(target.partition(b"?")[0].decode("latin-1"))
        if handler is None:
            known = ", ".join(self.pages)
            return Page(404, "text/plain; charset=utf-8", f"not here; try {known}\n".encode())
        if method not in (b"GET", b"HEAD"):
            return Page(405, "text/plain; charset=utf-8", b"only GET and HEAD\n")
        try:
            return handler(accept)
        except Exception:
            log.exception("internal error while making %s", target.decode("latin-1"))
            return Page(500, "text/plain; charset=utf-8", b"internal error\n")

    def joined(self, connection: _Connection) -> None:
        """Count a new connection in, and put one out if there are too many."""
        self._connections[connection] = None
        if len(self._connections) > MOST_CONNECTIONS:
            next(iter(self._connections)).cut()

    def left(self, connection: _Connection) -> None:
        """Count a connection out."""
        self._connections.pop(connection, None)


class _Connection(asyncio.Protocol):
    """One connection, which carries one request."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(BOUND, self.cut)
        self._listener.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._listener.left(self)

    def cut(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._listener.left(self)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answered:
            # A body or a second request: the first one has been answered, which is all.
            return
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._fail(error.error_status_hint)
            return
        if isinstance(event, h11.Request):
            accept = b", ".join(value for name, value in event.headers if name == b"accept")
            page = self._listener.page(event.method, event.target, accept.decode("latin-1"))
            self._answer(page, head=event.method == b"HEAD")
        elif event is not h11.NEED_DATA:
            self.cut()

    def _answer(self, page: Page, *, head: bool = False) -> None:
        self._answered = True
        headers = [
            ("Content-Type", page.kind),
            ("Content-Length", str(len(page.body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ]
        if page.status == 405:
            headers.append(("Allow", "GET, HEAD"))
        out = self._http.send(h11.Response(status_code=page.status, headers=headers)) or b""
        if not head:
            out += self._http.send(h11.Data(data=page.body)) or b""
        assert self._transport is not None
        self._transport.write(out)
        # What was written leaves first, within the bound.
        self._transport.close()

    def _fail(self, status: int) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.cut()
            return
        body = b"that is no HTTP request\n"
        self._answer(Page(status, "text/plain; charset=utf-8", body))
