"""What costs the least: an echo in C, and plain Python programs with one dict."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.machine import compile_c
from bench.peers.peer import Peer


class Echo(Peer):
    """The ceiling."""

    name = "C echo"
    how = "recvmmsg and sendmmsg, thinks of nothing"
    forwards = False
    changes = False
    programs = ("gcc",)

    def write(self) -> None:
        """Compile it."""
        compile_c("echo", self.root)

    def start(self) -> None:
        """Start it."""
        self.run([str(self.root / "echo"), str(self.port)])


class PlainSocket(Peer):
    """A blocking socket."""

    name = "plain Python, socket"
    how = "one dict, answers made up"
    forwards = False
    changes = False
    kind = "socket"

    def write(self) -> None:
        """Write its list of names."""
        with (self.root / "names").open("w") as file:
            for at, _ in self.codes():
                file.writelines(f"{40 + at} {name}\n" for name in self.work.blocked(at))

    def directory(self) -> Path:
        """Where this package is found."""
        return Path(__file__).parent.parent.parent

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "bench.plain", self.kind, str(self.port)]
        self.run([*command, str(self.root / "names")])


class PlainUvloop(PlainSocket):
    """A protocol on uvloop."""

    name = "plain Python, uvloop"
    kind = "uvloop"
