"""A bar chart as SVG: CPU time a query of each server, warm and miss."""

from __future__ import annotations

from html import escape
from pathlib import Path
from statistics import median
from typing import Any

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 860, 220, 90, 16, 8, 40

_STYLE = """
  svg { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; }
  text { font-size: 13px; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #57606a; font-size: 12px; }
  .ours { font-weight: 600; }
  .value { font-variant-numeric: tabular-nums; }
  .bar { fill: #8c959f; }
  .bar.geodns { fill: #0969da; }
  .bar.floor { fill: #d0d7de; }
  .line { stroke: #d0d7de; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #8d96a0; }
    .bar { fill: #6e7681; }
    .bar.geodns { fill: #58a6ff; }
    .bar.floor { fill: #3d444d; }
    .line { stroke: #3d444d; }
  }
"""


def plot(path: Path, result: dict[str, Any]) -> None:
    """Write the chart. Bars start at zero, and both panels sort by what they show."""
    panels = []
    top = 40
    title = f"{result['names']:,} blocked names in {result['places']} countries, one thread"
    for kind, words in (
        ("warm", "Answered from cache or blocked"),
        ("miss", "Not in the cache: asked of the upstream"),
    ):
        rows = _sorted(result, kind)
        if rows:
            panel, height = _panel(rows, f"{words}, CPU microseconds a query", top)
            panels.append(panel)
            top += height
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        f'width="{WIDTH}" height="{top}" role="img" aria-label="CPU time a query">\n'
        f"<style>{_STYLE}</style>\n"
        f'<text class="title" x="0" y="18">CPU time a query: {escape(title)}</text>\n'
        f'<text class="quiet" x="0" y="38">Less is better. {escape(result["date"])}, '
        f"{escape(result['machine'].split(',')[0])}, medians of {result['rounds']} rounds. "
        "Pale: no real server, makes its answers up</text>\n" + "".join(panels) + "</svg>\n"
    )


def _sorted(result: dict[str, Any], kind: str) -> list[tuple[float, str]]:
    return sorted(
        (median(each["us"] for each in row[kind]), row["name"])
        for row in result["servers"]
        if row[kind] and not row["skipped"]
    )


def _panel(rows: list[tuple[float, str]], title: str, top: int) -> tuple[str, int]:
    """One panel and its height."""
    scale = (WIDTH - LEFT - RIGHT) / max(us for us, _ in rows)
    at = top + TOP
    parts = [f'<text class="quiet" x="0" y="{at - 12}">{escape(title)}</text>\n']
    begin = at - 4
    for us, name in rows:
        ours = name.startswith("geodns")
        floor = name.startswith(("C echo", "plain Python"))
        kind = " geodns" if ours else " floor" if floor else ""
        width = max(1.0, us * scale)
        middle = at + BAR * 0.78
        text = "ours" if ours else ""
        digits = 2 if us < 20 else 1
        parts.append(
            f'<text class="{text}" x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end">'
            f"{escape(name)}</text>"
            f'<rect class="bar{kind}" x="{LEFT}" y="{at}" width="{width:.1f}" height="{BAR}" '
            f'rx="2"/><text class="value {text}" x="{LEFT + width + 8:.1f}" y="{middle:.1f}">'
            f"{us:.{digits}f}</text>\n"
        )
        at += BAR + GAP
    parts.append(f'<line class="line" x1="{LEFT}" x2="{LEFT}" y1="{begin}" y2="{at - GAP + 4}"/>\n')
    return "".join(parts), at - top
