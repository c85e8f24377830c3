"""docs/protocol.md: every row has a test that exists, and every clause of a transcript is in it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.protocol.transcript import all_clauses

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "protocol.md"


def rows() -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        if line.startswith("|") and not line.startswith(("| RFC", "| source", "|---")):
            yield number, [cell.strip() for cell in line.strip("|").split(" | ")]


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        each.name
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@cache
def titles(path: Path) -> set[str]:
    return {each["title"] for each in tomllib.loads(path.read_text())["scenario"]}


def exists(test: str) -> bool:
    if "::" in test:
        path, _, name = test.partition("::")
        return (ROOT / path).is_file() and name in functions(ROOT / path)
    path, _, title = test.partition(": ")
    if path.endswith(".toml"):
        return (ROOT / path).is_file() and title in titles(ROOT / path)
    return any((f"{each.file}.txt", each.says) == (path, title) for each in all_clauses())


@pytest.mark.parametrize(("line", "cells"), list(rows()), ids=lambda value: str(value)[:60])
def test_every_row_has_a_test_that_exists(line: int, cells: list[str]) -> None:
    assert len(cells) == 3, f"line {line}"
    assert re.search(r"\d{4}|draft|PROXY", cells[0]), f"line {line}: no RFC"
    tests = re.findall(r"`([^`]+)`", cells[2])
    assert tests, f"line {line}: no test"
    for test in tests:
        assert exists(test), f"line {line}: there is no {test}"


def test_every_transcript_is_in_the_page() -> None:
    text = PAGE.read_text()
    missing = [
        f"{each.file}.txt: {each.says}"
        for each in all_clauses()
        if f"`{each.file}.txt: {each.says}`" not in text
    ]
    assert not missing
