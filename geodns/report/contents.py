"""A report in words and tables, the same for a page, for Markdown and for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geodns.report.corrections import interruptions, lists, overblocking
from geodns.report.queries import blocked, shadowed
from geodns.report.sections import Section
from geodns.report.telling import carried_out, orders, summary, where

PARTS = (
    *(summary, orders, where, carried_out, overblocking, lists),
    *(blocked, shadowed, interruptions),
)


def sections(document: Mapping[str, Any]) -> list[Section]:
    """All of the report, in its order."""
    return [tell(document) for tell in PARTS]
