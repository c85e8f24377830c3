"""Which server is asked first, and for how long it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.resolver import parse_resolver
from geodns.upstream.channel import random_numbers
from geodns.upstream.health import Health
from geodns.upstream.row import Row
from geodns.upstream.server import Server
from geodns.upstream.trust import Trust
from tests.upstream.mock import Asked, Upstream
from tests.upstream.test_forward import LONG, forwarding, good, last_octet, silent
from tests.upstream.test_stream import ask, names, until


def server(number: int) -> Server:
    address = parse_resolver(f"192.0.2.{number}")
    return Server(address, random_numbers(), lambda: None, Trust())


def shown(row: Row, now: float) -> str:
    return "".join(one.address.text[8] for one in row.order(now))


def after(delay: float, octet: int) -> Callable[[Asked], None]:
    def script(asked: Asked) -> None:
        asyncio.get_running_loop().call_later(
            delay, lambda: asked.reply(address=bytes((192, 0, 2, octet)))
        )

    return script


def test_the_quickest_is_asked_first_and_near_ones_in_order() -> None:
    row = Row([server(number) for number in (1, 2, 3, 4)])
    one, two, three, four = row.servers
    assert shown(row, 0) == "1234"
    one.took(0.100)
    assert shown(row, 1) == "1234"  # of the others nothing is known
    two.took(0.200)
    assert shown(row, 2) == "1342"
    three.took(0.020)
    assert shown(row, 3) == "3412"
    four.took(0.030)
    assert shown(row, 4) == "3412"  # 10 ms are no difference
    three.took(0.030)
    four.took(0.022)
    assert shown(row, 5) == "3412"
    for _ in range(20):
        two.took(0.001)
    for _ in range(40):
        three.took(0.3)
    assert shown(row, 6)[0] == "2"


def test_the_silent_come_last_and_back_when_they_answer() -> None:
    row = Row([server(number) for number in (1, 2, 3)])
    one, two, _ = row.servers
    for now in (1.0, 1.1):
        one.timed_out(now)
    assert shown(row, 1.2) == "123"
    one.timed_out(1.2)
    assert shown(row, 1.3) == "231"
    two.unreachable(1.3)
    assert shown(row, 2.0)[0] == "3"
    assert row.first(2.0) is row.servers[2]
    one.took(0.01)
    assert shown(row, 3.0)[0] == "1"


def test_the_pause_grows_and_what_was_under_way_does_not_count() -> None:
    health, now, pauses = Health(), 0.0, []
    for _ in range(7):
        for _ in range(50):
            health.timed_out(now)
        pauses.append(health.away_until - now)
        now = health.away_until
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    health.took(0.01)
    assert (health.away_until, health.rtt, health.returns) == (0.0, 0.01, 1)
    for _ in range(3):
        health.timed_out(now)
    assert health.away_until - now == 1


def test_the_wait_follows_the_round_trip_time() -> None:
    health = Health()
    assert health.wait == 1.0
    health.took(0.5)
    assert health.wait == pytest.approx(0.5 + 4 * 0.25)  # RFC 6298 section 2.2
    health.took(0.5)
    assert health.wait == pytest.approx(0.5 + 4 * 0.25 * 0.75)  # section 2.3
    for _ in range(100):
        health.took(0.001)
    assert health.wait == 0.3


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60))
def test_a_round_trip_time_stays_between_its_samples(samples: list[float]) -> None:
    health = Health()
    for sample in samples:
        health.took(sample)
    assert health.rtt is not None
    assert min(samples) - 1e-9 <= health.rtt <= max(samples) + 1e-9
    assert 0.3 <= health.wait <= 60
    assert health.answers == len(samples)


async def test_a_quicker_server_is_found_by_questions_that_nobody_waits_for() -> None:
    async with (
        Upstream(after(0.05, 1)) as slow,
        Upstream(after(0.0, 2)) as quick,
        forwarding([slow, quick]) as forwarder,
    ):
        row = forwarder._row
        assert last_octet(await ask(forwarder)) == 1
        assert not quick.seen
        row.probe_at = asyncio.get_running_loop().time()
        assert forwarder.plain(row.probe_at) is None
        assert last_octet(await ask(forwarder)) == 1
        await until(lambda: row.servers[1].answers == 1)
        row._again_at = 0.0
        assert last_octet(await ask(forwarder)) == 2
        now = asyncio.get_running_loop().time()
        assert forwarder.plain(now) is row.servers[1]
        # and the slow one is asked again when its time has come
        row.probe_at = now
        await ask(forwarder)
        await until(lambda: row.servers[0].answers == 3)


async def test_a_slow_server_does_not_hold_a_question_for_the_whole_timeout() -> None:
    async with (
        Upstream(silent) as first,
        Upstream(good) as second,
        forwarding([first, second], LONG) as forwarder,
    ):
        for _ in range(50):
            forwarder._row.servers[0].took(0.001)
        began = asyncio.get_running_loop().time()
        # 0.3 s, then at the next of 16 looks within the timeout
        assert (await ask(forwarder)).addresses
        assert asyncio.get_running_loop().time() - began < LONG / 4


async def test_one_that_refuses_what_others_answer_is_asked_less() -> None:
    async with (
        Upstream(lambda asked: asked.reply(flags=0x8185, address=None)) as first,
        Upstream(good) as second,
        forwarding([first, second]) as forwarder,
    ):
        for question in names(20):
            assert (await ask(forwarder, question)).addresses
        assert len(first.seen) == 3
