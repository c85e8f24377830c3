"""The pipeline in memory: counters, reloadable settings, and faults that cost one query only."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dnslib import RR, DNSBuffer, DNSHeader, DNSQuestion, DNSRecord

from geodns import app
from geodns.locate.build import build_places
from geodns.locate.table import PlaceTable
from geodns.model.response import Response, read_response
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import amend_snapshot, compile_snapshot
from geodns.policy.layers import LayeredSnapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from geodns.settings import Settings
from geodns.upstream.forward import TooManyMisses, UpstreamFailure
from geodns.upstream.health import Health
from tests.policy.making import NOW, order, wire
from tests.scenarios import asking
from tests.scenarios.asking import Reply, build, ecs_option, option

IT, FR, OTHER = bytes([127, 39, 0, 1]), bytes([127, 33, 0, 1]), bytes([192, 0, 2, 1])
FEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n"
SETTINGS = Settings().model_dump(mode="json")


class Upstream:
    """Answers from a dict of record texts; a value that is an exception is raised."""

    def __init__(self, zone: dict[str, Sequence[str] | BaseException]) -> None:
        self.zone = zone
        self.asked: list[tuple[bytes, bool, bool]] = []
        self.counters = {"sent": 0}
        self.known: dict[str, Any] = {}
        self.gate: asyncio.Event | None = None

    def is_apart(self, folded: bytes, zone: bytes) -> bool:
        return False

    async def resolve(
        self, question: bytes, *, dnssec_ok: bool, checking_disabled: bool
    ) -> Response:
        self.asked.append((question, dnssec_ok, checking_disabled))
        name = str(DNSQuestion.parse(DNSBuffer(question)).qname).rstrip(".")
        if self.gate is not None:
            await self.gate.wait()
        rows = self.zone[name]
        if isinstance(rows, BaseException):
            raise rows
        record = DNSRecord(DNSHeader(qr=1, ra=1), q=DNSQuestion(name))
        for row in rows:
            record.add_answer(*RR.fromZone(row))
        return read_response(bytes(record.pack()))

    def rests_until(self, question: bytes, **keys: Any) -> float:
        return 0.0

    def close(self) -> None:
        self.zone = {}


class House:
    def __init__(self, folder: Path, zone: dict[str, Any], orders: Sequence[LoadedOrder]) -> None:
        feed = folder / "feed.csv"
        feed.write_text(FEED)
        self.places = PlaceTable.open(build_places([], [feed], folder / "places"))
        self.upstream = Upstream(zone)
        self.settings = copy.deepcopy(SETTINGS)
        self.pipeline = app.make_pipeline(self.settings)
        self.pipeline._truth.forwarder = self.upstream  # type: ignore[assignment]
        self.enforce(orders)

    def enforce(self, orders: Sequence[LoadedOrder], never: Sequence[str] = ()) -> None:
        data = compile_snapshot(orders, NOW, [wire(name) for name in never])
        self.pipeline.enforce(InForce(Snapshot(data), self.places))

    async def raw(self, packet: bytes, peer: bytes = FR, *, stream: bool = False) -> bytes | None:
        told = self.pipeline.answer(packet, peer, stream=stream)
        if isinstance(told, Awaitable):
            told = await told
        return told

    async def ask(self, name: str, qtype: str = "A", peer: bytes = FR, **keys: Any) -> Reply:
        packet = build(name, qtype, **keys)
        told = await self.raw(packet, peer)
        assert told is not None
        made = asking.read(told)
        asking.check_manners(packet, made, stream=False)
        return made

    def count(self, key: str) -> int:
        return self.pipeline.counters().get(key, 0)


BLOCKED = order("it-a", domains=["blocked.a"], networks=["203.0.113.0/24"])


@pytest.fixture
def house(tmp_path: Path) -> House:
    zone = {
        "free.a": ["free.a. 60 A 192.0.2.1"],
        "www.blocked.a": ["www.blocked.a. 60 A 192.0.2.2"],
        "alias.a": ["alias.a. 60 CNAME www.blocked.a.", "www.blocked.a. 60 A 192.0.2.2"],
        "net.a": ["net.a. 60 A 203.0.113.1"],
        "many.a": TooManyMisses(),
        "down.a": UpstreamFailure(22, "no upstream answered in time"),
        "odd.a": RuntimeError("a fault of ours"),
        "vital.blocked.a": ["vital.blocked.a. 60 A 192.0.2.3"],
    }
    return House(tmp_path, zone, [BLOCKED])


async def test_counters_tell_what_happened(house: House) -> None:
    await house.ask("www.blocked.a", peer=IT)
    await house.ask("alias.a", peer=IT)
    await house.ask("alias.a", peer=FR)
    await house.ask("free.a", peer=OTHER)
    await house.raw(b"short")
    await house.raw(build("free.a", qclass="CH"))
    expected = {
        "queries/udp": 6,
        "blocked": 2,
        "order/it-a": 2,
        "allowed": 1,
        "cache/misses": 1,
        "cache/hits": 1,
        "dropped": 1,
        "refused": 2,
    }
    counters = house.pipeline.counters()
    assert {key: counters.get(key) for key in expected} == expected


async def test_no_counter_is_named_after_a_client(house: House) -> None:
    for peer in (IT, FR, OTHER, bytes(16)):
        await house.ask("www.blocked.a", peer=peer)
    text = " ".join(house.pipeline.counters())
    assert "127.39" not in text and "192.0.2" not in text


async def test_too_many_misses_are_a_servfail_and_counted(house: House) -> None:
    reply = await house.ask("many.a")
    assert (reply.rcode, reply.ede[0][0]) == ("SERVFAIL", 0)
    assert house.count("overload") == 1


async def test_failures_carry_the_code_of_the_forwarder(house: House) -> None:
    reply = await house.ask("down.a")
    assert (reply.rcode, reply.ede) == ("SERVFAIL", [(22, "no upstream answered in time")])
    assert house.count("upstream/failed") == 1
    await house.ask("down.a")
    assert len(house.upstream.asked) == 2


async def test_a_fault_of_ours_costs_one_query(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        packet = build("odd.a")
        told = await house.raw(packet)
        assert told is not None
        assert (told[:2], told[3] & 15) == (packet[:2], 2)
    assert house.count("internal/RuntimeError") == 3
    assert len(caplog.records) == 1, "once a kind, not once a packet"
    assert (await house.ask("free.a")).rcode == "NOERROR"


async def test_random_octets_never_raise(house: House) -> None:
    roll = random.Random(3)
    for _ in range(3000):
        packet = roll.randbytes(roll.randint(0, 60))
        if roll.random() < 0.7:
            packet = packet[:2] + b"\1\0\0\1\0\0\0\0\0" + roll.choice((b"\0", b"\1")) + packet[2:]
        told = house.pipeline.answer(packet, IT, stream=roll.random() < 0.5)
        if isinstance(told, Awaitable):
            told = await told
        assert told is None or told[:2] == packet[:2]
    internal = [key for key in house.pipeline.counters() if key.startswith("internal/")]
    assert internal in ([], ["internal/KeyError"]), "names that the mock does not know"


async def test_names_are_asked_for_in_lower_case_with_do_and_cd(house: House) -> None:
    await house.ask("FREE.A", do=True)
    await house.ask("Free.a", cd=True)
    question = wire("free.a") + b"\0\1\0\1"
    assert house.upstream.asked == [(question, True, False), (question, False, True)]


async def test_blocked_questions_never_reach_an_upstream(house: House) -> None:
    for qtype in ("A", "AAAA", "ANY", "TYPE65280"):
        assert (await house.ask("www.blocked.a", qtype, peer=IT)).rcode == "NXDOMAIN"
    assert house.upstream.asked == []


async def test_never_block_is_counted_by_entry_and_order(house: House) -> None:
    house.enforce([BLOCKED], never=["vital.blocked.a"])
    assert (await house.ask("vital.blocked.a", peer=IT)).rcode == "NOERROR"
    assert house.count("never_block/vital.blocked.a/it-a") == 1
    await house.ask("vital.blocked.a", peer=FR)
    assert house.count("never_block/vital.blocked.a/it-a") == 1, (
        "in France nothing had to be stopped"
    )


async def test_the_emergency_list_does_nothing_to_an_order_in_shadow(house: House) -> None:
    shadow = order("it-s", domains=["blocked.a"], status="shadow")
    house.enforce([shadow, BLOCKED], never=["vital.blocked.a"])
    assert (await house.ask("vital.blocked.a", peer=IT)).rcode == "NOERROR"
    assert house.count("never_block/vital.blocked.a/it-a") == 1
    assert house.count("never_block/vital.blocked.a/it-s") == 0


async def test_shadow_orders_are_counted_for_names_and_addresses(house: House) -> None:
    house.enforce(
        [
            order("it-s", domains=["free.a"], status="shadow"),
            order("it-n", networks=["203.0.113.0/24"], status="shadow"),
        ]
    )
    assert (await house.ask("free.a", peer=IT)).rcode == "NOERROR"
    assert (await house.ask("net.a", peer=IT)).rcode == "NOERROR"
    await house.ask("free.a", peer=FR)
    assert (house.count("shadow/it-s"), house.count("shadow/it-n")) == (1, 1)
    assert house.count("blocked") == 0


async def test_unlocated_clients_are_counted(house: House) -> None:
    settings = copy.deepcopy(house.settings)
    settings["server"]["clients"] = ["0.0.0.0/0"]
    house.pipeline.apply(settings)
    await house.ask("free.a", peer=OTHER)
    assert house.count("unlocated") == 1
    await house.ask("free.a", peer=IT)
    assert house.count("unlocated") == 1


async def test_trust_and_clients_are_reloadable(house: House) -> None:
    claim = option(8, ecs_option("127.39.0.0/24"))
    assert (await house.ask("www.blocked.a", options=claim)).rcode == "NOERROR"
    settings = copy.deepcopy(house.settings)
    settings["trust"]["ecs"] = ["127.33.0.0/16", "192.0.2.0/24"]
    house.pipeline.apply(settings)
    for peer in (FR, OTHER):
        assert (await house.ask("www.blocked.a", options=claim, peer=peer)).rcode == "NXDOMAIN"
    house.pipeline.apply(house.settings)
    assert (await house.ask("www.blocked.a", options=claim)).rcode == "NOERROR"
    assert (await house.ask("www.blocked.a", options=claim, peer=OTHER)).rcode == "REFUSED"


async def test_version_and_identity_are_reloadable(house: House) -> None:
    async def told(name: str) -> Reply:
        return await house.ask(name, "TXT", qclass="CH")

    assert (await told("version.bind")).rcode == "REFUSED"
    settings = copy.deepcopy(house.settings)
    settings["server"] |= {"version": "v", "identity": "here"}
    house.pipeline.apply(settings)
    assert (await told("version.bind")).answer == ['version.bind TXT "v"']
    assert (await told("id.server")).answer == ['id.server TXT "here"']
    assert (await told("hostname.bind")).answer == ['hostname.bind TXT "here"']


async def test_what_is_named_in_an_answer_is_ruled_anew_with_every_snapshot(house: House) -> None:
    assert (await house.ask("net.a", peer=IT)).rcode == "NXDOMAIN"
    house.enforce([])
    assert (await house.ask("net.a", peer=IT)).rcode == "NOERROR"
    house.enforce([BLOCKED])
    assert (await house.ask("net.a", peer=IT)).rcode == "NXDOMAIN"
    house.enforce([order("fr-a", networks=["203.0.113.0/24"], places=["FR"])])
    assert (await house.ask("net.a", peer=IT)).rcode == "NOERROR"
    assert (await house.ask("net.a", peer=FR)).rcode == "NXDOMAIN"
    assert len(house.upstream.asked) == 1


async def test_callers_of_one_miss_are_each_ruled_for_themselves(house: House) -> None:
    house.upstream.gate = asyncio.Event()
    waiting = [
        asyncio.ensure_future(house.raw(build("alias.a"), peer)) for peer in (IT, FR, IT, FR)
    ]
    await asyncio.sleep(0)
    house.upstream.gate.set()
    codes = [told[3] & 15 for told in await asyncio.gather(*waiting) if told is not None]
    assert codes == [3, 0, 3, 0]


@pytest.mark.parametrize("qtype", ["TYPE41", "TYPE0", "TYPE128", "TYPE249", "TYPE250", "TYPE253"])
async def test_types_that_are_no_data_are_not_implemented(house: House, qtype: str) -> None:
    assert (await house.ask("free.a", qtype)).rcode == "NOTIMP"
    assert house.upstream.asked == []


async def test_closing_lets_go_of_the_forwarder(house: House) -> None:
    await house.pipeline.close()
    assert house.upstream.zone == {}


async def test_a_snapshot_opened_anew_rules_kept_answers_anew(house: House) -> None:
    # Pairs of rules are numbered in the order in which they are met, by each object for itself.
    base = [order("it-a", domains=["blocked.a"]), order("it-b", domains=["blocked.b"])]
    more = [
        order("fr-a", domains=["blocked.a"], places=["FR"]),
        order("fr-b", domains=["blocked.b"], places=["FR"], action="refused"),
    ]
    bottom = Snapshot(compile_snapshot(base, NOW))
    data = amend_snapshot(bottom, [*base, *more], NOW)
    house.upstream.zone.update(
        {"one.b": ["one.b. 60 CNAME blocked.a."], "two.b": ["two.b. 60 CNAME blocked.b."]}
    )
    for names in (("one.b", "two.b"), ("two.b", "one.b")):
        house.pipeline.enforce(InForce(LayeredSnapshot(data, bottom), house.places))
        for name in names:
            expected = "NXDOMAIN" if name == "one.b" else "REFUSED"
            assert (await house.ask(name, peer=FR)).rcode == expected
            assert (await house.ask(name, peer=IT)).rcode == "NXDOMAIN"


async def test_what_is_known_of_upstreams_is_told_without_secret_paths(house: House) -> None:
    quick, away = Health(), Health()
    for _ in range(2):
        quick.took(0.25)
    for _ in range(3):
        away.timed_out(1.0)
    house.upstream.known = {
        "192.0.2.1:53": quick,
        "tls://192.0.2.2:853#dns.example": away,
        "https://dns.example/secret?key=1": Health(),
    }
    assert house.pipeline.upstreams() == {
        "192.0.2.1:53": {"answers": 2, "seconds": 0.5, "rtt": 0.25, "away": False},
        "tls://192.0.2.2:853#dns.example": {
            "answers": 0,
            "seconds": 0.0,
            "rtt": away.rtt,
            "away": True,
        },
        "https://dns.example": {"answers": 0, "seconds": 0.0, "rtt": None, "away": False},
    }


async def test_a_forward_zone_opens_a_local_zone(house: House) -> None:
    name = "1.0.0.10.in-addr.arpa"
    house.upstream.zone[name] = [f"{name}. 60 A 192.0.2.7"]
    house.upstream.is_apart = lambda folded, zone: False  # type: ignore[attr-defined]
    assert (await house.ask(name)).rcode == "NXDOMAIN"
    house.upstream.is_apart = lambda folded, zone: True  # type: ignore[attr-defined]
    assert (await house.ask(name)).answer == [f"{name} A 192.0.2.7"]
