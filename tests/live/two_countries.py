"""One geodns with one cache, asked by Italy and France: directly and through real forwarders.

    python -m tests.live.two_countries [--write]

prints a table; ``--write`` puts it into docs/reliability.md. For each way and transport it asks
for a name that Italy has ordered blocked, for a type that this name does not have, for an alias of
it, for an address in an ordered network, for a free name and for one that does not exist; Italy
first and France first; each twice, so that the second time the forwarder's cache is warm; and
once with names that geodns does not know yet, once with names that it has in its cache already.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.live import pages
from tests.live.forwarders import PROGRAMS, forwarder, trust
from tests.live.servers import missing, version
from tests.scenarios import asking
from tests.scenarios.upstream import MockUpstream
from tests.scenarios.world import Loop
from tests.serve.running import Running, running

IT, FR = "127.39.0.1", "127.33.0.1"
NAMES = 40
"""Names of each kind; each is used once cold."""
ORDER = """
id = "it-milan"
title = "A name and a network"
status = "active"
authority = { name = "Tribunale di Milano", kind = "court" }
dates = { effective = 2022-07-11 }
targets = { domains = ["milan.example"], networks = ["203.0.113.0/24"] }
response = { ttl = 3600 }
"""
ZONE = "".join(
    f"w{number}.milan.example. 300 A 192.0.2.1\n"
    f"alias{number}.example. 300 CNAME w{number}.milan.example.\n"
    f"net{number}.example. 300 A 203.0.113.{number}\n"
    f"free{number}.example. 300 A 192.0.2.2\n"
    for number in range(NAMES)
)
BLOCKED = "NXDOMAIN"
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True)
class Kind:
    """A kind of question. italy, france: what each is owed (rcode, and the last answer's data)."""

    title: str
    name: str
    qtype: str
    italy: str
    france: str


KINDS = (
    Kind("Milan name", "w{}.milan.example", "A", BLOCKED, "192.0.2.1"),
    Kind("its TXT", "w{}.milan.example", "TXT", BLOCKED, "no data"),
    Kind("alias", "alias{}.example", "A", BLOCKED, "192.0.2.1"),
    Kind("address", "net{}.example", "A", BLOCKED, "203.0.113.{}"),
    Kind("free name", "free{}.example", "A", "192.0.2.2", "192.0.2.2"),
    Kind("no such name", "gone{}.example", "A", "NXDOMAIN", "NXDOMAIN"),
)


@dataclass
class Row:
    """What one way gave. faults: replies that were not what the client was owed."""

    way: str
    transport: str
    told: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    asked: int = 0
    reached: int = 0


@dataclass
class House:
    """A running geodns, and how to ask it: way to address."""

    server: Running
    ways: dict[str, tuple[str, int]]

    def queries(self) -> int:
        """Queries that geodns has read; health checks (dnsdist asks for localhost) aside.

        Workers tell their counters once a second.
        """
        time.sleep(1.2)
        counters = self.server.status()["counters"]
        read = int(counters.get("queries/udp", 0)) + int(counters.get("queries/tcp", 0))
        return read - int(counters.get("local", 0))


@contextmanager
def house(folder: Path, ways: list[str]) -> Iterator[House]:
    """One geodns of one worker, with these forwarders in front."""
    loop, upstream = Loop(), MockUpstream(ZONE)
    loop.run(upstream.start())
    (folder / "orders" / "IT").mkdir(parents=True)
    (folder / "orders" / "IT" / "it-milan.toml").write_text(ORDER)
    (folder / "feed.csv").write_text("127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n")
    settings = folder / "geodns.toml"
    settings.write_text(
        '[server]\nlisten = ["127.0.0.1:0"]\nworkers = 1\nstate = "state"\n'
        f'[upstream]\nservers = ["127.0.0.1:{upstream.port}"]\n'
        f'[geoip]\ndatabases = []\ngeofeeds = ["feed.csv"]\n{trust()}'
    )
    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.callback(lambda: loop.run(upstream.stop()))
        server = stack.enter_context(running(settings))
        made = {"directly": ("127.0.0.1", server.port)}
        for number, way in enumerate(ways):
            made[way] = stack.enter_context(forwarder(way, folder / f"f{number}", server.port))
        yield House(server, made)


def ask(server: tuple[str, int], client: str, name: str, qtype: str, *, stream: bool) -> str:
    """Ask once and tell the outcome in a word: an rcode, ``no data``, or the last answer's data."""
    packet = asking.build(name, qtype)
    send = asking.send_tcp if stream else asking.send_udp
    raw = send(server, client, packet, asking.PATIENCE)
    if raw is None:
        return "silence"
    reply = asking.read(raw)
    if reply.rcode != "NOERROR":
        return reply.rcode
    return reply.answer[-1].rsplit(" ", 1)[1] if reply.answer else "no data"


def run(made: House) -> list[Row]:
    """Ask everything, each way after the other."""
    rows = []
    fresh = itertools.count()
    known = [next(fresh), next(fresh)]
    for (kind, number), client in itertools.product(itertools.product(KINDS, known), (FR, IT)):
        ask(made.ways["directly"], client, kind.name.format(number), kind.qtype, stream=False)
    before = made.queries()
    for way, server in made.ways.items():
        for transport in ("UDP", "TCP"):
            if way.startswith("HAProxy") and transport == "UDP":
                continue
            row = Row(way, transport)
            rows.append(row)
            for numbers in ([next(fresh), next(fresh)], known):
                for first, number in zip((IT, FR), numbers, strict=True):
                    _ask_all(row, server, first, number)
            after = made.queries()
            row.reached, before = after - before, after
    return rows


def _ask_all(row: Row, server: tuple[str, int], first: str, number: int) -> None:
    clients = (IT, FR, IT, FR) if first == IT else (FR, IT, FR, IT)
    for kind in KINDS:
        for client in clients:
            name = kind.name.format(number)
            told = ask(server, client, name, kind.qtype, stream=row.transport == "TCP")
            owed = (kind.italy if client == IT else kind.france).format(number)
            country = "Italy" if client == IT else "France"
            row.asked += 1
            cell = row.told.setdefault(kind.title, {"Italy": 0, "France": 0})
            if told == owed:
                cell[country] += 1
            else:
                row.faults.append(f"{country} asked {name} {kind.qtype}: {told}, not {owed}")


def table(rows: list[Row]) -> str:
    """The rows as Markdown: of how many asks each country got what it is owed."""
    each = 8
    head = [*("way", "transport"), *(kind.title for kind in KINDS), "asked", "seen by geodns"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [
            f"IT {told['Italy']}/{each}, FR {told['France']}/{each}" for told in row.told.values()
        ]
        parts = [row.way, row.transport, *cells, str(row.asked), str(row.reached)]
        lines.append("| " + " | ".join(parts) + " |")
    return "\n".join(lines)


def possible() -> list[str]:
    """The ways whose programs are installed."""
    return [way for way, name in PROGRAMS.items() if not missing(name)]


def told() -> str:
    """Which programs were in front."""
    seen = {
        "dnsdist": "--version",
        "unbound": "-V",
        "haproxy": "-v",
    }
    lines = {name: version(name, how) for name, how in seen.items() if not missing(name)}
    return ", ".join(f"{name} {_NUMBER.findall(line)[0]}" for name, line in lines.items())


def main() -> int:
    """Run it and print the table; exit code 1 if any client got what it was not owed."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.two_countries")
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, house(Path(folder), possible()) as made:
        rows = run(made)
    shown = f"{table(rows)}\n\nIn front: {told()}."
    print(shown)
    faults = [f"{row.way} {row.transport}: {fault}" for row in rows for fault in row.faults]
    for fault in faults:
        print(fault, file=sys.stderr)
    if chosen.write and not faults:
        pages.write("two countries", shown)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
