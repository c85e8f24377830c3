"""Uses of the emergency list (never_block), from the workers' counters into the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping

EVERY = 60.0
"""Seconds at least between two lines about one name and order."""
_PREFIX = "never_block/"

log = logging.getLogger("geodns.never_block")


class Spared:
    """Says how often a name was kept resolvable, at most once a minute for each order."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, float]] = {}

    def look(self, counters: Mapping[str, int], now: float, *, last: bool = False) -> None:
        """Log what has grown. now: monotonic seconds. last: whatever was said a moment ago."""
        for key, count in counters.items():
            if not key.startswith(_PREFIX):
                continue
            before, when = self._said.get(key, (0, now - EVERY))
            if count <= before or (now - when < EVERY and not last):
                continue
            self._said[key] = count, now
            # An order's id holds no slash, a name may.
            target, _, order = key.removeprefix(_PREFIX).rpartition("/")
            uses = count - before
            log.warning(
                "never_block kept %s resolvable %d time%s; order %s would have blocked it",
                target,
                uses,
                "s" * (uses != 1),
                order,
                extra={"target": target, "order": order, "uses": uses},
            )
