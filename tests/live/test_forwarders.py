"""Forwarders that are set up otherwise than docs/forwarders.md says, and what it warns of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.forwarders import PAGE, PROGRAMS, forwarder, snippet
from tests.live.servers import missing
from tests.live.two_countries import FR, IT, House, ask, house
from tests.scenarios import asking

needs_dnsdist = pytest.mark.skipif(bool(missing("dnsdist")), reason=missing("dnsdist"))
needs_unbound = pytest.mark.skipif(bool(missing("unbound")), reason=missing("unbound"))
CLAIM = asking.option(8, asking.ecs_option("127.33.0.1/32"))
BLOCKED, FREE = "NXDOMAIN", "192.0.2.1"


@contextmanager
def behind(
    folder: Path, way: str, change: Callable[[str], str] = str
) -> Iterator[tuple[House, tuple[str, int]]]:
    """A forwarder before a geodns of its own. change: what is done to the page's snippet."""
    with (
        house(folder, []) as made,
        forwarder(way, folder / "f", made.server.port, change) as server,
    ):
        yield made, server


def claim(server: tuple[str, int], name: str) -> str:
    """What an Italian gets who says by ECS to be in France."""
    raw = asking.send_udp(server, IT, asking.build(name, options=CLAIM), asking.PATIENCE)
    assert raw is not None
    reply = asking.read(raw)
    return reply.answer[-1].rsplit(" ", 1)[1] if reply.answer else reply.rcode


@needs_dnsdist
def test_a_packet_cache_behind_which_proxy_headers_vanish(tmp_path: Path) -> None:
    def cached(text: str) -> str:
        return text + 'getPool(""):setCache(newPacketCache(1000, {parseECS=true}))\n'

    with behind(tmp_path, "dnsdist by PROXY", cached) as (_, server):
        assert ask(server, IT, "w0.milan.example", "A", stream=False) == BLOCKED
        # This is the harm that the page warns of; were it gone, the warning could go.
        assert ask(server, FR, "w0.milan.example", "A", stream=False) == BLOCKED
        assert ask(server, FR, "w1.milan.example", "A", stream=False) == FREE
        assert ask(server, IT, "w1.milan.example", "A", stream=False) == FREE
    assert "**No packet cache in front of such a server.**" in PAGE.read_text()
    assert "setCache" not in snippet("dnsdist by PROXY")


@needs_dnsdist
def test_dnsdist_does_not_let_clients_choose_their_place(tmp_path: Path) -> None:
    with behind(tmp_path, "dnsdist by ECS") as (_, server):
        assert claim(server, "w0.milan.example") == BLOCKED
        assert ask(server, FR, "w0.milan.example", "A", stream=False) == FREE
        assert claim(server, "w0.milan.example") == BLOCKED
    with behind(tmp_path / "proxy", "dnsdist by PROXY") as (_, server):
        assert claim(server, "w0.milan.example") == BLOCKED


@needs_dnsdist
def test_dnsdist_with_a_look_before_the_override_does(tmp_path: Path) -> None:
    def zeroscope(text: str) -> str:
        return text.replace(" disableZeroScope=true,", "")

    with behind(tmp_path, "dnsdist by ECS", change=zeroscope) as (_, server):
        assert ask(server, FR, "w0.milan.example", "A", stream=False) == FREE
        assert claim(server, "w0.milan.example") == FREE
    assert "| `disableZeroScope=true` | the cache is also looked up" in PAGE.read_text()


@needs_dnsdist
def test_dnsdist_without_the_override_does(tmp_path: Path) -> None:
    def trusting(text: str) -> str:
        return text.replace("setECSOverride(true)", "setECSOverride(false)")

    with behind(tmp_path, "dnsdist by ECS", trusting) as (_, server):
        assert claim(server, "w0.milan.example") == FREE
    assert "| `setECSOverride(true)` | a client that sends ECS itself chooses" in PAGE.read_text()


@needs_unbound
def test_unbound_lets_clients_choose_their_place(tmp_path: Path) -> None:
    with behind(tmp_path, "Unbound by ECS") as (_, server):
        assert claim(server, "w0.milan.example") == FREE
        assert ask(server, IT, "w0.milan.example", "A", stream=False) == BLOCKED
    assert "Unbound passes a client's own ECS option on." in PAGE.read_text()


@pytest.mark.parametrize("way", ["dnsdist by ECS", "Unbound by ECS"])
def test_blocks_live_ten_seconds_at_most_behind_ecs(tmp_path: Path, way: str) -> None:
    if why := missing(PROGRAMS[way]):
        pytest.skip(why)
    with behind(tmp_path, way) as (_, server):
        for name, qtype in (
            ("w0.milan.example", "A"),
            ("alias0.example", "A"),
            ("net0.example", "A"),
        ):
            raw = asking.send_udp(server, IT, asking.build(name, qtype), asking.PATIENCE)
            reply = asking.read(raw or b"")
            assert (reply.rcode, reply.answer) == (BLOCKED, [])
            assert reply.soa_ttl is not None and reply.soa_ttl <= 10


@needs_dnsdist
def test_health_checks_speak_for_dnsdist_itself(tmp_path: Path) -> None:
    with behind(tmp_path, "dnsdist by PROXY") as (made, server):
        assert ask(server, IT, "w0.milan.example", "A", stream=False) == BLOCKED
        told = made.server.until("a health check", lambda each: each["counters"].get("local"))
        counters = told["counters"]
        assert not [name for name in counters if name.startswith("proxy/") and counters[name]]


@needs_dnsdist
def test_a_proxy_that_forgets_its_header_is_told(tmp_path: Path) -> None:
    with house(tmp_path, []) as made:
        # From the address that the settings list, as dnsdist without useProxyProtocol would.
        packet = asking.build("free0.example")
        raw = asking.send_udp(made.ways["directly"], "127.0.0.2", packet, asking.PATIENCE)
        reply = asking.read(raw or b"")
        assert (reply.rcode, [code for code, _ in reply.ede]) == ("REFUSED", [18])
        assert asking.send_tcp(made.ways["directly"], "127.0.0.2", packet, 5) in (None, b"")
        made.server.until("missing", lambda each: each["counters"].get("proxy/missing") == 2)
