"""``geodns orders impact``: what an order would do, before it does it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.cli.readable import readable

if TYPE_CHECKING:
    from geodns.locate.table import PlaceTable
    from geodns.orders.lint import Finding
    from geodns.orders.loaded import LoadedOrder
    from geodns.policy.snapshot import Snapshot

SHOWN = 10
"""Names of a kind that are printed without --json."""
_BITS = {4: 32, 6: 128}


def impact(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="An order file, or a place's folder of them.")
    ],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show what an order would do before it is enforced, whatever its status says now.

    Where it has force and for how much of the address space, how many names it blocks, what the
    guard holds, which of it other orders block already, and what differs from the server's edition.

    Exit codes: 0 done; 1 some target is held; 2 the file is faulty.

    Example: geodns orders impact orders/IT/it-milano-2022-cloudflare.toml
    """
    from geodns import app
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.errors import Fault, InputFaults, OrderError
    from geodns.orders.guard.judge import known_with
    from geodns.orders.load import load_path
    from geodns.serve.placing import misplaced

    settings = load_settings(config)
    if not path.exists():
        raise InputFaults([Fault("does not exist", str(path))])
    loaded = load_path(path, known_with(settings.orders.popular))
    if loaded.faults:
        raise OrderError(loaded.faults)
    with out.progress("reading orders") as advance:
        today = app.load_orders(settings, advance)
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance)
    if lost := misplaced([_in_force(order) for order in loaded.orders], places):
        raise OrderError(lost)
    now = datetime.now(UTC)
    accepted = app.accept_orders(settings, today, places)
    snapshot = app.compile_in_force(settings, accepted, places, now).snapshot
    before = {order.order.id: order for order in accepted.orders}
    documents = [
        _document(order, before.get(order.order.id), loaded.findings, snapshot, places, now)
        for order in loaded.orders
    ]
    if as_json:
        out.document(documents)
    else:
        for document in documents:
            _show(document)
    if any(document["held"] for document in documents):
        raise typer.Exit(1)


def _document(
    order: LoadedOrder,
    former: LoadedOrder | None,
    findings: Iterable[Finding],
    snapshot: Snapshot,
    places: PlaceTable,
    now: datetime,
) -> dict[str, Any]:
    from geodns.orders.compare import text_of
    from geodns.orders.force import as_of
    from geodns.orders.guard.review import targets_of
    from geodns.policy.compile import compile_snapshot
    from geodns.policy.snapshot import Snapshot

    at = max(now, order.effective)
    enforced = replace(_in_force(as_of(order, at)), expires=None, events=(), held=())
    alone = Snapshot(compile_snapshot([enforced], at))
    others = _others(enforced, snapshot)
    return {
        "order": order.order.id,
        "title": order.order.title,
        "status": order.order.status,
        "jurisdiction": "global" if order.jurisdiction is None else list(order.jurisdiction),
        "except": list(order.except_),
        "address_space": _address_space(alone, places),
        "targets": {
            "domains": len(enforced.domains),
            "exact": len(enforced.exact),
            "below": len(enforced.below),
            "networks": len(enforced.networks),
            "addresses": sum(n.num_addresses for n in enforced.networks if n.version == 4),
            "all": targets_of(enforced),
        },
        "held": [
            {
                "target": text_of(each.target),
                "finding": each.finding,
                "reason": each.reason,
            }
            for each in order.held
        ],
        "findings": [
            found.as_json()
            for found in findings
            if found.order == order.order.id and found.level != "hold"
        ],
        "blocked_already": others,
        "changes": _changes(enforced, former, now),
    }


def _in_force(order: LoadedOrder) -> LoadedOrder:
    """As if it were in force: what it would do is the question."""
    active = order.order.model_copy(update={"status": "active", "supersedes": ()})
    return replace(order, order=active)


def _address_space(alone: Snapshot, places: PlaceTable) -> dict[str, Any] | None:
    """By IP version, the share of all addresses, and of those that are located, in force."""
    from geodns.policy.scope import Scopes

    scopes = Scopes(alone.reaches, places.locations, ())
    if scopes.asns:
        return None
    value_of = [
        2 if scopes.applies(scopes.class_of(number), 0) else 0 if location.country is None else 1
        for number, location in enumerate(places.locations)
    ]
    found: dict[str, Any] = {}
    for version, bits in _BITS.items():
        sizes = [0, 0, 0]
        starts, values = places.runs(version, value_of)
        for start, end, value in zip(starts, [*starts[1:], 1 << bits], values, strict=True):
            sizes[value] += end - start
        located = sizes[1] + sizes[2]
        found[f"ipv{version}"] = {
            "addresses": sizes[2],
            "of_all": sizes[2] / (1 << bits),
            "of_located": sizes[2] / located if located else 0.0,
        }
    return found


def _others(order: LoadedOrder, snapshot: Snapshot) -> dict[str, Any]:
    """How many of the order's targets other orders in force name, and which orders those are."""
    from geodns.policy.snapshot import BELOW, DOMAIN, EXACT

    named: set[str] = set()
    count = 0
    own = order.order.id
    for names in (order.domains, order.exact, order.below):
        for name in names:
            hits = {
                snapshot.orders[number].id
                for at, rule in snapshot.name_rules(name)
                for number, kind in snapshot.items(rule)
                if kind == DOMAIN or (kind == EXACT and at == 0) or (kind == BELOW and at > 0)
            } - {own}
            count += bool(hits)
            named |= hits
    return {"targets": count, "orders": sorted(named)}


def _changes(
    order: LoadedOrder, former: LoadedOrder | None, now: datetime
) -> dict[str, Any] | None:
    """What differs from the edition that is on file for the server; None where there is none."""
    from geodns.orders.compare import text_of
    from geodns.orders.events import status_at
    from geodns.orders.force import as_of

    if former is None:
        return None
    was = as_of(former, now)
    new, old = _all_targets(order), _all_targets(was)
    fields = {
        key: [str(a), str(b)]
        for key, a, b in (
            ("jurisdiction", former.jurisdiction, order.jurisdiction),
            ("except", former.except_, order.except_),
            ("effective", former.effective, order.effective),
            ("action", former.order.response.action, order.order.response.action),
            ("on_unknown", former.order.on_unknown, order.order.on_unknown),
        )
        if a != b
    }

    def texts(found: set[Any]) -> list[str]:
        return sorted(text_of(one) for _, one in found)

    return {
        "status": status_at(former, now),
        "added": texts(new - old),
        "gone": texts(old - new),
        "fields": fields,
    }


def _all_targets(order: LoadedOrder) -> set[tuple[str, Any]]:
    return {
        (field, target)
        for field in ("domains", "exact", "below", "networks")
        for target in getattr(order, field)
    }


def _show(found: dict[str, Any]) -> None:
    from geodns.console import out

    places = found["jurisdiction"]
    where = places if isinstance(places, str) else " ".join(places)
    less = f" less {' '.join(found['except'])}" if found["except"] else ""
    out.line(f"{found['order']} ({found['status']}): {found['title']}", style="bold")
    out.line(f"  where     {where}{less}")
    space = found["address_space"]
    if space is None:
        out.line("            share of the address space: not told where AS numbers decide")
    else:
        for version in ("ipv4", "ipv6"):
            share = space[version]
            out.line(
                f"            {share['of_located']:.2%} of the {version[:2].upper()}{version[2:]}"
                f" addresses that are located ({share['addresses']:,})"
            )
    targets = found["targets"]
    parts = [f"{targets[key]:,} {key}" for key in ("domains", "exact", "below") if targets[key]]
    if targets["networks"]:
        parts.append(f"{targets['networks']:,} networks ({targets['addresses']:,} IPv4 addresses)")
    out.line(f"  blocks    {', '.join(parts) or 'nothing'}")
    already = found["blocked_already"]
    if already["targets"]:
        out.line(f"            {already['targets']:,} named by {', '.join(already['orders'])} too")
    _list("held", [f"{readable(each['target'])} {each['reason']}" for each in found["held"]])
    _list("findings", [_finding(each) for each in found["findings"]])
    changes = found["changes"]
    if changes is None:
        out.line("  changes   a new order: the server has none of this id")
        return
    _list("added", [readable(name) for name in changes["added"]])
    _list("gone", [readable(name) for name in changes["gone"]])
    _list("changed", [f"{key}: {a} -> {b}" for key, (a, b) in changes["fields"].items()])
    if not (changes["added"] or changes["gone"] or changes["fields"]):
        out.line("  changes   none: the folders of orders have the same")


def _finding(found: dict[str, Any]) -> str:
    where = f"{found['field']}: " if found["field"] else ""
    return f"{found['level']}: {where}{found['message']}"


def _list(what: str, rows: list[str]) -> None:
    from geodns.console import out

    for number, row in enumerate(rows[:SHOWN]):
        out.line(f"  {what if number == 0 else '':<9} {row}")
    if len(rows) > SHOWN:
        out.line(f"            and {len(rows) - SHOWN:,} more; --json shows all")
