"""The way of a miss: what the native fast path asks by itself, and the pipeline without it."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geodns.model.message import opt_record, option
from tests.policy.making import order, wire
from tests.scenarios.asking import build
from tests.serve.answering import until
from tests.serve.missing import FR, IT, house, receive
from tests.upstream.mock import Asked, answer, negative

ORDERS = [
    order("it-name", domains=["blocked.example"], places=["IT"], text="Because."),
    order("it-net", networks=["203.0.113.0/24", "2001:db8:5::/48"], places=["IT"]),
]


@pytest.fixture(params=["native", "pure"])
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure":
        monkeypatch.setenv("GEODNS_PURE", "1")
    else:
        pytest.importorskip("geodns.fastpath.native")
        monkeypatch.delenv("GEODNS_PURE", raising=False)
    return str(request.param)


native = pytest.mark.parametrize("twin", ["native"], indirect=True)


def record(kind: int, data: bytes, owner: bytes = b"\xc0\x0c", ttl: int = 300) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


SOA = record(6, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 60), b"\0", 900)


OPT = opt_record(1232)


def say(
    asked: Asked,
    rows: list[bytes],
    authority: tuple[bytes, ...] = (),
    opt: bytes = OPT,
    flags: int = 0x8180,
) -> None:
    query = asked.query
    head = asked.packet[:2] + struct.pack("!5H", flags, 1, len(rows), len(authority), 1)
    asked.send(head + query.question + b"".join((*rows, *authority, opt)))


def zone(asked: Asked) -> None:
    """Says something of each kind, by the first label."""
    kind = asked.query.folded[1 : 1 + asked.query.folded[0]].decode()
    a = record(1, b"\xc0\0\2\1")
    alias = record(5, wire("www.blocked.example"))
    match kind:
        case "none":
            say(asked, [], (SOA,), flags=0x8183)
        case "nodata":
            say(asked, [], (SOA,))
        case "alias":
            say(asked, [alias, record(1, b"\xc0\0\2\2", wire("www.blocked.example"))])
        case "harmless":
            say(asked, [record(5, wire("b")), record(1, b"\xc0\0\2\2", wire("b"), 5)])
        case "net":
            say(asked, [record(1, b"\xcb\0\x71\7"), a])
        case "net6":
            say(asked, [record(28, b"\x20\x01\x0d\xb8\0\5" + bytes(10))])
        case "mapped":
            say(asked, [record(28, bytes(10) + b"\xff\xff\xcb\0\x71\7")])
        case "service":
            say(asked, [record(65, b"\0\1\0\0\4\0\4\xcb\0\x71\7")])
        case "zero":
            say(asked, [record(1, b"\xc0\0\2\1", ttl=0)])
        case "ede":
            say(asked, [a], opt=opt_record(1232, option(15, b"\0\3stale")))
        case "secure":
            say(asked, [a, record(46, bytes(30))], flags=0x81A0)
        case "many":
            say(asked, [a] * 40)
        case "long":
            say(asked, [record(16, b"\xff" + bytes(255)) for _ in range(4)])
        case "failed":
            asked.send(negative(asked.packet, 2))
        case "refused":
            asked.send(negative(asked.packet, 5))
        case _:
            say(asked, [a])


NAMES = [
    *("plain", "none", "nodata", "alias", "harmless", "net", "net6", "mapped", "service", "zero"),
    *("ede", "secure", "many", "long", "failed", "refused", "blocked.example"),
]


async def test_the_twins_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("geodns.fastpath.native")
    told: list[dict[tuple[str, str, bytes], bytes]] = []
    counted = []
    for number, pure in enumerate(("1", "")):
        monkeypatch.setenv("GEODNS_PURE", pure)
        folder = tmp_path / str(number)
        folder.mkdir()
        replies = {}
        async with house(folder, zone, orders=ORDERS) as made:
            assert (made.misses is None) == bool(pure)
            for source in (IT, FR, IT):
                for name in NAMES:
                    for packet in (
                        build(f"{name}.Test", ident=7),
                        build(f"{name}.tEST", "HTTPS", ident=8, edns=512, ad=True),
                        build(f"{name}.test", "AAAA", ident=9, do=True),
                        build(f"{name}.test", ident=10, edns=None, cd=True, rd=False),
                    ):
                        replies[source, name, packet] = await made.exchange(packet, source)
            counts = made.pipeline.counters()
            counted.append(
                {
                    name: counts[name]
                    for name in ("queries/udp", "allowed", "blocked", "place/IT", "place/FR")
                }
            )
        told.append(replies)
    assert told[0] == told[1]
    assert counted[0] == counted[1]


async def test_a_miss_is_counted_and_asked_once(tmp_path: Path, twin: str) -> None:
    async with house(tmp_path, zone) as made:
        assert (await made.ask("plain.test")).answer == ["plain.test A 192.0.2.1"]
        assert (await made.ask("plain.test")).answer == ["plain.test A 192.0.2.1"]
        counts = {
            "cache/misses": 1, "cache/hits": 1, "allowed": 2, "queries/udp": 2, "place/FR": 2,
            "upstream/sent": 1, "upstream/timeouts": 0, "upstream/mismatched": 0,
        }  # fmt: skip
        assert {name: made.count(name) for name in counts} == counts
    assert len(made.upstream.seen) == 1


@native
async def test_what_is_asked_is_what_the_forwarder_would_ask(tmp_path: Path, twin: str) -> None:
    asked: list[Asked] = []

    def script(one: Asked) -> None:
        asked.append(one)
        zone(one)

    async with house(tmp_path, script) as made:
        await made.ask("PLAIN.test", do=True, cd=True)
        assert made.count("fast/queries") == 1
    (one,) = asked
    assert one.packet[2:] == (
        b"\x01\x30\0\1\0\0\0\0\0\1" + wire("plain.test") + b"\0\1\0\1"
        + opt_record(1232, dnssec_ok=True)
    )  # fmt: skip


@native
async def test_equal_questions_share_one(tmp_path: Path, twin: str) -> None:
    held: list[Asked] = []
    async with house(tmp_path, held.append) as made:
        clients = [made.client() for _ in range(30)]
        for ident, client in enumerate(clients):
            client.send(build("MiXed.test" if ident % 2 else "mixed.TEST", ident=ident))
        await until(lambda: made.outstanding == 30)
        zone(held[0])
        for ident, client in enumerate(clients):
            packet = await receive(client)
            assert packet[:2] == ident.to_bytes(2, "big")
            assert packet[12:18] == (b"\5MiXed" if ident % 2 else b"\5mixed")
        assert made.count("upstream/shared") == 29
        assert made.count("cache/misses") == 30
        assert made.outstanding == 0
    assert len(held) == 1


async def test_other_bits_are_other_questions(tmp_path: Path, twin: str) -> None:
    async with house(tmp_path, zone) as made:
        for bits in ({}, {"do": True}, {"cd": True}, {"do": True, "cd": True}):
            await made.ask("plain.test", **bits)
            await made.ask("plain.test", "AAAA", **bits)
    seen = {(one.query.qtype, one.query.dnssec_ok, one.query.flags) for one in made.upstream.seen}
    assert len(seen) == len(made.upstream.seen) == 8


async def test_what_answers_nothing_is_waited_past(tmp_path: Path, twin: str) -> None:
    def script(asked: Asked) -> None:
        spoof = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        forged = answer(asked.packet, address=b"\x06\6\6\6")
        with spoof:
            spoof.sendto(forged, asked.source)
        number = int.from_bytes(asked.packet[:2])
        asked.reply(ident=((number + 1) % 65536).to_bytes(2), address=b"\x06\6\6\6")
        asked.reply(question=wire("other.test") + b"\0\1\0\1", address=b"\x06\6\6\6")
        asked.reply(question=wire("plain.test") + b"\0\x1c\0\1", address=b"\x06\6\6\6")
        asked.reply(flags=0x0180, address=b"\x06\6\6\6")
        asked.send(asked.packet[:11])
        asked.reply()
        asked.reply(address=b"\x06\6\6\6")

    async with house(tmp_path, script) as made:
        assert (await made.ask("plain.test")).answer == ["plain.test A 192.0.2.1"]
        await until(lambda: made.count("upstream/mismatched") == 6)
        assert (await made.ask("plain.test")).answer == ["plain.test A 192.0.2.1"]
        assert made.count("upstream/sent") == 1


async def test_a_silent_server_is_asked_again_by_the_forwarder(tmp_path: Path, twin: str) -> None:
    held: list[Asked] = []

    def script(asked: Asked) -> None:
        held.append(asked)
        if len(held) > 1:
            zone(asked)

    async with house(tmp_path, script, upstream={"timeout": 0.2}) as made:
        assert (await made.ask("plain.test")).rcode == "NOERROR"
        assert made.count("upstream/timeouts") == 1
        assert made.count("upstream/sent") == 2
        # Too late for anybody: it is counted, and changes nothing.
        held[0].reply(address=b"\x06\6\6\6")
        await asyncio.sleep(0.05)
        assert (await made.ask("plain.test")).answer == ["plain.test A 192.0.2.1"]


async def test_truncated_replies_are_fetched_over_tcp(tmp_path: Path, twin: str) -> None:
    def cut(asked: Asked) -> None:
        asked.reply(flags=0x8380, address=None)

    async with house(tmp_path, cut, zone) as made:
        assert (await made.ask("plain.test")).answer == ["plain.test A 192.0.2.1"]
        assert made.count("upstream/tcp") == 1


async def test_an_upstream_that_is_gone(tmp_path: Path, twin: str) -> None:
    async with house(tmp_path, zone, upstream={"timeout": 0.3}) as made:
        assert (await made.ask("plain.test")).rcode == "NOERROR"
        made.upstream.silence()
        for name in ("a", "b", "c", "d", "e"):
            reply = await made.ask(f"{name}.test")
            assert reply.rcode == "SERVFAIL"
            assert [code for code, _ in reply.ede] in ([22], [23])
        assert (await made.ask("plain.test")).rcode == "NOERROR"
        assert made.outstanding == 0


@pytest.mark.parametrize(("size", "rcode"), [(1500, "NOERROR"), (60000, "SERVFAIL")])
async def test_large_answers(tmp_path: Path, twin: str, size: int, rcode: str) -> None:
    """Larger than was announced is passed on as far as it was read whole (4096 octets)."""

    def script(asked: Asked) -> None:
        say(asked, [record(16, b"\xfe" + bytes(254)) for _ in range(size // 267)])

    async with house(tmp_path, script) as made:
        for _ in range(2):
            reply = await made.ask("large.test", "TXT", edns=4096)
            assert reply.rcode == rcode
            assert reply.tc == (rcode == "NOERROR")
        assert made.outstanding == 0


async def test_a_flood_is_bounded(tmp_path: Path, twin: str) -> None:
    held: list[Asked] = []
    limits = {"misses": 8, "client_misses": 8}
    async with house(tmp_path, held.append, limits=limits, upstream={"timeout": 5}) as made:
        client = made.client()
        for number in range(64):
            client.send(build(f"n{number}.test", ident=number))
        await until(lambda: made.count("overload") + made.count("overload/client") == 56)
        await until(lambda: len(held) == 8)
        assert made.outstanding == 8
        for one in held:
            zone(one)
        codes = [(await receive(client))[3] & 15 for _ in range(64)]
        assert codes.count(2) == 56
        assert codes.count(0) == 8
        # Room again.
        client.send(build("more.test"))
        await until(lambda: len(held) == 9)
        zone(held[8])
        assert (await receive(client))[3] & 15 == 0


async def test_an_order_comes_into_force_in_mid_flight(tmp_path: Path, twin: str) -> None:
    held: list[Asked] = []
    async with house(tmp_path, held.append) as made:
        italian, french = made.client(IT), made.client(FR)
        for client in (italian, french):
            client.send(build("www.blocked.example"))
            client.send(build("alias.test"))
        await until(lambda: len(held) == 2)
        made.enforce(ORDERS)
        for one in held:
            zone(one)
        assert [(await receive(italian))[3] & 15 for _ in range(2)] == [3, 3]
        assert [(await receive(french))[3] & 15 for _ in range(2)] == [0, 0]
        assert made.count("order/it-name") == 2
    assert len(held) == 2


async def test_a_reload_costs_no_question(tmp_path: Path, twin: str) -> None:
    async with house(tmp_path, zone) as made:
        for name in ("plain", "harmless", "alias", "net"):
            assert (await made.ask(f"{name}.test", source=IT)).rcode == "NOERROR"
        made.enforce(ORDERS)
        codes = [(await made.ask(f"{name}.test", source=IT)).rcode
                 for name in ("plain", "harmless", "alias", "net")]  # fmt: skip
        assert codes == ["NOERROR", "NOERROR", "NXDOMAIN", "NXDOMAIN"]
        made.enforce([])
        for name in ("plain", "harmless", "alias", "net"):
            assert (await made.ask(f"{name}.test", source=IT)).rcode == "NOERROR"
    assert len(made.upstream.seen) == 4


async def test_replies_that_wait_unread_are_not_late(tmp_path: Path, twin: str) -> None:
    """After a stall of the process, longer than a server gets to answer."""

    held: list[Asked] = []
    async with house(tmp_path, held.append, upstream={"timeout": 0.4}) as made:
        client = made.client()
        client.send(build("plain.test"))
        await until(lambda: held)
        zone(held[0])
        time.sleep(0.8)  # noqa: ASYNC251
        assert (await receive(client))[3] & 15 == 0
        assert made.count("upstream/timeouts") == 0
    assert len(held) == 1


@native
async def test_lanes_change_their_ports(tmp_path: Path, twin: str) -> None:
    async with house(tmp_path, zone) as made:
        for number in range(200):
            await made.ask(f"n{number}.test")
        assert made.count("fast/queries") == 200
    idents = {one.packet[:2] for one in made.upstream.seen}
    assert len(idents) > 190
    assert len(set(made.upstream.sources)) >= 16
    assert max(map(made.upstream.sources.count, made.upstream.sources)) <= 32


@native
async def test_local_names_and_forward_zones_are_not_asked_here(tmp_path: Path, twin: str) -> None:
    async with house(tmp_path, zone) as made:
        for name in ("localhost", "x.localhost", "1.0.0.10.in-addr.arpa", "a.invalid", "b.onion"):
            await made.ask(name)
    assert not made.upstream.seen


@native
async def test_a_wildcard_socket_replies_from_the_address_that_was_asked(
    tmp_path: Path, twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.serve import missing

    real: Callable[..., object] = missing.open_listeners
    monkeypatch.setattr(missing, "open_listeners", lambda _, n: real(["0.0.0.0:0"], n))
    held: list[Asked] = []
    async with house(tmp_path, held.append, upstream={"timeout": 0.3}) as made:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
            client.bind((FR, 0))
            for name, seen in (("a", 1), ("b", 3)):
                # The first is answered by the fast path; the second is handed up in the end.
                server = ("127.77.0.6", made.listener.address.port)
                client.sendto(build(f"{name}.test"), server)
                await until(lambda: len(held) == seen)  # noqa: B023
                zone(held[-1])
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(10):
                    _, sender = await loop.sock_recvfrom(client, 4096)
                assert sender == server


async def test_those_who_wait_are_answered_at_the_end(tmp_path: Path, twin: str) -> None:
    held: list[Asked] = []
    async with house(tmp_path, held.append) as made:
        client = made.client()
        client.send(build("plain.test"))
        await until(lambda: held)
        made.udp.stop()
        assert made.outstanding == 1
        zone(held[0])
        assert (await receive(client))[3] & 15 == 0
        await until(lambda: made.outstanding == 0)


async def test_what_has_failed_is_not_asked_again_at_once(tmp_path: Path, twin: str) -> None:
    async with house(tmp_path, zone) as made:
        assert (await made.ask("failed.test")).rcode == "SERVFAIL"
        before = len(made.upstream.seen)
        for _ in range(3):
            assert (await made.ask("failed.test")).rcode == "SERVFAIL"
        assert len(made.upstream.seen) == before
