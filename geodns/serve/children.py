"""Processes that this one starts of its own program, and the spare worker it keeps.

A process takes some tenths of a second to come up, longer on a busy machine. So one worker
more than needed is started ahead; it waits for its first load and takes the place of
whichever worker dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geodns

_LINE_LIMIT = 64 << 20


def worker_command(log: str = "text") -> list[str]:
    """The command line that starts a worker, without its descriptors.

    log: the form of its log until it has its settings, ``text`` or ``json``.
    """
    return [sys.executable, "-P", "-m", "geodns.serve.worker", f"--log={log}"]


def child_environment() -> dict[str, str]:
    """The environment in which a child process finds the same geodns as this one."""
    root = Path(geodns.__file__).resolve().parent.parent
    environment = dict(os.environ)
    if root.name not in ("site-packages", "dist-packages"):
        paths = [str(root), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


@dataclass(frozen=True, slots=True)
class Child:
    """A worker process and the parent's end of its control pipe."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Spares:
    """Starts workers, one ahead of need."""

    def __init__(
        self, command: Sequence[str], udp: Sequence[Sequence[int]], tcp: Sequence[Sequence[int]]
    ) -> None:
        """udp, tcp: descriptors of each worker's sockets; a spare one inherits all of them."""
        self._command = [*command, f"--udp={_written(udp)}", f"--tcp={_written(tcp)}"]
        self._descriptors = [number for part in (*udp, *tcp) for number in part]
        self._spare: asyncio.Task[Child] | None = None

    def refill(self) -> None:
        """Start a spare worker, if there is none."""
        if self._spare is None:
            self._spare = asyncio.create_task(self._start())

    async def take(self) -> Child:
        """The spare worker, if it lives, else a new one. Raises OSError."""
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(OSError):
                child = await spare
                if child.process.poll() is None:
                    return child
                child.writer.close()
        return await self._start()

    async def _start(self) -> Child:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            try:
                # It takes a few ms, and the loop of the parent carries no queries.
                process = subprocess.Popen(  # noqa: ASYNC220
                    [*self._command, f"--control={theirs.fileno()}"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), *self._descriptors),
                    env=child_environment(),
                )
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_LIMIT)
        return Child(process, reader, writer)

    async def close(self) -> None:
        """End the spare worker."""
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(OSError):
                child = await spare
                child.process.kill()
                child.writer.close()
                await asyncio.to_thread(child.process.wait)


def _written(descriptors: Sequence[Sequence[int]]) -> str:
    return ";".join(",".join(map(str, part)) for part in descriptors)


def ending(code: int | None) -> str:
    """How a process ended, from its return code (negative: the signal)."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"
