"""``geodns serve`` and ``geodns status``."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.config import load_settings
from geodns.console import out

log = logging.getLogger("geodns.cli")


def serve(
    config: Config = None,
    skip_bad_orders: Annotated[
        bool,
        typer.Option(
            "--skip-bad-orders",
            help="Start even if order files are faulty and have no last good edition.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the resolver, until SIGTERM or SIGINT.

    Order files, geofeeds, databases and settings are put in force as they change; SIGHUP
    looks at all of them anew. Prints one line when it is ready; the log goes to stderr.

    Example: geodns serve -c /etc/geodns.toml
    """
    from geodns.cli.main import native
    from geodns.serve import server

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    if not native():
        log.info("the pure fast path serves; the native one is not installed")
    server.serve(load_settings(config), skip_bad_orders, out.progress, as_json=as_json)


def status(config: Config = None, as_json: Json = False) -> None:
    """Show what the running server has in force, and what is wrong.

    Exit code 1 if a worker is not up to date or something is faulty; 2 if no server runs.

    Example: geodns status
    """
    from geodns.serve.control import ask

    found = ask(load_settings(config).server.state, "status")
    if as_json:
        out.document(found)
    else:
        _show(found)
    if not found["current"] or found["faults"]:
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    reload = found["reload"]
    orders = found["orders"]
    where = ", ".join(f"{host} port {port}" for host, port in found["listen"])
    out.line(f"process {found['pid']} since {found['started']}, listens on {where}")
    out.line(f"digest {found['digest']}, {len(orders)} orders in force")
    out.line(f"next change by the clock: {found['next_change'] or 'none'}")
    reach = "on every worker" if reload["everywhere"] else "not yet on every worker"
    out.line(
        f"last reload {reload['at']} ({reload['trigger']}): {reload['parsed']} order files parsed,"
        f" {reach} after {reload['took']} s; {found['reloads']} reloads, {found['failures']} failed"
    )
    for key in found["restart_needed"]:
        out.line(f"restart needed: {key} changed", style="bold yellow")
    for fault in found["faults"]:
        place = ":".join(str(part) for part in (fault["file"], fault["line"]) if part)
        text = ": ".join(part for part in (place, fault["field"], fault["message"]) if part)
        out.line(f"fault: {text}", style="bold red")
    out.line()
    out.table(
        ("worker", "process", "digest", "current", "restarts", "queries"),
        [_worker_row(worker) for worker in found["workers"]],
    )
    out.line()
    out.table(
        ("order", "status", "edition", "title"),
        [
            (
                order["id"],
                order["status"],
                "last good" if order["last_good"] else "current",
                order["title"],
            )
            for order in orders
        ],
    )
    out.line()
    out.table(
        ("source", "kind", "built", "age", "networks"),
        [_source_row(source) for source in found["sources"]],
    )
    out.line()
    counters = found["counters"]
    out.table(("counter", "value"), [(name, str(counters[name])) for name in sorted(counters)])


def _worker_row(worker: dict[str, Any]) -> tuple[str, ...]:
    counters = worker["counters"]
    queries = counters.get("queries/udp", 0) + counters.get("queries/tcp", 0)
    return (
        str(worker["index"]),
        str(worker["pid"] or "none"),
        (worker["digest"] or "none")[:12],
        "yes" if worker["current"] else "NO",
        str(worker["restarts"]),
        str(queries),
    )


def _source_row(source: dict[str, Any]) -> tuple[str, ...]:
    note = " STALE" if source["stale"] else " old" if source["old"] else ""
    return (
        source["path"],
        source["kind"],
        source["built"],
        f"{source['age_days']} days{note}",
        str(source["networks"]),
    )
