"""A real server on loopback, an upstream for it, and a client that counts what it loses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodns.serve import control

IT, FR = "127.39.0.1", "127.33.0.1"
FEED = "127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n"
ROOT = Path(__file__).resolve().parents[2]
UP_TIME = 30.0


def wire(name: str) -> bytes:
    return b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"


def query(ident: int, name: str, qtype: int = 1) -> bytes:
    return (
        struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0)
        + wire(name)
        + struct.pack("!HH", qtype, 1)
    )


class Upstream:
    """Answers every question with the address 192.0.2.7, over UDP, in a thread."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._stop = threading.Event()
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        record = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 300, 4, bytes((192, 0, 2, 7)))
        self._socket.settimeout(0.2)
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                packet, peer = self._socket.recvfrom(4096)
                end = packet.index(0, 12) + 5
                head = packet[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
                self._socket.sendto(head + packet[12:end] + record, peer)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


def order(ident: str, *domains: str, **keys: str) -> str:
    """The text of an order file; keys replace or add top-level values (TOML)."""
    top = {"id": f'"{ident}"', "title": f'"Order {ident}"', "status": '"active"', **keys}
    names = ", ".join(f'"{domain}"' for domain in domains)
    return "\n".join(
        [
            *(f"{key} = {value}" for key, value in top.items()),
            '[authority]\nname = "Tribunale"\nkind = "court"',
            "[dates]\neffective = 2022-07-11",
            f"[targets]\ndomains = [{names}]\n",
        ]
    )


def save(path: Path, text: str) -> None:
    """Write a file as a careful editor does: whole, under its name at once."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


@dataclass
class Running:
    process: subprocess.Popen[str]
    folder: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.ready["ready"][0][1])

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = control.ask(self.folder / "state", "status")
        return found

    def until(self, told: str, condition: Any) -> dict[str, Any]:
        """Wait until the status fulfils a condition."""
        end = time.monotonic() + UP_TIME
        while True:
            found = self.status()
            if condition(found):
                return found
            assert time.monotonic() < end, f"{told}: {json.dumps(found, indent=1)}"
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text()


def write_settings(folder: Path, upstream: int, more: str = "", workers: int = 2) -> Path:
    (folder / "orders" / "IT").mkdir(parents=True, exist_ok=True)
    (folder / "feed.csv").write_text(FEED)
    settings = folder / "geodns.toml"
    # What tests count is what they ask. Not at the end, where they add keys of [geoip].
    quiet = "" if "[ledger]" in more else "[ledger]\nprobe = false\n"
    settings.write_text(
        f'[server]\nlisten = ["127.0.0.1:0"]\nworkers = {workers}\nstate = "state"\n'
        f'[upstream]\nservers = ["127.0.0.1:{upstream}"]\n'
        f'{quiet}[geoip]\ndatabases = []\ngeofeeds = ["feed.csv"]\n{more}'
    )
    return settings


def launch(settings: Path, *arguments: str) -> subprocess.Popen[str]:
    with (settings.parent / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "geodns", "serve", "--json", "-c", str(settings), *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
        )


@contextlib.contextmanager
def running(settings: Path, *arguments: str) -> Iterator[Running]:
    """Run ``geodns serve`` on a settings file; ends with SIGTERM, which must drain cleanly."""
    process = launch(settings, *arguments)
    assert process.stdout is not None
    server = Running(process, settings.parent)
    try:
        readable, _, _ = select.select([process.stdout], [], [], UP_TIME)
        line = process.stdout.readline() if readable else ""
        assert line, f"not ready: {server.log()}"
        server.ready = json.loads(line)
        yield server
        process.send_signal(signal.SIGTERM)
        assert process.wait(UP_TIME) == 0, server.log()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def ask(port: int, name: str, source: str = IT, timeout: float = 5.0) -> int:
    """Ask once over UDP from a new port; returns the response code."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(timeout)
        ident = int.from_bytes(os.urandom(2), "big")
        sock.sendto(query(ident, name), ("127.0.0.1", port))
        reply, peer = sock.recvfrom(4096)
        assert peer == ("127.0.0.1", port)
        assert reply[:2] == ident.to_bytes(2, "big")
        return reply[3] & 15


def everywhere(port: int, name: str, rcode: int, source: str = IT, sockets: int = 16) -> bool:
    """Whether each of many source ports, and so each worker, gets a response code."""
    return all(ask(port, name, source) == rcode for _ in range(sockets))


@dataclass
class Asked:
    name: str
    expect: int | None
    sent: float
    tries: int = 1


class Load(asyncio.DatagramProtocol):
    """Asks at a steady pace from several ports of one address, and asks again what is lost.

    wrong: replies with another response code than expected. again: queries that had no reply
    within RETRY seconds and were sent again. late: those of them whose first try was answered
    after all.
    """

    RETRY = 1.0

    def __init__(self, source: str, port: int) -> None:
        self._address = (source, port)
        self._transports: list[asyncio.DatagramTransport] = []
        self._open: dict[tuple[int, int], Asked] = {}
        self._count = 0
        self.sent = self.answered = self.again = self.late = 0
        self._repeated: set[tuple[int, int]] = set()
        self.wrong: list[tuple[str, int]] = []
        self.slowest = 0.0

    async def open(self, sockets: int) -> None:
        loop = asyncio.get_running_loop()
        for number in range(sockets):
            transport, _ = await loop.create_datagram_endpoint(
                lambda number=number: _Port(self, number),  # type: ignore[misc]
                local_addr=(self._address[0], 0),
                remote_addr=("127.0.0.1", self._address[1]),
            )
            self._transports.append(transport)

    def ask(self, name: str, expect: int | None) -> None:
        self._count += 1
        number = self._count % len(self._transports)
        ident = self._count // len(self._transports) & 0xFFFF
        key = (number, ident)
        assert key not in self._open
        self._open[key] = Asked(name, expect, time.monotonic())
        self.sent += 1
        self._transports[number].sendto(query(ident, name))

    def received(self, number: int, data: bytes) -> None:
        key = (number, int.from_bytes(data[:2], "big"))
        asked = self._open.pop(key, None)
        if asked is None:
            self.late += key in self._repeated
            self._repeated.discard(key)
            return
        self.answered += 1
        self.slowest = max(self.slowest, time.monotonic() - asked.sent)
        if asked.expect is not None and data[3] & 15 != asked.expect:
            self.wrong.append((asked.name, data[3] & 15))

    def repeat(self) -> None:
        now = time.monotonic()
        for (number, ident), asked in self._open.items():
            if now - asked.sent > self.RETRY * asked.tries:
                self.again += asked.tries == 1
                self._repeated.add((number, ident))
                asked.tries += 1
                self._transports[number].sendto(query(ident, asked.name))

    @property
    def missing(self) -> list[Asked]:
        return list(self._open.values())

    def close(self) -> None:
        for transport in self._transports:
            transport.close()


class _Port(asyncio.DatagramProtocol):
    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._load.received(self._number, data)

    def error_received(self, exc: Exception) -> None:
        pass
