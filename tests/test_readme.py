"""Every command of the README's transcripts is run, and must print what the README shows.

``UPDATE_README=1 pytest tests/test_readme.py`` writes what they print into the README.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.transcripts import ROOT, run_page

README = ROOT / "README.md"
ZONE = {
    "kickasstorrents.to": "198.51.100.1",
    "www.limetorrents.pro": "198.51.100.2",
    "cdn.blocked.example": "198.51.100.3",
}


@pytest.mark.process
def test_the_transcripts_are_real(tmp_path: Path) -> None:
    run_page(README, tmp_path, ZONE).check()


def test_the_two_commands_are_there() -> None:
    block = README.read_text("utf-8").partition("```sh\n")[2].partition("```")[0]
    wanted = [line.partition("#")[0].split() for line in block.splitlines()]
    assert wanted == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for _, target in wanted:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)


def test_the_links_lead_somewhere() -> None:
    for page in (README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
