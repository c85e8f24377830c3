"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from geodns.report.contents import sections
from geodns.report.sections import Table, figures, preface, title

_SPECIAL = re.compile(r"([\\`*_\[\]|~$#])")
_LINK = re.compile(r":(?=//)|(?<=www)\.|(?<=mailto):", re.IGNORECASE)


def markdown(document: Mapping[str, Any]) -> str:
    """The whole report. What order files say stays text: no link, no markup, no table cell."""
    lines = [f"# {escape(title(document))}", ""]
    for at, line in enumerate(preface(document)):
        loud = at == 0 and not document["ledger"]["whole"]
        lines += [f"**{escape(line)}**" if loud else escape(line), ""]
    lines += [f"- {escape(what)}: **{escape(count)}**" for what, count in figures(document)]
    for section in sections(document):
        lines += ["", f"## {escape(section.title)}"]
        for line in section.lines:
            lines += ["", escape(line)]
        for table in section.tables:
            lines += ["", f"### {escape(table.caption)}", "", *_table(table)]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that Markdown takes for nothing else, on one line and within one cell of a table."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _LINK.sub(lambda found: "\\" + found[0], _SPECIAL.sub(r"\\\1", text))
    return "; ".join(line.strip() for line in text.splitlines())


def _table(table: Table) -> list[str]:
    rule = ["---:" if at in table.numeric else "---" for at in range(len(table.columns))]
    rows = [[escape(cell) for cell in row] for row in (table.columns, *table.rows)]
    return [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
