"""``geodns feeds``: the official lists that orders take their targets from."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.cli.usage import Command, Group
from geodns.errors import Fault, InputFaults

if TYPE_CHECKING:
    from collections.abc import Callable

    from geodns.orders.feeds.due import Fed
    from geodns.settings import Settings

app = typer.Typer(
    cls=Group,
    help="Look at and fetch the official lists of orders.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list", cls=Command)
def list_feeds(config: Config = None, as_json: Json = False) -> None:
    """List the feeds of all orders: when they were fetched, what was taken, what is wrong.

    Where an authority's API wants to hear what became of its items: how many it was not told of
    yet.

    Exit codes: 0 all is well; 1 the last try of some feed failed.

    Example: geodns feeds list
    """
    from geodns.config import load_settings
    from geodns.console import out

    found = _fed(load_settings(config))
    if as_json:
        out.document([_document(each) for each in found])
    else:
        columns = ["order", "fetched", "targets", "rejected", "next", "state", "source"]
        rows = [list(_row(each)) for each in found]
        if any(each.feed.api for each in found):
            columns.insert(4, "to report")
            for row, each in zip(rows, found, strict=True):
                row.insert(4, _waiting(each))
        out.table(columns, rows, shrink=("state",))
    if any(each.fault for each in found):
        raise typer.Exit(1)


@app.command(cls=Command)
def refresh(
    orders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ORDER",
            help="Ids of orders. Without any: what is due.",
            show_default=False,
        ),
    ] = None,
    shrunken: Annotated[
        bool,
        typer.Option("--shrunken", help="Take lists that have lost more than half."),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fetch lists now. A running server notices by itself what is new.

    A list that is empty, an HTML page, wrongly signed, or suddenly less than half as long
    changes nothing: the former one stays.

    Exit codes: 0 all were fetched; 1 one was not; 2 an order is unknown, or nothing can be kept.

    Example: geodns feeds refresh it-agcom
    """
    import time

    from geodns.config import load_settings
    from geodns.console import out
    from geodns.orders.feeds.due import LOCKS, alone
    from geodns.orders.feeds.fetch import Fetching
    from geodns.orders.feeds.kept import FEEDS
    from geodns.orders.feeds.refresh import refresh as bring_up_to_date
    from geodns.orders.feeds.take import report

    settings = load_settings(config)
    chosen = _chosen(_fed(settings), orders)
    directory: Path = settings.server.state / FEEDS
    feeds = settings.feeds
    fetching = Fetching(feeds.timeout, feeds.size, feeds.attempts)
    documents, failed = [], False
    try:
        with alone(directory) as mine, alone(directory, LOCKS[1]) as mine_too:
            if not mine or not mine_too:
                told = "another process fetches lists right now; try again in a moment"
                raise InputFaults([Fault(told, str(directory))])
            for each in chosen:
                if not orders and each.due > time.time():
                    continue
                with out.progress(f"{each.order.order.id}: {each.feed.url}") as advance:
                    done = bring_up_to_date(
                        each.order.order.id,
                        each.feed,
                        directory,
                        fetching,
                        certificate=each.certificate,
                        shrunken=shrunken,
                        progress=partial(_advance, advance),
                    )
                failed = failed or done.outcome == "failed"
                documents.append({"outcome": done.outcome, **asdict(done.state)})
                if as_json:
                    continue
                ident = each.order.order.id
                if done.outcome == "failed":
                    out.line(f"{ident}: {done.state.fault}", style="red")
                elif done.taken is None:
                    out.line(f"{ident}: unchanged")
                else:
                    out.line(f"{ident}: {done.state.added:,} new, {done.state.gone:,} gone")
                    for line in report(done.taken):
                        out.line(f"  {line}")
                if each.feed.api is not None:
                    count = _outbox(each, directory)
                    out.line(f"  to report: {count:,}; the running server does it")
    except OSError as error:
        told = f"lists cannot be kept: {error.strerror or error}"
        raise InputFaults([Fault(told, error.filename or str(directory))]) from None
    if as_json:
        out.document(documents)
    elif not documents:
        out.line("nothing is due")
    if failed:
        raise typer.Exit(1)


def _fed(settings: Settings) -> list[Fed]:
    from geodns import app as wiring
    from geodns.orders.feeds.due import fed
    from geodns.orders.feeds.kept import FEEDS

    loaded = wiring.load_orders(settings)
    return list(fed(loaded.orders, settings.server.state / FEEDS))


def _outbox(each: Fed, directory: Path) -> int:
    from geodns.orders.feeds.kept import KeptFeed
    from geodns.orders.feeds.outbox import read_outbox

    outbox = read_outbox(KeptFeed(directory, each.state.order, each.state.source))
    return 0 if outbox is None else outbox.waiting


def _waiting(each: Fed) -> str:
    if each.feed.api is None:
        return "-"
    return "0" if each.outbox is None else f"{each.outbox.waiting:,}"


def _advance(advance: Callable[[int, int], None], rows: int) -> None:
    advance(rows, 0)


def _chosen(found: list[Fed], orders: list[str] | None) -> list[Fed]:
    if not orders:
        return found
    known = {each.order.order.id for each in found}
    unknown = [ident for ident in orders if ident not in known]
    if unknown:
        told = "there is no order with a feed that is fetched by the id"
        raise InputFaults([Fault(f"{told} {ident!r}") for ident in unknown])
    return [each for each in found if each.order.order.id in orders]


def _row(each: Fed) -> tuple[str, ...]:
    state = each.state
    return (
        each.order.order.id,
        _instant(state.fetched) or "never",
        f"{state.taken:,}",
        f"{sum(state.reasons.values()):,}",
        _instant(each.due) if each.due else "now",
        each.fault or "well",
        state.source,
    )


def _document(each: Fed) -> dict[str, Any]:
    facts = asdict(each.state)
    for key in ("fetched", "checked", "tried"):
        facts[key] = _instant(facts[key]) or None
    facts["due"] = _instant(each.due) or None
    if each.feed.api is not None:
        outbox = each.outbox
        facts["to_report"] = 0 if outbox is None else outbox.waiting
        facts["report_fault"] = None if outbox is None else outbox.fault
    return facts


def _instant(seconds: float | None) -> str:
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
