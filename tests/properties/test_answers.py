"""Whole answers against the naive oracle: who asked first, and in front of whom, must not show.

Small zones whose names lead to each other every which way, small books of laws, and clients of
several places behind one cache; both fast paths answer, and the pipeline alone as well.
"""

from __future__ import annotations

import ipaddress
import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from geodns.model.response import Response, read_response
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from tests.fastpath import twins
from tests.fastpath.twins import Clock, Server, wire
from tests.model.test_response import service
from tests.properties import oracle
from tests.properties.oracle import Where
from tests.properties.worlds import START, load, roll_world
from tests.scenarios.asking import build, type_number

native = pytest.importorskip("geodns.fastpath.native")
CLOCK = Clock()
CLIENTS = {
    bytes([127, 39, 0, 1]): Where("IT"),
    bytes([127, 33, 0, 1]): Where("FR"),
    bytes([127, 65, 0, 1]): Where("US", ("US-CA",)),
    bytes([127, 91, 0, 1]): Where(None),
    bytes([5, 1, 0, 1]): Where("IT", (), 3269),
}
"""Peers and where they are, as twins.FEED and the databases of tests/geo have it."""
TYPES = ("A", "AAAA", "HTTPS", "SVCB", "TXT", "CNAME", "ANY")


@pytest.fixture(autouse=True, scope="module")
def _clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geodns.serve.pipeline.monotonic", CLOCK)
        yield


@dataclass(frozen=True)
class Row:
    """A record: data is a name (aliases, targets) or an address; hint: of a binding, or ""."""

    owner: str
    kind: str
    data: str
    hint: str = ""

    def packed(self) -> bytes:
        number = type_number(self.kind)
        if self.kind in ("A", "AAAA"):
            data = ipaddress.ip_address(self.data).packed
        elif self.kind in ("HTTPS", "SVCB"):
            address = ipaddress.ip_address(self.hint)
            hint = (4 if address.version == 4 else 6, address.packed)
            data = service(1, wire(self.data), hint)
        else:
            data = wire(self.data) if self.kind != "TXT" else b"\x01x"
        return wire(self.owner) + struct.pack("!HHIH", number, 1, 300, len(data)) + data


def roll_zone(roll: random.Random) -> list[Row]:
    def name() -> str:
        return ".".join(roll.choice(("a", "b", "ab")) for _ in range(roll.choice((1, 2, 2, 3))))

    def address() -> str:
        return roll.choice((f"192.0.2.{roll.randrange(16)}", f"2001:db8::{roll.randrange(1, 8):x}"))

    rows = []
    for _ in range(14):
        kind = roll.choice(("CNAME", "CNAME", "CNAME", "DNAME", "HTTPS", "SVCB", "TXT", "", "", ""))
        if kind:
            rows.append(Row(name(), kind, roll.choice((name(), "")), address()))
            continue
        found = address()
        rows.append(Row(name(), "AAAA" if ":" in found else "A", found))
    # What leads on must lead to a name; the root stands for the owner of a binding.
    return [row for row in rows if row.data or row.kind in ("HTTPS", "SVCB", "TXT")]


@dataclass
class Zone:
    """Resolves by the book: follows aliases, then gives the records of the type, in any order."""

    rows: list[Row]
    dice: random.Random
    counters: dict[str, int]

    def answer(self, name: str, kind: str) -> list[Row] | None:
        """The answer section, or None where aliases have no end."""
        out: list[Row] = []
        for _ in range(8):
            here = [row for row in self.rows if row.owner == name]
            own = [row for row in here if row.kind == "CNAME"][:1]
            above = [
                row for row in self.rows if row.kind == "DNAME" and name.endswith("." + row.owner)
            ]
            if own and kind not in ("CNAME", "ANY"):
                out += own
                name = own[0].data
            elif above and not here:
                nearest = max(above, key=lambda row: len(row.owner))
                made = name.removesuffix(nearest.owner) + nearest.data
                out += [nearest, Row(name, "CNAME", made)]
                name = made
            else:
                out += [row for row in here if kind in (row.kind, "ANY")]
                return out if leads_to(name, out) else None
            if len(name) > 200:
                return None
        return None

    async def resolve(
        self, question: bytes, *, dnssec_ok: bool, checking_disabled: bool
    ) -> Response:
        qtype = int.from_bytes(question[-4:-2])
        kind = next(kind for kind in TYPES if type_number(kind) == qtype)
        rows = self.answer(text(question), kind)
        if rows is None:
            head = struct.pack("!6H", 0, 0x8182, 1, 0, 0, 0)
            return read_response(head + question)
        self.dice.shuffle(rows)
        stray = Row("stray.example", "A", "192.0.2.1")
        strays = [stray] if self.dice.random() < 0.2 else []
        sent = [row.packed() for row in (*rows, *strays)]
        head = struct.pack("!6H", 0, 0x8180, 1, len(sent), 1, 0)
        soa = wire("x") + struct.pack("!HHIH", 6, 1, 900, 22) + b"\0\0" + bytes(19) + b"\x3c"
        return read_response(head + question + b"".join((*sent, soa)))

    def rests_until(self, question: bytes, **_: object) -> float:
        return 0.0

    def is_apart(self, name: bytes, below: bytes) -> bool:
        """As the forwarder has it: one upstream for all names."""
        return False

    def close(self) -> None:
        """As the forwarder has it."""


def text(name: bytes) -> str:
    parts, at = [], 0
    while name[at]:
        parts.append(name[at + 1 : at + 1 + name[at]].decode().lower())
        at += 1 + name[at]
    return ".".join(parts)


def leads_to(name: str, rows: list[Row]) -> tuple[list[str], list[str]] | None:
    """The aliases of an answer, nearest first, and its addresses, by brute force; or too many."""
    found = [name]
    for each in found:
        for row in rows:
            target = ""
            if row.owner == each and row.kind in ("CNAME", "DNAME", "HTTPS", "SVCB"):
                target = row.data
            elif row.kind == "DNAME" and each.endswith("." + row.owner):
                target = each.removesuffix(row.owner) + row.data
            if target and target not in found:
                found.append(target)
        if len(found) > 20:
            return None
    addresses = [
        row.hint or row.data
        for row in rows
        if row.owner in found and row.kind in ("A", "AAAA", "HTTPS", "SVCB")
    ]
    return found[1:], addresses


@pytest.mark.parametrize("seed", range(24))
def test_any_client_in_any_order_gets_what_the_oracle_says(seed: int) -> None:
    roll = random.Random(seed)
    world = roll_world(seed, 0)
    laws = [replace(law, supersedes=()) for law in world.laws]
    zone = Zone(roll_zone(roll), random.Random(seed), {})
    server = Server(native.FastPath, CLOCK)
    for pipeline in (server.pipeline, server.alone):
        # Each forgets in its own way; both must hear the same in whatever order it is told.
        pipeline._truth.forwarder = Zone(zone.rows, random.Random(seed), {})  # type: ignore[assignment]
    never = [wire(name) for name in world.never]
    snapshot = Snapshot(compile_snapshot([load(law) for law in laws], START, never))
    server.enforce(InForce(snapshot, twins.places()))
    names = sorted({row.owner for row in zone.rows} | {f"a.{row.owner}" for row in zone.rows})
    outcomes: Counter[str] = Counter()
    for _ in range(160):
        name, kind = roll.choice(names), roll.choice(TYPES)
        peer, where = roll.choice(list(CLIENTS.items()))
        rows = zone.answer(name, kind)
        aliases, addresses = leads_to(name, rows or []) or ([], [])
        question = oracle.judge(laws, world.never, START, where, name)
        verdict = oracle.judge(laws, world.never, START, where, name, aliases, addresses)
        packet = build(name, kind, do=roll.random() < 0.2, cd=roll.random() < 0.2)
        reply = server.ask(packet, peer)
        blocked = b"Blocked by order" in reply
        if rows is None and question.winner is None:
            assert reply[3] & 0xF == 2
            outcomes["failed"] += 1
            continue
        assert blocked == (verdict.winner is not None), (name, kind, where, verdict)
        if verdict.winner is not None:
            assert f"[{verdict.winner}]".encode() in reply, (name, kind, where, verdict)
            via = verdict.via if verdict.via in (None, "address") else "alias"
            outcomes[via or "question"] += 1
        else:
            assert b"stray" not in reply
            outcomes["allowed"] += 1
    assert outcomes["allowed"] or outcomes["question"] == 160 - outcomes["failed"]
    TOLD.update(outcomes)


TOLD: Counter[str] = Counter()


def test_everything_happened() -> None:
    if sum(TOLD.values()) < 24 * 160:
        pytest.skip("only with the whole of the test above")
    assert min(TOLD[each] for each in ("question", "alias", "address", "allowed", "failed")) > 20
