"""The page server on a socket: what strict, odd and hostile HTTP clients get."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from geodns.blockpage import http
from geodns.blockpage.answer import Answers
from geodns.blockpage.http import PageServer
from geodns.serve.inforce import InForce
from tests.blockpage.test_answer import FULL, settings
from tests.serve.running import FEED
from tests.serve.test_inforce import in_force

IT, FR = "127.39.0.1", "127.33.0.1"
GET = b"GET /a/b?c=d HTTP/1.1\r\nHost: full.example\r\n\r\n"


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> InForce:
    folder: Path = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.serve.test_inforce.FEED", FEED)
        return in_force(folder, FULL)


@contextlib.asynccontextmanager
async def serving(orders: InForce, connections: int = 100) -> AsyncIterator[tuple[PageServer, int]]:
    server = PageServer(Answers(settings(), orders), connections)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    await server.listen(sock)
    try:
        yield server, sock.getsockname()[1]
    finally:
        await server.close(1)


async def connect(port: int, source: str = IT) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def exchange(port: int, data: bytes, source: str = IT, *, close: bool = False) -> bytes:
    """Send octets and read all that comes until the server closes."""
    reader, writer = await connect(port, source)
    writer.write(data)
    if close:
        writer.write_eof()
    found = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(15):
            while part := await reader.read(65536):
                found += part
    writer.close()
    return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_one_request_one_connection(orders: InForce) -> None:
    async with serving(orders) as (server, port):
        answer = await exchange(port, GET)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 451 Unavailable For Legal Reasons\r\n")
        assert b"\r\nConnection: close" in head
        assert b"\r\nContent-Length: %d" % len(body) in head
        assert b"\r\nServer: geodns\r\n" in head
        assert b"aiohttp" not in answer
        assert body.startswith(b"<!DOCTYPE html>")
        assert body.rstrip().endswith(b"</html>")
        assert status(await exchange(port, GET, FR)) == 421
        assert not server.open


async def test_head_has_the_same_head_and_no_body(orders: InForce) -> None:
    async with serving(orders) as (_, port):
        get = (await exchange(port, GET)).partition(b"\r\n\r\n")
        head = (await exchange(port, GET.replace(b"GET", b"HEAD"))).partition(b"\r\n\r\n")
    assert head[2] == b""

    def undated(text: bytes) -> list[bytes]:
        return [line for line in text.split(b"\r\n") if not line.startswith(b"Date:")]

    assert undated(head[0]) == undated(get[0])


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (b"GET http://full.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n", 451),
        (b"GET http://full.example:8080/x HTTP/1.1\r\nHost: other.example\r\n\r\n", 451),
        (b"GET http://other.example/x HTTP/1.1\r\nHost: full.example\r\n\r\n", 421),
        (b"GET http://a:b@full.example/ HTTP/1.1\r\nHost: full.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: full.example\r\n\r\n", 451),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: full.example\r\nHost: full.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: full.example:99999\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: bücher.example\r\n\r\n".encode(), 451),
        (b"GET / HTTP/1.1\r\nHost: b\xfccher.example\r\n\r\n", 400),
        (b"GET /?lang=it HTTP/1.1\r\nHost: full.example\r\n\r\n", 451),
        (b"GET /%ff%00?%ff=%00&lang=%ff HTTP/1.1\r\nHost: full.example\r\n\r\n", 451),
        (b"OPTIONS * HTTP/1.1\r\nHost: full.example\r\n\r\n", 451),
        (b"CONNECT full.example:443 HTTP/1.1\r\nHost: full.example:443\r\n\r\n", 501),
        (b"TRACE / HTTP/1.1\r\nHost: full.example\r\n\r\n", 501),
        (b"PROPFIND / HTTP/1.1\r\nHost: full.example\r\n\r\n", 501),
        (b"BREW / HTTP/1.1\r\nHost: full.example\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: full.example\r\nContent-Length: 3\r\n\r\nabc", 451),
        (b"POST / HTTP/1.1\r\nHost: full.example\r\nContent-Length: 999999999\r\n\r\nabc", 451),
        (
            b"POST / HTTP/1.1\r\nHost: full.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
            451,
        ),
        (b"PUT / HTTP/1.1\r\nHost: full.example\r\nExpect: 100-continue\r\n\r\n", 451),
        (
            b"GET / HTTP/1.1\r\nHost: full.example\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n",
            451,
        ),
        (b"GET / HTTP/1.1\r\nHost : full.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: full.example\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 400),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: full.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: full.example\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
async def test_odd_requests(orders: InForce, request_: bytes, wanted: int) -> None:
    async with serving(orders) as (server, port):
        answer = await exchange(port, request_)
        assert status(answer) == wanted, answer[:300]
        assert b"aiohttp" not in answer
        assert b"Traceback" not in answer
        assert not [key for key in server.answers.counters if "internal" in key]
        assert status(await exchange(port, GET)) == 451


async def test_a_request_may_come_one_octet_at_a_time(orders: InForce) -> None:
    async with serving(orders) as (_, port):
        reader, writer = await connect(port)
        for octet in GET:
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(0)
        assert status(await reader.read()) == 451
        writer.close()


async def test_only_the_first_of_pipelined_requests_is_answered(orders: InForce) -> None:
    async with serving(orders) as (_, port):
        assert (await exchange(port, GET * 50)).count(b"HTTP/1.1 ") == 1


async def test_silent_and_trickling_clients_are_cut(
    orders: InForce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "REQUEST_BOUND", 0.3)
    async with serving(orders) as (server, port):
        assert await exchange(port, b"") == b""
        reader, writer = await connect(port)
        writer.write(GET[:-4] + b"\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(500):
                writer.write(b"y")
                await writer.drain()
                await asyncio.sleep(0.02)
        assert writer.is_closing()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await asyncio.sleep(0.05)
        assert not server.open


async def test_whoever_does_not_read_is_cut(
    orders: InForce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CONNECTION_BOUND", 0.3)
    async with serving(orders) as (server, port):
        body = b"POST / HTTP/1.1\r\nHost: full.example\r\nContent-Length: 9\r\n\r\n"
        holders = [await connect(port) for _ in range(5)]
        for _, writer in holders:
            writer.write(body[:30])
        for _ in range(200):
            if not server.open:
                break
            await asyncio.sleep(0.02)
        assert not server.open
        assert server.answers.counters["blockpage/cut"] == 5
        for _, writer in holders:
            writer.close()


async def test_connections_are_bounded_for_each_client_and_in_all(orders: InForce) -> None:
    async with serving(orders, connections=http.PER_CLIENT + 5) as (server, port):
        one = [await connect(port) for _ in range(http.PER_CLIENT)]
        await asyncio.sleep(0.05)
        assert await exchange(port, GET) == b""
        assert status(await exchange(port, GET, FR)) == 421
        others = [await connect(port, f"127.33.0.{at}") for at in range(2, 7)]
        await asyncio.sleep(0.05)
        assert await exchange(port, GET, FR) == b""
        assert server.answers.counters["blockpage/refused"] == 2
        for _, writer in (*one, *others):
            writer.close()
        for _ in range(200):
            if not server.open:
                break
            await asyncio.sleep(0.02)
        assert status(await exchange(port, GET)) == 451


async def test_a_listed_proxy_may_have_all_connections(orders: InForce) -> None:
    async with serving(orders) as (server, port):
        listed = settings()
        listed["trust"]["forwarded"] = ["127.33.0.9"]
        server.answers.apply(listed, orders)
        held = [await connect(port, "127.33.0.9") for _ in range(http.PER_CLIENT + 5)]
        await asyncio.sleep(0.05)
        request = GET[:-2] + b"X-Forwarded-For: 127.39.0.1\r\n\r\n"
        assert status(await exchange(port, request, "127.33.0.9")) == 451
        for _, writer in held:
            writer.close()


async def test_nothing_of_a_client_is_logged(
    orders: InForce, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(orders) as (server, port):
        await exchange(port, GET)
        await exchange(port, b"\xff\x00nonsense\r\n\r\n")
        await exchange(port, GET[:10], close=True)
        monkeypatch.setattr(server.answers, "answer", lambda request: 1 / 0)
        assert status(await exchange(port, GET)) == 500
        assert status(await exchange(port, GET)) == 500
    assert server.answers.counters["blockpage/internal/ZeroDivisionError"] == 2
    told = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
    assert told == ["a request could not be answered: ZeroDivisionError"]
    assert "127." not in caplog.text
    assert "full.example" not in caplog.text
