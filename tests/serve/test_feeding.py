"""Official lists in a running server: fetched by itself, in force by themselves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from geodns.errors import Fault
from geodns.orders.feeds.kept import FEEDS, KeptFeed
from geodns.orders.feeds.outbox import Item, Outbox, keep_outbox
from geodns.orders.load import OrderLoader
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.feeding import Feeding, outcomes, settled
from geodns.settings import Feeds
from tests.orders.feeds.publisher import Publisher, publishing
from tests.orders.feeds.shield_api import CREDENTIALS, PASSWORD, ShieldApi, shielding
from tests.orders.sample import good, write
from tests.serve.running import FR, IT, Upstream, ask, everywhere, order, running, write_settings
from tests.serve.running import save as save_order

NOERROR, NXDOMAIN = 0, 3
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HELD = "drive.usercontent.google.com"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as found:
        yield found


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShieldApi]:
    monkeypatch.setenv("SHIELD_LOGIN", CREDENTIALS)
    with shielding() as found:
        yield found


def fed_by(api_url: str) -> str:
    return (
        f'[[feeds]]\napi = "piracy-shield"\nurl = "{api_url}"\nrefresh = "1m"\n'
        'credentials = "SHIELD_LOGIN"\n'
    )


def refresh(settings: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "geodns", "feeds", "refresh", "-c", str(settings), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.process
def test_a_list_is_fetched_put_in_force_and_outlives_its_publisher(
    tmp_path: Path, upstream: Upstream, publisher: Publisher
) -> None:
    names = "".join(f"n{number}.example\n" for number in range(40))
    url = publisher.put("/list", names)
    settings = write_settings(tmp_path, upstream.port)
    text = order("it-fed").replace("domains = []", f'[[feeds]]\nurl = "{url}"\nrefresh = "1m"')
    (tmp_path / "orders" / "IT").mkdir(parents=True, exist_ok=True)
    (tmp_path / "orders" / "IT" / "it-fed.toml").write_text(text)
    with running(settings) as server:
        server.until("fetched", lambda _: ask(server.port, "www.n1.example", IT) == NXDOMAIN)
        assert ask(server.port, "www.n1.example", FR) == NOERROR
        publisher.put("/list", names + "added.example\n")
        assert ask(server.port, "added.example", IT) == NOERROR
        code, out = refresh(settings, "it-fed")
        assert (code, "1 new, 0 gone" in out) == (0, True), out
        server.until("refreshed", lambda _: ask(server.port, "added.example", IT) == NXDOMAIN)
        publisher.put("/list", "<html>Service unavailable</html>")
        code, out = refresh(settings, "it-fed")
        assert (code, "HTML page" in out) == (1, True), out
        assert everywhere(server.port, "added.example", NXDOMAIN, IT)
        assert "the list of it-fed has 40 targets: 40 new, 0 gone, 0 rows rejected" in server.log()
    publisher.pages.clear()
    with running(settings) as server:
        assert everywhere(server.port, "added.example", NXDOMAIN, IT)
        status = server.until("told", lambda found: found["faults"])
        assert "the former one stays" in status["faults"][0]["message"]


@pytest.mark.process
def test_an_item_of_an_api_is_reported_once_all_workers_block_it(
    tmp_path: Path, upstream: Upstream, api: ShieldApi
) -> None:
    api.add("live.one.example", HELD)
    settings = write_settings(tmp_path, upstream.port)
    path = tmp_path / "orders" / "IT" / "it-shield.toml"
    text = order("it-shield").replace("domains = []", fed_by(api.url))
    save_order(path, text)
    was_blocked: dict[str, bool] = {}
    with running(settings) as server:

        def look(value: str, _: str) -> None:
            was_blocked[value] = everywhere(server.port, value, NXDOMAIN, IT)

        api.on_report = look
        server.until("told", lambda _: len(api.reports) == 2)
        assert was_blocked == {"live.one.example": True, HELD: False}
        assert ("live.one.example", "processed") in api.reports
        (why,) = [what for value, what in api.reports if value == HELD]
        assert "held" in why
        assert "below-popular" in why
        assert ask(server.port, "live.one.example", FR) == NOERROR
        assert ask(server.port, "www.live.one.example", IT) == NOERROR, "the host alone"
        api.lift("live.one.example")
        assert refresh(settings, "it-shield")[0] == 0
        server.until("lifted", lambda _: ask(server.port, "live.one.example", IT) == NOERROR)
        row = f'[[acknowledge]]\nfinding = "below-popular"\ntarget = "{HELD}"\n'
        save_order(path, text + row + 'by = "A"\nreason = "b"\ndate = 2026-01-01\n')
        server.until("told again", lambda _: (HELD, "processed") in api.reports)
        assert was_blocked[HELD]
        assert not server.status()["faults"]
        assert "2 items of it-shield were reported to" in server.log()
        files = [each for each in tmp_path.rglob("*") if each.is_file()]
        kept = b"".join(each.read_bytes() for each in files)
        assert b"live.one.example" in kept
        for secret in (PASSWORD, *api.tokens):
            assert secret.encode() not in kept


# What is told, and when


def loaded_from(root: Path, text: str) -> LoadedOrder:
    write(root / "orders", "IT", "it-x", text)
    loaded = OrderLoader([root / "orders"], None, feeds=root / FEEDS).load()
    assert not loaded.faults, loaded.faults
    return loaded.orders[0]


def compiled(loaded: LoadedOrder, *never: bytes) -> Snapshot:
    return Snapshot(compile_snapshot([loaded], NOW, never))


def items(*values: str) -> dict[str, Item]:
    return {value: Item(since=0.0) for value in values}


TARGETS = f"""\
exact = ["one.example", "free.two.example", "never.example", "{HELD}"]
networks = ["192.0.2.9", "2001:db8::9"]
exempt = ["two.example"]
"""


def test_what_became_of_each_item_is_what_the_snapshot_makes_of_it(tmp_path: Path) -> None:
    loaded = loaded_from(tmp_path, good("it-x").replace('domains = ["example.org"]', TARGETS))
    some = items("ONE.example.", "http://one.example/", "192.0.2.9", "2001:db8::9", HELD)
    some |= items("free.two.example", "never.example", "unheard.example", "co.uk")
    some["co.uk"].rejected = "public suffix"
    snapshot = compiled(loaded, b"\x05never\x07example\0")
    assert outcomes(loaded, some, snapshot, NOW) == {
        "ONE.example.": "processed",
        "http://one.example/": "processed",
        "192.0.2.9": "processed",
        "2001:db8::9": "processed",
        HELD: "it is held until a person has looked at it: below-popular",
        "free.two.example": "it is exempt here",
        "never.example": "it is exempt here",
        "co.uk": "it is no name or address that can be blocked: public suffix",
    }


def test_nothing_is_told_of_an_order_that_blocks_nobody_or_is_not_in_force_as_it_is(
    tmp_path: Path,
) -> None:
    text = good("it-x", "one.example")
    active = loaded_from(tmp_path, text)
    some = items("one.example", HELD)
    assert outcomes(active, some, compiled(active), NOW) == {"one.example": "processed"}
    other = loaded_from(tmp_path, text.replace("one.example", "two.example"))
    assert outcomes(active, some, compiled(other), NOW) == {}
    shadow = loaded_from(tmp_path, text.replace('"active"', '"shadow"'))
    assert outcomes(shadow, some, compiled(shadow), NOW) == {}
    suspended = loaded_from(tmp_path, text.replace('"active"', '"suspended"'))
    assert outcomes(suspended, some, compiled(suspended), NOW) == {}


@dataclass
class Feigned:
    """Stands for the reloader and for the supervisor."""

    snapshot: Any
    load: Any
    agreed: bool = True

    def everywhere(self, digest: str) -> bool:
        return self.agreed and digest == self.load.digest


@dataclass
class Digest:
    digest: str


def test_what_is_not_on_all_workers_is_not_in_force() -> None:
    server: Any = Feigned(Digest("a"), Digest("a"))
    found = settled(server, server)
    assert found() is server.snapshot
    server.agreed = False
    assert found() is None
    server.agreed = True
    server.load = Digest("b")
    assert found() is None, "the snapshot is not what workers were given last"


def test_what_is_to_be_reported_waits_for_all_workers_and_for_the_api(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/api"
    text = good("it-x", "one.example") + "\n" + fed_by(url)
    loaded = loaded_from(tmp_path, text)
    told: list[Sequence[Fault]] = []
    feeding = Feeding(tmp_path / FEEDS, lambda: [loaded], lambda: Feeds(), told.append)
    kept = KeptFeed(tmp_path / FEEDS, "it-x", url)
    snapshot = compiled(loaded)

    def wanted(in_force: Snapshot | None) -> list[dict[str, str]]:
        found = asyncio.run(feeding._wanted([loaded], in_force))
        return [dict(each) for each in found.values()]

    assert wanted(snapshot) == [], "nothing was fetched yet"
    keep_outbox(kept, Outbox(items("one.example", "later.example")))
    assert wanted(None) == []
    assert wanted(snapshot) == [{"one.example": "processed"}]
    keep_outbox(kept, Outbox(items("one.example"), failures=1, tried=time.time(), fault="x"))
    assert wanted(snapshot) == [], "the API failed just now"
    known = {"one.example": Item(since=0.0, told="processed")}
    keep_outbox(kept, Outbox(known))
    assert wanted(snapshot) == []
    known["one.example"].told = "it is held"
    keep_outbox(kept, Outbox(known))
    assert wanted(snapshot) == [{"one.example": "processed"}]
