"""The small HTTP server: what it answers, and what it does not put up with."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.errors import ServerError
from geodns.metrics import listener as module
from geodns.metrics.listener import Listener, Page, as_json


def broken(_accept: str) -> Page:
    raise RuntimeError("a bug")


PAGES = {
    "/hello": lambda accept: Page(200, "text/plain", b"accept " + accept.encode() + b"\n"),
    "/down": lambda _accept: as_json(503, {"reason": "so"}),
    "/large": lambda _accept: Page(200, "text/plain", b"x" * (8 << 20)),
    "/broken": broken,
}


@pytest.fixture
async def server() -> AsyncIterator[Listener]:
    found = Listener("127.0.0.1", 0, dict(PAGES))
    await found.open()
    yield found
    await found.close()


async def say(server: Listener, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send octets; the status, headers and body of the one reply before the end."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(request)
    async with asyncio.timeout(20):
        reply = await reader.read()
    writer.close()
    head, _, body = reply.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in rest)
    return int(first.split()[1]), headers, body


def get(path: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


async def test_a_page_with_what_was_accepted(server: Listener) -> None:
    status, headers, body = await say(server, get("/hello?x=1", more="Accept: a\r\nAccept: b\r\n"))
    assert (status, body) == (200, b"accept a, b\n")
    assert headers["content-length"] == str(len(body))
    assert headers["cache-control"] == "no-store"
    assert headers["connection"] == "close"


async def test_head_has_the_length_and_no_body(server: Listener) -> None:
    status, headers, body = await say(server, get("/hello", "HEAD"))
    assert (status, body, headers["content-length"]) == (200, b"", "8")


async def test_http_1_0_without_host(server: Listener) -> None:
    assert (await say(server, b"GET /hello HTTP/1.0\r\n\r\n"))[0] == 200


async def test_status_and_json(server: Listener) -> None:
    status, headers, body = await say(server, get("/down"))
    assert (status, headers["content-type"]) == (503, "application/json")
    assert json.loads(body) == {"reason": "so"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/"), 404),
        (get("/hello/"), 404),
        (get("/%68ello"), 404),
        (get("/\u00e9".encode().decode("latin-1")), 400),
        (get("/nowhere", "POST"), 404),
        (get("/hello", "POST", "Content-Length: 3\r\n") + b"abc", 405),
        (get("/broken"), 500),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nX: " + b"y" * 20000, 431),
        (get("/hello", more="Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
    ],
)
async def test_what_is_not_served(server: Listener, request_: bytes, status: int) -> None:
    found, headers, _ = await say(server, request_)
    assert found == status
    assert headers.get("allow") == ("get, head" if status == 405 else None)


async def test_one_octet_at_a_time(server: Listener) -> None:
    reader, writer = await asyncio.open_connection(*server.address)
    for octet in get("/hello"):
        writer.write(bytes((octet,)))
        await writer.drain()
        await asyncio.sleep(0)
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_more_requests_on_one_connection_are_not_served(server: Listener) -> None:
    _, _, body = await say(server, get("/hello") + get("/hello"))
    assert body == b"accept \n"


async def test_a_large_page_arrives_whole(server: Listener) -> None:
    status, _, body = await say(server, get("/large"))
    assert (status, len(body)) == (200, 8 << 20)


async def test_whoever_is_silent_or_does_not_read_is_cut(
    server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BOUND", 0.2)
    silent = await asyncio.open_connection(*server.address)
    half = await asyncio.open_connection(*server.address)
    half[1].write(b"GET /hello HTT")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, server.address)
        await loop.sock_sendall(slow, get("/large"))
        async with asyncio.timeout(20):
            for reader, writer in (silent, half):
                assert await reader.read() == b""
                writer.close()
            while server._connections:
                await asyncio.sleep(0.01)


async def test_the_longest_open_connection_makes_room(
    server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 3)
    held = [await asyncio.open_connection(*server.address) for _ in range(5)]
    assert (await say(server, get("/hello")))[0] == 200
    async with asyncio.timeout(20):
        for reader, _ in held[:2]:
            assert await reader.read() == b""
    for _, writer in held:
        writer.close()


async def test_a_taken_port_is_told_with_the_key() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=rf"127.0.0.1:{port} \(listen in \[metrics\]\)"):
            await Listener("127.0.0.1", port, {}).open()


async def test_ipv6() -> None:
    server = Listener("::1", 0, dict(PAGES))
    await server.open()
    assert (await say(server, get("/hello")))[0] == 200
    await server.close()


class Wire(asyncio.Transport):
    """Takes what a connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.out = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.out += data

    def close(self) -> None:
        self.closed = True

    abort = close


PIECES = st.sampled_from(
    [
        b"GET /hello HTTP/1.1\r\n",
        b"HEAD /down HTTP/1.0\r\n",
        b"POST /hello HTTP/1.1\r\n",
        b"Host: x\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"\r\n",
        b"abc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n",
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES | st.binary(max_size=40), max_size=12))
def test_whatever_arrives_there_is_one_reply_at_most(pieces: list[bytes]) -> None:
    async def talk() -> Wire:
        wire = Wire()
        connection = module._Connection(Listener("127.0.0.1", 0, dict(PAGES)))
        connection.connection_made(wire)
        for piece in pieces:
            if not wire.closed:
                connection.data_received(piece)
        connection.connection_lost(None)
        return wire

    wire = asyncio.run(talk())
    if wire.out:
        assert wire.closed
        assert re.match(rb"HTTP/1\.1 (200|400|404|405|431|501|503) ", wire.out)
        assert wire.out.count(b"HTTP/1.1 ") == 1
