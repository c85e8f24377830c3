"""Publishing counts without giving small ones away.

A count is a cell: of one order in one place. A cell below the threshold is withheld, and nothing
that is published depends on how large it is: sums say between which two values they lie, reckoned
from what is published, and the course over time leaves withheld cells out. It goes by steps so
long that none of them is small, nor what is left of one when the orders are taken away that were
in force then alone. docs/report.md says why this is enough.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geodns.report.window import Window

THRESHOLD = 10
"""The smallest count that is published, unless the operator says another."""

Hours = Mapping[tuple[str, str], Counter[float]]
"""Counts by hour (its start, epoch seconds), of cells: an order in a place."""
Spans = Mapping[str, Sequence[tuple[float, float | None]]]
"""From when until when an order can have counted, in the order of time; all the time where it is
not told."""
_NONE: Spans = {}


def publish(
    counts: Hours, window: Window, threshold: int = THRESHOLD, spans: Spans = _NONE
) -> dict[str, Any]:
    """What may be published of counts, JSON-ready.

    counts: of hours in the window alone. spans: what is published of when orders were in force.
    Cells have ``count``, null where it is withheld: from 1 to below the threshold. Sums have
    ``low`` and ``high``, both included.
    """
    cells = {cell: each.total() for cell, each in sorted(counts.items()) if each.total() > 0}
    shown = {cell: count if count >= threshold else None for cell, count in cells.items()}
    orders = sorted({order for order, _ in shown})
    places = sorted({place for _, place in shown})
    return {
        "threshold": threshold,
        **_bounds(shown.values(), threshold),
        "withheld": sum(count is None for count in shown.values()),
        "orders": [
            {
                "order": order,
                **_bounds((n for (one, _), n in shown.items() if one == order), threshold),
                "places": [
                    {"place": place, "count": count}
                    for (one, place), count in shown.items()
                    if one == order
                ],
            }
            for order in orders
        ],
        "places": [
            {
                "place": place,
                **_bounds((n for (_, one), n in shown.items() if one == place), threshold),
            }
            for place in places
        ],
        "over_time": _over_time(_by_order(counts, shown), window, threshold, spans),
    }


def _bounds(cells: Iterable[int | None], threshold: int) -> dict[str, int]:
    """The least and the most that cells can sum up to, for who knows the published ones."""
    low = high = 0
    for count in cells:
        low += 1 if count is None else count
        high += threshold - 1 if count is None else count
    return {"low": low, "high": high}


def _by_order(
    counts: Hours, shown: Mapping[tuple[str, str], int | None]
) -> dict[str, Counter[float]]:
    """The hours of published cells."""
    orders: defaultdict[str, Counter[float]] = defaultdict(Counter)
    for cell, count in shown.items():
        if count is not None:
            orders[cell[0]].update(counts[cell])
    return orders


def _over_time(
    orders: Mapping[str, Counter[float]], window: Window, threshold: int, spans: Spans
) -> dict[str, Any]:
    """Sums of published cells, in the finest steps that give no small count away.

    A step that were withheld could be told from the others and the sum of them all.
    """
    hours: Counter[float] = Counter()
    for each in orders.values():
        hours.update(each)
    for step in window.steps():
        bins = window.bins(step)
        starts = [start for start, _ in bins]
        sums = [0] * len(bins)
        for hour, count in hours.items():
            sums[bisect_right(starts, hour) - 1] += count
        reach = [(_reach(spans.get(order), starts), each.total()) for order, each in orders.items()]
        if _safe(sums, reach, threshold):
            told = [
                {"from": start, "until": end, "count": count}
                for (start, end), count in zip(bins, sums, strict=True)
            ]
            return {"step": step, "bins": told}
    return {"step": None, "bins": []}


def _reach(
    spans: Sequence[tuple[float, float | None]] | None, starts: Sequence[float]
) -> list[int]:
    """The bins in which an order can have counted."""
    if spans is None:
        return [*range(len(starts))]
    found: set[int] = set()
    for begin, end in spans:
        last = len(starts) if end is None else bisect_left(starts, end)
        found.update(range(max(bisect_right(starts, begin) - 1, 0), max(last, 1)))
    return sorted(found)


def _safe(sums: Sequence[int], reach: Iterable[tuple[Sequence[int], int]], threshold: int) -> bool:
    """Whether no bin is small, nor what is left of a run of bins without the orders that were in
    force in these bins alone.

    What such orders counted is all in the bins: who takes it away has what the others counted
    there, and by that also what orders that reach into the bins counted elsewhere. An order that
    was out of force in between would give more sets of bins away than runs: no step is safe that
    shows it.
    """
    ending: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for bins, count in reach:
        if not bins:
            return False
        first, last = bins[0], bins[-1]
        if last - first + 1 != len(bins):
            return False
        ending[last][first] += count
    for first in range(len(sums)):
        here = within = 0
        for last in range(first, len(sums)):
            here += sums[last]
            within += sum(count for begin, count in ending[last].items() if begin >= first)
            if 0 < sums[last] < threshold or 0 < here - within < threshold:
                return False
    return True
