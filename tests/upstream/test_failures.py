"""Failures that are kept (RFC 9520)."""

from __future__ import annotations

import asyncio

import pytest

from geodns.model.response import Response, read_response
from geodns.upstream.failures import Failures, Silence
from geodns.upstream.forward import UpstreamFailure
from tests.upstream.mock import QUESTION, Upstream, negative
from tests.upstream.test_forward import forwarding, good, rcode, silent
from tests.upstream.test_stream import ask, names

SILENCE = Silence(22, "silence")


def test_each_failure_is_kept_twice_as_long_as_the_last_up_to_a_minute() -> None:
    failures, now, pauses = Failures(), 100.0, []
    for _ in range(9):
        failures.keep(b"k", SILENCE, now, 0)
        began = now
        while failures.find(b"k", now, 0) is not None:
            now += 0.5
        pauses.append(now - began)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    # after a time without a failure it begins anew
    now += 200
    failures.keep(b"k", SILENCE, now, 0)
    assert failures.find(b"k", now + 1, 0) is None


def test_silence_is_forgotten_when_a_server_has_come_back_and_answers_always() -> None:
    failures = Failures()
    bad = read_response(negative(b"\0\0\1\0\0\1\0\0\0\0\0\0" + QUESTION, 2))
    failures.keep(b"silent", SILENCE, 0.0, 3)
    failures.keep(b"bad", bad, 0.0, 3)
    assert failures.find(b"silent", 0.5, 4) is None
    assert failures.find(b"bad", 0.5, 4) is bad
    failures.forget(b"bad")
    assert failures.find(b"bad", 0.5, 3) is None


def test_they_are_bounded() -> None:
    failures = Failures(most=3)
    for number in range(10):
        failures.keep(bytes((number,)), SILENCE, 0.0, 0)
    assert len(failures) == 3
    assert failures.find(b"\x09", 0.5, 0) is not None
    assert failures.find(b"\x00", 0.5, 0) is None


async def test_a_failed_question_is_not_asked_again_at_once_and_others_are() -> None:
    async with Upstream(rcode(2)) as upstream, forwarding([upstream]) as forwarder:
        first = await ask(forwarder)
        second = await ask(forwarder)
        assert (first.rcode, first.ede, second.rcode, second.ede) == (2, (), 2, (b"\x00\x0d",))
        assert len(upstream.seen) == 1
        assert forwarder.counters["spared"] == 1
        now = asyncio.get_running_loop().time()
        rests = forwarder.rests_until(QUESTION, dnssec_ok=False, checking_disabled=False, now=now)
        assert now < rests <= now + 1
        assert not forwarder.rests_until(QUESTION, dnssec_ok=True, checking_disabled=False, now=now)
        upstream.udp = good
        assert (await ask(forwarder, names(1)[0])).addresses
        assert (await ask(forwarder)).rcode == 2
        await asyncio.sleep(1.05)
        assert (await ask(forwarder)).addresses
        assert not forwarder._failures.kept


async def test_so_is_silence_until_the_server_answers_again() -> None:
    async with Upstream(silent) as upstream, forwarding([upstream], 0.03, 3) as forwarder:
        for cached in (False, True):
            with pytest.raises(UpstreamFailure) as caught:
                await ask(forwarder)
            assert (caught.value.ede_code, caught.value.cached) == (22, cached)
        assert len(upstream.seen) == 3
        upstream.udp = good
        # another question finds that it is back
        assert isinstance(await ask(forwarder, names(1)[0]), Response)
        assert (await ask(forwarder)).addresses
