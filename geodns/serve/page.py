"""The parent's side of the block page: one child process, started again whenever it ends.

Nothing here ever waits for the page or fails with it: a load is written to its pipe and
forgotten, and a page that is dead, silent or refuses a load costs the resolver a log line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from geodns.serve.children import child_environment, ending
from geodns.serve.supervisor import Load

SILENCE_BOUND = 15.0
"""Seconds without a sign of life after which the child is replaced."""
START_BOUND = 60.0
"""Seconds that a new child may take to put its first load in force."""
DRAIN_BOUND = 5.0
"""Seconds that it may take to end."""
STEADY = 10.0
"""Seconds that it must have lived for its death not to slow down the next start."""
SLOWEST = 30.0
"""Seconds between the death of one that dies again and again and the next start."""
_LINE_LIMIT = 1 << 20

log = logging.getLogger("geodns.blockpage")


def page_command(log: str = "text") -> list[str]:
    """The command line that starts the page process, without its descriptors.

    log: the form of its log until it has its settings, ``text`` or ``json``.
    """
    return [sys.executable, "-P", "-m", "geodns.blockpage.process", f"--log={log}"]


class BlockPage:
    """Keeps the page process running, and hands it what is in force."""

    def __init__(
        self, sockets: Sequence[socket.socket], command: Sequence[str] | None = None
    ) -> None:
        """sockets: bound TCP sockets, which stay the caller's. command: starts the child."""
        self._sockets = sockets
        self._command = list(command or page_command())
        self._load: Load | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._counters: dict[str, int] = {}
        self._retired: dict[str, int] = {}
        self._heard = self._born = 0.0
        self._draining = asyncio.Event()
        self._refused: str | None = None
        self.digest: str | None = None
        self.restarts = 0
        self.ready = asyncio.Event()

    def load(self, load: Load) -> None:
        """Give the page another load; the first one starts it. Returns at once."""
        self._load = load
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
        self._send()

    def counters(self) -> dict[str, int]:
        """What the page has counted since the server started (``blockpage/...``)."""
        totals = dict(self._retired)
        for name, value in self._counters.items():
            totals[name] = totals.get(name, 0) + value
        return totals

    def describe(self) -> dict[str, Any]:
        """What ``geodns status`` says of it."""
        alive = self._writer is not None and self._process is not None
        listen = [list(sock.getsockname()[:2]) for sock in self._sockets]
        return {
            "listen": listen,
            "pid": self._process.pid if alive and self._process is not None else None,
            "digest": self.digest,
            "current": self._load is not None and self.digest == self._load.digest,
            "restarts": self.restarts,
        }

    async def drain(self) -> None:
        """End the page; what it is answering is answered."""
        self._draining.set()
        if self._task is None:
            return
        if self._writer is not None:
            self._writer.write(b'{"drain": true}\n')
        done, _ = await asyncio.wait((self._task,), timeout=DRAIN_BOUND)
        if not done:
            self._kill()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        quick_deaths = 0
        while not self._draining.is_set():
            try:
                told = await self._live()
            except OSError as error:
                told = error.strerror or str(error)
            if self._draining.is_set():
                return
            self.restarts += 1
            quick_deaths = 0 if time.monotonic() - self._born > STEADY else quick_deaths + 1
            delay = min(0.2 * 2**quick_deaths, SLOWEST)
            log.warning("the block page %s; it is started again in %.1f s", told, delay)
            await asyncio.sleep(delay)

    async def _live(self) -> str:
        """One child from start to end; returns how it ended."""
        self._born = self._heard = time.monotonic()
        ours, theirs = socket.socketpair()
        numbers = [sock.fileno() for sock in self._sockets]
        with theirs:
            ours.setblocking(False)
            try:
                process = subprocess.Popen(  # noqa: ASYNC220
                    [
                        *self._command,
                        f"--control={theirs.fileno()}",
                        f"--tcp={','.join(map(str, numbers))}",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), *numbers),
                    env=child_environment(),
                )
            except BaseException:
                ours.close()
                raise
        self._process = process
        watch = asyncio.create_task(self._watch())
        try:
            reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_LIMIT)
            self._send()
            with contextlib.suppress(OSError, ValueError):
                while line := await reader.readline():
                    self._hear(json.loads(line))
        finally:
            watch.cancel()
            await self._bury(process)
        return ending(process.returncode)

    async def _bury(self, process: subprocess.Popen[bytes]) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.digest = None
        self._retired, self._counters = self.counters(), {}
        try:
            await asyncio.to_thread(process.wait, 1)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        finally:
            # Also where this is being cancelled: no child is left behind.
            if process.poll() is None:
                process.kill()
                process.wait()

    def _hear(self, message: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        if "counters" in message:
            self._counters = message["counters"]
        elif "loaded" in message:
            self.digest = message["loaded"]
            self._refused = None
            self.ready.set()
        elif "refused" in message:
            if message["refused"] != self._refused:
                self._refused = message["refused"]
                log.error("the block page cannot take over what is in force: %s", self._refused)
            if self.digest is None:
                # It has nothing to serve with; a fresh start is all that can help.
                self._kill()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            late = now - self._heard > SILENCE_BOUND
            if late and (self.digest is not None or now - self._born > START_BOUND):
                log.error("the block page is silent")
                self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _send(self) -> None:
        load = self._load
        if self._writer is None or load is None:
            return
        message = {
            "load": {
                "snapshot": load.snapshot,
                "places": load.places,
                "stale": list(load.stale),
                "settings": load.settings,
            }
        }
        self._writer.write(json.dumps(message).encode() + b"\n")
