"""Throughput and CPU time a query of the running server, under dnsperf on loopback.

``make bench`` or ``python -m bench.run [--names N] [--seconds S] [--rounds R] [--json]``.
It is a benchmark, not a test: nothing depends on a time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.workload import CLIENT, Workload, start_upstream, write_workload

_TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def workers_of(parent: int) -> list[int]:
    """Process ids of the children of a process that are workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(stat[1]) == parent and b"geodns.serve.worker" in command:
            found.append(int(entry.name))
    return sorted(found)


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that processes have used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


def memory_mib(pids: list[int]) -> float:
    """Memory of processes with shared pages counted once (PSS)."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        match = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
        total += int(match[1]) if match else 0
    return total / 1024


def dnsperf(port: int, queries: Path, *, seconds: int, once: bool) -> dict[str, float]:
    """Run dnsperf from the client's address; returns its own figures."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-a", CLIENT, "-d", str(queries)]
    command += ["-c", "8", "-q", "64", "-e"]
    command += ["-n", "1"] if once else ["-l", str(seconds)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = {}
    for key, pattern in {
        "sent": r"Queries sent:\s+(\d+)",
        "completed": r"Queries completed:\s+(\d+)",
        "lost": r"Queries lost:\s+(\d+)",
        "qps": r"Queries per second:\s+([\d.]+)",
        "latency": r"Average Latency \(s\):\s+([\d.]+)",
        "nxdomain": r"NXDOMAIN (\d+)",
    }.items():
        match = re.search(pattern, text)
        figures[key] = float(match[1]) if match else 0.0
    return figures


def measure(
    kind: str, pids: list[int], port: int, queries: Path, *, seconds: int, once: bool
) -> dict[str, float | str]:
    """One round: dnsperf's figures and the workers' CPU time for each query they answered."""
    before = cpu_seconds(pids)
    figures = dnsperf(port, queries, seconds=seconds, once=once)
    used = cpu_seconds(pids) - before
    return {"kind": kind, "us": used / max(figures["completed"], 1) * 1e6, **figures}


def serve(work: Workload, log: Path) -> tuple[subprocess.Popen[str], float]:
    """Start the server; returns it and the seconds until its ready line."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "geodns", "serve", "-c", str(work.settings)],
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if "ready" not in line:
        raise SystemExit(f"the server did not start: {line}{log.read_text()}")
    return process, time.monotonic() - begun


def split(queries: Path, rounds: int) -> list[Path]:
    """Cut a query file into one part a round, so that a cold name stays cold."""
    lines = queries.read_text().splitlines()
    parts = []
    for at in range(rounds):
        part = queries.with_suffix(f".{at}")
        part.write_text("\n".join(lines[at::rounds]) + "\n")
        parts.append(part)
    return parts


def run(options: argparse.Namespace, root: Path) -> dict[str, object]:
    """The whole benchmark in one folder."""
    port, upstream_port = free_port(), free_port()
    work = write_workload(
        root,
        names=options.names,
        upstream=upstream_port,
        port=port,
        warm=10_000,
        cold=options.cold * options.rounds,
        workers=options.workers,
    )
    upstream, told = start_upstream(root, upstream_port)
    server = None
    try:
        _, first = stop(*serve(work, root / "first.log"))
        server, ready = serve(work, root / "server.log")
        pids = workers_of(server.pid)
        dnsperf(port, work.warm, seconds=0, once=True)
        rows = []
        parts = split(work.cold, options.rounds)
        for at in range(options.rounds):
            seconds = options.seconds
            rows.append(measure("warm", pids, port, work.warm, seconds=seconds, once=False))
            rows.append(measure("cold", pids, port, parts[at], seconds=seconds, once=True))
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
            f"{platform.python_version()}, {platform.system()} {platform.release()}",
            "upstream": told,
            "names": options.names,
            "workers": len(pids),
            "ready_first_s": first,
            "ready_s": ready,
            "pss_mib": memory_mib([server.pid, *pids]),
            "rounds": rows,
        }
    finally:
        if server is not None:
            stop(server, 0.0)
        upstream.send_signal(signal.SIGTERM)
        upstream.wait(10)


def stop(process: subprocess.Popen[str], value: float) -> tuple[int, float]:
    """Stop the server; returns its exit code and the value given."""
    process.send_signal(signal.SIGTERM)
    return process.wait(30), value


def report(result: dict[str, object]) -> str:
    """The result as the Markdown table of docs/benchmarks.md."""
    rows = result["rounds"]
    assert isinstance(rows, list)
    lines = [
        f"{result['date']}, {result['machine']}; upstream {result['upstream']}; "
        f"{result['names']:,} names of 30 countries, {result['workers']} worker(s), "
        "10 % of the warm queries blocked; medians of the rounds.",
        "",
        "| load | CPU us/query | queries/s | mean latency ms | lost | rounds |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for kind in ("warm", "cold"):
        chosen = [row for row in rows if row["kind"] == kind]

        def middle(key: str, chosen: list[dict[str, float]] = chosen) -> float:
            return median(row[key] for row in chosen)

        lost = int(sum(row["lost"] for row in chosen))
        lines.append(
            f"| {kind} | {middle('us'):.1f} | {middle('qps'):,.0f} | "
            f"{middle('latency') * 1000:.2f} | {lost} | {len(chosen)} |"
        )
    lines += [
        "",
        f"Ready after {result['ready_s']:.1f} s ({result['ready_first_s']:.1f} s the first time, "
        "when the place tables are built); memory of parent and workers, shared pages counted "
        f"once: {result['pss_mib']:.0f} MiB.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=100_000, help="blocked names in all")
    parser.add_argument("--seconds", type=int, default=5, help="length of a warm round")
    parser.add_argument("--cold", type=int, default=50_000, help="names in a cold round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("dnsperf") is None:
        print("dnsperf is not installed (Debian: apt-get install dnsperf nsd)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="geodns-bench-") as folder:
        result = run(options, Path(folder))
    print(json.dumps(result, indent=2) if options.json else report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
