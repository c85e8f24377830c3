"""A real Prometheus scrapes a real server, and is asked what the dashboard and the alerts ask."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.machine import free_port
from tests.live.servers import missing, program
from tests.metrics import expressions
from tests.serve.observing import address_of, fetch, mixed_load, write_watched
from tests.serve.running import Running, Upstream, running

pytestmark = pytest.mark.process
needs_prometheus = pytest.mark.skipif(
    bool(missing("prometheus", "promtool")), reason=missing("prometheus", "promtool")
)
MAY_BE_EMPTY = {
    "Would have been blocks",
    "Block pages by order",
    "Everything else that is counted",
    "Orders changed",
}
"""Panels that compare with zero: where all is well they show nothing."""
PATIENCE = 60.0


@needs_prometheus
def test_promtool_finds_nothing_wrong_with_the_alerts() -> None:
    done = subprocess.run(
        [program("promtool") or "", "check", "rules", str(expressions.RULES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(list(expressions.of_rules()))} rules found" in done.stdout


@needs_prometheus
def test_prometheus_scrapes_and_every_expression_has_a_result(tmp_path: Path) -> None:
    upstream = Upstream()
    try:
        with running(write_watched(tmp_path, upstream.port)) as server:
            mixed_load(server)
            lint = subprocess.run(
                [program("promtool") or "", "check", "metrics"],
                input=fetch(address_of(server), "/metrics")[1],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert (lint.returncode, lint.stderr) == (0, "")
            with prometheus(tmp_path, address_of(server)) as base:
                until_scraped(base, server)
                for title, expression in expressions.of_dashboard():
                    rows = ask(base, expressions.filled(expression))
                    assert rows or title in MAY_BE_EMPTY, (title, expression)
                for name, expression in expressions.of_rules():
                    ask(base, expression)
                    for metric, _ in expressions.selectors(expression):
                        assert ask(base, metric), (name, metric)
                firing = alerts(base)
        assert {alert["state"] for alert in firing.values()} <= {"firing"}
        assert set(firing) <= {"GeodnsNeverBlockUsed"}, "a healthy server makes no noise"
    finally:
        upstream.close()


@contextmanager
def prometheus(folder: Path, target: tuple[str, int]) -> Iterator[str]:
    """Run Prometheus with our alerts, scraping every second; its base URL."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{expressions.RULES}']\n"
        "scrape_configs:\n- job_name: geodns\n"
        f"  static_configs: [{{targets: ['{target[0]}:{target[1]}']}}]\n"
    )
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                program("prometheus") or "",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until_scraped(base: str, server: Running) -> None:
    """Wait for some scrapes with a load between them, so that rates have something to say."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            rows = ask(base, "count_over_time(geodns_build_info[1m])")
        except OSError:
            rows = []
        if rows and float(rows[0]["value"][1]) >= 4:
            return
        assert time.monotonic() < end
        mixed_load(server)
        time.sleep(0.2)


def ask(base: str, expression: str) -> list[dict[str, Any]]:
    """The rows of an instant query."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{base}/api/v1/query?{query}", timeout=20) as reply:
        found = json.load(reply)
    assert found["status"] == "success", expression
    rows: list[dict[str, Any]] = found["data"]["result"]
    return rows


def alerts(base: str) -> dict[str, dict[str, Any]]:
    """Alerts that are not quiet, by name; the rules must have been evaluated without a fault."""
    with urllib.request.urlopen(f"{base}/api/v1/rules", timeout=20) as reply:
        (group,) = json.load(reply)["data"]["groups"]
    assert len(group["rules"]) == len(list(expressions.of_rules()))
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    return {rule["name"]: rule for rule in group["rules"] if rule["state"] == "firing"}
