"""``geodns orders``: check, list and show order files, and print their schema."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.cli.usage import Command, Group
from geodns.errors import Fault, GeodnsError, InputFaults, OrderError

if TYPE_CHECKING:
    from geodns.orders.load import Loaded, LoadedOrder

SHOWN = 20
"""Names and networks of a list that ``show`` prints without --json."""

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Check, list and show order files.",
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

    Exit codes: 0 nothing to do (findings of level info may be printed); 1 findings of level
    warn or hold; 2 faults: a file that cannot be loaded.

    Example: geodns orders check orders/IT
    """
    from geodns.console import out

    results = [_load_path(path) for path in paths] if paths else [_load_settings(config)]
    faults = [fault for loaded in results for fault in loaded.faults]
    findings = [finding for loaded in results for finding in loaded.findings]
    orders = sum(len(loaded.orders) for loaded in results)
    if as_json:
        out.document(
            {
                "orders": orders,
                "faults": [fault.as_json() for fault in faults],
                "findings": [finding.as_json() for finding in findings],
                "refused": [path for loaded in results for path in loaded.refused],
            }
        )
    else:
        rows = [("fault", _where(fault), fault.field or "", fault.message) for fault in faults]
        rows += [(item.level, item.file, item.field or "", item.message) for item in findings]
        if rows:
            out.table(("level", "file", "field", "message"), rows, styles=_STYLES.get)
        out.line(
            f"{_count(orders, 'order')}, {_count(len(faults), 'fault')},"
            f" {_count(len(findings), 'finding')}"
        )
    if faults:
        raise typer.Exit(2)
    if any(finding.level != "info" for finding in findings):
        raise typer.Exit(1)


@app.command("list", cls=Command)
def list_orders(config: Config = None, as_json: Json = False) -> None:
    """List the orders: what they are, where and when they have force.

    Exit codes: 0 done; 2 some file is faulty (those that are not are listed all the same).

    Example: geodns orders list --json
    """
    from geodns.console import out

    loaded, now = _load_settings(config), datetime.now(UTC)
    if as_json:
        out.document([_document(order, now, names=False) for order in loaded.orders])
    else:
        columns = ("id", "force", "jurisdiction", "effective", "expires", "targets", "title")
        out.table(columns, [_row(order, now) for order in loaded.orders])
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

    loaded = _load_settings(config)
    order = next((order for order in loaded.orders if order.order.id == ident), None)
    if order is None:
        raise _unknown(ident, loaded)
    document = _document(order, datetime.now(UTC), names=True)
    if as_json:
        out.document(document)
    else:
        out.table(("field", "value"), list(_fields(document)))


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


_STYLES = {"fault": "bold red", "hold": "red", "warn": "yellow"}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _where(fault: Fault) -> str:
    return f"{fault.file or ''}{'' if fault.line is None else f':{fault.line}'}"


def _load_settings(config: Path | None) -> Loaded:
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.orders.load import OrderLoader

    directories = load_settings(config).orders.directories
    with out.progress("reading orders") as progress:
        return OrderLoader(directories, None).load(progress)


def _load_path(path: Path) -> Loaded:
    from geodns.orders.load import load_path

    if not path.exists():
        raise InputFaults([Fault("does not exist", str(path))])
    return load_path(path)


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
    if order.order.status not in ("active", "shadow"):
        return order.order.status
    if now < order.effective:
        return "not yet"
    if order.expires is not None and now >= order.expires:
        return "expired"
    return "in force" if order.order.status == "active" else "shadow"


def _jurisdiction(order: LoadedOrder) -> str:
    places = "global" if order.jurisdiction is None else " ".join(order.jurisdiction)
    return f"{places} less {' '.join(order.except_)}" if order.except_ else places


def _row(order: LoadedOrder, now: datetime) -> tuple[str, ...]:
    lists = (order.domains, order.exact, order.below, order.networks)
    return (
        order.order.id,
        _force(order, now),
        _jurisdiction(order),
        order.effective.date().isoformat(),
        order.expires.date().isoformat() if order.expires else "",
        str(sum(map(len, lists))),
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
    }
    return document


def _fields(document: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in document.items():
        if isinstance(value, dict):
            rows += _fields(value, f"{above}{key}.")
        elif isinstance(value, list | tuple):
            for item in value[:SHOWN]:
                rows.append((above + key, str(item)))
            if len(value) > SHOWN:
                rows.append((above + key, f"and {len(value) - SHOWN} more; --json shows all"))
        elif value is not None:
            rows.append((above + key, str(value)))
    return rows
