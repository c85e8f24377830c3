"""The log and the ruling log of the whole running server."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.running import (
    FR,
    IT,
    Running,
    Upstream,
    ask,
    order,
    running,
    save,
    write_settings,
)

pytestmark = pytest.mark.process


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


def rulings(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until_written(path: Path, lines: int) -> list[dict[str, Any]]:
    end = time.monotonic() + 20
    while len(found := rulings(path)) < lines:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def block(server: Running, times: int) -> None:
    for _ in range(times):
        assert ask(server.port, "www.blocked.example", IT) == 3
        assert ask(server.port, "www.blocked.example", FR) == 0


def change(settings: Path, before: str, after: str) -> None:
    text = settings.read_text()
    assert before in text
    save(settings, text.replace(before, after))


def test_json_lines_of_parent_and_workers_hold_no_address(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port, '[log]\nformat = "json"\n')
    folder = tmp_path / "orders" / "IT"
    save(folder / "it-a.toml", order("it-a", "blocked.example"))
    with running(settings) as server:
        block(server, 3)
        save(folder / "bad.toml", "no order")
        server.until("the fault is told", lambda status: status["faults"])
        os.kill(server.status()["workers"][0]["pid"], signal.SIGKILL)
        server.until("it is replaced", lambda status: status["current"] and status["restarts"])
        (folder / "bad.toml").unlink()
        change(settings, 'format = "json"', 'format = "text"')
        server.until("it is read", lambda status: not status["faults"])
        end = time.monotonic() + 20
        while "the settings were read again" not in server.log():
            assert time.monotonic() < end
            time.sleep(0.02)
        save(folder / "late.toml", order("late", "late.example"))
        server.until("it is in force", lambda status: len(status["orders"]) == 2)
    lines = (tmp_path / "log").read_text().splitlines()
    documents = [json.loads(line) for line in lines if line.startswith("{")]
    plain = [line for line in lines if not line.startswith("{")]
    first = documents[0]
    assert list(first)[:6] == ["time", "level", "logger", "event", "process", "pid"]
    assert {each["process"] for each in documents} <= {"parent", "worker"}
    start = next(each for each in documents if each.get("trigger") == "start")
    assert (start["orders"], start["parsed"], len(start["digest"])) == (1, 1, 64)
    assert [each["worker"] for each in documents if "is replaced" in each["event"]] == [0]
    assert any("bad.toml" in each["event"] for each in documents if each["level"] == "error")
    assert any("in force: late" in line for line in plain), "the form changed while it ran"
    assert not [line for line in lines if IT in line or FR in line]


def test_rulings_of_all_workers_by_choice_and_through_rotation(
    tmp_path: Path, upstream: Upstream
) -> None:
    path, moved = tmp_path / "rulings.log", tmp_path / "rulings.log.1"
    settings = write_settings(tmp_path, upstream.port, '[log]\nrulings = "rulings.log"\n')
    save(tmp_path / "orders" / "IT" / "it-a.toml", order("it-a", "blocked.example"))
    with running(settings) as server:
        block(server, 40)
        found = until_written(path, 40)
        path.rename(moved)
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        # The other worker may still have to notice: what it writes meanwhile is in either.
        block(server, 10)
        end = time.monotonic() + 20
        while len(rulings(path)) + len(rulings(moved)) < 50:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert rulings(path)
        status = server.until(
            "all is counted", lambda status: status["counters"].get("log/rulings") == 50
        )
        assert status["counters"]["log/lost"] == 0
        assert status["counters"]["blocked"] == 50
        assert all(worker["counters"]["log/rulings"] for worker in status["workers"])

        change(settings, '[log]\nrulings = "rulings.log"\n', "")
        reloads = status["reloads"]
        server.until("it is off", lambda status: status["reloads"] > reloads)
        block(server, 10)
        status = server.until(
            "all is counted", lambda status: status["counters"].get("blocked") == 60
        )
        assert status["counters"]["log/rulings"] == 50
    found = [*rulings(moved), *rulings(path)]
    assert len(found) == 50
    kinds = Counter((each["ruling"], each["order"], each["place"], each["name"]) for each in found)
    assert kinds == {("block", "it-a", "IT", "www.blocked.example"): 50}
    text = path.read_text() + moved.read_text()
    assert IT not in text


def test_what_is_waiting_at_the_end_is_written(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, '[log]\nrulings = "rulings.log"\n')
    save(tmp_path / "orders" / "IT" / "it-a.toml", order("it-a", "blocked.example"))
    with running(settings) as server:
        block(server, 20)
    assert len(rulings(tmp_path / "rulings.log")) == 20


def test_a_full_disk_costs_no_query(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, '[log]\nrulings = "/dev/full"\n')
    save(tmp_path / "orders" / "IT" / "it-a.toml", order("it-a", "blocked.example"))
    with running(settings) as server:
        block(server, 20)
        status = server.until(
            "it is counted", lambda found: found["counters"].get("log/lost") == 20
        )
        assert status["counters"]["log/rulings"] == 0
        assert status["counters"]["blocked"] == 20
    told = [line for line in (tmp_path / "log").read_text().splitlines() if "/dev/full" in line]
    assert 1 <= len(told) <= 2, "once for each worker"
    assert "No space left on device" in told[0]
