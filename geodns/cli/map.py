"""``geodns map``: a world map of where one name is blocked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json

if TYPE_CHECKING:
    from geodns.serve.inforce import InForce


def draw(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name to draw.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write the SVG."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Instant to rule at, ISO 8601 (default: now)."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Draw a world map (SVG) of where a name is blocked, and by which orders.

    Only the question is ruled on: aliases and addresses need the answer. On a terminal the
    map goes to a file named after the name, else to stdout.

    Example: geodns map nitroflare.com -o nitroflare.svg
    """
    from geodns import app
    from geodns.cli import facts as known
    from geodns.cli.readable import readable
    from geodns.cli.writing import write
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.model import name as names
    from geodns.model.place import country_name
    from geodns.report.map import world

    settings = load_settings(config)
    asked = known.parse_name(name)
    instant = known.parse_instant(at)
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance, former=True)
    accepted = app.accept_orders(settings, app.load_orders(settings), places)
    in_force = app.compile_in_force(settings, accepted, places, instant)
    found = where_blocked(in_force, asked)
    text = names.to_text(asked)
    if json:
        out.document(
            {
                "name": text,
                "at": instant.isoformat(timespec="seconds"),
                "digest": in_force.snapshot.digest,
                "faults": [fault.as_json() for fault in accepted.faults],
                **found,
            }
        )
        return
    notes = [f"By: {', '.join(found['orders'])}"] if found["orders"] else []
    for country, parts in found["parts"].items():
        told = ", ".join(f"{place} ({', '.join(orders)})" for place, orders in parts.items())
        notes.append(f"{country_name(country)}, in part: {told}")
    if found["unknown"]:
        notes.append(f"Clients that nobody can place: blocked ({', '.join(found['unknown'])})")
    counts = {country: len(orders) for country, orders in found["countries"].items()}
    counts |= {country: 0 for country in found["parts"] if country not in counts}
    svg = world(
        counts,
        f"Where {readable(text)} is blocked, {instant.date().isoformat()}",
        unit="order" if max(counts.values(), default=0) <= 1 else "order(s)",
        partly=[country for country in found["parts"] if country not in found["countries"]],
        notes=notes,
        nothing="not blocked",
        alone=True,
    )
    if output is None and sys.stdout.isatty():
        output = Path(f"{text}.svg")
    if output is None:
        out.line(svg)
        return
    write(output, svg + "\n")
    many = "1 country" if len(counts) == 1 else f"{len(counts)} countries"
    out.line(f"{out.short_path(str(output))}: {text} is blocked in {many}")


def where_blocked(in_force: InForce, name: bytes) -> dict[str, Any]:
    """Where a question is blocked, by the server's ruling on every location of the tables.

    countries: the orders that block it, by code, where they do so in all of the country. parts:
    the same by subdivision, network operator or source where they do so in a part. unknown: the
    orders that block it for clients without a location. orders: all of these.
    """
    from geodns.policy.rule import Recorder

    by_class: dict[int, frozenset[str]] = {}

    def orders(scope_class: int) -> frozenset[str]:
        if scope_class not in by_class:
            recorder = Recorder([], set())
            in_force.rules.rule_question(name, scope_class, recorder)
            blocking = (g.order for g in recorder.grounds if g.effect in ("blocks", "also"))
            by_class[scope_class] = frozenset(blocking)
        return by_class[scope_class]

    scopes = in_force.scopes
    asns = [0xFFFFFFFF, *scopes.asns] if scopes.asns else [0]
    seen: dict[str, dict[str, frozenset[str]]] = {}
    for number, location in enumerate(in_force.places.locations):
        if location.country is None:
            continue
        for asn in asns:
            part = "+".join(location.subdivisions) or "elsewhere"
            part = f"AS{asn}" if asn in scopes.asns else part
            held = seen.setdefault(location.country, {})
            here = orders(scopes.class_of(number, asn))
            held[part] = held.get(part, frozenset()) | here
    whole, parts = {}, {}
    for country, held in sorted(seen.items()):
        common = frozenset.intersection(*held.values())
        if common:
            whole[country] = sorted(common)
        more = {part: sorted(each - common) for part, each in held.items() if each - common}
        if more:
            parts[country] = dict(sorted(more.items()))
    unknown = sorted(orders(scopes.unknown_class()))
    every = {ident for held in seen.values() for each in held.values() for ident in each}
    return {
        "countries": whole,
        "parts": parts,
        "unknown": unknown,
        "orders": sorted(every | set(unknown)),
    }
