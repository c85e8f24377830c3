"""Probes geodns and BIND side by side: ``python -m tests.live.compliance [--write]``.

Both forward to the same NSD. Prints the probes with what is wrong with each reply, and the
packets that are wrong on purpose where the two replies differ. --write puts the tables into
docs/reliability.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live import pages, servers, zones
from tests.live.asking import Client, send_all
from tests.live.probes import PROBES, Probe, type_probes
from tests.live.reasons import reason
from tests.live.wrong import packets
from tests.protocol.shown import RCODES, Message, read

NEEDED = ("named", "nsd", "dnssec-signzone", "dnssec-keygen")
QUIET = 0.7


@dataclass(frozen=True, slots=True)
class Pair:
    """Clients of both servers."""

    geodns: Client
    bind: Client


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """Run both before one NSD."""
    files, _ = zones.write(folder / "zones")
    with (
        servers.nsd(folder / "nsd", files) as up,
        servers.bind(folder / "bind", up) as bind,
        servers.geodns(folder / "geodns", up) as ours,
    ):
        yield Pair(Client(ours), Client(bind))


def probe(client: Client, probes: list[Probe]) -> dict[str, list[str]]:
    """What is wrong with the reply to each probe. What may be cached is asked for first."""
    zone = zones.labels(zones.SIGNED)
    for each in {each.kind: each for each in probes}.values():
        client.ask(Probe("", kind=each.kind).packet(zone))
    found = {}
    for each in probes:
        try:
            reply = client.ask(each.packet(zone), stream=each.stream)
        except ValueError as fault:
            found[each.name] = [f"malformed: {fault}"]
        else:
            found[each.name] = each.faults(reply)
    return found


def summary(packet: bytes | None) -> str:
    """What counts in the reply to a packet that was wrong."""
    if packet is None:
        return "nothing"
    try:
        reply = read(packet)
    except ValueError:
        return "malformed"
    return _summary(reply)


def _summary(reply: Message) -> str:
    words = [RCODES.get(reply.rcode, str(reply.rcode))]
    if reply.section("answer"):
        words.append("answer")
    if reply.opt is not None:
        words.append("OPT")
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A packet wrong on purpose, and what each server said to it."""

    why: str
    packet: bytes
    geodns: str
    bind: str

    @property
    def reason(self) -> str | None:
        """Why they differ; None if no reason is known, empty if they do not."""
        same = self.geodns == self.bind
        return "" if same else reason(self.packet, self.geodns, self.bind)


def wrong(both: Pair) -> list[Wrong]:
    """Send every packet that is wrong on purpose to both."""
    made = list(packets())
    both.geodns.ask(Probe("", kind=1).packet(zones.labels("www.zoo.example")))
    replies = [
        send_all(client, [packet for _, packet in made], QUIET)
        for client in (both.geodns, both.bind)
    ]
    return [
        Wrong(why, packet, summary(ours), summary(theirs))
        for (why, packet), ours, theirs in zip(made, *replies, strict=True)
    ]


def probe_table(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> str:
    """The probes in a table."""
    lines = ["| probe | geodns | BIND |", "|---|---|---|"]
    for name in ours:
        cells = [", ".join(each[name]) or "ok" for each in (ours, theirs)]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def wrong_table(found: list[Wrong]) -> str:
    """How many packets the two answered alike, and why not the others."""
    reasons = Counter(each.reason for each in found)
    examples = {each.reason: each for each in reversed(found)}
    alike = reasons.pop("", 0)
    lines = [
        f"{len(found)} packets, {alike} of them answered alike (code, OPT, and whether there is an "
        "answer). The others:",
        "",
        "| packets | why | for example | geodns | BIND |",
        "|--:|---|---|---|---|",
    ]
    for why, count in reasons.most_common():
        each = examples[why]
        shown = why or "no reason is known"
        lines.append(f"| {count} | {shown} | {each.why} | {each.geodns} | {each.bind} |")
    return "\n".join(lines)


def main() -> int:
    """Run it."""
    reason = servers.missing(*NEEDED)
    if reason:
        print(f"cannot run here: {reason}")
        return 2
    with tempfile.TemporaryDirectory() as folder, pair(Path(folder)) as both:
        ours, theirs = (probe(each, list(PROBES)) for each in (both.geodns, both.bind))
        types = [probe(each, type_probes()) for each in (both.geodns, both.bind)]
        found = wrong(both)
    told = (
        f"{servers.version('named', '-v')}. {len(types[0])} record types: "
        + " and ".join(
            f"{name} {sum(not each for each in part.values())} ok"
            for name, part in zip(("geodns", "BIND"), types, strict=True)
        )
        + "."
    )
    parts = {
        "probes": f"{probe_table(ours, theirs)}\n\n{told}",
        "wrong": wrong_table(found),
    }
    for text in parts.values():
        print(text, end="\n\n")
    if "-v" in sys.argv[1:]:
        for each in found:
            if each.reason is None:
                print(each.packet.hex(), f"{each.why}: {each.geodns} / {each.bind}")
    if "--write" in sys.argv[1:]:
        for name, text in parts.items():
            pages.write(name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
