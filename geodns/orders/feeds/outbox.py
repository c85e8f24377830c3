"""What an authority's API is to be told of each item, and what it was told last.

Nothing is queued: what was told is compared, again and again, with what is so. So whatever is
broken off is done later; at the worst something is told twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from geodns.orders.feeds.fetch import AnswerFault, Fetching
from geodns.orders.feeds.kept import KeptFeed
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.shield_api import PROCESSED, opened
from geodns.orders.feeds.table import Feed

WINDOW = 48 * 3600.0
"""Seconds after its ticket for which an item is told of."""
MOST_BROKEN = 3
"""Errors of the API in a row after which it is left alone until later."""
STEP = 50
"""Reports after which it is noted what was told."""
_NOT_THE_ITEM = frozenset((401, 403, 405, 408, 425, 429))


@dataclass(slots=True)
class Item:
    """A name or address that the authority has listed.

    since: when it was first seen here; listed: when its last ticket was opened, None where it has
    none; epoch seconds. rejected: why it is no target. told: PROCESSED, or the reason why it is
    not; None where nothing was told of it yet. refused: what the API answered where it would not
    hear that; after ``WINDOW`` it counts as told.
    """

    since: float
    listed: float | None = None
    rejected: str | None = None
    told: str | None = None
    refused: str | None = None

    def is_old(self, now: float) -> bool:
        """Whether nobody waits for a report any more."""
        return now - (self.since if self.listed is None else self.listed) > WINDOW


@dataclass(slots=True)
class Outbox:
    """The items of a feed. failures: tries in a row that failed; tried: the last, epoch seconds."""

    items: dict[str, Item] = field(default_factory=dict)
    failures: int = 0
    tried: float | None = None
    fault: str | None = None

    @property
    def waiting(self) -> int:
        """Of how many items nothing was told yet."""
        return sum(item.told is None for item in self.items.values())


@dataclass(frozen=True, slots=True)
class Reported:
    """What came of a try. given_up: items of which the API would not hear until it was late.

    slowest: seconds from the ticket to the report, of the item in force that took longest.
    """

    told: int
    waiting: int
    given_up: int
    fault: str | None
    slowest: float | None = None


def read_outbox(kept: KeptFeed) -> Outbox | None:
    """What is kept; None where nothing is, or it is damaged."""
    found = kept.outbox()
    try:
        if found is None or found.keys() != {each.name for each in fields(Outbox)}:
            return None
        items = {str(value): Item(**facts) for value, facts in found["items"].items()}
        return Outbox(**{**found, "items": items})
    except (AttributeError, TypeError):
        return None


def keep_outbox(kept: KeptFeed, outbox: Outbox) -> None:
    """Keep it. Raises OSError."""
    document: dict[str, Any] = asdict(outbox)
    kept.put_outbox(document)


def merged(
    before: Outbox | None,
    listed: Mapping[str, float | None],
    rejected: Mapping[str, str],
    now: float,
) -> Outbox:
    """The outbox for what is listed now.

    listed: each item and when its last ticket was opened. rejected: those that are no targets,
    and why. What is listed no more is forgotten; what was listed long ago is not told of.
    """
    former = before or Outbox()
    items: dict[str, Item] = {}
    for value, opened_at in listed.items():
        item = former.items.get(value)
        if item is None:
            item = Item(now, opened_at)
            if opened_at is not None and item.is_old(now):
                continue
        elif opened_at is not None:
            if item.listed is not None and opened_at > item.listed:
                # Another ticket wants an answer of its own.
                item.told = None
            item.listed = opened_at
        if item.listed is not None and item.told == PROCESSED and item.is_old(now):
            continue
        item.rejected = rejected.get(value)
        items[value] = item
    if not any(item.told is None or item.refused for item in items.values()):
        # What could not be told is listed no more.
        return Outbox(items)
    return Outbox(items, former.failures, former.tried, former.fault)


def report(
    kept: KeptFeed, feed: Feed, wanted: Mapping[str, str], fetching: Fetching, now: float
) -> Reported:
    """Tell the API of items: PROCESSED, or why not. Never raises for what the API does.

    Raises OSError where it cannot be kept what was told.
    """
    outbox = read_outbox(kept) or Outbox()
    todo = [
        (value, what, item)
        for value, what in wanted.items()
        if (item := outbox.items.get(value)) is not None and item.told != what
    ]
    told = given_up = 0
    refusals: list[str] = []
    waits: list[float] = []
    fault: str | None = None
    outbox.tried = now
    broken_in_a_row = 0
    try:
        with opened(feed, fetching) as platform:
            for count, (value, what, item) in enumerate(todo, 1):
                try:
                    platform.tell(value, what if what == PROCESSED else feed.reason or what)
                except AnswerFault as answer:
                    broken_in_a_row += answer.status >= 500
                    if answer.status in _NOT_THE_ITEM or broken_in_a_row >= MOST_BROKEN:
                        raise
                    item.refused = str(answer)
                    if item.is_old(now):
                        item.told, given_up = what, given_up + 1
                    else:
                        refusals.append(f"{value}: {answer}")
                else:
                    item.told, item.refused, told = what, None, told + 1
                    broken_in_a_row = 0
                    if what == PROCESSED and item.listed is not None:
                        waits.append(round(time.time() - item.listed, 1))
                if count % STEP == 0:
                    keep_outbox(kept, outbox)
    except FeedFault as broken:
        fault = str(broken)
    if fault is None and refusals:
        fault = f"{len(refusals)} reports are refused, the first about {refusals[0]}"
    outbox.fault = fault
    outbox.failures = outbox.failures + 1 if fault is not None else 0
    keep_outbox(kept, outbox)
    return Reported(told, outbox.waiting, given_up, fault, max(waits, default=None))
