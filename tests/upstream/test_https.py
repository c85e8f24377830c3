"""DNS over HTTPS to upstreams, against a scripted HTTP/2 server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from geodns.upstream.flight import UpstreamFailure
from tests.upstream.mock import QUESTION, Upstream, answer
from tests.upstream.mock_https import HttpsServer, Request
from tests.upstream.test_stream import NAME, ask, ca, forwarding, names, until

__all__ = ["ca"]


def good(request: Request) -> None:
    request.reply(answer(request.packet))


async def test_questions_are_posted_over_one_connection(ca: str) -> None:
    async with HttpsServer(good) as server, forwarding(server.text, ca=ca) as forwarder:
        for question in (QUESTION, *names(4)):
            assert (await ask(forwarder, question)).addresses
    assert len(server.lines) == 1
    for request in server.seen:
        assert request.headers[":method"] == "POST"
        assert request.headers[":path"] == "/dns-query"
        assert request.headers[":authority"] == f"{NAME}:{server.port}"
        assert request.headers["content-type"] == "application/dns-message"
        assert len(request.packet) % 128 == 0
        assert request.packet[:2] == b"\0\0"


async def test_answers_come_in_any_order_and_no_more_is_asked_at_once_than_may_be(ca: str) -> None:
    held: list[Request] = []
    async with (
        HttpsServer(held.append, most=3) as server,
        forwarding(server.text, ca=ca) as forwarder,
    ):
        first = asyncio.create_task(ask(forwarder))
        await until(lambda: len(held) == 1)
        good(held[0])
        await first
        tasks = [asyncio.create_task(ask(forwarder, question)) for question in names(8)]
        await until(lambda: len(held) == 4)
        await asyncio.sleep(0.05)
        assert len(held) == 4  # one before, three now
        server.script = good
        for request in reversed(held[1:]):
            good(request)
        assert all(response.addresses for response in await asyncio.gather(*tasks))
    assert len(server.lines) == 1


async def test_a_large_answer(ca: str) -> None:
    def large(request: Request) -> None:
        record = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x01\x2c\x00\x65\x64" + b"x" * 100
        packet = bytearray(answer(request.packet, address=None, edns=False) + record * 500)
        packet[6:8] = (500).to_bytes(2, "big")
        request.reply(bytes(packet))

    async with HttpsServer(large) as server, forwarding(server.text, ca=ca) as forwarder:
        # More than a window in all, so that it has to be opened again.
        for question in names(4):
            assert len((await ask(forwarder, question)).records) == 500


@pytest.mark.parametrize(("age", "ttl"), [("100", 200), ("0", 300), ("1000", 0), ("x", 300)])
async def test_what_an_http_cache_kept_has_aged(ca: str, age: str, ttl: int) -> None:
    def script(request: Request) -> None:
        request.reply(answer(request.packet), age=age)

    async with HttpsServer(script) as server, forwarding(server.text, ca=ca) as forwarder:
        assert (await ask(forwarder)).lifetime == ttl


POOR: dict[str, Callable[[Request], None]] = {
    "not found": lambda request: request.reply(b"", status="404"),
    "a page": lambda request: request.reply(answer(request.packet), content_type="text/html"),
    "nothing": lambda request: request.reply(b""),
    "garbage": lambda request: request.reply(b"\xff" * 60),
    "another question": lambda request: request.reply(answer(request.packet, question=names(1)[0])),
    "reset": lambda request: request.reset(),
    "too much": lambda request: request.reply(b"\0" * 65536),
    "truncated": lambda request: request.reply(answer(request.packet, flags=0x8380)),
}


@pytest.mark.parametrize("poor", POOR)
async def test_what_is_no_answer_goes_to_the_next_server(ca: str, poor: str) -> None:
    async with (
        HttpsServer(POOR[poor]) as server,
        Upstream(lambda asked: asked.reply(address=b"\xc0\x00\x02\x02")) as second,
        forwarding(server.text, second.text, ca=ca) as forwarder,
    ):
        assert (await ask(forwarder)).addresses[0][-1] == 2


async def test_a_server_that_goes_away_is_asked_again_on_a_new_connection(ca: str) -> None:
    def script(request: Request) -> None:
        if len(server.seen) == 2:
            request.go_away()
        else:
            good(request)

    async with HttpsServer(script) as server, forwarding(server.text, ca=ca) as forwarder:
        for question in names(3):
            assert (await ask(forwarder, question)).addresses
        assert len(server.lines) == 2


async def test_what_nobody_waits_for_is_called_off(ca: str) -> None:
    def script(request: Request) -> None:
        if QUESTION not in request.packet:
            good(request)

    async with (
        HttpsServer(script) as server,
        Upstream(lambda asked: asked.reply()) as second,
        forwarding(server.text, second.text, ca=ca, timeout=0.3) as forwarder,
    ):
        slow = asyncio.create_task(ask(forwarder))
        await until(lambda: len(server.seen) == 1)
        await asyncio.sleep(0.01)
        # the connection is well, as another answer shows
        await ask(forwarder, names(1)[0])
        await slow
        await until(lambda: server.cancelled == 1)
        assert len(server.lines) == 1


@pytest.mark.parametrize(
    ("for_names", "alpn"), [(("other.example",), "h2"), (("127.0.0.1",), "h2"), ((NAME,), "dot")]
)
async def test_another_certificate_or_protocol_is_not_accepted(
    ca: str, for_names: tuple[str, ...], alpn: str
) -> None:
    async with (
        HttpsServer(good, names=for_names, alpn=alpn) as server,
        forwarding(server.text, ca=ca) as forwarder,
    ):
        with pytest.raises(UpstreamFailure) as caught:
            await ask(forwarder)
        assert caught.value.ede_code == 23
    assert not server.seen
