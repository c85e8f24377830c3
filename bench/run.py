"""Servers that block by country, side by side in one run on loopback.

``make bench`` takes some minutes; ``make bench ARGS=--full`` takes the large workload. It is a
benchmark, not a test: nothing depends on a time. Results go to the terminal, to a JSON file
and, with --write, into docs/benchmarks.md and its plot.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import figures, report, stages
from bench.load import Load
from bench.machine import compile_c, description, free_port, pinned
from bench.peers import PEERS
from bench.peers.peer import Peer
from bench.plot import plot
from bench.stages import Result
from bench.upstream import start_upstream
from bench.workload import COUNTRIES, Workload

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def measure(
    options: argparse.Namespace, root: Path, work: Workload, load: Load, upstream: int
) -> list[Result]:
    """Start all servers, load them in turns, change their lists."""
    results, running = [], []
    try:
        for kind in PEERS:
            if kind.variant and not options.full and not options.only:
                continue
            if options.only and not any(word in kind.name.lower() for word in options.only):
                continue
            result = Result(kind.name, kind.how, kind.forwards)
            results.append(result)
            peer = kind(root, work, free_port(), upstream)
            running.append((peer, result))
            if stages.start(peer, work, result):
                leak = f", blocked names resolved for {result.leak:.1f} s" if result.leak else ""
                say(f"  {kind.name}: ready and correct after {result.ready:.1f} s{leak}")
            else:
                running.pop()
                say(f"  {kind.name}: skipped: {result.skipped}")
        for peer, _ in running:
            stages.warm_up(peer, load)
        for number in range(options.rounds):
            for peer, result in running:
                stages.turn(peer, load, result, number, options.seconds)
                say(f"  round {number + 1}: {_progress(result)}")
        for peer, result in running:
            stages.remember(peer, result)
        for peer, result in running:
            stages.changes(peer, load, result, options.changes)
            if result.changes or result.changed:
                say(f"  one more name: {peer.name}: {report.change_text(asdict(result))}")
    finally:
        for peer, _ in running:
            _stop(peer)
    return results


def _progress(result: Result) -> str:
    warm, many = result.warm[-1], result.many[-1]
    text = f"{result.name}: warm {warm.us:.2f} us, {warm.qps:,.0f} q/s"
    text += f"; from many addresses {many.us:.2f} us"
    if result.miss:
        text += f"; miss {result.miss[-1].us:.1f} us"
    lost = warm.lost + many.lost + (result.miss[-1].lost if result.miss else 0)
    return text + (f"; {lost} lost" if lost else "")


def _stop(peer: Peer) -> None:
    try:
        peer.stop()
    except OSError as error:
        say(f"  {peer.name}: {error}")


def run(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """The whole benchmark in one folder."""
    begun, (load_before, *_) = time.monotonic(), os.getloadavg()
    work = Workload(root, options.names, COUNTRIES, cold=options.cold)
    say(f"{options.names:,} names in {len(COUNTRIES)} countries; {description()}")
    load = Load(work, options.rounds, compile_c("probe", root))
    port = free_port()
    upstream, told = start_upstream(root, port)
    try:
        results = measure(options, root, work, load, port)
        found = figures.measure(options, root, work, load, port, say) if options.figures else {}
    finally:
        upstream.terminate()
        upstream.wait(10)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": description(),
        "pinned": pinned([]) != [],
        "upstream": told,
        "mode": "full" if options.full else "short",
        "names": options.names,
        "places": len(COUNTRIES),
        "warm": work.warm,
        "cold": work.cold,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "load_before": load_before,
        "note": options.note,
        "took": time.monotonic() - begun,
        "servers": [asdict(result) for result in results],
        "geodns": found,
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the large workload and all figures")
    parser.add_argument("--names", type=int, help="blocked names in all")
    parser.add_argument("--seconds", type=float, help="length of a warm round")
    parser.add_argument("--cold", type=int, help="names in a miss round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--changes", type=int, help="how often a list is changed")
    parser.add_argument("--pairs", type=int, help="turns with and without orders")
    parser.add_argument("--only", action="append", type=str.lower, help="servers named like this")
    parser.add_argument("--no-figures", dest="figures", action="store_false")
    parser.add_argument(
        "--json", type=Path, default=Path("build/bench.json"), help="where results go"
    )
    parser.add_argument("--note", default="", help="what else to say of this run")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and plot")
    parser.add_argument("--from-json", type=Path, help="no run: results of a former one")
    options = parser.parse_args(arguments)
    short = {"names": 100_000, "seconds": 0.7, "cold": 4_000, "changes": 1, "pairs": 12}
    full = {"names": 1_000_000, "seconds": 2, "cold": 20_000, "changes": 2, "pairs": 40}
    for key, value in (full if options.full else short).items():
        if getattr(options, key) is None:
            setattr(options, key, value)
    return options


def main() -> int:
    """Run and print."""
    options = parse()
    if options.from_json:
        result = json.loads(options.from_json.read_text())
    else:
        needed = [name for name in ("dnsperf", "gcc") if shutil.which(name) is None]
        if needed:
            say(f"{' and '.join(needed)} not installed (Debian: apt-get install dnsperf gcc nsd)")
            return 2
        with tempfile.TemporaryDirectory(prefix="geodns-bench-") as folder:
            result = run(options, Path(folder))
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        say(f"results are in {options.json}")
    print(report.text(result))
    if options.write:
        report.write(DOCUMENT, result)
        plot(DOCUMENT.with_name("benchmarks.svg"), result)
        say(f"{DOCUMENT} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
