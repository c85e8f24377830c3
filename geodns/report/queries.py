"""What a report says of queries: those that were blocked, and those that would have been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from geodns.report.sections import Section, Table, bounds, number, place_name, table

Document = Mapping[str, Any]


def blocked(document: Document) -> Section:
    """Queries that were blocked."""
    found = document["blocked"]
    lines = [
        *_counts(found, "blocked"),
        "The server's own questions, by which it verifies orders, are among them.",
    ]
    bins, step = found["over_time"]["bins"], found["over_time"]["step"]
    if found["low"] and step is None:
        lines.append("How they came over time is not shown: it would give small counts away.")
    elif bins and found["withheld"]:
        lines.append("The course over time is of the counts that are shown one by one.")
    rows = [(when(each, step), number(each["count"])) for each in bins if found["low"]]
    name = {"day": "Day", "week": "Week from", "month": "Month"}.get(step, "")
    return Section(
        "blocked",
        "Blocked queries",
        tuple(lines),
        (
            *table(f"Blocked queries by {step}", (name, "Queries"), rows, (1,)),
            *_tables(found, "Blocked queries"),
        ),
    )


def when(each: Mapping[str, Any], step: str) -> str:
    """What a step of time is called."""
    return str(each["from"][: 7 if step == "month" else 10])


def shadowed(document: Document) -> Section:
    """Queries that orders in shadow would have blocked."""
    found = document["shadow"]
    return Section(
        "shadow",
        "Orders in shadow: not blocked, only counted",
        tuple(_counts(found, "that orders in shadow would have blocked")),
        tuple(_tables(found, "Queries that would have been blocked")),
    )


def _counts(found: Mapping[str, Any], what: str) -> list[str]:
    limit = found["threshold"]
    if not found["high"]:
        return [f"No queries {what}."]
    lines = [f"Queries {what}: {bounds(found, limit)}."]
    if found["withheld"]:
        lines.append(
            f"Counts below {limit} of an order in a place are withheld, so that nobody can be"
            f" found by them; a sum that has such a part ({found['withheld']} are withheld) is"
            " told as the two values it lies between."
        )
    return lines


def _tables(found: Mapping[str, Any], what: str) -> Iterator[Table]:
    limit = found["threshold"]
    # By what is published of them, so that their order tells nothing more.
    ranked = {
        key: sorted(found[f"{key}s"], key=lambda row: (-row["low"], -row["high"], row[key]))
        for key in ("place", "order")
    }
    places = [(place_name(row["place"]), bounds(row, limit)) for row in ranked["place"]]
    yield from table(f"{what} by place", ("Place", "Queries"), places, (1,))
    orders = [
        (
            row["order"],
            bounds(row, limit),
            ", ".join(f"{cell['place']} {_cell(cell['count'], limit)}" for cell in row["places"]),
        )
        for row in ranked["order"]
    ]
    yield from table(f"{what} by order", ("Order", "Queries", "By place"), orders, (1,))


def _cell(count: int | None, limit: int) -> str:
    return f"< {limit}" if count is None else number(count)
