"""A worker's ways for UDP in this process, with a scripted upstream: for the way of a miss."""

from __future__ import annotations

import asyncio
import copy
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from geodns import app
from geodns.locate.build import build_places
from geodns.locate.table import PlaceTable
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from geodns.serve.misses import Misses, make_misses
from geodns.serve.sockets import open_listeners
from geodns.serve.udp import UdpListener
from geodns.settings import Settings
from tests.policy.making import NOW
from tests.scenarios import asking
from tests.scenarios.asking import Reply, build
from tests.upstream.mock import Script, Upstream

FEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n"
IT, FR = "127.39.0.1", "127.33.0.1"


class House:
    """What asks and answers: clients, the listener, the pipeline, the upstream.

    misses: None where the pure fast path serves.
    """

    def __init__(self, folder: Path, upstream: Upstream, settings: dict[str, Any]) -> None:
        feed = folder / "feed.csv"
        feed.write_text(FEED)
        self.places = PlaceTable.open(build_places([], [feed], folder / "places"))
        self.upstream = upstream
        self.settings = settings
        self.pipeline = app.make_pipeline(settings)
        (self.listener,) = open_listeners(["127.0.0.1:0"], 1)
        loop = asyncio.get_running_loop()
        self.broken: list[BaseException] = []
        self.udp = UdpListener(
            loop, self.listener.udp[0], self.pipeline, {}, self.broken.append,
            fast=self.pipeline.fast,
        )  # fmt: skip
        self.misses: Misses | None = make_misses(loop, self.pipeline, [self.udp], settings)
        self.clients: list[socket.socket] = []

    def enforce(self, orders: Sequence[LoadedOrder]) -> None:
        snapshot = Snapshot(compile_snapshot(orders, NOW, []))
        self.pipeline.enforce(InForce(snapshot, self.places))

    def client(self, source: str = FR) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.bind((source, 0))
        client.connect((self.listener.address.host, self.listener.address.port))
        self.clients.append(client)
        return client

    async def exchange(self, packet: bytes, source: str = FR) -> bytes:
        client = self.client(source)
        client.send(packet)
        return await receive(client)

    async def ask(self, name: str, qtype: str = "A", source: str = FR, **keys: Any) -> Reply:
        packet = build(name, qtype, **keys)
        reply = asking.read(await self.exchange(packet, source))
        asking.check_manners(packet, reply, stream=False)
        return reply

    def count(self, name: str) -> int:
        if self.misses is not None:
            self.misses.report()
        return self.pipeline.counters().get(name, 0)

    @property
    def outstanding(self) -> int:
        return self.udp.outstanding + (0 if self.misses is None else self.misses.outstanding)

    async def close(self) -> None:
        if self.misses is not None:
            self.misses.close()
        self.udp.close()
        for client in self.clients:
            client.close()
        self.listener.close()
        await self.pipeline.close()
        assert not self.broken
        assert not [key for key in self.pipeline.counters() if key.startswith("internal")]


async def receive(client: socket.socket) -> bytes:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recv(client, 65535)


@asynccontextmanager
async def house(
    folder: Path, udp: Script, tcp: Script | None = None, *, orders: Sequence[LoadedOrder] = (),
    **sections: dict[str, Any],
) -> AsyncIterator[House]:  # fmt: skip
    """sections: of the settings, what differs from the default."""
    async with Upstream(udp, tcp) as upstream:
        raw: dict[str, Any] = copy.deepcopy(sections)
        raw.setdefault("upstream", {})["servers"] = [upstream.text]
        made = House(folder, upstream, Settings.model_validate(raw).model_dump(mode="json"))
        made.enforce(orders)
        made.udp.start()
        try:
            yield made
        finally:
            await made.close()
