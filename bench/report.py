"""The results as Markdown tables, on the terminal and in docs/benchmarks.md."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

from bench import targets

Row = dict[str, Any]


def middle(row: Row, kind: str, key: str = "us") -> float | None:
    """The median of a figure over the rounds of a kind of load."""
    values = [figures[key] for figures in row[kind]]
    return median(values) if values else None


def change_text(row: Row) -> str:
    """How long a new name took, and what it cost the queries meanwhile."""
    if not row["changes"]:
        return row["changed"] or "-"
    seconds = median(change["seconds"] for change in row["changes"])
    lost = sum(change["lost"] for change in row["changes"])
    worst = max(change["worst_ms"] for change in row["changes"])
    return f"{duration(seconds)} ({lost} lost, worst {worst:,.0f} ms)"


def duration(seconds: float) -> str:
    """A time as people read it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def summary(result: Row) -> str:
    """What was measured, on what."""
    cores = "servers on one core, loads and upstream on the other" if result["pinned"] else ""
    return (
        f"{result['date']}, {result['mode']} mode: {result['names']:,} names in "
        f"{result['places']} countries, medians of {result['rounds']} rounds of "
        f"{result['seconds']:g} s (warm) and {result['cold']:,} names (miss). {result['machine']}; "
        f"{cores}; upstream {result['upstream']}. Load average before the run: "
        f"{result['load_before']:.1f}.{' ' if result['note'] else ''}{result['note']}"
    )


def servers(result: Row) -> str:
    """The table of servers."""
    lines = [
        "| server | warm us/query | warm, many addresses | miss us/query | warm q/s | p50 us "
        "| p99 us | RSS MiB | PSS MiB | ready s | one new name in force after |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["servers"]:
        if row["skipped"]:
            lines.append(f"| {row['name']} | skipped: {_cell(row['skipped'])} |" + " |" * 9)
            continue
        ready = f"{row['ready']:.1f}"
        if row["leak"] > 0.05:
            ready += f", blocked names resolved for {row['leak']:.1f} of it"
        lines.append(
            f"| {row['name']} | {_number(middle(row, 'warm'))} | {_number(middle(row, 'many'))} "
            f"| {_number(middle(row, 'miss'), 1)} | {_number(middle(row, 'warm', 'qps'), 0)} "
            f"| {_number(median(row['p50']), 0)} | {_number(median(row['p99']), 0)} "
            f"| {row['rss']:,.0f} | {row['pss']:,.0f} | {ready} | {_cell(change_text(row))} |"
        )
    lost = [
        f"{row['name']} {count}"
        for row in result["servers"]
        if (count := sum(each["lost"] for kind in ("warm", "many", "miss") for each in row[kind]))
    ]
    lines += ["", f"Queries lost under load: {', '.join(lost) or 'none'}."]
    return "\n".join(lines)


def setups(result: Row) -> str:
    """How each server blocks."""
    lines = ["| server | how it blocks by country |", "|---|---|"]
    lines += [f"| {row['name']} | {row['how']} |" for row in result["servers"]]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:160]


def blocks(result: Row) -> dict[str, str]:
    """The generated parts of docs/benchmarks.md by name."""
    return {
        "summary": summary(result),
        "setups": setups(result),
        "servers": servers(result),
        "targets": targets.table(result),
    }


def text(result: Row) -> str:
    """What goes to the terminal."""
    found = blocks(result)
    return "\n\n".join(found[name] for name in ("summary", "servers", "targets"))


def write(path: Path, result: Row) -> None:
    """Put the generated parts between their markers."""
    content = path.read_text()
    for name, block in blocks(result).items():
        begin, end = f"<!-- bench: {name} -->", "<!-- end -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        new = f"{begin}\n\n{block}\n\n{end}".replace("\\", "\\\\")
        content, count = re.subn(pattern, new, content, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{path}: {begin} is there {count} times")
    path.write_text(content)
