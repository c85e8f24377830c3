"""What was kept from being blocked by mistake, and what official lists brought."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from geodns.ledger.entry import Entry
from geodns.ledger.receipt import instant
from geodns.report.life import Life
from geodns.report.window import Window

MOST = 20
"""Targets of an order that are told one by one."""


def guarded(lives: Sequence[Life], window: Window) -> dict[str, Any]:
    """Targets that were held in the window, and what people let into force.

    found: targets that were not held before, by order. Who acknowledged them is in the ledger,
    and not told: a report is for everybody.
    """
    found, acknowledged = [], []
    for life in lives:
        before: set[str] = set()
        fresh: dict[str, None] = {}
        findings: set[str] = set()
        more = counted = 0
        for entry in life.own:
            if entry.kind == "held":
                targets, count = _held(entry)
                if window.holds(entry.at):
                    fresh |= dict.fromkeys(target for target in targets if target not in before)
                    findings.update(entry.facts.get("findings", ()))
                    # Beyond those that are named there is their number alone.
                    more += max(count - len(targets) - counted, 0)
                before, counted = set(targets), count - len(targets)
            elif entry.kind == "acknowledged" and window.holds(entry.at):
                told = {key: entry.facts.get(key) for key in ("target", "finding", "reason")}
                acknowledged.append({"order": life.order, "at": instant(entry.at), **told})
        if fresh or more:
            found.append(
                {
                    "order": life.order,
                    "count": len(fresh) + more,
                    "targets": list(fresh)[:MOST],
                    "findings": sorted(findings),
                    "held_still": life.held,
                }
            )
    return {
        "found": found,
        "held": sum(life.held for life in lives if not life.spans or life.spans[-1].end is None),
        "acknowledged": sorted(acknowledged, key=lambda each: (each["at"], each["order"])),
    }


def _held(entry: Entry) -> tuple[list[str], int]:
    targets = [str(each) for each in entry.facts.get("targets", ())]
    return targets, int(entry.facts.get("count", len(targets)))


def refused(entries: Iterable[Entry], window: Window) -> list[dict[str, Any]]:
    """Editions of order files that were faulty and changed nothing: the file's name, no path."""
    return [
        {
            "at": instant(entry.at),
            "file": PurePath(entry.facts["file"]).name if entry.facts.get("file") else None,
            "faults": len(entry.facts.get("faults", ())),
        }
        for entry in entries
        if entry.kind == "refused" and window.holds(entry.at)
    ]


def lists(lives: Iterable[Life], window: Window) -> list[dict[str, Any]]:
    """Official lists that had a new edition in the window.

    taken, rejected: of the last of these editions; added, gone: of all of them together.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for life in lives:
        for entry in life.own:
            if entry.kind != "feed" or not window.holds(entry.at):
                continue
            facts = entry.facts
            row = found.setdefault(
                (life.order, str(facts.get("source"))),
                {"editions": 0, "added": 0, "gone": 0},
            )
            row["editions"] += 1
            row["added"] += facts.get("added", 0)
            row["gone"] += facts.get("gone", 0)
            row["taken"] = facts.get("taken", 0)
            row["rejected"] = dict(sorted((facts.get("reasons") or {}).items()))
    return [
        {"order": order, "source": _public(source), **row}
        for (order, source), row in sorted(found.items())
    ]


def _public(source: str) -> str:
    """A URL without what could be a secret in it: user, query, fragment."""
    try:
        parts = urlsplit(source)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "not shown"
    return f"{parts.scheme}://{host}{parts.path}"
