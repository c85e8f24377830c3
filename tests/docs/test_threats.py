"""The threat model names tests and files; all of them are there."""

from __future__ import annotations

import re

from tests.transcripts import ROOT

PAGE = (ROOT / "docs" / "threats.md").read_text("utf-8")


def test_what_it_names_is_there() -> None:
    named = re.findall(r"`((?:tests|contrib)/[\w/.]+)`", PAGE)
    assert len(named) > 30
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_tests_in_brackets_are_in_the_files_before_them() -> None:
    found = re.findall(r"`(tests/[\w/.]+\.py)` \(`(test_\w+)`\)", PAGE)
    assert len(found) >= 3
    for path, test in found:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), test


def test_each_actor_has_what_remains_open() -> None:
    actors = PAGE.partition("## Who, what")[2].partition("## What nobody")[0].split("\n### ")[1:]
    assert len(actors) == 10
    for actor in actors:
        assert "**Open" in actor or "does not prevent" in actor, actor.partition("\n")[0]


def test_the_contract_it_quotes_is_one() -> None:
    quoted = re.findall(r'import contract "([^"]+)"', PAGE)
    contracts = (ROOT / "pyproject.toml").read_text("utf-8")
    assert quoted
    assert all(f'name = "{name}"' in contracts for name in quoted)
