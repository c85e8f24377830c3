"""Reads transcripts: what a client sends, octet by octet, and what it gets.

    == RFC 6891 6.1.3: a version above 0 is BADVERS, with the version that we speak
    IT> 1234 0100 0001 0000 0000 0001 "fine.example" 0001 0001  00 0029 04d0 00 01 0000 0000
     <  BADVERS rd ra; fine.example A; -; -; OPT 1232

``IT>`` is who asks (a name of CLIENTS); ``IT/udp>`` and ``IT/tcp>`` ask over one transport only.
A reply is shown as ``shown.Message`` has it, TTLs left out; ``nothing`` stands for none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.protocol.shown import octets

HERE = Path(__file__).parent
CLIENTS = {
    "IT": "127.39.0.1",
    "FR": "127.33.0.1",
    "TRUSTED": "127.0.0.9",
    "STRANGER": "127.99.0.1",
}
_ASK = re.compile(r"([A-Z]+)(?:/(udp|tcp))?> (.+)")
_GET = re.compile(r" < +(.+)")


@dataclass
class Exchange:
    """A packet and its reply. line: where it stands. over: the transports, udp and tcp."""

    line: int
    client: str
    over: tuple[str, ...]
    packet: bytes
    reply: str = ""


@dataclass
class Clause:
    """What a file shows of one clause. source: ``RFC 6891 6.1.3``; says: the clause in words."""

    file: str
    source: str
    says: str
    exchanges: list[Exchange] = field(default_factory=list)

    def __str__(self) -> str:
        """As pytest names it."""
        return f"{self.file}: {self.source}: {self.says}"


def clauses(path: Path) -> Iterator[Clause]:
    """Read a file. ValueError, with the line, where it cannot be read."""
    clause: Clause | None = None
    asked: list[Exchange] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        told = line.rstrip()
        if not told or told.startswith("#"):
            continue
        if told.startswith("== "):
            if clause is not None:
                yield clause
            source, _, says = told[3:].partition(": ")
            clause = Clause(path.stem, source, says)
        elif clause is not None and (ask := _ASK.fullmatch(told)):
            over = (ask[2],) if ask[2] else ("udp", "tcp")
            asked.append(Exchange(number, CLIENTS[ask[1]], over, octets(ask[3])))
            clause.exchanges.append(asked[-1])
            continue
        elif (get := _GET.fullmatch(told)) and asked:
            for each in asked:
                each.reply = get[1]
        else:
            raise ValueError(f"{path.name}:{number}: {told}")
        asked = []
    if clause is not None:
        yield clause


def all_clauses() -> list[Clause]:
    """Every clause of every file, in order."""
    return [clause for path in sorted(HERE.glob("*.txt")) for clause in clauses(path)]
