"""TCP and TLS to upstreams: one connection for many questions, and what becomes of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from geodns.model.name import parse
from geodns.model.response import Response
from geodns.upstream import stream
from geodns.upstream.forward import Forwarder, UpstreamFailure
from tests.upstream.certificates import NAME, context, write_authority
from tests.upstream.mock import QUESTION, Asked, Upstream, answer

LONG = 20.0


def good(asked: Asked) -> None:
    asked.reply()


def silent(asked: Asked) -> None:
    pass


def truncated(asked: Asked) -> None:
    asked.reply(flags=0x8380, address=None)


def names(count: int) -> list[bytes]:
    return [parse(f"n{n}.example.org") + b"\x00\x01\x00\x01" for n in range(count)]


async def ask(forwarder: Forwarder, question: bytes = QUESTION) -> Response:
    return await forwarder.resolve(question, dnssec_ok=False, checking_disabled=False)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not true():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def forwarding(
    *servers: str, ca: str | None = None, timeout: float = LONG, attempts: int = 1
) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(servers, timeout, attempts, 500, ca=ca)
    try:
        yield forwarder
    finally:
        forwarder.close()
        assert forwarder.in_flight == 0
        await asyncio.sleep(0.01)


@pytest.fixture
def ca(tmp_path: Path) -> str:
    return write_authority(tmp_path)


def tls(udp: Callable[[Asked], None], *for_names: str) -> Upstream:
    return Upstream(udp, tls=context(*(for_names or (NAME,))))


async def test_truncated_replies_share_a_connection() -> None:
    async with Upstream(truncated, good) as upstream, forwarding(upstream.text) as forwarder:
        for question in names(5):
            assert (await ask(forwarder, question)).addresses
        assert forwarder.counters["tcp"] == 5
        assert upstream.connections == 1


async def test_a_question_does_not_wait_for_the_one_before_it() -> None:
    held: list[Asked] = []
    async with Upstream(truncated, held.append) as upstream, forwarding(upstream.text) as forwarder:
        tasks = [asyncio.create_task(ask(forwarder, question)) for question in names(20)]
        await until(lambda: len(held) == 20)
        for asked in reversed(held):
            asked.reply(address=bytes((192, 0, 2, int(asked.query.folded[2:3]))))
        found = await asyncio.gather(*tasks)
        assert upstream.connections == 1
    for question, response in zip(names(20), found, strict=True):
        assert response.packet[12 : 12 + len(question)] == question
        assert response.addresses[0][-1] == int(question[2:3])


async def test_more_questions_than_a_connection_should_carry_open_another() -> None:
    held: list[Asked] = []
    async with Upstream(truncated, held.append) as upstream, forwarding(upstream.text) as forwarder:
        tasks = [asyncio.create_task(ask(forwarder, question)) for question in names(150)]
        await until(lambda: len(held) == 150)
        assert upstream.connections == 2
        for asked in held:
            asked.reply()
        await asyncio.gather(*tasks)


async def test_a_connection_that_the_server_closed_is_opened_anew() -> None:
    async with Upstream(truncated, good) as upstream, forwarding(upstream.text) as forwarder:
        await ask(forwarder)
        upstream.hang_up()
        for question in names(3):
            assert (await ask(forwarder, question)).addresses
        assert upstream.connections == 2


async def test_questions_under_way_outlive_their_connection() -> None:
    held: list[Asked] = []
    async with Upstream(truncated, held.append) as upstream, forwarding(upstream.text) as forwarder:
        first = asyncio.create_task(ask(forwarder))
        await until(lambda: len(held) == 1)
        held[0].reply()
        await first
        tasks = [asyncio.create_task(ask(forwarder, question)) for question in names(3)]
        await until(lambda: len(held) == 4)
        upstream.tcp = good
        upstream.hang_up()
        assert all(response.addresses for response in await asyncio.gather(*tasks))
        assert upstream.connections >= 2


async def test_a_server_that_answers_once_a_connection_is_understood() -> None:
    def once(asked: Asked) -> None:
        if asked.source not in served:
            served.add(asked.source)
            asked.reply()
            asked.cut()

    served: set[tuple[str, int]] = set()
    async with Upstream(truncated, once) as upstream, forwarding(upstream.text) as forwarder:
        tasks = [asyncio.create_task(ask(forwarder, question)) for question in names(12)]
        assert all(response.addresses for response in await asyncio.gather(*tasks))


async def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_IDLE", 0.05)
    async with Upstream(truncated, good) as upstream, forwarding(upstream.text) as forwarder:
        await ask(forwarder)
        streams = forwarder._row.servers[0]._streams
        await until(lambda: len(streams) == 0)
        assert (await ask(forwarder)).addresses
        assert upstream.connections == 2


async def test_tls_is_asked_with_padding_and_the_certificate_is_for_the_name(ca: str) -> None:
    async with tls(good) as upstream, forwarding(f"{upstream.text}#{NAME}", ca=ca) as forwarder:
        for question in (QUESTION, *names(3)):
            assert (await ask(forwarder, question)).addresses
        assert upstream.connections == 1
        assert forwarder.counters["sent"] == 4
    for asked in upstream.seen:
        assert len(asked.packet) % 128 == 0
        assert asked.query.edns is not None
        ((code, padding),) = asked.query.edns.options
        assert code == 12
        assert not any(padding)
    assert not upstream.sources  # nothing was sent over UDP


async def test_without_a_name_the_certificate_is_for_the_address(ca: str) -> None:
    async with (
        tls(good, "127.0.0.1") as upstream,
        forwarding(upstream.text, ca=ca) as forwarder,
    ):
        assert (await ask(forwarder)).addresses


BAD: dict[str, tuple[tuple[str, ...], str, bool]] = {
    "of another name": (("other.example",), f"#{NAME}", True),
    "of a name where an address is meant": ((NAME,), "", True),
    "by an unknown authority": ((NAME,), f"#{NAME}", False),
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_certificate_is_never_accepted_and_is_told(
    bad: str, ca: str, caplog: pytest.LogCaptureFixture
) -> None:
    for_names, behind, trusted = BAD[bad]
    async with (
        tls(good, *for_names) as upstream,
        forwarding(upstream.text + behind, ca=ca if trusted else None, attempts=2) as forwarder,
    ):
        with caplog.at_level(logging.WARNING), pytest.raises(UpstreamFailure) as caught:
            await ask(forwarder)
        assert caught.value.ede_code == 23
        with pytest.raises(UpstreamFailure):
            await ask(forwarder, names(1)[0])
    assert not upstream.seen
    (told,) = [one.getMessage() for one in caplog.records if one.name == "geodns.upstream"]
    assert upstream.text in told
    assert "certificate" in told.lower()


async def test_plain_dns_is_no_way_out_of_tls(ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other end speaks no TLS.
    monkeypatch.setattr(stream, "_CONNECT", 0.2)
    async with (
        Upstream(good, good) as upstream,
        forwarding(f"tls://{upstream.text}#{NAME}", ca=ca) as forwarder,
    ):
        with pytest.raises(UpstreamFailure):
            await ask(forwarder)
    assert not upstream.seen


async def test_tls_goes_to_the_next_server_and_comes_back(ca: str) -> None:
    async with (
        tls(good) as first,
        Upstream(lambda asked: asked.reply(address=b"\xc0\x00\x02\x02")) as second,
        forwarding(f"{first.text}#{NAME}", second.text, ca=ca, timeout=0.2) as forwarder,
    ):
        first.udp = silent
        for question in names(4):
            assert (await ask(forwarder, question)).addresses[0][-1] == 2
        row = forwarder._row
        assert row.order(asyncio.get_running_loop().time())[0] is row.servers[1]
        first.udp = good
        row.servers[0].away_until = row.probe_at = asyncio.get_running_loop().time()
        await ask(forwarder)
        await until(lambda: row.servers[0].away_until == 0)
        # the silent connection was given up for a new one
        assert first.connections >= 2


async def test_a_connection_without_an_answer_is_silent_not_unreachable(ca: str) -> None:
    async with (
        tls(silent) as upstream,
        forwarding(f"{upstream.text}#{NAME}", ca=ca, timeout=0.1, attempts=2) as forwarder,
    ):
        began = time.monotonic()
        with pytest.raises(UpstreamFailure) as caught:
            await ask(forwarder)
        assert caught.value.ede_code == 22
        assert time.monotonic() - began < 5


async def test_what_a_tls_server_says_wrong_goes_to_the_next(ca: str) -> None:
    async with (
        tls(lambda asked: asked.send(answer(asked.packet)[:-13])) as first,
        tls(lambda asked: asked.reply(question=names(1)[0])) as second,
        tls(good) as third,
        forwarding(*(f"{one.text}#{NAME}" for one in (first, second, third)), ca=ca) as forwarder,
    ):
        assert (await ask(forwarder)).addresses
        assert forwarder.counters["malformed"] == 2
