"""The time that a report is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY = 86400
MOST_DAYS, MOST_WEEKS = 92, 106
"""Bins of a chart at most, before it goes by weeks, and by months."""


@dataclass(frozen=True, slots=True)
class Window:
    """From ``since`` on, before ``until`` (epoch seconds); now: when the report is made."""

    since: float
    until: float
    now: float

    @property
    def end(self) -> float:
        """Where what can be known of it ends."""
        return max(self.since, min(self.until, self.now))

    def holds(self, at: float) -> bool:
        """Whether an instant is in it, known or yet to come."""
        return self.since <= at < self.until

    def meets(self, begin: float, end: float | None) -> bool:
        """Whether any of a time is in it, and not its end alone."""
        return begin < self.end and (end is None or end > max(self.since, begin))

    def bins(self, step: str) -> list[tuple[float, float]]:
        """Its days, weeks (from its first day on) or months in UTC, from and before when.

        The first and the last are as much of one as is in it.
        """
        first = datetime.fromtimestamp(self.since, UTC)
        start = first.replace(hour=0, minute=0, second=0, microsecond=0)
        start = start.replace(day=1) if step == "month" else start
        found = []
        while start.timestamp() < self.end:
            if step == "month":
                after = (start + timedelta(32)).replace(day=1)
            else:
                after = start + timedelta(7 if step == "week" else 1)
            found.append((max(start.timestamp(), self.since), min(after.timestamp(), self.until)))
            start = after
        return found

    def steps(self) -> tuple[str, ...]:
        """The bins that suit its length, the finest first."""
        days = (self.end - self.since) / DAY
        steps = ("day", "week", "month")
        return steps[(days > MOST_DAYS) + (days > 7 * MOST_WEEKS) :]
