"""Ledgers for tests: what happened, written by the writer the server uses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geodns.ledger.read import Ledger
from geodns.ledger.verify import verify
from geodns.ledger.writer import Draft, Writer
from geodns.report.gather import report
from geodns.report.window import Window

HOUR, DAY = 3600, 86400
OCTOBER = datetime(2023, 10, 1, tzinfo=UTC).timestamp()
NOVEMBER = datetime(2023, 11, 1, tzinfo=UTC).timestamp()
MONTH = Window(OCTOBER, NOVEMBER, NOVEMBER + 5 * DAY)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def received(edition: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "edition": edition,
        "file": "it-x.toml",
        "place": "IT",
        "authority": "Tribunale di Milano",
        "kind": "court",
        "reference": "1/2023",
        "title": "An order",
        "status": "active",
        "jurisdiction": ["IT"],
        "except": [],
        "timezone": "UTC",
        "issued": None,
        "effective": iso(OCTOBER - 90 * DAY),
        "deadline": None,
        "expires": None,
        "targets": {"domains": 3, "exact": 1, "below": 0, "networks": 0, "exempt": 1},
        **more,
    }


def enforced(
    edition: str = "a", late: float = 0.5, *, shadow: bool = False, form: str | None = None
) -> dict[str, Any]:
    return {
        "edition": edition,
        "form": form or edition,
        "node": "ns1",
        "generation": 1,
        "workers": 2,
        "received_at": 0.0,
        "seconds": late,
        "late": late,
        "shadow": shadow,
    }


class Story:
    """Entries in the order of their instants, however they are told."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []

    def add(self, at: float, what: str, order: str | None = None, /, **facts: Any) -> Story:
        self.drafts.append(Draft(what, facts, order, "d" * 64, at))
        return self

    def take_in(self, at: float, order: str = "it-x", edition: str = "a", **more: Any) -> Story:
        self.add(at, "received", order, **received(edition, **more))
        return self.add(at, "loaded", order, edition=edition)

    def enforce(self, at: float, order: str = "it-x", edition: str = "a", **more: Any) -> Story:
        return self.add(at, "enforced", order, **enforced(edition, **more))

    def count(self, hour: float, order: str = "it-x", shadow: bool = False, **places: int) -> Story:
        blocks: dict[str, Any] = {"blocks": {}, "shadow": {}}
        blocks["shadow" if shadow else "blocks"] = places
        return self.add(hour + HOUR, "counts", order, hour=int(hour), **blocks)

    def write(self, path: Path) -> Path:
        writer = Writer(path)
        writer.append_all(sorted(self.drafts, key=lambda draft: draft.at))
        writer.close()
        return path

    def report(self, folder: Path, window: Window = MONTH, threshold: int = 10) -> dict[str, Any]:
        path = folder / "ledger.sqlite"
        for old in folder.glob("ledger.sqlite*"):
            old.unlink()
        return told(self.write(path), window, threshold)


def told(path: Path, window: Window = MONTH, threshold: int = 10) -> dict[str, Any]:
    ledger = Ledger(path)
    try:
        return report(ledger.entries(), verify(path), window, threshold)
    finally:
        ledger.close()


def by(rows: Iterable[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows}
