"""Writes what was measured into a page of docs/, between markers."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def write(name: str, text: str, path: Path = PAGE) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``."""
    page = path.read_text()
    first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.partition(first)
    _, ended, after = rest.partition(last)
    if not found or not ended:
        raise ValueError(f"{path.name} has no place for {name!r}")
    path.write_text(f"{before}{first}\n{text.strip()}\n\n{last}{after}")
