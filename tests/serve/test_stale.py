"""Stale answers (RFC 8767), and failures that are kept (RFC 9520), as clients see them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from geodns.model.response import read_response
from geodns.serve import stale
from geodns.upstream.forward import UpstreamFailure
from tests.policy.making import order
from tests.scenarios.asking import build
from tests.serve.test_pipeline import FR, IT, House
from tests.upstream.mock import negative

BLOCKED = order("it-a", domains=["blocked.a"], networks=["203.0.113.0/24"])
DOWN = UpstreamFailure(22, "no upstream answered in time")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("geodns.serve.pipeline.monotonic", lambda: now[0])
    return now


@pytest.fixture
def house(tmp_path: Path, clock: list[float]) -> House:
    zone = {
        "free.a": ["free.a. 60 A 192.0.2.1"],
        "alias.a": ["alias.a. 60 CNAME www.blocked.a.", "www.blocked.a. 60 A 192.0.2.2"],
        "net.a": ["net.a. 60 A 203.0.113.1"],
    }
    made = House(tmp_path, zone, [BLOCKED])
    made.pipeline._truth.cache.serve_stale = 3600
    return made


async def test_an_expired_answer_is_given_when_upstreams_fail(
    house: House, clock: list[float]
) -> None:
    fresh = await house.ask("free.a")
    assert not fresh.ede
    house.upstream.zone["free.a"] = DOWN
    clock[0] += 61
    old = await house.ask("free.a")
    assert old.answer == ["free.a A 192.0.2.1"]
    assert [code for code, _ in old.ede] == [3]
    assert old.ttls == [30]
    assert house.count("cache/stale") == 1
    # it asks each time, and a fresh answer ends it
    house.upstream.zone["free.a"] = ["free.a. 60 A 192.0.2.9"]
    assert (await house.ask("free.a")).answer == ["free.a A 192.0.2.9"]


async def test_not_longer_than_set(house: House, clock: list[float]) -> None:
    await house.ask("free.a")
    house.upstream.zone["free.a"] = DOWN
    clock[0] += 60 + 3600
    gone = await house.ask("free.a")
    assert gone.rcode == "SERVFAIL"
    assert [code for code, _ in gone.ede] == [22]


async def test_off_unless_set(house: House, clock: list[float]) -> None:
    house.pipeline._truth.cache.serve_stale = 0
    await house.ask("free.a")
    house.upstream.zone["free.a"] = DOWN
    clock[0] += 61
    assert (await house.ask("free.a")).rcode == "SERVFAIL"


async def test_orders_apply_to_stale_answers(house: House, clock: list[float]) -> None:
    for name in ("alias.a", "net.a"):
        assert (await house.ask(name, peer=FR)).rcode == "NOERROR"
        house.upstream.zone[name] = DOWN
    clock[0] += 61
    for name in ("alias.a", "net.a"):
        french = await house.ask(name, peer=FR)
        assert (french.rcode, [code for code, _ in french.ede]) == ("NOERROR", [3])
        italian = await house.ask(name, peer=IT)
        assert (italian.rcode, [code for code, _ in italian.ede]) == ("NXDOMAIN", [16])


async def test_a_late_answer_is_not_waited_for_and_is_kept(
    house: House, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale, "PATIENCE", 0.02)
    await house.ask("free.a")
    clock[0] += 61
    house.upstream.gate = asyncio.Event()
    house.upstream.zone["free.a"] = ["free.a. 60 A 192.0.2.9"]
    asked = len(house.upstream.asked)
    first, second = await asyncio.gather(house.ask("free.a"), house.ask("free.a"))
    third = await house.ask("free.a")
    for reply in (first, second, third):
        assert reply.answer == ["free.a A 192.0.2.1"]
        assert [code for code, _ in reply.ede] == [3]
    # the third did not even ask, since a question is under way that is late already
    assert len(house.upstream.asked) == asked + 2
    house.upstream.gate.set()
    await asyncio.sleep(0.01)
    house.upstream.zone["free.a"] = DOWN
    fresh = await house.ask("free.a")
    assert fresh.answer == ["free.a A 192.0.2.9"]
    assert not fresh.ede


async def test_a_late_failure_is_forgotten(
    house: House, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale, "PATIENCE", 0.02)
    await house.ask("free.a")
    clock[0] += 61
    house.upstream.gate = asyncio.Event()
    house.upstream.zone["free.a"] = DOWN
    assert (await house.ask("free.a")).ede[0][0] == 3
    house.upstream.gate.set()
    await asyncio.sleep(0.01)
    assert not house.pipeline._truth._refreshes._late
    assert (await house.ask("free.a")).ede[0][0] == 3


async def test_stale_answers_are_not_given_to_the_fast_path(
    house: House, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.ask("free.a")
    house.upstream.zone["free.a"] = DOWN
    clock[0] += 61
    monkeypatch.setattr("geodns.serve.pipeline.kept_of", lambda entry: pytest.fail("is kept"))
    assert (await house.ask("free.a")).ede[0][0] == 3


async def test_the_fast_path_leaves_a_failed_question_alone_for_as_long(
    house: House, clock: list[float]
) -> None:
    class Fast:
        def __init__(self, inner: Any) -> None:
            self.inner = inner
            self.left: list[float] = []

        def leave(self, key: bytes, expires: float) -> None:
            self.left.append(expires)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    fast = Fast(house.pipeline.fast)
    house.pipeline._truth._fast = fast  # type: ignore[assignment]
    house.upstream.rests_until = lambda question, **keys: 1004.0  # type: ignore[method-assign]
    await house.ask("free.a")
    assert not fast.left
    house.upstream.zone["free.b"] = DOWN
    await house.ask("free.b")
    assert fast.left == [1004.0]


def test_what_is_fresh_and_what_is_told() -> None:
    query = build("free.a", "A")
    for rcode, ede, fresh, told in (
        (0, (), True, 3),
        (3, (), True, 19),
        (2, (), False, 3),
        (5, (), False, 3),
        (2, (b"\0\x16",), False, 3),
        (2, (b"\0\x06bogus",), True, 3),
    ):
        response = read_response(negative(query, rcode))._replace(ede=ede)
        assert stale.is_fresh(response) is fresh
        assert stale.told(response)[0] == told
