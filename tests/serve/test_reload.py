from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from geodns.config import load_settings
from geodns.errors import DatabaseError, OrderError, ServerError
from geodns.ledger.seal import Seal
from geodns.model.name import parse
from geodns.orders.approval import message, signed_edition, write_approvals
from geodns.orders.load import load_path
from geodns.orders.loaded import Approval
from geodns.policy.snapshot import Snapshot
from geodns.serve.reload import Reloader
from geodns.serve.supervisor import Load
from tests.serve.answering import until
from tests.serve.running import FEED, order, save, write_settings

NOON = 1_800_000_000.0
NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Workers:
    """Takes loads as the supervisor would, and remembers them."""

    def __init__(self) -> None:
        self.loads: list[Load] = []
        self.rolled = 0
        self.refuses: Callable[[Load], bool] = lambda load: False

    async def distribute(self, load: Load) -> bool:
        if self.refuses(load):
            raise ServerError("the workers refuse it")
        # A worker opens the file, so it must be there.
        Snapshot.open(Path(load.snapshot))
        self.loads.append(load)
        return True

    async def roll(self) -> None:
        self.rolled += 1


class World:
    def __init__(self, folder: Path, **keys: Any) -> None:
        self.folder = folder
        self.settings = write_settings(folder, 53)
        self.orders = folder / "orders" / "IT"
        self.workers = Workers()
        self.now = NOON
        self.keys = keys

    def reloader(self) -> Reloader:
        return Reloader(load_settings(self.settings), clock=lambda: self.now, **self.keys)

    async def started(self) -> Reloader:
        reloader = self.reloader()
        await reloader.locate()
        await reloader.prepare()
        return reloader

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Reloader]:
        reloader = await self.started()
        task = asyncio.create_task(reloader.run(self.workers.distribute, self.workers.roll))
        # The first look begins the watch, and is followed by another.
        await asyncio.sleep(0.3)
        yield reloader
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def names(reloader: Reloader, *texts: str) -> list[bool]:
    """Whether the snapshot names each."""
    return [bool(reloader.snapshot.name_rules(parse(text))) for text in texts]


def stale(reloader: Reloader) -> list[str]:
    """The kinds of the sources that are too old."""
    return [reloader.table.sources[index].kind for index in reloader.load.stale]


def clock_changes(reloader: Reloader) -> bool:
    """Whether the clock alone will change what is in force."""
    return reloader.snapshot.next_change is not None


async def test_without_database_or_geofeed_there_is_no_start(world: World) -> None:
    save(world.settings, world.settings.read_text().replace('"feed.csv"', ""))
    with pytest.raises(DatabaseError, match="no database and no geofeed"):
        await world.reloader().locate()


async def test_all_faults_are_told_at_the_start(world: World) -> None:
    save(world.orders / "good.toml", order("good", "good.example"))
    save(world.orders / "bad.toml", order("bad", "no name"))
    save(world.orders / "worse.toml", "id = ")
    save(world.orders / "far.toml", order("far", "far.example", jurisdiction='["US-CA"]'))
    with pytest.raises(OrderError) as raised:
        await world.started()
    told = sorted(Path(fault.file or "").name for fault in raised.value.faults)
    assert told == ["", "bad.toml", "far.toml", "worse.toml"]
    assert "--skip-bad-orders" in str(raised.value)
    world.keys["skip_bad_orders"] = True
    reloader = await world.started()
    assert [record.id for record in reloader.snapshot.in_force] == ["good"]
    assert len(reloader.faults) == 3


async def test_a_change_is_parsed_alone_and_put_in_force(world: World) -> None:
    for number in range(20):
        save(world.orders / f"o{number}.toml", order(f"o{number}", f"n{number}.example"))
    async with world.running() as reloader:
        first = reloader.load
        save(world.orders / "o3.toml", order("o3", "changed.example"))
        await until(lambda: len(reloader.records) == 2)
        second = reloader.load
        assert names(reloader, "n3.example", "changed.example") == [False, True]
        assert [record.parsed for record in reloader.records] == [20, 1]
        (world.orders / "o4.toml").unlink()
        await until(lambda: len(reloader.records) == 3)
        assert names(reloader, "n4.example") == [False]
        assert reloader.records[-1].parsed == 0
        save(world.orders / "o3.toml", order("o3", "n3.example"))
        save(world.orders / "o4.toml", order("o4", "n4.example"))
        await until(lambda: names(reloader, "n3.example", "n4.example") == [True, True])
        # What the base says is the base again, and no amendment of nothing.
        await until(lambda: reloader.load.snapshot == first.snapshot)
        # The current and the former snapshot stay, older ones go.
        await until(lambda: not Path(second.snapshot).exists())
        kept = {str(path) for path in Path(first.snapshot).parent.iterdir()}
        assert kept <= {load.snapshot for load in world.workers.loads[-2:]}


async def test_what_changes_nothing_is_not_distributed(world: World) -> None:
    save(world.orders / "a.toml", order("a", "a.example"))
    async with world.running() as reloader:
        save(world.orders / "a.toml", order("a", "a.example"))
        (world.orders / "notes.txt").write_text("nothing")
        reloader.wake("SIGHUP")
        await until(lambda: reloader.records[-1].trigger == "SIGHUP")
        assert world.workers.loads == []
        assert not reloader.records[-1].changed


async def test_an_order_that_cannot_be_placed_keeps_its_former_edition(world: World) -> None:
    save(world.orders / "a.toml", order("a", "a.example"))
    async with world.running() as reloader:
        save(world.orders / "a.toml", order("a", "b.example", jurisdiction='["US-CA"]'))
        save(world.orders / "c.toml", order("c", "c.example"))
        await until(lambda: len(reloader.records) >= 2 and reloader.faults)
        await until(lambda: names(reloader, "c.example") == [True])
        assert names(reloader, "a.example", "b.example") == [True, False]
        (fault,) = reloader.faults
        assert fault.file == str(world.orders / "a.toml") and "'US-CA'" in fault.message
        # With a source that knows subdivisions it can be.
        save(world.folder / "feed.csv", FEED + "127.40.0.0/16,US,US-CA,,\n")
        await until(lambda: names(reloader, "a.example", "b.example") == [False, True])
        assert not reloader.faults
        # Now the order needs it, so it cannot be taken away.
        table = reloader.table
        save(world.folder / "feed.csv", FEED)
        await until(lambda: reloader.faults)
        assert "old ones stay" in str(reloader.faults[0])
        assert reloader.table is table


async def test_the_clock_puts_orders_in_force_whichever_way_it_is_set(world: World) -> None:
    begins = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOON + 3600))
    save(world.orders / "a.toml", order("a", "a.example").replace("2022-07-11", begins))
    async with world.running() as reloader:
        assert names(reloader, "a.example") == [False]
        assert reloader.snapshot.next_change == NOON + 3600
        world.now = NOON + 3600
        await until(lambda: len(reloader.records) == 2)
        assert names(reloader, "a.example") == [True]
        assert reloader.records[-1].trigger == "clock"
        assert not clock_changes(reloader)
        world.now = NOON
        await until(lambda: len(reloader.records) == 3)
        assert names(reloader, "a.example") == [False]


async def test_each_fault_is_logged_once_an_edition(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> int:
        return sum("no name" in record.getMessage() for record in caplog.records)

    save(world.orders / "a.toml", order("a", "a.example"))
    caplog.set_level(logging.ERROR)
    async with world.running() as reloader:
        save(world.orders / "a.toml", order("a", "no name"))
        await until(lambda: reloader.faults)
        for number in range(3):
            save(world.orders / f"b{number}.toml", order(f"b{number}", f"b{number}.example"))
            await until(lambda number=number: len(world.workers.loads) == number + 1)
        assert told() == 1
        save(world.orders / "a.toml", "# other words\n" + order("a", "no name"))
        await until(lambda: told() == 2)
        assert names(reloader, "a.example") == [True]
        save(world.orders / "a.toml", order("a", "better.example"))
        await until(lambda: not reloader.faults)
        assert names(reloader, "a.example", "better.example") == [False, True]


async def test_a_load_that_workers_refuse_is_not_tried_again_and_again(world: World) -> None:
    save(world.orders / "a.toml", order("a", "a.example"))
    tried: list[Load] = []

    def refuse(load: Load) -> bool:
        tried.append(load)
        return True

    async with world.running() as reloader:
        first = reloader.load
        world.workers.refuses = refuse
        save(world.orders / "a.toml", order("a", "b.example"))
        await until(lambda: reloader.faults)
        (world.orders / "notes.txt").write_text("nothing")
        await asyncio.sleep(0.4)
        assert len(tried) == 1
        assert reloader.load == first and reloader.failures == 1
        world.workers.refuses = lambda load: False
        reloader.wake("SIGHUP")
        await until(lambda: world.workers.loads and not reloader.faults)


async def test_settings_that_can_are_taken_over(world: World) -> None:
    save(world.orders / "a.toml", order("a", "a.example"))
    text = world.settings.read_text()
    async with world.running() as reloader:
        more = '[orders]\nnever_block = ["free.a.example"]\n[limits]\ntcp_idle = 5.0\n'
        save(world.settings, text + more)
        await until(lambda: len(reloader.records) == 2)
        load = world.workers.loads[0]
        assert load.settings["limits"]["tcp_idle"] == 5.0
        assert len(reloader.snapshot.name_rules(parse("free.a.example"))) == 2
        assert world.workers.rolled == 0

        save(world.settings, text.replace("workers = 2", "workers = 5") + "[cache]\nsize = 5\n")
        await until(lambda: world.workers.rolled == 1)
        assert list(reloader.restart_needed) == ["server.workers"]
        assert reloader.settings.server.workers == 2
        assert reloader.load.settings["cache"]["size"] == 5

        before = reloader.load
        save(world.settings, text.replace("servers = [", "servers = [] #"))
        await until(lambda: reloader.faults)
        assert reloader.faults[0].field == "upstream.servers"
        assert reloader.load == before

        other = world.folder / "elsewhere" / "FR"
        other.mkdir(parents=True)
        save(other / "f.toml", order("f", "f.example"))
        save(world.settings, text + '[orders]\ndirectories = ["elsewhere"]\n')
        await until(lambda: [record.id for record in reloader.snapshot.in_force] == ["f"])
        assert not reloader.faults
        save(other / "f.toml", order("f", "g.example"))
        await until(lambda: names(reloader, "g.example") == [True])


async def test_stale_databases_are_told_to_workers_by_the_clock(
    world: World, tmp_path: Path
) -> None:
    shipped = Path(__file__).parents[1] / "geo" / "country.mmdb"
    (tmp_path / "country.mmdb").write_bytes(shipped.read_bytes())
    ours = 'databases = ["country.mmdb"]\nmax_age_days = 10'
    save(world.settings, world.settings.read_text().replace("databases = []", ours))
    reloader = world.reloader()
    await reloader.locate()
    built = {source.kind: source.built for source in reloader.table.sources}
    world.now = built["country"] + 9 * 86400
    async with world.running() as reloader:
        assert stale(reloader) == []
        world.now += 2 * 86400
        await until(lambda: world.workers.loads)
        await until(lambda: stale(reloader) == ["country"])


async def test_a_reload_that_failed_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(world.orders / "a.toml", order("a", "a.example"))
    async with world.running() as reloader:
        compile_ = reloader._compiler.compile

        async def full(*_: object) -> object:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(reloader._compiler, "compile", full)
        save(world.orders / "b.toml", order("b", "b.example"))
        await until(lambda: reloader.failures > 1)
        # It is a fault for as long as it lasts, and not for a moment.
        assert any("No space" in fault.message for fault in reloader.faults)
        assert names(reloader, "b.example") == [False]
        monkeypatch.setattr(reloader._compiler, "compile", compile_)
        await until(lambda: names(reloader, "b.example") == [True])
        await until(lambda: not reloader.faults)


async def test_an_order_comes_into_force_with_its_last_approval(world: World) -> None:
    people = {name: Seal(Ed25519PrivateKey.generate()) for name in ("Anna", "Bert")}
    text = world.settings.read_text() + "\n[orders]\napprovals = 2\n"
    for name, seal in people.items():
        text += f'[[orders.approvers]]\nname = "{name}"\nkey = "{seal.key}"\n'
    save(world.settings, text)
    path = world.orders / "it-x.toml"
    save(path, order("it-x", "x.example"))
    (loaded,) = load_path(path).orders
    digest = signed_edition(path.read_bytes(), {})
    rows = [
        Approval(name, NOW, digest, seal.sign(message(loaded, digest, name, NOW)))
        for name, seal in people.items()
    ]
    async with world.running() as reloader:
        assert names(reloader, "x.example") == [False]
        assert "needs 2 approvals and has 0" in reloader.faults[0].message
        save(path.with_suffix(".approvals"), write_approvals(rows))
        await until(lambda: names(reloader, "x.example") == [True] and not reloader.faults)
        # Who may approve is a setting: what is in force stays until it is changed.
        save(world.settings, text.replace('"Bert"', '"Carl"'))
        await until(lambda: "count for nothing" in str(reloader.faults))
        assert names(reloader, "x.example") == [True]
        save(world.settings, text.split("\n[orders]")[0])
        await until(lambda: not reloader.faults)
