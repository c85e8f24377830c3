"""Attacks a running server, one attack after another, while somebody asks normally.

    python -m tests.attack.run [--seconds 8] [--only NAME] [--write]

Loopback only, and less than three minutes. --write puts the tables into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.attack.attackers import ATTACKS, BACK, OUT, SENT
from tests.attack.bystander import Bystander
from tests.live import pages
from tests.scenarios.asking import build
from tests.serve.running import ROOT, Running, running, write_settings

LIMITS = "[limits]\nresponses_per_second = 20\ntcp_idle = 2.0\n"
CALM = 3.0
"""Seconds after an attack in which the server comes to rest."""
WATCHED = (
    *("rate/dropped", "rate/truncated", "overload/client", "overload", "upstream/mismatched"),
    *("tcp/accepted", "tcp/displaced", "tcp/refused", "tcp/cut", "malformed", "dropped"),
    *("internal_errors", "udp/unsent"),
)
MIB = 1024.0


@dataclass
class Memory:
    """PSS in MiB, of the parent and of all workers: before, at its worst, and after."""

    before: tuple[float, float]
    worst: tuple[float, float]
    after: tuple[float, float] = (0.0, 0.0)


def memory_of(server: Running) -> tuple[float, float]:
    """PSS in MiB of the parent, and of its children together."""
    parent = server.process.pid
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return _pss(parent), sum(_pss(int(pid)) for pid in text.split())


def _pss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / MIB for line in lines if line.startswith("Pss:")), 0.0)


@contextmanager
def watching(server: Running) -> Iterator[Memory]:
    """Look at the memory twice a second."""
    first = memory_of(server)
    found, stop = Memory(first, first), threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            now = memory_of(server)
            found.worst = max(found.worst[0], now[0]), max(found.worst[1], now[1])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        found.after = memory_of(server)


@contextmanager
def upstream() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.attack.upstream", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield port
        finally:
            process.kill()


def attack(server: Running, name: str | None, seconds: float) -> tuple[list[str], list[str]]:
    """Run one attack; its rows for the two tables. No name: nobody attacks."""
    before = server.status()["counters"]
    tally = multiprocessing.Array("Q", 3, lock=False)
    with watching(server) as memory:
        with Bystander(server.port) as bystander:
            attacker = None
            if name is not None:
                attacker = multiprocessing.get_context("fork").Process(
                    target=ATTACKS[name], args=(server.port, tally), daemon=True
                )
                attacker.start()
            time.sleep(seconds)
        if attacker is not None:
            attacker.kill()
            attacker.join()
        time.sleep(CALM)
    after = server.status()
    assert after["restarts"] == 0, "a worker died"
    counters = after["counters"]
    changes = {key: counters.get(key, 0) - before.get(key, 0) for key in WATCHED}
    moved = [f"{key} {change:,}" for key, change in changes.items() if change]
    effect = "-"
    if name == "forged sources":
        effect = f"{tally[BACK] / max(1, tally[OUT]):.2f} octets back for each sent"
    elif name == "forged replies":
        effect = f"{tally[BACK]} poisoned answers"
    told = [
        name or "none",
        f"{tally[SENT]:,}",
        *(str(share) for share in (bystander.known, bystander.new, bystander.tcp)),
        effect,
    ]
    sizes = [f"{of[0]:.0f} + {of[1]:.0f}" for of in (memory.before, memory.worst, memory.after)]
    return told, [name or "none", *sizes, ", ".join(moved) or "-"]


def unlimited(port: int) -> float:
    """Octets of one wide answer for each octet of its query: what there would be to gain."""
    packet = build("wide.example", edns=4096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.99.0.1", 0))
        sock.settimeout(5)
        sock.sendto(packet, ("127.0.0.1", port))
        return len(sock.recv(65535)) / len(packet)


def table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run the attacks and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack, 15 at most")
    parser.add_argument("--only", choices=tuple(ATTACKS), help="one attack and no other")
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md")
    chosen = parser.parse_args()
    seconds = min(chosen.seconds, 15.0)
    rows, sizes = [], []
    with tempfile.TemporaryDirectory() as folder, upstream() as port:
        settings = write_settings(Path(folder), port, LIMITS)
        with running(settings) as server:
            factor = unlimited(server.port)
            for name in (None, *ATTACKS):
                if chosen.only in (None, name) or name is None:
                    told, size = attack(server, name, seconds)
                    rows.append(told)
                    sizes.append(size)
                    print("; ".join((*told, *size[1:])), flush=True)
            fast = server.status()["fast_path"]
    kernel, cores = os.uname().release, os.cpu_count()
    text = (
        f"{seconds:.0f} s each, 2 workers, fast path {fast}, {cores} cores that everybody shares,"
        f" Linux {kernel}. One answer that the forged sources ask for has {factor:.1f} times the"
        " octets of its query.\n\n"
        + table(
            ("attack", "packets or connections", "known names", "new names", "TCP", "effect"), rows
        )
        + "\n\n"
        + table(("attack", "before", "worst", "after", "counters that moved"), sizes)
    )
    print(text)
    if chosen.write:
        pages.write("attack", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
