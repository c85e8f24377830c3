from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from geodns import shipped
from geodns.cli.demo_oracle import PlainOrder, expected, read_orders

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def order(folder: Path, place: str, id: str, text: str) -> None:
    (folder / place).mkdir(exist_ok=True)
    (folder / place / f"{id}.toml").write_text(
        f'id = "{id}"\n{text}\n[authority]\nname = "A court"\nkind = "court"\n', "utf-8"
    )


def blocked(orders: tuple[PlainOrder, ...], *chain: str, country: str = "IT") -> str | None:
    found = expected(orders, chain, country, NOW)
    return found and found.id


def test_targets_places_and_dates(tmp_path: Path) -> None:
    order(
        tmp_path,
        "IT",
        "it-one",
        'status = "active"\ndates.effective = 2026-01-01\n'
        '[targets]\ndomains = ["Blocked.example."]\nexact = ["one.example"]\n'
        'below = ["under.example"]\nexempt = ["free.blocked.example"]\nfiles = ["it-one.txt"]',
    )
    (tmp_path / "IT" / "it-one.txt").write_text("\ufeff# c\r\nlisted.example # c\r\n\r\n", "utf-8")
    orders = read_orders([tmp_path])
    assert blocked(orders, "blocked.example") == "it-one"
    assert blocked(orders, "a.blocked.example") == "it-one"
    assert blocked(orders, "notblocked.example") is None
    assert blocked(orders, "free.blocked.example") is None
    assert blocked(orders, "free.blocked.example", "blocked.example") is None
    assert blocked(orders, "one.example") == "it-one"
    assert blocked(orders, "a.one.example") is None
    assert blocked(orders, "under.example") is None
    assert blocked(orders, "a.under.example") == "it-one"
    assert blocked(orders, "www.listed.example") == "it-one"
    assert blocked(orders, "alias.example", "blocked.example") == "it-one"
    assert blocked(orders, "blocked.example", country="SM") is None


def test_status_dates_sets_and_precedence(tmp_path: Path) -> None:
    targets = '[targets]\ndomains = ["x.example"]'
    order(
        tmp_path,
        "FR",
        "fr-eu",
        'status = "active"\njurisdiction = ["EU"]\nexcept = ["DE"]\n'
        f"dates.effective = 2026-02-01\n{targets}",
    )
    order(
        tmp_path, "IT", "it-lifted", f'status = "lifted"\ndates.effective = 2020-01-01\n{targets}'
    )
    order(
        tmp_path,
        "IT",
        "it-ended",
        'status = "active"\ntimezone = "Europe/Rome"\n'
        f"dates = {{ effective = 2020-01-01, expires = 2026-06-01 }}\n{targets}",
    )
    order(
        tmp_path,
        "IT",
        "it-world",
        'status = "active"\njurisdiction = "global"\n'
        f"dates.effective = 2026-03-01T00:00:00+01:00\n{targets}",
    )
    orders = read_orders([tmp_path])
    assert blocked(orders, "x.example", country="IT") == "fr-eu"
    assert blocked(orders, "x.example", country="DE") == "it-world"
    assert blocked(orders, "x.example", country="US") == "it-world"
    # Midnight in Rome is 22:00 UTC of the day before.
    at = datetime(2026, 5, 31, 21, 59, 59, tzinfo=UTC)
    ended = next(one for one in orders if one.id == "it-ended")
    assert ended.in_force(at)
    assert not ended.in_force(at.replace(hour=22, minute=0))


def test_the_shipped_orders_are_read() -> None:
    orders = read_orders([shipped.orders()])
    assert len(orders) >= 8
    milan = next(one for one in orders if one.id == "it-milano-2022-cloudflare")
    assert ("domains", "kickasstorrents.to") in milan.names
    assert any(one.status == "lifted" for one in orders)
    assert any(one.expires is not None for one in orders)
