"""The ruling log: what a line says, and that neither a full disk nor rotation costs a query."""

from __future__ import annotations

import copy
import json
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from geodns.orders.loaded import LoadedOrder
from geodns.serve import rulings
from geodns.serve.rulings import Line, RulingLog, encode
from tests.policy.making import order
from tests.scenarios.asking import build
from tests.serve.test_pipeline import FR, IT, House

WWW, TARGET = b"\3www\7blocked\7example\0", b"\7blocked\7example\0"


def line(order: str = "it-x", **more: Any) -> Line:
    return Line(1669075200.25, "block", order, "IT", WWW, 28, "udp", "ab12", **more)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def orders_in(path: Path) -> list[str]:
    return [json.loads(text)["order"] for text in path.read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RulingLog]:
    found = RulingLog()
    found.turn(str(tmp_path / "rulings.log"))
    yield found
    found.close()


def test_a_line_is_one_json_document_without_an_address() -> None:
    text = encode(line(action="nxdomain", target=TARGET)).decode()
    assert text == (
        '{"time":"2022-11-22T00:00:00.250Z","ruling":"block","order":"it-x","place":"IT",'
        '"name":"www.blocked.example","type":"AAAA","transport":"udp","action":"nxdomain",'
        '"target":"blocked.example","digest":"ab12"}\n'
    )
    unknown = Line(0.0, "shadow", "o", None, b"\0", 65280, "tcp", "d")
    assert json.loads(encode(unknown)) == {
        "time": "1970-01-01T00:00:00.000Z",
        "ruling": "shadow",
        "order": "o",
        "place": "unknown",
        "name": ".",
        "type": "TYPE65280",
        "transport": "tcp",
        "digest": "d",
    }


def test_lines_are_appended_and_the_last_ones_at_the_end(log: RulingLog, tmp_path: Path) -> None:
    path = tmp_path / "rulings.log"
    path.write_text(encode(line("before")).decode())
    for number in range(1000):
        log.note(line(f"o{number}"))
    log.close()
    assert orders_in(path) == ["before", *(f"o{number}" for number in range(1000))]
    assert (log.written, log.lost) == (1000, 0)


def test_a_file_that_is_moved_away_is_made_anew_by_itself(log: RulingLog, tmp_path: Path) -> None:
    path, old = tmp_path / "rulings.log", tmp_path / "rulings.log.1"
    log.note(line("one"))
    until(lambda: log.written == 1)
    path.rename(old)
    log.note(line("two"))
    until(lambda: log.written == 2)
    assert (orders_in(old), orders_in(path)) == (["one"], ["two"])
    path.unlink()
    until(path.exists)  # while nothing is written too, so that the old one's room is given back


def test_where_no_new_file_can_be_made_the_old_one_goes_on(
    log: RulingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, old = tmp_path / "rulings.log", tmp_path / "rulings.log.1"
    log.note(line("one"))
    until(lambda: log.written == 1)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(rulings.os, "open", refuse)
    path.rename(old)
    log.note(line("two"))
    until(lambda: log.written == 2)
    assert orders_in(old) == ["one", "two"]


def test_a_full_disk_loses_lines_counts_them_and_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "rulings.log"
    log = RulingLog()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = len(encode(line("o0")))
    try:
        # As a full disk does, it takes a part of a line and then nothing.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size + 10, hard))
        log.turn(str(path))
        for number in range(4):
            log.note(line(f"o{number}"))
        until(lambda: log.written + log.lost == 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (log.written, log.lost) == (2, 2)
    log.note(line("o9"))
    log.close()
    whole = [text for text in path.read_text().splitlines() if text.endswith("}")]
    assert [json.loads(text)["order"] for text in whole] == ["o0", "o1", "o9"]
    assert (log.written, log.lost) == (3, 2)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "cannot be written: File too large" in told[0]
    assert "is written again" in told[1]


def test_what_a_stuck_disk_cannot_take_is_dropped_and_no_caller_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulings, "MOST_WAITING", 10)
    held = [True]

    def stuck(_: RulingLog, lines: list[Line]) -> None:
        until(lambda: not held[0])

    monkeypatch.setattr(RulingLog, "_append", stuck)
    log = RulingLog()
    log.turn(str(tmp_path / "rulings.log"))
    for _ in range(1000):
        log.note(line())
    assert log.lost >= 1000 - 10 - rulings.BATCH
    assert log.lost > 0
    held[0] = False
    log.close()


def test_a_pipe_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    log = RulingLog()
    log.turn(str(path))
    log.note(line())
    until(lambda: log.lost == 1)
    log.close()


def test_turned_off_it_closes_its_file_and_turned_on_it_goes_on(tmp_path: Path) -> None:
    log = RulingLog()
    assert not log.on
    log.turn(str(tmp_path / "a"))
    log.note(line("one"))
    until(lambda: log.written == 1)
    log.turn(None)
    assert not log.on
    log.turn(str(tmp_path / "b"))
    log.note(line("two"))
    log.close()
    assert (orders_in(tmp_path / "a"), orders_in(tmp_path / "b")) == (["one"], ["two"])


BLOCKED = order("it-a", domains=["blocked.a"], networks=["203.0.113.0/24"])
ZONE = {
    "free.a": ["free.a. 60 A 192.0.2.1"],
    "www.blocked.a": ["www.blocked.a. 60 A 192.0.2.2"],
    "alias.a": ["alias.a. 60 CNAME www.blocked.a.", "www.blocked.a. 60 A 192.0.2.2"],
    "net.a": ["net.a. 60 A 203.0.113.1"],
}


class Logged:
    """A pipeline whose ruling log is on."""

    def __init__(self, folder: Path, *orders: LoadedOrder, never: Sequence[str] = ()) -> None:
        self.path = folder / "rulings.log"
        self.house = House(folder, dict(ZONE), [])
        self.settings = copy.deepcopy(self.house.settings)
        self.turn(str(self.path))
        self.house.enforce(orders, never)

    def turn(self, path: str | None) -> None:
        self.settings["log"]["rulings"] = path
        self.house.pipeline.apply(self.settings)

    def lines(self) -> list[dict[str, Any]]:
        """The file once all is written, without what changes from run to run."""
        self.house.pipeline.rulings.close()
        found = [json.loads(text) for text in self.path.read_text().splitlines()]
        for each in found:
            assert each.pop("time").endswith("Z")
            assert each.pop("digest") == self.house.pipeline._in_force.snapshot.digest
            assert each.pop("type") == "A"
        return found


async def test_each_block_is_logged_with_what_was_ruled_and_what_was_done(tmp_path: Path) -> None:
    logged = Logged(tmp_path, BLOCKED)
    house = logged.house
    await house.ask("www.BLOCKED.a", peer=IT)
    await house.ask("www.blocked.a", peer=FR)
    await house.ask("alias.a", peer=IT)
    await house.raw(build("net.a"), IT, stream=True)
    await house.ask("free.a", peer=IT)
    block = {"ruling": "block", "order": "it-a", "place": "IT", "action": "nxdomain"}
    assert logged.lines() == [
        {**block, "name": "www.blocked.a", "transport": "udp", "target": "blocked.a"},
        {
            **block,
            "name": "alias.a",
            "transport": "udp",
            "target": "blocked.a",
            "alias": "www.blocked.a",
        },
        {**block, "name": "net.a", "transport": "tcp"},
    ]
    assert house.count("log/rulings") == 3
    assert house.count("log/lost") == 0
    assert "127." not in logged.path.read_text()


async def test_what_shadow_or_the_emergency_list_kept_from_a_block_is_logged(
    tmp_path: Path,
) -> None:
    shadow = order("it-s", domains=["free.a"], status="shadow")
    logged = Logged(tmp_path, BLOCKED, shadow, never=["www.blocked.a"])
    for name in ("free.a", "www.blocked.a"):
        for peer in (IT, FR):
            assert (await logged.house.ask(name, peer=peer)).rcode == "NOERROR"
    common = {"place": "IT", "transport": "udp"}
    assert logged.lines() == [
        {"ruling": "shadow", "order": "it-s", "name": "free.a", **common},
        {"ruling": "never_block", "order": "it-a", "name": "www.blocked.a", **common},
    ]


@pytest.mark.parametrize("twin", ["native", "pure"])
async def test_the_fast_path_hands_up_blocks_while_the_log_is_on(
    tmp_path: Path, twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if twin == "pure":
        monkeypatch.setenv("GEODNS_PURE", "1")
    else:
        pytest.importorskip("geodns.fastpath.native")
    logged = Logged(tmp_path, BLOCKED)
    fast, packet = logged.house.pipeline.fast, build("www.blocked.a")
    assert fast.answer(packet, IT, time.monotonic()) is None
    by_pipeline = await logged.house.raw(packet, IT)
    logged.turn(None)
    logged.house.enforce([BLOCKED])
    assert fast.answer(packet, IT, time.monotonic()) == by_pipeline
    logged.turn(str(logged.path))
    logged.house.enforce([BLOCKED])
    assert fast.answer(packet, IT, time.monotonic()) is None
    await logged.house.raw(packet, IT)
    assert len(logged.lines()) == 2
