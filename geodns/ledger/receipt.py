"""What a ledger can prove of one order: a document for a court."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from geodns.ledger.entry import Entry
from geodns.ledger.verify import Verdict

RECEIPT = "receipt"
"""What the document is called where it is signed (seal.py)."""
PROOF = "proof"
"""The same of a proof of containment."""
MOST_EVENTS = 400
"""Entries that a receipt tells one by one; of the oldest beyond it only their number."""
STOPPED, NO_END = "it was stopped", "its end was not recorded"
_TAKING_IN = ("received", "loaded")
"""What may be written before a server that was killed is started again."""


def receipt(
    order: str,
    entries: Iterable[Entry],
    verdict: Verdict,
    now: float,
    proof: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The receipt of an order, ready to be signed.

    entries: all of the ledger, in their order. now: epoch seconds. proof: what a containment
    proof says of the order. Times are ISO 8601 in UTC.
    """
    own: list[Entry] = []
    blocked: Counter[str] = Counter()
    nodes: dict[str, None] = {}
    away: list[tuple[float, float | None, str]] = []
    alive: float | None = None
    for entry in entries:
        if entry.kind == "started":
            nodes[str(entry.facts.get("node"))] = None
            if away and away[-1][1] is None:
                away[-1] = away[-1][0], entry.at, away[-1][2]
            elif alive is not None:
                away.append((alive, entry.at, NO_END))
            alive = entry.at
        elif entry.kind == "stopped":
            away.append((entry.at, None, STOPPED))
            alive = None
        elif alive is not None and entry.kind not in _TAKING_IN:
            alive = entry.at
        if entry.order == order:
            if entry.kind == "counts":
                blocked.update(entry.facts.get("blocks", {}))
            else:
                own.append(entry)
    periods = _periods(own)
    described = {entry.facts["edition"]: entry.facts for entry in own if entry.kind == "received"}
    loaded = [entry.facts["edition"] for entry in own if entry.kind == "loaded"]
    spans = [(entry.at, until) for entry, until, _ in periods]
    return {
        "receipt": 1,
        "order": order,
        "made": instant(now),
        "nodes": list(nodes),
        "about": described.get(loaded[-1]) if loaded else None,
        "in_force": bool(periods) and periods[-1][1] is None and not (away and away[-1][1] is None),
        "periods": [
            {
                "from": instant(entry.at),
                "until": None if until is None else instant(until),
                "why": why,
                "edition": entry.facts.get("edition"),
                "digest": entry.digest,
                "workers": entry.facts.get("workers"),
                "shadow": entry.facts.get("shadow", False),
                "seconds": entry.facts.get("seconds"),
            }
            for entry, until, why in periods
        ],
        "interruptions": [
            {"from": instant(begin), "until": None if end is None else instant(end), "why": why}
            for begin, end, why in away
            if any(_meet(begin, end, *span) for span in spans)
        ],
        "events": [_event(entry) for entry in own[-MOST_EVENTS:]],
        "events_left_out": max(len(own) - MOST_EVENTS, 0),
        "blocked": dict(sorted(blocked.items())),
        "proof": proof,
        "ledger": {
            "whole": verdict.whole,
            "entries": verdict.entries,
            "head": {"seq": verdict.head[0], "hash": verdict.head[1]},
            "sealed": verdict.sealed,
            "keys": verdict.keys,
            "breaks": [str(each) for each in verdict.breaks],
        },
    }


def instant(at: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def heads(document: Mapping[str, Any]) -> dict[int, str]:
    """The hashes by seq that a receipt tells, for ``verify``. ValueError if it is none."""
    try:
        head = document["ledger"]["head"]
        found = {int(event["seq"]): str(event["hash"]) for event in document["events"]}
        return found | ({int(head["seq"]): str(head["hash"])} if head["seq"] else {})
    except (KeyError, TypeError, ValueError):
        raise ValueError("is no receipt") from None


def _periods(own: Sequence[Entry]) -> list[tuple[Entry, float | None, str | None]]:
    """When it was in force: from which entry on, until when and why."""
    periods: list[tuple[Entry, float | None, str | None]] = []
    for entry in own:
        if entry.kind not in ("enforced", "lifted"):
            continue
        if periods and periods[-1][1] is None:
            why = "a new edition" if entry.kind == "enforced" else _why(entry)
            periods[-1] = periods[-1][0], entry.at, why
        if entry.kind == "enforced":
            periods.append((entry, None, None))
    return periods


def _why(entry: Entry) -> str:
    return str(entry.facts.get("detail") or entry.facts.get("why"))


def _meet(begin: float, end: float | None, first: float, last: float | None) -> bool:
    return (last is None or begin < last) and (end is None or end > first)


def _event(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": instant(entry.at),
        "kind": entry.kind,
        "digest": entry.digest,
        "facts": entry.facts,
        "hash": entry.hash.hex(),
    }
