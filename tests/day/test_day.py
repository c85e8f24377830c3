"""The day with small lists of our own making; docs/day.md has a run with real ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.day.lists import FILES, made
from tests.day.run import PAGE, play, table
from tests.day.scenes import ORDER


@pytest.mark.process
@pytest.mark.timeout(240)
def test_a_day_is_played_to_its_end(tmp_path: Path) -> None:
    told: list[str] = []
    rows = play(tmp_path / "day", tmp_path / "out", made(), [], told.append)
    assert [row.hour for row in rows] == sorted(row.hour for row in rows)
    assert len(told) == len(rows)
    assert table(rows).count("\n") == len(rows) + 1
    receipt = (tmp_path / "out" / "receipt-lifted.html").read_text()
    # What the page for a court says of the order that was suspended, resumed and lifted.
    text = re.sub(r"<[^>]+>", " ", receipt)
    assert "approved by a person" in text
    assert text.count("Anna Rossi, legal") >= 2
    assert "Out of force since" in text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert ORDER in json.dumps(report)


def test_the_page_names_the_lists_that_it_needs() -> None:
    text = PAGE.read_text("utf-8")
    assert [file for file in FILES.values() if file not in text] == []
