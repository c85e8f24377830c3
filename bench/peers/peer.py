"""What the benchmark asks of a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.machine import family, pinned
from bench.workload import Workload

SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def program(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name, path=SBIN)


class Peer:
    """One server with its own folder, port and settings.

    name: in tables. how: how it blocks by country, in a few words. forwards: whether it asks
    the upstream, so that misses mean something. changes: whether a name can be added while it
    runs. programs: what must be installed. pin: whether it keeps to the servers' core. variant:
    whether it is another set-up of the same program, measured in the full mode only.
    """

    name = ""
    how = ""
    forwards = True
    changes = True
    programs: tuple[str, ...] = ()
    pin = True
    variant = False

    def __init__(self, root: Path, work: Workload, port: int, upstream: int) -> None:
        self.root = root / self.name.replace(" ", "-").replace(",", "")
        self.root.mkdir(parents=True)
        self.work = work
        self.port = port
        self.upstream = upstream
        self._started: list[subprocess.Popen[bytes]] = []

    @classmethod
    def missing(cls) -> str:
        """Why it cannot run here; empty if it can."""
        absent = [name for name in cls.programs if program(name) is None]
        return f"{', '.join(absent)} not installed" if absent else ""

    def write(self) -> None:
        """Write its settings and lists into its folder."""

    def start(self) -> None:
        """Start it, on the servers' core; does not wait."""
        raise NotImplementedError

    def add(self, name: str) -> None:
        """Block one more name for clients in the first place, its own way."""
        raise NotImplementedError

    def run(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Start one process of it."""
        log = (self.root / f"log{len(self._started)}").open("wb")
        told = {**os.environ, **environment} if environment else None
        self._started.append(
            subprocess.Popen(
                pinned(command) if self.pin else command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory(),
                env=told,
            )
        )

    def directory(self) -> Path:
        """Where its processes are started."""
        return self.root

    def pids(self) -> list[int]:
        """Its processes, with those that they started."""
        return [pid for process in self._started for pid in family(process.pid)]

    def died(self) -> bool:
        """Whether a process of it has ended."""
        return any(process.poll() is not None for process in self._started)

    def log(self) -> str:
        """The end of what it said."""
        text = "".join(path.read_text(errors="replace") for path in sorted(self.root.glob("log?")))
        return text[-2000:]

    def stop(self) -> None:
        """End its processes."""
        for process in self._started:
            process.terminate()
        limit = time.monotonic() + 20
        for process in self._started:
            try:
                process.wait(max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._started.clear()

    def codes(self) -> Iterator[tuple[int, str]]:
        """Place numbers with their codes in lower case."""
        for at, code in enumerate(self.work.places):
            yield at, code.lower()


def tool(*command: str, text: str | None = None) -> None:
    """Run a control program of a server to its end; what it printed is in the error."""
    path = program(command[0]) or command[0]
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, input=text)
    if done.returncode:
        said = " ".join(f"{done.stdout}{done.stderr}".split())
        raise RuntimeError(f"{command[0]} {command[-1] if command[1:] else ''}: {said}")


def write_rpz(path: Path, names: Iterable[str]) -> Path:
    """Write a response policy zone that says NXDOMAIN for names (not for what is below them)."""
    with path.open("w") as file:
        file.write(
            "$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n"
        )
        file.writelines(f"{name} CNAME .\n" for name in names)
    return path
