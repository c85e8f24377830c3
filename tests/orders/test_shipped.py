"""The orders that ship, and the examples of the guide."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from geodns.orders.load import Loaded, OrderLoader

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shipped() -> Loaded:
    return OrderLoader([ROOT / "orders"], None).load()


def test_they_load_without_faults_or_warnings(shipped: Loaded) -> None:
    assert [str(fault) for fault in shipped.faults] == []
    assert [item for item in shipped.findings if item.level != "info"] == []
    assert len(shipped.orders) >= 8
    assert len(shipped.orders) == len(list((ROOT / "orders").rglob("*.toml")))


def test_each_cites_its_sources_and_says_what_is_not_verified(shipped: Loaded) -> None:
    for order in shipped.orders:
        assert order.order.sources, order.path
        assert order.order.unverified, order.path
        assert order.order.disclosure.text, order.path
        assert order.order.response.action == "nxdomain", order.path


def test_one_is_lifted_one_has_expired_and_several_have_force(shipped: Loaded) -> None:
    states = {order.order.id: order.order.status for order in shipped.orders}
    assert states["de-hamburg-310-o-99-21"] == "lifted"
    expired = [
        order.order.id
        for order in shipped.orders
        if order.order.status == "active" and order.expires is not None and order.expires <= NOW
    ]
    assert "fr-paris-2024-canal-plus" in expired
    assert len([state for state in states.values() if state == "active"]) - len(expired) >= 5


def test_the_milan_order_names_its_three_sites(shipped: Loaded) -> None:
    path = ROOT / "orders" / "IT" / "it-milano-2022-cloudflare.toml"
    assert tomllib.loads(path.read_text("utf-8"))["targets"]["domains"] == [
        "kickasstorrents.to",
        "limetorrents.pro",
        "ilcorsaronero.pro",
    ]
    order = next(order for order in shipped.orders if order.path == str(path))
    assert (order.jurisdiction, order.place) == (("IT",), "IT")


def test_the_guides_examples_load(tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "docs/writing-orders.md").read_text("utf-8"), re.M | re.S
    )
    assert len(blocks) == 2
    for text in blocks:
        ident = tomllib.loads(text)["id"]
        folder = tmp_path / ident[:2].upper()
        folder.mkdir()
        (folder / f"{ident}.toml").write_text(text, "utf-8")
        (folder / f"{ident}.domains.txt").write_text("more.example\n")
    loaded = OrderLoader([tmp_path], None).load()
    assert [str(fault) for fault in loaded.faults] == []
    assert len(loaded.orders) == 2
