"""``geodns report``: what was blocked, where, by whom and why, for everybody to read."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.ledger import At, BrokenError
from geodns.cli.options import Config, Json
from geodns.errors import Fault, InputFaults, LedgerError

if TYPE_CHECKING:
    from geodns.ledger.verify import Verdict
    from geodns.report.window import Window

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


def report(
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help="First day (UTC), or an instant. Without it: the last whole calendar month.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="DATE",
            help="Last day (UTC), which is part of it, or the instant before which it ends."
            " Without it: until now.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page to be published and printed; - for stdout.",
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write Markdown; - for stdout.", show_default=False),
    ] = None,
    threshold: Annotated[
        int,
        typer.Option(
            "--threshold",
            metavar="NUMBER",
            min=1,
            help="Counts of queries below it are withheld; 1 withholds none.",
        ),
    ] = 10,
    ledger: At = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a transparency report of a time out of the ledger.

    It tells the orders by authority, place and status, how soon they had force, what was found to
    block too much, and how many queries were blocked, with small counts withheld.

    Exit codes: 0 done; 1 the ledger is broken, and the report proves nothing; 2 usage or bad
    input, or there is no ledger.

    Example: geodns report --from 2026-10-01 --to 2026-10-31 --html october.html
    """
    from geodns.cli.ledger import paths
    from geodns.cli.writing import write
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.ledger.verify import verify
    from geodns.report.page import page
    from geodns.report.text import markdown as written

    window = _window(from_, to, time.time())
    if [str(html), str(markdown)].count("-") + as_json > 1:
        raise InputFaults([Fault("only one of --html -, --markdown - and --json fits on stdout")])
    if html is not None and html == markdown and str(html) != "-":
        raise InputFaults([Fault(f"--html and --markdown are one file, {html}")])
    path, own = paths(load_settings(config), ledger)
    verdict = verify(path, None if ledger else own)
    window = _known(window, verdict)
    document = _document(path, verdict, window, threshold)
    told = as_json
    for target, render in ((html, page), (markdown, written)):
        if target is not None and str(target) != "-":
            write(target, render(document))
        elif target is not None:
            sys.stdout.write(render(document))
            told = True
    if as_json:
        out.document(document)
    elif not told:
        _tell(document, [str(each) for each in (html, markdown) if each is not None])
    if not verdict.whole:
        raise BrokenError(f"{path}: the ledger does NOT hold: {verdict.breaks[0]}")


def _document(path: Path, verdict: Verdict, window: Window, threshold: int) -> dict[str, Any]:
    from geodns.ledger.read import Ledger
    from geodns.report.gather import report as make

    reading = Ledger(path)
    try:
        return make(reading.entries(), verdict, window, threshold)
    except (LedgerError, AttributeError, KeyError, TypeError, ValueError):
        if verdict.whole:
            raise
        told = f"{path}: the ledger does NOT hold, and cannot be told of: {verdict.breaks[0]}"
        raise BrokenError(told) from None
    finally:
        reading.close()


def _window(since: str | None, until: str | None, now: float) -> Window:
    from geodns.report.window import Window

    if since is None and until is not None:
        raise InputFaults([Fault("--to needs --from: when does the report begin?")])
    if since is None:
        end = datetime.fromtimestamp(now, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        return Window((end - timedelta(1)).replace(day=1).timestamp(), end.timestamp(), now)
    begin = _instant("--from", since).timestamp()
    if until is None:
        end_at = now
    else:
        last = _instant("--to", until)
        end_at = (last + timedelta(1) if _DAY.match(until) else last).timestamp()
    if end_at <= begin and until is None:
        raise InputFaults([Fault(f"--from: {since} lies in the future")])
    if end_at <= begin:
        raise InputFaults([Fault(f"--to: {until!r} is not after --from, {since!r}")])
    return Window(begin, end_at, now)


def _known(window: Window, verdict: Verdict) -> Window:
    """The window without what lies before the ledger, of which nothing is known."""
    from geodns.ledger.receipt import instant
    from geodns.report.window import DAY

    if window.since >= window.now:
        raise InputFaults([Fault(f"--from: {instant(window.since)[:16]} lies in the future")])
    if verdict.first is None:
        return window
    if window.until <= verdict.first:
        told = f"the ledger begins {instant(verdict.first)[:16]} (UTC), after the time asked for"
        raise InputFaults([Fault(f"{told}; say --from", str(verdict.path))])
    return replace(window, since=max(window.since, verdict.first // DAY * DAY))


def _instant(option: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        found.timestamp()
        # A day more must be there, too.
        found + timedelta(1)
    except (ValueError, OverflowError):
        message = f"{option}: {text!r} is no date; write 2026-01-31 or 2026-01-31T12:00:00+01:00"
        raise InputFaults([Fault(message)]) from None
    return found


def _tell(document: dict[str, Any], written: list[str]) -> None:
    from geodns.console import out
    from geodns.report.contents import sections
    from geodns.report.sections import figures, preface, title

    out.line(title(document), style="bold")
    for at, line in enumerate(preface(document)):
        out.line(line, style="bold red" if at == 0 and not document["ledger"]["whole"] else None)
    for file in written:
        out.line(f"Written to {out.short_path(file)}.")
    if written:
        return
    out.line()
    out.table(("figure", "number"), figures(document))
    for section in sections(document):
        out.line()
        out.line(section.title, style="bold")
        for line in section.lines:
            out.line(line)
        for each in section.tables:
            rows = [[cell.replace("\n", "; ") for cell in row] for row in each.rows]
            out.line()
            out.table(each.columns, rows, each.caption, shrink=each.columns)
