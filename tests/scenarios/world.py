"""A server in this process, on real sockets: what a worker runs, with a mock upstream beside it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from geodns import app
from geodns.locate.build import build_places
from geodns.model import name
from geodns.orders.load import OrderLoader
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import write_snapshot
from geodns.serve.inforce import InForce
from geodns.serve.misses import Misses, make_misses
from geodns.serve.pipeline import Pipeline
from geodns.serve.sockets import open_listeners
from geodns.serve.stream import StreamLimits, StreamListener
from geodns.serve.udp import UdpListener
from geodns.settings import Settings
from tests.scenarios import asking
from tests.scenarios.asking import Reply
from tests.scenarios.upstream import Manner, MockUpstream

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own, so that clients may block."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(20)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@dataclass
class World:
    """A running server. folder: where its files are; orders may be changed with ``rewrite``."""

    loop: Loop
    folder: Path
    settings: dict[str, Any]
    loader: OrderLoader
    places: Path
    upstream: MockUpstream
    pipeline: Pipeline
    servers: dict[str, tuple[str, int]]
    counters: dict[str, int]
    in_force: InForce
    stale: Sequence[int]
    now: datetime = NOW

    def ask(
        self, packet: bytes, client: str, *, stream: bool = False, header: bytes = b""
    ) -> Reply:
        """Ask, check the manners of the reply, and give it. header: PROXY header in front."""
        raw = self.send(packet, client, stream=stream, header=header)
        assert raw is not None, "no reply"
        reply = asking.read(raw)
        asking.check_manners(packet, reply, stream=stream)
        return reply

    def send(
        self,
        packet: bytes,
        client: str,
        *,
        stream: bool = False,
        patience: float = asking.PATIENCE,
        header: bytes = b"",
    ) -> bytes | None:
        server = self.servers["6" if ":" in client else "4"]
        send = asking.send_tcp if stream else asking.send_udp
        return send(server, client, packet, patience, header)

    def rewrite(self, files: Mapping[str, str]) -> None:
        """Change order files (an empty text removes one) and put the result in force."""
        for path, text in files.items():
            target = self.folder / "orders" / path
            if text:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            else:
                target.unlink()
        self.in_force = self.loop.run(self._reload())

    async def _reload(self) -> InForce:
        self.in_force = _compile(
            self.folder, self.loader, self.settings, self.places, self.stale, self.now
        )
        self.pipeline.enforce(self.in_force)
        return self.in_force


def _compile(
    folder: Path,
    loader: OrderLoader,
    settings: dict[str, Any],
    places: Path,
    stale: Sequence[int],
    now: datetime,
) -> InForce:
    loaded = loader.load()
    assert not loaded.faults, [str(fault) for fault in loaded.faults]
    never = [name.parse(text) for text in settings["orders"]["never_block"]]
    data = compile_snapshot(loaded.orders, now, never)
    return app.load_in_force(write_snapshot(data, folder / "snapshots"), places, stale)


@contextmanager
def running(
    loop: Loop,
    folder: Path,
    *,
    orders: Mapping[str, str],
    geofeed: str,
    zone: str = "",
    manners: Mapping[str, Mapping[str, Any]] = {},
    settings: Mapping[str, Any] = {},
    databases: Sequence[Path] = (),
    stale: Sequence[int] = (),
    now: datetime = NOW,
    state: Path | None = None,
) -> Iterator[World]:
    """Run a server. orders: texts by path below the folder of orders. stale: source indexes."""
    for path, text in orders.items():
        target = folder / "orders" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "orders").mkdir(exist_ok=True)
    (folder / "geofeed.csv").write_text(geofeed)
    upstream = MockUpstream(zone, {key: Manner(**value) for key, value in manners.items()})
    loop.run(upstream.start())
    raw: dict[str, Any] = {section: dict(keys) for section, keys in settings.items()}
    raw.setdefault("upstream", {}).setdefault("servers", [f"127.0.0.1:{upstream.port}"])
    raw["upstream"].setdefault("timeout", 1.0)
    raw.setdefault("geoip", {})["databases"] = [str(path) for path in databases]
    raw.setdefault("orders", {})["directories"] = ["orders"]
    checked = Settings.model_validate(raw, context={"base": folder}).model_dump(mode="json")
    places = build_places(databases, [folder / "geofeed.csv"], state or folder / "places")
    loader = OrderLoader([folder / "orders"], None)
    in_force = _compile(folder, loader, checked, places, stale, now)
    listen = ["127.0.0.1:0"] + (["[::1]:0"] if _has_ipv6() else [])
    listeners = open_listeners(listen, 1)
    counters: dict[str, int] = {}
    broken: list[BaseException] = []

    async def start() -> tuple[Pipeline, list[UdpListener], StreamListener, Misses | None]:
        running = asyncio.get_running_loop()
        pipeline = app.make_pipeline(checked)
        pipeline.enforce(in_force)
        datagrams = [
            UdpListener(running, each.udp[0], pipeline, counters, broken.append, fast=pipeline.fast)
            for each in listeners
        ]
        stream = StreamListener(running, pipeline, counters, StreamLimits(), broken.append)
        for datagram, each in zip(datagrams, listeners, strict=True):
            datagram.start()
            await stream.listen(each.tcp[0])
        misses = make_misses(running, pipeline, datagrams, checked)
        return pipeline, datagrams, stream, misses

    async def stop() -> None:
        for _ in range(100):
            if not stream.outstanding and not any(each.outstanding for each in datagrams):
                break
            await asyncio.sleep(0.02)
        if misses is not None:
            misses.close()
        for datagram in datagrams:
            datagram.close()
        stream.close()
        await pipeline.close()
        await upstream.stop()

    pipeline, datagrams, stream, misses = loop.run(start())
    servers = {
        "6" if ":" in each.address.host else "4": (each.address.host, each.address.port)
        for each in listeners
    }
    world = World(
        loop, folder, checked, loader, places, upstream, pipeline, servers, counters, in_force,
        stale, now,
    )  # fmt: skip
    try:
        yield world
    finally:
        loop.run(stop())
        for each in listeners:
            each.close()
    assert not broken, broken
    faults = {key: n for key, n in pipeline.counters().items() if key.startswith("internal")}
    assert not faults
    assert all(8 not in seen.options for seen in upstream.seen), "ECS was sent upstream"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
