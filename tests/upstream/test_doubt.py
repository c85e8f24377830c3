"""Replies that may be forged: letters in random case (0x20) and DNS cookies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from geodns.model.message import OPT, option
from geodns.model.name import parse
from geodns.upstream.cookie import Jar, cookie_in
from geodns.upstream.forward import Forwarder, UpstreamFailure
from geodns.upstream.letters import scrambled
from tests.upstream.mock import QUESTION, Asked, Upstream, answer
from tests.upstream.test_stream import LONG, ask, good, names

SERVER = b"SSSSssss"
EVIL = b"\xc0\x00\x02\x66"


@asynccontextmanager
async def forwarding(
    *servers: str, timeout: float = LONG, **keys: bool
) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(servers, timeout, 1, 100, **keys)  # type: ignore[arg-type]
    try:
        yield forwarder
    finally:
        forwarder.close()
        await asyncio.sleep(0.01)


def folded(asked: Asked) -> None:
    asked.reply(question=asked.query.folded + asked.query.question[-4:])


def sent_cookie(asked: Asked) -> bytes:
    assert asked.query.edns is not None
    return dict(asked.query.edns.options).get(10, b"")


def with_cookie(asked: Asked, cookie: bytes, *, rcode: int = 0, **change: object) -> None:
    """Reply with a COOKIE option, and with an extended rcode."""
    plain = answer(asked.packet, flags=0x8180 | rcode & 15, **change)  # type: ignore[arg-type]
    held = option(10, cookie)
    ttl = (rcode >> 4 << 24).to_bytes(4, "big")
    opt = b"\0" + OPT.to_bytes(2, "big") + b"\x04\xd0" + ttl + len(held).to_bytes(2, "big") + held
    asked.send(plain[:-11] + opt)


def honest(asked: Asked) -> None:
    with_cookie(asked, sent_cookie(asked)[:8] + SERVER)


def test_only_letters_change_and_each_may() -> None:
    name = parse("abcdefghijklmnopqrstuvwxyz.0123456789-_")
    seen = {scrambled(name) for _ in range(50)}
    assert len(seen) > 40
    assert {one.lower() for one in seen} == {name}
    assert scrambled(b"\x03\x40\x5b\x7b\0") == b"\x03\x40\x5b\x7b\0"


async def test_letters_are_sent_in_random_case_and_the_caller_gets_its_own() -> None:
    async with Upstream(good) as upstream, forwarding(upstream.text, random_case=True) as forwarder:
        for question in names(20):
            response = await ask(forwarder, question)
            assert response.packet[12 : 12 + len(question)] == question
        assert forwarder.counters["tcp"] == 0
        assert forwarder.plain(0.0) is None
    assert sum(asked.query.name != asked.query.folded for asked in upstream.seen) > 15


async def test_a_reply_in_other_letters_is_not_used_but_asked_for_again_over_tcp() -> None:
    def forged(asked: Asked) -> None:
        asked.reply(question=asked.query.name.swapcase() + QUESTION[-4:], address=EVIL)

    async with (
        Upstream(good, good) as upstream,
        forwarding(upstream.text, random_case=True) as forwarder,
    ):
        await ask(forwarder, names(1)[0])
        upstream.udp = forged
        for question in names(12)[1:]:
            assert (await ask(forwarder, question)).addresses[0] != EVIL
        assert forwarder.counters["doubted"] == forwarder.counters["tcp"] == 11


async def test_a_server_that_folds_the_letters_is_asked_over_tcp_and_then_understood() -> None:
    async with (
        Upstream(folded, folded) as upstream,
        forwarding(upstream.text, random_case=True) as forwarder,
    ):
        for question in names(10):
            assert (await ask(forwarder, question)).addresses
        assert 0 < forwarder.counters["tcp"] <= 3


async def test_one_without_tcp_is_understood_too() -> None:
    async with (
        Upstream(folded) as first,
        Upstream(good) as second,
        forwarding(first.text, second.text, random_case=True) as forwarder,
    ):
        for question in names(10):
            assert (await ask(forwarder, question)).addresses
        assert forwarder.counters["doubted"] == 3


async def test_cookies_are_sent_kept_and_given_back() -> None:
    async with Upstream(honest) as upstream, forwarding(upstream.text, cookies=True) as forwarder:
        for question in names(3):
            assert (await ask(forwarder, question)).addresses
        assert forwarder.plain(0.0) is None
    first, second, third = map(sent_cookie, upstream.seen)
    assert len(first) == 8
    assert second == third == first + SERVER


async def test_each_server_has_a_cookie_of_its_own() -> None:
    async with (
        Upstream(lambda asked: asked.reply(flags=0x8182)) as first,
        Upstream(honest) as second,
        forwarding(first.text, second.text, cookies=True) as forwarder,
    ):
        await ask(forwarder)
        assert sent_cookie(first.seen[0]) != sent_cookie(second.seen[0])[:8]


async def test_a_server_that_knows_no_cookies_is_asked_as_ever() -> None:
    async with Upstream(good) as upstream, forwarding(upstream.text, cookies=True) as forwarder:
        for question in names(3):
            assert (await ask(forwarder, question)).addresses
        assert forwarder.counters["tcp"] == 0


async def test_a_reply_with_another_client_cookie_is_no_reply() -> None:
    def script(asked: Asked) -> None:
        with_cookie(asked, b"\0" * 8 + SERVER, address=EVIL)
        honest(asked)

    async with Upstream(script) as upstream, forwarding(upstream.text, cookies=True) as forwarder:
        for question in names(4):
            assert (await ask(forwarder, question)).addresses[0] != EVIL
        assert forwarder.counters["mismatched"] == 4


async def test_a_reply_without_the_cookie_that_is_due_is_asked_for_again_over_tcp() -> None:
    async with (
        Upstream(honest, honest) as upstream,
        forwarding(upstream.text, cookies=True) as forwarder,
    ):
        await ask(forwarder)
        upstream.udp = lambda asked: asked.reply(address=EVIL)
        assert (await ask(forwarder, names(1)[0])).addresses[0] != EVIL
        assert forwarder.counters["doubted"] == forwarder.counters["tcp"] == 1
        # It says over TCP too that it has no cookies any more: then there is nothing to expect.
        upstream.tcp = good
        upstream.udp = good
        for question in names(5)[1:]:
            assert (await ask(forwarder, question)).addresses
        assert forwarder.counters["tcp"] == 2


@pytest.mark.parametrize("times", [1, 2, 9])
async def test_badcookie_is_asked_again_with_the_new_cookie_then_over_tcp(times: int) -> None:
    def script(asked: Asked) -> None:
        if len(upstream.seen) <= times:
            with_cookie(asked, sent_cookie(asked)[:8] + SERVER, rcode=23, address=None)
        else:
            honest(asked)

    async with (
        Upstream(script, honest) as upstream,
        forwarding(upstream.text, cookies=True) as forwarder,
    ):
        assert (await ask(forwarder)).addresses
        assert forwarder.counters["tcp"] == (0 if times == 1 else 1)
        assert sent_cookie(upstream.seen[1])[8:] == SERVER


async def test_silence_is_the_end_where_only_forged_replies_come() -> None:
    async with (
        Upstream(lambda asked: with_cookie(asked, b"\0" * 16)) as upstream,
        forwarding(upstream.text, cookies=True, timeout=0.05) as forwarder,
    ):
        with pytest.raises(UpstreamFailure):
            await ask(forwarder)


def test_a_client_cookie_lives_for_a_day_and_replies_under_way_still_count() -> None:
    jar = Jar()
    first = jar.option(0.0)[4:]
    assert jar.take(first + SERVER)
    assert jar.option(86399.0)[4:] == first + SERVER
    second = jar.option(86400.0)[4:]
    assert len(second) == 8
    assert second != first
    assert jar.take(first + SERVER)
    assert not jar.knows
    assert not jar.take(b"\0" * 16)


@pytest.mark.parametrize("cut", range(0, 70, 3))
def test_reading_a_cookie_raises_nothing_else(cut: int) -> None:
    made: list[bytes] = []
    packet = b"\0\1\1\0\0\1\0\0\0\0\0\1" + QUESTION + b"\0\0\x29\4\xd0\0\0\0\0\0\0"
    upstream: Callable[[bytes], None] = made.append
    with_cookie(Asked(None, packet, upstream), b"c" * 16)  # type: ignore[arg-type]
    assert cookie_in(made[0]) == b"c" * 16
    try:
        found = cookie_in(made[0][:-cut] if cut else made[0])
    except ValueError:
        return
    assert found in (None, b"c" * 16)
