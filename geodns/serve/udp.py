"""Queries over UDP: a bounded drain of the socket at each wake-up, replies from the address asked.

Nothing here raises or logs for a packet; what happens is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from struct import Struct
from time import monotonic
from typing import Any, Protocol

from geodns.fastpath.pure import FastPath
from geodns.serve.sockets import IP_PKTINFO

Reply = bytes | None


class Answers(Protocol):
    """What a transport needs of the pipeline."""

    def answer(
        self, packet: bytes, peer: bytes, *, stream: bool, source: bytes | None = None
    ) -> Reply | Awaitable[Reply]:
        """Take one query, give its reply, None for none, or an awaitable of either.

        source: who asks, where the PROXY header of a stream told it.
        """

    def serves(self, peer: bytes) -> bool:
        """Whether a peer (packed address) is one of those whose queries are resolved."""

    def wraps(self, peer: bytes) -> bool:
        """Whether a peer has to put a PROXY header before what it sends."""


DRAIN = 64
"""Packets read at most before other work gets its turn."""
BACKLOG = 1024
"""Replies kept at most while the kernel's send buffer is full."""

_LARGEST = 65535
_ANCILLARY = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(64)
_INFO4 = Struct("=I4s4s")  # struct in_pktinfo: interface, local address, header's destination
_INFO6 = Struct("=16sI")  # struct in6_pktinfo: address, interface

_Ancillary = list[tuple[int, int, bytes]]
_Parcel = tuple[bytes, _Ancillary, Any]


class UdpListener:
    """Reads queries from one bound, non-blocking UDP socket and sends their replies.

    The socket of a wildcard address must have IP_PKTINFO or IPV6_RECVPKTINFO set, so that
    each reply leaves from the address that was asked. ``counters`` is written in place
    (keys ``udp/*`` and ``internal_errors``). Needs ``loop.add_reader``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        answers: Answers,
        counters: dict[str, int],
        on_internal: Callable[[BaseException], None] | None = None,
        fast: FastPath | None = None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._answers = answers
        self._counters = counters
        self._on_internal = on_internal
        self._fast = fast
        self._fast_drain = getattr(fast, "drain", None)
        self._buffer = bytearray(_LARGEST)
        self._view = memoryview(self._buffer)
        self._v6 = sock.family == socket.AF_INET6
        self._wildcard = ipaddress.ip_address(sock.getsockname()[0]).is_unspecified
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsent: deque[_Parcel] = deque()
        for key in ("udp/unreadable", "udp/unsent", "internal_errors"):
            counters.setdefault(key, 0)

    def start(self) -> None:
        """Begin to read."""
        self._loop.add_reader(self._sock, self.drain)

    def stop(self) -> None:
        """Read what is queued once more, then read no further; replies under way still leave."""
        self._loop.remove_reader(self._sock)
        for _ in range(BACKLOG):
            if not self.drain():
                break

    @property
    def outstanding(self) -> int:
        """Queries read whose reply has not been handed to the kernel yet."""
        return len(self._tasks) + len(self._unsent)

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._sock.fileno()

    def take(self, packet: bytes, peer: bytes, sender: _Ancillary, address: Any) -> None:
        """Answer a packet that was read from the socket by others.

        peer: packed address. sender: ancillary data for the reply. address: whom to reply to.
        """
        self._answer(packet, peer, sender, address)

    def give(self, reply: bytes, sender: _Ancillary, address: Any) -> None:
        """Send a reply, at once or when the kernel takes it."""
        self._send((reply, sender, address))

    def drain(self) -> bool:
        """Read and answer up to DRAIN queued packets; whether there may be more."""
        if self._fast_drain is not None:
            return self._drain_fast(self._fast_drain)
        counters = self._counters
        family = self._sock.family
        for _ in range(DRAIN):
            try:
                size, ancillary, flags, address = self._sock.recvmsg_into(
                    (self._buffer,), _ANCILLARY if self._wildcard else 0
                )
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:
                counters["udp/unreadable"] += 1
                return False
            if flags & socket.MSG_TRUNC or address[1] == 0:
                counters["udp/unreadable"] += 1
                continue
            host: str = address[0]
            peer = socket.inet_pton(family, host.partition("%")[0] if self._v6 else host)
            sender = self._sender(ancillary) if ancillary else []
            packet = bytes(self._view[:size])
            if self._fast is not None:
                quick = self._fast.answer(packet, peer, monotonic())
                if quick is not None:
                    if quick:
                        self._send((quick, sender, address))
                    continue
            self._answer(packet, peer, sender, address)
        return True

    def _drain_fast(self, drain: Callable[[int, float, bool], Any]) -> bool:
        """The same by the native fast path, which leaves what only the pipeline can answer."""
        left, more, unsent = drain(self._sock.fileno(), monotonic(), self._wildcard)
        for parcel in unsent:
            self._send(parcel)
        for packet, peer, address, ancillary in left:
            self._answer(packet, peer, ancillary, address)
        return bool(more)

    def _answer(self, packet: bytes, peer: bytes, sender: _Ancillary, address: Any) -> None:
        try:
            reply = self._answers.answer(packet, peer, stream=False)
        except Exception as error:
            self._internal(error)
            return
        if isinstance(reply, bytes):
            self._send((reply, sender, address))
        elif reply is not None:
            task = self._loop.create_task(self._later(reply, sender, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _later(self, awaited: Awaitable[Reply], sender: _Ancillary, address: Any) -> None:
        try:
            reply = await awaited
        except Exception as error:
            self._internal(error)
            return
        if reply is not None:
            self._send((reply, sender, address))

    def _sender(self, ancillary: _Ancillary) -> _Ancillary:
        """Ancillary data that makes a reply leave from the address that was asked.

        Empty where the kernel did not say it (truncated ancillary data): it then chooses.
        """
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO and len(data) >= _INFO4.size:
                local = _INFO4.unpack_from(data)[1]
                return [(level, kind, _INFO4.pack(0, local, bytes(4)))]
            if (
                level == socket.IPPROTO_IPV6
                and kind == socket.IPV6_PKTINFO
                and len(data) >= _INFO6.size
            ):
                asked, interface = _INFO6.unpack_from(data)
                # Only a link-local address needs its interface; else routing decides.
                if not (asked[0] == 0xFE and asked[1] & 0xC0 == 0x80):
                    interface = 0
                return [(level, kind, _INFO6.pack(asked, interface))]
        return []

    def _send(self, parcel: _Parcel) -> None:
        if self._unsent:
            self._keep(parcel)
        elif not self._try_send(parcel):
            self._keep(parcel)
            self._loop.add_writer(self._sock, self._send_kept)

    def _try_send(self, parcel: _Parcel) -> bool:
        reply, sender, address = parcel
        try:
            if sender:
                self._sock.sendmsg((reply,), sender, 0, address)
            else:
                self._sock.sendto(reply, address)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self._counters["udp/unsent"] += 1
        return True

    def _keep(self, parcel: _Parcel) -> None:
        if len(self._unsent) < BACKLOG:
            self._unsent.append(parcel)
        else:
            self._counters["udp/unsent"] += 1

    def _send_kept(self) -> None:
        while self._unsent:
            if not self._try_send(self._unsent[0]):
                return
            self._unsent.popleft()
        with contextlib.suppress(OSError, ValueError):
            self._loop.remove_writer(self._sock)

    def _internal(self, error: BaseException) -> None:
        self._counters["internal_errors"] += 1
        if self._on_internal is not None:
            self._on_internal(error)

    def close(self) -> None:
        """Forget replies that are still under way and close the socket in this process."""
        for each in (self._loop.remove_reader, self._loop.remove_writer):
            with contextlib.suppress(OSError, ValueError):
                each(self._sock)
        for task in self._tasks:
            task.cancel()
        self._sock.close()
