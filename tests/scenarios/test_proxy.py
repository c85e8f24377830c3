"""PROXY headers that cannot be read, that nobody asked for, and what comes back, over sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios import asking
from tests.scenarios.asking import build
from tests.scenarios.test_wire import (
    FORMAT_ERRORS,
    FR,
    GEOFEED,
    IT,
    QUESTION,
    SHORT,
    TRUSTED,
    ZONE,
    head,
    rcode,
)
from tests.scenarios.world import Loop, World, running

PROXY = "127.0.0.10"
ORDER = """
id = "it-net"
title = "A name and a network"
status = "active"
authority = { name = "Tribunale", kind = "court" }
dates = { effective = 2022-07-11 }
targets = { domains = ["blocked.example"], networks = ["203.0.113.0/24"] }
"""
MORE = """
net.example. 300 A 203.0.113.1
alias.example. 300 CNAME blocked.example.
blocked.example. 300 A 192.0.2.9
"""


@pytest.fixture
def world(loop: Loop, tmp_path: Path, twin: None) -> Iterator[World]:
    trust = {"ecs": [TRUSTED], "proxy": [PROXY]}
    with running(
        loop, tmp_path, orders={}, geofeed=GEOFEED, zone=ZONE + MORE, settings={"trust": trust}
    ) as made:
        yield made


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (asking.proxy_header(FR)[:20], "malformed"),
        (asking.proxy_header(FR)[:12] + b"\x21\x12\0\x0b" + bytes(11), "malformed"),
        (asking.proxy_header(FR)[:12] + b"\x11\x12\0\x0c" + bytes(12), "malformed"),
        (asking.proxy_header(FR), None),
        (asking.proxy_header(FR) + head(0x8180) + QUESTION, None),
    ],
)
def test_a_proxy_whose_datagram_cannot_be_read_gets_no_reply(
    world: World, datagram: bytes, counter: str | None
) -> None:
    before = world.pipeline.counters()
    assert world.send(datagram, PROXY, patience=SHORT) is None
    after = world.pipeline.counters()
    assert after["dropped"] == before.get("dropped", 0) + 1
    for name in ("missing", "malformed", "unexpected"):
        told = after.get(f"proxy/{name}", 0) - before.get(f"proxy/{name}", 0)
        assert told == (name == counter), name
    assert rcode(world.send(build("fine.example"), PROXY, header=asking.proxy_header(FR))) == 0


def test_a_header_from_anybody_else_is_a_malformed_query(world: World) -> None:
    before = world.pipeline.counters().get("proxy/unexpected", 0)
    for client in (IT, FR, TRUSTED):
        reply = world.send(build("fine.example"), client, header=asking.proxy_header(FR))
        assert rcode(reply) == 4, "its third octet reads as another opcode"
    assert world.pipeline.counters()["proxy/unexpected"] == before + 3


def test_malformed_queries_of_a_proxy_get_plain_dns(world: World) -> None:
    told = asking.proxy_header(FR)
    for stream in (False, True):
        reply = world.send(FORMAT_ERRORS["two OPTs"], PROXY, stream=stream, header=told)
        assert reply is not None
        assert (reply[:2], rcode(reply)) == (head()[:2], 1)


def test_two_headers_are_one_too_many(world: World) -> None:
    told = asking.proxy_header(FR)
    assert rcode(world.send(build("fine.example"), PROXY, header=told + told)) == 4


def test_the_list_may_change_while_it_runs(world: World) -> None:
    async def trust(**lists: list[str]) -> None:
        world.pipeline.apply(world.settings | {"trust": world.settings["trust"] | lists})

    packet, told = build("fine.example"), asking.proxy_header(FR)
    assert rcode(world.send(packet, PROXY, header=told)) == 0
    world.loop.run(trust(proxy=[IT]))
    assert rcode(world.send(packet, PROXY)) == 0
    assert rcode(world.send(packet, PROXY, header=told)) == 4
    assert rcode(world.send(packet, IT)) == 5
    assert rcode(world.send(packet, IT, header=told)) == 0
    world.loop.run(trust(proxy=[]))
    for client in (PROXY, IT, FR):
        assert rcode(world.send(packet, client)) == 0


def test_who_waits_for_an_upstream_gets_the_answer_for_whom_the_proxy_named(world: World) -> None:
    world.rewrite({"IT/it-net.toml": ORDER})
    for client, expected in ((IT, 3), (FR, 0)):
        for name in ("net.example", "alias.example", "fine.example"):
            reply = world.send(build(name), PROXY, header=asking.proxy_header(client))
            assert rcode(reply) == (0 if name == "fine.example" else expected)
    assert [seen.name for seen in world.upstream.seen] == [
        "net.example",
        "alias.example",
        "fine.example",
    ]
    # Counted where the client is; the proxy itself has no place.
    counters = world.pipeline.counters()
    assert (counters["place/IT"], counters["place/FR"]) == (3, 3)
    assert counters["order/it-net"] == counters["blocked"] == 2
    assert "place/None" not in counters
