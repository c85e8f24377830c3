"""The whole server under load, while orders change and a worker is killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import (
    FR,
    IT,
    ROOT,
    Load,
    Running,
    Upstream,
    ask,
    everywhere,
    launch,
    order,
    running,
    save,
    write_settings,
)

pytestmark = pytest.mark.process

NOERROR, NXDOMAIN = 0, 3
RATE = 1100
RELOADS = 22


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


async def test_every_query_is_answered_while_orders_change_and_a_worker_dies(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = write_settings(tmp_path, upstream.port)
    folder = tmp_path / "orders" / "IT"
    save(folder / "always.toml", order("always", "always.example"))
    save(folder / "changes.toml", order("changes", "round0.example"))
    with running(settings) as server:
        italian, french = Load(IT, server.port), Load(FR, server.port)
        for load in (italian, french):
            await load.open(16)
        stop = asyncio.Event()
        began = time.monotonic()
        asking = asyncio.create_task(_keep_asking(italian, french, stop))
        try:
            back = await asyncio.to_thread(_disturb, server, folder)
        finally:
            stop.set()
            await asking
        took = time.monotonic() - began
        for load in (italian, french):
            for _ in range(100):
                if not load.missing:
                    break
                await asyncio.sleep(0.1)
                load.repeat()
            load.close()
        sent = italian.sent + french.sent
        again, late = italian.again + french.again, italian.late + french.late
        with capsys.disabled():
            print(
                f"\n{sent} queries in {took:.1f} s ({sent / took:.0f}/s), {again} sent again,"
                f" {again - late} first tries lost for good,"
                f" slowest {max(italian.slowest, french.slowest):.2f} s,"
                f" killed worker back after {back:.2f} s"
            )
        assert not italian.missing and not french.missing
        assert italian.answered + french.answered == sent
        assert not italian.wrong
        assert not french.wrong
        assert sent >= 1000 * took
        status = server.status()
        assert status["reloads"] >= RELOADS + 1
        assert status["restarts"] == 1
        assert status["counters"]["internal_errors"] == 0
        assert not status["faults"]


async def _keep_asking(italian: Load, french: Load, stop: asyncio.Event) -> None:
    began = time.monotonic()
    numbers = itertools.count()
    while not stop.is_set():
        for _ in range(int((time.monotonic() - began) * RATE) - italian.sent - french.sent):
            number = next(numbers)
            if number % 2:
                italian.ask("www.always.example", NXDOMAIN)
            elif number % 4:
                french.ask("www.always.example", NOERROR)
            else:
                # A name nobody asked before: it has to come from the upstream.
                french.ask(f"n{number}.fresh.example", NOERROR)
        italian.repeat()
        french.repeat()
        await asyncio.sleep(0.005)


def _disturb(server: Running, folder: Path) -> float:
    back = 0.0
    for number in range(1, RELOADS + 1):
        before = server.status()["digest"]
        save(folder / "changes.toml", order("changes", f"round{number}.example"))
        server.until(
            f"reload {number}",
            lambda found, before=before: found["digest"] != before and found["current"],
        )
        assert everywhere(server.port, f"round{number}.example", NXDOMAIN)
        assert everywhere(server.port, f"round{number - 1}.example", NOERROR)
        time.sleep(0.1)
        if number == RELOADS // 2:
            back = _kill_worker(server)
    return back


def _kill_worker(server: Running) -> float:
    victim = server.status()["workers"][0]
    began = time.monotonic()
    os.kill(victim["pid"], signal.SIGKILL)
    server.until(
        "replacement",
        lambda found: found["current"] and found["workers"][0]["pid"] != victim["pid"],
    )
    return time.monotonic() - began


def test_a_change_is_in_force_soon_with_a_thousand_orders_and_endless_writing(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = write_settings(tmp_path, upstream.port)
    folder = tmp_path / "orders" / "IT"
    for number in range(1000):
        names = [f"n{part}.o{number}.example" for part in range(5)]
        save(folder / f"o{number}.toml", order(f"o{number}", *names))
    stop = threading.Event()

    def scribble() -> None:
        for number in itertools.count():
            if stop.wait(0.005):
                return
            (folder / "notes.txt").write_text(f"note {number}\n")
            if number % 20 == 0:
                save(folder / "busy.toml", order("busy", f"busy{number}.example"))

    with running(settings) as server:
        assert ask(server.port, "n0.o0.example") == NXDOMAIN
        scribbling = threading.Thread(target=scribble)
        scribbling.start()
        times = []
        try:
            for number in range(5):
                name = f"changed{number}.example"
                save(folder / "o7.toml", order("o7", name))
                began = time.monotonic()
                while not everywhere(server.port, name, NXDOMAIN, sockets=12):
                    assert time.monotonic() - began < 10
                times.append(time.monotonic() - began)
                time.sleep(0.2)
            (folder / "o8.toml").unlink()
            began = time.monotonic()
            while not everywhere(server.port, "n0.o8.example", NOERROR, sockets=12):
                assert time.monotonic() - began < 10
            times.append(time.monotonic() - began)
        finally:
            stop.set()
            scribbling.join()
        with capsys.disabled():
            print("\nin force after", ", ".join(f"{seconds:.2f} s" for seconds in times))


def test_faulty_files_keep_their_last_good_edition_across_a_restart(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port)
    folder = tmp_path / "orders" / "IT"
    save(folder / "good.toml", order("good", "good.example"))
    with running(settings) as server:
        save(folder / "good.toml", order("good", "http://no/name"))
        save(folder / "new.toml", order("new", "new.example"))
        status = server.until("new order", lambda found: len(found["orders"]) == 2)
        assert [fault["field"] for fault in status["faults"]] == ["targets.domains.0"]
        assert everywhere(server.port, "good.example", NXDOMAIN)
        assert everywhere(server.port, "new.example", NXDOMAIN)
    with running(settings) as server:
        assert ask(server.port, "good.example") == NXDOMAIN
        assert [found["last_good"] for found in server.status()["orders"]] == [True, False]
    (folder / "worse.toml").write_text("id = ")
    code, log = _fails(settings)
    assert code == 2
    assert "worse.toml:1" in log and "good.toml" in log
    with running(settings, "--skip-bad-orders") as server:
        assert ask(server.port, "good.example") == NXDOMAIN


def _fails(settings: Path) -> tuple[int, str]:
    log = settings.parent / "log"
    log.unlink(missing_ok=True)
    process = launch(settings)
    out, _ = process.communicate(timeout=30)
    assert out == ""
    return process.returncode, log.read_text()


def test_geofeeds_and_settings_reload_and_bad_ones_change_nothing(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port)
    folder = tmp_path / "orders" / "IT"
    save(folder / "a.toml", order("a", "a.example"))
    with running(settings) as server:
        assert ask(server.port, "a.example", FR) == NOERROR
        save(tmp_path / "feed.csv", "127.39.0.0/16,IT,,,\n127.33.0.0/16,IT,,,\n")
        server.until("geofeed", lambda found: found["reloads"] == 2)
        assert everywhere(server.port, "a.example", NXDOMAIN, FR)
        save(tmp_path / "feed.csv", "127.39.0.0/16,NOWHERE,,,\n")
        status = server.until("geofeed's fault", lambda found: found["faults"])
        assert "feed.csv" in str(status["faults"])
        assert everywhere(server.port, "a.example", NXDOMAIN, FR)
        save(tmp_path / "feed.csv", "127.33.0.0/16,FR,,,\n")
        status = server.until("geofeed repaired", lambda found: found["reloads"] == 3)
        assert not status["faults"]
        assert everywhere(server.port, "a.example", NOERROR, FR)

        text = settings.read_text()
        save(settings, text.replace("[upstream]", 'clients = ["127.33.0.0/16"]\n[upstream]'))
        server.until("settings", lambda found: found["reloads"] == 4)
        assert everywhere(server.port, "b.example", 5, IT)
        save(settings, text + "[limits]\nmissses = 1\n")
        status = server.until("settings' fault", lambda found: found["faults"])
        assert status["faults"][0]["field"] == "limits.missses"
        assert everywhere(server.port, "b.example", 5, IT)
        # Another upstream: workers are replaced one by one, and nobody notices.
        before = [worker["pid"] for worker in status["workers"]]
        save(settings, text.replace("servers = [", "timeout = 1.5\nservers = ["))
        status = server.until(
            "settings repaired",
            lambda found: (
                not found["faults"]
                and found["current"]
                and not {worker["pid"] for worker in found["workers"]} & set(before)
            ),
        )
        assert status["restarts"] == 0
        assert everywhere(server.port, "b.example", NOERROR, IT)


def test_orders_begin_and_end_by_the_clock(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port)
    folder = tmp_path / "orders" / "IT"
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
    text = order("later", "later.example").replace("2022-07-11", soon)
    save(folder / "later.toml", text)
    with running(settings) as server:
        assert server.ready["orders"] == 0
        assert ask(server.port, "later.example") == NOERROR
        status = server.until("beginning", lambda found: found["reload"]["trigger"] == "clock")
        assert status["reload"]["parsed"] == 0
        assert everywhere(server.port, "later.example", NXDOMAIN)


def test_a_second_server_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port)
    with running(settings) as server:
        code, log = _fails(settings)
        assert code == 2
        assert f"process {server.process.pid}" in log
        other = tmp_path / "other"
        other.mkdir()
        second = write_settings(other, upstream.port)
        second.write_text(second.read_text().replace(":0", f":{server.port}"))
        code, log = _fails(second)
        assert code == 2
        assert f"127.0.0.1:{server.port}" in log and "taken" in log
        assert "Traceback" not in log


def test_no_database_no_upstream_no_settings(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port)
    (tmp_path / "feed.csv").unlink()
    code, log = _fails(settings)
    assert code == 2 and "feed.csv" in log
    settings.write_text(settings.read_text().replace(f'"127.0.0.1:{upstream.port}"', ""))
    code, log = _fails(settings)
    assert code == 2 and "upstream.servers" in log
    settings.unlink()
    assert _fails(settings)[0] == 2


def test_workers_end_when_the_parent_is_killed(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port)
    process = launch(settings)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        server = Running(process, tmp_path)
        pids = [worker["pid"] for worker in server.status()["workers"]]
    finally:
        process.kill()
        process.communicate()
    end = time.monotonic() + 10
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.05)
    with running(settings) as server:
        # The stale control socket of the killed server is no obstacle.
        assert server.status()["current"]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_status_tells_of_faults_by_its_exit_code(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port)
    folder = tmp_path / "orders" / "IT"
    assert _status(settings)[0] == 2
    save(folder / "a.toml", order("a", "a.example"))
    with running(settings) as server:
        code, out = _status(settings)
        assert code == 0
        assert server.ready["digest"] in out
        assert f"settings {settings}" in out and f"orders from {tmp_path / 'orders'}" in out
        assert "1 order in force" in out and "0 days" in out
        assert "internal_errors" not in out
        later = order("later", "later.example").replace("2022-07-11", "2099-01-01")
        save(folder / "later.toml", later)
        server.until("coming order", lambda found: found["coming"])
        assert "2099-01-01T00:00:00+00:00" in _status(settings)[1]
        (folder / "bad.toml").write_text("id = 3\n")
        server.until("fault", lambda found: found["faults"])
        code, out = _status(settings)
        assert code == 1
        assert "bad.toml" in out.splitlines()[-1]
        with settings.open("a") as file:
            file.write("[limits]\nmissses = 1\n[cache\n")
        server.until("settings' fault", lambda found: len(found["faults"]) > 1)
        code, out = _status(settings)
        assert code == 1
        assert "settings file is faulty" in out and "is not TOML" in out
        assert out.count("is not TOML") == 1
    log = server.log()
    assert f"orders from {tmp_path / 'orders'} (the default" in log
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} INFO ", log)
    assert log.endswith(" INFO stopped\n")
    code, log = _status(settings)
    assert code == 2


def test_a_use_of_never_block_is_logged(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(
        tmp_path, upstream.port, '[orders]\ndirectories = ["orders"]\nnever_block = ["a.example"]\n'
    )
    save(tmp_path / "orders" / "IT" / "a.toml", order("a", "a.example"))
    with running(settings) as server:
        assert [ask(server.port, "a.example") for _ in range(3)] == [NOERROR] * 3
        assert ask(server.port, "other.example") == NOERROR
        server.until("counter", lambda found: found["counters"].get("never_block/a.example/a") == 3)
    told = [line for line in server.log().splitlines() if "order a would have blocked it" in line]
    assert 1 <= len(told) <= 2
    assert sum(int(line.split(" resolvable ")[1].split()[0]) for line in told) == 3


def _status(settings: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "geodns", "status", "-c", str(settings)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout
