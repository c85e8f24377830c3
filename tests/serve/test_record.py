"""The log as a record: what began, changed, ended, fell back, was settled; and what is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from geodns.errors import Fault, OrderError, SettingsError
from geodns.model.name import parse
from geodns.serve import server
from geodns.serve.adopt import describe_sources, other_defaults
from geodns.serve.faults import Faults
from geodns.serve.record import Changes, counted, listed
from geodns.settings import Settings
from tests.serve.answering import until
from tests.serve.running import FEED, order, save
from tests.serve.test_reload import World, names


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_each_change_is_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for ident in ("a", "b", "c", "d"):
        save(world.orders / f"{ident}.toml", order(ident, f"{ident}.example"))
    async with world.running() as reloader:
        assert "in force: a, b, c, d" in caplog.text
        save(world.orders / "a.toml", order("a", "other.example"))
        save(world.orders / "b.toml", order("b", "b.example", status='"lifted"'))
        (world.orders / "c.toml").unlink()
        save(world.orders / "d.toml", "id = ")
        save(world.orders / "e.toml", order("e", "e.example"))
        await until(lambda: reloader.faults)
        await until(lambda: "b (lifted)" in caplog.text and "c (removed)" in caplog.text)
        assert "changed: a" in caplog.text and "in force: e" in caplog.text
        assert "fell back to its last good edition: d" in caplog.text
        assert "LAST GOOD EDITION: d" in caplog.text
        assert "settled" not in caplog.text
        save(world.orders / "d.toml", order("d", "d.example"))
        await until(lambda: not reloader.faults)
        assert "good again: d" in caplog.text
        assert f"settled: {world.orders / 'd.toml'}" in caplog.text


def test_long_lists_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    many = tuple(f"o{number:03}" for number in range(100))
    assert listed(many).endswith("o019, and 80 more")
    assert str(Changes(began=many)).count("o0") == 20
    assert (counted(1, "order"), counted(2, "order")) == ("1 order", "2 orders")
    caplog.set_level(logging.INFO)
    faults = Faults()
    faults.set("orders", [Fault("wrong", f"/none/{name}") for name in many])
    faults.settle()
    assert len(caplog.records) == 21
    faults.set("orders")
    faults.settle()
    assert len(caplog.records) == 42


async def test_the_default_of_the_start_holds(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody sets the orders' folder, and there is none beside the settings yet.
    caplog.set_level(logging.INFO)
    (world.folder / "orders" / "IT").rmdir()
    (world.folder / "orders").rmdir()
    async with world.running() as reloader:
        assert reloader.settings.unset == {"orders.directories"}
        shipped = reloader.settings.orders.directories
        before = [record.id for record in reloader.snapshot.in_force]
        assert f"{shipped[0]} (the default" in describe_sources(reloader.settings)
        assert not reloader.warnings
        world.orders.mkdir(parents=True)
        save(world.orders / "a.toml", order("a", "a.example"))
        await until(lambda: reloader.warnings)
        assert str(shipped[0]) in caplog.text and str(world.folder / "orders") in caplog.text
        save(world.settings, world.settings.read_text() + "[limits]\ntcp_idle = 5.0\n")
        await until(lambda: "settings were read" in caplog.text and len(reloader.records) == 2)
        assert reloader.settings.orders.directories == shipped
        assert [record.id for record in reloader.snapshot.in_force] == before
        text = world.settings.read_text()
        save(world.settings, text + '[orders]\ndirectories = ["orders"]\n')
        await until(lambda: [record.id for record in reloader.snapshot.in_force] == ["a"])
        assert not reloader.warnings


def test_without_other_folders_nothing_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert other_defaults(Settings()) == ()


async def test_an_order_that_cannot_be_placed_at_the_start_has_its_last_good_edition(
    world: World,
) -> None:
    save(world.orders / "a.toml", order("a", "a.example"))
    await world.started()
    save(world.orders / "a.toml", order("a", "b.example", jurisdiction='["US-CA"]'))
    for _ in range(2):
        reloader = await world.started()
        assert names(reloader, "a.example", "b.example") == [True, False]
        assert [one.last_good for one in reloader.orders] == [True]
        assert len(reloader.faults) == 1
    # With a source that can place it, it is good and is kept.
    save(world.folder / "feed.csv", FEED + "127.40.0.0/16,US,US-CA,,\n")
    assert (await world.started()).snapshot.name_rules(parse("b.example"))
    save(world.folder / "feed.csv", FEED)
    with pytest.raises(OrderError, match="--skip-bad-orders"):
        await world.started()


async def test_all_that_is_missing_is_told_at_once(world: World) -> None:
    world.settings.write_text(
        '[server]\nstate = "state"\n[geoip]\ndatabases = ["no.mmdb"]\ngeofeeds = ["no.csv"]\n'
        '[orders]\ndirectories = ["orders", "nowhere"]\n'
    )
    with pytest.raises(SettingsError) as raised:
        await server.run(world.reloader().settings)
    told = [(fault.file, fault.line, fault.field) for fault in raised.value.faults]
    path = str(world.settings)
    assert told == [
        (path, None, "upstream.servers"),
        (path, 4, "geoip.databases.0"),
        (path, 5, "geoip.geofeeds.0"),
        (path, 7, "orders.directories.1"),
    ]


async def test_a_bar_is_gone_before_anything_is_logged(world: World) -> None:
    save(world.orders / "a.toml", order("a", "a.example"))
    shown: list[str] = []
    early: list[str] = []

    @contextmanager
    def bar(description: str) -> Iterator[object]:
        shown.append(description)
        yield lambda done, total: None
        shown.remove(description)

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if shown:
                early.append(record.getMessage())

    log = logging.getLogger("geodns")
    listener = Listener()
    log.addHandler(listener)
    try:
        await world.started()
        save(world.orders / "a.toml", "id = ")
        reloader = world.reloader()
        await reloader.locate(bar)  # type: ignore[arg-type]
        await reloader.prepare(bar)  # type: ignore[arg-type]
        assert reloader.faults
    finally:
        log.removeHandler(listener)
    await asyncio.sleep(0)
    assert early == [] and shown == []
