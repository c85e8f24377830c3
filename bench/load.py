"""Loads: several dnsperf with one client address each, and the probe with many."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import cpu_seconds, pinned
from bench.workload import Workload, client, write_packets, write_queries

PLACES = 4
"""How many dnsperf run at once, each as a client of another place."""
FLIGHT = 48
"""Queries under way of each dnsperf."""
HOSTS = 128
"""Client addresses of the probe in each place."""

_FIGURES = {
    "sent": r"Queries sent:\s+(\d+)",
    "completed": r"Queries completed:\s+(\d+)",
    "lost": r"Queries lost:\s+(\d+)",
    "seconds": r"Run time \(s\):\s+([\d.]+)",
    "nxdomain": r"NXDOMAIN (\d+)",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a load came to. us: CPU time of the server's processes a query, microseconds."""

    us: float
    qps: float
    completed: int
    lost: int
    blocked: float


class Load:
    """Query files of a workload, and the loads made of them."""

    def __init__(self, work: Workload, rounds: int, probe: Path | None) -> None:
        """Write the files. rounds: how many miss rounds there are; each has names of its own."""
        self.probe_program = probe
        root = work.root
        chosen = range(min(PLACES, len(work.places)))
        self.warm = [write_queries(root / f"warm{at}", work.asked(at)) for at in chosen]
        self.open = write_queries(root / "open", work.open_names())
        each = work.cold // len(chosen)
        self.cold = [
            [
                write_queries(
                    root / f"cold{turn}.{at}",
                    (f"cold{turn}-{at}-{number}.open.bench" for number in range(each)),
                )
                for at in chosen
            ]
            for turn in range(rounds)
        ]
        self.packets = write_packets(root / "packets", work, HOSTS, 40_000)

    def dnsperf(
        self,
        port: int,
        pids: list[int],
        files: Sequence[Path],
        seconds: float = 0,
        sockets: int = 2,
    ) -> Figures:
        """Ask from one address a file, for a time or, with none, through the files once."""
        before = cpu_seconds(pids)
        running = []
        for at, path in enumerate(files):
            command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-a", client(at)]
            command += ["-d", str(path), "-c", str(sockets), "-q", str(FLIGHT), "-e", "-t", "3"]
            command += ["-l", str(seconds)] if seconds else ["-n", "1"]
            running.append(
                subprocess.Popen(
                    pinned(command, load=True),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        texts = [process.communicate()[0] for process in running]
        used = cpu_seconds(pids) - before
        told = [_read(text) for text in texts]
        completed = sum(figures["completed"] for figures in told)
        return Figures(
            used / max(completed, 1) * 1e6,
            sum(figures["completed"] / max(figures["seconds"], 1e-9) for figures in told),
            int(completed),
            int(sum(figures["lost"] for figures in told)),
            sum(figures["nxdomain"] for figures in told) / max(completed, 1),
        )

    def probe(self, port: int, *, rate: float = 0, flight: int = 192, seconds: float = 0) -> Probe:
        """Start the probe; see bench/probe.c for what it does."""
        if self.probe_program is None:
            raise RuntimeError("the probe is not compiled")
        words = [port, self.packets, rate, flight, seconds]
        return Probe([str(self.probe_program), *(str(word) for word in words)])

    def many(self, port: int, pids: list[int], seconds: float) -> Figures:
        """The warm load from all client addresses."""
        before = cpu_seconds(pids)
        told = self.probe(port, seconds=seconds).result()
        used = cpu_seconds(pids) - before
        received = max(told["received"], 1)
        return Figures(
            used / received * 1e6,
            told["received"] / told["seconds"],
            int(told["received"]),
            int(told["lost"]),
            told["blocked"] / received,
        )


class Probe:
    """A running probe."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            pinned(command, load=True), stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> dict[str, float]:
        """End it; returns what it measured."""
        self._process.send_signal(signal.SIGTERM)
        return self.result()

    def result(self) -> dict[str, float]:
        """Wait for its end; returns what it measured."""
        text = self._process.communicate()[0]
        found: dict[str, float] = json.loads(text)
        return found


def _read(text: str) -> dict[str, float]:
    """Dnsperf's own figures."""
    found = {}
    for key, pattern in _FIGURES.items():
        match = re.search(pattern, text)
        found[key] = float(match[1]) if match else 0.0
    if not found["sent"]:
        raise RuntimeError(f"dnsperf said: {text[-500:]}")
    return found
