"""Orders that change while a query is under way: what is in force at the reply rules."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.asking import Reply, build
from tests.scenarios.world import Loop, World, running

IT, FR = "127.39.0.1", "127.33.0.1"
GEOFEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n"
ZONE = """
held.example. 300 A 203.0.113.1
alias.example. 300 CNAME target.example.
target.example. 300 A 192.0.2.1
"""


def order(targets: str, action: str = "nxdomain") -> str:
    return f"""
id = "it-new"
title = "New"
status = "active"
authority = {{ name = "Tribunale", kind = "court" }}
dates = {{ effective = 2026-01-01 }}
targets = {{ {targets} }}
response = {{ action = "{action}" }}
"""


def while_held(world: World, name: str, client: str, doing: Callable[[], None]) -> Reply:
    """Ask; when the upstream has the query, do something; then let the upstream reply."""
    gate: Any = asyncio.Event()
    world.upstream.manners[name].gate = gate
    before = len(world.upstream.seen)
    replies: list[Reply] = []
    asker = threading.Thread(target=lambda: replies.append(world.ask(build(name), client)))
    asker.start()
    arrived = threading.Event()

    async def watch() -> None:
        while len(world.upstream.seen) == before:
            await asyncio.sleep(0.005)
        arrived.set()

    world.loop.run(watch())
    assert arrived.is_set()
    doing()
    world.loop.loop.call_soon_threadsafe(gate.set)
    asker.join(10)
    (reply,) = replies
    return reply


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("held.example", 'domains = ["held.example"]'),
        ("held.example", 'networks = ["203.0.113.0/24"]'),
        ("alias.example", 'exact = ["target.example"]'),
    ],
    ids=["question", "address", "alias"],
)
def test_an_order_that_comes_into_force_meanwhile_rules(
    loop: Loop, tmp_path: Path, name: str, targets: str
) -> None:
    with running(
        loop, tmp_path, orders={}, geofeed=GEOFEED, zone=ZONE, manners={name: {}},
        settings={"upstream": {"timeout": 5.0}},
    ) as world:  # fmt: skip
        reply = while_held(
            world, name, IT, lambda: world.rewrite({"IT/it-new.toml": order(targets)})
        )
        assert reply.rcode == "NXDOMAIN"
        assert [code for code, _ in reply.ede] == [16]
        assert world.ask(build(name), FR).rcode == "NOERROR"
        assert len(world.upstream.seen) == 1, "what the upstream said was kept for others"


def test_an_order_that_is_lifted_meanwhile_does_not_rule(loop: Loop, tmp_path: Path) -> None:
    with running(
        loop, tmp_path, orders={"IT/it-new.toml": order('networks = ["203.0.113.0/24"]')},
        geofeed=GEOFEED, zone=ZONE, manners={"held.example": {}},
        settings={"upstream": {"timeout": 5.0}},
    ) as world:  # fmt: skip
        reply = while_held(world, "held.example", IT, lambda: world.rewrite({"IT/it-new.toml": ""}))
        assert reply.answer == ["held.example A 203.0.113.1"]


def test_a_changed_action_shows_at_once(loop: Loop, tmp_path: Path) -> None:
    targets = 'domains = ["held.example"]'
    with running(
        loop, tmp_path, orders={"IT/it-new.toml": order(targets)}, geofeed=GEOFEED, zone=ZONE
    ) as world:
        assert world.ask(build("held.example"), IT).rcode == "NXDOMAIN"
        before = world.in_force.snapshot.digest
        world.rewrite({"IT/it-new.toml": order(targets, "refused")})
        assert world.in_force.snapshot.digest != before
        assert world.ask(build("held.example"), IT).rcode == "REFUSED"
        world.rewrite({"IT/it-new.toml": order(targets)})
        assert world.in_force.snapshot.digest == before, "the same law has the same name"
        assert world.ask(build("held.example"), IT).rcode == "NXDOMAIN"


def test_an_order_that_comes_while_the_upstream_fails_rules_too(loop: Loop, tmp_path: Path) -> None:
    with running(
        loop, tmp_path, orders={}, geofeed=GEOFEED, zone=ZONE,
        manners={"held.example": {"drop": True}},
        settings={"upstream": {"timeout": 0.3, "attempts": 2}},
    ) as world:  # fmt: skip
        reply = while_held(
            world,
            "held.example",
            IT,
            lambda: world.rewrite({"IT/it-new.toml": order('domains = ["held.example"]')}),
        )
        assert (reply.rcode, [code for code, _ in reply.ede]) == ("NXDOMAIN", [16])
