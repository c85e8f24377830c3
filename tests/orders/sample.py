"""Order files for tests."""

from __future__ import annotations

import os
from pathlib import Path

GOOD = """\
id = "{id}"
title = "An order"
status = "active"
sources = ["a source"]

[authority]
name = "A court"
kind = "court"
reference = "1/2024"

[dates]
effective = 2024-01-01
review = 2030-01-01

[targets]
domains = ["{name}"]

[disclosure]
text = "Blocked by an order."
"""


def good(ident: str, name: str = "example.org") -> str:
    return GOOD.format(id=ident, name=name)


def write(root: Path, place: str, ident: str, text: str | bytes | None = None) -> Path:
    """Write orders/<place>/<ident>.toml the way editors do, and return its path."""
    folder = root / place
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{ident}.toml"
    if text is None:
        text = good(ident)
    data = text.encode() if isinstance(text, str) else text
    part = folder / f".{ident}.part"
    part.write_bytes(data)
    part.replace(path)
    return path


def age(path: Path, seconds: int = 3600) -> None:
    """Make a file look as if it had last been written a while ago."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
