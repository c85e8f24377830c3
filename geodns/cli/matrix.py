"""``geodns matrix``: places by names, where is what blocked, and by which order."""

from __future__ import annotations

from typing import Annotated

import typer

from geodns import app
from geodns.cli import facts as known
from geodns.cli.options import Config, Json
from geodns.config import load_settings
from geodns.console import out
from geodns.model import name as names
from geodns.model.ruling import Ground, Ruling
from geodns.policy.rule import Recorder
from geodns.serve.inforce import InForce


def matrix(
    name: Annotated[list[str], typer.Argument(metavar="NAME", help="Names to look at.")],
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="IT,FR|IP",
            help="Places or addresses, several times or with commas. "
            "Default: every country that an order in force names, and one that none does.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Instant to rule at, ISO 8601 (default: now)."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show where which names are blocked, and by which order.

    Example: geodns matrix kickasstorrents.to nitroflare.com --from IT,FR,GB,SM
    """
    settings = load_settings(config)
    asked = [known.parse_name(text) for text in name]
    instant = known.parse_instant(at)
    loaded = app.load_orders(settings)
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance)
    in_force = app.compile_in_force(settings, loaded, places, instant)
    wanted = [part for text in from_ or [] for part in text.split(",") if part.strip()]
    rows = []
    for place in wanted or _places_of(in_force):
        address = known.find_client(places, place)
        located = known.locate_client(in_force, address)
        cells = []
        for one in asked:
            recorder = Recorder([], set())
            ruling, _ = in_force.rules.rule_question(one, located.scope_class, recorder)
            cells.append((one, ruling, recorder.grounds))
        rows.append((place, address, located, cells))
    if json:
        out.document(
            {
                "digest": in_force.snapshot.digest,
                "at": instant.isoformat(),
                "rows": [
                    {
                        "place": place,
                        "location": known.location_facts(in_force, located, address),
                        "name": names.to_text(one),
                        "ruling": "block" if ruling.block else "allow",
                        "order": known.order_id(in_force, ruling),
                        "grounds": [known.ground_facts(in_force, ground) for ground in grounds],
                    }
                    for place, address, located, cells in rows
                    for one, ruling, grounds in cells
                ],
            }
        )
        return
    for fault in loaded.faults:
        out.line(f"warning: {fault}", style="yellow")
    out.table(
        ["from", "located in", *(names.to_text(one) for one in asked)],
        [
            [
                place,
                located.location.country or "unknown",
                *(_cell(in_force, ruling, grounds) for _, ruling, grounds in cells),
            ]
            for place, address, located, cells in rows
        ],
        styles=lambda cell: "red" if cell.startswith("blocked") else None,
    )


def _places_of(in_force: InForce) -> list[str]:
    """Countries that orders in force name, then one that none of them does."""
    reaches = in_force.snapshot.reaches
    named = {
        atom.partition("-")[0]
        for reach in reaches
        for atom in (*(reach.places or ()), *reach.except_)
        if not atom.startswith("AS")
    }
    known = {location.country for location in in_force.places.locations if location.country}
    others = sorted(known - named, key=lambda code: (code != "US", code))
    return [*sorted(named & known), *others[:1]]


def _cell(in_force: InForce, ruling: Ruling, grounds: list[Ground]) -> str:
    if ruling.block:
        others = sum(1 for ground in grounds if ground.effect == "also")
        return f"blocked by {known.order_id(in_force, ruling)}" + (
            f" (+{others})" if others else ""
        )
    spared = next((g for g in grounds if g.effect in ("shadow", "exempt", "never_block")), None)
    return f"resolves ({spared.effect}: {spared.order})" if spared else "resolves"
