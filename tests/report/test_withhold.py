"""Small counts are withheld, and nothing that is published gives them away."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.ledger.entry import canonical
from geodns.report.page import page
from geodns.report.text import markdown
from geodns.report.window import Window
from geodns.report.withhold import publish
from tests.report.story import DAY, HOUR, OCTOBER, Story

Cell = tuple[str, str]
Hours = dict[Cell, Counter[float]]
FORTNIGHT = Window(OCTOBER, OCTOBER + 14 * DAY, OCTOBER + 90 * DAY)

hours = st.integers(0, 14 * 24 - 1).map(lambda at: OCTOBER + at * HOUR)
counts = st.dictionaries(hours, st.one_of(st.integers(1, 4), st.integers(1, 900)), max_size=6)
cells = st.tuples(st.sampled_from(["it-a", "it-b", "fr-c"]), st.sampled_from(["IT", "FR", "SM"]))
grids = st.dictionaries(cells, counts.map(Counter), max_size=9)


def naive(grid: Hours, threshold: int) -> dict[Cell, int | None]:
    sums: dict[Cell, int] = {}
    for cell, each in grid.items():
        for count in each.values():
            sums[cell] = sums.get(cell, 0) + count
    return {cell: count if count >= threshold else None for cell, count in sums.items()}


def shown(document: dict[str, Any]) -> dict[Cell, int | None]:
    return {
        (row["order"], cell["place"]): cell["count"]
        for row in document["orders"]
        for cell in row["places"]
    }


@given(grids, st.integers(1, 30))
@settings(deadline=None, max_examples=150)
def test_every_count_is_right_or_withheld_and_sums_lie_between_their_bounds(
    grid: Hours, threshold: int
) -> None:
    found = publish(grid, FORTNIGHT, threshold)
    expected = naive(grid, threshold)
    assert shown(found) == expected
    assert found["withheld"] == sum(count is None for count in expected.values())
    truth = {cell: sum(each.values()) for cell, each in grid.items()}
    rows = [
        (found, lambda cell: True),
        *((row, lambda cell, row=row: cell[0] == row["order"]) for row in found["orders"]),
        *((row, lambda cell, row=row: cell[1] == row["place"]) for row in found["places"]),
    ]
    for row, meant in rows:
        real = sum(count for cell, count in truth.items() if meant(cell))
        few = sum(1 for cell, count in expected.items() if count is None and meant(cell))
        assert row["low"] <= real <= row["high"]
        # As wide as what is withheld leaves it: no sum tells more than its parts.
        assert row["high"] - row["low"] == few * max(threshold - 2, 0)


@given(grids)
@settings(deadline=None, max_examples=150)
def test_the_course_over_time_is_of_what_is_shown_and_has_no_small_step(grid: Hours) -> None:
    found = publish(grid, FORTNIGHT, 10)
    course = found["over_time"]
    visible = [cell for cell, count in naive(grid, 10).items() if count is not None]
    total = sum(grid[cell].total() for cell in visible)
    assert sum(each["count"] for each in course["bins"]) == (total if course["step"] else 0)
    for each in course["bins"]:
        real = sum(
            count
            for cell in visible
            for hour, count in grid[cell].items()
            if each["from"] <= hour < each["until"]
        )
        assert each["count"] == real
        assert real == 0 or real >= 10


@given(grids, st.data())
@settings(deadline=None, max_examples=150)
def test_what_is_published_is_the_same_whatever_was_withheld(grid: Hours, data: Any) -> None:
    published = canonical(publish(grid, FORTNIGHT, 10))
    other = dict(grid)
    for cell, count in naive(grid, 10).items():
        if count is None:
            fresh = data.draw(st.integers(1, 9))
            at = [data.draw(hours) for _ in range(fresh)]
            other[cell] = Counter(at)
    assert canonical(publish(other, FORTNIGHT, 10)) == published


def test_who_knows_how_it_is_made_learns_nothing_either() -> None:
    """All small worlds there are, by what is published of them: no reader can tell them apart."""
    window = Window(OCTOBER, OCTOBER + 2 * DAY, OCTOBER + 9 * DAY)
    three: list[Cell] = [("it-a", "IT"), ("it-a", "SM"), ("it-b", "IT")]
    worlds: defaultdict[str, list[dict[Cell, int]]] = defaultdict(list)
    for numbers in product(range(4), repeat=6):
        grid = {
            cell: Counter({OCTOBER: numbers[2 * at], OCTOBER + DAY: numbers[2 * at + 1]})
            for at, cell in enumerate(three)
        }
        worlds[canonical(publish(grid, window, 3))].append(
            {cell: each.total() for cell, each in grid.items()}
        )
    assert len(worlds) > 50
    withheld = 0
    for alike in worlds.values():
        for cell in three:
            values = {world[cell] for world in alike}
            if values & {1, 2}:
                withheld += 1
                # Neither exactly, nor within less than the whole range.
                assert values == {1, 2}
    assert withheld > 20


FIRST, SECOND, THIRD = (
    (OCTOBER + day * DAY + HOUR, OCTOBER + (day + 1) * DAY - 1) for day in range(3)
)
Spans = dict[str, list[tuple[float, float | None]]]


@pytest.mark.parametrize(
    "spans",
    [
        {"it-a": [FIRST], "it-b": [(OCTOBER - DAY, SECOND[1])], "it-c": [(SECOND[0], None)]},
        {"it-a": [FIRST], "it-b": [SECOND], "it-c": [(FIRST[0], SECOND[1])], "it-d": [THIRD]},
        {"it-a": [FIRST, (FIRST[1], SECOND[1])], "it-b": [(SECOND[0], None)]},
    ],
)
def test_nor_can_a_day_of_an_order_be_told_from_when_orders_were_in_force(spans: Spans) -> None:
    """Orders that were in force on some days alone, beside others: what is left of the days."""
    window = Window(OCTOBER, OCTOBER + 3 * DAY, OCTOBER + 9 * DAY)
    # Where each of them can have counted: on which days.
    there = [
        (order, day)
        for order, some in spans.items()
        for day in range(3)
        for begin, end in some
        if begin < OCTOBER + (day + 1) * DAY and (end is None or end > OCTOBER + day * DAY)
    ]
    assert 4 <= len(there) <= 6
    worlds: defaultdict[str, list[tuple[int, ...]]] = defaultdict(list)
    for numbers in product(range(5 if len(there) < 6 else 4), repeat=len(there)):
        grid: defaultdict[Cell, Counter[float]] = defaultdict(Counter)
        for (order, day), number in zip(there, numbers, strict=True):
            grid[order, "IT"][OCTOBER + day * DAY] += number
        found = publish(grid, window, 3, spans)
        if found["withheld"] == 0:
            worlds[canonical(found)].append(numbers)
    by_day = [alike for published, alike in worlds.items() if '"step":"day"' in published]
    assert len(by_day) > 20
    for alike in by_day:
        for at, _ in enumerate(there):
            assert {world[at] for world in alike} not in ({1}, {2}, {1, 2})


def test_an_order_that_was_suspended_in_between_makes_the_course_go_by_longer_steps() -> None:
    """50, 15 and 55 by day, of it 20 of an order of the last two: it had 5 on the third."""
    window = Window(OCTOBER, OCTOBER + 3 * DAY, OCTOBER + 9 * DAY)
    spans: Spans = {"it-a": [(SECOND[0], None)], "it-d": [FIRST, THIRD]}
    grid = {
        ("it-a", "IT"): Counter({OCTOBER + DAY: 15, OCTOBER + 2 * DAY: 5}),
        ("it-d", "IT"): Counter({OCTOBER: 50, OCTOBER + 2 * DAY: 50}),
    }
    assert publish(grid, window, 10, spans)["over_time"]["step"] != "day"
    spans["it-d"] = [(FIRST[0], THIRD[1])]
    assert publish(grid, window, 10, spans)["over_time"]["step"] == "day"


@given(st.data())
@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nor_does_a_whole_report_or_its_page_differ(tmp_path: Path, data: Any) -> None:
    documents = []
    for _ in range(2):
        story = Story().add(OCTOBER - DAY, "started", version="1", node="ns1")
        for order in ("it-x", "it-y"):
            story.take_in(OCTOBER - DAY, order).enforce(OCTOBER - DAY + 1, order)
        for order, shadow in (("it-x", False), ("it-y", True)):
            for place in ("SM", "VA"):
                for _ in range(data.draw(st.integers(1, 9))):
                    hour = OCTOBER + HOUR * data.draw(st.integers(0, 400))
                    story.count(hour, order, shadow, **{place: 1})
        for day in range(31):
            story.count(OCTOBER + day * DAY, IT=11 + day, unknown=40)
        documents.append(story.report(tmp_path))
    one, other = documents
    assert one == other
    assert one["blocked"]["withheld"] == one["shadow"]["withheld"] == 2
    assert one["blocked"]["over_time"]["step"] == "day"
    assert page(one) == page(other)
    assert markdown(one) == markdown(other)
    assert "SM &lt; 10" in page(one)


def test_a_small_day_makes_the_course_go_by_weeks_and_a_small_week_by_months() -> None:
    def steps(*days: int) -> list[int] | None:
        grid = {("it-x", "IT"): Counter({OCTOBER + at * DAY: n for at, n in enumerate(days)})}
        course = publish(grid, FORTNIGHT, 10)["over_time"]
        return course["step"], [each["count"] for each in course["bins"] if each["count"]]

    assert steps(10, 0, 20) == ("day", [10, 20])
    assert steps(10, 9, 20) == ("week", [39])
    assert steps(10, 0, 0, 0, 0, 0, 0, 0, 9) == ("month", [19])


def test_a_threshold_of_one_withholds_nothing() -> None:
    grid = {("it-x", "IT"): Counter({OCTOBER: 1}), ("it-x", "SM"): Counter({OCTOBER: 2})}
    found = publish(grid, FORTNIGHT, 1)
    assert (found["low"], found["high"], found["withheld"]) == (3, 3, 0)
