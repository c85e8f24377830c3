"""Figures of this server alone: what orders cost, workers, memory, compiling, changes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench import stages
from bench.load import Load
from bench.machine import free_port, memory_mib, pinned
from bench.peers.geodns import HERE, Geodns
from bench.stages import Change, Result
from bench.workload import BRIEF, Workload, places

Say = Callable[[str], None]
RATES = (2_000, 50_000)
TURN = 0.5
"""Seconds of each turn with or without orders: many short ones, since machines waver."""


class Figures:
    """Measures them one after the other in one folder."""

    def __init__(
        self, options: argparse.Namespace, root: Path, work: Workload, load: Load, upstream: int
    ) -> None:
        self._options = options
        self._root = root
        self._work = work
        self._load = load
        self._upstream = upstream
        self._tables: Geodns | None = None

    def _make(self, name: str, work: Workload) -> Geodns:
        class Named(Geodns):
            pass

        Named.name = name
        peer = Named(self._root, work, free_port(), self._upstream)
        peer.before = self._tables if work is self._work else None
        return peer

    @contextmanager
    def _running(self, *peers: Geodns) -> Iterator[list[Result]]:
        """Start servers, checked where they block; stop them at the end."""
        results = []
        try:
            for peer in peers:
                result = Result(peer.name, peer.how)
                peer.changes = peer.orders
                if not stages.start(peer, peer.work, result):
                    raise RuntimeError(f"{peer.name}: {result.skipped}")
                results.append(result)
            yield results
        finally:
            for peer in peers:
                peer.stop()

    def orders(self) -> dict[str, Any]:
        """What orders add to names that no order names: with and without, in turns."""
        peer = self._make("orders-with", self._work)
        bare = self._make("orders-without", self._work)
        bare.orders = False
        files = [self._load.open] * len(self._load.warm)
        rows = []
        with self._running(peer, bare):
            self._tables = peer
            for each in (peer, bare):
                self._load.dnsperf(each.port, [], files)
            for number in range(self._options.pairs):
                pair = [peer, bare] if number % 2 else [bare, peer]
                us = {
                    each.name: self._load.dnsperf(each.port, each.pids(), files, TURN).us
                    for each in pair
                }
                rows.append((us[peer.name], us[bare.name]))
        differences = [(with_ - without) * 1000 for with_, without in rows]
        low, _, high = quantiles(differences, n=4)
        return {
            "with_us": median(row[0] for row in rows),
            "without_us": median(row[1] for row in rows),
            "ns": median(differences),
            "low_ns": low,
            "high_ns": high,
            "pairs": len(rows),
        }

    def workers(self) -> dict[str, Any]:
        """One and two workers: throughput, CPU a query, memory, changes, a second start."""
        one, two = self._make("one-worker", self._work), self._make("two-workers", self._work)
        two.workers, two.pin, two.cache = 2, False, "64MiB"  # the default
        rows = []
        with self._running(one, two):
            for each in (one, two):
                stages.warm_up(each, self._load)
            for _ in range(self._options.rounds):
                rows.append(
                    tuple(
                        self._load.many(each.port, each.pids(), self._options.seconds)
                        for each in (one, two)
                    )
                )
            _, pss = memory_mib(two.pids())
            changes = {str(rate): self._changes(two, rate) for rate in RATES}
            two.stop()
            begun = time.monotonic()
            again = Result(two.name, "")
            two.start()
            stages.wait(two, self._work, again)
            ready = time.monotonic() - begun
        return {
            "one_qps": median(row[0].qps for row in rows),
            "two_qps": median(row[1].qps for row in rows),
            "one_us": median(row[0].us for row in rows),
            "two_us": median(row[1].us for row in rows),
            "pss_mib": pss,
            "ready_again": ready,
            "changes": changes,
        }

    def _changes(self, peer: Geodns, rate: int) -> dict[str, Any]:
        made: list[Change] = []
        took = []
        calm = self._load.probe(peer.port, rate=rate, seconds=1).result()
        for number in range(max(3, self._options.changes)):
            change = stages.change(peer, self._load, f"new{rate}-{number}.{BRIEF}", rate)
            if isinstance(change, str):
                return {"failed": change}
            made.append(change)
            took.append(peer.status()["reload"]["took"])
            time.sleep(0.3)
        return {
            "seconds": median(change.seconds for change in made),
            "took": median(took),
            "lost": sum(change.lost for change in made),
            "worst_ms": max(change.worst_ms for change in made),
            "calm_ms": calm["worst"] / 1000,
            "late_ms": max(change.late_ms for change in made),
            "all": [asdict(change) for change in made],
        }

    def compiling(self, work: Workload, name: str) -> dict[str, Any]:
        """Order files to a mapped snapshot, in a process of their own."""
        peer = self._make(name, work)
        peer.write()
        command = [sys.executable, "-m", "bench.compiling"]
        command += [str(peer.root / "orders"), str(peer.root / "state")]
        done = subprocess.run(pinned(command), capture_output=True, text=True, cwd=HERE)
        if done.returncode:
            return {"failed": done.stderr[-500:]}
        return {"names": work.names, "places": len(work.places), **json.loads(done.stdout)}

    def flat(self) -> dict[str, Any]:
        """One place with few names, and 200 places with many: warm, in turns."""
        sizes = ((100_000, 1), (10_000_000, 200))
        found: dict[str, Any] = {}
        peers, loads = [], []
        for names, count in sizes:
            root = self._root / f"flat{count}"
            root.mkdir()
            work = Workload(root, names, tuple(places(count)))
            peers.append(self._make(f"flat-{count}", work))
            loads.append(Load(work, 0, self._load.probe_program))
        with self._running(*peers) as results:
            rows: list[list[float]] = [[], []]
            for peer, load in zip(peers, loads, strict=True):
                stages.warm_up(peer, load)
            for _ in range(self._options.rounds):
                for peer, load, row in zip(peers, loads, rows, strict=True):
                    row.append(load.many(peer.port, peer.pids(), self._options.seconds).us)
            for (names, count), result, peer, row in zip(sizes, results, peers, rows, strict=True):
                found[str(count)] = {
                    "names": names,
                    "places": count,
                    "us": median(row),
                    "ready": result.ready,
                    "pss_mib": memory_mib(peer.pids())[1],
                }
        return found


def measure(
    options: argparse.Namespace, root: Path, work: Workload, load: Load, upstream: int, say: Say
) -> dict[str, Any]:
    """All figures; one that fails says why in its place."""
    figures = Figures(options, root, work, load, upstream)
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "orders": figures.orders,
        "workers": figures.workers,
        "compile": lambda: figures.compiling(work, "compiling"),
    }
    if options.full:
        steps["flat"] = figures.flat
        large = Workload(root, 10_000_000, tuple(places(200)))
        steps["compile_large"] = lambda: figures.compiling(large, "compiling-large")
    found: dict[str, Any] = {}
    for name, step in steps.items():
        say(f"  geodns: {name} ...")
        try:
            found[name] = step()
        except (OSError, RuntimeError, ValueError) as error:
            found[name] = {"failed": str(error)}
        say(f"  geodns: {name}: {json.dumps(found[name])[:300]}")
    return found
