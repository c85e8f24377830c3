"""The process of the block page, a child of ``geodns serve`` or ``geodns blockpage``.

Started as ``python -m geodns.blockpage.process``. Like a worker it is given loads over a
control pipe (snapshot, place tables, settings), answers nothing before the first one, reports
its counters once a second as its sign of life, and exits when the pipe closes. It ranks
behind the resolver for processor time and memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop

from geodns import app, logs
from geodns.blockpage.answer import Answers
from geodns.blockpage.follow import MISSES, Follower
from geodns.blockpage.http import PageServer
from geodns.errors import GeodnsError
from geodns.serve.inforce import InForce

COUNTERS_EVERY = 1.0
DRAIN_BOUND = 3.0
LINE_LIMIT = 64 << 20
_NICE = 10
_OUT_OF_MEMORY_SCORE = 500

log = logging.getLogger("geodns.blockpage")


class PageProcess:
    """The page server and its control pipe."""

    def __init__(self, control: socket.socket, listen: list[socket.socket]) -> None:
        """control: this end of the pipe. listen: bound TCP sockets."""
        self._control = control
        self._listen = listen
        self._server: PageServer | None = None
        self._in_force: InForce | None = None
        self._upstream: dict[str, Any] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to drain, or until the parent is gone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._done.set)
        reader, self._writer = await asyncio.open_unix_connection(
            sock=self._control, limit=LINE_LIMIT
        )
        tasks = [loop.create_task(self._obey(reader)), loop.create_task(self._report())]
        await self._done.wait()
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_BOUND):
                    await self._server.close(DRAIN_BOUND)
            self._tell({"counters": dict(self._server.answers.counters)})
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._writer.drain()
        for task in tasks:
            task.cancel()

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "load" in message:
                    await self._load(message["load"])
                elif "drain" in message:
                    break
        except OSError:
            pass
        except Exception as error:
            log.error("gives up: %s: %s", type(error).__name__, error)
        finally:
            self._done.set()

    async def _load(self, load: dict[str, Any]) -> None:
        settings = load["settings"]
        form, level = settings["log"]["format"], settings["log"]["level"]
        await asyncio.to_thread(logs.change, form, level, process="block page")
        try:
            in_force = await asyncio.to_thread(
                app.load_in_force,
                Path(load["snapshot"]),
                Path(load["places"]),
                load["stale"],
                self._in_force,
            )
            if self._server is None:
                answers = Answers(settings, in_force)
                self._server = PageServer(answers, settings["blockpage"]["connections"])
                for sock in self._listen:
                    await self._server.listen(sock)
            else:
                self._server.answers.apply(settings, in_force)
                self._server.connections = settings["blockpage"]["connections"]
            self._follow(settings["upstream"])
        except Exception as error:
            reason = str(error) if isinstance(error, GeodnsError) else repr(error)
            self._tell({"refused": reason})
            return
        self._in_force = in_force
        self._tell({"loaded": in_force.snapshot.digest})

    def _follow(self, upstream: dict[str, Any]) -> None:
        """Ask other upstreams from now on, where they have changed."""
        if upstream == self._upstream or self._server is None:
            return
        self._upstream = upstream
        answers = self._server.answers
        before, answers.follower = answers.follower, None
        if before is not None:
            before.close()
        if upstream["servers"]:
            answers.follower = Follower(app.make_forwarder(upstream, MISSES))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(COUNTERS_EVERY)
            counters = {} if self._server is None else dict(self._server.answers.counters)
            self._tell({"counters": counters})

    def _tell(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")


def _rank_behind() -> None:
    """Let the resolver have the processor and the memory first."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OUT_OF_MEMORY_SCORE))


def main(arguments: list[str] | None = None) -> int:
    """Run the page server on inherited file descriptors; returns the exit code."""
    parser = argparse.ArgumentParser(prog="geodns.blockpage.process")
    parser.add_argument("--control", type=int, required=True, help="descriptor of the pipe")
    parser.add_argument("--log", default="text", choices=("text", "json"), help="form of the log")
    parser.add_argument("--tcp", required=True, help="descriptors of bound sockets: 5,6")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logs.start(chosen.log, "info", process="block page")
    _rank_behind()
    control = socket.socket(fileno=chosen.control)
    control.setblocking(False)
    listen = [socket.socket(fileno=int(number)) for number in chosen.tcp.split(",")]

    async def serve() -> None:
        await PageProcess(control, listen).run()

    uvloop.run(serve())
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
