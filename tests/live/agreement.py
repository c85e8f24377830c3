"""Asks geodns and Unbound the same: ``python -m tests.live.agreement [--write] [-v]``.

First both forward to the same NSD, which has every record type, strange names, long answers and
signed zones; then geodns forwards to an Unbound that validates, and is held against that one.
Each question is asked over UDP and TCP, without EDNS and with several sizes, with DO and CD.
Answers must agree but for the order of records, TTLs, letter case and the reasons of REASONS.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live import pages, servers, zones
from tests.live.asking import Client
from tests.live.zones import BOGUS, SIGNED, SIGNED3, ZOO, Question
from tests.protocol.shown import Message, text_of, type_text

NEEDED = ("nsd", "unbound", "dnssec-signzone", "dnssec-keygen")
OUR_LIMIT = 1232
ANY, CNAME, RRSIG, NSEC, NSEC3, SOA = 255, 5, 46, 47, 50, 6
_NEGATIVE = (SOA, NSEC, NSEC3, RRSIG)


@dataclass(frozen=True, slots=True)
class Way:
    """How a question is asked. size: of the OPT, 0 for none."""

    stream: bool = False
    size: int = 0
    dnssec_ok: bool = False
    checking_disabled: bool = False

    def __str__(self) -> str:
        """In a few words."""
        words = ["TCP" if self.stream else "UDP"]
        words.append(f"EDNS {self.size}" if self.size else "no EDNS")
        return ", ".join(words + ["DO"] * self.dnssec_ok + ["CD"] * self.checking_disabled)

    def packet(self, question: Question) -> bytes:
        """The query."""
        flags = 0x0100 | self.checking_disabled << 4
        head = struct.pack("!6H", 7, flags, 1, 0, 0, 1 if self.size else 0)
        body = question.name + struct.pack("!HH", question.kind, 1)
        if not self.size:
            return head + body
        return head + body + b"\0" + struct.pack("!HHIH", 41, self.size, self.dnssec_ok << 15, 0)


WAYS = (
    Way(),
    Way(size=512),
    Way(size=1232),
    Way(size=65535),
    Way(size=1232, dnssec_ok=True),
    Way(size=4096, dnssec_ok=True, checking_disabled=True),
    Way(checking_disabled=True),
    Way(stream=True),
    Way(stream=True, size=1232),
    Way(stream=True, size=512, dnssec_ok=True),
    Way(stream=True, size=1232, dnssec_ok=True, checking_disabled=True),
)

REASONS = {
    "any": "ANY gets one record set, without AD (RFC 8482 4.1); Unbound gives all it has",
    "size": "one reply just fits and the other has TC: they carry other records beside the answer",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One question asked of both. reason: a key of REASONS; fault: what differs without one."""

    question: Question
    way: Way
    reason: str = ""
    fault: str = ""

    def __str__(self) -> str:
        """In a line."""
        name = text_of(self.question.name)
        shown = name if len(name) < 80 else name[:77] + "..."
        return f"{shown} {type_text(self.question.kind)} ({self.way}): {self.fault or self.reason}"


def _folded(reply: Message, section: str) -> set[tuple[bytes, int, int, bytes]]:
    """The records of a section without TTL, in lower case where names are."""
    return {
        (each.owner.lower(), each.kind, each.klass, _folded_data(each.kind, each.data))
        for each in reply.section(section)
    }


def _folded_data(kind: int, data: bytes) -> bytes:
    return data.lower() if kind in (2, 5, 6, 12, 15, 17, 18, 33, 36, 39) else data


def compare(question: Question, way: Way, ours: Message | None, theirs: Message | None) -> Compared:
    """Hold two replies against each other."""
    if ours is None or theirs is None:
        silent = "geodns" if ours is None else "the other"
        return Compared(question, way, fault=f"{silent} does not answer")
    reason, fault = _differ(question, way, ours, theirs)
    return Compared(question, way, reason, fault)


def _differ(question: Question, way: Way, ours: Message, theirs: Message) -> tuple[str, str]:
    limit = min(max(way.size, 512), OUR_LIMIT)
    if not way.stream and ours.size > limit:
        return "", f"{ours.size} octets, above the limit of {limit}"
    if ours.question != (question.name, question.kind, 1):
        return "", "another question"
    if (ours.opt is None) != (way.size == 0):
        return "", "OPT"
    if ours.opt is not None and bool(ours.opt[2] & 0x8000) != way.dnssec_ok:
        return "", "DO"
    tc = ours.flags & 0x0200, theirs.flags & 0x0200
    if any(tc):
        return ("", "") if all(tc) else ("size", "")
    if ours.rcode != theirs.rcode:
        return "", f"code {ours.rcode}, not {theirs.rcode}"
    found, expected = _folded(ours, "answer"), _folded(theirs, "answer")
    if question.kind == ANY and found and found < expected and not ours.flags & 0x0020:
        return "any", ""
    bits = 0x0100 | 0x0080 | 0x0020 | 0x0010
    if (ours.flags ^ theirs.flags) & bits:
        return "", f"flags {ours.flags & bits:#x}, not {theirs.flags & bits:#x}"
    if found != expected:
        return "", f"the answer differs in {_shown(found ^ expected)}"
    lasting = [any(each.ttl for each in reply.section("answer")) for reply in (ours, theirs)]
    if lasting[0] != lasting[1]:
        return "", "TTL 0"
    if not any(each.kind not in (CNAME, RRSIG) for each in ours.section("answer")):
        negative = [
            {record for record in _folded(each, "authority") if record[1] in _NEGATIVE}
            for each in (ours, theirs)
        ]
        if negative[0] != negative[1] and question.kind != CNAME:
            return "", f"the denial differs in {_shown(negative[0] ^ negative[1])}"
    return "", ""


def _shown(records: set[tuple[bytes, int, int, bytes]]) -> str:
    return ", ".join(
        f"{text_of(owner)} {type_text(kind)} {data.hex()[:40]}"
        for owner, kind, _, data in sorted(records)
    )[:300]


@dataclass(frozen=True, slots=True)
class Clients:
    """Clients of all servers. direct, unbound: before NSD. behind: geodns before ``resolver``."""

    direct: Client
    unbound: Client
    behind: Client
    resolver: Client


@contextmanager
def clients(folder: Path) -> Iterator[Clients]:
    """Run the servers."""
    files, anchors = zones.write(folder / "zones")
    with servers.nsd(folder / "nsd", files) as up:
        stubs = "".join(
            f"stub-zone:\n  name: {zone}\n  stub-addr: 127.0.0.1@{up}\n"
            for zone in (ZOO, SIGNED, SIGNED3, BOGUS)
        )
        trust = "".join(f'  trust-anchor: "{anchor}"\n' for anchor in anchors)
        settings = (
            f'  module-config: "validator iterator"\n{trust}  domain-insecure: "{ZOO}"\n'
            "  val-clean-additional: no\n"
        )
        with (
            servers.unbound(folder / "unbound", up) as unbound,
            servers.unbound(
                folder / "resolver", up, settings, more=stubs, forward=False
            ) as resolver,
            servers.geodns(folder / "direct", up) as direct,
            servers.geodns(folder / "behind", resolver) as behind,
        ):
            yield Clients(Client(direct), Client(unbound), Client(behind), Client(resolver))


def questions(zone: str) -> list[Question]:
    """What is asked of a zone here."""
    end = zones.labels(zone)
    more = [Question(b"\3www" + end, ANY, "ANY")]
    if zone == ZOO:
        more.append(Question(b"\4away" + end, 1, "an alias that leaves the zone"))
    return zones.questions(zone) + more


def run(ours: Client, theirs: Client, zone: str) -> list[Compared]:
    """Ask both everything, each question in every way."""
    return [
        compare(
            question,
            way,
            ours.ask(way.packet(question), stream=way.stream),
            theirs.ask(way.packet(question), stream=way.stream),
        )
        for question in questions(zone)
        for way in WAYS
    ]


def both_runs(all_clients: Clients) -> Iterator[tuple[str, list[Compared]]]:
    """Every run, with a name for it."""
    for zone in (ZOO, SIGNED, SIGNED3):
        told = f"geodns and Unbound before NSD, `{zone}`"
        yield told, run(all_clients.direct, all_clients.unbound, zone)
    for zone in (ZOO, SIGNED, SIGNED3, BOGUS):
        told = f"geodns before a validating Unbound, and that one itself, `{zone}`"
        yield told, run(all_clients.behind, all_clients.resolver, zone)


def table(runs: list[tuple[str, list[Compared]]]) -> str:
    """The figures in a table, and the reasons."""
    lines = ["| run | questions | replies compared | agree | with a reason | differ |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    counted: Counter[str] = Counter()
    for told, found in runs:
        reasons = sum(bool(each.reason) for each in found)
        faults = sum(bool(each.fault) for each in found)
        counted.update(each.reason for each in found if each.reason)
        lines.append(
            f"| {told} | {len(found) // len(WAYS)} | {len(found)} | "
            f"{len(found) - reasons - faults} | {reasons} | {faults} |"
        )
    lines += ["", "| times | reason |", "|--:|---|"]
    lines += [f"| {counted[key]} | {words} |" for key, words in REASONS.items() if counted[key]]
    return "\n".join(lines)


def main() -> int:
    """Run it."""
    reason = servers.missing(*NEEDED)
    if reason:
        print(f"cannot run here: {reason}")
        return 2
    with tempfile.TemporaryDirectory() as folder, clients(Path(folder)) as made:
        runs = list(both_runs(made))
    names = " and ".join(servers.version(*each) for each in (("unbound", "-V"), ("nsd", "-v")))
    text = f"Unbound {names.removeprefix('Version ')}.\n\n{table(runs)}"
    print(text)
    for _, found in runs:
        for each in found:
            if each.fault or (each.reason and "-v" in sys.argv[1:]):
                print(each)
    if "--write" in sys.argv[1:]:
        pages.write("agreement", text)
    return int(any(each.fault for _, found in runs for each in found))


if __name__ == "__main__":
    sys.exit(main())
