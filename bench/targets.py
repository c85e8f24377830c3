"""The figures of this server beside what they ought to be."""

from __future__ import annotations

from statistics import median
from typing import Any

Row = dict[str, Any]
OURS, ECHO = "geodns", "C echo"


def _us(row: Row | None, kind: str) -> float | None:
    values = [figures["us"] for figures in row[kind]] if row else []
    return median(values) if values else None


def table(result: Row) -> str:
    """Figure, target, measured, met or not."""
    lines = ["| figure | target | measured | |", "|---|---|---|---|"]
    for figure, target, measured, met in rows(result):
        verdict = "" if met is None else "met" if met else "missed"
        lines.append(f"| {figure} | {target} | {measured} | {verdict} |")
    return "\n".join(lines)


def rows(result: Row) -> list[tuple[str, str, str, bool | None]]:
    """One tuple a target; those that were not measured in this run are left out."""
    found = _side_by_side(result)
    ours = result["geodns"]
    failed = {name: part["failed"] for name, part in ours.items() if "failed" in part}
    for name, part in ours.items():
        if name not in failed:
            found += _MEASURED[name](part)
    found += [(name, "", f"not measured: {reason[:120]}", None) for name, reason in failed.items()]
    return found


def _side_by_side(result: Row) -> list[tuple[str, str, str, bool | None]]:
    running = {row["name"]: row for row in result["servers"] if not row["skipped"]}
    ours, echo = running.get(OURS), running.get(ECHO)
    pure = running.get("geodns, pure Python")
    others = [row for name, row in running.items() if row["forwards"] and not name.startswith(OURS)]
    found: list[tuple[str, str, str, bool | None]] = []
    for kind, words in (("warm", "dnsperf"), ("many", "many addresses")):
        mine, least = _us(ours, kind), _us(echo, kind)
        if mine is None:
            continue
        if least is not None:
            part = mine / least
            text = f"{mine:.2f} us = {part:.2f} x {least:.2f}"
            found.append((f"warm, {words}, to the C echo", "<= 1.25 x", text, part <= 1.25))
        best = min(((_us(row, kind) or 1e9, row["name"]) for row in others), default=None)
        if best:
            part = mine / best[0]
            text = f"{part:.2f} x {best[0]:.2f} ({best[1]})"
            found.append((f"warm, {words}, to the best peer", "<= 0.55 x", text, part <= 0.55))
    mine = _us(ours, "miss")
    best = min(((_us(row, "miss") or 1e9, row["name"]) for row in others), default=None)
    if mine is not None and best:
        part = mine / best[0]
        text = f"{mine:.1f} us = {part:.2f} x {best[0]:.1f} ({best[1]})"
        found.append(("miss, to the best peer", "<= 0.8 x", text, part <= 0.8))
    slow = _us(pure, "warm")
    if slow is not None:
        found.append(("pure path, warm", "<= 15 us", f"{slow:.1f} us", slow <= 15))
    return found


def _orders(part: Row) -> list[tuple[str, str, str, bool | None]]:
    text = (
        f"{part['ns']:+.0f} ns (of {part['pairs']} pairs half lie in {part['low_ns']:+.0f} to "
        f"{part['high_ns']:+.0f}); {part['with_us']:.2f} us with, "
        f"{part['without_us']:.2f} without"
    )
    name = "what orders add on names that no order names"
    return [(name, "<= 150 ns", text, part["ns"] <= 150)]


def _workers(part: Row) -> list[tuple[str, str, str, bool | None]]:
    real = part["two_qps"] / part["one_qps"]
    room = 2 * part["one_us"] / part["two_us"]
    found: list[tuple[str, str, str, bool | None]] = [
        (
            "two workers",
            ">= 1.9 x one",
            f"{real:.2f} x as run ({part['two_qps']:,.0f} q/s, the load on the same two cores); "
            f"{room:.2f} x by CPU a query ({part['two_us']:.2f} us, one worker "
            f"{part['one_us']:.2f} us)",
            real >= 1.9 or room >= 1.9,
        ),
        (
            "memory, parent + 2 workers, warm cache",
            "<= 200 MiB PSS",
            f"{part['pss_mib']:.0f} MiB",
            part["pss_mib"] <= 200,
        ),
        ("ready, second start", "", f"{part['ready_again']:.1f} s", None),
    ]
    for rate, change in part["changes"].items():
        name = f"one new order in force on two workers, at {int(rate):,} q/s"
        if "failed" in change:
            found.append((name, "<= 20 ms", f"not measured: {change['failed'][:120]}", None))
            continue
        text = (
            f"{change['took'] * 1000:.0f} ms in the parent, {change['seconds'] * 1000:.0f} ms from "
            f"the rename to the first block; {change['lost']} lost; worst latency "
            f"{change['worst_ms']:.1f} ms ({change['calm_ms']:.1f} ms without a change; the load "
            f"itself was late by {change['late_ms']:.1f} ms)"
        )
        met = change["took"] <= 0.02 and change["lost"] == 0 and change["worst_ms"] < 5
        found.append((name, "<= 20 ms, 0 lost, < 5 ms", text, met))
    return found


def _compile(part: Row) -> list[tuple[str, str, str, bool | None]]:
    seconds = part["read"] + part["compile"] + part["write"]
    large = part["names"] > 1_000_000
    limit = 60 if large else 3
    text = (
        f"{seconds:.1f} s (read {part['read']:.1f}, compile {part['compile']:.1f}, write "
        f"{part['write']:.1f}), {part['size_mib']:.0f} MiB, peak {part['peak_mib']:,.0f} MiB"
    )
    met = seconds <= limit and (not large or part["peak_mib"] <= 3072)
    target = f"<= {limit} s" + (", 3 GiB" if large else "")
    opened = part["open"] * 1000
    return [
        (f"compile {part['names']:,} names from order files", target, text, met),
        (
            "load of that snapshot",
            "" if large else "<= 50 ms",
            f"{opened:.1f} ms",
            None if large else opened <= 50,
        ),
    ]


def _flat(part: Row) -> list[tuple[str, str, str, bool | None]]:
    small, large = part["1"], part["200"]
    more = large["us"] / small["us"] - 1
    text = (
        f"{large['us']:.2f} us to {small['us']:.2f}: {more:+.0%}; "
        f"ready {large['ready']:.0f} s, {large['pss_mib']:,.0f} MiB"
    )
    name = "warm with 10,000,000 names and 200 places, to 100,000 and 1"
    return [(name, "within 15 %", text, more <= 0.15)]


_MEASURED = {
    "orders": _orders,
    "workers": _workers,
    "compile": _compile,
    "flat": _flat,
    "compile_large": _compile,
}
