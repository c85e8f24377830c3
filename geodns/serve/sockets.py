"""The sockets that the parent owns: one UDP and one TCP socket a worker for each listen address.

The kernel spreads packets and connections over the sockets of one address (SO_REUSEPORT).
They stay open in the parent while a worker is replaced, so that what is queued on the socket
of a dead worker is served by its successor.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from geodns.errors import ServerError
from geodns.model.endpoint import EndpointFault, join_endpoint, parse_endpoint

RECEIVE_BUFFER = 4 << 20
"""Octets asked of the kernel for each UDP socket: room for what arrives while a worker is away."""

BACKLOG = 256
"""Connections that wait on a TCP socket until whoever serves it is there."""

# Linux values (asm-generic/socket.h, linux/in.h, linux/in6.h) that the socket module lacks.
_SO_RCVBUFFORCE = 33
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_OMIT = 5

_ATTEMPTS = 32


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: an IPv4 or IPv6 address and a port."""

    host: str
    port: int

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def wildcard(self) -> bool:
        """Whether packets to any address of this host arrive here."""
        return ipaddress.ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return join_endpoint(self.host, self.port)


def parse_listen(text: str) -> ListenAddress:
    """Read ``127.0.0.1:5053`` or ``[::1]:5053``; port 0 lets the kernel choose.

    Raises ServerError otherwise.
    """
    try:
        return ListenAddress(*parse_endpoint(text, None))
    except EndpointFault as fault:
        raise ServerError(f"cannot listen: {fault}") from None


@dataclass(frozen=True, slots=True)
class Listener:
    """The open sockets of one listen address; index i of each tuple belongs to worker i."""

    address: ListenAddress
    udp: tuple[socket.socket, ...]
    tcp: tuple[socket.socket, ...]

    def close(self) -> None:
        """Close all of them in this process."""
        for each in (*self.udp, *self.tcp):
            each.close()


def open_listeners(listen: Sequence[str], workers: int) -> tuple[Listener, ...]:
    """Open all sockets for all listen addresses, ``workers`` UDP and TCP sockets each.

    First checks, without SO_REUSEPORT, that nobody else has the port: a second server would
    otherwise get a share of the packets unnoticed. A port 0 is chosen once, the same for UDP
    and TCP. Raises ServerError naming the address and the reason, with nothing left open.
    """
    if workers < 1:
        raise ServerError(f"workers must be at least 1, not {workers}")
    if not listen:
        raise ServerError("no address to listen on; set listen in [server]")
    with contextlib.ExitStack() as probes:
        # All probes stay open until each address was tried, so that one given twice is noticed.
        addresses = [_probe(parse_listen(text), probes) for text in listen]
    opened: list[Listener] = []
    try:
        for address in addresses:
            opened.append(_open(address, workers))
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    return tuple(opened)


def open_streams(listen: Sequence[str]) -> tuple[socket.socket, ...]:
    """Open one TCP socket for each address, shared with nobody; connections queue at once.

    Raises ServerError naming the address and the reason, with nothing left open.
    """
    with contextlib.ExitStack() as stack:
        opened = tuple(
            stack.enter_context(_bound(parse_listen(text), socket.SOCK_STREAM, share=False))
            for text in listen
        )
        for sock in opened:
            sock.listen(BACKLOG)
        stack.pop_all()
    return opened


def _probe(address: ListenAddress, probes: contextlib.ExitStack) -> ListenAddress:
    for attempt in range(_ATTEMPTS):
        with contextlib.ExitStack() as mine:
            try:
                tcp = mine.enter_context(_bound(address, socket.SOCK_STREAM, share=False))
                found = ListenAddress(address.host, tcp.getsockname()[1])
                mine.enter_context(_bound(found, socket.SOCK_DGRAM, share=False))
            except ServerError:
                if address.port == 0 and attempt + 1 < _ATTEMPTS:
                    continue
                raise
            probes.push(mine.pop_all())
            return found
    raise AssertionError("unreachable")


def _open(address: ListenAddress, workers: int) -> Listener:
    with contextlib.ExitStack() as stack:
        kinds = {}
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            kinds[kind] = tuple(
                stack.enter_context(_bound(address, kind, share=True)) for _ in range(workers)
            )
        stack.pop_all()
    return Listener(address, kinds[socket.SOCK_DGRAM], kinds[socket.SOCK_STREAM])


def _bound(address: ListenAddress, kind: socket.SocketKind, *, share: bool) -> socket.socket:
    try:
        sock = socket.socket(address.family, kind)
    except OSError as error:
        raise ServerError(f"cannot listen on {address}: {os.strerror(error.errno or 0)}") from None
    try:
        sock.setblocking(False)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind == socket.SOCK_STREAM:
            # Connections of a former server in TIME_WAIT must not keep us from the port; a
            # socket that listens still does.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif share:
            _prepare_udp(sock, address)
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        name = "tcp" if kind == socket.SOCK_STREAM else "udp"
        raise ServerError(f"cannot listen on {address} ({name}): {_reason(error)}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare_udp(sock: socket.socket, address: ListenAddress) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    v6 = address.family == socket.AF_INET6
    if address.wildcard:
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    # A forged "packet too big" must not make us send fragments (RFC 9715 section 3.1).
    level, option = (
        (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER) if v6 else (socket.IPPROTO_IP, _IP_MTU_DISCOVER)
    )
    with contextlib.suppress(OSError):
        sock.setsockopt(level, option, _PMTUDISC_OMIT)


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken by another program, or the address is listed twice"
    if error.errno == errno.EACCES:
        return "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no network interface of this host has that address"
    return os.strerror(error.errno) if error.errno else str(error)
