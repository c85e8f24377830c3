"""``geodns serve`` and ``geodns status``."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer

from geodns import logs
from geodns.cli.options import Config, Json
from geodns.config import load_settings, load_state
from geodns.console import out
from geodns.errors import Fault, ServerError
from geodns.model.endpoint import join_endpoint
from geodns.serve.record import counted, listed
from geodns.serve.upstreams import silent

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
    from geodns.fastpath import choice
    from geodns.serve import server

    settings = load_settings(config)
    logs.start(settings.log.format, settings.log.level)
    if (chosen := choice.choose()).module is None:
        log.info("the pure fast path serves; %s", chosen.why)
    server.serve(settings, skip_bad_orders, out.progress, as_json=as_json)


def status(config: Config = None, as_json: Json = False) -> None:
    """Show what the running server has in force, and what is wrong.

    Works with a faulty settings file too, as long as it tells where state is kept. Exit code 1
    if a worker is not up to date or something is faulty; 2 if no server runs.

    Example: geodns status
    """
    from geodns.serve.control import ask

    state, wrong = load_state(config)
    try:
        found = ask(state, "status")
    except ServerError as error:
        raise ServerError("\n".join((*map(str, wrong), str(error)))) from None
    found["settings_faults"] = [fault.as_json() for fault in wrong]
    if as_json:
        out.document(found)
    else:
        _show(found)
    if (
        not found["current"]
        or found["faults"]
        or wrong
        or silent(found["upstreams"], len(found["workers"]))
    ):
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    """Print the document; what is wrong comes last, where it is seen."""
    reload = found["reload"]
    orders = found["orders"]
    defaults = found["defaults"]
    where = ", ".join(f"{host} port {port}" for host, port in found["listen"])
    out.line(f"process {found['pid']} since {found['started']}, listens on {where}")
    out.line(f"settings {found['settings'] or 'none, all defaults'}")
    if (page := found["blockpage"]) is not None:
        where = ", ".join(f"http://{join_endpoint(*each)}" for each in page["listen"])
        out.line(f"block page {where}, {_page_state(page)}")
    folders = ", ".join(found["order_directories"]) or "no folder"
    out.line(f"orders from {folders}{' (default)' * ('orders.directories' in defaults)}")
    out.line(f"digest {found['digest']}, {counted(len(orders), 'order')} in force")
    out.line(f"next change by the clock: {found['next_change'] or 'none'}")
    reach = "on every worker" if reload["everywhere"] else "not yet on every worker"
    out.line(
        f"last reload {reload['at']} ({reload['trigger']}):"
        f" {counted(reload['parsed'], 'order file')} parsed, {reach} after {reload['took']} s;"
        f" {counted(found['reloads'], 'reload')}, {found['failures']} failed"
    )
    _table(
        ("worker", "process", "digest", "current", "restarts", "queries"),
        [_worker_row(worker) for worker in found["workers"]],
    )
    _table(
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
    _table(
        ("coming order", "status", "in force from", "title"),
        [
            (order["id"], order["status"], order["effective"], order["title"])
            for order in found["coming"]
        ],
    )
    _table(
        ("source", "kind", "built", "age", "networks"),
        [_source_row(source) for source in found["sources"]],
    )
    _table(
        ("upstream", "mean round trip", "answers", "avoided by"),
        [_upstream_row(upstream) for upstream in found["upstreams"]],
    )
    counters = found["counters"]
    _table(
        ("counter", "value"),
        [(name, str(counters[name])) for name in sorted(counters) if counters[name]],
    )
    _show_wrong(found)


def _page_state(page: dict[str, Any]) -> str:
    restarts = counted(page["restarts"], "restart")
    if page["pid"] is None:
        return f"is being started again ({restarts})"
    return f"process {page['pid']}, {restarts}{'' if page['current'] else ', NOT up to date'}"


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if rows:
        out.line()
        out.table(columns, rows)


def _show_wrong(found: dict[str, Any]) -> None:
    lines = [(f"warning: {text}", "bold yellow") for text in found["warnings"]]
    lines += [(f"restart needed: {key} changed", "bold yellow") for key in found["restart_needed"]]
    ledger = found["ledger"]
    if ledger is not None and ledger["fault"] is not None:
        told = f"the ledger cannot be written: {ledger['fault']}; changes of orders wait"
        lines.append((f"{told}, {ledger['waiting']} entries too", "bold red"))
    if ledger is not None and ledger["lost"]:
        lines.append((f"lost to the ledger: {ledger['lost']} entries", "bold red"))
    lines += [
        (f"not verified by asking: {order}: {why}", "yellow")
        for order, why in found["unverified"].items()
    ]
    if silent(found["upstreams"], len(found["workers"])):
        told = "no upstream answers: names that no order blocks get SERVFAIL"
        lines.append((told, "bold red"))
    last_good = [order["id"] for order in found["orders"] if order["last_good"]]
    if last_good:
        lines.append((f"used by their last good edition: {listed(last_good)}", "bold yellow"))
    lines += [
        (
            f"{order['id']}: {order['held']} of its targets held, and not blocked, until they are"
            " acknowledged: geodns orders check",
            "bold yellow",
        )
        for order in found["orders"]
        if order["held"]
    ]
    lines += [
        (f"worker {worker['index']} is not up to date", "bold red")
        for worker in found["workers"]
        if not worker["current"]
    ]
    seen = [Fault(**fault) for fault in found["faults"]]
    known = {fault.message for fault in seen}
    seen += [
        fault for raw in found["settings_faults"] if (fault := Fault(**raw)).message not in known
    ]
    if found["settings_faults"]:
        lines.append(("the settings file is faulty; the settings before are in force", "bold red"))
    lines += [(f"fault: {fault}", "bold red") for fault in seen]
    if lines:
        out.line()
    for text, style in lines:
        out.line(text, style=style)


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


def _upstream_row(upstream: dict[str, Any]) -> tuple[str, ...]:
    rtt = upstream["rtt"]
    return (
        upstream["server"],
        "unknown" if rtt is None else f"{rtt * 1000:.1f} ms",
        str(upstream["answers"]),
        f"{counted(upstream['away'], 'worker')}" if upstream["away"] else "nobody",
    )


def _source_row(source: dict[str, Any]) -> tuple[str, ...]:
    note = " STALE" if source["stale"] else " old" if source["old"] else ""
    return (
        source["path"],
        source["kind"],
        source["built"],
        f"{counted(source['age_days'], 'day')}{note}",
        str(source["networks"]),
    )
