"""Scripted upstream servers on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable

from geodns.model.message import read_query
from geodns.model.name import parse

Script = Callable[["Asked"], None]

QUESTION = parse("www.example.org") + b"\x00\x01\x00\x01"


class Asked:
    """A query that an upstream got, and the means to say something back."""

    def __init__(self, upstream: Upstream, packet: bytes, send: Callable[[bytes], None]) -> None:
        self.upstream = upstream
        self.packet = packet
        self.query = read_query(packet)
        self.send = send
        self.source = ("", 0)
        self.cut: Callable[[], None] = lambda: None

    def reply(self, **change: object) -> None:
        """Send a well-formed reply; ``change`` as in ``answer``."""
        self.send(answer(self.packet, **change))  # type: ignore[arg-type]


def answer(
    packet: bytes,
    *,
    ident: bytes | None = None,
    question: bytes | None = None,
    flags: int = 0x8180,
    address: bytes | None = b"\xc0\x00\x02\x01",
    edns: bool = True,
) -> bytes:
    """A reply to the query ``packet``, with one A record unless ``address`` is None."""
    query = read_query(packet)
    asked = query.question if question is None else question
    counts = (1, 0 if address is None else 1, 0, 1 if edns and query.edns else 0)
    record = (
        b"" if address is None else b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04" + address
    )
    opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00" if counts[3] else b""
    head = (packet[:2] if ident is None else ident) + struct.pack("!5H", flags, *counts)
    return head + asked + record + opt


def negative(packet: bytes, rcode: int) -> bytes:
    return answer(packet, flags=0x8180 | rcode, address=None)


def _one_port(host: str) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket bound to the same free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        tcp = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            udp.bind((host, 0))
            tcp.bind((host, udp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp
    raise OSError(f"no free port on {host}")


class Upstream:
    """A server on UDP and TCP that does as its script says.

    udp, tcp: what to do with each query; sources: the ports queries came from, in order. tls:
    TCP is TLS by this context.
    """

    def __init__(
        self,
        udp: Script,
        tcp: Script | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.udp = udp
        self.tcp = tcp
        self.seen: list[Asked] = []
        self.sources: list[int] = []
        self._udp, self._tcp = _one_port(host)
        self.port: int = self._udp.getsockname()[1]
        self.text = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._tls = tls
        if tls is not None:
            self.text = f"tls://{self.text}"
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Upstream:
        asyncio.get_running_loop().add_reader(self._udp.fileno(), self._readable)
        if self.tcp is not None or self._tls is not None:
            self._server = await asyncio.start_server(self._accept, sock=self._tcp, ssl=self._tls)
        else:
            self._tcp.close()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.silence()
        for writer in self._writers:
            writer.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """How many TCP connections have been made."""
        return len(self._writers)

    def hang_up(self) -> None:
        """Close all TCP connections."""
        for writer in self._writers:
            writer.close()

    def silence(self) -> None:
        """Close the UDP port, so that the network says it is unreachable."""
        if self._udp.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._udp.fileno())
            self._udp.close()

    def _readable(self) -> None:
        packet, source = self._udp.recvfrom(4096)
        asked = Asked(self, packet, lambda reply: self._say(reply, source))
        asked.source = source
        self.sources.append(source[1])
        self.seen.append(asked)
        self.udp(asked)

    def _say(self, reply: bytes, to: tuple[str, int]) -> None:
        if self._udp.fileno() >= 0:
            self._udp.sendto(reply, to)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while True:
            try:
                size = int.from_bytes(await reader.readexactly(2), "big")
                packet = await reader.readexactly(size)
            except (asyncio.IncompleteReadError, OSError):
                return
            asked = Asked(self, packet, lambda m: writer.write(len(m).to_bytes(2, "big") + m))
            asked.cut = writer.close
            asked.source = writer.get_extra_info("peername")
            self.seen.append(asked)
            script = self.tcp or self.udp
            script(asked)
