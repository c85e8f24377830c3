"""What the dashboard and the alerts ask for: their expressions, and what these name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parents[2] / "docs"
DASHBOARD = DOCS / "grafana" / "geodns.json"
RULES = DOCS / "prometheus" / "geodns.rules.yml"
OF_PROMETHEUS = {"instance", "job"}
"""Labels that the scraper adds."""

_METRIC = re.compile(r"\b((?:geodns|process)_\w+|up)\b(?!\s*\()(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!=|!~|=)"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


class Selector(NamedTuple):
    """One metric as an expression names it. matchers: label, operator, value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def of_dashboard() -> Iterator[tuple[str, str]]:
    """Title and expression of each query."""
    found = dashboard()
    for panel in found["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in found["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def of_rules() -> Iterator[tuple[str, str]]:
    """Name and expression of each alert; each stands on one line."""
    alert = ""
    for line in RULES.read_text().splitlines():
        key, _, value = line.strip().removeprefix("- ").partition(": ")
        if key == "alert":
            alert = value
        elif key == "expr":
            yield alert, value


def filled(expression: str) -> str:
    """An expression of the dashboard as Grafana sends it, for all servers."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*")


def selectors(expression: str) -> list[Selector]:
    return [
        Selector(metric, tuple(_MATCHER.findall(inside)))
        for metric, inside in _METRIC.findall(expression)
    ]


def grouped_by(expression: str) -> set[str]:
    """Labels by which an expression groups or joins."""
    inside = ",".join(_GROUPING.findall(expression))
    return {label.strip() for label in inside.split(",") if label.strip()}
