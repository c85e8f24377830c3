"""What a ledger can prove of one order: a document for a court."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from geodns.ledger.entry import Entry
from geodns.ledger.read import STOPPED, Period, Running, periods
from geodns.ledger.verify import Verdict

RECEIPT = "receipt"
"""What the document is called where it is signed (seal.py)."""
PROOF = "proof"
"""The same of a proof of containment."""
DEADLINE = {
    "met": "it was in force by then",
    "late": "it was over when the order was first in force here",
    "missed": "it is over, and the order has not been in force here",
    "open": "the order has not been in force yet",
}
"""What a receipt says of the order's deadline."""
MOST_EVENTS = 400
"""Entries that a receipt tells one by one; of the oldest beyond it only their number."""
__all__ = ["MOST_EVENTS", "PROOF", "RECEIPT", "STOPPED", "heads", "instant", "receipt"]


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
    running = Running()
    for entry in entries:
        running.take(entry)
        if entry.order == order:
            if entry.kind == "counts":
                blocked.update(entry.facts.get("blocks", {}))
            else:
                own.append(entry)
    found = periods(own)
    away = running.away
    described = {entry.facts["edition"]: entry.facts for entry in own if entry.kind == "received"}
    loaded = [entry.facts["edition"] for entry in own if entry.kind == "loaded"]
    spans = [(each.entry.at, each.until) for each in found]
    about = described.get(loaded[-1]) if loaded else next(reversed(described.values()), None)
    return {
        "receipt": 1,
        "order": order,
        "made": instant(now),
        "nodes": list(running.nodes),
        "about": about,
        "deadline": None if about is None else _deadline(about.get("deadline"), found, now),
        "in_force": bool(found) and found[-1].until is None and not (away and away[-1][1] is None),
        "periods": [
            {
                "from": instant(each.entry.at),
                "until": None if each.until is None else instant(each.until),
                "why": each.why,
                "edition": each.entry.facts.get("edition"),
                "digest": each.entry.digest,
                "workers": each.entry.facts.get("workers"),
                "shadow": each.entry.facts.get("shadow", False),
                "seconds": each.entry.facts.get("seconds"),
            }
            for each in found
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


def _deadline(at: str | None, found: Sequence[Period], now: float) -> dict[str, str] | None:
    """Whether the order was carried out in time; met: a key of DEADLINE."""
    if at is None:
        return None
    end = datetime.fromisoformat(at).timestamp()
    first = next((each.entry.at for each in found if not each.entry.facts.get("shadow")), None)
    if first is not None:
        return {"at": at, "met": "met" if first <= end else "late"}
    return {"at": at, "met": "missed" if now > end else "open"}


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
