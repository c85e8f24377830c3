"""``geodns orders due``: deadlines, reviews and ends that somebody must look at; for cron."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from geodns.cli.options import Config, Json


def due_orders(
    within: Annotated[
        str, typer.Option("--within", metavar="TIME", help="How far ahead: 12h, 30d, 8w.")
    ] = "30d",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="As of this instant, ISO 8601 (default: now)."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List deadlines met and missed, reviews due, orders expiring, and events to come.

    Whether a deadline was met is told by the ledger of the server, where there is one and it knows
    the order; else by the dates of the order files.

    Exit codes: 0 nothing to do; 1 something is due, overdue or missed; 2 some file is faulty.

    Example: geodns orders due --within 30d
    """
    from geodns import app
    from geodns.cli.facts import day_of, parse_instant
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.errors import OrderError
    from geodns.ledger.file import LEDGER
    from geodns.orders.due import due

    now, span = parse_instant(at).astimezone(UTC), _span(within)
    settings = load_settings(config)
    with out.progress("reading orders") as advance:
        loaded = app.load_orders(settings, advance)
    ledger = settings.ledger.path or settings.server.state / LEDGER
    rows = due(loaded.orders, now, span, _enforced(ledger))
    if as_json:
        out.document([row.as_json() for row in rows])
    elif rows:
        columns = ("state", "what", "at", "order", "told")
        cells = [(row.state, row.what, day_of(row.at), row.order, row.told) for row in rows]
        styles = {"missed": "bold red", "overdue": "red", "due": "yellow"}
        out.table(columns, cells, styles=styles.get, shrink=("told",))
    else:
        out.line(f"nothing is due within {within}")
    if loaded.faults:
        raise OrderError(loaded.faults)
    if any(row.wanted for row in rows):
        raise typer.Exit(1)


def _enforced(path: Path) -> dict[str, datetime]:
    """When each order was first in force on all workers, as far as a ledger says it."""
    from geodns.errors import LedgerError
    from geodns.ledger.read import Ledger

    found: dict[str, datetime] = {}
    try:
        ledger = Ledger(path)
    except LedgerError:
        if path.is_file():
            raise
        return found
    try:
        for entry in ledger.entries(("enforced",)):
            if entry.order is not None:
                found.setdefault(entry.order, datetime.fromtimestamp(entry.at, UTC))
    finally:
        ledger.close()
    return found


def _span(text: str) -> timedelta:
    from geodns.errors import Fault, InputFaults

    found = re.fullmatch(r"([0-9]{1,4})([hdw])", text)
    if found is None:
        raise InputFaults([Fault(f"--within: {text!r} is no time; write 12h, 30d or 8w")])
    return int(found[1]) * {"h": timedelta(hours=1), "d": timedelta(1), "w": timedelta(7)}[found[2]]
