"""A worker: one process that answers queries on the sockets it was given.

Started by the supervisor as ``python -m geodns.serve.worker``. It reads no query before the
first load is in force, so that no name is answered that should have been blocked, and it
exits when the control pipe closes, so that no orphan serves old orders. Everything it imports
must be light: it has to be back within a second after it was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from geodns import app, logs
from geodns.errors import GeodnsError
from geodns.fastpath.pure import FastPath
from geodns.serve.admission import StreamLimits
from geodns.serve.inforce import InForce
from geodns.serve.misses import Misses, make_misses
from geodns.serve.pipeline import Pipeline
from geodns.serve.secrets import Secrets, path_of
from geodns.serve.stream import StreamListener
from geodns.serve.udp import UdpListener

COUNTERS_EVERY = 1.0
"""Seconds between two reports of the counters, which are the worker's sign of life too."""
DRAIN_BOUND = 5.0
"""Seconds that replies under way are waited for at the end."""
LINE_LIMIT = 64 << 20
"""Octets of one message on the control pipe at most."""
SMALL = 1 << 20
"""Octets of a snapshot that is loaded between two queries, in about a millisecond. A thread
beside a busy event loop gets its turn only every 5 ms (sys.getswitchinterval)."""
MAX_FILES = 65536

log = logging.getLogger("geodns.worker")


class Worker:
    """One worker's sockets, pipeline and control pipe."""

    def __init__(self, control: socket.socket, udp: list[list[int]], tcp: list[list[int]]) -> None:
        """udp, tcp: descriptors of the bound sockets of each worker of this server.

        The first load says which worker this is to be: until then it is a spare one, whose
        start has been waited for already.
        """
        self._control = control
        self._udp_descriptors = udp
        self._tcp_descriptors = tcp
        self._pipeline: Pipeline | None = None
        self._in_force: InForce | None = None
        self._places: str | None = None
        self._udp: list[UdpListener] = []
        self._misses: Misses | None = None
        self._stream: StreamListener | None = None
        self._counters: dict[str, int] = {}
        self._blocks: dict[str, int] = {}
        self._internal: set[str] = set()
        self._secrets = Secrets()
        self._secrets_path: Path | None = None
        self._done = asyncio.Event()
        self._draining = False
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Serve until told to drain, or until the parent is gone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._begin_drain)
        reader, self._writer = await asyncio.open_unix_connection(
            sock=self._control, limit=LINE_LIMIT
        )
        control = loop.create_task(self._obey(reader))
        report = loop.create_task(self._report())
        await self._done.wait()
        if self._draining:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_BOUND):
                    await self._settle()
            if self._pipeline is not None:
                await asyncio.to_thread(self._pipeline.rulings.close)
            self._tell(self._told())
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._writer.drain()
        report.cancel()
        control.cancel()

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "load" in message:
                    await self._load(message["load"])
                elif "drain" in message:
                    self._begin_drain()
        except OSError:
            pass
        except Exception as error:
            log.error("gives up: %s: %s", type(error).__name__, error)
        finally:
            # The parent is gone, or something is so wrong that a fresh worker is better.
            self._done.set()

    async def _load(self, load: dict[str, Any]) -> None:
        generation = load["generation"]
        snapshot = Path(load["snapshot"])
        try:
            wanted = snapshot, Path(load["places"]), load["stale"], self._in_force
            if snapshot.stat().st_size < SMALL and load["places"] == self._places:
                in_force = app.load_in_force(*wanted)
            else:
                in_force = await asyncio.to_thread(app.load_in_force, *wanted)
            settings = load["settings"]
            await asyncio.to_thread(logs.change, **_log_of(settings), process="worker")
            if self._pipeline is None:
                self._pipeline = app.make_pipeline(settings)
            else:
                self._pipeline.apply(settings)
            self._secrets_path = path_of(settings["server"])
            self._bake()
            self._pipeline.enforce(in_force)
            self._in_force, self._places = in_force, load["places"]
        except Exception as error:
            reason = str(error) if isinstance(error, GeodnsError) else f"{error!r}"
            self._tell({"refused": reason, "generation": generation})
            return
        limits = _stream_limits(settings)
        if self._stream is None:
            await self._listen(settings, limits, load["worker"])
        else:
            self._stream.admission.limits = limits
        self._tell(
            {
                "loaded": in_force.snapshot.digest,
                "generation": generation,
                "scope_classes": len(in_force.scopes),
                "fast_path": "pure" if type(self._pipeline.fast) is FastPath else "native",
            }
        )
        if settings["trust"]["ecs"]:
            await asyncio.to_thread(in_force.warm)
            self._pipeline.warm(in_force)

    async def _listen(self, settings: dict[str, Any], limits: StreamLimits, index: int) -> None:
        assert self._pipeline is not None
        loop = asyncio.get_running_loop()
        self._stream = StreamListener(
            loop, self._pipeline, self._counters, limits, self._internal_error
        )
        for sock in _take(self._udp_descriptors, index):
            listener = UdpListener(
                loop,
                sock,
                self._pipeline,
                self._counters,
                self._internal_error,
                fast=self._pipeline.fast,
            )
            listener.start()
            self._udp.append(listener)
        self._misses = make_misses(loop, self._pipeline, self._udp, settings)
        for sock in _take(self._tcp_descriptors, index):
            await self._stream.listen(sock)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(COUNTERS_EVERY)
            if self._pipeline is not None:
                self._bake()
                self._tell(self._told())

    def _told(self) -> dict[str, Any]:
        if self._pipeline is None:
            return {"counters": self._all_counters(), "upstreams": {}}
        told = {"counters": self._all_counters(), "upstreams": self._pipeline.upstreams()}
        blocks = self._pipeline.blocks()
        if blocks != self._blocks:
            # An order of the whole world has hundreds of them, so only where there is news.
            told["blocks"] = self._blocks = blocks
        return told

    def _bake(self) -> None:
        """Make cookies with the secrets and by the wall clock of now: both may change."""
        assert self._pipeline is not None
        secrets = self._secrets.current(self._secrets_path)
        self._pipeline.fast.guard.take_secrets(secrets, time.time() - time.monotonic())

    def _all_counters(self) -> dict[str, int]:
        counters = dict(self._counters)
        if self._misses is not None:
            self._misses.report()
        if self._pipeline is not None:
            for name, count in self._pipeline.counters().items():
                counters[name] = counters.get(name, 0) + count
            counters["internal_errors"] += sum(
                count for name, count in counters.items() if name.startswith("internal/")
            )
        return counters

    def _tell(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    def _begin_drain(self) -> None:
        self._draining = True
        for listener in self._udp:
            listener.stop()
        if self._stream is not None:
            self._stream.stop()
        self._done.set()

    async def _settle(self) -> None:
        while self._outstanding():
            await asyncio.sleep(0.02)

    def _outstanding(self) -> int:
        streams = 0 if self._stream is None else self._stream.outstanding
        streams += 0 if self._misses is None else self._misses.outstanding
        return streams + sum(listener.outstanding for listener in self._udp)

    def _internal_error(self, error: BaseException) -> None:
        what = f"{type(error).__name__}: {error}"
        kind = type(error).__name__
        # Once for each kind: a log line a packet would be a weapon for whoever sends packets.
        if kind not in self._internal:
            self._internal.add(kind)
            log.error("internal error while answering, counted as internal_errors: %s", what)


def _log_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {"form": settings["log"]["format"], "level": settings["log"]["level"]}


def _stream_limits(settings: dict[str, Any]) -> StreamLimits:
    limits = settings["limits"]
    return StreamLimits(
        connections=limits["tcp_connections"],
        per_client=limits["tcp_per_client"],
        idle=limits["tcp_idle"],
        pipeline=limits["tcp_pipeline"],
        ipv6_prefix=limits["ipv6_prefix"],
    )


def _take(descriptors: list[list[int]], index: int) -> list[socket.socket]:
    """The sockets of one worker; those of the others are closed here."""
    for number, others in enumerate(descriptors):
        for descriptor in others if number != index else ():
            os.close(descriptor)
    return [socket.socket(fileno=descriptor) for descriptor in descriptors[index]]


def _inherited(text: str) -> list[list[int]]:
    return [[int(number) for number in part.split(",") if number] for part in text.split(";")]


def main(arguments: list[str] | None = None) -> int:
    """Run a worker on inherited file descriptors; returns the exit code."""
    parser = argparse.ArgumentParser(prog="geodns.serve.worker")
    parser.add_argument("--control", type=int, required=True, help="descriptor of the pipe")
    parser.add_argument("--udp", default="", help="descriptors: 3,5;4,6 for two workers")
    parser.add_argument("--tcp", default="", help="the same of TCP sockets")
    parser.add_argument("--log", choices=("text", "json"), default="text", help="its form")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logs.start(chosen.log, "info", process="worker")
    _raise_file_limit()
    control = socket.socket(fileno=chosen.control)
    control.setblocking(False)

    async def serve() -> None:
        await Worker(control, _inherited(chosen.udp), _inherited(chosen.tcp)).run()

    uvloop.run(serve())
    return 0


def _raise_file_limit() -> None:
    """Each miss and each connection takes a descriptor, so take what we may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Sockets and tables go with the process; tearing down the interpreter only takes time.
    os._exit(code)
