"""``geodns orders``: check, list, show and import, and the schema of order files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.approve import approve
from geodns.cli.diff import diff_orders
from geodns.cli.due import due_orders
from geodns.cli.impact import impact
from geodns.cli.importing import import_list
from geodns.cli.new import new_order
from geodns.cli.options import Config, Json
from geodns.cli.readable import readable
from geodns.cli.usage import Command, Group
from geodns.errors import Fault, GeodnsError, InputFaults, OrderError

if TYPE_CHECKING:
    from geodns.orders.lint import Finding
    from geodns.orders.load import Loaded, LoadedOrder

SHOWN = 20
"""Names and networks of a list that ``show`` prints without --json."""

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Write, check, compare and show order files, and import official lists.",
    epilog="Example: geodns orders check orders/IT",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(cls=Command)
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Order files, places' folders, or directories of them. Without any: the"
            " directories of the settings.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check order files: all faults and findings at once, each with file, line and field.

    It is as strict as a server with these settings: a place that the databases cannot tell
    (a subdivision, an AS number) is a fault.

    Exit codes: 0 nothing to do (findings of level info may be printed); 1 findings of level
    warn or hold; 2 faults: a file that cannot be loaded.

    Example: geodns orders check orders/IT
    """
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.orders.lint import lint_folders

    results = [_load_path(path, config) for path in paths] if paths else [_load_settings(config)]
    folders = paths or load_settings(config).orders.directories
    orders = [order for loaded in results for order in loaded.orders]
    refused = [path for loaded in results for path in loaded.refused]
    unplaced, unchecked = _unplaced(orders, config)
    faults = [fault for loaded in results for fault in loaded.faults]
    faults += [*_doubles(results), *unplaced]
    findings = [finding for loaded in results for finding in loaded.findings]
    findings += lint_folders(folders, orders, complete=not refused)
    findings += _waiting(results)
    if as_json:
        out.document(
            {
                "files": len(orders) + len(refused),
                "orders": len(orders),
                "faults": [fault.as_json() for fault in faults],
                "findings": [finding.as_json() for finding in findings],
                "refused": refused,
                "unchecked": unchecked,
            }
        )
    else:
        rows = [("fault", _where(fault), fault.field or "", fault.message) for fault in faults]
        rows += [(item.level, _where(item), item.field or "", item.message) for item in findings]
        if rows:
            columns = ("level", "file", "field", "message")
            out.table(columns, rows, styles=_STYLES.get, shrink=("message",))
        if unchecked is not None:
            out.line(f"not checked: {unchecked}", style="yellow")
        out.line(
            f"{_count(len(orders) + len(refused), 'file')}, {_count(len(orders), 'order')},"
            f" {_count(len(faults), 'fault')}, {_count(len(findings), 'finding')}"
        )
    if faults:
        raise typer.Exit(2)
    if any(finding.level != "info" for finding in findings):
        raise typer.Exit(1)


@app.command("list", cls=Command)
def list_orders(config: Config = None, as_json: Json = False) -> None:
    """List the orders: what they are, where and when they have force.

    Of a file that is faulty now, its last good edition is listed if a server has kept one.

    Exit codes: 0 done; 2 some file is faulty (those that are not are listed all the same).

    Example: geodns orders list --json
    """
    from geodns.console import out

    loaded, now = _load_last_good(config), datetime.now(UTC)
    rows = [_row(order, now) for order in loaded.orders]
    if as_json:
        out.document([_document(order, now, names=False) for order in loaded.orders])
    else:
        columns = ("id", "force", "jurisdiction", "effective", "expires", "targets", "title")
        out.table(columns, rows, shrink=("jurisdiction", "title"))
    if loaded.faults:
        raise OrderError(loaded.faults)


@app.command(cls=Command)
def show(
    ident: Annotated[str, typer.Argument(metavar="ID", help="The order's id.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show one order whole: every field, resolved dates, its names and networks.

    Exit codes: 0 done; 2 there is no such order.

    Example: geodns orders show it-milano-2022-cloudflare
    """
    from geodns.console import out

    loaded = _load_last_good(config)
    order = next((order for order in loaded.orders if order.order.id == ident), None)
    if order is None:
        raise _unknown(ident, loaded)
    document = _document(order, datetime.now(UTC), names=True)
    if as_json:
        out.document(document)
    else:
        if order.last_good:
            for fault in loaded.faults:
                if fault.file == order.path:
                    out.line(f"warning: {fault}", style="yellow")
        out.table(("field", "value"), list(_fields(document)), shrink=("value",))


@app.command(cls=Command)
def schema(config: Config = None, as_json: Json = False) -> None:
    """Print the JSON Schema of an order file (2020-12), for editors and other programs.

    It is a JSON document with and without --json.

    Example: geodns orders schema > order.schema.json
    """
    from geodns.console import out
    from geodns.orders.schema import json_schema

    del config, as_json
    out.document(json_schema())


app.command("import", cls=Command)(import_list)
app.command(cls=Command)(impact)
app.command(cls=Command)(approve)
app.command("due", cls=Command)(due_orders)
app.command("diff", cls=Command)(diff_orders)
app.command("new", cls=Command)(new_order)

_STYLES = {"fault": "bold red", "hold": "red", "warn": "yellow"}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _where(told: Fault | Finding) -> str:
    from geodns.console import out

    return f"{out.short_path(told.file or '')}{'' if told.line is None else f':{told.line}'}"


def _unplaced(
    orders: Sequence[LoadedOrder], config: Path | None
) -> tuple[Sequence[Fault], str | None]:
    """Faults of orders whose places the databases cannot tell; or why that is not known.

    The place tables are made only if an order needs more of them than countries.
    """
    from geodns import app as wiring
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.policy.scope import unplaceable

    if not unplaceable(orders, has_subdivisions=False, has_asn=False):
        return (), None
    try:
        with out.progress("building the place tables (once per edition)") as advance:
            places = wiring.open_places(load_settings(config), advance)
    except (GeodnsError, OSError) as error:
        return (), f"whether the databases know the subdivisions and AS numbers ({error})"
    known = {"has_subdivisions": places.has_subdivisions, "has_asn": places.has_asn}
    return unplaceable(orders, **known), None


def _doubles(results: Sequence[Loaded]) -> Iterator[Fault]:
    """Ids that files of several paths claim; those of one path were told when it was loaded."""
    if len(results) == 1:
        return
    first: dict[str, str] = {}
    for order in (order for loaded in results for order in loaded.orders):
        ident, path = order.order.id, order.path
        other = first.setdefault(ident, path)
        if Path(other).absolute() != Path(path).absolute():
            yield Fault(
                f"{ident!r} is the id of {other} already; an id is used once", path, None, "id"
            )


def _waiting(results: Sequence[Loaded]) -> Iterator[Finding]:
    """Orders that are out of force until people approve them."""
    from geodns.orders.lint import Finding

    for fault in (fault for loaded in results for fault in loaded.unapproved):
        file = fault.file or ""
        yield Finding("hold", Path(file).stem, fault.field, fault.message, file)


def _load_settings(config: Path | None) -> Loaded:
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.orders.approval import Approvers
    from geodns.orders.guard.judge import known_with
    from geodns.orders.load import OrderLoader

    orders = load_settings(config).orders
    with out.progress("reading orders") as progress:
        known = known_with(orders.popular)
        approvers = Approvers(orders.approvals, orders.keys)
        loader = OrderLoader(orders.directories, None, known=known, approvers=approvers)
        return loader.load(progress)


def _load_last_good(config: Path | None) -> Loaded:
    """The orders as a server with these settings has them: last good editions stand in."""
    from geodns import app as wiring
    from geodns.config import load_settings
    from geodns.console import out

    settings = load_settings(config)
    with out.progress("reading orders") as progress:
        return wiring.load_orders(settings, progress)


def _load_path(path: Path, config: Path | None) -> Loaded:
    from geodns.config import load_settings
    from geodns.orders.approval import Approvers
    from geodns.orders.guard.judge import known_with
    from geodns.orders.load import load_path

    if not path.exists():
        raise InputFaults([Fault("does not exist", str(path))])
    orders = load_settings(config).orders
    approvers = Approvers(orders.approvals, orders.keys)
    loaded = load_path(path, known_with(orders.popular), approvers)
    if not (loaded.orders or loaded.refused or loaded.faults):
        told = "holds no order files: they are <PLACE>/<id>.toml in a folder of orders"
        raise InputFaults([Fault(told, str(path))])
    return loaded


def _unknown(ident: str, loaded: Loaded) -> GeodnsError:
    from difflib import get_close_matches

    for fault in loaded.faults:
        if fault.file is not None and Path(fault.file).stem == ident:
            return OrderError(loaded.faults)
    near = get_close_matches(ident, [order.order.id for order in loaded.orders], 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "geodns orders list shows all"
    return InputFaults([Fault(f"there is no order {ident!r}; {hint}")])


def _force(order: LoadedOrder, now: datetime) -> str:
    """Say in a word or two whether the order has force at an instant."""
    from geodns.orders.events import end_at, status_at

    status, end = status_at(order, now), end_at(order, now)
    if end is not None and now >= end:
        return "expired"
    if order.waiting:
        return "not approved"
    if status not in ("active", "shadow"):
        return status
    if now < order.effective:
        return "not yet"
    if end is not None and now >= end:
        return "expired"
    return "in force" if status == "active" else "shadow"


def _jurisdiction(order: LoadedOrder) -> str:
    places = "global" if order.jurisdiction is None else " ".join(order.jurisdiction)
    return f"{places} less {' '.join(order.except_)}" if order.except_ else places


def _row(order: LoadedOrder, now: datetime) -> tuple[str, ...]:
    lists = (order.domains, order.exact, order.below, order.networks)
    return (
        order.order.id,
        _force(order, now) + (" (last good)" if order.last_good else ""),
        _jurisdiction(order),
        order.effective.date().isoformat(),
        order.expires.date().isoformat() if order.expires else "",
        str(sum(map(len, lists))) + (f" ({len(order.held)} held)" if order.held else ""),
        order.order.title,
    )


def _document(order: LoadedOrder, now: datetime, *, names: bool) -> dict[str, Any]:
    from geodns.model.name import to_text

    document: dict[str, Any] = order.order.model_dump(mode="json", by_alias=True)
    document["jurisdiction"] = "global" if order.jurisdiction is None else order.jurisdiction
    document["dates"] = {
        key: getattr(order, key) and getattr(order, key).isoformat() for key in document["dates"]
    }
    lists = {
        "domains": order.domains,
        "exact": order.exact,
        "below": order.below,
        "exempt": order.exempt,
    }
    targets: dict[str, Any] = {
        key: [to_text(name) for name in found] for key, found in lists.items()
    }
    targets["networks"] = [str(network) for network in order.networks]
    if not names:
        targets = {key: len(found) for key, found in targets.items()}
    targets["files"] = list(order.order.targets.files)
    document["targets"] = targets
    document |= {
        "force": _force(order, now),
        "place": order.place,
        "file": order.path,
        "edition": order.edition,
        "last_good": order.last_good,
        "held": [
            {
                "target": str(held.target)
                if not isinstance(held.target, bytes)
                else to_text(held.target),
                "field": held.field,
                "finding": held.finding,
                "reason": held.reason,
            }
            for held in order.held
        ],
    }
    return document


def _fields(document: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in document.items():
        if isinstance(value, dict):
            rows += _fields(value, f"{above}{key}.")
        elif isinstance(value, list | tuple):
            shown: Callable[[str], str] = readable if above == "targets." else str
            for item in value[:SHOWN]:
                if isinstance(item, dict):
                    item = "; ".join(map(str, item.values()))
                rows.append((above + key, shown(str(item))))
            if len(value) > SHOWN:
                rows.append((above + key, f"and {len(value) - SHOWN} more; --json shows all"))
        elif value is not None:
            rows.append((above + key, str(value)))
    return rows
