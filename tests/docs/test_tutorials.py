"""The tutorials are done, command by command, and must print what they show.

``UPDATE_README=1 pytest tests/docs/test_tutorials.py`` writes what the commands print into them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.transcripts import ROOT, run_page

TUTORIALS = ROOT / "docs" / "tutorials"
ZONES = {
    "operator": {
        "kickasstorrents.to": "198.51.100.1",
        "films.example": "198.51.100.2",
        "www.films.example": "198.51.100.3",
    },
    "legal": {
        "www.films.example": "198.51.100.1",
        "press.films.example": "198.51.100.2",
        "mirror.example": "198.51.100.3",
        "drive.google.com": "198.51.100.4",
    },
    "engineer": {"shop.example": "kickasstorrents.to", "kickasstorrents.to": "198.51.100.1"},
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where place tables are kept for all tutorials: the walk is the same for each of them."""
    return tmp_path_factory.mktemp("places")


def copy_code(folder: Path) -> None:
    """What a change of the code is made in, and tried out by ``python -m``."""
    unwanted = shutil.ignore_patterns("__pycache__", "native.c", "live", "corpus")
    for name in ("geodns", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "docs").symlink_to(ROOT / "docs")


@pytest.mark.process
@pytest.mark.parametrize("name", ZONES)
def test_the_tutorial_is_real(name: str, tmp_path: Path, places: Path) -> None:
    # A state of its own: what the ledger says depends on all that happened before.
    state = tmp_path / "home"
    (state / "geodns").mkdir(parents=True, mode=0o700)
    (state / "geodns" / "places").symlink_to(places)
    folder = tmp_path / "checkout"
    folder.mkdir()
    if name == "engineer":
        copy_code(folder)
    run_page(TUTORIALS / f"{name}.md", folder, ZONES[name], state).check()


def test_there_is_a_tutorial_for_each_reader() -> None:
    assert {page.stem for page in TUTORIALS.glob("*.md")} == ZONES.keys()
