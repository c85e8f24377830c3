"""docs/blockpage.md: its examples work, its figures and counters are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from geodns.blockpage import http
from geodns.config import parse_settings
from geodns.orders.load import OrderLoader

PAGE = Path(__file__).resolve().parents[2] / "docs" / "blockpage.md"
TEXT = PAGE.read_text("utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_settings_in_the_examples_are_good() -> None:
    for example in EXAMPLES:
        if "id" not in tomllib.loads(example):
            parse_settings(example, Path("geodns.toml"))


def test_the_order_in_the_examples_loads_and_leads_to_the_page(tmp_path: Path) -> None:
    (text,) = (each for each in EXAMPLES if "id" in tomllib.loads(each))
    path = tmp_path / "orders" / "IT" / "it-milano-2024-example.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    loaded = OrderLoader((tmp_path / "orders",), tmp_path / "good").load()
    assert loaded.faults == ()
    (order,) = loaded.orders
    (settings,) = (each for each in EXAMPLES if "listen" in each)
    for address in order.order.response.addresses:
        assert address in settings


def test_figures() -> None:
    for told in (
        f"within {http.REQUEST_BOUND:.0f} s",
        f"ends after {http.CONNECTION_BOUND:.0f} s",
        f"{http.PER_CLIENT} from one",
        f"fields {http.MAX_HEADERS}",
    ):
        assert told in " ".join(TEXT.split()), told


def test_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert len(pictures) == 2
    for name in pictures:
        picture = PAGE.with_name(name)
        assert picture.read_bytes()[:4] == b"\x89PNG"
        assert picture.stat().st_size < 80_000
