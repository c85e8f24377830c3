"""The transparency report as a document: figures out of the ledger, for a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from geodns.ledger.entry import Entry
from geodns.ledger.read import STOPPED, Running
from geodns.ledger.receipt import instant
from geodns.ledger.verify import Verdict
from geodns.report.guarded import guarded, lists, refused
from geodns.report.life import ENDS, SORTS, Life
from geodns.report.places import where
from geodns.report.window import Window
from geodns.report.withhold import THRESHOLD, publish

VERSION = 1
"""Of the document's layout: later ones add keys; one that is removed or renamed raises it."""
BOUNDS = (1, 10, 60, 1800, 86400)
"""Seconds up to which times to force are counted together; 1800 is what Italy's law asks for."""


def report(
    entries: Iterable[Entry],
    verdict: Verdict,
    window: Window,
    threshold: int = THRESHOLD,
) -> dict[str, Any]:
    """The report of a window, JSON-ready. Times are ISO 8601 in UTC.

    entries: all of the ledger, in their order. threshold: counts of queries below it are
    withheld. What came after the window does not change it, but for how long an interruption
    was; the counts of an hour belong to where the hour begins.
    """
    running = Running()
    own: defaultdict[str, list[Entry]] = defaultdict(list)
    rest: list[Entry] = []
    started: list[str] = []
    counts: dict[str, defaultdict[tuple[str, str], Counter[float]]] = {
        kind: defaultdict(Counter) for kind in ("blocks", "shadow")
    }
    signed: float | None = None
    for entry in entries:
        running.take(entry)
        if entry.kind == "checkpoint":
            signed = entry.at if entry.seq <= verdict.sealed + 1 else signed
        elif entry.kind == "counts":
            hour = float(entry.facts["hour"])
            if window.since <= hour < window.end:
                for kind, cells in counts.items():
                    for place, count in entry.facts.get(kind, {}).items():
                        cells[str(entry.order), place][hour] += count
        elif entry.at < window.until:
            if entry.kind == "started":
                started.append(str(entry.facts.get("node")))
            if entry.order is not None:
                own[entry.order].append(entry)
            elif entry.kind in ("refused", "gap"):
                rest.append(entry)
    lives = [Life(order, found) for order, found in sorted(own.items())]
    nodes = list(dict.fromkeys(started))
    away = [each for each in running.away if window.meets(each[0], each[1])]
    # After a crash it may have run until just before it was started again.
    stopped = [(begin, end) for begin, end, why in away if why == STOPPED]
    counted = {order for cells in counts.values() for order, _ in cells}
    told = [life for life in lives if life.order in counted or _matters(life, window)]
    runs = not any(end is None or end >= window.end for _, end in stopped)
    present = [life for life in lives if life.in_force and runs]
    return {
        "report": VERSION,
        "made": instant(window.now),
        "period": {
            "from": instant(window.since),
            "until": instant(window.until),
            "over": window.until <= window.now,
        },
        "nodes": nodes,
        "ledger": {
            "whole": verdict.whole,
            "breaks": [str(each) for each in verdict.breaks],
            "begins": None if verdict.first is None else instant(verdict.first),
            "signed_until": None if signed is None else instant(signed),
            "keys": verdict.keys,
        },
        "summary": _summary(lives, told, present, window, stopped, runs),
        "orders": [_order(life, window, runs) for life in told],
        "authorities": _authorities(told, present, window, stopped),
        "where": where(present),
        "over_time": _over_time(lives, window),
        "carried_out": _carried_out(lives, window),
        "guard": {**guarded(lives, window), "refused": refused(rest, window)},
        "lists": lists(lives, window),
        "blocked": _dated(publish(counts["blocks"], window, threshold, _spans(lives, "force"))),
        "shadow": _dated(publish(counts["shadow"], window, threshold, _spans(lives, "shadow"))),
        "interruptions": [
            {"from": instant(begin), "until": None if end is None else instant(end), "why": why}
            for begin, end, why in away
        ],
        "gaps": [
            {"at": instant(each.at), "entries": each.facts["entries"]}
            for each in rest
            if each.kind == "gap" and window.holds(each.at)
        ],
    }


Away = Sequence[tuple[float, float | None]]


def _spans(lives: Iterable[Life], effect: str) -> dict[str, list[tuple[float, float | None]]]:
    """When orders had an effect."""
    found: dict[str, list[tuple[float, float | None]]] = {}
    for life in lives:
        spans = [(span.begin, span.end) for span in life.spans if span.effect == effect]
        if spans:
            found[life.order] = spans
    return found


def _matters(life: Life, window: Window) -> bool:
    """Whether a report tells of it: not where it was over before, and nothing was heard since."""
    if any(window.holds(entry.at) for entry in life.own):
        return True
    return not life.spans or life.spans[-1].end is None


def _blocked(life: Life, window: Window, away: Away) -> bool:
    """Whether it was in force at any time in the window while the server ran."""
    for span in life.forces:
        at, end = max(span.begin, window.since), min(span.end or window.end, window.end)
        for begin, until in away:
            if begin <= at:
                at = max(at, until or end)
        if at < end:
            return True
    return False


def _begun(life: Life, window: Window) -> tuple[bool, bool]:
    """Whether it came into force in the window for the first time, and whether once more."""
    begins = [window.holds(span.begin) for span in life.forces]
    return bool(begins) and begins[0], any(begins[1:])


def _summary(
    lives: Sequence[Life],
    told: Sequence[Life],
    present: Sequence[Life],
    window: Window,
    away: Away,
    runs: bool,
) -> dict[str, Any]:
    ends = Counter(
        span.why for life in lives for span in life.forces if span.end and window.holds(span.end)
    )
    status = Counter(life.status() for life in told)
    if not runs:
        status["interrupted"] = status.pop("in force", 0)
    return {
        "orders": len(told),
        "in_force": len(present),
        "in_force_during": sum(_blocked(life, window, away) for life in lives),
        "new": sum(_begun(life, window)[0] for life in lives),
        "returned": sum(_begun(life, window)[1] for life in lives),
        "ended": {why: ends[why] for why in ENDS if ends[why]},
        "earlier": len(lives) - len(told),
        "status": dict(sorted(status.items())),
        "targets": {sort: sum(life.targets[sort] for life in present) for sort in SORTS},
        "held": sum(life.held for life in present),
        "runs": runs,
    }


def _order(life: Life, window: Window, runs: bool) -> dict[str, Any]:
    about, status = life.about, life.status()
    new, returned = _begun(life, window)
    verified = life.verified()
    return {
        "order": life.order,
        **{key: about.get(key) for key in ("title", "authority", "kind", "place", "reference")},
        "jurisdiction": about.get("jurisdiction"),
        "except": about.get("except", []),
        **{key: about.get(key) for key in ("issued", "effective", "deadline", "expires")},
        "status": "interrupted" if status == "in force" and not runs else status,
        "filed": about.get("status"),
        "new": new,
        "returned": returned,
        "deadline_was": life.deadline(window),
        "periods": [
            {
                "from": instant(span.begin),
                "until": None if span.end is None else instant(span.end),
                "effect": span.effect,
                "why": span.why,
            }
            for span in life.spans
        ],
        "targets": life.targets,
        "held": life.held,
        "verified": None if verified is None else instant(verified),
    }


def _authorities(
    told: Sequence[Life], present: Sequence[Life], window: Window, away: Away
) -> list[dict[str, Any]]:
    """Orders by authority, of which its kind and its place are a part."""
    found: dict[tuple[str, str, str], dict[str, int]] = {}
    here = {life.order for life in present}
    for life in told:
        key = (
            str(life.about.get("authority") or "not recorded"),
            str(life.about.get("kind") or ""),
            str(life.about.get("place") or ""),
        )
        row = found.setdefault(
            key, {"orders": 0, "in_force": 0, "during": 0, "new": 0, "targets": 0}
        )
        row["orders"] += 1
        row["in_force"] += life.order in here
        row["during"] += _blocked(life, window, away)
        row["new"] += _begun(life, window)[0]
        row["targets"] += life.lasting if life.order in here else 0
    ranked = sorted(found, key=lambda key: (-found[key]["in_force"], -found[key]["orders"], key))
    return [dict(zip(("authority", "kind", "place"), k, strict=True), **found[k]) for k in ranked]


def _over_time(lives: Sequence[Life], window: Window) -> list[dict[str, Any]]:
    """How many orders were in force from when on; interruptions are told apart from it."""
    changes: Counter[float] = Counter()
    for life in lives:
        for span in life.forces:
            if span.begin < window.end and (span.end is None or span.end > window.since):
                changes[max(span.begin, window.since)] += 1
                if span.end is not None and span.end < window.end:
                    changes[span.end] -= 1
    changes.setdefault(window.since, 0)
    count, steps = 0, []
    for at, change in sorted(changes.items()):
        count += change
        if change or at == window.since:
            steps.append({"at": instant(at), "orders": count})
    return steps


def _carried_out(lives: Sequence[Life], window: Window) -> dict[str, Any]:
    rows = [
        (float(entry.facts["late"]), float(entry.facts["seconds"]), entry)
        for life in lives
        for entry in life.carried_out()
        if window.holds(entry.at) and "late" in entry.facts and "seconds" in entry.facts
    ]
    times = [late for late, _, _ in rows]
    slowest = max(rows, key=lambda row: row[0], default=None)
    edges = (-1.0, *BOUNDS)
    deadlines = [(life.deadline(window), life) for life in lives]
    return {
        "editions": len(rows),
        "median": round(median(times), 3) if times else None,
        "slowest": None
        if slowest is None
        else {"order": slowest[2].order, "at": instant(slowest[2].at), "seconds": slowest[0]},
        "median_since_receipt": round(median(each for _, each, _ in rows), 3) if rows else None,
        "distribution": [
            {"up_to": high, "editions": sum(low < each <= high for each in times)}
            for low, high in zip(edges, BOUNDS, strict=False)
        ]
        + [{"up_to": None, "editions": sum(each > BOUNDS[-1] for each in times)}],
        "deadlines": {
            state: sorted(life.order for was, life in deadlines if was == state)
            for state in ("met", "missed", "received late", "coming")
        },
    }


def _dated(published: Mapping[str, Any]) -> dict[str, Any]:
    bins = [
        {"from": instant(each["from"]), "until": instant(each["until"]), "count": each["count"]}
        for each in published["over_time"]["bins"]
    ]
    return {**published, "over_time": {**published["over_time"], "bins": bins}}
