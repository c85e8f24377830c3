"""An upstream that says anything at all, over UDP and TCP, to a whole pipeline."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import socket
from functools import cache
from typing import Any

from geodns import app
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve import reply
from geodns.serve.inforce import InForce
from geodns.serve.misses import make_misses
from geodns.serve.pipeline import Pipeline
from geodns.serve.sockets import open_listeners
from geodns.serve.udp import UdpListener
from geodns.settings import Settings
from tests.fastpath import twins
from tests.policy.making import NOW, order
from tests.protocol.shown import read
from tests.scenarios.asking import build

PEER = bytes((127, 39, 0, 1))
HONEST = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x63"
MATCH, STREAM, LOOSE, DNSSEC, LARGE = 1, 2, 4, 8, 16
"""What the first octet of an input asks for: the ID and question are put in; TCP is used; over TCP
the octets come without a length; the client sets DO; the client takes large replies."""


class Upstream:
    """Says what it is told to, and then the truth."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.how = 0
        self.said = b""
        self.udp, self.tcp = _bound()
        self.port: int = self.udp.getsockname()[1]
        loop.add_reader(self.udp.fileno(), self._heard)

    async def start(self) -> None:
        """Listen on TCP."""
        self.server = await asyncio.start_server(self._accept, sock=self.tcp)

    def _heard(self) -> None:
        query, peer = self.udp.recvfrom(4096)
        if self.how & STREAM:
            self.udp.sendto(query[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + _question(query), peer)
            return
        self.udp.sendto(self._hostile(query), peer)
        self.udp.sendto(_honest(query), peer)

    def _hostile(self, query: bytes) -> bytes:
        said = self.said
        if not self.how & MATCH or len(said) < 10:
            return said
        flags = bytes((said[0] | 0x80, said[1]))
        return query[:2] + flags + b"\0\1" + said[4:10] + _question(query) + said[10:]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            query = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            said, honest = self._hostile(query), _honest(query)
            if not self.how & LOOSE:
                said = len(said).to_bytes(2) + said
            writer.write(said + len(honest).to_bytes(2) + honest)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _bound() -> tuple[socket.socket, socket.socket]:
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp


def _question(query: bytes) -> bytes:
    return query[12 : query.index(0, 12) + 5]


def _honest(query: bytes) -> bytes:
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + _question(query) + HONEST


class House:
    """The upstream, orders in force, and the settings of a pipeline before that upstream."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.faults: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, told: self.faults.append(told))
        self.upstream = Upstream(self.loop)
        self.loop.run_until_complete(self.upstream.start())
        self.settings = Settings.model_validate(
            {
                "upstream": {
                    "servers": [f"127.0.0.1:{self.upstream.port}"],
                    "timeout": 0.2,
                    "attempts": 1,
                },
                "cache": {"size": 1 << 20},
            }
        ).model_dump(mode="json")
        orders = [
            order("block", domains=["a.b"]),
            order("net", networks=["192.0.2.0/28"], action="sinkhole", addresses=["198.51.100.1"]),
        ]
        self.in_force = InForce(Snapshot(compile_snapshot(orders, NOW)), twins.places())

    async def ask(self, how: int, said: bytes) -> None:
        """The same question by both ways, to pipelines of their own, of an upstream that is told
        what to say: to the pipeline itself, and over UDP, where native code may ask."""
        self.upstream.how, self.upstream.said = how, said
        size = 65535 if how & LARGE else 512
        packet = build("Www.x.y", edns=size, do=bool(how & DNSSEC), ident=0xABCD)
        told = [
            *await self._through_pipeline(packet),
            *await self._through_socket(packet),
        ]
        for each in told:
            _check(packet, each, min(size, reply.OUR_SIZE))
        # The second reply by socket may be from a cache, of failures too.
        assert told[0] == told[1], [each.hex() for each in told]

    async def _through_pipeline(self, packet: bytes) -> list[bytes]:
        pipeline = self._pipeline()
        try:
            told = pipeline.answer(packet, PEER, stream=False)
            if inspect.isawaitable(told):
                told = await asyncio.wait_for(told, 10)
            assert isinstance(told, bytes)
            _check_counters(pipeline)
        finally:
            await pipeline.close()
        return [told]

    async def _through_socket(self, packet: bytes) -> list[bytes]:
        pipeline = self._pipeline()
        (listener,) = open_listeners(["127.0.0.1:0"], 1)
        broken: list[BaseException] = []
        udp = UdpListener(
            self.loop, listener.udp[0], pipeline, {}, broken.append, fast=pipeline.fast
        )
        misses = make_misses(self.loop, pipeline, [udp], self.settings)
        udp.start()
        told = []
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
                client.bind((str(ipaddress.ip_address(PEER)), 0))
                client.connect((listener.address.host, listener.address.port))
                for _ in range(2):
                    client.send(packet)
                    async with asyncio.timeout(10):
                        told.append(await self.loop.sock_recv(client, 65535))
            _check_counters(pipeline)
        finally:
            if misses is not None:
                misses.close()
            udp.close()
            listener.close()
            await pipeline.close()
        assert not broken, broken
        return told

    def _pipeline(self) -> Pipeline:
        pipeline = app.make_pipeline(self.settings)
        pipeline.enforce(self.in_force)
        return pipeline


def _check_counters(pipeline: Pipeline) -> None:
    counters = pipeline.counters()
    assert not [key for key in counters if key.startswith("internal")], counters


def _check(packet: bytes, told: bytes, limit: int) -> None:
    assert told[:2] == packet[:2]
    assert told[12:].startswith(_question(packet)), "the question comes back as it was"
    assert len(told) <= limit
    found = read(told, opaque=True)
    assert found.flags & 0x8000
    assert not found.flags & 0x7C40, "opcode, AA and Z stay clear"
    assert found.opt is not None
    assert not found.flags & 0x0200 or not found.records


@cache
def _house() -> House:
    return House()


def upstream(data: bytes) -> None:
    """The first octet says how; the rest is what the upstream says before it says the truth."""
    if not data:
        return
    house = _house()
    house.loop.run_until_complete(house.ask(data[0], data[1:]))
    assert not house.faults, house.faults
