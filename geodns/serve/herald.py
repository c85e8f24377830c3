"""Telling systemd how the server is (sd_notify(3)): ready, reloading, stopping, alive.

Where no service manager listens, nothing is said.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from geodns.serve.record import counted
from geodns.serve.reload import Reloader
from geodns.serve.supervisor import SILENCE_BOUND, Supervisor
from geodns.serve.upstreams import silent

LOOK = 0.1
"""Seconds between two looks at whether a reload is done."""
RELOAD_BOUND = 30.0
"""Seconds after which a reload is over for systemd, whatever became of it."""
STATUS_EVERY = 1.0

log = logging.getLogger("geodns.serve")


def notify(*lines: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send assignments (``READY=1``) to the socket that NOTIFY_SOCKET names, if it does."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.send("\n".join(lines).encode())


def watchdog_period(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants a sign of life, or None if it wants none of us."""
    usec = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not usec.isdecimal() or int(usec) == 0 or pid != str(os.getpid()):
        return None
    return int(usec) / 1e6


class Herald:
    """Speaks for a server that is ready."""

    def __init__(self, reloader: Reloader, supervisor: Supervisor) -> None:
        self._reloader = reloader
        self._supervisor = supervisor
        self._reloading: tuple[int, float] | None = None
        self._status = ""
        self._silent = False

    def ready(self) -> None:
        """The server answers."""
        self._status = self._describe()
        notify("READY=1", f"STATUS={self._status}")

    def reloading(self) -> None:
        """Everything is looked at anew."""
        self._reloading = self._done(), time.monotonic()
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """No more queries are read."""
        notify("STOPPING=1", "STATUS=draining")

    async def run(self) -> None:
        """Tell when reloads are done, what is in force, and that all workers live, for ever."""
        period = watchdog_period()
        every = STATUS_EVERY if period is None else min(STATUS_EVERY, period / 4)
        told = 0.0
        while True:
            await asyncio.sleep(LOOK if self._reloading is not None else every)
            now = time.monotonic()
            if self._reloading is not None:
                done, since = self._reloading
                if self._done() != done or now - since > RELOAD_BOUND:
                    self._reloading = None
                    self.ready()
            if now - told < every:
                continue
            told = now
            if period is not None and self.lively(now):
                notify("WATCHDOG=1")
            self._listen()
            if self._reloading is None and self._describe() != self._status:
                self._status = self._describe()
                notify(f"STATUS={self._status}")

    def lively(self, now: float) -> bool:
        """Whether every worker has given a sign of life lately. now: monotonic seconds.

        The supervisor replaces a silent worker; where that does not help, systemd has to.
        """
        return all(now - slot.heard <= 2 * SILENCE_BOUND for slot in self._supervisor.slots)

    def _listen(self) -> None:
        """Say once that upstreams have fallen silent, and that they answer again."""
        supervisor = self._supervisor
        found = silent(supervisor.upstreams(), len(supervisor.slots))
        if found and not self._silent:
            log.error("no upstream answers: names that no order blocks get SERVFAIL")
        elif self._silent and not found:
            log.info("an upstream answers again")
        self._silent = found

    def _done(self) -> int:
        return self._reloader.reloads + self._reloader.failures

    def _describe(self) -> str:
        reloader, slots = self._reloader, self._supervisor.slots
        orders = counted(len(reloader.snapshot.in_force), "order")
        told = f"{orders} in force, {counted(len(slots), 'worker')}"
        told += f", digest {reloader.load.digest[:12]}"
        told += "; no upstream answers" if self._silent else ""
        if faults := len(reloader.faults):
            told += f"; {counted(faults, 'fault')}, see: geodns status"
        return told
