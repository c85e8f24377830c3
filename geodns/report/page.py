"""A report as one HTML page: no scripts, nothing loaded from elsewhere; for screens and paper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from geodns.report import chart
from geodns.report.contents import sections
from geodns.report.map import world
from geodns.report.queries import when
from geodns.report.sections import Section, Table, figures, period, preface, title
from geodns.report.telling import distribution

_WHEN = re.compile(r"\b\d{4}-\d{2}-\d{2}( \d{2}:\d{2})?")
LONG = 12
"""Rows of a table below a chart that are shown at once; more are folded away on a screen."""
SHORT = 20
"""Letters of a line that is not broken."""
WIDE = 5
"""Columns from which a table takes all the width."""


def page(document: Mapping[str, Any]) -> str:
    """The whole report. What order files say stays text."""
    told = sections(document)
    head = preface(document)
    body = [f"<h1>{_cell(title(document))}</h1>"]
    if not document["ledger"]["whole"]:
        body.append(f'<p class="broken" role="alert">{_text(head.pop(0))}</p>')
    body += [f'<p class="small">{_text(line)}</p>' for line in head]
    tiles = "".join(
        f"<div><dt>{_text(what)}</dt><dd>{_text(count)}</dd></div>"
        for what, count in figures(document)
    )
    links = "".join(f'<li><a href="#{one.key}">{_text(one.title)}</a></li>' for one in told)
    body.append(f'<dl class="figures">{tiles}</dl>')
    body.append(f'<nav aria-label="Contents"><ul>{links}</ul></nav>')
    body += [_section(document, one) for one in told]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">"
        f"<title>{_text(title(document))}</title>\n<style>\n{_style()}</style></head>\n"
        "<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


@cache
def _style() -> str:
    return files("geodns.report").joinpath("page.css").read_text("utf-8")


def _section(document: Mapping[str, Any], section: Section) -> str:
    kind = {"orders": "all", "where": "map"}.get(section.key, "")
    lines = "".join(f"<p>{_text(line)}</p>" for line in section.lines)
    drawn = "".join(_figures(document, section.key))
    # What a chart shows is there in figures, but need not fill the screen.
    tables = "".join(
        _folded(table) if drawn and at == 0 and len(table.rows) > LONG else _table(table)
        for at, table in enumerate(section.tables)
    )
    return (
        f'<section id="{section.key}" class="{kind}" aria-labelledby="h-{section.key}">'
        f'<h2 id="h-{section.key}">{_text(section.title)}</h2>{lines}{drawn}'
        f'<div class="tables">{tables}</div></section>'
    )


def _folded(table: Table) -> str:
    return f"<details><summary>{_text(table.caption)}: figures</summary>{_table(table)}</details>"


def _table(table: Table) -> str:
    wide = len(table.columns) >= WIDE
    kinds = ["number" if at in table.numeric else "" for at in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{_role(wide, "columnheader")} class="{kind}">{_text(name)}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    rows = []
    for row in table.rows:
        cells = "".join(
            f'<td{_role(wide, "cell")} class="{kind}" data-name="{_text(name)}">{_cell(cell)}</td>'
            for cell, kind, name in zip(row[1:], kinds[1:], table.columns[1:], strict=True)
        )
        first = f'<th scope="row"{_role(wide, "rowheader")}>{_cell(row[0])}</th>'
        rows.append(f"<tr{_role(wide, 'row')}>{first}{cells}</tr>")
    caption = _text(table.caption)
    # One that is wider than the screen is moved by keys, too.
    return (
        f'<div class="scroll{" wide" * wide}" role="region" tabindex="0" aria-label="{caption}">'
        f"<table{_role(wide, 'table')}><caption>{caption}</caption>"
        f"<thead{_role(wide, 'rowgroup')}><tr{_role(wide, 'row')}>{head}</tr></thead>"
        f"<tbody{_role(wide, 'rowgroup')}>{''.join(rows)}</tbody></table></div>"
    )


def _role(wide: bool, role: str) -> str:
    """What an element of a table is, said once more: on a phone wide ones are drawn as blocks."""
    return f' role="{role}"' if wide else ""


def _cell(text: str) -> str:
    """A cell and its lines; dates and what is short are not broken."""
    return "<br>".join(map(_line, text.split("\n")))


def _line(text: str) -> str:
    if len(text) <= SHORT:
        return f'<span class="keep">{_text(text)}</span>'
    whole = _WHEN.sub(r'<span class="keep">\g<0></span>', _text(text))
    return f"<span>{whole}</span>"


def _text(text: str) -> str:
    return escape(text)


def _figures(document: Mapping[str, Any], key: str) -> list[str]:
    """The drawings of a section."""
    if key == "summary" and any(step["orders"] for step in document["over_time"]):
        return [_figure("Orders in force over time", _over_time(document))]
    if key == "where" and (
        document["where"]["places"] or document["where"]["everywhere"]["orders"]
    ):
        return [_figure("Map of targets in force by country", _map(document), "map")]
    if key == "carried_out" and document["carried_out"]["editions"]:
        drawn = chart.distribution(distribution(document), "Editions by time to force")
        return [_figure("Editions by time to force", drawn)]
    course = document["blocked"]["over_time"]
    if key == "blocked" and document["blocked"]["low"] and course["bins"]:
        bins = [(when(each, course["step"]), each["count"]) for each in course["bins"]]
        name = f"Blocked queries by {course['step']}"
        return [_figure(name, chart.bars(bins, name))]
    return []


def _figure(caption: str, drawing: str, kind: str = "") -> str:
    """A drawing with its caption; the map has its own in it."""
    return (
        f'<figure class="{kind}">{"" if kind else f"<figcaption>{_text(caption)}</figcaption>"}'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{_text(caption)}">'
        f"{drawing}</div></figure>"
    )


def _over_time(document: Mapping[str, Any]) -> str:
    since, until = _at(document["period"]["from"]), _at(document["period"]["until"])
    until = min(until, max(_at(document["made"]), since))
    points = [(_at(step["at"]), step["orders"]) for step in document["over_time"]]
    away = [
        (_at(each["from"]), until if each["until"] is None else _at(each["until"]))
        for each in document["interruptions"]
    ]
    words = ", ".join(
        f"{step['at'][:16].replace('T', ' ')}: {step['orders']}" for step in document["over_time"]
    )
    return chart.steps(
        points, since, until, _ticks(since, until), away, "Orders in force over time", words
    )


def _ticks(since: float, until: float) -> list[tuple[float, str]]:
    """Some instants to be labelled: midnights, if there are enough of them."""
    places = 6
    day = 86400
    apart = max((until - since) / places, 1)
    if apart >= day:
        apart = apart // day * day
    shown = 10 if apart >= day else 16
    found = []
    at = since + apart / 2 // day * day if apart >= day else since + apart / 2
    while at < until - apart / 4:
        text = datetime.fromtimestamp(at, UTC).isoformat(sep=" ")[:shown]
        found.append((at, text))
        at += apart
    return found


def _map(document: Mapping[str, Any]) -> str:
    where = document["where"]
    atlas, everywhere = where["map"], where["everywhere"]["orders"]
    notes = []
    if everywhere:
        notes.append("Orders that have force everywhere are counted in every country.")
    counts = {**atlas["counts"], **dict.fromkeys(atlas["partly"], 0)}
    return world(
        counts,
        f"Targets in force at the end of {period(document).rpartition(' to ')[2]}",
        unit="target" if max(counts.values(), default=0) == 1 else "targets",
        partly=atlas["partly"],
        notes=notes,
        nothing="none",
        listed=not everywhere,
    )


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
