"""What the demo shows: a table of places by names, the orders, and what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from geodns.cli.ask import Reply
from geodns.cli.demo_oracle import PlainOrder
from geodns.console import out

PASSED = "\u2713"
BLOCKED = "\u2717"


@dataclass(frozen=True, slots=True)
class Cell:
    """What a client in one country saw of one name, and what the order files say it should."""

    name: str
    country: str
    order: PlainOrder | None
    address: str
    reply: Reply

    @property
    def right(self) -> bool:
        """Whether the reply is what the order files say."""
        reply = self.reply
        if self.order is None:
            return (
                reply.rcode == "NOERROR"
                and reply.addresses == (self.address,)
                and not reply.extended_errors
                and reply.ecs_scope is not None
            )
        rcode = {"nxdomain": "NXDOMAIN", "refused": "REFUSED"}.get(self.order.action, "NOERROR")
        sinkhole = self.order.addresses if self.order.action == "sinkhole" else ()
        ede = 15 if self.order.kind == "operator" else 16
        return (
            reply.rcode == rcode
            and sorted(reply.addresses) == sorted(one for one in sinkhole if ":" not in one)
            and reply.order == self.order.id
            and [extended.code for extended in reply.extended_errors] == [ede]
        )


def announce(orders: Sequence[PlainOrder], networks: int, workers: int) -> None:
    """Say what is about to be shown."""
    out.line("geodns demo: one resolver, one cache, the orders of each place", style="bold")
    out.line()
    folders = len({order.folder for order in orders})
    out.line(
        f"{len(orders)} orders of {folders} places, {networks:,} networks to locate clients by"
    )
    out.line(f"{workers} workers on loopback, an upstream that knows no orders")
    out.line()


def show(
    cells: Sequence[Cell],
    orders: Sequence[PlainOrder],
    countries: Sequence[str],
    asked: int,
    alias: tuple[str, str] | None = None,
) -> None:
    """Print the table of replies, the orders, and a closing sentence if all is right.

    alias: a name asked for that no order names, and the name that it is an alias of.
    """
    shown = [order for order in orders if any(order.targets(cell.name) for cell in cells)]
    numbers = {order.id: str(at) for at, order in enumerate(shown, 1)}
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        rows.setdefault(cell.name, {})[cell.country] = _cell(cell, numbers)
    out.table(
        ("name asked for", *countries),
        [(name, *(row[country] for country in countries)) for name, row in rows.items()],
        f"What clients there get: {PASSED} the upstream's answer, {BLOCKED} a block by that order",
        styles=_style,
    )
    if alias is not None:
        out.line(f"{alias[0]}: in no order; blocked as an alias of {alias[1]}")
    out.line()
    now = datetime.now(UTC)
    out.table(
        ("", "order", "authority", "in", "today"),
        [
            (
                numbers[order.id],
                order.id,
                order.authority,
                _reach(order),
                _today(order, now),
            )
            for order in shown
        ],
        "The orders",
        shrink=("authority", "in", "today"),
    )
    out.line()
    if all(cell.right for cell in cells):
        out.line(
            f"All {len(cells)} replies are what the order files say. The upstream was asked"
            f" only {asked} times: the cache is the same for every place.",
            style="bold green",
        )
        out.line()
        program = _program()
        out.line(f"Try next:  {program} explain kickasstorrents.to --from IT")
        out.line(f"           {program} matrix kickasstorrents.to limetorrents.pro")
        out.line(f"           {program} orders list")
        if alias is not None:
            out.line("With an [upstream] in ./geodns.toml, what is blocked through its alias:")
            out.line(f"           {program} explain NAME --from IT --resolve")


def _program() -> str:
    """The program as it can be called from here: ``make demo`` runs it out of .venv."""
    called = Path(sys.argv[0])
    if shutil.which("geodns") or called.name != "geodns":
        return "geodns"
    return os.path.relpath(called)


def _cell(cell: Cell, numbers: Mapping[str, str]) -> str:
    if not cell.right:
        return "WRONG"
    return PASSED if cell.order is None else f"{BLOCKED} {numbers[cell.order.id]}"


def _style(text: str) -> str | None:
    if text == PASSED:
        return "green"
    if text == "WRONG":
        return "bold white on red"
    return "bold red" if text.startswith(BLOCKED) else None


def _reach(order: PlainOrder) -> str:
    places = "everywhere" if order.places is None else " ".join(sorted(order.places))
    return places + (f" less {' '.join(sorted(order.except_))}" if order.except_ else "")


def _today(order: PlainOrder, now: datetime) -> str:
    if order.status != "active":
        return order.status
    if now < order.effective:
        return f"from {order.effective:%Y-%m-%d}"
    if order.expires is None:
        return "in force"
    return (
        "expired on " if now >= order.expires else "in force until "
    ) + f"{order.expires:%Y-%m-%d}"


def complaint(cell: Cell) -> str:
    """One line about a reply that is not what the order files say."""
    wanted = "the upstream's answer" if cell.order is None else f"a block by {cell.order.id}"
    reply = cell.reply
    ede = "".join(f", EDE {extended.code}: {extended.text}" for extended in reply.extended_errors)
    got = " ".join((reply.rcode, *reply.addresses)) + ede
    return f"{cell.name} in {cell.country}: the order files say {wanted}, but the reply is {got}"


def document(cells: Sequence[Cell], asked: int) -> dict[str, object]:
    """All that was seen, for --json."""
    return {
        "right": all(cell.right for cell in cells),
        "upstream_queries": asked,
        "replies": [
            {
                "name": cell.name,
                "country": cell.country,
                "expected": cell.order and cell.order.id,
                "rcode": cell.reply.rcode,
                "addresses": cell.reply.addresses,
                "order": cell.reply.order,
                "right": cell.right,
            }
            for cell in cells
        ],
    }
