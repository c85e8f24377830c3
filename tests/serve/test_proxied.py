"""PROXY headers on streams: the connection's client, and what becomes of those that send none."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.scenarios.asking import proxy_header
from tests.serve.answering import until
from tests.serve.test_stream import Serving, framed, serving

PROXY = "127.9.9.9"
IT, FR = "127.39.0.1", "127.33.0.1"


def behind(server: Serving, *proxies: str) -> None:
    server.answering.proxies = {socket.inet_aton(proxy) for proxy in proxies or (PROXY,)}


async def test_a_header_speaks_for_every_query_of_its_connection() -> None:
    async with serving() as server:
        behind(server)
        one, other = await server.connect(), await server.connect()
        one.writer.write(proxy_header(IT, transport=1) + framed(b"now1") + framed(b"now2"))
        other.writer.write(proxy_header("2001:db8::1", transport=1, tlvs=b"\x04\0\2ab"))
        other.send(b"now3")
        assert [await one.reply(), await one.reply()] == [b"re:now1", b"re:now2"]
        assert await other.reply() == b"re:now3"
        assert {peer for _, peer, _ in server.answering.seen} == {socket.inet_aton(PROXY)}
        clients = {
            packet.strip(b"."): source
            for (packet, _, _), source in zip(
                server.answering.seen, server.answering.sources, strict=True
            )
        }
        assert clients == {
            b"now1": socket.inet_aton(IT),
            b"now2": socket.inet_aton(IT),
            b"now3": socket.inet_pton(socket.AF_INET6, "2001:db8::1"),
        }


async def test_a_header_may_arrive_one_octet_at_a_time() -> None:
    async with serving() as server:
        behind(server)
        connection = await server.connect()
        for octet in proxy_header(FR, transport=1, tlvs=b"\x04\0\0") + framed(b"now"):
            connection.writer.write(bytes((octet,)))
            await connection.writer.drain()
            await asyncio.sleep(0.001)
        assert await connection.reply() == b"re:now"
        assert server.answering.sources == [socket.inet_aton(FR)]


async def test_local_is_the_proxy_itself() -> None:
    async with serving() as server:
        behind(server)
        connection = await server.connect()
        connection.writer.write(proxy_header(None) + framed(b"now"))
        assert await connection.reply() == b"re:now"
        assert server.answering.sources == [None]


@pytest.mark.parametrize(
    ("sent", "counter"),
    [
        (framed(b"now"), "missing"),
        (b"PROXY TCP4 127.39.0.1 127.0.0.1 40000 53\r\n", "missing"),
        (b"\r\n\r\n\1", "missing"),
        (proxy_header(IT)[:12] + b"\x31\x11\0\x0c" + bytes(12), "malformed"),
        (proxy_header(IT)[:12] + b"\x21\x11\xff\xff", "malformed"),
        (proxy_header(IT)[:12] + b"\x21\x11\0\x0b" + bytes(11), "malformed"),
    ],
)
async def test_a_proxy_without_a_header_is_cut_off(sent: bytes, counter: str) -> None:
    async with serving() as server:
        behind(server)
        connection = await server.connect()
        connection.writer.write(sent + framed(b"now"))
        assert await connection.closed()
        assert server.answering.seen == []
        assert server.counters[f"proxy/{counter}"] == 1
        await until(lambda: server.counters["tcp/open"] == 0)


async def test_a_connection_that_ends_within_its_header_is_closed() -> None:
    async with serving() as server:
        behind(server)
        connection = await server.connect()
        connection.writer.write(proxy_header(IT)[:20])
        connection.writer.write_eof()
        assert await connection.closed()
        await until(lambda: server.counters["tcp/open"] == 0)


async def test_a_header_that_dribbles_ends_with_the_idle_time() -> None:
    async with serving(idle=0.2) as server:
        behind(server)
        connection = await server.connect()
        began = asyncio.get_running_loop().time()

        async def dribble() -> None:
            for octet in proxy_header(IT, tlvs=b"\x04\x0f\x00" + bytes(0xF00)):
                connection.writer.write(bytes((octet,)))
                await asyncio.sleep(0.02)

        task = asyncio.create_task(dribble())
        assert await connection.closed()
        task.cancel()
        # Had each octet counted as life, it would have gone on for a minute and more.
        assert asyncio.get_running_loop().time() - began < 8


@pytest.mark.parametrize("pieces", [1, 5, 100])
async def test_nobody_else_may_send_one(pieces: int) -> None:
    async with serving() as server:
        connection = await server.connect()
        sent = proxy_header(IT, transport=1) + framed(b"now")
        for at in range(0, len(sent), pieces):
            connection.writer.write(sent[at : at + pieces])
            await asyncio.sleep(0.001)
        assert await connection.closed()
        assert server.answering.seen == []
        assert server.counters["proxy/unexpected"] == 1


async def test_a_header_behind_a_query_is_none() -> None:
    async with serving() as server:
        connection = await server.connect()
        connection.writer.write(framed(b"now") + proxy_header(IT))
        assert await connection.reply() == b"re:now"
        assert await connection.closed()
        assert server.counters["proxy/unexpected"] == 1


async def test_shares_are_the_clients_and_not_the_proxy_s() -> None:
    async with serving(per_client=1, connections=10) as server:
        behind(server)
        first, second, third = [await server.connect() for _ in range(3)]
        first.writer.write(proxy_header(IT) + framed(b"later1"))
        second.writer.write(proxy_header(FR) + framed(b"later2"))
        await until(lambda: len(server.answering.waiting) == 2)
        third.writer.write(proxy_header(IT) + framed(b"now"))
        assert await third.closed()
        assert server.counters["tcp/refused"] == 1
        server.answering.waiting[b"later1"].set_result(b"one")
        assert await first.reply() == b"one"
        fourth = await server.connect()
        fourth.writer.write(proxy_header(IT) + framed(b"now"))
        assert await fourth.reply() == b"re:now"
        assert await first.closed()
        assert server.counters["tcp/displaced"] == 1
        server.answering.waiting[b"later2"].set_result(b"two")
        assert await second.reply() == b"two"


async def test_a_new_list_of_proxies_ends_the_connections_that_it_concerns() -> None:
    async with serving() as server:
        behind(server)
        proxied, plain = await server.connect(), await server.connect("127.8.8.8")
        proxied.writer.write(proxy_header(IT) + framed(b"now"))
        plain.send(b"now")
        await proxied.reply(), await plain.reply()
        behind(server, "127.8.8.8")
        seen = len(server.answering.seen)
        proxied.send(b"now")
        plain.send(b"now")
        assert await proxied.closed() and await plain.closed()
        assert len(server.answering.seen) == seen
