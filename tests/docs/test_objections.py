"""Every figure of the answers to objections stands on the page that it is said to be from."""

from __future__ import annotations

import re

import pytest

from tests.transcripts import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "objections.md").read_text("utf-8")
ROW = re.compile(
    r"^\| [^|\n]+ \| ([^|\n]+) \| \[([\w.-]+\.md)\]\(\2\) \| [^|\n]+ \|$", re.MULTILINE
)
FIGURES = ROW.findall(PAGE)
MEASURED = re.compile(r"\d[\d.,]*\d? (?:ms|us|µs|ns|MiB|s)\b")
"""A time or an amount of memory, as pages write them."""


def flat(text: str) -> str:
    return " ".join(text.replace("|", " ").split())


@pytest.mark.parametrize(("figure", "page"), FIGURES)
def test_a_figure_stands_on_the_page_it_cites(figure: str, page: str) -> None:
    assert flat(figure) in flat((DOCS / page).read_text("utf-8"))


def test_there_are_figures_for_each_objection_that_is_about_figures() -> None:
    for number in (1, 2, 3, 4):
        part = PAGE.partition(f"\n## {number}. ")[2].partition("\n## ")[0]
        assert len(ROW.findall(part)) >= 4, number


def test_figures_in_the_prose_are_measured_too() -> None:
    pages = {name: flat((DOCS / name).read_text("utf-8")) for _, name in FIGURES}
    prose = [line for line in PAGE.splitlines() if not line.startswith("|")]
    for line in prose:
        for figure in MEASURED.findall(line):
            assert any(figure in page for page in pages.values()), f"{figure}: {line}"


def test_throughput_is_that_of_the_table() -> None:
    ours, theirs = re.findall(r"\((\d\d,\d+) against (\d\d,\d+) of Unbound with views\)", PAGE)[0]
    table = (DOCS / "benchmarks.md").read_text("utf-8")
    assert re.search(rf"^\| geodns \|.*\| {ours} \|", table, re.MULTILINE)
    assert re.search(rf"^\| Unbound, views \|.*\| {theirs} \|", table, re.MULTILINE)


def test_what_is_said_to_be_met_or_missed_is_so() -> None:
    table = flat((DOCS / "benchmarks.md").read_text("utf-8").partition("## Targets")[2])
    told = re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \| [^|\n]*\*\*(met|missed)\*\*", PAGE, re.M)
    assert len(told) > 8
    for figure, outcome in told:
        after = table.partition(flat(figure))[2]
        assert re.findall(r"\b(met|missed)\b", after)[0] == outcome, figure


def test_the_tests_it_names_are_there() -> None:
    for name in re.findall(r"`(tests/[\w/.]+)`", PAGE):
        assert (ROOT / name).exists(), name
    guard = (ROOT / "tests/orders/test_guard.py").read_text("utf-8")
    for test in re.findall(r"`(test_\w+)`", PAGE):
        assert f"def {test}(" in guard, test
