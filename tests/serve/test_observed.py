"""The running server as scrapes and health checks see it: what they say, and that it is true."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geodns.metrics.words import COUNTERS
from tests.serve.observing import (
    METRICS,
    address_of,
    fetch,
    mixed_load,
    queries,
    scrape,
    write_watched,
)
from tests.serve.running import (
    FR,
    IT,
    Running,
    Upstream,
    ask,
    launch,
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


def until_ready(server: Running, ready: bool) -> dict[str, Any]:
    end = time.monotonic() + 30
    while True:
        status, text = fetch(address_of(server), "/readyz")
        if (status == 200) is ready:
            found: dict[str, Any] = json.loads(text)
            return found
        assert time.monotonic() < end
        time.sleep(0.01)


def test_status_and_metrics_tell_the_same_and_workers_are_added_up(
    tmp_path: Path, upstream: Upstream
) -> None:
    with running(write_watched(tmp_path, upstream.port)) as server:
        asked = mixed_load(server)
        status = server.until("all is counted", lambda found: queries(found) == asked)
        found = scrape(server)
        counters = status["counters"]
        for key, (family, label) in COUNTERS.items():
            name = f"geodns_{family.name}" + "_total" * (not family.gauge)
            sample = (name,) if label is None else (name, label)
            assert found[sample] == counters.get(key, 0), key
            if family.gauge:
                assert key in counters
        assert found["geodns_rulings_total", "it-a", "block"] == counters["order/it-a"] == 10
        assert found["geodns_rulings_total", "it-s", "shadow"] == counters["shadow/it-s"] == 5
        assert found["geodns_rulings_total", "it-a", "never_block"] == 5
        assert found["geodns_queries_by_place_total", "IT"] == counters["place/IT"]
        assert found["geodns_queries_by_place_total", "FR"] == counters["place/FR"]
        assert found["geodns_blocked_by_place_total", "IT"] == counters["blocked_in/IT"] == 10
        assert ("geodns_blocked_by_place_total", "FR") not in found
        (server_row,) = status["upstreams"]
        name, answers = server_row["server"], server_row["answers"]
        assert name.endswith(f"127.0.0.1:{upstream.port}")
        assert found["geodns_upstream_rtt_seconds_count", name] == answers
        assert answers == counters["upstream/sent"] > 0
        assert found["geodns_upstream_rtt_seconds_sum", name] == server_row["seconds"] > 0
        assert found["geodns_upstream_avoided", name] == 0
        assert found["geodns_upstream_queries_total",] == counters["upstream/sent"]
        assert sum(found["geodns_queries_total", each] for each in ("udp", "tcp")) == asked
        assert sum(count for key, count in found.items() if key[0] == "geodns_replies_total") == (
            asked
        )
        assert found["geodns_snapshot_info", status["digest"]] == 1
        assert found["geodns_build_info", status["fast_path"], status["version"]] == 1
        assert found["geodns_scope_classes",] == status["scope_classes"] == 2
        assert found["geodns_orders", "active"] == found["geodns_orders", "shadow"] == 1
        assert found["geodns_worker_up", "0"] == found["geodns_worker_up", "1"] == 1
        _, text = fetch(address_of(server), "/metrics")
        assert IT not in text
        assert FR not in text


def test_what_a_dead_worker_counted_is_kept_once(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, METRICS)
    save(tmp_path / "orders" / "IT" / "it-a.toml", order("it-a", "blocked.example"))
    with running(settings) as server:
        for _ in range(20):
            ask(server.port, "www.blocked.example", IT)
        before = server.until("all is counted", lambda found: queries(found) == 20)
        for number, worker in enumerate(before["workers"], 1):
            os.kill(worker["pid"], signal.SIGKILL)
            server.until(
                "its successor serves",
                lambda found, number=number: found["current"] and found["restarts"] == number,
            )
            assert scrape(server)["geodns_replies_total", "blocked"] == 20
        for _ in range(10):
            ask(server.port, "www.blocked.example", IT)
        server.until("all is counted", lambda found: queries(found) == 30)
        found = scrape(server)
        assert found["geodns_replies_total", "blocked"] == 30
        assert found["geodns_rulings_total", "it-a", "block"] == 30
        assert sum(found["geodns_worker_restarts_total", each] for each in "01") == 2


def test_health_from_the_start_to_the_end(tmp_path: Path, upstream: Upstream) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    settings = write_settings(
        tmp_path, upstream.port, f'[metrics]\nlisten = "127.0.0.1:{address[1]}"\n'
    )
    folder = tmp_path / "orders" / "IT"
    for number in range(1500):
        save(folder / f"o{number}.toml", order(f"o{number}", f"blocked{number}.example"))
    process = launch(settings)
    assert process.stdout is not None
    try:
        seen = []
        while not seen or seen[-1][0] != 200:
            try:
                seen.append(fetch(address, "/readyz"))
                assert fetch(address, "/healthz")[0] == 200
            except OSError:
                assert process.poll() is None
            time.sleep(0.005)
        assert json.loads(process.stdout.readline())["ready"]
        status, text = seen[0]
        assert status == 503, "it said that it was ready before it could be"
        assert json.loads(text)["reason"] == "the server is starting"
        assert json.loads(seen[-1][1])["status"] == "ready"
        assert fetch(address, "/readyz", "HEAD") == (200, "")
        assert fetch(address, "/elsewhere")[0] == 404

        server = Running(process, tmp_path)
        for worker in server.status()["workers"]:
            os.kill(worker["pid"], signal.SIGSTOP)
        # Nobody acknowledges what is new, so what is in force is not everywhere any more.
        save(folder / "late.toml", order("late", "late.example"))
        told = until_ready(server, False)
        assert re.fullmatch(r"worker [\d, ]+ does not have in force what it should", told["reason"])
        until_ready(server, True)
        assert "late" in {each["id"] for each in server.status()["orders"]}

        for worker in server.status()["workers"]:
            os.kill(worker["pid"], signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        drained = []
        while process.poll() is None:
            try:
                drained.append(fetch(address, "/readyz"))
            except OSError:
                pass
            time.sleep(0.01)
        status, text = drained[-1]
        assert status == 503
        assert json.loads(text)["reason"] == "the server is draining"
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def test_a_taken_port_is_told_and_nothing_is_left_running(
    tmp_path: Path, upstream: Upstream
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f'[metrics]\nlisten = "127.0.0.1:{other.getsockname()[1]}"\n'
        process = launch(write_settings(tmp_path, upstream.port, listen))
        assert process.wait(30) == 2
        assert process.stdout is not None
        process.stdout.close()
    said = (tmp_path / "log").read_text()
    assert "listen in [metrics]" in said
    assert "Traceback" not in said


def test_a_changed_listen_needs_a_restart_and_the_bound_of_orders_does_not(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port, METRICS + "orders = 0\n")
    save(tmp_path / "orders" / "IT" / "it-a.toml", order("it-a", "blocked.example"))
    with running(settings) as server:
        assert ("geodns_rulings_total", "it-a", "block") not in scrape(server)
        text = settings.read_text().replace("orders = 0", "orders = 1")
        save(
            settings,
            text.replace('[metrics]\nlisten = "127.0.0.1:0"', '[metrics]\nlisten = "127.0.0.1:1"'),
        )
        server.until("it is noticed", lambda found: found["restart_needed"] == ["metrics.listen"])
        assert ("geodns_rulings_total", "it-a", "block") in scrape(server)
        assert scrape(server)["geodns_settings_restart_needed",] == 1
