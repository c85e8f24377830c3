"""Each clause of the transcripts, asked of the pipeline itself and over real sockets, twice.

Twice, since what the pipeline answers once the fast path may answer the next time, and it must be
the same. The Python twin of the fast path gives the same replies as the native one.
"""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Iterator

import pytest

from tests.protocol.shown import read
from tests.protocol.transcript import Clause, Exchange, all_clauses
from tests.scenarios.world import Loop, World, running

GEOFEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n127.0.0.0/16,FR\n"
ZONE = """
fine.example. 300 A 192.0.2.1
fine.example. 300 AAAA 2001:db8::1
signed.example. 300 A 192.0.2.2
signed.example. 300 TYPE46 00010d020000012c6000000050000000000100657861
alias.example. 300 CNAME www.blocked.example.
two.example. 300 CNAME alias.example.
below.example. 300 DNAME blocked.example.
ordered.example. 300 A 203.0.113.7
odd.example. 300 TYPE65280 0102030405
big.example. 300 A 192.0.2.0/25
any.example. 300 A 192.0.2.3
any.example. 300 AAAA 2001:db8::3
bogus.example. 300 A 192.0.2.4
service.example. 300 TYPE65 00010377777707626c6f636b6564076578616d706c6500
hint.example. 300 TYPE65 00010000040004cb007107
"""
ORDER = """
id = "{id}"
title = "{id}"
status = "active"
authority = {{ name = "Tribunale", kind = "{kind}" }}
dates = {{ effective = 2022-07-11 }}
{more}
"""
ORDERS = {
    "IT/it-domain.toml": ORDER.format(
        id="it-domain",
        kind="court",
        more='targets = { domains = ["blocked.example"], networks = ["203.0.113.0/24"] }\n'
        'disclosure = { text = "Order 1 of the court", language = "en" }',
    ),
    "IT/it-nodata.toml": ORDER.format(
        id="it-nodata",
        kind="court",
        more='targets = { domains = ["empty.example"] }\nresponse = { action = "nodata" }',
    ),
    "IT/it-refused.toml": ORDER.format(
        id="it-refused",
        kind="court",
        more='targets = { domains = ["refused.example"] }\nresponse = { action = "refused" }',
    ),
    "IT/it-sinkhole.toml": ORDER.format(
        id="it-sinkhole",
        kind="court",
        more='targets = { domains = ["sink.example"] }\n'
        'response = { action = "sinkhole", addresses = ["198.51.100.1", "2001:db8::9"] }',
    ),
    "IT/it-house.toml": ORDER.format(
        id="it-house", kind="operator", more='targets = { domains = ["house.example"] }'
    ),
}
SHORT = 0.3
"""Seconds after which a reply that must not come is not waited for."""


@pytest.fixture(scope="module", params=["native", "pure"])
def world(
    request: pytest.FixtureRequest, loop: Loop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    patch = pytest.MonkeyPatch()
    if request.param == "pure":
        patch.setenv("GEODNS_PURE", "1")
    else:
        pytest.importorskip("geodns.fastpath.native")
        patch.delenv("GEODNS_PURE", raising=False)
    with running(
        loop,
        tmp_path_factory.mktemp("protocol"),
        orders=ORDERS,
        geofeed=GEOFEED,
        zone=ZONE,
        manners={
            "signed.example": {"ad": True},
            "alias.example": {"ad": True},
            "any.example": {"ad": True},
            "big.example": {"ad": True},
            "bogus.example": {"rcode": 2, "ede": 6},
        },
        settings={
            "server": {
                "clients": ["127.33.0.0/16", "127.39.0.0/16"],
                "version": "geodns",
                "identity": "one",
            },
            "trust": {"ecs": ["127.0.0.9"]},
            "errors": {"structured_option": 65333, "info_url": "https://r.example"},
        },
    ) as made:
        yield made
    patch.undo()


@pytest.mark.parametrize("clause", all_clauses(), ids=str)
def test_transcript(world: World, clause: Clause) -> None:
    for exchange in clause.exchanges:
        for over in exchange.over:
            for way, packet in _ways(world, exchange, over):
                told = f"{clause.file}.txt:{exchange.line}, {over}, {way}"
                if packet is None:
                    assert exchange.reply == "nothing", told
                    continue
                assert packet[:2] == exchange.packet[:2], f"{told}: the ID"
                assert packet[2] & 0x80, f"{told}: QR"
                # Asked by several ways in a row, a failure comes from the failure cache.
                assert str(read(packet)).removesuffix(" EDE 13") == exchange.reply, told


def _ways(world: World, exchange: Exchange, over: str) -> Iterator[tuple[str, bytes | None]]:
    stream = over == "tcp"
    patience = SHORT if exchange.reply == "nothing" else 5.0
    yield "the pipeline", world.loop.run(_through_pipeline(world, exchange, stream=stream))
    if stream and len(exchange.packet) < 12:
        return
    for time in ("first", "second"):
        yield (
            f"the socket, {time} time",
            world.send(exchange.packet, exchange.client, stream=stream, patience=patience),
        )


async def _through_pipeline(world: World, exchange: Exchange, *, stream: bool) -> bytes | None:
    peer = ipaddress.ip_address(exchange.client).packed
    reply = world.pipeline.answer(exchange.packet, peer, stream=stream)
    if inspect.isawaitable(reply):
        return await reply
    assert reply is None or isinstance(reply, bytes)
    return reply
