from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from geodns.serve.sockets import IP_PKTINFO, Listener, open_listeners
from geodns.serve.udp import BACKLOG, DRAIN, UdpListener
from tests.serve.answering import Answering, until


def opened(address: str) -> tuple[Listener, Answering, UdpListener, dict[str, int]]:
    (listener,) = open_listeners([address], 1)
    answering = Answering()
    counters: dict[str, int] = {}
    loop = asyncio.get_running_loop()
    return listener, answering, UdpListener(loop, listener.udp[0], answering, counters), counters


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.9.9.9", 0))
        sock.setblocking(False)
        yield sock


async def receive(client: socket.socket) -> tuple[bytes, Any]:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recvfrom(client, 65535)


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.5", "127.77.0.6"])
@pytest.mark.parametrize("word", [b"now", b"later"])
async def test_replies_leave_from_the_address_that_was_asked(
    client: socket.socket, asked: str, word: bytes
) -> None:
    listener, answering, udp, _ = opened("0.0.0.0:0")
    udp.start()
    client.sendto(word, (asked, listener.address.port))
    if word == b"later":
        await until(lambda: answering.waiting)
        assert udp.outstanding == 1
        answering.waiting[word].set_result(b"re:later")
    data, sender = await receive(client)
    assert data == b"re:" + word
    assert sender == (asked, listener.address.port)
    assert answering.seen == [(word, socket.inet_aton("127.9.9.9"), False)]
    assert udp.outstanding == 0
    udp.close()
    listener.close()


async def test_ipv6_replies_leave_from_the_address_that_was_asked() -> None:
    listener, answering, udp, _ = opened("[::]:0")
    udp.start()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind(("::1", 0))
        client.sendto(b"now", ("::1", listener.address.port))
        data, sender = await receive(client)
    assert data == b"re:now"
    assert sender[:2] == ("::1", listener.address.port)
    assert answering.seen[0][1] == socket.inet_pton(socket.AF_INET6, "::1")
    udp.close()
    listener.close()


async def test_nothing_else_is_sent_and_a_bug_is_only_counted(client: socket.socket) -> None:
    listener, answering, udp, counters = opened("127.0.0.1:0")
    found: list[BaseException] = []
    udp._on_internal = found.append
    udp.start()
    address = ("127.0.0.1", listener.address.port)
    for word in (b"none", b"raise", b"later-none", b"later-raise", b"", b"now"):
        client.sendto(word, address)
    await until(lambda: len(answering.waiting) == 2)
    answering.waiting[b"later-none"].set_result(None)
    answering.waiting[b"later-raise"].set_exception(RuntimeError("another bug"))
    data, _ = await receive(client)
    assert data == b"re:now"
    await until(lambda: udp.outstanding == 0)
    assert counters["internal_errors"] == 2
    assert [str(error) for error in found] == ["a bug", "another bug"]
    with pytest.raises(BlockingIOError):
        client.recv(100)
    udp.close()
    listener.close()


async def test_the_largest_packets_pass_whole(client: socket.socket) -> None:
    listener, answering, udp, _ = opened("127.0.0.1:0")
    udp.start()
    packet = b"now" + bytes(65000)
    client.sendto(packet, ("127.0.0.1", listener.address.port))
    data, _ = await receive(client)
    assert data == b"re:" + packet
    assert answering.seen[0][0] == packet
    udp.close()
    listener.close()


async def test_a_drain_is_bounded_and_the_end_reads_what_is_queued(client: socket.socket) -> None:
    listener, answering, udp, _ = opened("127.0.0.1:0")
    for number in range(DRAIN + 10):
        client.sendto(b"now%d" % number, ("127.0.0.1", listener.address.port))
    assert udp.drain()
    assert len(answering.seen) == DRAIN
    udp.start()
    udp.stop()
    assert len(answering.seen) == DRAIN + 10
    client.sendto(b"now too late", ("127.0.0.1", listener.address.port))
    await asyncio.sleep(0.05)
    assert len(answering.seen) == DRAIN + 10
    udp.close()
    listener.close()


class Clogged:
    """A socket whose send buffer is full until it is opened."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.full = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendto(self, data: bytes, address: Any) -> int:
        if self.full:
            raise BlockingIOError
        return self._sock.sendto(data, address)


async def test_a_full_send_buffer_delays_replies_and_bounds_them(client: socket.socket) -> None:
    listener, _, udp, counters = opened("127.0.0.1:0")
    clogged = Clogged(udp._sock)
    udp._sock = clogged  # type: ignore[assignment]
    address = client.getsockname()
    for number in range(BACKLOG + 5):
        udp._send((b"reply %d" % number, [], address))
    assert udp.outstanding == BACKLOG
    assert counters["udp/unsent"] == 5
    clogged.full = False
    data, _ = await receive(client)
    assert data == b"reply 0"
    await until(lambda: udp.outstanding == 0)
    udp.close()
    listener.close()


async def test_replies_that_cannot_be_sent_are_counted() -> None:
    listener, _, udp, counters = opened("127.0.0.1:0")
    udp._send((b"x" * 70000, [], ("127.0.0.1", 9)))
    assert counters["udp/unsent"] == 1
    assert udp.outstanding == 0
    udp.close()
    listener.close()


async def test_cut_ancillary_data_leaves_the_choice_to_the_kernel() -> None:
    listener, _, udp, _ = opened("0.0.0.0:0")
    assert udp._sender([(socket.IPPROTO_IP, IP_PKTINFO, b"\0\0")]) == []
    assert udp._sender([(socket.SOL_SOCKET, 1, bytes(12))]) == []
    info = b"\x05\0\0\0" + bytes((10, 0, 0, 1)) + bytes((10, 0, 0, 255))
    ((_, _, sent),) = udp._sender([(socket.IPPROTO_IP, IP_PKTINFO, info)])
    # The interface is left to routing, and the header's destination (a broadcast) is not used.
    assert sent == bytes(4) + bytes((10, 0, 0, 1)) + bytes(4)
    local = socket.inet_pton(socket.AF_INET6, "fe80::1")
    ((_, _, sent),) = udp._sender([(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local + b"\2\0\0\0")])
    assert sent == local + b"\2\0\0\0"
    udp.close()
    listener.close()
