"""What is done with each server: start and check it, load it in turns, change its lists."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from statistics import median

from bench.ask import Said, ask
from bench.load import Figures, Load
from bench.machine import memory_mib
from bench.peers.peer import Peer
from bench.workload import BRIEF, Workload, client

READY_LIMIT = 120.0
CHANGE_LIMIT = 60.0
RATE = 2000
"""Queries a second while a list is changed, and while latency is sampled."""


@dataclass(slots=True)
class Change:
    """One name more. seconds: until it was blocked. lost, worst_ms: of the queries meanwhile."""

    seconds: float
    lost: int
    worst_ms: float
    late_ms: float


@dataclass(slots=True)
class Result:
    """What was found out about a server. skipped: why there is nothing more."""

    name: str
    how: str
    forwards: bool = True
    skipped: str = ""
    ready: float = 0.0
    leak: float = 0.0
    warm: list[Figures] = field(default_factory=list)
    many: list[Figures] = field(default_factory=list)
    miss: list[Figures] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    rss: float = 0.0
    pss: float = 0.0
    changes: list[Change] = field(default_factory=list)
    changed: str = ""

    def us(self, kind: str) -> float | None:
        """Median CPU time a query of a kind of load."""
        rows: list[Figures] = getattr(self, kind)
        return median(row.us for row in rows) if rows else None

    def qps(self, kind: str) -> float | None:
        """Median queries a second of a kind of load."""
        rows: list[Figures] = getattr(self, kind)
        return median(row.qps for row in rows) if rows else None


def start(peer: Peer, work: Workload, result: Result) -> bool:
    """Start a server and wait until it blocks and resolves; whether it can be measured."""
    result.skipped = peer.missing()
    if result.skipped:
        return False
    try:
        peer.write()
        peer.start()
    except (OSError, RuntimeError) as error:
        result.skipped = f"did not start: {error}"
        return False
    result.skipped = wait(peer, work, result) or (check(peer, work) if peer.changes else "")
    if result.skipped:
        peer.stop()
    return not result.skipped


def wait(peer: Peer, work: Workload, result: Result) -> str:
    """Wait until the server blocks in every place and resolves; what went wrong, or empty."""
    begun = time.monotonic()
    leaked: float | None = None
    left = [(work.first_blocked(at), at) for at in range(len(work.places))]
    while left:
        name, at = left[-1]
        now = time.monotonic()
        if peer.died():
            return f"ended: {peer.log().strip()[-300:]}"
        said = ask(name, client(at), peer.port, 0.5)
        if said is Said.RESOLVED and leaked is None:
            leaked = now
        if said is Said.BLOCKED or (said is not Said.NOTHING and not peer.changes):
            left.pop()
            continue
        if now - begun > READY_LIMIT:
            return f"not ready after {READY_LIMIT:.0f} s: {name} is {said.value}"
        time.sleep(0.005)
    if peer.changes and ask(f"www.{BRIEF}", client(0), peer.port, 2) is not Said.RESOLVED:
        return "resolves nothing"
    now = time.monotonic()
    result.ready = now - begun
    result.leak = now - leaked if leaked is not None and peer.changes else 0.0
    return ""


def check(peer: Peer, work: Workload) -> str:
    """Ask as clients of several places; what is wrong, or empty."""
    last = len(work.places) - 1
    blocked = {0: work.first_blocked(0), last: work.first_blocked(last)}
    asked = [(name, at, Said.BLOCKED) for at, name in blocked.items()]
    asked += [(blocked[0], at, Said.RESOLVED) for at in {1, last} - {0}]
    asked += [(blocked[last], at, Said.RESOLVED) for at in {0, 1} - {last}]
    asked += [(f"www.open.{BRIEF}", at, Said.RESOLVED) for at in {0, 1, last}]
    for _ in range(2):  # the second time out of its cache
        for name, at, expected in asked:
            said = ask(name, client(at), peer.port, 2)
            if said is not expected:
                code = work.places[at] if at < len(work.places) else "no place"
                return f"wrong: {name} for a client in {code} was {said.value}"
    return ""


def warm_up(peer: Peer, load: Load) -> None:
    """Ask all warm names, as every place."""
    load.dnsperf(peer.port, [], load.warm)
    load.many(peer.port, [], 1.0)


def turn(peer: Peer, load: Load, result: Result, number: int, seconds: float) -> None:
    """One round of one server."""
    pids = peer.pids()
    result.warm.append(load.dnsperf(peer.port, pids, load.warm, seconds))
    result.many.append(load.many(peer.port, pids, seconds))
    if peer.forwards:
        result.miss.append(load.dnsperf(peer.port, pids, load.cold[number]))
    told = load.probe(peer.port, rate=RATE, seconds=max(0.7, seconds / 2)).result()
    result.p50.append(told["p50"])
    result.p99.append(told["p99"])


def remember(peer: Peer, result: Result) -> None:
    """Memory, with a warm cache."""
    result.rss, result.pss = memory_mib(peer.pids())


def change(peer: Peer, load: Load, name: str, rate: float = RATE) -> Change | str:
    """Block one more name under load and wait until it is; or what went wrong."""
    if ask(name, client(0), peer.port) is not Said.RESOLVED:
        return f"{name} did not resolve before"
    probe = load.probe(peer.port, rate=rate)
    time.sleep(0.5)
    failed: list[str] = []

    def add() -> None:
        try:
            peer.add(name)
        except (OSError, RuntimeError) as error:
            failed.append(str(error))

    thread = threading.Thread(target=add)
    begun = time.monotonic()
    thread.start()
    taken = 0.0
    while not failed and time.monotonic() - begun < CHANGE_LIMIT:
        if ask(name, client(0), peer.port, 0.25) is Said.BLOCKED:
            taken = time.monotonic() - begun
            break
        time.sleep(0.001)
    thread.join()
    time.sleep(0.5)
    told = probe.stop()
    if failed:
        return failed[0]
    if not taken:
        return f"not in force after {CHANGE_LIMIT:.0f} s"
    return Change(taken, int(told["lost"]), told["worst"] / 1000, told["late"] / 1000)


def changes(peer: Peer, load: Load, result: Result, count: int) -> None:
    """Change a server's list several times."""
    for number in range(count):
        if not peer.changes:
            return
        made = change(peer, load, f"fresh{number}.{BRIEF}")
        if isinstance(made, str):
            result.changed = made
            return
        result.changes.append(made)
        time.sleep(0.3)
