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


@pytest.fixture
def world(loop: Loop, tmp_path: Path, twin: None) -> Iterator[World]:
    trust = {"ecs": [TRUSTED], "proxy": [PROXY]}
    with running(
        loop, tmp_path, orders={}, geofeed=GEOFEED, zone=ZONE, settings={"trust": trust}
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
