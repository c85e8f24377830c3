"""The dashboard and the alerts ask for nothing that a running server does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.metrics import expressions
from tests.metrics.expressions import OF_PROMETHEUS, Selector
from tests.serve.observing import address_of, fetch, mixed_load, queries, write_watched
from tests.serve.running import Upstream, running

Labels = dict[str, set[str]]
KNOWN_PANELS = {"bargauge", "row", "stat", "table", "timeseries"}
BUILT_IN = {"__rate_interval"}
ALL = [
    *(pytest.param(expr, id=title) for title, expr in expressions.of_dashboard()),
    *(pytest.param(expr, id=name) for name, expr in expressions.of_rules()),
]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Labels]]:
    """The labels and their values of each metric of a server under a mixed load."""
    upstream = Upstream()
    try:
        settings = write_watched(tmp_path_factory.mktemp("watched"), upstream.port)
        with running(settings) as server:
            asked = mixed_load(server)
            server.until("all is counted", lambda status: queries(status) >= asked)
            _, text = fetch(address_of(server), "/metrics")
    finally:
        upstream.close()
    # The second is there only where something is counted that has no figure of its own.
    # And of block pages nobody has seen one.
    found: dict[str, Labels] = {
        "up": {},
        "geodns_events_total": {"event": set()},
        "geodns_block_pages_total": {"order": set()},
    }
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    yield found


@pytest.mark.process
@pytest.mark.parametrize("expression", ALL)
def test_it_asks_for_what_there_is(expression: str, metrics: dict[str, Labels]) -> None:
    asked = expressions.selectors(expression)
    assert asked
    labels = set(OF_PROMETHEUS)
    for metric, matchers in asked:
        assert metric in metrics
        labels |= metrics[metric].keys()
        for label, operator, value in matchers:
            if label in OF_PROMETHEUS:
                continue
            assert label in metrics[metric], metric
            if operator in ("=", "=~"):
                assert set(value.split("|")) <= metrics[metric][label], metric
    assert expressions.grouped_by(expression) <= labels


def test_expressions_are_read_as_they_are_meant() -> None:
    text = 'sum by (a, b) (rate(geodns_x_total{l="v",m=~"p|q"}[5m])) > on (c) up'
    assert expressions.selectors(text) == [
        Selector("geodns_x_total", (("l", "=", "v"), ("m", "=~", "p|q"))),
        Selector("up", ()),
    ]
    assert expressions.grouped_by(text) == {"a", "b", "c"}
    assert len(ALL) > 50


def test_the_dashboard_is_one_that_grafana_can_draw() -> None:
    found = expressions.dashboard()
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {each["name"] for each in found["templating"]["list"]} | BUILT_IN
    assert (
        set(re.findall(r"\$\{?(\w+)", expressions.DASHBOARD.read_text())) - {"__all"} <= variables
    )
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] in KNOWN_PANELS
        assert panel["title"]
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        targets = panel.get("targets", [])
        assert bool(targets) is (panel["type"] != "row")
        assert len({target["refId"] for target in targets}) == len(targets)


def test_every_alert_says_how_grave_it_is_and_what_is_wrong() -> None:
    alerts = re.split(r"\n +- alert: ", expressions.RULES.read_text())[1:]
    assert len(alerts) == len(list(expressions.of_rules()))
    for alert in alerts:
        assert re.search(r"labels: \{severity: (critical|warning|info)\}", alert)
        assert "summary: " in alert


def test_the_page_names_every_figure_that_there_is(
    metrics: dict[str, Labels],
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    named = {re.sub(r"\{.*", "", name) for name in re.findall(r"`([a-z_]+(?:\{[\w, ]+\})?)`", page)}
    ours = {name.removeprefix("geodns_") for name in metrics if name.startswith("geodns_")}
    assert not ours - named
